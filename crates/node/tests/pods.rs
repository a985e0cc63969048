//! Real pods on this machine. They need root, and fail without it.

mod support;

use sandbank_node::runtime::Runtime;
use support::{Machine, log_lines};

#[tokio::test]
async fn a_container_runs_writes_its_log_and_says_how_it_ended() {
    let mut machine = Machine::new().await;
    let pod = machine.pod();
    let ips = machine.runtime.start_pod(pod.clone()).await.expect("a pod");
    assert_eq!(ips.len(), 1);
    let setup = machine.container(
        &pod,
        "main",
        "echo $GREETING from $(hostname); echo $(readlink /proc/self/cwd) >&2; exit 7",
    );
    let state = machine.runtime.start_container(setup.clone()).await.expect("a container");
    assert!(state.exit.is_none());
    let exit = machine.exit(&setup.id).await;
    assert_eq!((exit.code, exit.signal, exit.oom), (7, None, false));
    let mut lines = log_lines(&setup.log);
    lines.sort();
    assert_eq!(lines, ["stderr F /tmp", "stdout F hello from testpod"]);
    machine.clear().await;
}
