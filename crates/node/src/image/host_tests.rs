//! What the machine's own image shows of the machine, and what it doesn't. The machine here is a small copy made for the test.

use super::*;

fn write(path: &Path, content: &str, mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn machine() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap().join("machine");
    write(&root.join("usr/bin/tool"), "tool", 0o755);
    write(&root.join("opt/sandbank/data/secret"), "data dir", 0o644);
    write(&root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n", 0o644);
    write(&root.join("etc/shadow"), "hash", 0o640);
    write(&root.join("etc/ssh/ssh_host_key.pub"), "key", 0o644);
    write(&root.join("etc/app/token"), "token", 0o600);
    write(&root.join("etc/app/settings"), "settings", 0o644);
    write(&root.join("root/.ssh/id"), "id", 0o644);
    write(&root.join("home/someone/notes"), "notes", 0o644);
    write(&root.join("var/lib/db/secret"), "secret", 0o644);
    write(&root.join("unheard-of/secret"), "secret", 0o644);
    symlink("usr/bin", root.join("bin")).unwrap();
    (dir, root)
}

#[test]
fn only_what_is_listed_shows() {
    let (dir, root) = machine();
    let host = Host::new(dir.path().join("host"), vec![root.join("opt/sandbank/data")]);
    let image = host.build(&root).unwrap();
    let [layer] = &image.layers[..] else { panic!("one layer: {image:?}") };

    assert_eq!(fs::read_to_string(layer.join("etc/app/settings")).unwrap(), "settings");
    assert_eq!(fs::read_link(layer.join("bin")).unwrap(), Path::new("usr/bin"));
    for gone in [
        "etc/shadow",
        "etc/ssh",
        "etc/app/token",
        "root/.ssh",
        "home/someone",
        "var/lib/db",
        "unheard-of",
    ] {
        assert!(fs::symlink_metadata(layer.join(gone)).is_err(), "{gone} shows");
    }
    let at: Vec<_> = image.trees.iter().map(|t| t.at.to_string_lossy().into_owned()).collect();
    assert_eq!(at, ["opt", "usr"]);
}

#[test]
fn the_data_dir_is_whited_out_wherever_it_is() {
    use std::os::unix::fs::FileTypeExt as _;
    let (dir, root) = machine();
    let host = Host::new(dir.path().join("host"), vec![root.join("opt/sandbank/data")]);
    let image = host.build(&root).unwrap();
    let opt = image.trees.iter().find(|t| t.at == Path::new("opt")).unwrap();
    assert_eq!(opt.layers.len(), 2);
    let whiteout = fs::symlink_metadata(opt.layers[0].join("sandbank/data")).unwrap();
    assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0);
}

#[test]
fn an_unchanged_machine_gives_the_same_snapshot_and_a_changed_one_another() {
    let (dir, root) = machine();
    let host = Host::new(dir.path().join("host"), Vec::new());
    let first = host.build(&root).unwrap();
    assert_eq!(first.layers, host.build(&root).unwrap().layers);
    write(&root.join("etc/new"), "new", 0o644);
    assert_ne!(first.layers, host.build(&root).unwrap().layers);
}
