//! Bad requests, and the words they are answered with.

use axum::body::Body;
use serde_json::json;

use crate::client::*;
use sandbank_apiserver::testing::TestServer;

#[tokio::test]
async fn what_is_not_there_is_named() {
    let server = TestServer::start().await;
    assert_eq!(get(&server, "/nonsense").await.text, "404 page not found\n");
    assert_eq!(get(&server, "/apis/no.such/v1/things").await.text, "404 page not found\n");
    assert_eq!(get(&server, "/api/v9/pods").await.text, "404 page not found\n");
    let status = get(&server, "/api/v1/things").await.refused(
        404,
        "NotFound",
        "the server could not find the requested resource",
    );
    assert_eq!(status["details"], json!({}));
    let status = get(&server, "/apis/apps/v1/deployments").await.expect(404);
    assert_eq!(status["message"], "the API group apps is not served by sandbank yet");
    let status = get(&server, &format!("{MAPS}/x")).await.refused(
        404,
        "NotFound",
        "configmaps \"x\" not found",
    );
    assert_eq!(status["details"], json!({"name": "x", "kind": "configmaps"}));
    let uri = "/api/v1/namespaces/none/configmaps";
    let status = post(&server, uri, &config_map("a", json!({}))).await;
    let status = status.refused(404, "NotFound", "namespaces \"none\" not found");
    assert_eq!(status["details"]["kind"], "namespaces");
}

#[tokio::test]
async fn bodies_that_do_not_fit_are_refused() {
    let server = TestServer::start().await;
    let map = config_map("a", json!({}));
    post(&server, MAPS, &map).await.expect(201);
    post(&server, MAPS, &map).await.refused(
        409,
        "AlreadyExists",
        "configmaps \"a\" already exists",
    );
    let raw = |body: Vec<u8>| http::Request::post(MAPS).body(Body::from(body)).unwrap();
    for body in ["", "{", "[]", "\"x\"", "nonsense"] {
        let answer = send(&server, raw(body.into())).await;
        assert_eq!(
            (answer.code, &answer.json()["reason"]),
            (400, &json!("BadRequest")),
            "{body:?}"
        );
    }
    let large = send(&server, raw(vec![b' '; (3 << 20) + 1])).await;
    assert_eq!(large.code, 413);
    let request = http::Request::post(MAPS)
        .header("content-type", "text/plain")
        .body(Body::from("x"))
        .unwrap();
    assert_eq!(send(&server, request).await.code, 415);
    let mut other = map.clone();
    other["kind"] = "Secret".into();
    assert_eq!(post(&server, MAPS, &other).await.code, 400);
    let mut elsewhere = map.clone();
    elsewhere["metadata"]["namespace"] = "kube-system".into();
    post(&server, MAPS, &elsewhere).await.refused(
        400,
        "BadRequest",
        "the namespace of the provided object does not match the namespace sent on the request",
    );
    put(&server, &format!("{MAPS}/b"), &map).await.refused(
        404,
        "NotFound",
        "configmaps \"b\" not found",
    );
    post(&server, MAPS, &config_map("b", json!({}))).await.expect(201);
    put(&server, &format!("{MAPS}/b"), &map).await.refused(
        400,
        "BadRequest",
        "the name of the object (a) does not match the name on the URL (b)",
    );
    let mut versioned = config_map("c", json!({}));
    versioned["metadata"]["resourceVersion"] = "5".into();
    let message = "resourceVersion should not be set on objects to be created";
    post(&server, MAPS, &versioned).await.refused(500, "", message);
    let nameless = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {}});
    let message = "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required";
    post(&server, MAPS, &nameless).await.refused(422, "Invalid", message);
    for (name, code) in
        [("UPPER", 422), ("a b", 422), ("-", 422), (&*"x".repeat(254), 422), ("ok.name-1", 201)]
    {
        assert_eq!(post(&server, MAPS, &config_map(name, json!({}))).await.code, code, "{name}");
    }
    let mut labelled = config_map("l", json!({}));
    labelled["metadata"]["labels"] = json!({"not valid": "x", "ok": "not valid"});
    let status = post(&server, MAPS, &labelled).await.expect(422);
    assert_eq!(status["details"]["causes"].as_array().unwrap().len(), 2);
    let typed = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "t"}, "data": {"a": 1}});
    assert_eq!(post(&server, MAPS, &typed).await.code, 400, "built-in kinds are read into types");
}

#[tokio::test]
async fn verbs_that_are_not_offered_are_405() {
    let server = TestServer::start().await;
    for (method, uri) in [
        ("PUT", MAPS),
        ("PATCH", MAPS),
        ("POST", "/api/v1/configmaps"),
        ("DELETE", "/api/v1/namespaces"),
        ("POST", "/api/v1/namespaces/default/configmaps/a"),
    ] {
        let request =
            http::Request::builder().method(method).uri(uri).body(Body::from("{}")).unwrap();
        assert_eq!(send(&server, request).await.code, 405, "{method} {uri}");
    }
}

#[tokio::test]
async fn nobody_in_particular_may_only_look_at_health() {
    use tower::ServiceExt;
    let server = TestServer::start().await;
    let ask = |uri: &str| {
        let request = http::Request::get(uri).body(Body::empty()).unwrap();
        server.router().oneshot(request)
    };
    assert_eq!(ask("/healthz").await.unwrap().status(), 200);
    assert_eq!(ask("/readyz").await.unwrap().status(), 200);
    assert_eq!(ask(MAPS).await.unwrap().status(), 403);
}

#[tokio::test]
async fn wrong_pods_are_refused_by_field() {
    let server = TestServer::start().await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = |spec: serde_json::Value| json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}, "spec": spec});
    for (spec, field) in [
        (json!({"containers": []}), "spec.containers"),
        (json!({"containers": [{"name": "c"}]}), "spec.containers[0].image"),
        (json!({"containers": [{"name": "C", "image": "i"}]}), "spec.containers[0].name"),
        (
            json!({"containers": [{"name": "c", "image": "i"}, {"name": "c", "image": "i"}]}),
            "spec.containers[1].name",
        ),
        (
            json!({"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Sometimes"}),
            "spec.restartPolicy",
        ),
        (
            json!({"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}}]}),
            "spec.containers[0].resources.requests",
        ),
        (
            json!({"containers": [{"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}),
            "spec.containers[0].volumeMounts[0].name",
        ),
    ] {
        let status = post(&server, pods, &pod(spec)).await.expect(422);
        let causes = status["details"]["causes"].as_array().unwrap();
        assert!(causes.iter().any(|cause| cause["field"] == field), "{field} in {status}");
    }
}

#[tokio::test]
async fn questions_about_oneself_are_answered_and_not_kept() {
    let server = TestServer::start().await;
    let uri = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}});
    let before = server.store().revision();
    assert_eq!(post(&server, uri, &review).await.expect(201)["status"]["allowed"], true);
    assert_eq!(server.store().revision(), before);
    assert_eq!(get(&server, uri).await.code, 405);
    let uri = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let answer = post(&server, uri, &review).await.expect(201);
    assert_eq!(answer["status"]["userInfo"]["username"], "system:test");
}
