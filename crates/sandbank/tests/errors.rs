//! Bad surroundings and bad command lines, met by the real binary: each ends with its own exit code, one line of
//! what is wrong and one of what to do next, and nothing on standard output that a script could take for an answer.

#![allow(clippy::unwrap_used)] // here a panic is the answer

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// The binary as a user without any configuration runs it.
fn sandbank(home: &TempDir, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandbank"));
    command.env_clear().env("HOME", home.path());
    // Also keeps a server that runs on this machine out of the story.
    command.env("SANDBANK_DATA_DIR", home.path().join("data"));
    command.args(args);
    command
}

fn run(home: &TempDir, args: &[&str]) -> Output {
    sandbank(home, args).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// An address that nobody listens on.
fn dead_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

fn write_kubeconfig(path: &Path, server: &str) {
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
         clusters: [{{name: here, cluster: {{server: \"{server}\"}}}}]\n\
         users: [{{name: me, user: {{}}}}]\n\
         contexts: [{{name: here, context: {{cluster: here, user: me}}}}]\n"
    );
    std::fs::write(path, text).unwrap();
}

#[test]
fn without_a_kubeconfig_every_place_is_named_and_the_way_to_a_server() {
    let home = TempDir::new().unwrap();
    for args in [&["status"][..], &["pool", "ls"], &["claim", "--pool", "p"], &["release", "c"]] {
        let output = run(&home, args);
        let said = stderr(&output);
        assert_eq!(code(&output), 5, "{args:?}: {said}");
        assert!(said.contains("data/kubeconfig") && said.contains(".kube/config"), "{said}");
        assert!(said.contains("next: start a server with `sandbank up`"), "{said}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn a_server_that_does_not_answer_is_named_with_its_address() {
    let home = TempDir::new().unwrap();
    let address = dead_address();
    let kubeconfig = home.path().join("kubeconfig");
    write_kubeconfig(&kubeconfig, &format!("https://{address}"));
    let output = run(&home, &["status", "--kubeconfig", kubeconfig.to_str().unwrap()]);
    let said = stderr(&output);
    assert_eq!(code(&output), 5, "{said}");
    assert!(said.contains(&format!("cannot reach the server https://{address}")), "{said}");
    assert!(said.contains("refused") && said.contains("sandbank up"), "{said}");
}

#[test]
fn errors_are_json_too_when_asked_for() {
    let home = TempDir::new().unwrap();
    let output = run(&home, &["status", "-o", "json"]);
    let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["exitCode"], 5);
    assert!(error["error"].as_str().unwrap().contains("no kubeconfig"));
    assert!(error["next"].as_str().unwrap().contains("sandbank up"));
}

#[test]
fn a_kubeconfig_that_was_named_is_never_replaced_by_another() {
    let home = TempDir::new().unwrap();
    std::fs::create_dir(home.path().join("data")).unwrap();
    write_kubeconfig(&home.path().join("data/kubeconfig"), &format!("https://{}", dead_address()));
    let missing = home.path().join("missing");
    let by_flag = run(&home, &["status", "--kubeconfig", missing.to_str().unwrap()]);
    let by_variable = sandbank(&home, &["status"]).env("KUBECONFIG", &missing).output().unwrap();
    for output in [by_flag, by_variable] {
        assert_eq!(code(&output), 1, "{}", stderr(&output));
        assert!(stderr(&output).contains("missing"), "{}", stderr(&output));
    }
    let by_directory = run(&home, &["status", "--data-dir", missing.to_str().unwrap()]);
    assert_eq!(code(&by_directory), 5);
    assert!(stderr(&by_directory).contains("missing/kubeconfig"), "{}", stderr(&by_directory));
    assert!(!stderr(&by_directory).contains(".kube/config"), "{}", stderr(&by_directory));
}

#[test]
fn a_broken_kubeconfig_is_named_with_what_is_wrong() {
    let home = TempDir::new().unwrap();
    let kubeconfig = home.path().join("kubeconfig");
    let wrongs = [
        ("clusters: [", "YAML"),
        ("apiVersion: v1\nkind: Config\n", "current context"),
        ("apiVersion: v1\nkind: Config\ncurrent-context: nowhere\n", "nowhere"),
    ];
    for (text, named) in wrongs {
        std::fs::write(&kubeconfig, text).unwrap();
        let output = run(&home, &["status", "--kubeconfig", kubeconfig.to_str().unwrap()]);
        let said = stderr(&output);
        assert_eq!(code(&output), 1, "{said}");
        assert!(said.contains(kubeconfig.to_str().unwrap()) && said.contains(named), "{said}");
    }
}

#[test]
fn a_wrong_command_line_is_usage_and_nothing_is_tried() {
    let home = TempDir::new().unwrap();
    let wrongs: [&[&str]; 8] = [
        &[],
        &["clam"],
        &["claim"],
        &["claim", "--pool", "p", "--template", "t"],
        &["claim", "--pool", "p", "--wait", "--timeout", "soon"],
        &["exec", "c"],
        &["exec", "-t", "c", "--", "sh"],
        &["bench", "claims", "--pool", "p", "--rate", "0"],
    ];
    for args in wrongs {
        let output = run(&home, args);
        assert_eq!(code(&output), 2, "{args:?}: {}", stderr(&output));
        assert!(!output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn our_own_version_is_told_without_a_server() {
    let home = TempDir::new().unwrap();
    let output = run(&home, &["version", "--client", "-o", "json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let versions: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(versions["client"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_definitions_are_printed_without_a_server_in_both_forms() {
    let home = TempDir::new().unwrap();
    let text = run(&home, &["crds"]);
    let json = run(&home, &["crds", "-o", "json"]);
    assert_eq!((code(&text), code(&json)), (0, 0));
    let list: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    for crd in list["items"].as_array().unwrap() {
        let name = crd["metadata"]["name"].as_str().unwrap();
        assert!(text.contains(&format!("  name: {name}\n")), "{name}");
    }
    assert!(text.contains("kind: SandboxClaim\n"));
}

#[test]
fn every_shell_gets_a_completion_script() {
    let home = TempDir::new().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&home, &["completion", shell]);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert!(String::from_utf8_lossy(&output.stdout).contains("release"), "{shell}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let home = TempDir::new().unwrap();
    let mut child = sandbank(&home, &["completion", "bash"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), stderr(&output)), (0, String::new()));
}
