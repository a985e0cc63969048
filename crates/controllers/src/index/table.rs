//! The objects of one kind, as last seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dialects::meta::Meta;
use engine::{Key, Version};

/// An object with metadata.
pub trait Object {
    /// Its metadata.
    fn meta(&self) -> &Meta;
}

/// What an observation changed: how the object was, and how it is.
#[derive(Debug)]
pub struct Change<T> {
    /// Before; nothing if it is new.
    pub old: Option<Arc<T>>,
    /// Now; nothing if it is gone.
    pub new: Option<Arc<T>>,
}

/// Objects by name. Iterates in order of namespace and name.
#[derive(Debug)]
pub struct Table<T> {
    objects: BTreeMap<Key, Arc<T>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table { objects: BTreeMap::new() }
    }
}

impl<T: Object> Table<T> {
    /// Takes an observation. `None` if it says nothing new: it is not of a newer version, which is what a relist from a late replica looks like. Versions order
    /// lives too: an older life of the same name is no news either.
    pub fn apply(&mut self, object: T) -> Option<Change<T>> {
        let key = object.meta().key();
        let version = object.meta().version();
        if let Some(known) = self.objects.get(&key) {
            // Zero is a version that can't be compared; then every observation counts.
            if version != Version(0) && known.meta().version() >= version {
                return None;
            }
        }
        let new = Arc::new(object);
        let old = self.objects.insert(key, new.clone());
        Some(Change { old, new: Some(new) })
    }

    /// The object is gone as of `version`. `None` if it is not known, or known in a newer version: then this is the end of an earlier life.
    pub fn delete(&mut self, key: &Key, version: Version) -> Option<Change<T>> {
        if version != Version(0) && self.objects.get(key)?.meta().version() > version {
            return None;
        }
        let old = self.objects.remove(key)?;
        Some(Change { old: Some(old), new: None })
    }

    /// The object of this name.
    pub fn get(&self, key: &Key) -> Option<&Arc<T>> {
        self.objects.get(key)
    }

    /// What is known but not in `listed`, with the version in which it is known.
    pub fn missing_from(&self, listed: &BTreeSet<Key>) -> Vec<(Key, Version)> {
        self.objects
            .iter()
            .filter(|(key, _)| !listed.contains(*key))
            .map(|(key, object)| (key.clone(), object.meta().version()))
            .collect()
    }
}
