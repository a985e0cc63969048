//! Laws 6 and 7, when all is quiet: everything has what its spec asks for, every count is true, and whoever is not ready says why.

use serde_json::Value;

use super::spec::{replicas, template_of};
use super::{Laws, Name};
use crate::simulator::node::BROKEN_IMAGE;
use crate::simulator::view::{
    Place, claim_of, condition, controller, image, is_leaving, is_true, pool_of, uid,
};

impl Laws {
    /// Checks what must hold when nothing has happened for long.
    pub fn at_rest(&mut self, revision: u64) {
        let mut found = Vec::new();
        for (place, pool) in self.view.all("sandboxwarmpools") {
            self.pool_at_rest(place, pool, &mut found);
        }
        for (place, claim) in self.view.all("sandboxclaims") {
            self.claim_at_rest(place, claim, &mut found);
        }
        for (place, sandbox) in self.view.all("sandboxes") {
            self.sandbox_at_rest(place, sandbox, &mut found);
        }
        for (place, pod) in self.view.all("pods") {
            let owner = controller(pod).map(|(_, name, life)| (name.to_owned(), life.to_owned()));
            let alive = owner.as_ref().is_some_and(|(name, life)| {
                self.view.get("sandboxes", &place.1, name).is_some_and(|s| uid(s) == life)
            });
            if !alive || is_leaving(pod) {
                found.push((6, format!("pod {} is left over", place.2)));
            }
        }
        for (law, what) in found {
            self.breach(law, revision, what);
        }
    }

    fn pool_at_rest(&self, place: &Place, pool: &Value, found: &mut Vec<(u8, String)>) {
        let name = &place.2;
        let key: Name = (place.1.clone(), name.clone());
        if is_leaving(pool) {
            found.push((6, format!("pool {name} is still leaving")));
            return;
        }
        let leaving = self.members(&key).filter(|(_, s)| is_leaving(s)).count();
        if leaving > 0 {
            found.push((6, format!("{leaving} sandboxes of pool {name} are still leaving")));
        }
        let members: Vec<&Value> =
            self.members(&key).map(|(_, s)| s).filter(|s| !is_leaving(s)).collect();
        let ready = members.iter().filter(|s| is_true(s, "Ready")).count() as u64;
        let template = self
            .view
            .get("sandboxtemplates", &place.1, template_of(pool))
            .filter(|template| !image(template).contains(BROKEN_IMAGE));
        let strategy = pool["spec"]["updateStrategy"]["type"].as_str().unwrap_or("OnReplenish");
        let mut fresh = members.len() as u64;
        if let Some(template) = template {
            fresh = members.iter().filter(|s| image(s) == image(template)).count() as u64;
            // What is on offer counts, whatever its age, where stale ones may stay.
            let broken = members.iter().filter(|s| image(s).contains(BROKEN_IMAGE)).count() as u64;
            if ready + broken != replicas(pool) || (broken > 0 && strategy != "OnReplenish") {
                let what = format!("pool {name} has {ready} ready of {}", replicas(pool));
                found.push((6, what));
            }
            let stale = members.len() as u64 - fresh;
            if stale > 0 && strategy != "OnReplenish" {
                found.push((6, format!("pool {name} still has {stale} stale sandboxes")));
            }
        }
        let told = |field: &str| pool["status"][field].as_u64().unwrap_or(0);
        let counts = [
            ("replicas", members.len() as u64),
            ("readyReplicas", ready),
            ("updatedReplicas", if template.is_some() { fresh } else { told("updatedReplicas") }),
        ];
        for (field, true_count) in counts {
            if told(field) != true_count {
                let what = format!("pool {name} says {field} {}; it is {true_count}", told(field));
                found.push((7, what));
            }
        }
        if pool["status"]["observedGeneration"] != pool["metadata"]["generation"] {
            found.push((7, format!("pool {name} speaks of an older generation")));
        }
    }

    fn claim_at_rest(&self, place: &Place, claim: &Value, found: &mut Vec<(u8, String)>) {
        let name = &place.2;
        if is_leaving(claim) {
            found.push((6, format!("claim {name} is still leaving")));
            return;
        }
        let told = claim["status"]["sandbox"]["name"].as_str().unwrap_or_default();
        let held = self
            .view
            .get("sandboxes", &place.1, told)
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
        let pool = self.view.get("sandboxwarmpools", &place.1, pool);
        let template =
            pool.and_then(|p| self.view.get("sandboxtemplates", &place.1, template_of(p)));
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

    fn sandbox_at_rest(&self, place: &Place, sandbox: &Value, found: &mut Vec<(u8, String)>) {
        let name = &place.2;
        if is_leaving(sandbox) {
            found.push((6, format!("sandbox {name} is still leaving")));
            return;
        }
        let (resource, owner) = match (pool_of(sandbox), claim_of(sandbox)) {
            (Some(pool), _) => ("sandboxwarmpools", pool),
            (_, Some((claim, _))) => ("sandboxclaims", claim),
            // A person's own.
            (None, None) => return,
        };
        let life = controller(sandbox).map_or("", |(_, _, life)| life);
        if self.view.get(resource, &place.1, owner).is_none_or(|o| uid(o) != life) {
            found.push((6, format!("sandbox {name} outlived its owner {owner}")));
        }
        let suspended = sandbox["spec"]["operatingMode"] == "Suspended";
        let pod = self.view.get("pods", &place.1, name);
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
