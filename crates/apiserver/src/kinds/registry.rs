//! Which kinds are served at this moment. Read on every request, replaced as a whole when definitions change.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;

use super::{Kind, Scope, Version, builtin};
use crate::discovery::Catalog;
use crate::object::{Key, ResourceId};
use crate::status::{ApiError, Named};

/// API groups that clients know and ask for, and that come later. Asking for them is no mistake, so the answer says more
/// than "page not found".
const GROUPS_TO_COME: [&str; 9] = [
    "admissionregistration.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "scheduling.k8s.io",
];

/// The kinds served at one moment.
#[derive(Debug, Default)]
pub struct Kinds {
    kinds: BTreeMap<(String, String), Arc<Kind>>,
    first_groups: Arc<[String]>,
    catalog: OnceLock<Catalog>,
}

impl Kinds {
    /// What discovery says of them; written at the first question and kept as long as the kinds stay the same.
    pub fn catalog(&self) -> &Catalog {
        self.catalog.get_or_init(|| Catalog::new(self.iter().cloned(), &self.first_groups))
    }

    /// All kinds, by group and plural name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.kinds.values()
    }

    /// The kind of a group's resource, in whatever versions.
    pub fn resource(&self, group: &str, plural: &str) -> Option<&Arc<Kind>> {
        self.kinds.get(&(group.to_owned(), plural.to_owned()))
    }

    /// The kind with this `kind` in this group, in whatever versions.
    pub fn kind(&self, group: &str, kind: &str) -> Option<&Arc<Kind>> {
        self.kinds.values().find(|known| known.group == group && known.kind == kind)
    }

    /// The kind that a path names, in the version it names.
    pub(crate) fn served(
        &self,
        group: &str,
        version: &str,
        plural: &str,
    ) -> Result<Served, ApiError> {
        let known = self.resource(group, plural);
        let index =
            known.and_then(|kind| kind.versions.iter().position(|v| v.name == version && v.served));
        match (known, index) {
            (Some(kind), Some(index)) => Ok(Served { kind: kind.clone(), index }),
            _ => Err(self.not_served(group, version)),
        }
    }

    fn not_served(&self, group: &str, version: &str) -> ApiError {
        let mut of_group = self.kinds.values().filter(|kind| kind.group == group).peekable();
        if of_group.peek().is_none() {
            if GROUPS_TO_COME.contains(&group) {
                return ApiError::group_not_served(group);
            }
            return ApiError::unknown_path();
        }
        if of_group.any(|kind| kind.served(version).is_some()) {
            ApiError::unknown_resource()
        } else {
            ApiError::unknown_path()
        }
    }
}

/// A kind in one of its served versions: what a request works on.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub(crate) kind: Arc<Kind>,
    index: usize,
}

impl Served {
    /// The kind in the version it is stored in; for the server's own work.
    pub(crate) fn stored(kind: &Arc<Kind>) -> Option<Self> {
        let index = kind.versions.iter().position(|version| version.name == kind.storage)?;
        Some(Self { kind: kind.clone(), index })
    }

    pub(crate) fn version(&self) -> &Version {
        &self.kind.versions[self.index]
    }

    /// `v1` or `group/version`.
    pub(crate) fn api_version(&self) -> String {
        self.kind.api_version(&self.version().name)
    }

    pub(crate) fn is_namespaced(&self) -> bool {
        self.kind.scope == Scope::Namespaced
    }

    pub(crate) fn resource(&self) -> &ResourceId {
        self.kind.resource()
    }

    pub(crate) fn key(&self, namespace: &str, name: &str) -> Key {
        Key::new(self.resource().clone(), namespace, name)
    }

    /// An object of it, as most errors name it.
    pub(crate) fn named<'a>(&'a self, name: &'a str) -> Named<'a> {
        Named { group: &self.kind.group, resource: &self.kind.plural, name }
    }

    /// An object of it, as validation errors name it.
    pub(crate) fn invalid<'a>(&'a self, name: &'a str) -> Named<'a> {
        Named { group: &self.kind.group, resource: &self.kind.kind, name }
    }
}

/// The kinds, now.
#[derive(Debug)]
pub struct Registry {
    current: ArcSwap<Kinds>,
    /// Groups that discovery names before all others.
    first_groups: Arc<[String]>,
    /// Tells that another set of kinds is served.
    replaced: tokio::sync::watch::Sender<()>,
}

impl Registry {
    /// The built-in kinds alone. Discovery will name these groups first.
    pub fn new(first_groups: Vec<String>) -> Self {
        let registry = Self {
            current: ArcSwap::from_pointee(Kinds::default()),
            first_groups: first_groups.into(),
            replaced: tokio::sync::watch::Sender::new(()),
        };
        registry.replace_custom(Vec::new());
        registry
    }

    /// What is served at this moment.
    pub fn now(&self) -> arc_swap::Guard<Arc<Kinds>> {
        self.current.load()
    }

    /// Serves the built-in kinds and these.
    pub fn replace_custom(&self, custom: Vec<Arc<Kind>>) {
        let all = builtin::all().iter().cloned().chain(custom);
        let kinds = all.map(|kind| ((kind.group.clone(), kind.plural.clone()), kind)).collect();
        let first_groups = self.first_groups.clone();
        self.current.store(Arc::new(Kinds { kinds, first_groups, catalog: OnceLock::new() }));
        self.replaced.send_replace(());
    }

    /// Changes whenever another set of kinds is served.
    pub(crate) fn replacements(&self) -> tokio::sync::watch::Receiver<()> {
        self.replaced.subscribe()
    }
}
