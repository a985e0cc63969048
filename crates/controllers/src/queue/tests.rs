use super::*;

fn queue() -> Queue<&'static str> {
    Queue::new(Backoff::seeded(1))
}

async fn next(q: &Queue<&'static str>) -> &'static str {
    q.take(Lane::Any).await.key
}

#[tokio::test(start_paused = true)]
async fn a_key_that_changes_often_is_looked_at_once() {
    let q = queue();
    for _ in 0..100 {
        q.enqueue("a", Priority::Background);
    }
    assert_eq!(q.depth(), 1);
    assert_eq!(next(&q).await, "a");
    assert_eq!(q.depth(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_key_in_work_waits_for_its_worker_and_then_comes_back() {
    let q = queue();
    q.enqueue("a", Priority::Background);
    assert_eq!(next(&q).await, "a");
    q.enqueue("a", Priority::Urgent);
    q.enqueue("b", Priority::Background);
    assert_eq!(next(&q).await, "b", "a is still being worked on");
    q.finish(&"a", Finish::Done(None));
    assert_eq!(q.take(Lane::UrgentOnly).await.key, "a");
}

#[tokio::test(start_paused = true)]
async fn claims_go_first_and_refill_is_never_starved() {
    let q = queue();
    let names: Vec<&'static str> =
        (0..40).map(|n| &*Box::leak(format!("claim{n:02}").into_boxed_str())).collect();
    q.enqueue("pool", Priority::Background);
    for name in &names {
        q.enqueue(name, Priority::Urgent);
    }
    let mut order = Vec::new();
    for _ in 0..41 {
        order.push(next(&q).await);
    }
    assert_eq!(order[..16], names[..16]);
    assert_eq!(order[16], "pool");
    assert_eq!(order[17..], names[16..]);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_key_is_promoted() {
    let q = queue();
    q.enqueue("a", Priority::Background);
    q.enqueue("b", Priority::Background);
    q.enqueue("b", Priority::Urgent);
    assert_eq!(q.depth(), 2);
    assert_eq!(next(&q).await, "b");
    assert_eq!(next(&q).await, "a");
}

#[tokio::test(start_paused = true)]
async fn a_timer_fires_once_and_only_the_last_plan_counts() {
    let q = queue();
    let start = Instant::now();
    q.enqueue("a", Priority::Background);
    next(&q).await;
    q.finish(&"a", Finish::Done(Some(start + Duration::from_secs(60))));
    assert!(q.is_quiet(start + Duration::from_secs(59)));
    // Looked at again before the timer, with a plan that wants a later time: the first timer is gone.
    q.enqueue("a", Priority::Background);
    next(&q).await;
    q.finish(&"a", Finish::Done(Some(start + Duration::from_secs(90))));
    assert_eq!(next(&q).await, "a");
    assert_eq!(start.elapsed(), Duration::from_secs(90));
    q.finish(&"a", Finish::Done(None));
    assert!(q.is_quiet(start + Duration::from_secs(100_000)));
}

#[tokio::test(start_paused = true)]
async fn failures_back_off_even_while_the_object_keeps_changing() {
    let q = queue();
    q.enqueue("a", Priority::Background);
    let mut last = Instant::now();
    let mut gaps = Vec::new();
    for _ in 0..10 {
        next(&q).await;
        gaps.push(last.elapsed());
        last = Instant::now();
        q.enqueue("a", Priority::Background);
        q.finish(&"a", Finish::Failed);
    }
    // The first few changes are followed at once; then the gaps grow.
    assert_eq!(gaps[..4], [Duration::ZERO; 4]);
    assert!(gaps[4] > Duration::ZERO && gaps[4..].windows(2).all(|w| w[1] > w[0]), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_timer_armed_while_all_workers_sleep_is_not_missed() {
    let q = std::sync::Arc::new(queue());
    q.enqueue("far", Priority::Background);
    next(&q).await;
    q.finish(&"far", Finish::Done(Some(Instant::now() + Duration::from_secs(1000))));
    let start = Instant::now();
    q.enqueue("near", Priority::Urgent);
    next(&q).await;
    let sleeper = tokio::spawn({
        let q = q.clone();
        async move { next(&q).await }
    });
    tokio::task::yield_now().await;
    q.finish(&"near", Finish::Done(Some(start + Duration::from_secs(5))));
    assert_eq!(sleeper.await.unwrap(), "near");
    assert_eq!(start.elapsed(), Duration::from_secs(5));
}
