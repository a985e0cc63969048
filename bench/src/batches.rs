//! Claims of many at once, from a SandboxSet that has as many: how long until all are handed out, and what one costs; beside what plain writes take.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;

use crate::caller::Caller;
use crate::costs::Costs;
use crate::figures::{Figures, Latencies, Unit};
use crate::load::closed_loop;
use crate::stage::{SET_CLAIMS, SET_SANDBOXES, Stage};
use crate::watchers::Watcher;

/// How many a claim asks for, and how many such claims are made, one after another, each from a full set.
const SIZES: [(u32, u32); 3] = [(1, 100), (100, 10), (1000, 2)];

/// How many write at once where only writes are measured.
const WRITERS: usize = 50;
/// For how long.
const WRITING: Duration = Duration::from_secs(2);

/// Each size on the same server, which is emptied in between.
pub async fn measure() -> anyhow::Result<Figures> {
    let stage = Stage::in_process().await?;
    let mut figures = Figures::default();
    let plain = plain_writes(&stage).await?;
    figures.add("creates of a ConfigMap, 50 at once", "a second", plain, Unit::PerSecond);
    for (size, claims) in SIZES {
        batches(&mut figures, &stage, size, claims, plain).await?;
    }
    stage.end().await?;
    Ok(figures)
}

/// What the same server writes when nothing has to be decided.
async fn plain_writes(stage: &Stage) -> anyhow::Result<f64> {
    let callers = stage.callers(WRITERS).await?;
    let load = closed_loop(&callers, WRITING, |caller, number| async move {
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("plain-{number}")},
            "data": {"text": "x".repeat(1000)},
        });
        caller.create("/api/v1/namespaces/default/configmaps", &map).await
    })
    .await?;
    Ok(load.per_second)
}

async fn batches(
    figures: &mut Figures,
    stage: &Stage,
    size: u32,
    count: u32,
    plain: f64,
) -> anyhow::Result<()> {
    let set = format!("set-{size}");
    stage.full_set(&set, size).await?;
    let caller = stage.caller().await?;
    let claims = Watcher::open(&caller, SET_CLAIMS).await?;
    let sandboxes = Watcher::open(&caller, SET_SANDBOXES).await?;
    // What is claimed stays ready, so each claim from a full set leaves so many more.
    let full = async |claimed: u32| {
        let ready = (size + claimed * size) as usize;
        sandboxes.until("a full set", |scene| scene.ready == ready).await
    };
    let before = Costs::read(&stage.metrics().await?);
    let mut each = Vec::new();
    for number in 0..count {
        full(number).await?;
        each.push(claim(&caller, &claims, &set, size, number).await?);
    }
    full(count).await?;
    let after = Costs::read(&stage.metrics().await?);
    // The watch shows every change, also one that was there for a moment only.
    let most = (size + count * size) as usize;
    anyhow::ensure!(
        sandboxes.most() <= most,
        "{} sandboxes, at most {most} wanted",
        sandboxes.most()
    );

    let row = format!("a claim of {size}");
    let took: f64 = each.iter().map(Duration::as_secs_f64).sum();
    let sandboxes_a_second = f64::from(size * count) / took;
    figures.add_latencies(&row, &Latencies::of(each), Unit::Ms);
    figures.add(&row, "a second", sandboxes_a_second, Unit::PerSecond);
    figures.add(&row, "of plain writes", 100.0 * sandboxes_a_second / plain, Unit::Percent);
    for (what, cost) in after.since(&before) {
        if what == "writes of the controllers, claim and refill" {
            figures.add(
                &row,
                "writes for each sandbox",
                cost / f64::from(size * count),
                Unit::Count,
            );
        }
    }
    clear(stage, &set, &claims, &sandboxes, count).await
}

/// From before the POST until a watch shows that the claim has all it asked for.
async fn claim(
    caller: &Caller,
    claims: &Watcher,
    set: &str,
    size: u32,
    number: u32,
) -> anyhow::Result<Duration> {
    let name = format!("{set}-{number}");
    let claim = json!({
        "apiVersion": "agents.kruise.io/v1alpha1", "kind": "SandboxClaim",
        "metadata": {"name": name}, "spec": {"templateName": set, "replicas": size},
    });
    let arrival = claims.expect(&name);
    let asked = Instant::now();
    caller.create(SET_CLAIMS, &claim).await?;
    Ok(arrival.seen().await?.at.duration_since(asked))
}

async fn clear(
    stage: &Stage,
    set: &str,
    claims: &Watcher,
    sandboxes: &Watcher,
    count: u32,
) -> anyhow::Result<()> {
    let caller = stage.caller().await?;
    caller.call(Method::DELETE, &format!("{}/{set}", crate::stage::SETS), "").await?;
    for number in 0..count {
        caller.call(Method::DELETE, &format!("{SET_CLAIMS}/{set}-{number}"), "").await?;
    }
    claims.until("no claim is left", |scene| scene.present.is_empty()).await?;
    caller.call(Method::DELETE, SET_SANDBOXES, "").await?;
    sandboxes.until("no sandbox is left", |scene| scene.present.is_empty()).await
}
