//! `sandbank controller`: the controllers as a process of their own, with a second one that takes over.

use rustix::process::Signal;

use crate::{
    crash::{POOL, pool_is_full},
    machine::{Listening, Machine, binary, eventually},
};

const NAMESPACE: &str = "agent-sandbox-system";

/// Starts a controller and waits until it has found the server. It reaches it as anyone does: by TLS, with a kubeconfig.
fn controller(machine: &Machine) -> Listening {
    let mut command = machine.command(binary());
    command.args(["controller", "--lease-seconds", "3"]).stderr(machine.log_file());
    let mut controller = Listening::to(&mut command);
    let address = machine.address().to_owned();
    controller.until("its first word", |line| {
        line.starts_with("sandbank controller runs against https://") && line.contains(&address)
    });
    controller
}

/// Who leads; nobody is an empty name.
fn leader(machine: &Machine) -> String {
    let leases = machine.get(&format!("leases -n {NAMESPACE}"));
    let holder = leases["items"][0]["spec"]["holderIdentity"].as_str();
    holder.unwrap_or_default().to_owned()
}

#[test]
fn controllers_of_their_own_elect_a_leader_and_survive_its_death() {
    let mut machine = Machine::new();
    machine.up(&["--no-controllers"]);
    machine.apply(POOL);
    // A pod of its own shows that the node is at work; the pool has nobody who fills it.
    machine.kubectl("run alone --image=host --restart=Never -- sleep 3600").ok();
    machine.wait_ready("pod/alone");
    assert_eq!(machine.get("sandboxes")["items"], serde_json::json!([]));

    let mut first = controller(&machine);
    pool_is_full(&machine, "small", 2);
    let one = leader(&machine);
    assert!(!one.is_empty());
    let mut second = controller(&machine);
    let claim = machine.ask("claim --pool small --name a --wait");
    assert_eq!(claim["launchType"], "warm");
    assert_eq!(leader(&machine), one, "who leads goes on leading");

    first.signal(Signal::KILL);
    // Asked for while nobody leads: the second takes over when the lease of the dead one has run out.
    let claim = machine.ask("claim --pool small --name b --wait --timeout 30s");
    assert_eq!(claim["ready"], true);
    let two = leader(&machine);
    assert_ne!(one, two);
    pool_is_full(&machine, "small", 2);
    for claim in ["a", "b"] {
        machine
            .kubectl(&format!("wait sandboxclaim/{claim} --for=condition=Ready --timeout=10s"))
            .ok();
    }

    // A controller that ends by request gives the lease back, so that nobody has to wait.
    let end = second.signal(Signal::TERM);
    assert_eq!(end.code(), Some(0));
    eventually("a free lease", || leader(&machine).is_empty().then_some(()));
}
