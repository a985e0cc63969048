//! A pool that is emptied of all and filled again: how fast, and never beyond its size.

use std::time::Instant;

use http::Method;
use serde_json::json;

use crate::figures::{Figures, Unit};
use crate::stage::{PODS, POOLS, SANDBOXES, Stage, until_full};
use crate::watchers::Watcher;

/// The pool.
const SIZE: u32 = 1000;

/// From 0 to 1,000 with pretended pods.
pub async fn measure() -> anyhow::Result<Figures> {
    let stage = Stage::in_process().await?;
    stage.template("plain").await?;
    stage.full_pool("refill", "plain", 0).await?;
    let caller = stage.caller().await?;
    let pools = Watcher::open(&caller, POOLS).await?;
    let sandboxes = Watcher::open(&caller, SANDBOXES).await?;
    let pods = Watcher::open(&caller, PODS).await?;
    let size = json!({"spec": {"replicas": SIZE}}).to_string();
    let began = Instant::now();
    caller.call(Method::PATCH, &format!("{POOLS}/refill"), &size).await?;
    until_full(&pools, "refill", SIZE).await?;
    let took = began.elapsed().as_secs_f64();
    let row = "0 to 1,000, in process";
    let mut figures = Figures::default();
    figures.add(row, "sandboxes", f64::from(SIZE) / took, Unit::PerSecond);
    for (what, watcher) in [("most sandboxes", &sandboxes), ("most pods", &pods)] {
        // An object that came and went before the pool was full is counted too: the watch shows every change.
        watcher.until("as many as the pool", |scene| scene.ready == SIZE as usize).await?;
        let most = watcher.most();
        anyhow::ensure!(most <= SIZE as usize, "{what}: {most} for a pool of {SIZE}");
        figures.add(row, what, most as f64, Unit::Count);
    }
    drop((pools, sandboxes, pods));
    stage.end().await?;
    Ok(figures)
}
