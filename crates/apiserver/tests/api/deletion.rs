//! How objects leave.

use serde_json::json;

use crate::client::*;
use sandbank_apiserver::testing::TestServer;

/// Trap 8: clients wait for the uid that the answer names.
#[tokio::test]
async fn what_nothing_holds_is_gone_at_once() {
    let server = TestServer::start().await;
    let created = post(&server, MAPS, &config_map("a", json!({}))).await.expect(201);
    let uri = format!("{MAPS}/a");
    let uid = &created["metadata"]["uid"];
    let wrong = json!({"preconditions": {"uid": "other"}});
    let status = delete(&server, &uri, &wrong).await;
    assert!(
        status
            .text
            .contains("the UID in the precondition (other) does not match the UID in record")
    );
    assert_eq!(status.code, 409);
    assert_eq!(
        delete(&server, &uri, &json!({"preconditions": {"resourceVersion": "1"}})).await.code,
        409
    );
    // Trap 10: kube-rs sends a body.
    let right = json!({"preconditions": {"uid": uid}, "propagationPolicy": "Background"});
    let status = delete(&server, &uri, &right).await.expect(200);
    assert_eq!(status["status"], "Success");
    assert_eq!(status["details"], json!({"name": "a", "kind": "configmaps", "uid": uid}));
    let message = "configmaps \"a\" not found";
    delete(&server, &uri, &json!(null)).await.refused(404, "NotFound", message);
}

#[tokio::test]
async fn finalizers_hold_and_the_last_one_lets_go() {
    let server = TestServer::start().await;
    let mut map = config_map("a", json!({}));
    map["metadata"]["finalizers"] = json!(["example.com/hold"]);
    post(&server, MAPS, &map).await.expect(201);
    let uri = format!("{MAPS}/a");
    let mut events = Events::open(
        &server,
        &format!("{MAPS}?watch=true&resourceVersion={}", server.store().revision()),
    )
    .await;
    let marked = delete(&server, &uri, &json!(null)).await.expect(200);
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 0);
    let again = delete(&server, &uri, &json!(null)).await.expect(200);
    assert_eq!(again, marked, "a second delete changes nothing");
    assert_eq!(events.brief().await, "MODIFIED a");
    let create = post(&server, MAPS, &config_map("a", json!({}))).await;
    create.refused(
        409,
        "AlreadyExists",
        "object is being deleted: configmaps \"a\" already exists",
    );
    let more = json!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}});
    assert_eq!(merge(&server, &uri, &more).await.code, 422);
    let last = merge(&server, &uri, &json!({"metadata": {"finalizers": null}})).await.expect(200);
    assert_eq!(last["metadata"]["finalizers"], json!(null));
    assert_eq!(events.brief().await, "DELETED a");
    assert_eq!(get(&server, &uri).await.code, 404);
}

#[tokio::test]
async fn propagation_policies_are_finalizers() {
    let server = TestServer::start().await;
    for (policy, finalizer) in [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")] {
        let name = policy.to_lowercase();
        post(&server, MAPS, &config_map(&name, json!({}))).await.expect(201);
        let marked =
            delete(&server, &format!("{MAPS}/{name}"), &json!({"propagationPolicy": policy})).await;
        assert_eq!(marked.expect(200)["metadata"]["finalizers"], json!([finalizer]));
    }
    post(&server, MAPS, &config_map("a", json!({}))).await.expect(201);
    for wrong in [
        json!({"propagationPolicy": "Sideways"}),
        json!({"propagationPolicy": "Orphan", "orphanDependents": true}),
        json!({"gracePeriodSeconds": -1}),
        json!({"dryRun": ["Some"]}),
    ] {
        assert_eq!(delete(&server, &format!("{MAPS}/a"), &wrong).await.code, 422, "{wrong}");
    }
}

#[tokio::test]
async fn pods_leave_gracefully_once_a_node_runs_them() {
    let server = TestServer::start().await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"containers": [{"name": "c", "image": "i"}], "terminationGracePeriodSeconds": 20}})
    };
    let created = post(&server, pods, &pod("a")).await.expect(201);
    assert_eq!(created["status"]["phase"], "Pending");
    assert_eq!(created["status"]["qosClass"], "BestEffort");
    assert_eq!(created["metadata"]["generation"], 1);
    let container = &created["spec"]["containers"][0];
    assert_eq!(container["imagePullPolicy"], "Always");
    assert_eq!(container["terminationMessagePath"], "/dev/termination-log");
    delete(&server, &format!("{pods}/a"), &json!(null)).await.expect(200);
    assert_eq!(get(&server, &format!("{pods}/a")).await.code, 404, "no node knows of it");

    post(&server, pods, &pod("b")).await.expect(201);
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "b"}, "target": {"kind": "Node", "name": "n"}});
    post(&server, &format!("{pods}/b/binding"), &binding).await.expect(201);
    assert_eq!(post(&server, &format!("{pods}/b/binding"), &binding).await.code, 409, "once");
    let bound = get(&server, &format!("{pods}/b")).await.expect(200);
    assert_eq!(bound["spec"]["nodeName"], "n");
    assert_eq!(bound["status"]["conditions"][0]["type"], "PodScheduled");
    assert_eq!(
        merge(&server, &format!("{pods}/b"), &json!({"spec": {"nodeName": "m"}})).await.code,
        422
    );
    let status = json!({"status": {"phase": "Running"}, "metadata": {"labels": {"a": "b"}}, "spec": {"nodeName": "x"}});
    let written = merge(&server, &format!("{pods}/b/status"), &status).await.expect(200);
    assert_eq!(written["status"]["phase"], "Running");
    assert_eq!(written["metadata"]["labels"]["a"], "b", "pods take labels with their status");
    assert_eq!(written["spec"]["nodeName"], "n");

    let marked = delete(&server, &format!("{pods}/b"), &json!(null)).await.expect(200);
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 20);
    let shorter =
        delete(&server, &format!("{pods}/b"), &json!({"gracePeriodSeconds": 5})).await.expect(200);
    assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 5);
    let longer =
        delete(&server, &format!("{pods}/b"), &json!({"gracePeriodSeconds": 50})).await.expect(200);
    assert_eq!(longer["metadata"]["deletionGracePeriodSeconds"], 5, "never longer");
    delete(&server, &format!("{pods}/b"), &json!({"gracePeriodSeconds": 0})).await.expect(200);
    assert_eq!(get(&server, &format!("{pods}/b")).await.code, 404);

    post(&server, pods, &pod("c")).await.expect(201);
    let eviction =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "c"}});
    let status = post(&server, &format!("{pods}/c/eviction"), &eviction).await.expect(201);
    assert_eq!(status["status"], "Success");
    assert_eq!(get(&server, &format!("{pods}/c")).await.code, 404);
}
