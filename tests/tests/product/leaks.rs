//! Nothing leaks: after a lot of coming and going a server has of the machine what it had before.

use rustix::process::Signal;

use crate::{
    crash::{POOL, pool_is_full},
    machine::{Machine, eventually},
    remains::{Counts, Remains},
};

/// One life of a pool, with claims, a rollout, and a crash in the midst of it.
fn churn(machine: &mut Machine, crash: bool) {
    machine.apply(POOL);
    pool_is_full(machine, "small", 2);
    for name in ["a", "b"] {
        machine.sandbank(&format!("claim --pool small --name {name} --wait")).ok();
    }
    machine.apply(&POOL.replace("3600", "3601"));
    if crash {
        machine.signal_server(Signal::KILL);
        machine.up(&[]);
    }
    machine.sandbank("release a").ok();
    machine.sandbank("claim --pool small --name c --wait").ok();
    machine.kubectl("delete pod --all --grace-period=0 --force --wait=false").ok();
    machine.kubectl("delete sandboxclaims,swp,sandboxtemplates --all").ok();
    eventually("an empty machine", || {
        let left = machine.get("pods,sandboxes");
        left["items"].as_array().unwrap().is_empty().then_some(())
    });
}

fn settled(remains: &Remains, expected: Option<&Counts>) -> Counts {
    let quiet = |counts: &Counts| match expected {
        Some(expected) => counts == expected,
        // Only the server itself is left, in one network namespace.
        None => counts.processes == 1 && counts.pods == 0 && counts.trash == 0,
    };
    let mut last = None;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let counts = remains.counts();
        if quiet(&counts) {
            return counts;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "{counts:#?} did not become {expected:#?}\nlast: {last:#?}\n{:#?}",
            remains.list()
        );
        last = Some(counts);
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn coming_and_going_leaves_nothing_behind() {
    let mut machine = Machine::with_server();
    churn(&mut machine, false);
    let remains = machine.remains();
    let before = settled(&remains, None);
    for _ in 0..2 {
        churn(&mut machine, true);
    }
    let after = settled(&remains, Some(&before));
    assert_eq!(before, after);
}
