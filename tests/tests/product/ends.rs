//! The ends a server can have by request: stopped, down, reset.

use rustix::process::Signal;

use crate::{
    crash::{POOL, pool_is_full},
    machine::{Machine, binary, eventually},
};

fn started_at(machine: &Machine, pod: &str) -> String {
    let pod = machine.get(&format!("pod/{pod}"));
    pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"].to_string()
}

#[test]
fn a_stop_leaves_the_pods_down_ends_them_and_reset_removes_all() {
    let mut machine = Machine::with_server();
    machine.apply(POOL);
    pool_is_full(&machine, "small", 2);
    let claim = machine.ask("claim --pool small --name mine --wait");
    let sandbox = claim["sandbox"].as_str().unwrap().to_owned();
    machine.exec(&sandbox, "sleep 3600 & echo $! > /pid");
    let pid = machine.exec(&sandbox, "cat /pid");
    pool_is_full(&machine, "small", 2);

    for signal in [Signal::TERM, Signal::INT] {
        let end = machine.signal_server(signal);
        assert_eq!(
            end.code(),
            Some(0),
            "{signal:?} is a request, not a failure\n{}",
            machine.log()
        );
        machine.up(&[]);
        machine.wait_ready(&format!("pod/{sandbox}"));
        machine.exec(&sandbox, &format!("kill -0 {pid}"));
    }

    // Down ends every process but keeps the objects, and the next server starts the pods again.
    let before = started_at(&machine, &sandbox);
    let remains = machine.remains();
    assert!(remains.list().iter().any(|line| line.starts_with("control group")));
    let data = machine.data();
    let down = machine.run(binary(), &["down".as_ref(), "--data-dir".as_ref(), data.as_os_str()]);
    assert!(down.ok().contains("stopped the server and 3 of its pods"));
    assert_eq!(machine.server_ended().code(), Some(0));
    eventually("the end of all processes", || {
        let left = remains.list();
        let ours = |line: &&String| {
            line.starts_with("process")
                || line.starts_with("control group")
                || line.starts_with("mount")
        };
        (!left.iter().any(|line| ours(&line))).then_some(())
    });
    // Once more, in the other form.
    let again = machine.ask(&format!("down --data-dir {}", data.display()));
    assert_eq!((&again["serverStopped"], &again["podsStopped"]), (&false.into(), &0.into()));
    machine.up(&[]);
    machine.kubectl("wait sandboxclaim/mine --for=condition=Ready --timeout=60s").ok();
    machine.wait_ready(&format!("pod/{sandbox}"));
    assert_eq!(machine.get("sandboxclaim/mine")["status"]["sandbox"]["name"], sandbox.as_str());
    assert_ne!(started_at(&machine, &sandbox), before);
    assert_eq!(machine.exec(&sandbox, "echo again"), "again");
    pool_is_full(&machine, "small", 2);

    machine.reset().expect("it was used").ok();
    assert!(!machine.data().exists());
}
