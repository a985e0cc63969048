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
    /// What the containers of a running pod may use.
    Resize,
}

impl Part {
    fn suffix(self) -> &'static str {
        match self {
            Part::Main => "",
            Part::Status => "/status",
            Part::Resize => "/resize",
        }
    }
}

/// How a patch meets lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A list takes the place of a list.
    Merge,
    /// Items of known lists are found by their names and changed one by one. Built-in kinds only.
    Strategic,
}

/// How long the processes of a deleted pod get to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grace {
    /// As the object says.
    OfObject,
    /// So many seconds.
    Seconds(u32),
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

pub(super) fn patch(
    kind: Kind,
    key: &Key,
    part: Part,
    style: Style,
    patch: &Value,
) -> Result<Request<Vec<u8>>, WriteError> {
    let content_type = match style {
        Style::Merge => "application/merge-patch+json",
        Style::Strategic => "application/strategic-merge-patch+json",
    };
    let (collection, suffix) = (kind.collection(&key.namespace), part.suffix());
    let path = format!("{collection}/{}{suffix}?{FIELD_MANAGER}", key.name);
    build(Method::PATCH, &path, content_type, patch)
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
    grace: Grace,
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
    let mut body = json!({ "kind": "DeleteOptions", "apiVersion": "v1", "preconditions": preconditions, "propagationPolicy": policy });
    if let Grace::Seconds(seconds) = grace {
        body["gracePeriodSeconds"] = seconds.into();
    }
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
            Grace::OfObject,
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
        let claim = Key::new("ns", "c");
        let request =
            patch(Kind::Claim, &claim, Part::Status, Style::Merge, &json!({"status": {}})).unwrap();
        assert_eq!(
            text(&request),
            "PATCH /apis/extensions.agents.x-k8s.io/v1beta1/namespaces/ns/sandboxclaims/c/status?fieldManager=sandbox-controller {\"status\":{}}"
        );
        assert_eq!(request.headers()[header::CONTENT_TYPE], "application/merge-patch+json");
    }
}
