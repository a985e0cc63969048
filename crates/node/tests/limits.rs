//! Limits are kept by the kernel, for containers and for pods. They need root, and fail without it.

mod support;

use std::collections::BTreeMap;

use sandbank_node::runtime::{ContainerResize, Limits, Resize, Runtime};
use support::{Machine, eventually, log_lines};

const MEGABYTE: u64 = 1 << 20;

#[tokio::test]
async fn a_container_that_wants_too_much_memory_is_ended_and_says_why() {
    let mut machine = Machine::new().await;
    let pod = machine.pod();
    machine.runtime.start_pod(pod.clone()).await.expect("a pod");
    let greedy = ["dd", "if=/dev/zero", "of=/dev/null", "bs=128M", "count=1"];
    let mut setup = machine.container_of(&pod, "main", &greedy, |_| {});
    setup.limits.memory_bytes = Some(32 * MEGABYTE);
    machine.runtime.start_container(setup.clone()).await.expect("a container");
    let exit = machine.exit(&setup.id).await;
    assert_eq!((exit.code, exit.signal, exit.oom), (137, Some(9), true));
    // The same under a limit of the pod, and the shim goes on.
    machine.runtime.remove_pod(&pod.id).await.expect("removed");
    let mut pod = machine.pod();
    pod.limits.memory_bytes = Some(32 * MEGABYTE);
    machine.runtime.start_pod(pod.clone()).await.expect("a pod");
    let setup = machine.container_of(&pod, "main", &greedy, |_| {});
    machine.runtime.start_container(setup.clone()).await.expect("a container");
    assert!(machine.exit(&setup.id).await.oom);
    let modest = machine.container(&pod, "modest", "exit 0");
    machine.runtime.start_container(modest.clone()).await.expect("a container");
    let exit = machine.exit(&modest.id).await;
    assert_eq!((exit.code, exit.oom), (0, false));
    machine.clear().await;
}

#[tokio::test]
async fn a_signal_is_not_taken_for_want_of_memory() {
    let mut machine = Machine::new().await;
    let pod = machine.pod();
    machine.runtime.start_pod(pod.clone()).await.expect("a pod");
    let mut setup = machine.container_of(&pod, "main", &["sleep", "1000"], |_| {});
    setup.limits.memory_bytes = Some(32 * MEGABYTE);
    machine.runtime.start_container(setup.clone()).await.expect("a container");
    machine.runtime.signal(&setup.id, 9).await.expect("it runs");
    let exit = machine.exit(&setup.id).await;
    assert_eq!((exit.code, exit.signal, exit.oom), (137, Some(9), false));
    machine.runtime.signal(&setup.id, 9).await.expect("ending what has ended is no error");
    machine.clear().await;
}

#[tokio::test]
async fn a_container_cannot_have_more_processes_than_it_may() {
    let mut machine = Machine::new().await;
    let pod = machine.pod();
    machine.runtime.start_pod(pod.clone()).await.expect("a pod");
    let script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 100 & done; echo unreachable";
    let mut setup = machine.container(&pod, "main", script);
    setup.limits.pids = Some(8);
    machine.runtime.start_container(setup.clone()).await.expect("a container");
    let exit = machine.exit(&setup.id).await;
    assert_ne!(exit.code, 0);
    let lines = log_lines(&setup.log);
    assert!(lines.iter().any(|line| line.contains("Cannot fork")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("unreachable")), "{lines:?}");
    machine.clear().await;
}

#[tokio::test]
async fn limits_of_a_running_container_change_and_stay_changed_for_the_next_agent() {
    let mut machine = Machine::new().await;
    let mut pod = machine.pod();
    let small =
        Limits { cpu_millis: Some(200), memory_bytes: Some(96 * MEGABYTE), ..Limits::default() };
    pod.limits = small;
    machine.runtime.start_pod(pod.clone()).await.expect("a pod");
    let script = "held=$(head -c 40000000 /dev/zero | tr '\\0' a); echo ready; sleep 1000";
    let mut setup = machine.container(&pod, "main", script);
    setup.limits = small;
    let pid = machine.runtime.start_container(setup.clone()).await.expect("a container").pid;
    eventually("it has its memory", async || log_lines(&setup.log) == ["stdout F ready"]).await;

    let to = |limits: Limits| Resize {
        limits,
        containers: BTreeMap::from([(
            "main".to_owned(),
            ContainerResize {
                limits,
                annotations: BTreeMap::from([("note".to_owned(), format!("{limits:?}"))]),
            },
        )]),
    };
    let large =
        Limits { cpu_millis: Some(400), memory_bytes: Some(256 * MEGABYTE), ..Limits::default() };
    machine.runtime.resize(&pod.id, to(large)).await.expect("it grows");
    machine.restart().await;
    let held = machine.runtime.pods().await.expect("pods are found").remove(0);
    let container = &held.containers["main"];
    assert_eq!((held.setup.limits, container.setup.limits, container.pid), (large, large, pid));
    assert_eq!(container.setup.annotations["note"], format!("{large:?}"));

    machine.runtime.resize(&pod.id, to(small)).await.expect("it shrinks");
    let tiny = Limits { memory_bytes: Some(16 * MEGABYTE), ..small };
    let refused = machine.runtime.resize(&pod.id, to(tiny)).await.expect_err("it uses more");
    assert!(refused.to_string().contains("more than the new limit of 16777216"), "{refused}");
    let held = machine.runtime.pods().await.expect("pods are found").remove(0);
    assert_eq!((held.setup.limits, held.containers["main"].setup.limits), (small, small));
    assert_eq!(held.containers["main"].exit, None);
    let gone = Resize {
        containers: BTreeMap::from([("other".to_owned(), Default::default())]),
        limits: small,
    };
    machine.runtime.resize(&pod.id, gone).await.expect_err("there is no such container");
    machine.clear().await;
}

#[tokio::test]
async fn a_container_gets_its_part_of_a_processor_and_no_more() {
    let mut machine = Machine::new().await;
    let pod = machine.pod();
    machine.runtime.start_pod(pod.clone()).await.expect("a pod");
    let mut setup = machine.container(&pod, "main", "while :; do :; done");
    setup.limits = Limits { cpu_millis: Some(100), cpu_request_millis: Some(50), ..setup.limits };
    let state = machine.runtime.start_container(setup.clone()).await.expect("a container");
    // Until it was held back in ten periods of 100 ms, in which it may run for 10 ms each. Ticks are 10 ms.
    let used = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", state.pid)).expect("it runs");
        let fields: Vec<&str> = stat.rsplit(')').next().expect("a name").split(' ').collect();
        let ticks = |n: usize| fields[n].parse::<u64>().expect("a number");
        ticks(12) + ticks(13)
    };
    let begun = std::time::Instant::now();
    eventually("it runs for some time", async || used() >= 10).await;
    let wall = begun.elapsed();
    assert!(
        wall.as_millis() >= 700,
        "100 ms of work took only {wall:?} with a tenth of a processor"
    );
    machine.clear().await;
}
