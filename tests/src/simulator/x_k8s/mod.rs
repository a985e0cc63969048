//! The family of `agents.x-k8s.io`, as the simulator plays it: what the laws read in its objects, and what its people do.

pub mod life;
mod people;

use serde_json::Value;

use super::family::{Claimed, Family, Found, Holder, Round, Stale, Tally, Wish, part, same};
use super::node::BROKEN_IMAGE;
use super::view::{Place, View, condition, controller, is_leaving, is_true, uid};

/// The family.
#[derive(Clone, Copy, Debug, Default)]
pub struct XK8s;

/// The pool that controls a sandbox.
pub fn pool_of(sandbox: &Value) -> Option<&str> {
    controller(sandbox).filter(|owner| owner.0 == "SandboxWarmPool").map(|owner| owner.1)
}

/// Name and uid of the claim that controls a sandbox.
pub fn claim_of(sandbox: &Value) -> Option<(&str, &str)> {
    controller(sandbox).filter(|owner| owner.0 == "SandboxClaim").map(|owner| (owner.1, owner.2))
}

/// The image of the first container of a sandbox's or template's pod.
pub fn image(object: &Value) -> &str {
    object["spec"]["podTemplate"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default()
}

impl Family for XK8s {
    const KINDS: [(&'static str, &'static str, &'static str); 4] = [
        ("agents.x-k8s.io", "sandboxes", Self::SANDBOXES),
        ("extensions.agents.x-k8s.io", "sandboxtemplates", Self::TEMPLATES),
        ("extensions.agents.x-k8s.io", "sandboxwarmpools", Self::POOLS),
        ("extensions.agents.x-k8s.io", "sandboxclaims", Self::CLAIMS),
    ];
    const SANDBOXES: &'static str = "sandboxes";
    const POOLS: &'static str = "sandboxwarmpools";
    const CLAIMS: &'static str = "sandboxclaims";
    const TEMPLATES: &'static str = "sandboxtemplates";

    fn pool_of(sandbox: &Value) -> Option<&str> {
        pool_of(sandbox)
    }

    fn holder_of(sandbox: &Value) -> Option<Holder<'_>> {
        claim_of(sandbox).map(|(claim, life)| Holder { claim, life })
    }

    fn image(_: &View, _: &Place, sandbox: &Value) -> Option<String> {
        Some(image(sandbox).to_owned())
    }

    fn wish(view: &View, namespace: &str, pool: &Value) -> Wish {
        let (target, surge) = (replicas(pool), surge(pool));
        let template = view.get(Self::TEMPLATES, namespace, template_of(pool));
        Wish {
            ceiling: target + surge,
            target,
            floor: rolls(pool).then(|| floor(pool)),
            image: template.map(|template| image(template).to_owned()),
            stale: match strategy(pool) {
                "Recreate" => Stale::Forbidden,
                "RollingUpdate" => Stale::Leaves,
                _ => Stale::Stays,
            },
        }
    }

    fn asked(_: &Value) -> u32 {
        1
    }

    fn told(claim: &Value) -> Vec<&str> {
        told(claim).into_iter().collect()
    }

    /// It goes when its claim does.
    fn may_go(sandbox: &Claimed<'_>) -> bool {
        sandbox.claim.is_none_or(|claim| is_leaving(claim) || !claim["spec"]["lifecycle"].is_null())
    }

    fn pool_at_rest(pool: &Value, tally: &Tally, found: &mut Found) {
        same(pool, "replicas", tally.members, found);
        same(pool, "readyReplicas", tally.available, found);
        if let Some(fresh) = tally.fresh {
            same(pool, "updatedReplicas", fresh, found);
        }
    }

    fn claim_at_rest(view: &View, place: &Place, claim: &Value, found: &mut Found) {
        let name = &place.2;
        let told = told(claim).unwrap_or_default();
        let held = view
            .get(Self::SANDBOXES, &place.1, told)
            .filter(|s| claim_of(s).is_some_and(|(_, life)| life == uid(claim)));
        if is_true(claim, "Ready") {
            if !held.is_some_and(|sandbox| is_true(sandbox, "Ready")) {
                found.push((7, format!("claim {name} says it has {told}, which is not so")));
            }
            return;
        }
        let why = condition(claim, "Ready").and_then(|ready| ready["reason"].as_str());
        if why.is_none_or(str::is_empty) {
            found.push((7, format!("claim {name} is not ready and does not say why")));
        }
        // Excuses: its time is over, what it names is missing, or what it was given is broken, finished or suspended for good.
        let pool = claim["spec"]["warmPoolRef"]["name"].as_str().unwrap_or_default();
        let pool = view.get(Self::POOLS, &place.1, pool);
        let template = pool.and_then(|p| view.get(Self::TEMPLATES, &place.1, template_of(p)));
        let served = held.map_or(template.is_some(), |sandbox| {
            let suspended = sandbox["spec"]["operatingMode"] == "Suspended";
            !image(sandbox).contains(BROKEN_IMAGE)
                && condition(sandbox, "Finished").is_none()
                && !suspended
        });
        if served && claim["spec"]["lifecycle"].is_null() {
            found.push((6, format!("claim {name} is not ready: {}", why.unwrap_or_default())));
        }
    }

    fn sandbox_at_rest(view: &View, place: &Place, sandbox: &Value, found: &mut Found) {
        let name = &place.2;
        let claim = claim_of(sandbox);
        if claim.is_none() && pool_of(sandbox).is_none() {
            // A person's own.
            return;
        }
        if let Some((claim, life)) = claim
            && view.get(Self::CLAIMS, &place.1, claim).is_none_or(|o| uid(o) != life)
        {
            found.push((6, format!("sandbox {name} outlived its owner {claim}")));
        }
        let suspended = sandbox["spec"]["operatingMode"] == "Suspended";
        let pod = view.get("pods", &place.1, name);
        let wants_pod = !suspended && condition(sandbox, "Finished").is_none();
        if wants_pod && pod.is_none() && is_true(sandbox, "Ready") {
            found.push((6, format!("sandbox {name} is ready without a pod")));
        }
        let pod_ready = pod.is_some_and(|pod| is_true(pod, "Ready"));
        if pod_ready != is_true(sandbox, "Ready") && wants_pod {
            found.push((7, format!("sandbox {name} and its pod disagree about being ready")));
        }
        if !is_true(sandbox, "Ready")
            && condition(sandbox, "Ready")
                .is_none_or(|c| c["reason"].as_str().is_none_or(str::is_empty))
        {
            found.push((7, format!("sandbox {name} is not ready and does not say why")));
        }
    }
}

fn template_of(pool: &Value) -> &str {
    pool["spec"]["sandboxTemplateRef"]["name"].as_str().unwrap_or_default()
}

fn told(claim: &Value) -> Option<&str> {
    claim["status"]["sandbox"]["name"].as_str().filter(|name| !name.is_empty())
}

fn replicas(pool: &Value) -> u64 {
    pool["spec"]["replicas"].as_u64().unwrap_or(1)
}

fn strategy(pool: &Value) -> &str {
    pool["spec"]["updateStrategy"]["type"].as_str().unwrap_or("OnReplenish")
}

fn rolls(pool: &Value) -> bool {
    strategy(pool) == "RollingUpdate"
}

/// How many more than asked for may exist. A rollout that does not say may be a quarter off, as a Deployment's.
fn surge(pool: &Value) -> u64 {
    let bound = &pool["spec"]["updateStrategy"]["rollingUpdate"]["maxSurge"];
    if rolls(pool) { part(bound, 25, replicas(pool), Round::Up) } else { 0 }
}

/// How many must be available while a rollout goes on. A budget of nothing in both directions could never move, so it counts as one unavailable.
fn floor(pool: &Value) -> u64 {
    let bound = &pool["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"];
    let unavailable = match part(bound, 25, replicas(pool), Round::Down) {
        0 if surge(pool) == 0 => 1,
        unavailable => unavailable,
    };
    replicas(pool).saturating_sub(unavailable)
}
