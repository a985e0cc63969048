//! Start to ready, and memory: the real binary, seen from outside.

use std::time::Duration;

use http::Method;
use serde_json::json;

use crate::figures::{Figures, Unit};
use crate::stage::{POOLS, SANDBOXES, Stage, until_full};
use crate::up::{Runtime, Up};
use crate::watchers::Watcher;

/// How many sandboxes memory is measured with.
const MANY: u32 = 10_000;

/// From the start of the process to its line `ready`, on a fresh folder and again on the same one; memory then.
pub async fn starts(runtimes: &[Runtime]) -> anyhow::Result<Figures> {
    let mut figures = Figures::default();
    for runtime in runtimes {
        let row = format!("runtime {}", runtime.name());
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let up = Up::start(*runtime).await?;
        figures.add(&row, "ready, fresh folder", ms(up.ready_after), Unit::Ms);
        // Ready is what it says: the first request is answered.
        up.caller().await?.call(Method::GET, "/readyz", "").await?;
        figures.add(&row, "memory, empty", up.resident_mib()?, Unit::MiB);
        let folder = up.stop().await?;
        let up = Up::start_in(*runtime, folder).await?;
        figures.add(&row, "ready, used folder", ms(up.ready_after), Unit::Ms);
    }
    Ok(figures)
}

/// Memory with many sandboxes in one pool, and how fast the pool filled on the way there.
pub async fn memory() -> anyhow::Result<Figures> {
    let stage = Stage::binary(Runtime::Fake).await?;
    let Stage::Binary(up) = &stage else { anyhow::bail!("the binary was asked for") };
    let caller = stage.caller().await?;
    let empty = up.resident_mib()?;
    stage.template("many").await?;
    let began = std::time::Instant::now();
    stage.full_pool("many", "many", MANY).await?;
    let took = began.elapsed().as_secs_f64();
    let sandboxes = Watcher::open(&caller, SANDBOXES).await?;
    sandboxes.until("all ready", |scene| scene.ready == MANY as usize).await?;
    let mut figures = Figures::default();
    let row = "10,000 sandboxes, pretended pods";
    let full = up.resident_mib()?;
    figures.add(row, "memory", full, Unit::MiB);
    let each = (full - empty) * 1024.0 / f64::from(MANY);
    figures.add(row, "KiB for each (with its pod)", each, Unit::Count);
    figures.add(row, "filled at", f64::from(MANY) / took, Unit::PerSecond);
    figures.add(row, "processor time of the server, s", up.cpu_seconds()?, Unit::Count);
    // A pool that is emptied says whether memory comes back.
    let none = json!({"spec": {"replicas": 0}}).to_string();
    caller.call(Method::PATCH, &format!("{POOLS}/many"), &none).await?;
    let pools = Watcher::open(&caller, POOLS).await?;
    until_full(&pools, "many", 0).await?;
    sandboxes
        .within(Duration::from_secs(600), "none left", |scene| scene.present.is_empty())
        .await?;
    figures.add(row, "memory when all are gone", up.resident_mib()?, Unit::MiB);
    stage.end().await?;
    Ok(figures)
}
