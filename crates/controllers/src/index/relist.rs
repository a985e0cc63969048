//! What a listing leaves out, and whether it is gone.
//!
//! A watch that lost its place lists again, and the list may be older than what was seen already: it came from a late replica, or an object was looked at by
//! name while the pages arrived. Taken at its word such a list makes living sandboxes vanish until the watch has replayed them, and a pool makes them a second
//! time. The list's own revision does not reach us, so an absence is not believed: whatever is known and was not listed is asked for by its name, which every
//! API server answers from its newest state.

use std::collections::BTreeSet;
use std::time::Duration;

use engine::Key;
use futures::StreamExt;
use kube::Api;

use super::decode::{Delivered, Watched};
use super::{Index, Indexed};
use crate::act::WRITE_TIMEOUT;
use crate::family::Family;

/// Names asked for at once. A list that lost its place after a mass deletion asks for thousands; sixteen at a time keep that to a second without crowding out
/// the writes.
const AT_ONCE: usize = 16;

/// The pause after an answer that says nothing. A server that can't answer this can't feed the watch either, so there is nothing to hurry for.
const PAUSE: Duration = Duration::from_millis(500);

/// What the server says of a name.
enum Found<T> {
    Object(Box<Delivered<T>>),
    Nothing,
}

/// Takes out of the index what is gone, and returns what is there although the listing left it out. Only what `selector` selects counts as there.
pub(super) async fn settle<F: Family, T: Indexed<F>>(
    client: &kube::Client,
    index: &Index<F>,
    selector: Option<&'static str>,
    listed: &BTreeSet<Key>,
) -> Vec<Delivered<T>> {
    let missing = index.missing::<T>(listed);
    let mut answers = futures::stream::iter(missing)
        .map(|(key, version)| async move {
            let found = ask::<T>(client, &key).await;
            (key, version, found)
        })
        .buffered(AT_ONCE);
    let mut there = Vec::new();
    while let Some((key, version, found)) = answers.next().await {
        match found {
            Found::Object(delivered) if selects(selector, &delivered) => there.push(*delivered),
            Found::Object(_) | Found::Nothing => index.gone::<T>(&key, version),
        }
    }
    there
}

async fn ask<T: Watched>(client: &kube::Client, key: &Key) -> Found<T> {
    let api: Api<Delivered<T>> = Api::namespaced(client.clone(), &key.namespace);
    loop {
        match tokio::time::timeout(WRITE_TIMEOUT, api.get_opt(&key.name)).await {
            Ok(Ok(Some(delivered))) => return Found::Object(Box::new(delivered)),
            Ok(Ok(None)) => return Found::Nothing,
            // We may list and not get: then the list is all there is to go by.
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 401 | 403) => {
                return Found::Nothing;
            }
            Ok(Err(error)) => {
                tracing::debug!(kind = %T::KIND, object = %key, %error, "not known whether it is gone");
            }
            Err(_) => {
                tracing::debug!(kind = %T::KIND, object = %key, "no answer whether it is gone");
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn selects<T: Watched>(selector: Option<&'static str>, delivered: &Delivered<T>) -> bool {
    match (selector, &delivered.object) {
        (Some(label), Ok(object)) => object.meta().labels.contains_key(label),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::Body;
    use dialects::x_k8s::Sandbox;
    use http::{Request, Response, StatusCode};
    use parking_lot::Mutex;
    use serde_json::{Value, json};
    use tokio::sync::watch;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::clock::Clock;
    use crate::events::Events;
    use crate::index::World;
    use crate::index::watch::{Listing, Scope, Synced, WatchOptions, follow};
    use crate::metrics::Metrics;
    use crate::queue::{Backoff, Queue};
    use crate::x_k8s::{Own, XK8s};

    fn sandbox(name: &str, uid: &str, version: u64) -> Value {
        let metadata = json!({
            "name": name, "namespace": "ns", "uid": uid, "resourceVersion": version.to_string(),
        });
        json!({ "apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox", "metadata": metadata, "spec": {} })
    }

    fn list(version: u64, items: &[Value]) -> String {
        let metadata = json!({ "resourceVersion": version.to_string() });
        json!({ "kind": "SandboxList", "apiVersion": "agents.x-k8s.io/v1beta1", "metadata": metadata, "items": items })
            .to_string()
    }

    fn event(kind: &str, object: &Value) -> String {
        format!("{}\n", json!({ "type": kind, "object": object }))
    }

    /// A server that answers lists and watches from a script, in order, and names from a table. When the script is over, watches are silent.
    struct Script {
        lists: Vec<String>,
        watches: Vec<String>,
        asked: Vec<String>,
    }

    fn index() -> Arc<Index<XK8s>> {
        let own = Own::new(dialects::x_k8s::Options::default());
        let world = World::new(own, Clock::system(), Metrics::new());
        Arc::new(Index::new(world, Arc::new(Queue::new(Backoff::seeded(1)))))
    }

    /// Follows the script until its last watch is asked for. `there` are the sandboxes that exist.
    async fn play(
        index: &Arc<Index<XK8s>>,
        lists: Vec<String>,
        watches: Vec<String>,
        there: Vec<Value>,
    ) -> Vec<String> {
        let script = Arc::new(Mutex::new(Script { lists, watches, asked: Vec::new() }));
        let (over, mut is_over) = watch::channel(false);
        let over = Arc::new(over);
        let answer = {
            let script = script.clone();
            move |request: Request<kube::client::Body>| {
                let uri = request.uri().clone();
                let mut script = script.lock();
                let (status, body) = if uri.query().is_some_and(|q| q.contains("watch=true")) {
                    if script.watches.is_empty() {
                        over.send_replace(true);
                        (
                            StatusCode::OK,
                            Body::from_stream(futures::stream::pending::<
                                Result<String, std::io::Error>,
                            >()),
                        )
                    } else {
                        (StatusCode::OK, Body::from(script.watches.remove(0)))
                    }
                } else if uri.path().ends_with("/sandboxes") {
                    (StatusCode::OK, Body::from(script.lists.remove(0)))
                } else {
                    let name = uri.path().rsplit('/').next().unwrap().to_owned();
                    let found = there.iter().find(|o| o["metadata"]["name"] == name.as_str());
                    script.asked.push(name);
                    match found {
                        Some(object) => (StatusCode::OK, Body::from(object.to_string())),
                        None => {
                            let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "NotFound", "message": "gone", "code": 404 });
                            (StatusCode::NOT_FOUND, Body::from(status.to_string()))
                        }
                    }
                };
                let response = Response::builder().status(status).body(body).unwrap();
                async move { Ok::<_, std::convert::Infallible>(response) }
            }
        };
        let client = kube::Client::new(tower::service_fn(answer), "ns");
        let options = WatchOptions { scope: Scope::Cluster, listing: Listing::Pages, labels: None };
        let shutdown = CancellationToken::new();
        let following = follow::<XK8s, Sandbox>(
            client,
            index.clone(),
            options,
            Events::off(Metrics::new()),
            Metrics::new(),
            watch::channel(Synced::No).0,
            shutdown.clone(),
        );
        tokio::select! {
            () = following => panic!("the watch ended"),
            over = is_over.wait_for(|over| *over) => { over.unwrap(); }
        }
        script.lock().asked.clone()
    }

    fn known(index: &Index<XK8s>) -> Vec<(String, u64)> {
        let listed = BTreeSet::new();
        index
            .missing::<Sandbox>(&listed)
            .into_iter()
            .map(|(key, version)| (key.name.to_string(), version.0))
            .collect()
    }

    fn lost_its_place() -> String {
        event(
            "ERROR",
            &json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Expired", "message": "too old", "code": 410 }),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_older_than_what_was_seen_makes_nothing_vanish_and_what_is_gone_goes() {
        let index = index();
        let (a, b, c) = (sandbox("a", "1", 5), sandbox("b", "2", 7), sandbox("c", "3", 4));
        let first = event("ADDED", &b) + &lost_its_place();
        // The second list knows nothing of b, which was seen at 7, and c went while nobody watched.
        let lists = vec![list(5, &[a.clone(), c.clone()]), list(5, std::slice::from_ref(&a))];
        let asked = play(&index, lists, vec![first], vec![a, b]).await;
        assert_eq!(asked, ["b", "c"]);
        assert_eq!(known(&index), [("a".to_owned(), 5), ("b".to_owned(), 7)]);
    }

    #[tokio::test(start_paused = true)]
    async fn events_that_an_old_list_replays_do_not_touch_a_later_life() {
        let index = index();
        let (old, new) = (sandbox("a", "old", 5), sandbox("a", "new", 9));
        let removed = sandbox("a", "old", 8);
        let first = event("DELETED", &removed) + &event("ADDED", &new) + &lost_its_place();
        // The replay stops before the new life: if the old one's events counted, nothing would be left.
        let replay = event("DELETED", &removed);
        let lists = vec![list(5, std::slice::from_ref(&old)), list(5, std::slice::from_ref(&old))];
        play(&index, lists, vec![first, replay], vec![new]).await;
        assert_eq!(known(&index), [("a".to_owned(), 9)]);
    }
}
