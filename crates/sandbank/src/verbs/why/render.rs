//! A chain of reasons as a tree for people.

use controllers::kinds::Kind;
use controllers::why::{Link, Standing};
use engine::{Reason, WaitsFor};
use jiff::Timestamp;

use super::events::Warnings;
use crate::verbs::duration;

/// The tree, and in a last line where it all comes from.
pub fn chain(link: &Link, warnings: &Warnings, now: Timestamp) -> String {
    let mut lines = Vec::new();
    render_into(&mut lines, link, warnings, now, 0);
    let root = link.root_cause();
    if root.standing != Standing::Well && object(root) != object(link) {
        // The planner thinks aloud; its last thought is its conclusion.
        let because = match root.reasons.last() {
            Some(reason) => reason.message.clone(),
            None => root.summary.clone(),
        };
        lines.push(format!("\nIt comes down to {}: {because}", object(root)));
    }
    lines.join("\n")
}

fn render_into(
    lines: &mut Vec<String>,
    link: &Link,
    warnings: &Warnings,
    now: Timestamp,
    depth: usize,
) {
    let indent = "  ".repeat(depth);
    let standing = link.standing.as_str();
    lines.push(format!("{indent}{} is {standing}: {}", object(link), link.summary));
    lines.extend(link.reasons.iter().map(|reason| format!("{indent}  - {}", say(reason, now))));
    for warning in warnings.of(link) {
        let times =
            if warning.count > 1 { format!(" ({} times)", warning.count) } else { "".into() };
        lines.push(format!("{indent}  ! {}: {}{times}", warning.reason, warning.message));
    }
    if let Some(at) = link.again_at {
        lines.push(format!("{indent}  - looked at again {}", when(at, now)));
    }
    for link in &link.depends_on {
        render_into(lines, link, warnings, now, depth + 1);
    }
}

/// `pool default/a`.
pub fn object(link: &Link) -> String {
    format!("{} {}", noun(link.kind), link.name)
}

/// What people call a kind.
pub fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::Sandbox | Kind::KruiseSandbox => "sandbox",
        Kind::Template | Kind::KruiseTemplate => "template",
        Kind::Pool | Kind::SandboxSet => "pool",
        Kind::Claim | Kind::KruiseClaim => "claim",
        Kind::Pod => "pod",
        Kind::Service => "service",
        Kind::Volume => "volume claim",
        Kind::NetworkPolicy => "network policy",
    }
}

fn say(reason: &Reason, now: Timestamp) -> String {
    let waits = match &reason.waits_for {
        None => return reason.to_string(),
        Some(WaitsFor::Time(at)) => format!("goes on {}", when(*at, now)),
        Some(WaitsFor::Sandbox(key)) => format!("waits for sandbox {key}"),
        Some(WaitsFor::Pool(key)) => format!("waits for pool {key}"),
        Some(WaitsFor::Template(key)) => format!("waits for template {key}"),
        Some(WaitsFor::Seen(_)) => "waits to see its own write".into(),
        Some(WaitsFor::Edit) => "waits for somebody to change it".into(),
        Some(WaitsFor::Capacity) => "waits for room on the machines".into(),
    };
    format!("{reason} ({waits})")
}

fn when(at: Timestamp, now: Timestamp) -> String {
    match at.duration_since(now) {
        wait if wait.is_positive() => format!("in {}", duration::short(wait)),
        _ => "now".into(),
    }
}

#[cfg(test)]
mod tests {
    use engine::{Code, Key};
    use jiff::ToSpan;

    use super::*;

    fn link(kind: Kind, name: &str, standing: Standing, summary: &str) -> Link {
        Link {
            kind,
            name: Key::new("default", name),
            standing,
            summary: summary.into(),
            reasons: Vec::new(),
            again_at: None,
            depends_on: Vec::new(),
        }
    }

    #[test]
    fn the_tree_ends_with_what_can_be_mended() {
        let now = Timestamp::UNIX_EPOCH;
        let mut pod = link(Kind::Pod, "s", Standing::Stuck, "Pending, on node here");
        pod.reasons =
            vec![Reason::new(Code::ImagePull, "no image x is here").waiting_for(WaitsFor::Edit)];
        let mut pool = link(Kind::Pool, "p", Standing::Waiting, "0 of 1 ready");
        pool.again_at = Some(now + 5.seconds());
        pool.depends_on = vec![pod];
        let mut claim = link(Kind::Claim, "c", Standing::Waiting, "not ready");
        claim.depends_on = vec![pool];
        assert_eq!(
            chain(&claim, &Warnings::default(), now),
            "claim default/c is waiting: not ready\n  \
               pool default/p is waiting: 0 of 1 ready\n    \
                 - looked at again in 5s\n    \
                 pod default/s is stuck: Pending, on node here\n      \
                   - ImagePull: no image x is here (waits for somebody to change it)\n\
             \n\
             It comes down to pod default/s: no image x is here"
        );
    }

    #[test]
    fn when_all_is_well_nothing_is_blamed() {
        let mut claim = link(Kind::Claim, "c", Standing::Well, "ready");
        claim.depends_on = vec![link(Kind::Sandbox, "s", Standing::Well, "ready")];
        assert!(!chain(&claim, &Warnings::default(), Timestamp::UNIX_EPOCH).contains("comes down"));
    }
}
