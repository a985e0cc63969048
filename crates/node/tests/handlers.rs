//! A RuntimeClass names another OCI runtime of the machine. Here it is a script that speaks the common command line; the same was
//! shown with crun, runc and runsc. Needs root, and fails without it.

mod support;

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::Path};

use sandbank_node::runtime::{ExecSetup, Runtime, RuntimeError};
use support::{Machine, eventually, log_lines, outcome};

const SCRIPT: &str = r#"#!/bin/sh
here=$(dirname "$0")
verb=
for last; do :; done
while [ $# -gt 0 ]; do
  case $1 in
    --pid-file) pid_file=$2; shift ;;
    --root|--log|--bundle|--process|--console-socket) shift ;;
    create|start|exec|kill|delete) [ -n "$verb" ] || verb=$1 ;;
  esac
  shift
done
echo "$verb" >> "$here/calls"
case $verb in
  create)
    mkfifo "$here/gate"
    (read go < "$here/gate"; echo "handled $last"; exec sleep 1000) &
    echo $! > "$pid_file"; echo $! > "$here/pid" ;;
  start) echo go > "$here/gate" ;;
  exec)
    (echo "ran in $last"; exit 4) &
    echo $! > "$pid_file" ;;
  kill) kill "-$last" "$(cat "$here/pid")" ;;
esac
"#;

#[tokio::test]
async fn another_runtime_makes_the_containers_and_the_shim_keeps_them() {
    let mut machine = Machine::new().await;
    let mut pod = machine.pod();
    let program = machine.dir.join("other-runtime");
    fs::write(&program, SCRIPT).expect("writable");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).expect("ours");
    pod.handler = Some(program.display().to_string());
    machine.runtime.start_pod(pod.clone()).await.expect("a pod");
    let setup = machine.container(&pod, "main", "the script does not look at it");
    machine.runtime.start_container(setup.clone()).await.expect("a container");
    eventually("its output is in the log", async || {
        log_lines(&setup.log) == ["stdout F handled main"]
    })
    .await;
    let command = ExecSetup {
        argv: vec!["anything".to_owned()],
        env: BTreeMap::new(),
        tty: false,
        stdin: false,
    };
    let streams = machine.runtime.exec(&setup.id, command).await.expect("it runs");
    let (out, _, exit) = outcome(streams, "").await;
    assert_eq!((out.as_str(), exit.code), ("ran in main\n", 4));
    machine.runtime.signal(&setup.id, 15).await.expect("it runs");
    assert_eq!(machine.exit(&setup.id).await.signal, Some(15));
    machine.runtime.remove_pod(&pod.id).await.expect("removed");
    assert_eq!(calls(&machine.dir), ["create", "start", "exec", "kill", "delete"]);
    machine.clear().await;
}

#[tokio::test]
async fn a_handler_that_is_not_there_is_refused_by_name() {
    let mut machine = Machine::new().await;
    for missing in ["no-such-runtime", "/no/such/runtime", "../sh"] {
        let mut pod = machine.pod();
        pod.handler = Some(missing.to_owned());
        let refused = machine.runtime.start_pod(pod).await.expect_err("it can't work");
        assert!(matches!(refused, RuntimeError::Unsupported(_)), "{refused:?}");
        assert!(refused.to_string().contains(missing), "{refused}");
    }
    assert_eq!(machine.runtime.holdings().await.expect("countable"), Default::default());
    machine.clear().await;
}

fn calls(dir: &Path) -> Vec<String> {
    let text = fs::read_to_string(dir.join("calls")).expect("it was called");
    text.lines().map(str::to_owned).collect()
}
