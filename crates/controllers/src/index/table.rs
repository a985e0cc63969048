//! The objects of one kind, as last seen.

use std::collections::BTreeMap;
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
    /// Takes an observation. `None` if it says nothing new: it is of the same life and not of a newer version, which is what a relist from a late replica looks like.
    pub fn apply(&mut self, object: T) -> Option<Change<T>> {
        let key = object.meta().key();
        let version = object.meta().version();
        if let Some(known) = self.objects.get(&key) {
            let same_life = known.meta().uid == object.meta().uid;
            // Zero is a version that can't be compared; then every observation counts.
            if same_life && version != Version(0) && known.meta().version() >= version {
                return None;
            }
        }
        let new = Arc::new(object);
        let old = self.objects.insert(key, new.clone());
        Some(Change { old, new: Some(new) })
    }

    /// The object is gone.
    pub fn delete(&mut self, key: &Key) -> Option<Change<T>> {
        let old = self.objects.remove(key)?;
        Some(Change { old: Some(old), new: None })
    }

    /// The object of this name.
    pub fn get(&self, key: &Key) -> Option<&Arc<T>> {
        self.objects.get(key)
    }

    /// The names that are known but not in `listed`: what a relist shows to be gone.
    pub fn missing_from(&self, listed: &std::collections::BTreeSet<Key>) -> Vec<Key> {
        self.objects.keys().filter(|key| !listed.contains(*key)).cloned().collect()
    }
}
