//! Pods that exist: what may change in them, and by which request.

use serde_json::{Value, json};

use crate::client::*;
use sandbank_apiserver::testing::TestServer;

const PODS: &str = "/api/v1/namespaces/default/pods";
const POD: &str = "/api/v1/namespaces/default/pods/p";
const RESIZE: &str = "/api/v1/namespaces/default/pods/p/resize";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

const ELSE: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
    `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
    `spec.tolerations` (only additions to existing tolerations),\
    `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

async fn with_pod() -> (TestServer, Value) {
    let server = TestServer::start().await;
    let pod = json!({
        "kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"},
        "spec": {
            "initContainers": [{"name": "i", "image": "i:1"}],
            "containers": [{"name": "a", "image": "a:1", "resources": {
                "requests": {"cpu": "100m", "memory": "64Mi"},
                "limits": {"cpu": "200m", "memory": "64Mi"},
            }}, {"name": "b", "image": "b:1"}],
        },
    });
    let created = post(&server, PODS, &pod).await.expect(201);
    assert_eq!(created["metadata"]["generation"], 1);
    (server, created)
}

fn generation(pod: &Value) -> u64 {
    pod["metadata"]["generation"].as_u64().expect("pods have a generation")
}

/// A patch of one container's resources.
fn resources(name: &str, resources: Value) -> String {
    json!({"spec": {"containers": [{"name": name, "resources": resources}]}}).to_string()
}

#[tokio::test]
async fn images_a_deadline_and_new_tolerations_may_change() {
    let (server, _) = with_pod().await;
    let change = json!({"spec": {"containers": [{"name": "a", "image": "a:2"}],
        "initContainers": [{"name": "i", "image": "i:2"}]}});
    let pod = patch(&server, POD, STRATEGIC, &change.to_string()).await.expect(200);
    assert_eq!(pod["spec"]["containers"][0]["image"], "a:2");
    assert_eq!(pod["spec"]["containers"][1]["image"], "b:1");
    assert_eq!(generation(&pod), 2);
    let labelled = merge(&server, POD, &json!({"metadata": {"labels": {"x": "y"}}})).await;
    assert_eq!(generation(&labelled.expect(200)), 2, "metadata is not what pods are made from");

    for (seconds, code) in [(300, 200), (200, 200), (201, 422), (-1, 422)] {
        let change = json!({"spec": {"activeDeadlineSeconds": seconds}});
        assert_eq!(merge(&server, POD, &change).await.code, code, "{seconds}");
    }
    merge(&server, POD, &json!({"spec": {"activeDeadlineSeconds": 250}})).await.refused(
        422,
        "Invalid",
        "Pod \"p\" is invalid: spec.activeDeadlineSeconds: Invalid value: 250: must be less than or equal to previous value",
    );

    let mut pod = get(&server, POD).await.expect(200);
    let tolerations = pod["spec"]["tolerations"].as_array_mut().expect("two by default");
    tolerations[0]["tolerationSeconds"] = 7.into();
    tolerations.push(json!({"key": "k", "operator": "Exists"}));
    let mut pod = put(&server, POD, &pod).await.expect(200);
    pod["spec"]["tolerations"].as_array_mut().expect("three by now").remove(0);
    put(&server, POD, &pod).await.refused(
        422,
        "Invalid",
        "Pod \"p\" is invalid: spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
    );
}

#[tokio::test]
async fn nothing_else_of_a_pod_may_change() {
    let (server, pod) = with_pod().await;
    for (pointer, value, path) in [
        (
            "/spec/containers/0/resources/limits/cpu",
            json!("300m"),
            "spec.containers[0].resources.limits.cpu",
        ),
        ("/spec/containers/1/command", json!(["x"]), "spec.containers[1].command"),
        ("/spec/hostNetwork", json!(true), "spec.hostNetwork"),
        ("/spec/terminationGracePeriodSeconds", json!(1), "spec.terminationGracePeriodSeconds"),
    ] {
        let operation = json!([{"op": "add", "path": pointer, "value": value}]).to_string();
        let answer = patch(&server, POD, "application/json-patch+json", &operation).await;
        let message =
            format!("Pod \"p\" is invalid: spec: Forbidden: {ELSE}; this one changes {path}");
        let status = answer.refused(422, "Invalid", &message);
        assert_eq!(status["details"]["causes"][0]["reason"], "FieldValueForbidden");
    }
    let mut more = pod.clone();
    more["spec"]["containers"]
        .as_array_mut()
        .expect("two")
        .push(json!({"name": "c", "image": "c"}));
    put(&server, POD, &more).await.refused(
        422,
        "Invalid",
        "Pod \"p\" is invalid: spec.containers: Forbidden: pod updates may not add or remove containers",
    );
    let mut blank = pod.clone();
    blank["spec"]["containers"][0]["image"] = " a".into();
    assert_eq!(put(&server, POD, &blank).await.code, 422);
    let mut none = pod;
    none["spec"]["containers"][0]["image"] = "".into();
    assert_eq!(put(&server, POD, &none).await.code, 422);
}

#[tokio::test]
async fn binding_does_not_count_as_a_change_of_what_is_wanted() {
    let (server, _) = with_pod().await;
    let binding = json!({"kind": "Binding", "apiVersion": "v1", "metadata": {"name": "p"},
        "target": {"kind": "Node", "name": "n"}});
    post(&server, &format!("{POD}/binding"), &binding).await.expect(201);
    let pod = get(&server, POD).await.expect(200);
    assert_eq!((pod["spec"]["nodeName"].as_str(), generation(&pod)), (Some("n"), 1));
}

#[tokio::test]
async fn a_resize_changes_cpu_and_memory_and_nothing_else() {
    let (server, created) = with_pod().await;
    let larger = json!({"requests": {"cpu": "150m"}, "limits": {"cpu": "300m", "memory": "128Mi"}});
    let pod = patch(&server, RESIZE, STRATEGIC, &resources("a", larger)).await.expect(200);
    let expected = json!({"requests": {"cpu": "150m", "memory": "64Mi"},
        "limits": {"cpu": "300m", "memory": "128Mi"}});
    assert_eq!(pod["spec"]["containers"][0]["resources"], expected);
    assert_eq!(generation(&pod), 2);
    assert_eq!(get(&server, RESIZE).await.expect(200), pod);

    // Whatever else the body says is passed over, but not its revision.
    let mut whole = pod.clone();
    whole["metadata"]["labels"] = json!({"x": "y"});
    whole["spec"]["containers"][0]["image"] = "other".into();
    whole["spec"]["activeDeadlineSeconds"] = 5.into();
    whole["status"]["phase"] = "Failed".into();
    whole["spec"]["containers"][0]["resources"]["limits"]["cpu"] = "400m".into();
    let pod = put(&server, RESIZE, &whole).await.expect(200);
    assert_eq!(pod["spec"]["containers"][0]["resources"]["limits"]["cpu"], "400m");
    assert_eq!(pod["spec"]["containers"][0]["image"], "a:1");
    assert_eq!(pod["metadata"]["labels"], created["metadata"]["labels"]);
    assert_eq!(pod["spec"]["activeDeadlineSeconds"], Value::Null);
    assert_eq!(pod["status"], created["status"]);
    assert_eq!(put(&server, RESIZE, &whole).await.code, 409, "it names an old revision");
    assert_eq!(put(&server, RESIZE, &pod).await.expect(200), pod, "nothing changed");
}

#[tokio::test]
async fn a_resize_that_would_make_another_pod_is_refused_in_kubernetes_words() {
    let (server, pod) = with_pod().await;
    let invalid = |what: &str| format!("Pod \"p\" is invalid: {what}");
    for (name, change, why) in [
        (
            "a",
            json!({"limits": {"ephemeral-storage": "1Gi"}}),
            "spec: Forbidden: only cpu and memory resources are mutable",
        ),
        (
            "a",
            json!({"limits": {"memory": null}}),
            "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed",
        ),
        (
            "a",
            json!({"requests": {"cpu": "1"}}),
            "spec.containers[0].resources.requests: Invalid value: \"1\": must be less than or equal to cpu limit of 200m",
        ),
    ] {
        let answer = patch(&server, RESIZE, STRATEGIC, &resources(name, change)).await;
        answer.refused(422, "Invalid", &invalid(why));
    }
    let mut reordered = pod.clone();
    reordered["spec"]["containers"].as_array_mut().expect("two").reverse();
    let status = put(&server, RESIZE, &reordered).await.expect(422);
    let message = status["message"].as_str().expect("a message");
    let words =
        "spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize";
    assert!(message.contains(words), "{message}");
    let mut fewer = pod;
    fewer["spec"]["initContainers"] = json!([]);
    put(&server, RESIZE, &fewer).await.refused(
        422,
        "Invalid",
        &invalid(
            "spec.initContainers: Forbidden: initContainers may not be added or removed on resize",
        ),
    );
}

#[tokio::test]
async fn a_resize_keeps_the_quality_of_service() {
    let server = TestServer::start().await;
    for (name, given, change, class) in [
        ("none", json!({}), json!({"requests": {"cpu": "1"}}), "BestEffort"),
        (
            "all",
            json!({"limits": {"cpu": "1", "memory": "1Gi"}}),
            json!({"requests": {"cpu": "500m"}}),
            "Guaranteed",
        ),
        (
            "some",
            json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"memory": "512Mi"}}),
            json!({"requests": {"memory": "1Gi"}}),
            "Burstable",
        ),
    ] {
        let pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name},
            "spec": {"containers": [{"name": "a", "image": "i", "resources": given}]}});
        post(&server, PODS, &pod).await.expect(201);
        let uri = format!("{PODS}/{name}/resize");
        patch(&server, &uri, STRATEGIC, &resources("a", change)).await.refused(
            422,
            "Invalid",
            &format!(
                "Pod \"{name}\" is invalid: spec: Invalid value: \"{class}\": Pod QOS Class may not change as a result of resizing"
            ),
        );
    }
}

#[tokio::test]
async fn a_node_that_does_not_resize_is_not_asked_to() {
    let (server, _) = with_pod().await;
    let running = |resources: Value| {
        json!({"status": {"containerStatuses": [{
            "name": "a", "image": "a:1", "imageID": "", "ready": true, "restartCount": 0,
            "state": {"running": {}}, "resources": resources,
        }]}})
    };
    let larger = resources("a", json!({"limits": {"cpu": "300m"}}));
    merge(&server, &format!("{POD}/status"), &running(Value::Null)).await.expect(200);
    patch(&server, RESIZE, STRATEGIC, &larger).await.refused(
        422,
        "Invalid",
        "Pod \"p\" is invalid: spec: Forbidden: Pod running on node without support for resize",
    );
    merge(&server, &format!("{POD}/status"), &running(json!({}))).await.expect(200);
    patch(&server, RESIZE, STRATEGIC, &larger).await.expect(200);
    let deleted = delete(&server, RESIZE, &Value::Null).await;
    assert_eq!(deleted.code, 405);
}
