//! Claims: from before the POST to Ready in a watch, alone, at a steady rate and all at once; and what one costs the controllers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;
use tokio::task::JoinSet;

use crate::caller::Caller;
use crate::costs::Costs;
use crate::figures::{Figures, Latencies, Unit};
use crate::stage::{CLAIMS, SANDBOXES, Stage};
use crate::watchers::Watcher;

/// Claims one after another.
const ALONE: usize = 100;
/// The pool they are taken from.
const ALONE_POOL: u32 = 20;

/// Claims a second, and the pools that stand them: a refill takes about 50 ms and each claim is given back at once.
const RATES: [(u32, u32); 2] = [(50, 100), (200, 400)];
/// How long each rate is kept up.
const STEADY: Duration = Duration::from_secs(8);

/// Claims all at once, from a full pool of as many.
const BURST: usize = 2000;
/// Of these, so many are sent at once.
const IN_FLIGHT: usize = 64;

/// Everything about claims, on a server of its own for each.
pub async fn measure(way: &str, stage: Stage) -> anyhow::Result<Figures> {
    let mut figures = Figures::default();
    stage.template("plain").await?;
    stage.full_pool("alone", "plain", ALONE_POOL).await?;
    alone(&mut figures, way, &stage, ALONE, ALONE_POOL).await?;
    for (rate, replicas) in RATES {
        let pool = format!("steady-{rate}");
        stage.full_pool(&pool, "plain", replicas).await?;
        steady(&mut figures, way, &stage, rate, &pool).await?;
    }
    stage.full_pool("burst", "plain", BURST as u32).await?;
    burst(&mut figures, way, &stage).await?;
    stage.end().await?;
    Ok(figures)
}

/// One after another, each from a full pool; then what they cost.
pub async fn alone(
    figures: &mut Figures,
    way: &str,
    stage: &Stage,
    count: usize,
    replicas: u32,
) -> anyhow::Result<()> {
    let caller = stage.caller().await?;
    // Not the pool's status: it follows a claim a moment later, and the next claim would be made from a pool that only says it is full. The claimed ones stay ready.
    let sandboxes = Watcher::open(&caller, SANDBOXES).await?;
    let full = async |claimed: usize| {
        let ready = replicas as usize + claimed;
        sandboxes.until("a full pool", |scene| scene.ready == ready).await
    };
    let claims = Watcher::open(&caller, CLAIMS).await?;
    let before = Costs::read(&stage.metrics().await?);
    let (mut answered, mut ready) = (Vec::new(), Vec::new());
    for number in 0..count {
        full(number).await?;
        let claim = Claim::make(&caller, &claims, "alone", format!("alone-{number}")).await?;
        answered.push(claim.answered);
        ready.push(claim.ready);
    }
    full(count).await?;
    let after = Costs::read(&stage.metrics().await?);
    let row = format!("alone, {way}");
    figures.add_latencies(&row, &Latencies::of(ready), Unit::Ms);
    let answered = Latencies::of(answered);
    figures.add(&row, "POST answered, p50", answered.rank(50, Unit::Ms), Unit::Ms);
    for (what, cost) in after.since(&before) {
        figures.add(format!("{what}, {way}"), "for each claim", cost / count as f64, Unit::Count);
    }
    for number in 0..count {
        caller.call(Method::DELETE, &format!("{CLAIMS}/alone-{number}"), "").await?;
    }
    claims.until("no claim is left", |scene| scene.present.is_empty()).await
}

/// So many a second whatever becomes of the earlier ones; each is given back when it is ready.
async fn steady(
    figures: &mut Figures,
    way: &str,
    stage: &Stage,
    rate: u32,
    pool: &str,
) -> anyhow::Result<()> {
    let caller = stage.caller().await?;
    let claims = Arc::new(Watcher::open(&caller, CLAIMS).await?);
    let callers = stage.callers(8).await?;
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    for number in 0..rate * STEADY.as_secs() as u32 {
        // Latency counts from when it was due: a client that is late has made its claim wait.
        let due = began + Duration::from_secs_f64(f64::from(number) / f64::from(rate));
        tokio::time::sleep_until(due.into()).await;
        let caller = callers[number as usize % callers.len()].clone();
        let (claims, pool) = (claims.clone(), pool.to_owned());
        tasks.spawn(async move {
            let name = format!("{pool}-{number}");
            let late = due.elapsed();
            let claim = Claim::make(&caller, &claims, &pool, name.clone()).await?;
            caller.call(Method::DELETE, &format!("{CLAIMS}/{name}"), "").await?;
            anyhow::Ok((claim.ready + late, claim.is_warm))
        });
    }
    let mut each = Vec::new();
    let mut warm = 0;
    while let Some(task) = tasks.join_next().await {
        let (ready, is_warm) = task??;
        each.push(ready);
        warm += usize::from(is_warm);
    }
    let row = format!("{rate} a second, {way}");
    let share = 100.0 * warm as f64 / each.len() as f64;
    let reached = each.len() as f64 / began.elapsed().as_secs_f64();
    figures.add_latencies(&row, &Latencies::of(each), Unit::Ms);
    figures.add(&row, "reached", reached, Unit::PerSecond);
    figures.add(&row, "warm", share, Unit::Percent);
    claims.until("no claim is left", |scene| scene.present.is_empty()).await
}

/// As many as a full pool has, as fast as they can be sent.
async fn burst(figures: &mut Figures, way: &str, stage: &Stage) -> anyhow::Result<()> {
    let caller = stage.caller().await?;
    let claims = Arc::new(Watcher::open(&caller, CLAIMS).await?);
    let mut tasks = JoinSet::new();
    let callers = stage.callers(IN_FLIGHT).await?;
    let began = Instant::now();
    for (worker, caller) in callers.into_iter().enumerate() {
        let claims = claims.clone();
        tasks.spawn(async move {
            let mut each = Vec::new();
            for number in (worker..BURST).step_by(IN_FLIGHT) {
                let name = format!("burst-{number}");
                each.push(Claim::make(&caller, &claims, "burst", name).await?);
            }
            anyhow::Ok(each)
        });
    }
    let mut each = Vec::new();
    while let Some(task) = tasks.join_next().await {
        each.append(&mut task??);
    }
    let took = began.elapsed().as_secs_f64();
    let row = format!("2,000 from a full pool, 64 at once, {way}");
    let warm = each.iter().filter(|claim| claim.is_warm).count();
    let ready = Latencies::of(each.iter().map(|claim| claim.ready).collect());
    figures.add_latencies(&row, &ready, Unit::Ms);
    figures.add(&row, "reached", each.len() as f64 / took, Unit::PerSecond);
    figures.add(&row, "warm", 100.0 * warm as f64 / each.len() as f64, Unit::Percent);
    Ok(())
}

/// A claim that got its sandbox.
struct Claim {
    /// From before the POST to its answer.
    answered: Duration,
    /// From before the POST to Ready in the watch.
    ready: Duration,
    /// Whether the sandbox was the pool's: one made for a claim has the claim's name.
    is_warm: bool,
}

impl Claim {
    async fn make(
        caller: &Caller,
        claims: &Watcher,
        pool: &str,
        name: String,
    ) -> anyhow::Result<Self> {
        let claim = json!({
            "apiVersion": "extensions.agents.x-k8s.io/v1beta1", "kind": "SandboxClaim",
            "metadata": {"name": name}, "spec": {"warmPoolRef": {"name": pool}},
        });
        let arrival = claims.expect(&name);
        let asked = Instant::now();
        caller.create(CLAIMS, &claim).await?;
        let answered = asked.elapsed();
        let seen = arrival.seen().await?;
        Ok(Self { answered, ready: seen.at.duration_since(asked), is_warm: seen.sandbox != name })
    }
}
