//! Events of pods: written by one task, behind everything that pods wait for, and counted instead of repeated.

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Event, Pod},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::sync::mpsc;
use tracing::debug;

/// Events that wait to be written; beyond it new ones are dropped, because pods must not wait for their own history.
const QUEUE: usize = 4096;
/// Events that are remembered for counting. The oldest is forgotten first; it is then written anew.
const REMEMBERED: usize = 4096;

/// Whether something went as wished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Severity {
    Normal,
    Warning,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Note {
    uid: String,
    namespace: String,
    pod: String,
    field: Option<String>,
    severity: Severity,
    reason: &'static str,
    message: String,
}

/// Where pods tell what happens to them.
#[derive(Clone)]
pub(crate) struct Recorder(mpsc::Sender<Note>);

impl Recorder {
    /// Starts the writer; it ends with the last recorder.
    pub(crate) fn start(client: Client, node: String) -> Self {
        let (send, receive) = mpsc::channel(QUEUE);
        tokio::spawn(write(client, node, receive));
        Self(send)
    }

    /// Tells of a pod, or of one of its containers.
    pub(crate) fn note(
        &self,
        pod: &Pod,
        container: Option<&str>,
        severity: Severity,
        reason: &'static str,
        message: impl Into<String>,
    ) {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let note = Note {
            uid: text(&pod.metadata.uid),
            namespace: text(&pod.metadata.namespace),
            pod: text(&pod.metadata.name),
            field: container.map(|name| field_of(pod, name)),
            severity,
            reason,
            message: message.into(),
        };
        if self.0.try_send(note).is_err() {
            debug!(reason, "too many events wait; one is dropped");
        }
    }
}

fn field_of(pod: &Pod, container: &str) -> String {
    let init = pod.spec.iter().flat_map(|s| s.init_containers.iter().flatten());
    let list =
        if init.into_iter().any(|c| c.name == container) { "initContainers" } else { "containers" };
    format!("spec.{list}{{{container}}}")
}

/// What an event that tells its time exactly may say, in bytes. Without that time its newer form has a hole that typed clients refuse.
const MESSAGE_BYTES: usize = 1024;

fn shortened(message: &str) -> String {
    const MORE: &str = "...";
    if message.len() <= MESSAGE_BYTES {
        return message.to_owned();
    }
    format!("{}{MORE}", &message[..message.floor_char_boundary(MESSAGE_BYTES - MORE.len())])
}

async fn write(client: Client, node: String, mut notes: mpsc::Receiver<Note>) {
    let mut known: HashMap<Note, (String, i32)> = HashMap::new();
    let mut order = VecDeque::new();
    while let Some(note) = notes.recv().await {
        let events: Api<Event> = Api::namespaced(client.clone(), &note.namespace);
        let now = Timestamp::now();
        if let Some((name, count)) = known.get_mut(&note) {
            *count += 1;
            let again = Patch::Merge(
                json!({ "count": count, "lastTimestamp": crate::status::seconds(now) }),
            );
            match events.patch(name, &PatchParams::default(), &again).await {
                Ok(_) => continue,
                // It expired: begin a new one.
                Err(error) => debug!(%error, "counting an event"),
            }
        }
        let name = format!("{}.{:016x}", note.pod, fastrand::u64(..));
        match create(&events, &note, &name, &node, now).await {
            Ok(()) => {
                if known.insert(note.clone(), (name, 1)).is_none() {
                    order.push_back(note);
                }
            }
            Err(error) => debug!(%error, "writing an event"),
        }
        if order.len() > REMEMBERED
            && let Some(oldest) = order.pop_front()
        {
            known.remove(&oldest);
        }
    }
}

async fn create(
    events: &Api<Event>,
    note: &Note,
    name: &str,
    node: &str,
    now: Timestamp,
) -> Result<(), kube::Error> {
    let mut involved = json!({
        "apiVersion": "v1", "kind": "Pod",
        "namespace": note.namespace, "name": note.pod, "uid": note.uid,
    });
    if let Some(field) = &note.field {
        involved["fieldPath"] = json!(field);
    }
    let component = match note.reason {
        "Scheduled" | "FailedScheduling" => "default-scheduler",
        _ => "kubelet",
    };
    let event = json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": { "name": name, "namespace": note.namespace },
        "involvedObject": involved,
        "type": match note.severity { Severity::Normal => "Normal", Severity::Warning => "Warning" },
        "reason": note.reason,
        "message": shortened(&note.message),
        "source": { "component": component, "host": node },
        "reportingComponent": component,
        "reportingInstance": node,
        "action": note.reason,
        "eventTime": MicroTime(now),
        "firstTimestamp": crate::status::seconds(now),
        "lastTimestamp": crate::status::seconds(now),
        "count": 1,
    });
    let event = serde_json::from_value(event).map_err(kube::Error::SerdeError)?;
    events.create(&PostParams::default(), &event).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_characters() {
        assert_eq!(shortened("short"), "short");
        let long = shortened(&"ä".repeat(600));
        assert!(long.len() <= MESSAGE_BYTES && long.ends_with("ä..."), "{long}");
    }
}
