//! The compiled-in kinds: data, and for a few of them small functions of behaviour.

mod config;
mod event;
mod lease;
mod namespace;
pub(crate) mod pod;
mod probe;
mod service;
mod storage;

use std::sync::{Arc, LazyLock};

use super::{
    ALL_VERBS, Generation, Hooks, Kind, Names, PutMissing, PutUnversioned, Rules, Scope, Source,
    Status, Subresource, Subresources, Version,
};
use crate::object::{ResourceId, Revision};
use crate::schema::builtin as schemas;

/// Every compiled-in kind.
pub(crate) fn all() -> &'static [Arc<Kind>] {
    static ALL: LazyLock<Vec<Arc<Kind>>> =
        LazyLock::new(|| ROWS.iter().map(|row| Arc::new(row.kind())).collect());
    &ALL
}

/// One line of the table below; everything not said is as [`Row::NEW`] has it.
struct Row {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
    categories: &'static [&'static str],
    scope: Scope,
    status: Status,
    others: &'static [Subresource],
    put_missing: PutMissing,
    put_unversioned: PutUnversioned,
    generation: Generation,
    names: Names,
    verbs: &'static [&'static str],
    hooks: Hooks,
    stored_as: Option<(&'static str, &'static str)>,
}

impl Row {
    const NEW: Self = Self {
        group: "",
        version: "v1",
        kind: "",
        plural: "",
        short: &[],
        categories: &[],
        scope: Scope::Namespaced,
        status: Status::Inline,
        others: &[],
        put_missing: PutMissing::Refuse,
        put_unversioned: PutUnversioned::Overwrite,
        generation: Generation::None,
        names: Names::Subdomain,
        verbs: ALL_VERBS,
        hooks: Hooks::NONE,
        stored_as: None,
    };

    fn kind(&self) -> Kind {
        let (group, plural) = self.stored_as.unwrap_or((self.group, self.plural));
        Kind {
            group: self.group.to_owned(),
            plural: self.plural.to_owned(),
            singular: self.kind.to_ascii_lowercase(),
            kind: self.kind.to_owned(),
            list_kind: format!("{}List", self.kind),
            short_names: self.short.iter().map(|name| (*name).to_owned()).collect(),
            categories: self.categories.iter().map(|name| (*name).to_owned()).collect(),
            scope: self.scope,
            versions: vec![Version {
                name: self.version.to_owned(),
                served: true,
                deprecation: None,
                columns: Vec::new(),
                subresources: Subresources {
                    status: self.status,
                    scale: None,
                    others: self.others.to_vec(),
                },
                selectable: Vec::new(),
                schema: schemas::schema(self.group, self.version, self.kind),
                open_api: None,
            }],
            storage: self.version.to_owned(),
            source: Source::Builtin,
            rules: Rules {
                verbs: self.verbs,
                put_missing: self.put_missing,
                put_unversioned: self.put_unversioned,
                generation: self.generation,
                names: self.names,
                hooks: self.hooks,
            },
            stored_as: ResourceId::new(group, plural),
            defaults_since: Revision(0),
        }
    }
}

const fn sub(
    name: &'static str,
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    verbs: &'static [&'static str],
) -> Subresource {
    Subresource { name, group, version, kind, verbs }
}

/// Namespaces are emptied by their own deletion; a deletecollection of them is not offered.
const NAMESPACE_VERBS: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];

/// Questions are posted and answered; there is nothing to read back.
const REVIEW: Row = Row { scope: Scope::Cluster, verbs: &["create"], ..Row::NEW };

const ROWS: &[Row] = &[
    Row {
        kind: "Pod",
        plural: "pods",
        short: &["po"],
        categories: &["all"],
        status: Status::Subresource,
        generation: Generation::Content,
        others: &[
            sub("attach", "", "v1", "PodAttachOptions", &["create", "get"]),
            sub("binding", "", "v1", "Binding", &["create"]),
            sub("eviction", "policy", "v1", "Eviction", &["create"]),
            sub("exec", "", "v1", "PodExecOptions", &["create", "get"]),
            sub("log", "", "v1", "Pod", &["get"]),
            sub("resize", "", "v1", "Pod", &["get", "patch", "update"]),
        ],
        hooks: pod::HOOKS,
        ..Row::NEW
    },
    Row {
        kind: "ConfigMap",
        plural: "configmaps",
        short: &["cm"],
        hooks: config::CONFIG_MAP,
        ..Row::NEW
    },
    Row { kind: "Secret", plural: "secrets", hooks: config::SECRET, ..Row::NEW },
    Row { kind: "ServiceAccount", plural: "serviceaccounts", short: &["sa"], ..Row::NEW },
    Row {
        kind: "Service",
        plural: "services",
        short: &["svc"],
        categories: &["all"],
        status: Status::Subresource,
        put_missing: PutMissing::Create,
        names: Names::Label,
        hooks: service::HOOKS,
        ..Row::NEW
    },
    Row {
        kind: "PersistentVolumeClaim",
        plural: "persistentvolumeclaims",
        short: &["pvc"],
        status: Status::Subresource,
        hooks: storage::CLAIM,
        ..Row::NEW
    },
    Row {
        kind: "PersistentVolume",
        plural: "persistentvolumes",
        short: &["pv"],
        scope: Scope::Cluster,
        status: Status::Subresource,
        hooks: storage::VOLUME,
        ..Row::NEW
    },
    Row {
        kind: "Node",
        plural: "nodes",
        short: &["no"],
        scope: Scope::Cluster,
        status: Status::Subresource,
        hooks: Hooks { fields: &["spec.unschedulable"], ..Hooks::NONE },
        ..Row::NEW
    },
    Row {
        kind: "Namespace",
        plural: "namespaces",
        short: &["ns"],
        scope: Scope::Cluster,
        status: Status::Subresource,
        names: Names::Label,
        verbs: NAMESPACE_VERBS,
        others: &[sub("finalize", "", "v1", "Namespace", &["update"])],
        hooks: namespace::HOOKS,
        ..Row::NEW
    },
    Row {
        kind: "Event",
        plural: "events",
        short: &["ev"],
        put_missing: PutMissing::Create,
        hooks: event::CORE,
        ..Row::NEW
    },
    Row {
        group: "events.k8s.io",
        kind: "Event",
        plural: "events",
        short: &["ev"],
        put_missing: PutMissing::Create,
        hooks: event::VIEW,
        stored_as: Some(("", "events")),
        ..Row::NEW
    },
    Row {
        group: "coordination.k8s.io",
        kind: "Lease",
        plural: "leases",
        put_missing: PutMissing::Create,
        put_unversioned: PutUnversioned::Refuse,
        hooks: lease::HOOKS,
        ..Row::NEW
    },
    Row {
        group: "networking.k8s.io",
        kind: "NetworkPolicy",
        plural: "networkpolicies",
        short: &["netpol"],
        generation: Generation::Content,
        hooks: service::NETWORK_POLICY,
        ..Row::NEW
    },
    Row {
        group: "apiextensions.k8s.io",
        kind: "CustomResourceDefinition",
        plural: "customresourcedefinitions",
        short: &["crd", "crds"],
        categories: &["api-extensions"],
        scope: Scope::Cluster,
        status: Status::Subresource,
        put_unversioned: PutUnversioned::Refuse,
        generation: Generation::Content,
        hooks: super::definitions::HOOKS,
        ..Row::NEW
    },
    Row {
        group: "storage.k8s.io",
        kind: "StorageClass",
        plural: "storageclasses",
        short: &["sc"],
        scope: Scope::Cluster,
        hooks: storage::CLASS,
        ..Row::NEW
    },
    Row {
        group: "node.k8s.io",
        kind: "RuntimeClass",
        plural: "runtimeclasses",
        scope: Scope::Cluster,
        put_missing: PutMissing::Create,
        put_unversioned: PutUnversioned::Refuse,
        ..Row::NEW
    },
    Row {
        group: "authorization.k8s.io",
        kind: "SelfSubjectAccessReview",
        plural: "selfsubjectaccessreviews",
        ..REVIEW
    },
    Row {
        group: "authorization.k8s.io",
        kind: "SelfSubjectRulesReview",
        plural: "selfsubjectrulesreviews",
        ..REVIEW
    },
    Row {
        group: "authentication.k8s.io",
        kind: "SelfSubjectReview",
        plural: "selfsubjectreviews",
        ..REVIEW
    },
];

/// Sets a member that is absent.
pub(super) fn default_to(
    value: &mut serde_json::Value,
    member: &str,
    default: impl Into<serde_json::Value>,
) {
    if let Some(members) = value.as_object_mut()
        && members.get(member).is_none_or(serde_json::Value::is_null)
    {
        members.insert(member.to_owned(), default.into());
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_kind_has_a_schema_and_every_singular_is_its_kind() {
        for kind in super::all() {
            assert!(kind.versions[0].schema.is_some(), "{} has no schema", kind.kind);
            assert_eq!(kind.singular, kind.kind.to_lowercase());
        }
    }
}
