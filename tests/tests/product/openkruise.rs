//! The family of `agents.kruise.io` on real containers, with the manifest of its documentation.

use std::collections::BTreeSet;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::machine::{Listening, Machine, eventually};

/// Sandboxes with a volume, and with resources that can change.
const LASTING: &str = r#"
apiVersion: agents.kruise.io/v1alpha1
kind: SandboxSet
metadata: {name: lasting}
spec:
  replicas: 2
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Mi}}}
  template:
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: c
        image: plain:1
        resources: {requests: {cpu: 100m}, limits: {cpu: 200m}}
        volumeMounts: [{name: data, mountPath: /data}]
"#;

/// The machine's own programs under another name, with something to do.
fn tag(machine: &Machine, name: &str) {
    let data = machine.data();
    let line = format!("image tag host {name} --data-dir {} -- sleep infinity", data.display());
    machine.sandbank(&line).ok();
}

fn is_full(machine: &Machine, set: &str, count: u32) {
    for field in ["availableReplicas", "replicas"] {
        let path = format!("jsonpath={{.status.{field}}}={count}");
        machine.kubectl(&format!("wait sbs/{set} --for={path} --timeout=60s")).ok();
    }
}

fn claim(machine: &Machine, name: &str, set: &str, spec: &str) {
    machine.apply(&format!(
        "apiVersion: agents.kruise.io/v1alpha1\nkind: SandboxClaim\nmetadata: {{name: {name}}}\n\
         spec: {{templateName: {set}, {spec}}}\n"
    ));
}

/// What a claim was told, when it is over.
fn told(machine: &Machine, claim: &str) -> Vec<String> {
    machine.kubectl(&format!("wait sbc/{claim} --for=condition=Completed --timeout=90s")).ok();
    let names = machine.get(&format!("sbc/{claim}"))["status"]["sandboxes"].clone();
    let names = names.as_array().cloned().unwrap_or_default();
    names.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}

#[test]
fn the_documented_set_goes_through_its_four_stages() {
    let machine = Machine::with_server();
    tag(&machine, "nginx:alpine");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples/openkruise/1-sandboxset.yaml")
        .canonicalize()
        .unwrap();
    machine.kubectl(&format!("apply -f {}", manifest.display())).ok();
    is_full(&machine, "demo", 10);
    let table = machine.kubectl("get sbs -n default").ok();
    let rows: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "REPLICAS", "AVAILABLE", "UPDATEREVISION", "AGE"]);
    assert_eq!(rows[1][..3], ["demo", "10", "10"], "{table}");
    let pods = machine.get("pods -l agents.kruise.io/sandbox-pool=demo");
    let pods = pods["items"].as_array().unwrap();
    assert_eq!(pods.len(), 10);
    assert!(pods.iter().all(|pod| pod["metadata"]["annotations"]["foo"] == "bar"));

    machine.kubectl("scale sbs demo --replicas=3").ok();
    is_full(&machine, "demo", 3);
    let stages = r#"jsonpath={.status.replicas}/{.status.availableReplicas}{"\n"}"#;
    let mut watch = machine.command("kubectl");
    watch.args(["get", "sbs", "demo", "--watch", "-o", stages]);
    let mut watch = Listening::to(&mut watch);
    watch.until("the set as it is", |stage| stage == "3/3");
    claim(&machine, "one", "demo", "replicas: 1");
    watch.until("one is gone", |stage| stage == "2/2");
    watch.until("another one is made", |stage| stage == "3/2");
    watch.until("it is ready", |stage| stage == "3/3");
    watch.heard.dedup();
    assert_eq!(watch.heard, ["3/3", "2/2", "3/2", "3/3"]);

    let told = told(&machine, "one");
    let sandbox = machine.get(&format!("sbx/{}", told[0]));
    assert!(sandbox["metadata"]["ownerReferences"].is_null(), "{sandbox}");
    assert_eq!(machine.exec(&told[0], "echo at work"), "at work");
    let listed = machine.kubectl("get sbx -l agents.kruise.io/claim-name=one -o name").ok();
    assert_eq!(listed.trim(), format!("sandbox.agents.kruise.io/{}", told[0]));
}

#[test]
fn a_batch_is_claimed_paused_resumed_and_changed_in_place() {
    let machine = Machine::with_server();
    tag(&machine, "plain:1");
    tag(&machine, "plain:2");
    machine.apply(LASTING);
    is_full(&machine, "lasting", 2);
    claim(&machine, "pair", "lasting", "replicas: 2");
    let pair = told(&machine, "pair");
    assert_eq!(pair.len(), 2);
    is_full(&machine, "lasting", 2);

    // The pod goes and comes back; what was on the volume stays, what was beside it does not.
    let one = &pair[0];
    machine.exec(one, "echo kept > /data/note; echo lost > /note");
    let uid = |machine: &Machine| machine.get(&format!("pod/{one}"))["metadata"]["uid"].clone();
    let before = uid(&machine);
    let pause = |paused: bool| {
        machine.kubectl(&format!(
            "patch sbx {one} --type merge -p '{{\"spec\":{{\"paused\":{paused}}}}}'"
        ))
    };
    pause(true).ok();
    machine.kubectl(&format!("wait sbx/{one} --for=condition=SandboxPaused --timeout=60s")).ok();
    machine.kubectl(&format!("get pod {one}")).refused(1, &["NotFound"]);
    pause(false).ok();
    machine.wait_ready(&format!("sbx/{one}"));
    assert_ne!(uid(&machine), before);
    assert_eq!(machine.exec(one, "cat /data/note; cat /note 2>/dev/null || true"), "kept");

    // Image and resources change in the same pod.
    let before = uid(&machine);
    let change = r#"[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"plain:2"},{"op":"replace","path":"/spec/template/spec/containers/0/resources/limits/cpu","value":"300m"}]"#;
    machine.run("kubectl", &["patch", "sbx", one, "--type", "json", "-p", change]).ok();
    machine.kubectl(&format!("wait sbx/{one} --for=condition=InplaceUpdate --timeout=60s")).ok();
    let status = eventually("the container as it was asked for", || {
        let pod = machine.get(&format!("pod/{one}"));
        let status = pod["status"]["containerStatuses"][0].clone();
        (status["image"].as_str()?.contains("plain:2")
            && status["resources"]["limits"]["cpu"] == "300m")
            .then_some(status)
    });
    assert!(!status["state"]["running"].is_null(), "{status}");
    assert_eq!(uid(&machine), before, "the same pod");
    assert_eq!(machine.exec(one, "cat /data/note"), "kept");

    // A claim may ask for the change at once.
    claim(&machine, "other", "lasting", "inplaceUpdate: {image: 'plain:2'}");
    let other = told(&machine, "other");
    let pod = machine.get(&format!("pod/{}", other[0]));
    assert_eq!(pod["spec"]["containers"][0]["image"], "plain:2");
    machine.wait_ready(&format!("sbx/{}", other[0]));
    is_full(&machine, "lasting", 2);
}

#[test]
fn a_batch_goes_on_when_the_server_was_killed_in_the_middle() {
    let mut machine = Machine::with_server();
    tag(&machine, "plain:1");
    machine.apply(LASTING);
    is_full(&machine, "lasting", 2);
    claim(&machine, "six", "lasting", "replicas: 6, claimTimeout: 3m");
    let mine = |machine: &Machine| -> BTreeSet<String> {
        let listed = machine.get("sbx -l agents.kruise.io/claim-name=six");
        let items = listed["items"].as_array().cloned().unwrap_or_default();
        let names = items.iter().filter_map(|s| s["metadata"]["name"].as_str());
        names.map(ToOwned::to_owned).collect()
    };
    let before =
        eventually("the first of six", || Some(mine(&machine)).filter(|mine| !mine.is_empty()));
    machine.signal_server(Signal::KILL);
    machine.up(&[]);
    let told: BTreeSet<String> = told(&machine, "six").into_iter().collect();
    assert_eq!(told.len(), 6);
    assert_eq!(mine(&machine), told, "what it has is what it was told of");
    assert!(before.is_subset(&told), "nothing was given back");
    is_full(&machine, "lasting", 2);
    for sandbox in &told {
        machine.wait_ready(&format!("sbx/{sandbox}"));
        assert_eq!(machine.exec(sandbox, "echo there"), "there");
    }
}
