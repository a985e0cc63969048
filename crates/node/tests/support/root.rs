//! A root file system made from this machine's shell, for containers of tests.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// What a shell in a container may need. All of them are in every Debian.
const PROGRAMS: [&str; 18] = [
    "sh", "cat", "sleep", "ls", "head", "id", "stty", "tr", "env", "ps", "hostname", "mkdir", "dd",
    "readlink", "grep", "tail", "true", "mknod",
];

/// The root file system: programs of this machine and the libraries they need. Made once, in cargo's folder for such things.
pub fn folder() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let root = scratch.join("container-root-2");
        if !root.exists() {
            let draft = scratch.join(format!("container-root-draft-{}", std::process::id()));
            fill_root(&draft);
            if fs::rename(&draft, &root).is_err() {
                // Another test program was faster.
                fs::remove_dir_all(&draft).expect("it is ours");
            }
        }
        root
    })
}

fn fill_root(root: &Path) {
    for folder in ["bin", "lib", "lib64", "etc", "dev", "proc", "sys", "tmp", "root"] {
        fs::create_dir_all(root.join(folder)).expect("a fresh folder");
    }
    for program in PROGRAMS {
        let path = find(program);
        fs::copy(&path, root.join("bin").join(program)).expect("a readable program");
        let list = Command::new("ldd").arg(&path).output().expect("ldd is part of the C library");
        for word in String::from_utf8_lossy(&list.stdout).split_whitespace() {
            if word.starts_with('/') {
                let place = root.join(word.trim_start_matches('/'));
                fs::create_dir_all(place.parent().expect("a folder")).expect("writable");
                fs::copy(word, place).expect("a readable library");
            }
        }
    }
    let users = "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/tmp:\n";
    fs::write(root.join("etc/passwd"), users).expect("writable");
}

fn find(program: &str) -> PathBuf {
    ["/bin", "/usr/bin", "/sbin", "/usr/sbin"]
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{program} is not on this machine"))
}
