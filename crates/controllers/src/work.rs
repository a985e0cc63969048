//! The workers: take a subject, look at it, give it back.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::act::WriteError;
use crate::family::Family;
use crate::queue::{Finish, Lane, Queue};
use crate::reconcile::{Failure, Reconciler};
use crate::run::lanes;
use crate::subject::Subject;

/// Works until `stop`, then lets what is under way end.
pub(crate) async fn run<F: Family>(
    reconciler: Arc<Reconciler<F>>,
    queue: Arc<Queue<Subject>>,
    workers: usize,
    stop: CancellationToken,
) {
    let mut set = JoinSet::new();
    for lane in lanes(workers) {
        set.spawn(worker(reconciler.clone(), queue.clone(), lane, stop.clone()));
    }
    while let Some(ended) = set.join_next().await {
        // A look that panicked takes one worker with it. The others must not go on as if nothing had happened to its subject.
        if let Err(error) = ended
            && error.is_panic()
        {
            tracing::error!(%error, "a worker panicked; stopping");
            stop.cancel();
        }
    }
    reconciler.finish().await;
}

async fn worker<F: Family>(
    reconciler: Arc<Reconciler<F>>,
    queue: Arc<Queue<Subject>>,
    lane: Lane,
    stop: CancellationToken,
) {
    loop {
        let taken = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            taken = queue.take(lane) => taken,
        };
        let subject = taken.key;
        let begun = Instant::now();
        let result = reconciler.reconcile(&subject).await;
        reconciler.metrics.reconcile(subject.word(), taken.waited, begun.elapsed());
        let finish = match result {
            Ok(wake_at) => Finish::Done(wake_at.map(|at| reconciler.clock.instant_of(at))),
            Err(failure) => {
                reconciler.metrics.reconcile_failed(subject.word());
                tell(&subject, &failure);
                Finish::Failed
            }
        };
        queue.finish(&subject, finish);
    }
}

fn tell(subject: &Subject, failure: &Failure) {
    let source = std::error::Error::source(failure).map(ToString::to_string).unwrap_or_default();
    match failure {
        // Part of the work: somebody else was faster.
        Failure::Contended { .. }
        | Failure::Write { source: WriteError::Conflict(_) | WriteError::Gone(_), .. } => {
            tracing::debug!(%subject, %failure, source, "to be planned again");
        }
        Failure::Write { .. } => tracing::warn!(%subject, %failure, source, "to be planned again"),
    }
}
