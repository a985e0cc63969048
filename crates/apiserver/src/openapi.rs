//! OpenAPI v3: one document per group-version, for validation, `explain` and the choice of a patch type.
//!
//! kubectl reads three things: the kind behind a path (`explain`), the parameter `fieldValidation` of the patch operation
//! (it then leaves validation to the server), and whether the patch operation takes strategic merge patches. The addresses
//! carry a hash of the document, so a client keeps what it has until the hash changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, EXPIRES, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::{Span, Timestamp};
use serde_json::{Map, Value, json};

use crate::discovery::{Document, object, served, versions};
use crate::kinds::{Kind, Scope, Version};
use crate::schema::builtin;

const REFERENCE: &str = "#/components/schemas/";
const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

/// The documents about one set of kinds.
#[derive(Debug)]
pub(crate) struct OpenApi {
    root: Document,
    /// By path, as `/api/v1` and `/apis/example.com/v1`.
    documents: BTreeMap<String, Document>,
}

impl OpenApi {
    pub(crate) fn new(kinds: &[Arc<Kind>]) -> Self {
        let groups: BTreeSet<&str> = kinds.iter().map(|kind| kind.group.as_str()).collect();
        let mut documents = BTreeMap::new();
        for group in groups {
            for version in versions(kinds, group) {
                let path = if group.is_empty() {
                    format!("/api/{version}")
                } else {
                    format!("/apis/{group}/{version}")
                };
                let document = Document::new(&describe(kinds, group, version, &path));
                documents.insert(path, document);
            }
        }
        let paths: Map<String, Value> = documents
            .iter()
            .map(|(path, document)| {
                let address = format!("/openapi/v3{path}?hash={}", document.hash);
                (path.trim_start_matches('/').to_owned(), json!({ "serverRelativeURL": address }))
            })
            .collect();
        Self { root: Document::new(&json!({ "paths": paths })), documents }
    }

    /// Answers for `/openapi/v3` plus `path`.
    pub(crate) fn answer(
        &self,
        path: &str,
        query: Option<&str>,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Option<Response> {
        if path.is_empty() {
            return Some(self.root.answer(
                headers,
                "text/plain; charset=utf-8",
                "no-cache, private",
            ));
        }
        let document = self.documents.get(path)?;
        let hash =
            query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("hash=")));
        match hash {
            None => Some(document.answer(headers, "application/json", "no-cache, private")),
            Some(hash) if hash == document.hash => {
                let mut response =
                    document.answer(headers, "application/json", "public, immutable");
                let expires = now.checked_add(Span::new().hours(365 * 24)).unwrap_or(now);
                let expires = expires.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
                if let Ok(expires) = HeaderValue::from_str(&expires) {
                    response.headers_mut().insert(EXPIRES, expires);
                }
                Some(response)
            }
            // The client's list of documents is old; the address it should have is not an error.
            Some(_) => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
                let address = format!("/openapi/v3{path}?hash={}", document.hash);
                let out = response.headers_mut();
                out.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
                if let Ok(address) = HeaderValue::from_str(&address) {
                    out.insert(LOCATION, address);
                }
                Some(response)
            }
        }
    }
}

/// The document of one group-version.
fn describe(kinds: &[Arc<Kind>], group: &str, version: &str, path: &str) -> Value {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    let mut needed = vec![DELETE_OPTIONS.to_owned()];
    for (kind, version) in served(kinds, group, version) {
        let name = schema_name(kind, version);
        describe_paths(&mut paths, path, kind, version, &name);
        match &version.open_api {
            Some(schema) => {
                let schema = custom_schema(kind, version, schema);
                needed.extend(references(&schema));
                schemas.insert(name, schema);
            }
            None => needed.push(name),
        }
        needed.extend(version.subresources.others.iter().filter_map(|sub| {
            builtin::definition_name(sub.group, sub.version, sub.kind).map(str::to_owned)
        }));
    }
    let definitions = builtin::definitions();
    while let Some(name) = needed.pop() {
        if schemas.contains_key(&name) {
            continue;
        }
        if let Some(definition) = definitions.get(&name) {
            needed.extend(references(definition));
            schemas.insert(name, published(definition));
        }
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.0"},
        "paths": paths,
        "components": {"schemas": schemas},
    })
}

/// The name of a kind's schema: as published for built-in kinds, else the group backwards, as
/// `com.example.v1.Thing`.
fn schema_name(kind: &Kind, version: &Version) -> String {
    if let Some(name) = builtin::definition_name(&kind.group, &version.name, &kind.kind) {
        return name.to_owned();
    }
    let mut parts: Vec<&str> = kind.group.split('.').rev().collect();
    parts.push(&version.name);
    parts.push(&kind.kind);
    parts.join(".")
}

fn custom_schema(kind: &Kind, version: &Version, schema: &Value) -> Value {
    let mut schema = object(schema.clone());
    let meta = json!({"allOf": [{"$ref": format!("{REFERENCE}{}", builtin::OBJECT_META)}]});
    let properties = schema.entry("properties").or_insert_with(|| json!({}));
    if let Some(properties) = properties.as_object_mut() {
        properties.entry("apiVersion").or_insert_with(|| json!({"type": "string"}));
        properties.entry("kind").or_insert_with(|| json!({"type": "string"}));
        properties.insert("metadata".to_owned(), meta);
    }
    let gvk = json!([{"group": kind.group, "version": version.name, "kind": kind.kind}]);
    schema.insert("x-kubernetes-group-version-kind".to_owned(), gvk);
    Value::Object(schema)
}

/// A definition without the keywords that are ours.
fn published(definition: &Value) -> Value {
    match definition {
        Value::Object(map) => {
            let kept =
                map.iter().filter(|(key, value)| *key != builtin::UNIQUE_BY || !value.is_string());
            Value::Object(kept.map(|(key, value)| (key.clone(), published(value))).collect())
        }
        Value::Array(items) => items.iter().map(published).collect(),
        other => other.clone(),
    }
}

fn references(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut todo = vec![schema];
    while let Some(value) = todo.pop() {
        match value {
            Value::Object(map) => {
                let reference =
                    map.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix(REFERENCE));
                found.extend(reference.map(str::to_owned));
                todo.extend(map.values());
            }
            Value::Array(items) => todo.extend(items),
            _ => {}
        }
    }
    found
}

fn describe_paths(
    paths: &mut Map<String, Value>,
    root: &str,
    kind: &Kind,
    version: &Version,
    schema: &str,
) {
    let collection = match kind.scope {
        Scope::Namespaced => format!("{root}/namespaces/{{namespace}}/{}", kind.plural),
        Scope::Cluster => format!("{root}/{}", kind.plural),
    };
    let gvk = json!({"group": kind.group, "version": version.name, "kind": kind.kind});
    let content = json!({"application/json": {"schema": {"$ref": format!("{REFERENCE}{schema}")}}});
    let operation = |action: &str| {
        json!({
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": gvk,
            "responses": {"200": {"description": "OK", "content": content}},
        })
    };
    let writing = |action: &str, body: Value| {
        let mut operation = operation(action);
        operation["parameters"] =
            json!([query("dryRun"), query("fieldManager"), query("fieldValidation")]);
        operation["requestBody"] = json!({"required": true, "content": body});
        operation
    };
    let offers = |verb: &str| kind.rules.verbs.contains(&verb);
    let mut all = Map::new();
    if offers("list") {
        let mut list = operation("list");
        let names =
            ["continue", "fieldSelector", "labelSelector", "limit", "resourceVersion", "watch"];
        list["parameters"] = names.iter().map(|name| query(name)).collect();
        all.insert("get".to_owned(), list);
    }
    if offers("create") {
        all.insert("post".to_owned(), writing("post", content.clone()));
    }
    if offers("deletecollection") {
        all.insert("delete".to_owned(), operation("deletecollection"));
    }
    let mut one = Map::new();
    if offers("get") {
        one.insert("get".to_owned(), operation("get"));
    }
    if offers("update") {
        one.insert("put".to_owned(), writing("put", content.clone()));
    }
    if offers("patch") {
        let mut types = vec!["application/json-patch+json", "application/merge-patch+json"];
        if !kind.is_custom() {
            types.push("application/strategic-merge-patch+json");
        }
        let body: Map<String, Value> = types
            .into_iter()
            .map(|name| (name.to_owned(), json!({"schema": {"type": "object"}})))
            .collect();
        one.insert("patch".to_owned(), writing("patch", body.into()));
    }
    if offers("delete") {
        one.insert("delete".to_owned(), operation("delete"));
    }
    if kind.scope == Scope::Namespaced && offers("list") {
        let across = json!({"get": all["get"]});
        paths.insert(format!("{root}/{}", kind.plural), across);
    }
    paths.insert(format!("{collection}/{{name}}"), one.into());
    paths.insert(collection, all.into());
}

fn query(name: &str) -> Value {
    json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}})
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::discovery::tests::ask;

    #[tokio::test]
    async fn addresses_carry_the_hash_of_what_they_lead_to() {
        let (status, _, root) = ask("/openapi/v3", &[]).await;
        assert_eq!(status, 200);
        let address = root["paths"]["apis/g.example.com/v1beta1"]["serverRelativeURL"]
            .as_str()
            .unwrap()
            .to_owned();
        let (status, headers, _) = ask(&address, &[]).await;
        assert_eq!((status, headers[CACHE_CONTROL].to_str().unwrap()), (200, "public, immutable"));
        assert_eq!(headers[EXPIRES], "Mon, 22 Nov 2027 00:00:00 GMT");
        let plain = address.split('?').next().unwrap();
        let (status, headers, _) = ask(plain, &[]).await;
        assert_eq!((status, headers[CACHE_CONTROL].to_str().unwrap()), (200, "no-cache, private"));
        let (status, headers, _) = ask(&format!("{plain}?hash=OLD"), &[]).await;
        assert_eq!((status, headers[LOCATION].to_str().unwrap()), (301, address.as_str()));
    }

    #[tokio::test]
    async fn a_document_holds_what_kubectl_looks_for() {
        let (_, _, core) = ask("/openapi/v3/api/v1", &[]).await;
        let one = &core["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"];
        assert_eq!(
            one["get"]["x-kubernetes-group-version-kind"],
            json!({"group": "", "version": "v1", "kind": "Pod"})
        );
        let parameters = one["patch"]["parameters"].as_array().unwrap();
        assert!(parameters.iter().any(|parameter| parameter["name"] == "fieldValidation"));
        let strategic = "application/strategic-merge-patch+json";
        assert!(one["patch"]["requestBody"]["content"].get(strategic).is_some());
        let schemas = &core["components"]["schemas"];
        let pod = &schemas["io.k8s.api.core.v1.Pod"];
        assert_eq!(
            pod["x-kubernetes-group-version-kind"],
            json!([{"group": "", "version": "v1", "kind": "Pod"}])
        );
        let containers = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
        assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
        assert_eq!(containers.get("x-unique-by"), None);
        assert!(schemas.get("io.k8s.api.policy.v1.Eviction").is_some());

        let (_, _, custom) = ask("/openapi/v3/apis/g.example.com/v1beta1", &[]).await;
        let one =
            &custom["paths"]["/apis/g.example.com/v1beta1/namespaces/{namespace}/sandboxes/{name}"];
        assert!(one["patch"]["requestBody"]["content"].get(strategic).is_none());
        let schema = &custom["components"]["schemas"]["com.example.g.v1beta1.Sandbox"];
        assert_eq!(schema["x-kubernetes-group-version-kind"][0]["kind"], "Sandbox");
        assert_eq!(schema["properties"]["spec"]["type"], "object");
    }

    #[tokio::test]
    async fn every_reference_in_a_document_is_in_it() {
        for path in [
            "/openapi/v3/api/v1",
            "/openapi/v3/apis/g.example.com/v1beta1",
            "/openapi/v3/apis/g.example.com/v1alpha1",
        ] {
            let (_, _, document) = ask(path, &[]).await;
            let schemas = document["components"]["schemas"].as_object().unwrap();
            for name in references(&document)
                .into_iter()
                .filter(|name| !name.ends_with(".v1alpha1.Sandbox"))
            {
                assert!(schemas.contains_key(&name), "{path}: {name}");
            }
            let _: &Value = &document["paths"];
        }
    }
}
