//! Load: workers that each send one request after the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::caller::Caller;
use crate::figures::Latencies;

/// What a load found.
#[derive(Debug)]
pub struct Load {
    /// Of each request.
    pub latencies: Latencies,
    /// Requests a second, of all workers together.
    pub per_second: f64,
}

/// One worker for each caller sends requests for so long. `request` gets the caller and a number that no other request of this load has.
pub async fn closed_loop<F, R>(
    callers: &[Caller],
    lasts: Duration,
    request: F,
) -> anyhow::Result<Load>
where
    F: Fn(Caller, usize) -> R + Send + Sync + 'static,
    R: Future<Output = anyhow::Result<()>> + Send,
{
    let request = Arc::new(request);
    let mut workers = JoinSet::new();
    let began = Instant::now();
    for (worker, caller) in callers.iter().cloned().enumerate() {
        let (request, all) = (request.clone(), callers.len());
        workers.spawn(async move {
            let mut each = Vec::new();
            let mut number = worker;
            while began.elapsed() < lasts {
                let asked = Instant::now();
                request(caller.clone(), number).await?;
                each.push(asked.elapsed());
                number += all;
            }
            anyhow::Ok(each)
        });
    }
    let mut each = Vec::new();
    while let Some(worker) = workers.join_next().await {
        each.append(&mut worker??);
    }
    let per_second = each.len() as f64 / began.elapsed().as_secs_f64();
    Ok(Load { latencies: Latencies::of(each), per_second })
}
