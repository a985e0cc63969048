//! What is served, as clients ask for it before anything else: groups, versions, resources and their verbs.
//!
//! Two forms of the same facts: one document per group-version, which every client knows, and one aggregated document for
//! all, which kubectl and client-go ask for by a media type of its own and revalidate by ETag. A [`Catalog`] is made for
//! one set of kinds and thrown away when a definition changes, so everything in it is computed once.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::kinds::{Kind, Scope, Status, Version};
use crate::openapi::OpenApi;

/// The documents about one set of kinds.
#[derive(Debug)]
pub struct Catalog {
    kinds: Vec<Arc<Kind>>,
    aggregated: [OnceLock<Document>; 4],
    open_api: OnceLock<OpenApi>,
}

/// A document and what its cache headers say.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) body: Bytes,
    /// Hex of the body's hash: the ETag, and the `hash` of OpenAPI's addresses.
    pub(crate) hash: String,
}

impl Document {
    pub(crate) fn new(value: &Value) -> Self {
        let body = value.to_string();
        let digest = Sha256::digest(body.as_bytes());
        let hash = digest.iter().map(|byte| format!("{byte:02X}")).collect();
        Self { body: body.into(), hash }
    }

    /// The document, or 304 if the client has it.
    pub(crate) fn answer(
        &self,
        headers: &HeaderMap,
        content_type: &'static str,
        cache_control: &'static str,
    ) -> Response {
        let etag = format!("\"{}\"", self.hash);
        let known = headers.get_all(IF_NONE_MATCH).iter().any(|value| {
            let value = value.to_str().unwrap_or_default();
            value
                .split(',')
                .any(|tag| tag.trim().trim_start_matches("W/") == etag || tag.trim() == "*")
        });
        let body = if known { Body::empty() } else { Body::from(self.body.clone()) };
        let mut response = Response::new(body);
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let out = response.headers_mut();
        out.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        out.insert(CACHE_CONTROL, HeaderValue::from_static(cache_control));
        out.insert(VARY, HeaderValue::from_static("Accept"));
        if let Ok(etag) = HeaderValue::from_str(&etag) {
            out.insert(ETAG, etag);
        }
        response
    }
}

/// How a client wants `/api` and `/apis`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Legacy,
    Aggregated(Aggregated),
}

/// The two versions of the aggregated form; the older one is asked for by kubectl up to 1.34.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aggregated {
    V2,
    V2Beta1,
}

impl Aggregated {
    fn api_version(self) -> &'static str {
        match self {
            Self::V2 => "apidiscovery.k8s.io/v2",
            Self::V2Beta1 => "apidiscovery.k8s.io/v2beta1",
        }
    }

    /// Clients compare this with what they asked for and take anything else for the legacy form.
    fn content_type(self) -> &'static str {
        match self {
            Self::V2 => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            Self::V2Beta1 => {
                "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
            }
        }
    }
}

/// The first form in the client's list that is known; parameters come in any order.
fn form(headers: &HeaderMap) -> Form {
    let lists =
        headers.get_all(http::header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    for media in lists.flat_map(|list| list.split(',')) {
        let mut parts = media.split(';').map(str::trim);
        if !matches!(parts.next(), Some("application/json" | "*/*" | "application/*")) {
            continue;
        }
        let parameters: BTreeMap<&str, &str> =
            parts.filter_map(|part| part.split_once('=')).collect();
        if parameters.get("as").is_none() {
            return Form::Legacy;
        }
        let list = parameters.get("as") == Some(&"APIGroupDiscoveryList")
            && parameters.get("g") == Some(&"apidiscovery.k8s.io");
        match parameters.get("v") {
            Some(&"v2") if list => return Form::Aggregated(Aggregated::V2),
            Some(&"v2beta1") if list => return Form::Aggregated(Aggregated::V2Beta1),
            _ => {}
        }
    }
    Form::Legacy
}

impl Catalog {
    /// The documents about these kinds.
    pub fn new(kinds: impl IntoIterator<Item = Arc<Kind>>) -> Self {
        let mut kinds: Vec<_> = kinds.into_iter().collect();
        kinds.sort_by(|a, b| (&a.group, &a.plural).cmp(&(&b.group, &b.plural)));
        Self { kinds, aggregated: Default::default(), open_api: OnceLock::new() }
    }

    /// Answers a request for a document; `None` if the path names none.
    pub fn answer(
        &self,
        method: &Method,
        path: &str,
        query: Option<&str>,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Option<Response> {
        if method != Method::GET && method != Method::HEAD {
            return None;
        }
        let path = path.trim_end_matches('/');
        if let Some(rest) = path.strip_prefix("/openapi/v3") {
            let documents = self.open_api.get_or_init(|| OpenApi::new(&self.kinds));
            return documents.answer(rest, query, headers, now);
        }
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let document = match (parts.as_slice(), form(headers)) {
            (["api" | "apis"], Form::Aggregated(version)) => {
                let core = path == "/api";
                let cached = &self.aggregated
                    [usize::from(core) + 2 * usize::from(version == Aggregated::V2)];
                let document = cached.get_or_init(|| Document::new(&self.aggregate(core, version)));
                return Some(document.answer(headers, version.content_type(), "public"));
            }
            (["version"], _) => version_info(),
            (["api"], Form::Legacy) => json!({
                "kind": "APIVersions",
                "versions": versions(&self.kinds, ""),
                "serverAddressByClientCIDRs": [],
            }),
            (["apis"], Form::Legacy) => {
                let groups: Vec<Value> =
                    self.groups().iter().map(|name| self.group(name)).collect();
                json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
            }
            (["apis", group], _) if self.groups().contains(group) => {
                let mut document = self.group(group);
                document["kind"] = "APIGroup".into();
                document["apiVersion"] = "v1".into();
                document
            }
            (["api", version], _) => self.resources("", version)?,
            (["apis", group, version], _) if !group.is_empty() => self.resources(group, version)?,
            _ => return None,
        };
        Some(Document::new(&document).answer(headers, "application/json", "no-cache, private"))
    }

    /// Named groups; the core group has a path of its own.
    fn groups(&self) -> BTreeSet<&str> {
        let served =
            self.kinds.iter().filter(|kind| kind.versions.iter().any(|version| version.served));
        served.map(|kind| kind.group.as_str()).filter(|group| !group.is_empty()).collect()
    }

    fn group(&self, name: &str) -> Value {
        let versions: Vec<Value> = versions(&self.kinds, name)
            .into_iter()
            .map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version}))
            .collect();
        json!({"name": name, "preferredVersion": versions.first(), "versions": versions})
    }

    /// The resources of one group-version, in the legacy form.
    fn resources(&self, group: &str, version: &str) -> Option<Value> {
        let mut list = Vec::new();
        for (kind, version) in served(&self.kinds, group, version) {
            let mut entry = json!({
                "name": kind.plural,
                "singularName": kind.singular,
                "namespaced": kind.scope == Scope::Namespaced,
                "kind": kind.kind,
                "verbs": kind.rules.verbs,
            });
            if !kind.short_names.is_empty() {
                entry["shortNames"] = json!(kind.short_names);
            }
            if !kind.categories.is_empty() {
                entry["categories"] = json!(kind.categories);
            }
            list.push(entry);
            for Sub { name, group: of, version: in_version, kind: sub_kind, verbs } in
                subresources(kind, version)
            {
                let mut entry = json!({
                    "name": format!("{}/{name}", kind.plural),
                    "singularName": "",
                    "namespaced": kind.scope == Scope::Namespaced,
                    "kind": sub_kind,
                    "verbs": verbs,
                });
                if (of, in_version) != (group, version.name.as_str()) {
                    entry["group"] = of.into();
                    entry["version"] = in_version.into();
                }
                list.push(entry);
            }
        }
        if list.is_empty() {
            return None;
        }
        let group_version =
            if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        Some(
            json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": list}),
        )
    }

    /// All groups in one document, or the core group alone.
    fn aggregate(&self, core: bool, form: Aggregated) -> Value {
        let groups: Vec<&str> = if core { vec![""] } else { self.groups().into_iter().collect() };
        let items: Vec<Value> = groups
            .into_iter()
            .map(|group| {
                let versions: Vec<Value> = versions(&self.kinds, group)
                    .into_iter()
                    .map(|version| {
                        let resources: Vec<Value> = served(&self.kinds, group, version)
                            .map(|(kind, version)| aggregated_resource(kind, version))
                            .collect();
                        json!({"version": version, "freshness": "Current", "resources": resources})
                    })
                    .collect();
                let metadata = if group.is_empty() { json!({}) } else { json!({ "name": group }) };
                json!({"metadata": metadata, "versions": versions})
            })
            .collect();
        json!({
            "kind": "APIGroupDiscoveryList",
            "apiVersion": form.api_version(),
            "metadata": {},
            "items": items,
        })
    }
}

/// The version of Kubernetes whose API this is. Clients parse `gitVersion` and compare it with their own.
fn version_info() -> Value {
    json!({
        "major": "1",
        "minor": "36",
        "gitVersion": concat!("v1.36.0+sandbank-", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

fn aggregated_resource(kind: &Kind, version: &Version) -> Value {
    let response_kind = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let mut entry = json!({
        "resource": kind.plural,
        "responseKind": response_kind(&kind.group, &version.name, &kind.kind),
        "scope": if kind.scope == Scope::Namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": kind.rules.verbs,
    });
    if !kind.short_names.is_empty() {
        entry["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        entry["categories"] = json!(kind.categories);
    }
    let subresources: Vec<Value> = subresources(kind, version)
        .into_iter()
        .map(|sub| {
            let kind = response_kind(sub.group, sub.version, sub.kind);
            json!({"subresource": sub.name, "responseKind": kind, "verbs": sub.verbs})
        })
        .collect();
    if !subresources.is_empty() {
        entry["subresources"] = subresources.into();
    }
    entry
}

/// A subresource as both forms list it.
struct Sub<'a> {
    name: &'a str,
    group: &'a str,
    version: &'a str,
    kind: &'a str,
    verbs: &'a [&'a str],
}

fn subresources<'a>(kind: &'a Kind, version: &'a Version) -> Vec<Sub<'a>> {
    const CHANGES: &[&str] = &["get", "patch", "update"];
    let own = |sub: &'a crate::kinds::Subresource| Sub {
        name: sub.name,
        group: sub.group,
        version: sub.version,
        kind: sub.kind,
        verbs: sub.verbs,
    };
    let mut list: Vec<Sub<'a>> = version.subresources.others.iter().map(own).collect();
    if version.subresources.scale.is_some() {
        list.push(Sub {
            name: "scale",
            group: "autoscaling",
            version: "v1",
            kind: "Scale",
            verbs: CHANGES,
        });
    }
    if version.subresources.status == Status::Subresource {
        let (group, version) = (&kind.group, &version.name);
        list.push(Sub { name: "status", group, version, kind: &kind.kind, verbs: CHANGES });
    }
    list.sort_by_key(|sub| sub.name);
    list
}

/// The kinds of a group that serve a version.
pub(crate) fn served<'a>(
    kinds: &'a [Arc<Kind>],
    group: &'a str,
    version: &'a str,
) -> impl Iterator<Item = (&'a Kind, &'a Version)> {
    let of_group = kinds.iter().filter(move |kind| kind.group == group);
    of_group.filter_map(move |kind| Some((&**kind, kind.served(version)?)))
}

/// The served versions of a group, the preferred one first.
pub(crate) fn versions<'a>(kinds: &'a [Arc<Kind>], group: &str) -> Vec<&'a str> {
    let of_group = kinds.iter().filter(|kind| kind.group == group);
    let served = of_group.flat_map(|kind| &kind.versions).filter(|version| version.served);
    let names: BTreeSet<&str> = served.map(|version| version.name.as_str()).collect();
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_by_key(|name| (Reverse(maturity(name)), *name));
    names
}

/// How settled a version is: `v2` over `v1` over `v1beta2` over `v1beta1` over `v1alpha1` over what is no such name.
fn maturity(name: &str) -> Option<(u8, u32, u32)> {
    let rest = name.strip_prefix('v')?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (major, stage) = rest.split_at(end);
    let major = major.parse().ok()?;
    if stage.is_empty() {
        return Some((2, major, 0));
    }
    match (stage.strip_prefix("beta"), stage.strip_prefix("alpha")) {
        (Some(minor), _) => Some((1, major, minor.parse().ok()?)),
        (_, Some(minor)) => Some((0, major, minor.parse().ok()?)),
        _ => None,
    }
}

/// Takes the keys of an object out of a shared value, for documents that add to it.
pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::kinds::{
        ALL_VERBS, Conversion, Generation, Hooks, Names, PutMissing, PutUnversioned, Rules,
        ScalePaths, Source, Subresource, Subresources,
    };
    use crate::object::ResourceId;

    pub(crate) fn version(name: &str) -> Version {
        Version {
            name: name.into(),
            served: true,
            deprecation: None,
            columns: Vec::new(),
            subresources: Subresources::default(),
            selectable: Vec::new(),
            schema: None,
            open_api: None,
        }
    }

    pub(crate) fn kind(group: &str, plural: &str, name: &str, versions: Vec<Version>) -> Kind {
        Kind {
            group: group.into(),
            plural: plural.into(),
            singular: name.to_lowercase(),
            kind: name.into(),
            list_kind: format!("{name}List"),
            short_names: Vec::new(),
            categories: Vec::new(),
            scope: Scope::Namespaced,
            storage: versions[0].name.clone(),
            versions,
            source: Source::Builtin,
            rules: Rules {
                verbs: ALL_VERBS,
                put_missing: PutMissing::Refuse,
                put_unversioned: PutUnversioned::Overwrite,
                generation: Generation::None,
                names: Names::Subdomain,
                hooks: Hooks::NONE,
            },
            stored_as: ResourceId::new(group, plural),
        }
    }

    pub(crate) fn catalog() -> Catalog {
        let mut pods = kind("", "pods", "Pod", vec![version("v1")]);
        pods.short_names = vec!["po".into()];
        pods.categories = vec!["all".into()];
        pods.versions[0].subresources = Subresources {
            status: Status::Subresource,
            scale: None,
            others: vec![Subresource {
                name: "eviction",
                group: "policy",
                version: "v1",
                kind: "Eviction",
                verbs: &["create"],
            }],
        };
        let mut sandboxes = kind(
            "g.example.com",
            "sandboxes",
            "Sandbox",
            vec![version("v1alpha1"), version("v1beta1"), version("v1old")],
        );
        sandboxes.versions[2].served = false;
        sandboxes.versions[1].subresources.scale = Some(ScalePaths {
            spec_replicas: ".spec.n".into(),
            status_replicas: ".status.n".into(),
            label_selector: None,
        });
        sandboxes.versions[1].open_api =
            Some(Arc::new(json!({"type": "object", "properties": {"spec": {"type": "object"}}})));
        sandboxes.source = Source::Custom {
            definition: "sandboxes.g.example.com".into(),
            uid: "u".into(),
            conversion: Conversion::None,
        };
        Catalog::new([sandboxes, pods].map(Arc::new))
    }

    pub(crate) async fn ask(path: &str, headers: &[(&str, &str)]) -> (u16, HeaderMap, Value) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        let (path, query) =
            path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let now = "2026-11-22T00:00:00Z".parse().unwrap();
        let response = catalog()
            .answer(&Method::GET, path, query, &map, now)
            .unwrap_or_else(|| panic!("{path}"));
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 24).await.unwrap();
        (
            parts.status.as_u16(),
            parts.headers,
            serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        )
    }

    #[tokio::test]
    async fn the_legacy_form_names_groups_versions_and_resources() {
        let (_, _, api) = ask("/api", &[]).await;
        assert_eq!(api["versions"], json!(["v1"]));
        let (_, headers, apis) = ask("/apis", &[("accept", "application/json")]).await;
        assert_eq!(headers[CONTENT_TYPE], "application/json");
        assert_eq!(
            apis["groups"],
            json!([{"name": "g.example.com",
                    "preferredVersion": {"groupVersion": "g.example.com/v1beta1", "version": "v1beta1"},
                    "versions": [{"groupVersion": "g.example.com/v1beta1", "version": "v1beta1"},
                                 {"groupVersion": "g.example.com/v1alpha1", "version": "v1alpha1"}]}])
        );
        let (_, _, group) = ask("/apis/g.example.com", &[]).await;
        assert_eq!((&group["kind"], &group["name"]), (&json!("APIGroup"), &json!("g.example.com")));
        let (_, _, core) = ask("/api/v1", &[]).await;
        assert_eq!(
            core["resources"],
            json!([
                {"name": "pods", "singularName": "pod", "namespaced": true, "kind": "Pod", "verbs": ALL_VERBS, "shortNames": ["po"], "categories": ["all"]},
                {"name": "pods/eviction", "singularName": "", "namespaced": true, "kind": "Eviction", "group": "policy", "version": "v1", "verbs": ["create"]},
                {"name": "pods/status", "singularName": "", "namespaced": true, "kind": "Pod", "verbs": ["get", "patch", "update"]},
            ])
        );
        let (_, _, custom) = ask("/apis/g.example.com/v1beta1", &[]).await;
        assert_eq!(custom["groupVersion"], "g.example.com/v1beta1");
        assert_eq!(custom["resources"][1]["name"], "sandboxes/scale");
        assert_eq!(custom["resources"][1]["group"], "autoscaling");
    }

    #[tokio::test]
    async fn the_aggregated_form_answers_in_the_media_type_asked_for() {
        for (accept, version) in [
            (
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
                "v2",
            ),
            (
                "application/json;as=APIGroupDiscoveryList;v=v2beta1;g=apidiscovery.k8s.io,application/json",
                "v2beta1",
            ),
        ] {
            let (_, headers, apis) = ask("/apis", &[("accept", accept)]).await;
            let content_type = format!(
                "application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
            );
            assert_eq!(headers[CONTENT_TYPE], content_type.as_str());
            assert_eq!(headers[CACHE_CONTROL], "public");
            assert_eq!(apis["apiVersion"], format!("apidiscovery.k8s.io/{version}"));
            assert_eq!(apis["items"][0]["metadata"]["name"], "g.example.com");
            let resource = &apis["items"][0]["versions"][0]["resources"][0];
            assert_eq!(
                resource["responseKind"],
                json!({"group": "g.example.com", "version": "v1beta1", "kind": "Sandbox"})
            );
            assert_eq!(resource["subresources"][0]["subresource"], "scale");
        }
        let (_, _, core) = ask(
            "/api",
            &[("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")],
        )
        .await;
        assert_eq!(core["items"][0]["versions"][0]["resources"][0]["resource"], "pods");
    }

    #[tokio::test]
    async fn a_known_document_is_not_sent_again() {
        let accept =
            ("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
        let (status, headers, _) = ask("/apis", &[accept]).await;
        assert_eq!(status, 200);
        let etag = headers[ETAG].to_str().unwrap().to_owned();
        let (status, headers, body) = ask("/apis", &[accept, ("if-none-match", &etag)]).await;
        assert_eq!(
            (status, headers[ETAG].to_str().unwrap(), body),
            (304, etag.as_str(), Value::Null)
        );
        let (status, ..) = ask("/apis", &[accept, ("if-none-match", "\"other\"")]).await;
        assert_eq!(status, 200);
    }

    #[test]
    fn what_is_not_served_has_no_document() {
        let headers = HeaderMap::new();
        let now = Timestamp::UNIX_EPOCH;
        for path in [
            "/",
            "/apis/none",
            "/apis/g.example.com/v1old",
            "/api/v2",
            "/api/v1/pods",
            "/openapi/v2",
            "/openapi/v3/apis/none/v1",
        ] {
            assert!(catalog().answer(&Method::GET, path, None, &headers, now).is_none(), "{path}");
        }
        assert!(catalog().answer(&Method::POST, "/api", None, &headers, now).is_none());
    }

    #[test]
    fn versions_are_ordered_by_maturity() {
        let mut names = vec!["v1alpha1", "foo", "v1", "v2beta1", "v10", "v1beta2", "v2"];
        names.sort_by_key(|name| (Reverse(maturity(name)), *name));
        assert_eq!(names, ["v10", "v2", "v1", "v2beta1", "v1beta2", "v1alpha1", "foo"]);
    }
}
