//! One sandbox, and what becomes of it.

mod changes;
mod lives;
mod upgrades;

use controllers::kinds::Kind;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::stage::{Stage, condition};

impl Stage {
    /// A sandbox of this image that nobody owns, with more laid over its spec.
    async fn sandbox(&self, name: &str, image: &str, more: Value) {
        self.create(Kind::KruiseSandbox, sandbox(name, image, more)).await;
    }

    /// Waits until the sandbox is in this phase, and returns it.
    async fn phase(&self, name: &str, phase: &str) -> Value {
        self.until(&format!("sandbox {name} is {phase}"), async || {
            let sandbox = self.get(Kind::KruiseSandbox, name).await?;
            (sandbox["status"]["phase"] == phase).then_some(sandbox)
        })
        .await
    }

    /// Waits until a condition of a sandbox has this reason, and returns the sandbox.
    async fn reason(&self, name: &str, kind: &str, reason: &str) -> Value {
        self.until(&format!("{kind} of sandbox {name} says {reason}"), async || {
            let sandbox = self.get(Kind::KruiseSandbox, name).await?;
            (condition(&sandbox, kind)["reason"] == reason).then_some(sandbox)
        })
        .await
    }

    /// Waits until the sandbox runs and is ready, and returns it.
    async fn runs(&self, name: &str) -> Value {
        self.until(&format!("sandbox {name} is ready"), async || {
            let sandbox = self.get(Kind::KruiseSandbox, name).await?;
            let ready = condition(&sandbox, "Ready")["status"] == "True";
            (ready && sandbox["status"]["phase"] == "Running").then_some(sandbox)
        })
        .await
    }

    /// The life of a pod.
    async fn life(&self, pod: &str) -> Value {
        self.get(Kind::Pod, pod).await.map(|pod| pod["metadata"]["uid"].clone()).unwrap_or_default()
    }

    /// Waits until an event of this reason was written, and returns its text.
    async fn told(&self, reason: &str) -> String {
        self.until(&format!("there is an event {reason}"), async || {
            let path = "/apis/events.k8s.io/v1/namespaces/default/events";
            let list = self.send(http::Method::GET, path, None).await.unwrap();
            let items = list["items"].as_array()?.clone();
            let event = items.into_iter().find(|event| event["reason"] == reason)?;
            Some(event["note"].as_str().unwrap_or_default().to_owned())
        })
        .await
    }

    /// So many seconds from now, as objects have it.
    fn in_seconds(&self, seconds: i64) -> String {
        let at = self.clock.now() + SignedDuration::from_secs(seconds);
        dialects::condition::to_second(at).to_string()
    }
}

/// A sandbox of one container of this image, with more laid over its spec.
fn sandbox(name: &str, image: &str, more: Value) -> Value {
    let mut spec = json!({"template": {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": image}]},
    }});
    merge(&mut spec, &more);
    json!({"metadata": {"name": name}, "spec": spec})
}

/// A volume claim template.
fn volume(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}})
}

fn merge(to: &mut Value, with: &Value) {
    match (to, with) {
        (Value::Object(to), Value::Object(with)) => {
            for (key, value) in with {
                merge(to.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (to, with) => *to = with.clone(),
    }
}
