//! What a kube client sees, in process, with and without faults in between.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use http::Method;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use sandbank_apiserver::testing::{Fault, Lists, Rule, TestServer};
use serde_json::json;
use tower::Layer;

fn map(name: &str, value: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": {"k": value}})).unwrap()
}

#[tokio::test]
async fn a_kube_client_works_on_the_router_itself() {
    let server = TestServer::start().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(Client::new(server.service(), "default"));
    let post = PostParams::default();
    let created = maps.create(&post, &map("a", "1")).await.unwrap();
    assert!(created.uid().is_some());
    let error = maps.create(&post, &map("a", "1")).await.unwrap_err();
    assert!(matches!(error, kube::Error::Api(status) if status.is_already_exists()));
    let change = json!({"data": {"k": "2"}});
    let changed = maps.patch("a", &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
    assert_eq!(changed.data.unwrap()["k"], "2");
    let change = json!({"data": {"k": "3"}});
    maps.patch("a", &PatchParams::default(), &Patch::Strategic(change)).await.unwrap();
    let apply = PatchParams::apply("me");
    let error = maps.patch("a", &apply, &Patch::Apply(map("a", "4"))).await.unwrap_err();
    assert!(error.to_string().contains("not served by sandbank yet"), "{error}");
    assert_eq!(maps.list(&ListParams::default()).await.unwrap().items.len(), 1);
    assert_eq!(maps.list_metadata(&ListParams::default()).await.unwrap().items.len(), 1);
    let gone = maps.delete("a", &DeleteParams::background()).await.unwrap();
    assert!(gone.is_right(), "a Status, not an object");
    assert!(maps.get_opt("a").await.unwrap().is_none());
}

#[tokio::test]
async fn both_kinds_of_watcher_see_what_is_there_and_what_comes() {
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let server = TestServer::start().await;
        let maps: Api<ConfigMap> =
            Api::default_namespaced(Client::new(server.service(), "default"));
        maps.create(&PostParams::default(), &map("a", "1")).await.unwrap();
        let mut objects = std::pin::pin!(watcher(maps.clone(), config).applied_objects());
        assert_eq!(objects.try_next().await.unwrap().unwrap().name_any(), "a");
        maps.create(&PostParams::default(), &map("b", "1")).await.unwrap();
        assert_eq!(objects.try_next().await.unwrap().unwrap().name_any(), "b");
    }
}

/// A patient writer and a watcher reach the same end whatever happens on the way, and the same way for the same seed.
#[tokio::test(start_paused = true)]
async fn clients_survive_faults_and_a_seed_repeats_them() {
    let first = story(3).await;
    assert!(first.0 > 20, "only {} faults struck", first.0);
    assert_eq!(first, story(3).await);
    assert_ne!(first, story(4).await);
}

/// Writes and watches through faults; answers with how many struck and the server's last revision.
async fn story(seed: u64) -> (u64, u64) {
    let server = TestServer::seeded(seed).await;
    let some = |fault| Rule::new(fault).chance(0.1);
    let faults = server
        .faults(seed)
        .rule(some(Fault::Delay(Duration::from_secs(2))))
        .rule(some(Fault::Drop).methods([Method::POST, Method::DELETE]))
        .rule(some(Fault::LoseAnswer))
        .rule(some(Fault::FailAfterCommit))
        .rule(some(Fault::Busy(1)).methods([Method::POST]))
        .rule(Rule::new(Fault::CutWatch(3)).chance(0.5))
        .rule(Rule::new(Fault::DelayWatch(Duration::from_secs(3))))
        .rule(some(Fault::StaleList { revisions: 2, lists: Lists::All }));
    let client = Client::new(faults.layer(server.service()), "default");
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let wanted: BTreeSet<String> = (0..40).map(|index| format!("m{index:02}")).collect();
    let watching = async {
        let events = watcher(maps.clone(), watcher::Config::default()).default_backoff();
        let mut events = std::pin::pin!(events.applied_objects());
        let mut seen = BTreeSet::new();
        while seen != wanted {
            if let Some(Ok(object)) = events.next().await {
                seen.insert(object.name_any());
            }
        }
    };
    let writing = async {
        for name in &wanted {
            loop {
                match maps.create(&PostParams::default(), &map(name, "1")).await {
                    Ok(_) => break,
                    // The lost answer of an earlier attempt.
                    Err(kube::Error::Api(status)) if status.is_already_exists() => break,
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        }
    };
    futures::join!(watching, writing);
    faults.stop();
    let struck = faults.struck();
    maps.list(&ListParams::default()).await.unwrap();
    assert_eq!(faults.struck(), struck, "stopped means stopped");
    (struck, server.store().revision().0)
}
