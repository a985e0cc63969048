//! Answers are lost and controllers die: no claim has more than it asked for, nor less.

use std::time::Duration;

use controllers::kinds::Kind;
use http::Method;
use serde_json::json;

use super::{names, told};
use crate::stage::Stage;
use crate::wire::Fault;

#[tokio::test(start_paused = true)]
async fn lost_answers_give_a_claim_no_more_than_it_asked_for() {
    for fault in [Fault::LoseAnswer, Fault::LoseRequest, Fault::Refuse] {
        for (method, path) in [
            (Method::PATCH, "agents.kruise.io/v1alpha1/namespaces/default/sandboxes/"),
            (Method::PATCH, "sandboxclaims/c/status"),
            (Method::POST, "agents.kruise.io/v1alpha1/namespaces/default/sandboxes"),
        ] {
            let cold = method == Method::POST;
            let stage = Stage::stocked_set(if cold { 0 } else { 3 }).await;
            stage.wire.break_next(method.clone(), path, fault);
            stage.ask("c", "demo", json!({"replicas": 2})).await;
            let claim = stage.over("c").await;
            assert!(stage.wire.is_whole());
            stage.pass(Duration::from_secs(60)).await;
            let mine = stage.of_claim(&claim).await;
            assert_eq!((mine.len(), names(&mine)), (2, told(&claim)), "{fault:?} {method} {path}");
        }
    }
}

/// The controllers die after any number of writes. Whoever comes after them counts what carries the claim's mark.
#[tokio::test(start_paused = true)]
async fn a_crash_between_any_two_writes_gives_a_claim_no_more_than_it_asked_for() {
    for cold in [false, true] {
        for writes in 0..6 {
            let mut stage = Stage::stocked_set(if cold { 0 } else { 4 }).await;
            stage.wire.stop_after(writes);
            stage.ask("c", "demo", json!({"replicas": 3})).await;
            stage
                .until("they hang, or are done", async || {
                    let claim = stage.get(Kind::KruiseClaim, "c").await?;
                    let done = claim["status"]["phase"] == "Completed";
                    (stage.wire.is_stopped() || done).then_some(())
                })
                .await;
            stage.pass(Duration::from_millis(100)).await;
            let dead = stage.take();
            dead.task.abort();
            let _ = dead.task.await;
            stage.wire.go_on();
            stage.enter(|_| {});
            let claim = stage.over("c").await;
            stage.pass(Duration::from_secs(60)).await;
            let mine = stage.of_claim(&claim).await;
            assert_eq!(
                (mine.len(), names(&mine)),
                (3, told(&claim)),
                "cold {cold}, after {writes}"
            );
        }
    }
}
