//! The main job: a template, a pool, claims, and everything one does with them by kubectl.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::machine::{Listening, Machine, eventually, finished};

fn quickstart(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/quickstart").join(file)
}

fn apply(machine: &Machine, file: &str) {
    machine.run("kubectl", &["apply".as_ref(), "-f".as_ref(), quickstart(file).as_os_str()]).ok();
}

fn wait_for_ready_replicas(machine: &Machine, count: u32) {
    let wait = format!(
        "wait swp/quickstart --for=jsonpath={{.status.readyReplicas}}={count} --timeout=60s"
    );
    machine.kubectl(&wait).ok();
}

/// The sandbox of a claim that is ready.
fn sandbox_of(machine: &Machine, claim: &str) -> String {
    machine.kubectl(&format!("wait sandboxclaim/{claim} --for=condition=Ready --timeout=60s")).ok();
    let name = machine.get(&format!("sandboxclaim/{claim}"))["status"]["sandbox"]["name"].clone();
    name.as_str().expect("a ready claim names its sandbox").to_owned()
}

/// The template version each warm pod was made from.
fn warm_versions(machine: &Machine) -> Vec<Value> {
    let pods = machine.get("pods -l agents.x-k8s.io/warm-pool-sandbox");
    let version = |pod: &Value| pod["spec"]["containers"][0]["env"][0]["value"].clone();
    pods["items"].as_array().unwrap().iter().map(version).collect()
}

#[test]
fn the_main_job_from_an_empty_machine_to_a_deleted_claim() {
    let machine = Machine::with_server();
    apply(&machine, "");
    wait_for_ready_replicas(&machine, 3);
    let table = machine.kubectl("get sandboxwarmpools").ok();
    assert!(table.starts_with("NAME") && table.contains("quickstart"), "{table}");

    claimed_and_used(&machine);
    rolled_and_never_empty(&machine);
    suspended_and_resumed(&machine);
    scaled(&machine);
    given_back(&machine);
}

fn claimed_and_used(machine: &Machine) {
    let warm: Vec<String> = names(machine, "sandboxes");
    apply(machine, "next/claim.yaml");
    let sandbox = sandbox_of(machine, "first");
    assert!(warm.contains(&sandbox), "a warm one was there: {sandbox} is none of {warm:?}");

    // The pod has the name of its sandbox.
    assert_eq!(machine.exec(&sandbox, "echo $TEMPLATE_VERSION; hostname"), format!("1\n{sandbox}"));
    machine.kubectl(&format!("exec {sandbox} -- sh -c 'exit 7'")).refused(7, &["exit code 7"]);
    let said = crate::machine::finished_with(
        machine.command("kubectl").args(["exec", "-i", &sandbox, "--", "cat"]),
        "through standard input",
    );
    assert_eq!(said.ok(), "through standard input");
    let typed = machine.run(
        "script",
        &[
            "-qec",
            &format!("kubectl exec -it {sandbox} -- sh -c 'test -t 0 && tty && stty size'"),
            "/dev/null",
        ],
    );
    assert!(typed.ok().contains("/dev/pts/"), "a terminal was asked for");

    // The sandbox says one line a second into its own log, by way of its first process.
    machine.exec(&sandbox, "for n in 1 2 3; do echo line $n > /proc/1/fd/1; done");
    eventually("the log", || {
        machine.kubectl(&format!("logs {sandbox}")).ok().contains("line 3").then_some(())
    });
    assert_eq!(machine.kubectl(&format!("logs {sandbox} --tail=1")).ok(), "line 3\n");
    let mut log = Listening::to(machine.command("kubectl").args(["logs", "-f", &sandbox]));
    log.until("what was said", |line| line == "line 3");
    machine.exec(&sandbox, "echo later > /proc/1/fd/1");
    log.until("what is said while one listens", |line| line == "later");

    wait_for_ready_replicas(machine, 3);
    assert_eq!(names(machine, "sandboxes").len(), 4, "three warm ones and the claimed one");

    let told = machine.kubectl(&format!("describe pod {sandbox}")).ok();
    for event in ["Scheduled", "Created", "Started"] {
        assert!(told.contains(event), "{event} is missing in: {told}");
    }
    let told = machine.kubectl("describe sandboxclaim first").ok();
    let events = told.split("Events:").nth(1).unwrap_or_default();
    assert!(events.contains("Normal"), "a claim tells what was done for it: {told}");
}

fn rolled_and_never_empty(machine: &Machine) {
    let claimed = sandbox_of(machine, "first");
    let mut watch = Listening::to(machine.command("kubectl").args([
        "get",
        "swp/quickstart",
        "--watch",
        "-o",
        "jsonpath={.status.readyReplicas} {.status.updatedReplicas}{'\\n'}",
    ]));
    watch.until("the pool as it is", |_| true);
    apply(machine, "next/template-v2.yaml");
    let new = json!("2");
    eventually("the rollout", || {
        let versions = warm_versions(machine);
        (versions.len() == 3 && versions.iter().all(|v| *v == new)).then_some(())
    });
    wait_for_ready_replicas(machine, 3);
    watch.until("the end of the rollout", |line| line == "3 3");
    for state in &watch.heard {
        let ready: u32 = state.split(' ').next().unwrap().parse().unwrap_or(0);
        assert!(ready >= 3, "with maxUnavailable 0 never fewer than 3: {:?}", watch.heard);
    }
    assert_eq!(machine.exec(&claimed, "echo $TEMPLATE_VERSION"), "1", "what is claimed stays");
}

fn suspended_and_resumed(machine: &Machine) {
    let sandbox = sandbox_of(machine, "first");
    let first = machine.get(&format!("pod/{sandbox}"))["metadata"]["uid"].clone();
    let mode = |mode: &str| {
        let patch = json!({"spec": {"operatingMode": mode}}).to_string();
        machine.run("kubectl", &["patch", "sandbox", &sandbox, "--type=merge", "-p", &patch]).ok();
    };
    mode("Suspended");
    machine.kubectl(&format!("wait pod/{sandbox} --for=delete --timeout=60s")).ok();
    machine
        .kubectl(&format!("wait sandbox/{sandbox} --for=condition=Suspended --timeout=60s"))
        .ok();
    machine.sandbank("exec first -- true").refused(4, &["suspended", "operatingMode"]);
    mode("Running");
    machine.kubectl(&format!("wait sandbox/{sandbox} --for=condition=Ready --timeout=60s")).ok();
    let second = machine.get(&format!("pod/{sandbox}"))["metadata"]["uid"].clone();
    assert_ne!(first, second, "a resumed sandbox has a new pod");
    assert_eq!(machine.exec(&sandbox, "echo here"), "here");
}

fn scaled(machine: &Machine) {
    machine.kubectl("scale swp/quickstart --replicas=1").ok();
    eventually("the pool of one", || (warm_versions(machine).len() == 1).then_some(()));
    wait_for_ready_replicas(machine, 1);
    machine.kubectl("scale swp/quickstart --replicas=2").ok();
    wait_for_ready_replicas(machine, 2);
}

fn given_back(machine: &Machine) {
    let sandbox = sandbox_of(machine, "first");
    machine.kubectl("delete sandboxclaim first").ok();
    for kind in ["sandbox", "pod"] {
        machine.kubectl(&format!("wait {kind}/{sandbox} --for=delete --timeout=60s")).ok();
    }
    machine.kubectl("delete swp quickstart").ok();
    eventually("an empty machine", || names(machine, "pods").is_empty().then_some(()));
    assert_eq!(names(machine, "sandboxes"), Vec::<String>::new());
}

fn names(machine: &Machine, kind: &str) -> Vec<String> {
    let list = machine.get(kind);
    let items = list["items"].as_array().unwrap();
    items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_volume_of_a_sandbox_survives_its_suspension() {
    let machine = Machine::with_server();
    machine.apply(
        r#"
apiVersion: agents.x-k8s.io/v1beta1
kind: Sandbox
metadata: {name: keeper}
spec:
  volumeClaimTemplates:
  - metadata: {name: work}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Mi}}}
  podTemplate:
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: c
        image: host
        command: [sleep, "3600"]
        volumeMounts: [{name: work, mountPath: /work}]
"#,
    );
    machine.kubectl("wait sandbox/keeper --for=condition=Ready --timeout=60s").ok();
    machine.exec("keeper", "echo kept > /work/file");
    let patch = |mode: &str| {
        let patch = json!({"spec": {"operatingMode": mode}}).to_string();
        finished(machine.command("kubectl").args([
            "patch",
            "sandbox/keeper",
            "--type=merge",
            "-p",
            &patch,
        ]))
        .ok();
    };
    patch("Suspended");
    machine.kubectl("wait pod/keeper --for=delete --timeout=60s").ok();
    patch("Running");
    machine.kubectl("wait sandbox/keeper --for=condition=Ready --timeout=60s").ok();
    assert_eq!(machine.exec("keeper", "cat /work/file"), "kept");
}
