//! The runtime that only pretends: it takes its time, tokio's time, and admits what it is.

use std::{path::PathBuf, time::Duration};

use sandbank_node::runtime::{
    ContainerId, ContainerSetup, ExecSetup, FakeRuntime, Limits, PodId, PodNetwork, PodSetup,
    Runtime, RuntimeError, RuntimeEvent,
};

fn pod(name: &str) -> PodSetup {
    PodSetup {
        id: PodId(name.to_owned()),
        namespace: "default".to_owned(),
        name: name.to_owned(),
        hostname: name.to_owned(),
        dir: PathBuf::from("/nowhere"),
        network: PodNetwork::Own,
        share_processes: false,
        limits: Limits::default(),
        mounts: Vec::new(),
        handler: None,
    }
}

fn container(pod: &PodSetup) -> ContainerSetup {
    ContainerSetup {
        id: ContainerId { pod: pod.id.clone(), name: "main".to_owned() },
        attempt: 0,
        bundle: PathBuf::from("/nowhere"),
        mounts: Vec::new(),
        log: PathBuf::from("/nowhere/0.log"),
        tty: false,
        stdin: false,
        limits: Limits::default(),
        annotations: Default::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn containers_are_ready_after_the_set_delay_of_paused_time() {
    let fake = FakeRuntime::new(Duration::from_secs(30));
    let (one, two) = (pod("one"), pod("two"));
    let first = fake.start_pod(one.clone()).await.expect("always works");
    let second = fake.start_pod(two.clone()).await.expect("always works");
    assert_ne!(first, second);
    assert_eq!(fake.start_pod(one.clone()).await.expect("it is there"), first);
    let begun = tokio::time::Instant::now();
    let (a, b) =
        tokio::join!(fake.start_container(container(&one)), fake.start_container(container(&two)));
    assert!(a.is_ok() && b.is_ok());
    assert_eq!(begun.elapsed(), Duration::from_secs(30), "both at once");
    assert_eq!(fake.pods().await.expect("always works").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_signal_ends_a_container_once_and_a_removed_pod_starts_nothing() {
    let fake = FakeRuntime::new(Duration::ZERO);
    let mut events = fake.events();
    let pod = pod("one");
    let setup = container(&pod);
    fake.start_pod(pod.clone()).await.expect("always works");
    fake.start_container(setup.clone()).await.expect("always works");
    fake.signal(&setup.id, 15).await.expect("always works");
    fake.signal(&setup.id, 9).await.expect("ending what has ended is no error");
    match events.recv().await {
        Some(RuntimeEvent::Exited(id, exit)) => {
            assert_eq!((id, exit.code, exit.signal), (setup.id.clone(), 143, Some(15)));
        }
        other => panic!("{other:?}"),
    }
    fake.remove_pod(&pod.id).await.expect("always works");
    assert!(events.try_recv().is_err(), "nothing else happened");
    let late = fake.start_container(setup).await;
    assert!(matches!(late, Err(RuntimeError::NotRunning(_))));
}

#[tokio::test(start_paused = true)]
async fn it_does_not_pretend_to_run_commands() {
    let fake = FakeRuntime::new(Duration::ZERO);
    let pod = pod("one");
    let setup = container(&pod);
    fake.start_pod(pod).await.expect("always works");
    fake.start_container(setup.clone()).await.expect("always works");
    let command = ExecSetup {
        argv: vec!["true".to_owned()],
        env: Default::default(),
        tty: false,
        stdin: false,
    };
    let refused = fake.exec(&setup.id, command).await.map(drop).expect_err("there is nothing");
    assert!(matches!(refused, RuntimeError::Unsupported(_)));
    assert!(refused.to_string().contains("--runtime fake"), "{refused}");
}
