//! The task that writes events.

use http::{Method, Request, header};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Notes;
use super::series::{Entry, Series, Step};
use crate::act::WRITE_TIMEOUT;
use crate::clock::Clock;
use crate::metrics::Metrics;

/// Who reports.
const COMPONENT: &str = "sandbank-controller";

/// Writes notes as events until `shutdown`. A failed write is counted and forgotten.
pub async fn run(
    client: kube::Client,
    mut notes: Notes,
    clock: Clock,
    seed: u64,
    metrics: Metrics,
    shutdown: CancellationToken,
) {
    let mut series = Series::seeded(seed);
    loop {
        let next = series.next();
        let steps = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            note = notes.0.recv() => match note {
                Some(note) => series.take(note, clock.now(), Instant::now()).into_iter().collect(),
                None => return,
            },
            () = async { tokio::time::sleep_until(next.unwrap_or_else(Instant::now)).await }, if next.is_some() => series.due(Instant::now()),
        };
        for step in steps {
            let request = match &step {
                Step::Post(entry) => post(entry),
                Step::Update(entry) => update(entry),
            };
            metrics.event(send(&client, request).await);
        }
    }
}

async fn send(
    client: &kube::Client,
    request: Result<Request<Vec<u8>>, http::Error>,
) -> &'static str {
    let Ok(request) = request else { return "failed" };
    match tokio::time::timeout(WRITE_TIMEOUT, client.request_text(request)).await {
        Ok(Ok(_)) => "ok",
        Ok(Err(error)) => {
            tracing::debug!(%error, "an event was not written");
            "failed"
        }
        Err(_) => "timed_out",
    }
}

/// What an event that tells its time exactly may say, in bytes. Without that time its newer form (events.k8s.io) has a hole that typed
/// clients refuse.
const MESSAGE_BYTES: usize = 1024;

fn shortened(message: &str) -> String {
    const MORE: &str = "...";
    if message.len() <= MESSAGE_BYTES {
        return message.to_owned();
    }
    format!("{}{MORE}", &message[..message.floor_char_boundary(MESSAGE_BYTES - MORE.len())])
}

fn collection(entry: &Entry) -> String {
    format!("/api/v1/namespaces/{}/events", entry.name.namespace)
}

fn post(entry: &Entry) -> Result<Request<Vec<u8>>, http::Error> {
    let note = &entry.note;
    let body = json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": { "name": &*entry.name.name, "namespace": &*entry.name.namespace },
        "involvedObject": {
            "apiVersion": note.kind.api_version(),
            "kind": note.kind.name(),
            "namespace": &*note.key.namespace,
            "name": &*note.key.name,
            "uid": note.uid.as_str(),
        },
        "type": note.severity.as_str(),
        "reason": note.reason,
        "message": shortened(&note.message),
        "source": { "component": COMPONENT },
        "reportingComponent": COMPONENT,
        "reportingInstance": COMPONENT,
        "action": note.reason,
        "eventTime": format!("{:.6}", entry.first),
        "count": entry.count,
        "firstTimestamp": format!("{:.0}", entry.first),
        "lastTimestamp": format!("{:.0}", entry.last),
    });
    build(Method::POST, &collection(entry), "application/json", &body)
}

fn update(entry: &Entry) -> Result<Request<Vec<u8>>, http::Error> {
    let body = json!({
        "count": entry.count,
        "message": shortened(&entry.note.message),
        "lastTimestamp": format!("{:.0}", entry.last),
    });
    let path = format!("{}/{}", collection(entry), entry.name.name);
    build(Method::PATCH, &path, "application/merge-patch+json", &body)
}

fn build(
    method: Method,
    path: &str,
    content_type: &str,
    body: &Value,
) -> Result<Request<Vec<u8>>, http::Error> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, content_type)
        .body(body.to_string().into_bytes())
}
