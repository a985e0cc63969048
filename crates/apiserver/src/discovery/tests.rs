//! Discovery as clients meet it, on two kinds made for it.

use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};

use super::*;
use crate::kinds::{
    ALL_VERBS, Conversion, Generation, Hooks, Names, PutMissing, PutUnversioned, Rules, ScalePaths,
    Source, Subresource, Subresources,
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
        defaults_since: crate::object::Revision(0),
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
    Catalog::new([sandboxes, pods].map(Arc::new), &[])
}

pub(crate) async fn ask(path: &str, headers: &[(&str, &str)]) -> (u16, HeaderMap, Value) {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
    }
    let (path, query) =
        path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let now = "2026-11-22T00:00:00Z".parse().unwrap();
    let response =
        catalog().answer(&Method::GET, path, query, &map, now).unwrap_or_else(|| panic!("{path}"));
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 24).await.unwrap();
    (parts.status.as_u16(), parts.headers, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
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
        let content_type =
            format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
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
    let accept = ("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    let (status, headers, _) = ask("/apis", &[accept]).await;
    assert_eq!(status, 200);
    let etag = headers[ETAG].to_str().unwrap().to_owned();
    let (status, headers, body) = ask("/apis", &[accept, ("if-none-match", &etag)]).await;
    assert_eq!((status, headers[ETAG].to_str().unwrap(), body), (304, etag.as_str(), Value::Null));
    let (status, ..) = ask("/apis", &[accept, ("if-none-match", "\"other\"")]).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn groups_that_come_first_are_named_first() {
    let kinds = ["a.example", "b.example", "c.example"]
        .map(|group| Arc::new(kind(group, "things", "Thing", vec![version("v1")])));
    let catalog = Catalog::new(kinds, &["c.example".to_owned(), "unknown.example".to_owned()]);
    for (accept, list, name) in [
        ("application/json", "groups", "/name"),
        (
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            "items",
            "/metadata/name",
        ),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::ACCEPT, accept.parse().unwrap());
        let answer =
            catalog.answer(&Method::GET, "/apis", None, &headers, Timestamp::UNIX_EPOCH).unwrap();
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        let document: Value = serde_json::from_slice(&body).unwrap();
        let names: Vec<_> =
            document[list].as_array().unwrap().iter().map(|group| group.pointer(name)).collect();
        let expected = ["c.example", "a.example", "b.example"].map(Value::from);
        assert_eq!(names, expected.iter().map(Some).collect::<Vec<_>>(), "{accept}");
    }
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
