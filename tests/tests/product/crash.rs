//! `kill -9` of the server: the sandboxes live on, and nothing that was acknowledged is lost.

use std::{
    collections::BTreeSet,
    fs,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::machine::{Machine, eventually};

pub const POOL: &str = r#"
apiVersion: extensions.agents.x-k8s.io/v1beta1
kind: SandboxTemplate
metadata: {name: small}
spec:
  podTemplate:
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: c, image: host, command: [sleep, "3600"]}]
---
apiVersion: extensions.agents.x-k8s.io/v1beta1
kind: SandboxWarmPool
metadata: {name: small}
spec: {replicas: 2, sandboxTemplateRef: {name: small}}
"#;

pub fn pool_is_full(machine: &Machine, pool: &str, count: u32) {
    let wait =
        format!("wait swp/{pool} --for=jsonpath={{.status.readyReplicas}}={count} --timeout=60s");
    machine.kubectl(&wait).ok();
}

/// The first process of a pod's container as this machine sees it, and when it started.
///
/// Asked of the pod's processes and not of the server, which may be gone.
fn processes_of(machine: &Machine) -> BTreeSet<(i32, String)> {
    let data = machine.data().to_string_lossy().into_owned();
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc").unwrap().map_while(Result::ok) {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let read =
            |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        // A pod's shim names its folder; all its containers' processes are its children.
        let shim = |pid: &str| {
            fs::read_to_string(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|words| words.contains("__shim") && words.contains(&data))
        };
        let stat = read("stat");
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let Some(parent) = fields.get(1) else { continue };
        if shim(&pid.to_string()) || shim(parent) {
            // Field 22 of the line, counted from the state that follows the name, is the time of the start.
            found.insert((pid, fields.get(19).unwrap_or(&"").to_string()));
        }
    }
    found
}

#[test]
fn sandboxes_outlive_a_killed_server_and_are_adopted_by_the_next() {
    let mut machine = Machine::with_server();
    machine.apply(POOL);
    pool_is_full(&machine, "small", 2);
    let claimed = machine.ask("claim --pool small --name mine --wait");
    let sandbox = claimed["sandbox"].as_str().unwrap().to_owned();
    pool_is_full(&machine, "small", 2);
    machine.exec(&sandbox, "echo written before > /note");
    let started = |machine: &Machine| {
        machine.get(&format!("pod/{sandbox}"))["status"]["containerStatuses"][0].clone()
    };
    let before = (processes_of(&machine), started(&machine));
    assert!(before.0.len() >= 6, "three pods, each a shim and a container: {:?}", before.0);

    machine.signal_server(Signal::KILL);
    assert_eq!(processes_of(&machine), before.0, "the pods don't need the server");
    machine.up(&[]);
    machine.wait_ready(&format!("pod/{sandbox}"));
    assert_eq!(machine.exec(&sandbox, "cat /note"), "written before");
    let claim = machine.get("sandboxclaim/mine");
    assert_eq!(claim["status"]["sandbox"]["name"], Value::from(sandbox.clone()));
    pool_is_full(&machine, "small", 2);
    assert_eq!(started(&machine), before.1, "not restarted");
    assert_eq!(processes_of(&machine), before.0, "the same processes with the same start");

    // What was adopted is watched as before: its end is noticed.
    machine.sandbank("release mine").ok();
    machine.kubectl(&format!("wait pod/{sandbox} --for=delete --timeout=60s")).ok();
}

/// A pod that is changed while it runs.
const CHANGED: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: changed}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: c, image: host, command: [sleep, "3600"], resources: {limits: {cpu: 200m, memory: 64Mi}}}
  - {name: other, image: host, command: [sleep, "3600"], resources: {limits: {cpu: 200m, memory: 64Mi}}}
"#;

#[test]
fn what_was_changed_in_place_is_known_to_the_server_after_a_killed_one() {
    let mut machine = Machine::with_server();
    machine.apply(CHANGED);
    machine.wait_ready("pod/changed");
    let containers = |machine: &Machine| {
        machine.get("pod/changed")["status"]["containerStatuses"].as_array().unwrap().clone()
    };
    let ready_as = |machine: &Machine, image: &str, restarts: u32| {
        eventually(&format!("{image} after {restarts} restarts"), || {
            let c = containers(machine)[0].clone();
            let wanted = c["image"] == image && c["restartCount"] == restarts;
            (wanted && c["ready"] == true).then_some(c)
        })
    };
    let other = containers(&machine)[1].clone();
    let resize = r#"patch pod changed --subresource=resize -p '{"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":"300m","memory":"96Mi"},"requests":{"cpu":"300m","memory":"96Mi"}}}]}}'"#;
    machine.kubectl(resize).ok();
    eventually("the resize is done", || {
        (containers(&machine)[0]["resources"]["limits"]["memory"] == "96Mi").then_some(())
    });
    // Another name of the same image.
    machine.kubectl("set image pod/changed c=sandbank/host").ok();
    let before = ready_as(&machine, "sandbank/host", 1);
    assert_eq!(before["resources"]["limits"]["cpu"], "300m", "a restart keeps it");

    machine.signal_server(Signal::KILL);
    let processes = processes_of(&machine);
    machine.up(&[]);
    machine.wait_ready("pod/changed");
    assert_eq!(containers(&machine), [before, other.clone()], "nothing was done again");
    assert_eq!(processes_of(&machine), processes);

    // Killed with the work half done, wherever that is.
    machine.kubectl("set image pod/changed c=host").ok();
    machine.signal_server(Signal::KILL);
    machine.up(&[]);
    ready_as(&machine, "host", 2);
    assert_eq!(containers(&machine)[1], other, "the other container is as it was");
}

/// Pods that are asked for nothing but to be there.
const LONELY: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: orphaned}
spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: host, command: [sleep, "3600"]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: unwatched}
spec: {terminationGracePeriodSeconds: 1, containers: [{name: c, image: host, command: [sleep, "3600"]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: crashing}
spec: {containers: [{name: c, image: host, command: [sh, -c, "exit 3"]}]}
"#;

/// The process that keeps a pod, and those of its containers.
fn keeper_of(machine: &Machine, pod: &str) -> (Pid, Vec<Pid>) {
    let uid = machine.get(&format!("pod/{pod}"))["metadata"]["uid"].as_str().unwrap().to_owned();
    let mine = processes_of(machine).into_iter().filter_map(|(pid, _)| Pid::from_raw(pid));
    let mine: Vec<Pid> = mine.collect();
    let is_keeper = |pid: &&Pid| {
        let words = fs::read_to_string(format!("/proc/{}/cmdline", pid.as_raw_nonzero()));
        words.is_ok_and(|words| words.contains("__shim") && words.contains(&uid))
    };
    let keeper = *mine.iter().find(is_keeper).expect("each pod has a process that keeps it");
    let is_child = |pid: &Pid| {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        let stat = stat.unwrap_or_default();
        let parent =
            stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)).map(str::to_owned);
        parent == Some(keeper.as_raw_nonzero().to_string())
    };
    (keeper, mine.into_iter().filter(is_child).collect())
}

#[test]
fn what_dies_behind_the_servers_back_is_started_again() {
    let mut machine = Machine::with_server();
    machine.apply(LONELY);
    machine.wait_ready("pod/orphaned pod/unwatched");
    let restarts = |machine: &Machine, pod: &str| {
        machine.get(&format!("pod/{pod}"))["status"]["containerStatuses"][0]["restartCount"]
            .as_u64()
    };

    // The process that keeps a pod is killed, as a machine without memory does it.
    let (keeper, _) = keeper_of(&machine, "orphaned");
    kill_process(keeper, Signal::KILL).unwrap();
    eventually("a pod with a new keeper", || {
        (restarts(&machine, "orphaned") == Some(1)).then_some(())
    });
    machine.wait_ready("pod/orphaned");
    assert_eq!(machine.exec("orphaned", "echo back"), "back");

    // A container ends while nobody watches.
    let (_, children) = keeper_of(&machine, "unwatched");
    machine.signal_server(Signal::KILL);
    for child in children {
        kill_process(child, Signal::KILL).unwrap();
    }
    machine.up(&[]);
    eventually("the next start", || (restarts(&machine, "unwatched") == Some(1)).then_some(()));
    machine.wait_ready("pod/unwatched");
    // One that waits for its next start is not counted twice: the id of its last run ends with the number of that run.
    let waiting = eventually("a container that waits", || {
        let status = machine.get("pod/crashing")["status"]["containerStatuses"][0].clone();
        (status["state"]["waiting"]["reason"] == "CrashLoopBackOff").then_some(status)
    });
    let last = waiting["lastState"]["terminated"]["containerID"].as_str().unwrap();
    assert_eq!(last.rsplit('.').next().unwrap(), waiting["restartCount"].to_string());
}

#[test]
fn what_was_acknowledged_survives_being_killed_again_and_again() {
    let mut machine = Machine::with_server();
    let mut acknowledged = BTreeSet::new();
    for round in 0..3 {
        let stop = AtomicBool::new(false);
        let pid = Pid::from_raw(machine.server_pid()).unwrap();
        let made = std::thread::scope(|scope| {
            let (machine, stop) = (&machine, &stop);
            let writer = scope.spawn(move || {
                let mut made = Vec::new();
                for n in 0.. {
                    let name = format!("r{round}-{n}");
                    let said =
                        machine.kubectl(&format!("create configmap {name} --from-literal=n={n}"));
                    if said.code == 0 {
                        made.push(name);
                    }
                    if made.len() == 3 {
                        stop.store(true, Ordering::SeqCst);
                    }
                    if said.code != 0 {
                        return made;
                    }
                }
                made
            });
            eventually("three writes", || stop.load(Ordering::SeqCst).then_some(()));
            kill_process(pid, Signal::KILL).unwrap();
            writer.join().unwrap()
        });
        acknowledged.extend(made);
        machine.server_ended();
        machine.up(&[]);
        let list = machine.get("configmaps");
        let there: BTreeSet<String> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
            .collect();
        let lost: Vec<_> = acknowledged.difference(&there).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    }
    assert!(acknowledged.len() >= 9);
}
