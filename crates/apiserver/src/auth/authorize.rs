//! What an identity may do.
//!
//! Anonymous clients see that the server is up and which version it is; everyone else may do everything. Roles
//! will decide here once they are served.

use http::Method;

use super::Identity;
use crate::status::{ApiError, Named};

/// Open to everyone: probes and version checks run before anyone has credentials.
const OPEN_PATHS: [&str; 4] = ["/healthz", "/livez", "/readyz", "/version"];

/// What a request wants to do, in the words of access rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attributes<'a> {
    /// Something with objects.
    Resource {
        /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
        verb: &'static str,
        /// The API group; empty for the core group.
        group: &'a str,
        /// Empty for what is not in a namespace, and for lists across all of them.
        namespace: &'a str,
        /// The plural name.
        resource: &'a str,
        /// Empty for the object itself.
        subresource: &'a str,
        /// Empty for the collection.
        name: &'a str,
    },
    /// Anything else: discovery, health, documents.
    Path {
        /// The method in lower case.
        verb: String,
        /// The path.
        path: &'a str,
    },
}

impl<'a> Attributes<'a> {
    /// The attributes of a request.
    pub fn of(method: &Method, path: &'a str, query: Option<&str>) -> Self {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, rest) = match parts.as_slice() {
            ["api", _version, rest @ ..] if !rest.is_empty() => ("", rest),
            ["apis", group, _version, rest @ ..] if !rest.is_empty() => (*group, rest),
            _ => return Self::Path { verb: method.as_str().to_ascii_lowercase(), path },
        };
        let (namespace, rest) = match rest {
            // `namespaces/NAME` alone, or with one of its own subresources, is the namespace object itself.
            ["namespaces", namespace, "status" | "finalize"] => (*namespace, rest),
            ["namespaces", namespace, inside @ ..] if !inside.is_empty() => (*namespace, inside),
            ["namespaces", namespace] => (*namespace, rest),
            _ => ("", rest),
        };
        let part = |index: usize| rest.get(index).copied().unwrap_or_default();
        let (resource, name, subresource) = (part(0), part(1), part(2));
        let watch = query.is_some_and(|query| {
            query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1" | "watch"))
        });
        let verb = match (method, name.is_empty()) {
            (&Method::GET | &Method::HEAD, true) if watch => "watch",
            (&Method::GET | &Method::HEAD, true) => "list",
            (&Method::GET | &Method::HEAD, false) => "get",
            (&Method::PUT, _) => "update",
            (&Method::PATCH, _) => "patch",
            (&Method::DELETE, true) => "deletecollection",
            (&Method::DELETE, false) => "delete",
            _ => "create",
        };
        Self::Resource { verb, group, namespace, resource, subresource, name }
    }

    /// The refusal if `identity` may not do this.
    pub fn check(&self, identity: &Identity) -> Result<(), ApiError> {
        if identity.is_authenticated() {
            return Ok(());
        }
        match self {
            Self::Path { verb, path } if verb == "get" && OPEN_PATHS.contains(path) => Ok(()),
            Self::Path { verb, path } => Err(ApiError::forbidden_path(&identity.user, verb, path)),
            Self::Resource { verb, group, namespace, resource, subresource, name } => {
                let scope = if namespace.is_empty() {
                    "at the cluster scope".to_owned()
                } else {
                    format!("in the namespace \"{namespace}\"")
                };
                let slash = if subresource.is_empty() { "" } else { "/" };
                let why = format!(
                    "User \"{}\" cannot {verb} resource \"{resource}{slash}{subresource}\" in API group \
                     \"{group}\" {scope}",
                    identity.user
                );
                Err(ApiError::forbidden(&Named { group, resource, name }, &why))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(method: &str, uri: &str) -> String {
        let uri: http::Uri = uri.parse().unwrap();
        let method: Method = method.parse().unwrap();
        let attributes = Attributes::of(&method, uri.path(), uri.query());
        attributes.check(&Identity::authenticated("alice", ["dev"])).unwrap();
        match attributes.check(&Identity::anonymous()) {
            Ok(()) => "allowed".to_owned(),
            Err(error) => {
                assert_eq!(error.code, 403);
                error.message
            }
        }
    }

    #[test]
    fn anonymous_clients_may_only_ask_whether_the_server_is_up() {
        for path in OPEN_PATHS {
            assert_eq!(refusal("GET", path), "allowed");
            assert!(refusal("POST", path).starts_with("forbidden: "));
        }
        assert_eq!(
            refusal("GET", "/metrics"),
            r#"forbidden: User "system:anonymous" cannot get path "/metrics""#
        );
        assert!(refusal("GET", "/api").starts_with("forbidden: "));
        assert!(refusal("GET", "/healthz/../metrics").starts_with("forbidden: "));
    }

    #[test]
    fn a_refusal_says_who_may_not_do_what_and_where() {
        let anonymous = r#"User "system:anonymous""#;
        let cases = [
            (
                "GET",
                "/api/v1/pods",
                format!(
                    r#"pods is forbidden: {anonymous} cannot list resource "pods" in API group "" at the cluster scope"#
                ),
            ),
            (
                "GET",
                "/api/v1/namespaces/px/pods?watch=true",
                format!(
                    r#"pods is forbidden: {anonymous} cannot watch resource "pods" in API group "" in the namespace "px""#
                ),
            ),
            (
                "DELETE",
                "/apis/demo.example.com/v1/namespaces/px/boxes/a",
                format!(
                    r#"boxes.demo.example.com "a" is forbidden: {anonymous} cannot delete resource "boxes" in API group "demo.example.com" in the namespace "px""#
                ),
            ),
            (
                "POST",
                "/api/v1/namespaces/px/pods/a/exec",
                format!(
                    r#"pods "a" is forbidden: {anonymous} cannot create resource "pods/exec" in API group "" in the namespace "px""#
                ),
            ),
            (
                "PUT",
                "/api/v1/namespaces/px/finalize",
                format!(
                    r#"namespaces "px" is forbidden: {anonymous} cannot update resource "namespaces/finalize" in API group "" in the namespace "px""#
                ),
            ),
        ];
        for (method, uri, expected) in cases {
            assert_eq!(refusal(method, uri), expected, "{method} {uri}");
        }
    }
}
