//! What is served, as clients ask for it before anything else: groups, versions, resources and their verbs.
//!
//! Two forms of the same facts: one document per group-version, which every client knows, and one aggregated document for
//! all, which kubectl and client-go ask for by a media type of its own and revalidate by ETag. A [`Catalog`] is made for
//! one set of kinds and thrown away when a definition changes, so everything in it is computed once.

mod document;
#[cfg(test)]
pub(crate) mod tests;

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use axum::response::Response;
use http::{HeaderMap, Method};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::kinds::{Kind, Scope, Status, Version};
use crate::openapi::OpenApi;
use crate::openapi_v2;
pub(crate) use document::Document;
use document::{Aggregated, Form, form};

/// The documents about one set of kinds.
#[derive(Debug)]
pub struct Catalog {
    kinds: Vec<Arc<Kind>>,
    aggregated: [OnceLock<Document>; 4],
    open_api: OnceLock<OpenApi>,
}

impl Catalog {
    /// The documents about these kinds: the groups named in `first` before all others, the rest by name.
    pub fn new(kinds: impl IntoIterator<Item = Arc<Kind>>, first: &[String]) -> Self {
        let mut kinds: Vec<_> = kinds.into_iter().collect();
        let rank =
            |kind: &Kind| first.iter().position(|name| *name == kind.group).unwrap_or(first.len());
        kinds.sort_by(|a, b| (rank(a), &a.group, &a.plural).cmp(&(rank(b), &b.group, &b.plural)));
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
        if path == "/openapi/v2" {
            return Some(openapi_v2::answer(headers));
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

    /// Named groups, each once, in the order of the kinds; the core group has a path of its own.
    fn groups(&self) -> Vec<&str> {
        let served =
            self.kinds.iter().filter(|kind| kind.versions.iter().any(|version| version.served));
        let mut groups: Vec<&str> =
            served.map(|kind| kind.group.as_str()).filter(|group| !group.is_empty()).collect();
        groups.dedup();
        groups
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
        let groups: Vec<&str> = if core { vec![""] } else { self.groups() };
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
