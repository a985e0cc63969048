//! The API server's requests: how many a second and how long one takes, beside what the store alone does.
//!
//! The object is a custom one with a structural schema and a status subresource, about 1.4 kB as served: what the baseline of the real
//! API server was measured with.

use std::time::{Duration, Instant};

use anyhow::Context;
use apiserver::auth::Identity;
use apiserver::{ApiServer, StoreOptions};
use futures::{AsyncBufReadExt, StreamExt};
use http::{Method, Request};
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::commits::{BATCHES, raw_row};
use crate::figures::{Figures, Latencies, Unit};
use crate::load::{Load, closed_loop};
use crate::stage::define;
use crate::up::{Runtime, Up, scratch};

/// Objects in the collection that is read, listed and patched.
const LISTED: usize = 1000;

/// How long each load lasts.
const SLICE: Duration = Duration::from_secs(1);

/// Patches whose events are awaited.
const EVENTS: usize = 300;

const READ: &str = "/apis/bench.sandbank.dev/v1/namespaces/default/widgets";
const CREATED: &str = "/apis/bench.sandbank.dev/v1/namespaces/kube-public/widgets";

/// Every request in every way, and the ratios to the store's rates in `commits`.
pub async fn measure(commits: &Figures) -> anyhow::Result<Figures> {
    let mut figures = Figures::default();

    let folder = scratch()?;
    let store = StoreOptions::Durable { path: folder.path().join("store.redb") };
    let api = ApiServer::builder().store(store).open().await?;
    let service = || api.service(Identity::system("bench"));
    let client = || Caller::Client(kube::Client::new(service(), "default"));
    prepare(&client()).await?;
    requests(&mut figures, "router", &[Caller::Router(service())], None).await?;
    for connections in BATCHES {
        let callers: Vec<Caller> = (0..connections).map(|_| client()).collect();
        requests(&mut figures, "in process", &callers, None).await?;
    }
    events(&mut figures, "in process", &client()).await?;
    api.close().await;

    let up = Up::start(Runtime::Fake).await?;
    prepare(&up.caller().await?).await?;
    for connections in BATCHES {
        let mut callers = Vec::new();
        for _ in 0..connections {
            callers.push(up.caller().await?);
        }
        requests(&mut figures, "TLS", &callers, Some(&up)).await?;
    }
    events(&mut figures, "TLS", &up.caller().await?).await?;

    for (way, batches) in [("in process", &BATCHES[..]), ("TLS", &BATCHES[..])] {
        for batch in batches {
            let row = row("create", way, *batch);
            let raw = commits.get(&raw_row(*batch), "writes").context("measured before")?;
            let ours = figures.get(&row, "rate").context("measured above")?;
            figures.add(row, "of redb alone", 100.0 * ours / raw, Unit::Percent);
        }
    }
    Ok(figures)
}

fn row(request: &str, way: &str, connections: usize) -> String {
    format!("{request}, {way}, {connections} at once")
}

/// The definition and the collection that is read.
async fn prepare(caller: &Caller) -> anyhow::Result<()> {
    define(caller, &definition()).await?;
    for number in 0..LISTED {
        caller.create(READ, &widget(&format!("w{number}"), 0)).await?;
    }
    Ok(())
}

async fn requests(
    figures: &mut Figures,
    way: &str,
    callers: &[Caller],
    server: Option<&Up>,
) -> anyhow::Result<()> {
    let connections = callers.len();
    // Names that no other load on the same server uses.
    let prefix = format!("{}-{connections}", way.replace(' ', "-").to_lowercase());
    let of = |number: usize| format!("{READ}/w{}", number % LISTED);
    let mut note = async |request: &str, load: Load, used: Option<f64>| {
        let row = row(request, way, connections);
        figures.add(&row, "rate", load.per_second, Unit::PerSecond);
        figures.add_latencies(&row, &load.latencies, Unit::Us);
        if let Some(seconds) = used {
            let each = seconds * 1e6 / load.latencies.len() as f64;
            figures.add(&row, "server's CPU", each, Unit::Us);
        }
    };
    let cpu = || server.map(Up::cpu_seconds).transpose();
    let used = |before: Option<f64>| -> anyhow::Result<Option<f64>> {
        Ok(cpu()?.zip(before).map(|(after, before)| after - before))
    };

    let before = cpu()?;
    let load = closed_loop(callers, SLICE, move |caller, number| async move {
        caller.call(Method::GET, &of(number), "").await.map(drop)
    })
    .await?;
    note("get", load, used(before)?).await;

    let before = cpu()?;
    let load = closed_loop(callers, SLICE, move |caller, number| {
        let object = widget(&format!("{prefix}-{number}"), 0);
        async move { caller.create(CREATED, &object).await }
    })
    .await?;
    note("create", load, used(before)?).await;

    let before = cpu()?;
    let load = closed_loop(callers, SLICE, move |caller, number| async move {
        let patch = json!({"spec": {"size": number + 1}}).to_string();
        caller.call(Method::PATCH, &of(number), &patch).await.map(drop)
    })
    .await?;
    note("merge patch", load, used(before)?).await;

    let before = cpu()?;
    let load = closed_loop(callers, SLICE, |caller, _| async move {
        caller.call(Method::GET, READ, "").await.map(drop)
    })
    .await?;
    note("list of 1,000", load, used(before)?).await;
    Ok(())
}

/// From before a patch is sent to the event of it in a watch.
async fn events(figures: &mut Figures, way: &str, caller: &Caller) -> anyhow::Result<()> {
    let Caller::Client(client) = caller else { anyhow::bail!("a watch needs a client") };
    let request = Request::get(format!("{READ}?watch=true&fieldSelector=metadata.name%3Dw0"));
    let mut lines = client.request_stream(request.body(Vec::new())?).await?.lines();
    // The first event is the object as it is.
    lines.next().await.context("a watch begins with what is there")??;
    let mut each = Vec::with_capacity(EVENTS);
    for number in 0..EVENTS {
        // Larger than any number of the loads before: each patch changes something.
        let size = 1_000_000_000 + number;
        let patch = json!({"spec": {"size": size}}).to_string();
        let asked = Instant::now();
        let path = format!("{READ}/w0");
        let patched = caller.call(Method::PATCH, &path, &patch);
        let event = async {
            let line = lines.next().await.context("the watch goes on")??;
            anyhow::ensure!(line.contains(&format!("\"size\":{size}")), "another event: {line}");
            anyhow::Ok(asked.elapsed())
        };
        let (patched, event) = tokio::join!(patched, event);
        patched?;
        each.push(event?);
    }
    let row = format!("merge patch to its event, {way}");
    figures.add_latencies(&row, &Latencies::of(each), Unit::Us);
    Ok(())
}

/// A custom object of about 1.4 kB as served.
pub fn widget(name: &str, size: u64) -> Value {
    let labels =
        json!({"app": "bench", "tier": "backend", "release": "stable", "team": "platform"});
    let items: Vec<Value> = (0..8)
        .map(|n| json!({"name": format!("item-{n}"), "value": "x".repeat(64), "weight": n}))
        .collect();
    json!({
        "apiVersion": "bench.sandbank.dev/v1", "kind": "Widget",
        "metadata": {"name": name, "labels": labels, "annotations": {"note": "n".repeat(120)}},
        "spec": {"size": size, "image": "registry.example/widget:1", "paused": false, "items": items},
    })
}

fn definition() -> Value {
    let text = json!({"type": "string", "maxLength": 1024});
    let item = json!({"type": "object", "required": ["name"], "properties": {
        "name": text, "value": text, "weight": {"type": "integer", "minimum": 0},
    }});
    let spec = json!({"type": "object", "required": ["size"], "properties": {
        "size": {"type": "integer", "format": "int64", "minimum": 0},
        "image": text, "paused": {"type": "boolean", "default": false},
        "mode": {"type": "string", "enum": ["Fast", "Safe"], "default": "Safe"},
        "items": {"type": "array", "maxItems": 100, "items": item},
    }});
    let status = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.bench.sandbank.dev"},
        "spec": {
            "group": "bench.sandbank.dev", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}},
            }],
        },
    })
}
