//! The machine of a simulation: pods become ready after a drawn delay, fail when told to, and end when deleted.
//!
//! It behaves like the node agent as seen through the API, and like nothing else: no container, no thread, no clock but
//! tokio's paused one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use futures::{StreamExt, pin_mut};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::watcher::{self, Event};
use kube::{Client, ResourceExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// How the machine behaves.
#[derive(Clone, Debug)]
pub struct NodeTemper {
    /// The least and the most time from a pod's creation to its readiness.
    pub start: (Duration, Duration),
    /// The least and the most time a deleted pod takes to end.
    pub end: (Duration, Duration),
    /// One in so many pods fails instead of becoming ready; 0: none.
    pub one_fails_in: u32,
    /// One in so many pods is not ready for a while after it was; 0: none.
    pub one_wavers_in: u32,
    /// Whether it says why a pod does not start.
    pub explains: bool,
}

/// How the machine feels: once calm, no pod fails or wavers any more. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Mood(Arc<AtomicBool>);

impl Mood {
    /// From now on all goes well.
    pub fn calm(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_calm(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Default for NodeTemper {
    fn default() -> Self {
        Self {
            start: (Duration::from_millis(200), Duration::from_millis(1500)),
            end: (Duration::from_millis(1), Duration::from_millis(400)),
            one_fails_in: 0,
            one_wavers_in: 0,
            explains: false,
        }
    }
}

/// The name of the machine.
const NODE: &str = "machine";

/// A pod whose image has this word never becomes ready; the story of a broken template.
pub const BROKEN_IMAGE: &str = "broken";

/// What the containers of each pod are now, by the pod's life: people and controllers change images and resources of running pods. The last of a pair tells whether
/// its node has said that it runs.
type Containers = Arc<Mutex<BTreeMap<String, (Value, bool)>>>;

/// Runs the machine until it is dropped.
pub async fn run(client: Client, temper: NodeTemper, mood: Mood, seed: u64) {
    let pods = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Pod"));
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &pods);
    let mut rng = Rng::with_seed(seed);
    let mut started = BTreeSet::new();
    let mut ending = BTreeSet::new();
    let containers = Containers::default();
    let mut work = JoinSet::new();
    let mut address: u32 = 0;
    let events = watcher::watcher(api, watcher::Config::default());
    pin_mut!(events);
    loop {
        let event = tokio::select! {
            biased;
            event = events.next() => event,
            Some(_) = work.join_next(), if !work.is_empty() => continue,
        };
        let pod = match event {
            Some(Ok(Event::Apply(pod) | Event::InitApply(pod))) => pod,
            Some(Ok(_)) => continue,
            Some(Err(error)) => {
                tracing::debug!(%error, "the machine's watch broke");
                continue;
            }
            None => return,
        };
        let uid = pod.uid().unwrap_or_default();
        let api: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), &pod.namespace().unwrap_or_default(), &pods);
        if pod.metadata.deletion_timestamp.is_some() {
            containers.lock().remove(&uid);
            if ending.insert(uid.clone()) {
                let wait = draw(&mut rng, temper.end);
                work.spawn(end(api, pod.name_any(), uid, wait));
            }
            continue;
        }
        let spec = &pod.data["spec"]["containers"];
        if started.insert(uid.clone()) {
            containers.lock().insert(uid.clone(), (spec.clone(), false));
            address += 1;
            let wait = draw(&mut rng, temper.start);
            let image = spec[0]["image"].as_str().unwrap_or_default();
            let mut one_in = |many: u32| many > 0 && rng.u32(..many) == 0 && !mood.is_calm();
            let fate = if image.contains(BROKEN_IMAGE) {
                if temper.explains { Fate::CanNotPull } else { Fate::NeverReady }
            } else if one_in(temper.one_fails_in) {
                Fate::Fails
            } else if one_in(temper.one_wavers_in) {
                Fate::Wavers(draw(&mut rng, WAVERING.0), draw(&mut rng, WAVERING.1))
            } else {
                Fate::Ready
            };
            let machine = Pod { api, name: pod.name_any(), uid, containers: containers.clone() };
            work.spawn(start(machine, wait, fate, address));
        } else if containers.lock().get(&uid).is_some_and(|(before, runs)| *runs && before != spec)
        {
            containers.lock().insert(uid.clone(), (spec.clone(), true));
            let wait = draw(&mut rng, temper.start);
            let machine = Pod { api, name: pod.name_any(), uid, containers: containers.clone() };
            work.spawn(change(machine, wait));
        } else if let Some((known, _)) = containers.lock().get_mut(&uid) {
            known.clone_from(spec);
        }
    }
}

/// After how long a wavering pod stops being ready, and for how long.
const WAVERING: ((Duration, Duration), (Duration, Duration)) = (
    (Duration::from_millis(10), Duration::from_secs(8)),
    (Duration::from_millis(100), Duration::from_secs(4)),
);

#[derive(Clone, Copy)]
enum Fate {
    Ready,
    Fails,
    NeverReady,
    CanNotPull,
    Wavers(Duration, Duration),
}

/// A pod, as the machine knows it.
struct Pod {
    api: Api<DynamicObject>,
    name: String,
    uid: String,
    containers: Containers,
}

impl Pod {
    /// Writes a status. The pod may be gone by now, and another may have its name; that is its own affair.
    async fn say(&self, status: Value) {
        let patch = Patch::Merge(json!({"metadata": {"uid": self.uid}, "status": status}));
        let _ = self.api.patch_status(&self.name, &PatchParams::default(), &patch).await;
    }

    /// What does not run in it, and why not.
    fn waiting(&self, reason: &str) -> Value {
        let known = self.containers.lock();
        let Some((containers, _)) = known.get(&self.uid) else { return json!([]) };
        let statuses = containers.as_array().into_iter().flatten().map(|container| {
            let image = container["image"].as_str().unwrap_or_default();
            let message = format!("image {image:?} can't be pulled: not found");
            json!({
                "name": container["name"],
                "image": image,
                "imageID": "",
                "ready": false,
                "restartCount": 0,
                "state": {"waiting": {"reason": reason, "message": message}},
            })
        });
        statuses.collect()
    }

    /// What runs in it: each container as its pod wants it.
    fn running(&self) -> Value {
        let mut known = self.containers.lock();
        let Some((containers, runs)) = known.get_mut(&self.uid) else { return json!([]) };
        *runs = true;
        let statuses = containers.as_array().into_iter().flatten().map(|container| {
            let image = container["image"].as_str().unwrap_or_default();
            json!({
                "name": container["name"],
                "image": image,
                "imageID": format!("id-of-{image}"),
                "containerID": format!("machine://{}-{image}", self.uid),
                "ready": true,
                "started": true,
                "restartCount": 0,
                "state": {"running": {}},
                "resources": container["resources"],
            })
        });
        statuses.collect()
    }
}

/// Other images and resources of a running pod take effect.
async fn change(pod: Pod, wait: Duration) {
    tokio::time::sleep(wait).await;
    let statuses = pod.running();
    pod.say(json!({"containerStatuses": statuses})).await;
}

async fn start(pod: Pod, wait: Duration, fate: Fate, address: u32) {
    let [_, b, c, d] = (0x0a58_0000 + address).to_be_bytes();
    let ip = format!("10.{b}.{c}.{d}");
    let report = async |phase: &str, ready: &str| {
        let mut status = json!({
            "phase": phase,
            "conditions": [
                {"type": "PodScheduled", "status": "True"},
                {"type": "Ready", "status": ready},
            ],
        });
        if phase != "Pending" {
            status["podIP"] = json!(ip);
            status["podIPs"] = json!([{"ip": ip}]);
        }
        if phase == "Running" {
            status["containerStatuses"] = pod.running();
        }
        pod.say(status).await;
    };
    // A pod without a node has no kubelet that could end it gracefully, and vanishes at once when it is deleted.
    let binding = json!({"metadata": {"name": pod.name}, "target": {"kind": "Node", "name": NODE}});
    let post = PostParams::default();
    let _ = pod.api.create_subresource::<Value, Value>("binding", &pod.name, &post, &binding).await;
    tokio::time::sleep(wait).await;
    match fate {
        Fate::Ready => report("Running", "True").await,
        Fate::Fails => report("Failed", "False").await,
        Fate::NeverReady => report("Pending", "False").await,
        Fate::CanNotPull => {
            report("Pending", "False").await;
            pod.say(json!({"containerStatuses": pod.waiting("ErrImagePull")})).await;
        }
        Fate::Wavers(after, during) => {
            report("Running", "True").await;
            tokio::time::sleep(after).await;
            report("Running", "False").await;
            tokio::time::sleep(during).await;
            report("Running", "True").await;
        }
    }
}

async fn end(api: Api<DynamicObject>, name: String, uid: String, wait: Duration) {
    tokio::time::sleep(wait).await;
    let mut now = DeleteParams::default().grace_period(0);
    now.preconditions = Some(kube::api::Preconditions { uid: Some(uid), resource_version: None });
    let _ = api.delete(&name, &now).await;
}

fn draw(rng: &mut Rng, (least, most): (Duration, Duration)) -> Duration {
    least + Duration::from_micros(rng.u64(..=(most - least).as_micros() as u64))
}
