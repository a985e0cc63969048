//! The borders of ARCHITECTURE.md, held by reading the sources: who may use whom, where `unsafe` may stand, and how
//! long a file may grow. The manifests are read as text, so that the check needs neither cargo nor a network.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The only arrows between our crates. `tests` and `bench` may use all of them, and nobody uses those two.
const ARROWS: [(&str, &[&str]); 7] = [
    ("engine", &[]),
    ("dialects", &["engine"]),
    ("controllers", &["dialects", "engine"]),
    ("apiserver", &[]),
    ("node", &[]),
    ("executor", &[]),
    ("sandbank", &["engine", "dialects", "controllers", "apiserver", "node", "executor"]),
];

/// What the tests of every crate may use besides: the embedded server, to have something to talk to.
const IN_TESTS: &str = "apiserver";

/// Longer files hold more than one operation or policy.
const LONGEST_FILE: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests crate is below the workspace")
}

/// For what a dependency is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Purpose {
    Product,
    Tests,
}

/// The dependencies a manifest names in any of its sections (normal, dev, build, for one target).
fn dependencies(manifest: &str) -> BTreeSet<(String, Purpose)> {
    let mut in_dependencies = false;
    let mut purpose = Purpose::Product;
    let mut names = BTreeSet::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_end_matches(']');
            in_dependencies = section.ends_with("dependencies");
            purpose = match section.contains("dev-dependencies") {
                true => Purpose::Tests,
                false => Purpose::Product,
            };
            // `[dependencies.name]` is a dependency of its own.
            if let Some((_, name)) = section.split_once("dependencies.") {
                names.insert((name.trim_matches('"').to_owned(), purpose));
            }
        } else if in_dependencies && !line.starts_with('#') {
            let name = line.split(['=', '.', ' ']).next().unwrap_or_default().trim_matches('"');
            if !name.is_empty() {
                names.insert((name.to_owned(), purpose));
            }
        }
    }
    names
}

/// Our crates under the names others use for them, and what each uses of ours.
fn arrows() -> BTreeMap<String, BTreeSet<(String, Purpose)>> {
    let ours: BTreeSet<String> = ARROWS.iter().map(|(name, _)| name.to_string()).collect();
    let folders = fs::read_dir(root().join("crates")).expect("crates/ can be listed");
    folders
        .map(|entry| entry.expect("crates/ can be listed").path())
        .filter(|folder| folder.join("Cargo.toml").exists())
        .map(|folder| {
            let name = folder.file_name().expect("it has a name").to_string_lossy().into_owned();
            let manifest = fs::read_to_string(folder.join("Cargo.toml")).expect("it can be read");
            // Our crates also go by their package names, `sandbank-engine`.
            let used = dependencies(&manifest)
                .into_iter()
                .map(|(d, p)| (d.strip_prefix("sandbank-").map(str::to_owned).unwrap_or(d), p))
                .filter(|(d, _)| ours.contains(d) || d == "tests" || d == "bench")
                .collect();
            (name, used)
        })
        .collect()
}

fn rust_files(below: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(below).expect("a source folder can be listed") {
        let path = entry.expect("a source folder can be listed").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn all_rust_files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["crates", "tests", "bench"] {
        rust_files(&root().join(folder), &mut found);
    }
    assert!(found.len() > 50, "only {} source files were found", found.len());
    found
}

#[test]
fn nobody_uses_whom_the_architecture_does_not_allow() {
    let arrows = arrows();
    let known: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    let found: BTreeSet<&str> = arrows.keys().map(String::as_str).collect();
    assert_eq!(
        found, known,
        "a crate appeared or went away: ARCHITECTURE.md and this test name them"
    );
    for (name, allowed) in ARROWS {
        for (used, purpose) in &arrows[name] {
            assert!(
                allowed.contains(&used.as_str())
                    || (*purpose == Purpose::Tests && used == IN_TESTS),
                "{name} uses {used}, but may only use {allowed:?} (ARCHITECTURE.md)"
            );
        }
    }
}

#[test]
fn the_page_and_this_test_tell_the_same_arrows() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the page is there");
    for (name, allowed) in ARROWS {
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| `{name}` |")))
            .unwrap_or_else(|| panic!("ARCHITECTURE.md has no row for {name}"));
        let last = row.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        let told: BTreeSet<&str> = last.split('`').skip(1).step_by(2).collect();
        match last.trim() {
            "nothing" => assert!(allowed.is_empty(), "{name}"),
            "all" => assert_eq!(allowed.len(), ARROWS.len() - 1, "{name}"),
            _ => assert_eq!(told, allowed.iter().copied().collect(), "{name}"),
        }
    }
}

#[test]
fn every_crate_keeps_the_lints_of_the_workspace() {
    for entry in fs::read_dir(root().join("crates")).expect("crates/ can be listed") {
        let manifest = entry.expect("crates/ can be listed").path().join("Cargo.toml");
        let text = fs::read_to_string(&manifest).expect("a manifest can be read");
        assert!(text.contains("[lints]\nworkspace = true"), "{}", manifest.display());
    }
}

#[test]
fn unsafe_stands_only_in_the_node_and_where_the_executor_enters_a_sandbox() {
    let allowed = ["crates/node", "crates/executor/src/namespaces.rs"].map(|p| root().join(p));
    let others = |file: &PathBuf| !allowed.iter().any(|place| file.starts_with(place));
    for file in all_rust_files().into_iter().filter(others) {
        let text = fs::read_to_string(&file).expect("a source file can be read");
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            // Put together here, or this file would find itself.
            let word = concat!("un", "safe");
            let opens = code.contains(&format!("{word} {{"))
                || code.contains(&format!("{word} fn"))
                || code.contains(&format!("{word} impl"))
                || code.contains(&format!("allow({word}_code"));
            assert!(!opens, "{}:{}: {line}", file.display(), number + 1);
        }
    }
}

#[test]
fn no_file_is_too_long_to_be_read_at_once() {
    for file in all_rust_files() {
        let lines = fs::read_to_string(&file).expect("a source file can be read").lines().count();
        assert!(lines <= LONGEST_FILE, "{} has {lines} lines: split it", file.display());
    }
}

#[test]
fn dependencies_are_found_in_every_form_a_manifest_allows() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\nengine.workspace = true\n\
                    # comment = 1\nkube = { workspace = true }\n[dev-dependencies.node]\nworkspace = true\n\
                    [target.'cfg(unix)'.dependencies]\nrustix = \"1\"\n[features]\na = []\n";
    let found = dependencies(manifest);
    let found: Vec<(&str, Purpose)> = found.iter().map(|(n, p)| (n.as_str(), *p)).collect();
    let [engine, kube, rustix] = ["engine", "kube", "rustix"].map(|name| (name, Purpose::Product));
    assert_eq!(found, [engine, kube, ("node", Purpose::Tests), rustix]);
}
