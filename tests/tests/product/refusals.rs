//! What keeps a server from starting is said clearly, with a way out and an exit code.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

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
struct Small<'a>(&'a Machine);

impl<'a> Small<'a> {
    fn on(machine: &'a Machine, options: &str) -> Self {
        fs::create_dir_all(machine.data()).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "sandbank-test"]).arg(machine.data());
        finished(&mut mount).ok();
        Self(machine)
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.data()).status();
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
fn a_full_directory_refuses_writes_and_starts_but_loses_nothing() {
    let machine = Machine::new();
    let small = Small::on(&machine, "size=64k");
    finished(&mut machine.up_command(&["--runtime", "fake"]))
        .refused(REFUSED, &["No space left", "free some space"]);
    drop(small);
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
