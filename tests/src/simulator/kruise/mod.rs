//! The family of `agents.kruise.io`, as the simulator plays it: what the laws read in its objects, what its people do, and who else takes sandboxes.

pub mod life;
pub mod outsider;
pub mod people;

use serde_json::Value;

use super::family::{Claimed, Family, Found, Holder, Round, Stale, Tally, Wish, part, same};
use super::view::{Place, View, condition, controller, is_true, uid};

const LOCK: &str = "agents.kruise.io/lock";
const OWNER: &str = "agents.kruise.io/owner";
const CLAIMED: &str = "agents.kruise.io/sandbox-claimed";
const CLAIM_NAME: &str = "agents.kruise.io/claim-name";
const RESERVED: &str = "agents.kruise.io/reserved-failed-sandbox";

/// Materialised templates of a set that may stay.
const TEMPLATES_KEPT: usize = 10;

/// The family.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kruise;

impl Family for Kruise {
    const KINDS: [(&'static str, &'static str, &'static str); 4] = [
        ("agents.kruise.io", "sandboxes", Self::SANDBOXES),
        ("agents.kruise.io", "sandboxtemplates", Self::TEMPLATES),
        ("agents.kruise.io", "sandboxsets", Self::POOLS),
        ("agents.kruise.io", "sandboxclaims", Self::CLAIMS),
    ];
    const SANDBOXES: &'static str = "sbx";
    const POOLS: &'static str = "sbs";
    const CLAIMS: &'static str = "sbc";
    const TEMPLATES: &'static str = "sbt";

    fn pool_of(sandbox: &Value) -> Option<&str> {
        controller(sandbox).filter(|owner| owner.0 == "SandboxSet").map(|owner| owner.1)
    }

    /// What is noted on a sandbox says nothing before it has left its set.
    fn holder_of(sandbox: &Value) -> Option<Holder<'_>> {
        let metadata = &sandbox["metadata"];
        let life = metadata["annotations"][OWNER].as_str().filter(|owner| !owner.is_empty())?;
        let claimed = metadata["labels"][CLAIMED] == "true";
        let claim = metadata["labels"][CLAIM_NAME].as_str().unwrap_or_default();
        (claimed && controller(sandbox).is_none()).then_some(Holder { claim, life })
    }

    fn lock_of(sandbox: &Value) -> Option<&str> {
        sandbox["metadata"]["annotations"][LOCK].as_str().filter(|lock| !lock.is_empty())
    }

    fn counts_for_claim(sandbox: &Value) -> bool {
        sandbox["metadata"]["labels"][RESERVED] != "true"
    }

    /// A sandbox that only refers to a template does not say what it runs; its pod does.
    fn image(view: &View, place: &Place, sandbox: &Value) -> Option<String> {
        let own = image(sandbox).map(ToOwned::to_owned);
        own.or_else(|| {
            let pod = view.get("pods", &place.1, &place.2)?;
            pod["spec"]["containers"][0]["image"].as_str().map(ToOwned::to_owned)
        })
    }

    fn wish(view: &View, namespace: &str, pool: &Value) -> Wish {
        let spec = &pool["spec"];
        let target = spec["replicas"].as_u64().unwrap_or(0);
        let update = &spec["updateStrategy"];
        let unavailable = part(&update["maxUnavailable"], 20, target, Round::Up);
        let surge = part(&update["maxSurge"], 0, target, Round::Up);
        let referenced = spec["templateRef"]["name"].as_str();
        let image = match referenced {
            Some(name) => view.get(Self::TEMPLATES, namespace, name).and_then(image),
            None => image(pool),
        };
        let frozen = unavailable == 0 && surge == 0;
        Wish {
            ceiling: target + surge,
            target,
            floor: Some(target.saturating_sub(unavailable)),
            image: image.map(ToOwned::to_owned),
            stale: if frozen { Stale::ReadyOnesStay } else { Stale::Leaves },
        }
    }

    fn asked(claim: &Value) -> u32 {
        let asked = claim["spec"]["replicas"].as_u64().unwrap_or(1);
        u32::try_from(asked).unwrap_or(u32::MAX)
    }

    fn told(claim: &Value) -> Vec<&str> {
        let names = claim["status"]["sandboxes"].as_array();
        names.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    fn may_change_image(claim: &Value) -> bool {
        claim["spec"]["inplaceUpdate"]["image"].is_string()
    }

    /// The end of a claim ends nothing else. What goes is what has a time to go, and what a claim took and told nobody of.
    fn may_go(sandbox: &Claimed<'_>) -> bool {
        let untold = |claim: &Value| !Self::told(claim).contains(&sandbox.name);
        !sandbox.sandbox["spec"]["shutdownTime"].is_null()
            || sandbox.claim.or(sandbox.lately).is_some_and(untold)
    }

    fn pool_at_rest(pool: &Value, tally: &Tally, found: &mut Found) {
        same(pool, "replicas", tally.members, found);
        same(pool, "availableReplicas", tally.available, found);
        if let (Some(fresh), Some(available)) = (tally.fresh, tally.fresh_available) {
            same(pool, "updatedReplicas", fresh, found);
            same(pool, "updatedAvailableReplicas", available, found);
        }
        let name = pool["metadata"]["name"].as_str().unwrap_or_default();
        let lacking = tally.available < pool["spec"]["replicas"].as_u64().unwrap_or(0);
        let why = condition(pool, "Available").and_then(|available| available["reason"].as_str());
        if lacking && (is_true(pool, "Available") || why.is_none_or(str::is_empty)) {
            found.push((7, format!("pool {name} lacks sandboxes and does not say why")));
        }
    }

    fn claim_at_rest(view: &View, place: &Place, claim: &Value, found: &mut Found) {
        let name = &place.2;
        let status = &claim["status"];
        let (told, asked) = (Self::told(claim), Self::asked(claim) as usize);
        if status["phase"] != "Completed" || !is_true(claim, "Completed") {
            found.push((6, format!("claim {name} is not over: {}", status["message"])));
        }
        if status["claimedReplicas"].as_u64() != Some(told.len() as u64) {
            let count = &status["claimedReplicas"];
            found.push((7, format!("claim {name} names {} and says {count}", told.len())));
        }
        if told.len() < asked && !is_true(claim, "TimedOut") {
            found.push((7, format!("claim {name} lacks sandboxes and does not say why")));
        }
        let mine = |sandbox: &Value| {
            Self::holder_of(sandbox).is_some_and(|holder| holder.life == uid(claim))
        };
        for sandbox in &told {
            // Its user may have deleted it since.
            let there = view.get(Self::SANDBOXES, &place.1, sandbox);
            if there.is_some_and(|sandbox| !mine(sandbox)) {
                found.push((7, format!("claim {name} names {sandbox}, which is not its own")));
            }
        }
        for (place, sandbox) in view.all(Self::SANDBOXES) {
            let untold = !told.contains(&place.2.as_str());
            if mine(sandbox) && untold && Self::counts_for_claim(sandbox) {
                found.push((7, format!("claim {name} has {} and does not name it", place.2)));
            }
        }
    }

    fn sandbox_at_rest(view: &View, place: &Place, sandbox: &Value, found: &mut Found) {
        let (name, status) = (&place.2, &sandbox["status"]);
        let pod = view.get("pods", &place.1, name);
        let ready = is_true(sandbox, "Ready");
        let phase = status["phase"].as_str().unwrap_or_default();
        // Who waits for a condition waits for one that speaks of what was asked for last.
        if ready && status["observedGeneration"] != sandbox["metadata"]["generation"] {
            found.push((7, format!("sandbox {name} speaks of an older generation")));
        }
        match (phase, sandbox["spec"]["paused"] == true) {
            ("Failed" | "Succeeded", _) => {
                if ready || status["message"].as_str().is_none_or(str::is_empty) {
                    found.push((7, format!("sandbox {name} is {phase} and does not say why")));
                }
                return;
            }
            (_, true) => {
                if pod.is_some() || phase != "Paused" || !is_true(sandbox, "SandboxPaused") {
                    found.push((6, format!("sandbox {name} is not paused but {phase}")));
                }
                return;
            }
            ("Running", false) => {}
            (_, false) if ready => {
                found.push((7, format!("sandbox {name} is ready and {phase}")));
            }
            (_, false) => {}
        }
        if pod.is_some_and(|pod| is_true(pod, "Ready")) != ready {
            found.push((7, format!("sandbox {name} and its pod disagree about being ready")));
        }
        let why = condition(sandbox, "Ready").and_then(|ready| ready["reason"].as_str());
        if !ready && why.is_none_or(str::is_empty) {
            found.push((7, format!("sandbox {name} is not ready and does not say why")));
        }
        // Who holds it may change it; what then runs is what it asks for.
        let runs = pod.and_then(|pod| pod["spec"]["containers"][0]["image"].as_str());
        if ready && let Some(wanted) = image(sandbox).filter(|wanted| runs != Some(wanted)) {
            found.push((6, format!("sandbox {name} asks for {wanted} and runs {runs:?}")));
        }
    }

    fn template_at_rest(view: &View, place: &Place, template: &Value, found: &mut Found) {
        let Some((_, set, life)) = controller(template) else { return };
        if view.get(Self::POOLS, &place.1, set).is_none_or(|set| uid(set) != life) {
            found.push((6, format!("template {} outlived its owner {set}", place.2)));
        }
        let siblings = view
            .all(Self::TEMPLATES)
            .filter(|(_, other)| controller(other).is_some_and(|owner| owner.2 == life));
        let count = siblings.count();
        if count > TEMPLATES_KEPT {
            found.push((6, format!("{count} templates of set {set} are kept")));
        }
    }
}

/// The image of the first container of a template block.
pub fn image(object: &Value) -> Option<&str> {
    object["spec"]["template"]["spec"]["containers"][0]["image"].as_str()
}
