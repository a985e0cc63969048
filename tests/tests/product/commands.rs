//! The command line against a server with real containers: what it answers, its exit codes, and why things are as they are.

use rustix::process::Signal;

use crate::{
    crash::{POOL, pool_is_full},
    machine::{Machine, binary, finished, finished_with},
};

/// Exit codes, as `sandbank --help` lists them.
const FAILED: i32 = 1;
const USAGE: i32 = 2;
const NOT_FOUND: i32 = 3;
const NOT_READY: i32 = 4;
const NO_SERVER: i32 = 5;

/// Pools that can't be filled, each for another reason.
const SAD: &str = r#"
apiVersion: extensions.agents.x-k8s.io/v1beta1
kind: SandboxTemplate
metadata: {name: no-image}
spec: {podTemplate: {spec: {containers: [{name: c, image: "127.0.0.1:9/nothing:1", command: [sh]}]}}}
---
apiVersion: extensions.agents.x-k8s.io/v1beta1
kind: SandboxWarmPool
metadata: {name: no-image}
spec: {replicas: 1, sandboxTemplateRef: {name: no-image}}
---
apiVersion: extensions.agents.x-k8s.io/v1beta1
kind: SandboxTemplate
metadata: {name: huge}
spec: {podTemplate: {spec: {containers: [{name: c, image: host, command: [sh], resources: {requests: {memory: 9000Gi}}}]}}}
---
apiVersion: extensions.agents.x-k8s.io/v1beta1
kind: SandboxWarmPool
metadata: {name: huge}
spec: {replicas: 1, sandboxTemplateRef: {name: huge}}
---
apiVersion: extensions.agents.x-k8s.io/v1beta1
kind: SandboxWarmPool
metadata: {name: no-template}
spec: {replicas: 1, sandboxTemplateRef: {name: nobody-made-it}}
---
apiVersion: extensions.agents.x-k8s.io/v1beta1
kind: SandboxClaim
metadata: {name: no-pool}
spec: {warmPoolRef: {name: nobody-made-it}}
"#;

#[test]
fn the_verbs_answer_people_and_machines() {
    let mut machine = Machine::with_server();
    machine.apply(POOL);
    pool_is_full(&machine, "small", 2);

    let status = machine.ask("status");
    assert_eq!(status["sandboxes"]["warm"], 2, "{status}");
    assert!(machine.sandbank("status").ok().contains("2 warm"));
    let pools = machine.ask("pool ls");
    assert_eq!((&pools[0]["name"], &pools[0]["ready"]), (&"small".into(), &2.into()));
    assert!(machine.ask("version")["server"]["version"].is_string());
    let bench = machine.ask("bench claims --pool small --count 3");
    assert!(bench.is_object(), "{bench}");

    let claim = machine.ask("claim --pool small --name mine --wait");
    assert_eq!((&claim["ready"], &claim["launchType"]), (&true.into(), &"warm".into()));
    assert!(claim["tookMs"].as_f64().unwrap() < 10_000.0);
    let said = machine
        .run(binary(), &["exec", "mine", "--", "sh", "-c", "echo out; echo err >&2; exit 9"]);
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (9, "out\n", "err\n"));
    let mut cat = machine.command(binary());
    let said = finished_with(cat.args(["exec", "-i", "claim/mine", "--", "cat"]), "passed on");
    assert_eq!(said.ok(), "passed on");
    let terminal = format!("{} exec -it mine -- sh -c tty", binary().display());
    assert!(machine.run("script", &["-qec", &terminal, "/dev/null"]).ok().contains("/dev/pts/"));
    machine.sandbank("exec -t mine -- sh").refused(USAGE, &["-it"]);
    assert_eq!(machine.ask("release mine")["released"].as_array().unwrap().len(), 1);
    machine.sandbank("release mine").refused(NOT_FOUND, &["mine"]);

    reasons(&machine);
    without_a_server(&mut machine);
}

fn reasons(machine: &Machine) {
    machine.apply(SAD);
    let why = |what: &str, parts: &[&str]| {
        crate::machine::eventually(&format!("why {what} with {parts:?}"), || {
            let said = machine.sandbank(&format!("why {what}")).ok();
            parts.iter().all(|part| said.contains(part)).then_some(())
        });
        assert!(machine.ask(&format!("why {what}"))["comesDownTo"].is_string());
    };
    why("pool/small", &["small", "ready"]);
    why("pool/no-template", &["nobody-made-it"]);
    why("claim/no-pool", &["nobody-made-it"]);
    why("pool/no-image", &["ImagePull", "127.0.0.1:9/nothing:1", "Connection refused"]);
    why("pool/huge", &["Insufficient memory"]);
    machine.sandbank("why claim/nobody").refused(NOT_FOUND, &["nobody"]);
    machine.sandbank("why nonsense").refused(USAGE, &["claim/NAME"]);

    let said = machine.sandbank("claim --pool huge --name stuck --wait --timeout 2s");
    said.refused(NOT_READY, &["stuck", "why claim/stuck", "release stuck"]);
    why("claim/stuck", &["Insufficient memory"]);
    machine.sandbank("claim --pool nobody").refused(NOT_FOUND, &["small"]);
    machine.sandbank("claim --template small").ok();
    machine.sandbank("frobnicate").refused(USAGE, &["frobnicate"]);
}

fn without_a_server(machine: &mut Machine) {
    for shell in ["bash", "zsh", "fish"] {
        assert!(machine.sandbank(&format!("completion {shell}")).ok().contains("sandbank"));
    }
    let script = machine.sandbank("completion bash").ok();
    finished_with(machine.command("bash").args(["-n"]), &script).ok();
    let crds = machine.sandbank("crds").ok();
    let mut dry = machine.command("kubectl");
    finished_with(dry.args(["apply", "--dry-run=server", "-f", "-"]), &crds).ok();

    machine.signal_server(Signal::TERM);
    for verb in ["status", "pool ls", "claim --pool small", "why pool/small", "controller"] {
        machine.sandbank(verb).refused(NO_SERVER, &["cannot reach the server", "sandbank up"]);
    }
    let mut command = machine.command(binary());
    let nothing = machine.path().join("nothing");
    let said = finished(command.arg("status").arg("--kubeconfig").arg(&nothing));
    said.refused(FAILED, &["nothing", "sandbank up"]);
}
