//! The requests a controller makes.

use engine::Key;
use http::{Method, Request, header};
use serde_json::{Value, json};

use super::{DeletePrecondition, WriteError};
use crate::kinds::Kind;

/// The name under which our fields are recorded in managedFields; the same as upstream's.
const FIELD_MANAGER: &str = "fieldManager=sandbox-controller";

/// Which part of an object a patch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Metadata and spec.
    Main,
    /// The status subresource.
    Status,
}

/// What happens to the objects that a deleted object owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They go afterwards.
    Background,
    /// They go first; the object stays visible until they are gone.
    Foreground,
}

pub(super) fn create(
    kind: Kind,
    namespace: &str,
    body: &Value,
) -> Result<Request<Vec<u8>>, WriteError> {
    let path = format!("{}?{FIELD_MANAGER}", kind.collection(namespace));
    build(Method::POST, &path, "application/json", body)
}

pub(super) fn merge_patch(
    kind: Kind,
    key: &Key,
    part: Part,
    patch: &Value,
) -> Result<Request<Vec<u8>>, WriteError> {
    let suffix = match part {
        Part::Main => "",
        Part::Status => "/status",
    };
    let path = format!("{}/{}{suffix}?{FIELD_MANAGER}", kind.collection(&key.namespace), key.name);
    build(Method::PATCH, &path, "application/merge-patch+json", patch)
}

pub(super) fn get(kind: Kind, key: &Key) -> Result<Request<Vec<u8>>, WriteError> {
    Request::builder()
        .method(Method::GET)
        .uri(format!("{}/{}", kind.collection(&key.namespace), key.name))
        .header(header::ACCEPT, "application/json")
        .body(Vec::new())
        .map_err(|error| WriteError::Build(kube::core::request::Error::BuildRequest(error)))
}

pub(super) fn delete(
    kind: Kind,
    key: &Key,
    precondition: DeletePrecondition<'_>,
    propagation: Propagation,
) -> Result<Request<Vec<u8>>, WriteError> {
    let preconditions = match precondition {
        DeletePrecondition::Life(uid) => json!({ "uid": uid.as_str() }),
        DeletePrecondition::Unchanged(p) => {
            json!({ "uid": p.uid.as_str(), "resourceVersion": p.version.to_string() })
        }
    };
    let policy = match propagation {
        Propagation::Background => "Background",
        Propagation::Foreground => "Foreground",
    };
    let body = json!({ "kind": "DeleteOptions", "apiVersion": "v1", "preconditions": preconditions, "propagationPolicy": policy });
    let path = format!("{}/{}", kind.collection(&key.namespace), key.name);
    build(Method::DELETE, &path, "application/json", &body)
}

fn build(
    method: Method,
    path: &str,
    content_type: &str,
    body: &Value,
) -> Result<Request<Vec<u8>>, WriteError> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, content_type)
        .body(body.to_string().into_bytes())
        .map_err(|error| WriteError::Build(kube::core::request::Error::BuildRequest(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::{Precondition, Uid, Version};

    fn text(request: &Request<Vec<u8>>) -> String {
        format!(
            "{} {} {}",
            request.method(),
            request.uri(),
            String::from_utf8_lossy(request.body())
        )
    }

    #[test]
    fn a_delete_of_a_warm_sandbox_names_the_life_and_the_version_it_is_about() {
        let p = Precondition { uid: Uid::new("u1"), version: Version(7) };
        let request = delete(
            Kind::Sandbox,
            &Key::new("ns", "a"),
            DeletePrecondition::Unchanged(&p),
            Propagation::Background,
        )
        .unwrap();
        assert_eq!(
            text(&request),
            "DELETE /apis/agents.x-k8s.io/v1beta1/namespaces/ns/sandboxes/a \
             {\"apiVersion\":\"v1\",\"kind\":\"DeleteOptions\",\"preconditions\":{\"resourceVersion\":\"7\",\"uid\":\"u1\"},\
             \"propagationPolicy\":\"Background\"}"
        );
    }

    #[test]
    fn a_status_patch_goes_to_the_subresource_as_a_merge_patch() {
        let request =
            merge_patch(Kind::Claim, &Key::new("ns", "c"), Part::Status, &json!({"status": {}}))
                .unwrap();
        assert_eq!(
            text(&request),
            "PATCH /apis/extensions.agents.x-k8s.io/v1beta1/namespaces/ns/sandboxclaims/c/status?fieldManager=sandbox-controller {\"status\":{}}"
        );
        assert_eq!(request.headers()[header::CONTENT_TYPE], "application/merge-patch+json");
    }
}
