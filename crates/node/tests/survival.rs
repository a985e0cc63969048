//! Pods outlive their agent, networks connect them, and nothing leaks. These tests need root, and fail without it.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use sandbank_node::runtime::{ExecSetup, Holdings, PodNetwork, PodSetup, Runtime, RuntimeEvent};
use serde_json::json;
use support::{Machine, eventually, log_lines};
use tokio::io::AsyncReadExt;

#[tokio::test]
async fn pods_live_on_without_their_agent_and_the_next_one_learns_what_happened() {
    let mut machine = Machine::new().await;
    let pod = machine.pod();
    let ips = machine.runtime.start_pod(pod.clone()).await.expect("a pod");
    let steady = machine.container_of(&pod, "steady", &["sleep", "1000"], |_| {});
    let brief = machine.container(&pod, "brief", "read line; echo late words; exit 4");
    let mut brief = brief;
    brief.stdin = true;
    let pid = machine.runtime.start_container(steady.clone()).await.expect("a container").pid;
    machine.runtime.start_container(brief.clone()).await.expect("a container");
    // The agent is gone from here on: only the client of one stream is left, and it lets the container end.
    let mut streams = machine.runtime.attach(&brief.id, true).await.expect("it runs");
    machine.forget();
    let stdin = streams.stdin.as_mut().expect("asked for");
    tokio::io::AsyncWriteExt::write_all(stdin, b"go\n").await.expect("it reads");
    assert_eq!(streams.exit.await.expect("it ends").code, 4);

    machine.restart().await;
    let pods = machine.runtime.pods().await.expect("pods are found");
    assert_eq!(pods.len(), 1);
    assert_eq!((&pods[0].setup.id, &pods[0].ips), (&pod.id, &ips));
    let containers = &pods[0].containers;
    assert_eq!((containers["steady"].pid, &containers["steady"].exit), (pid, &None));
    assert_eq!(containers["brief"].exit.as_ref().expect("it has ended").code, 4);
    assert_eq!(log_lines(&brief.log), ["stdout F late words"]);
    let (out, _, _) = machine.run(&steady.id, "echo still here").await;
    assert_eq!(out, "still here\n");
    // Its address stays its own, and it is watched again.
    let other = machine.pod();
    assert_ne!(machine.runtime.start_pod(other).await.expect("a pod"), ips);
    machine.runtime.signal(&steady.id, 15).await.expect("it runs");
    machine.runtime.signal(&steady.id, 9).await.expect("it runs");
    assert_eq!(machine.exit(&steady.id).await.signal, Some(9));
    machine.clear().await;
}

#[tokio::test]
async fn a_pod_whose_shim_is_killed_is_reported_and_ended() {
    let mut machine = Machine::new().await;
    let pod = machine.pod();
    machine.runtime.start_pod(pod.clone()).await.expect("a pod");
    let setup = machine.container_of(&pod, "main", &["sleep", "1000"], |_| {});
    let state = machine.runtime.start_container(setup).await.expect("a container");
    kill(parent_of(state.pid));
    let lost = machine.events.recv().await.expect("the runtime lives");
    assert!(matches!(&lost, RuntimeEvent::PodLost(id) if *id == pod.id), "{lost:?}");
    assert!(!alive(state.pid), "nothing of the pod runs on unseen");
    machine.clear().await;
}

#[tokio::test]
async fn what_a_dead_shim_left_is_removed_by_the_next_agent() {
    let mut machine = Machine::new().await;
    let pod = machine.pod();
    machine.runtime.start_pod(pod.clone()).await.expect("a pod");
    let setup = machine.container_of(&pod, "main", &["sleep", "1000"], |_| {});
    let state = machine.runtime.start_container(setup).await.expect("a container");
    let shim = parent_of(state.pid);
    machine.forget();
    kill(shim);
    eventually("the shim is gone", async || !alive(shim)).await;
    machine.restart().await;
    assert!(machine.runtime.pods().await.expect("readable").is_empty());
    assert!(!alive(state.pid));
    eventually("nothing is held", async || {
        machine.runtime.holdings().await.expect("countable") == Default::default()
    })
    .await;
    machine.clear().await;
}

#[tokio::test]
async fn pods_are_reached_by_the_machine_and_by_each_other() {
    let mut machine = Machine::new().await;
    // A program of every Debian that listens: perl. The rest of the root file system has no server.
    let serve = "perl -MIO::Socket::INET -e '$s=IO::Socket::INET->new(LocalPort=>8080,Listen=>5,ReuseAddr=>1) or die; \
                 while($c=$s->accept){print $c \"hello from $ENV{NAME}\\n\";close $c}'";
    let ask = |ip: &str| {
        format!(
            "perl -MIO::Socket::INET -e '$s=IO::Socket::INET->new(PeerAddr=>\"{ip}:8080\",Timeout=>5) or die $!; print <$s>'"
        )
    };
    let mut pods = Vec::new();
    for name in ["one", "two"] {
        let pod = machine.pod();
        let ip = machine.runtime.start_pod(pod.clone()).await.expect("a pod")[0];
        let setup = machine.container_of(&pod, name, &["sh", "-c", serve], |spec| {
            for folder in ["/usr", "/lib", "/lib64", "/bin", "/etc/perl"] {
                let mount = json!({ "destination": folder, "type": "bind", "source": folder,
                    "options": ["rbind", "ro"] });
                spec["mounts"].as_array_mut().expect("a list").push(mount);
            }
            spec["process"]["env"] = json!(["PATH=/usr/bin:/bin", format!("NAME={name}")]);
        });
        machine.runtime.start_container(setup.clone()).await.expect("a container");
        pods.push((setup.id, ip));
    }
    for (name, (_, ip)) in ["one", "two"].iter().zip(&pods) {
        let mut heard = String::new();
        eventually("the machine reaches the pod", async || {
            heard.clear();
            match machine.runtime.connect(SocketAddr::new(*ip, 8080)).await {
                Ok(mut stream) => stream.read_to_string(&mut heard).await.is_ok(),
                Err(_) => false,
            }
        })
        .await;
        assert_eq!(heard, format!("hello from {name}\n"));
    }
    let (out, err, _) = machine.run(&pods[0].0, &ask(&pods[1].1.to_string())).await;
    assert_eq!((out.as_str(), err.as_str()), ("hello from two\n", ""));
    machine.clear().await;
}

#[tokio::test]
async fn a_pod_on_the_machine_s_network_has_no_address_of_its_own() {
    let mut machine = Machine::new().await;
    let mut pod = machine.pod();
    pod.network = PodNetwork::Host;
    let ips = machine.runtime.start_pod(pod.clone()).await.expect("a pod");
    assert!(ips.is_empty());
    let setup = machine.container_of(&pod, "main", &["sleep", "1000"], |_| {});
    machine.runtime.start_container(setup.clone()).await.expect("a container");
    let (out, _, _) = machine.run(&setup.id, "grep -c sandbank0 /proc/net/dev").await;
    assert_eq!(out, "1\n", "it sees the bridge");
    machine.clear().await;
}

#[tokio::test]
async fn nothing_leaks() {
    let mut machine = Machine::new().await;
    let before = machine.runtime.holdings().await.expect("countable");
    assert_eq!(before, Default::default());
    let mut ids = Vec::new();
    for shared in [false, true] {
        let mut pod = machine.pod();
        pod.share_processes = shared;
        machine.runtime.start_pod(pod.clone()).await.expect("a pod");
        let ended = machine.container(&pod, "ended", "exit 0");
        machine.runtime.start_container(ended.clone()).await.expect("a container");
        machine.exit(&ended.id).await;
        let failed = machine.container_of(&pod, "failed", &["nonsense"], |_| {});
        assert!(machine.runtime.start_container(failed).await.is_err());
        // Orphans, a command that runs, and a program that ignores polite signals.
        let stubborn = "trap '' TERM INT HUP; sleep 1000 & sleep 2000 & while :; do sleep 1; done";
        let setup = machine.container(&pod, "stubborn", stubborn);
        machine.runtime.start_container(setup.clone()).await.expect("a container");
        let command = ExecSetup {
            argv: ["sleep", "1000"].map(str::to_owned).to_vec(),
            env: BTreeMap::new(),
            tty: shared,
            stdin: true,
        };
        ids.push((pod.id, machine.runtime.exec(&setup.id, command).await.expect("it runs")));
    }
    let during = machine.runtime.holdings().await.expect("countable");
    assert!(during.groups > 8 && during.processes >= 8 && during.namespaces >= 10, "{during:?}");
    assert_eq!((during.interfaces, during.mounts, during.folders), (2, 0, 2), "{during:?}");
    for (id, streams) in ids {
        machine.runtime.remove_pod(&id).await.expect("removed");
        machine.runtime.remove_pod(&id).await.expect("removing twice is no error");
        drop(streams);
    }
    let after = machine.runtime.holdings().await.expect("countable");
    assert_eq!(after, before, "everything is gone when the answer comes");
    assert!(machine.has_traces(), "the tree of groups stays for the next pod");
    assert!(!machine.clear().await, "and goes when the runtime is dismantled");
}

fn parent_of(pid: i32) -> i32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:\t")).expect("a parent");
    line.parse().expect("a number")
}

fn alive(pid: i32) -> bool {
    // A zombie of this process has ended: it merely waits for its parent.
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")))
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_pods_start_at_once_in_a_busy_process() {
    // Threads that allocate all the time: a runtime that clones a threaded process hangs within some twenty starts.
    let busy = Arc::new(AtomicBool::new(true));
    let threads: Vec<_> = (0..8)
        .map(|n| {
            let busy = busy.clone();
            std::thread::spawn(move || {
                while busy.load(Ordering::Relaxed) {
                    drop(std::hint::black_box(vec![n; 4096]));
                    std::thread::yield_now();
                }
            })
        })
        .collect();
    let mut machine = Machine::prepared(3).await;
    let pods: Vec<_> = (0..12).map(|_| machine.pod()).collect();
    let start = async |pod: &PodSetup| {
        let ips = machine.runtime.start_pod(pod.clone()).await.expect("a pod");
        let setup = machine.container_of(pod, "main", &["sleep", "1000"], |_| {});
        machine.runtime.start_container(setup.clone()).await.expect("a container");
        let (out, _, _) = machine.run(&setup.id, "hostname").await;
        assert_eq!(out, "testpod\n");
        ips[0]
    };
    let addresses: BTreeSet<_> =
        futures::future::join_all(pods.iter().map(start)).await.into_iter().collect();
    busy.store(false, Ordering::Relaxed);
    for thread in threads {
        thread.join().expect("it only allocates");
    }
    assert_eq!(addresses.len(), pods.len(), "every pod has an address of its own");
    for id in pods.iter().map(|pod| &pod.id) {
        machine.runtime.remove_pod(id).await.expect("removed");
    }
    eventually("what is prepared is all that is left", async || {
        let holdings = machine.runtime.holdings().await.expect("countable");
        holdings == Holdings { interfaces: 3, ..Holdings::default() }
    })
    .await;
    machine.clear().await;
}
