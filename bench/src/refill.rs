//! A pool that is emptied of all and filled again: how fast, and never beyond its size.

use std::time::Instant;

use http::Method;
use serde_json::json;

use crate::figures::{Figures, Unit};
use crate::stage::{PODS, POOLS, SANDBOXES, SET_SANDBOXES, SETS, Stage, until_full};
use crate::watchers::Watcher;

/// The pool.
const SIZE: u32 = 1000;

/// From 0 to 1,000 with pretended pods, a pool of each family.
pub async fn measure() -> anyhow::Result<Figures> {
    let mut figures = Figures::default();
    let stage = Stage::in_process().await?;
    stage.template("plain").await?;
    stage.full_pool("refill", "plain", 0).await?;
    fill(&mut figures, &stage, "SandboxWarmPool", POOLS, SANDBOXES).await?;
    stage.end().await?;
    let stage = Stage::in_process().await?;
    stage.full_set("refill", 0).await?;
    fill(&mut figures, &stage, "SandboxSet", SETS, SET_SANDBOXES).await?;
    stage.end().await?;
    Ok(figures)
}

async fn fill(
    figures: &mut Figures,
    stage: &Stage,
    kind: &str,
    pools: &str,
    sandboxes: &str,
) -> anyhow::Result<()> {
    let caller = stage.caller().await?;
    let seen = Watcher::open(&caller, pools).await?;
    let sandboxes = Watcher::open(&caller, sandboxes).await?;
    let pods = Watcher::open(&caller, PODS).await?;
    let size = json!({"spec": {"replicas": SIZE}}).to_string();
    let began = Instant::now();
    caller.call(Method::PATCH, &format!("{pools}/refill"), &size).await?;
    until_full(&seen, "refill", SIZE).await?;
    let took = began.elapsed().as_secs_f64();
    let row = format!("{kind} from 0 to 1,000, in process");
    figures.add(&row, "sandboxes", f64::from(SIZE) / took, Unit::PerSecond);
    for (what, watcher) in [("most sandboxes", &sandboxes), ("most pods", &pods)] {
        // An object that came and went before the pool was full is counted too: the watch shows every change.
        watcher.until("as many as the pool", |scene| scene.ready == SIZE as usize).await?;
        let most = watcher.most();
        anyhow::ensure!(most <= SIZE as usize, "{what}: {most} for a {kind} of {SIZE}");
        figures.add(&row, what, most as f64, Unit::Count);
    }
    Ok(())
}
