//! A client that shows status codes, headers and bodies as they are.

use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use sandbank_apiserver::testing::TestServer;
use serde_json::{Value, json};
use tower::ServiceExt;

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{error} in {} {:?}", self.code, self.text))
    }

    /// Panics unless the code is this one.
    #[track_caller]
    pub fn expect(self, code: u16) -> Value {
        assert_eq!(self.code, code, "{}", self.text);
        self.json()
    }

    /// Panics unless this is a Status with this code, reason and message.
    #[track_caller]
    pub fn refused(self, code: u16, reason: &str, message: &str) -> Value {
        let status = self.expect(code);
        assert_eq!(status["kind"], "Status");
        assert_eq!(status["code"], code);
        assert_eq!(status["message"], message, "{status}");
        assert_eq!(status["reason"].as_str().unwrap_or_default(), reason);
        status
    }
}

/// Sends one request.
pub async fn send(server: &TestServer, request: Request<Body>) -> Answer {
    let response = server.service().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    Answer { code: parts.status.as_u16(), headers: parts.headers, text }
}

fn request(method: &str, uri: &str) -> http::request::Builder {
    Request::builder().method(method).uri(uri)
}

pub async fn get(server: &TestServer, uri: &str) -> Answer {
    send(server, request("GET", uri).body(Body::empty()).unwrap()).await
}

pub async fn get_as(server: &TestServer, uri: &str, accept: &str) -> Answer {
    let request = request("GET", uri).header("accept", accept);
    send(server, request.body(Body::empty()).unwrap()).await
}

pub async fn post(server: &TestServer, uri: &str, body: &Value) -> Answer {
    let request = request("POST", uri).header("content-type", "application/json");
    send(server, request.body(Body::from(body.to_string())).unwrap()).await
}

pub async fn put(server: &TestServer, uri: &str, body: &Value) -> Answer {
    let request = request("PUT", uri).header("content-type", "application/json");
    send(server, request.body(Body::from(body.to_string())).unwrap()).await
}

pub async fn merge(server: &TestServer, uri: &str, body: &Value) -> Answer {
    patch(server, uri, "application/merge-patch+json", &body.to_string()).await
}

pub async fn patch(server: &TestServer, uri: &str, media: &str, body: &str) -> Answer {
    let request = request("PATCH", uri).header("content-type", media);
    send(server, request.body(Body::from(body.to_owned())).unwrap()).await
}

pub async fn delete(server: &TestServer, uri: &str, options: &Value) -> Answer {
    let body = if options.is_null() { Body::empty() } else { Body::from(options.to_string()) };
    let request = request("DELETE", uri).header("content-type", "application/json");
    send(server, request.body(body).unwrap()).await
}

/// An open watch.
pub struct Events {
    body: Body,
    buffer: Vec<u8>,
}

impl Events {
    pub async fn open(server: &TestServer, uri: &str) -> Self {
        Self::open_as(server, uri, "application/json").await
    }

    pub async fn open_as(server: &TestServer, uri: &str, accept: &str) -> Self {
        let request = request("GET", uri).header("accept", accept).body(Body::empty()).unwrap();
        let response = server.service().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        Self { body: response.into_body(), buffer: Vec::new() }
    }

    /// The next event; none at the end of the stream.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = self.body.frame().await?.unwrap();
            self.buffer.extend_from_slice(&frame.into_data().unwrap());
        }
    }

    /// The next event's type and the name of its object.
    pub async fn brief(&mut self) -> String {
        let event = self.next().await.expect("the watch goes on");
        let (kind, name) = (&event["type"], &event["object"]["metadata"]["name"]);
        format!("{} {}", kind.as_str().unwrap(), name.as_str().unwrap_or("-"))
    }
}

pub const MAPS: &str = "/api/v1/namespaces/default/configmaps";

pub fn config_map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

/// Makes a custom kind and waits until it is served.
pub async fn define(server: &TestServer, definition: &Value) {
    post(server, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
        .await
        .expect(201);
    let name = definition["metadata"]["name"].as_str().unwrap();
    let uri = format!(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?watch=true&fieldSelector=metadata.name%3D{name}"
    );
    let mut events = Events::open(server, &uri).await;
    loop {
        let event = events.next().await.expect("the definition is established some day");
        let conditions = event["object"]["status"]["conditions"].as_array().cloned();
        let established = conditions
            .unwrap_or_default()
            .iter()
            .any(|condition| condition["type"] == "Established" && condition["status"] == "True");
        if established {
            return;
        }
    }
}

pub const WIDGETS: &str = "/apis/demo.example.com/v1/namespaces/default/widgets";

/// A definition with status and scale subresources, a default and rules.
pub fn widgets() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.demo.example.com"},
        "spec": {
            "group": "demo.example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": {"status": {}, "scale": {
                    "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
                    "labelSelectorPath": ".status.selector"}},
                "selectableFields": [{"jsonPath": ".spec.color"}],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "required": ["image"], "properties": {
                        "image": {"type": "string"},
                        "color": {"type": "string", "default": "red"},
                        "replicas": {"type": "integer", "minimum": 0, "maximum": 10},
                    }},
                    "status": {"type": "object", "properties": {
                        "replicas": {"type": "integer"}, "selector": {"type": "string"}, "phase": {"type": "string"}}},
                }}},
            }],
        },
    })
}

pub fn widget(name: &str) -> Value {
    json!({
        "apiVersion": "demo.example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": {"image": "i"},
    })
}
