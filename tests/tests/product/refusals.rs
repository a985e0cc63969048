//! What keeps a server from starting is said clearly, with a way out and an exit code.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Command};

use rustix::process::Signal;

use crate::machine::{Machine, binary, eventually, finished};

/// The exit code of a refusal.
const REFUSED: i32 = 6;

#[test]
fn a_directory_and_a_port_have_one_server() {
    let machine = Machine::with_server();
    let pid = machine.server_pid().to_string();
    finished(&mut machine.up_command(&[]))
        .refused(REFUSED, &["data directory", &pid, "sandbank down"]);

    let other = machine.path().join("other");
    let mut command = machine.command(binary());
    command.args(["up", "--listen", machine.address(), "--data-dir"]).arg(&other);
    finished(&mut command).refused(REFUSED, &[machine.address(), "in use", "--listen"]);
    // The one that runs took no harm.
    machine.kubectl("get nodes").ok();
}

#[test]
fn containers_need_root_and_the_answer_says_what_does_not() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    // Where another user may run it from; the folder it was built in need not be theirs to read.
    let copy = folder.path().join("sandbank");
    fs::copy(binary(), &copy).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(copy);
    command.args(["up", "--listen", "127.0.0.1:0", "--data-dir"]).arg(folder.path().join("data"));
    finished(&mut command).refused(REFUSED, &["needs root", "--runtime fake"]);
    assert!(!folder.path().join("data").exists(), "a refused start leaves nothing");
}

/// A small file system at the data directory, until it is dropped.
struct Small(PathBuf);

impl Small {
    fn on(machine: &Machine, options: &str) -> Self {
        fs::create_dir_all(machine.data()).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "sandbank-test"]).arg(machine.data());
        finished(&mut mount).ok();
        Self(machine.data())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_read_only_directory_is_refused() {
    let machine = Machine::new();
    let _small = Small::on(&machine, "ro,size=1m");
    finished(&mut machine.up_command(&[]))
        .refused(REFUSED, &["Read-only file system", "--data-dir"]);
}

#[test]
fn a_full_directory_is_refused_at_the_start_and_refuses_writes_later() {
    let mut machine = Machine::new();
    let small = Small::on(&machine, "size=64k");
    finished(&mut machine.up_command(&["--runtime", "fake"]))
        .refused(REFUSED, &["No space left", "free some space"]);
    drop(small);

    let _small = Small::on(&machine, "size=16m");
    machine.up(&["--runtime", "fake"]);
    machine.kubectl("create configmap before --from-literal=a=b").ok();
    // The store has room of its own to reuse, so it takes some writes to reach the end.
    let ballast = machine.data().join("ballast");
    let mut filler = machine.command("dd");
    filler.args(["if=/dev/zero", "bs=4k"]).arg(format!("of={}", ballast.display()));
    finished(&mut filler).refused(1, &["No space left"]);
    let letters = "x".repeat(100_000);
    let refusal = (0..200)
        .map(|n| machine.kubectl(&format!("create configmap big-{n} --from-literal=a={letters}")));
    let refusal = refusal.into_iter().find(|said| said.code != 0).expect("a full disk ends it");
    assert!(refusal.err.contains("No space left"), "{refusal:?}");
    // Reads go on, and with room again so do writes, in the next server at the latest.
    machine.kubectl("get configmap before").ok();
    fs::remove_file(&ballast).unwrap();
    machine.signal_server(Signal::TERM);
    machine.up(&["--runtime", "fake"]);
    machine.kubectl("get configmap before").ok();
    machine.kubectl("create configmap after --from-literal=a=b").ok();
    machine.signal_server(Signal::TERM);
}

#[test]
fn a_damaged_store_is_refused_and_kept() {
    let mut machine = Machine::new();
    machine.up(&["--runtime", "fake"]);
    machine.signal_server(Signal::TERM);
    let store = machine.data().join("objects.redb");
    let good = fs::read(&store).unwrap();
    fs::write(&store, vec![0x5a; good.len()]).unwrap();
    finished(&mut machine.up_command(&["--runtime", "fake"]))
        .refused(REFUSED, &["objects.redb", "damaged", "sandbank reset"]);
    assert_eq!(fs::read(&store).unwrap(), vec![0x5a; good.len()], "the file is evidence");

    fs::write(&store, good).unwrap();
    machine.up(&["--runtime", "fake"]);
    eventually("the node", || machine.kubectl("get nodes").out.contains("Ready").then_some(()));
}
