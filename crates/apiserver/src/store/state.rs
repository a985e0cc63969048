//! What the store holds in memory: per resource an ordered map of objects and a bounded history of changes.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use super::bell::{Bell, Ear};
use super::{Change, Effect, Forgotten, Listing, Query};
use crate::object::{Key, Object, ResourceId, Revision};

/// Changes kept per resource. At a thousand claims a second, four changes each, this is four seconds: the longest pause
/// of a watcher (a garbage collection, a swapped page) that must not cost it a new list. Below some hundreds clients
/// relist under ordinary load; far above it memory goes to states nobody reads.
pub(super) const HISTORY_CHANGES: usize = 16_384;

/// Bytes of old states kept per resource, whichever limit is met first: a thousand 3 MiB objects would otherwise hold
/// gigabytes.
const HISTORY_BYTES: usize = 64 << 20;

/// Namespace and name in one string, `namespace/name`; sorts as lists are sorted.
pub(super) fn place(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

/// Everything, at one revision.
#[derive(Debug)]
pub(super) struct State {
    /// The revision of the newest published change.
    pub(super) revision: Revision,
    /// Nothing is known about changes up to here.
    floor: Revision,
    tables: BTreeMap<ResourceId, Table>,
    history_limit: usize,
}

#[derive(Debug)]
struct Table {
    objects: BTreeMap<String, Object>,
    history: VecDeque<Arc<Change>>,
    history_bytes: usize,
    /// Changes up to here are forgotten.
    floor: Revision,
    /// Wakes watchers; they read the history themselves, so nothing queues up per watcher.
    wake: Bell,
}

impl Table {
    fn new(floor: Revision) -> Self {
        Self {
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            history_bytes: 0,
            floor,
            wake: Bell::default(),
        }
    }

    fn remember(&mut self, change: Arc<Change>, limit: usize) {
        self.history_bytes += change.new.bytes().len();
        self.history.push_back(change);
        while self.history.len() > limit || self.history_bytes > HISTORY_BYTES {
            let Some(gone) = self.history.pop_front() else { break };
            self.history_bytes -= gone.new.bytes().len();
            self.floor = gone.revision;
        }
    }
}

impl State {
    pub(super) fn new(
        revision: Revision,
        objects: impl IntoIterator<Item = (Key, Object)>,
        history_limit: usize,
    ) -> Self {
        let mut state = Self { revision, floor: revision, tables: BTreeMap::new(), history_limit };
        for (key, object) in objects {
            let at = place(&key.namespace, &key.name);
            state.table(&key.resource).objects.insert(at, object);
        }
        state
    }

    fn table(&mut self, resource: &ResourceId) -> &mut Table {
        let floor = self.floor;
        if !self.tables.contains_key(resource) {
            self.tables.insert(resource.clone(), Table::new(floor));
        }
        self.tables.get_mut(resource).expect("inserted above if it was not there")
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Object> {
        self.tables.get(&key.resource)?.objects.get(&place(&key.namespace, &key.name))
    }

    /// Applies durable changes, in order, and wakes their watchers.
    pub(super) fn publish(&mut self, changes: Vec<Change>) {
        let limit = self.history_limit;
        let mut touched: Vec<ResourceId> = Vec::new();
        for change in changes {
            debug_assert_eq!(change.revision, self.revision.next(), "revisions are consecutive");
            self.revision = change.revision;
            if !touched.contains(&change.key.resource) {
                touched.push(change.key.resource.clone());
            }
            let table = self.table(&change.key.resource);
            let at = place(&change.key.namespace, &change.key.name);
            match change.effect {
                Effect::Written => {
                    table.objects.insert(at, change.new.clone());
                }
                Effect::Removed => {
                    table.objects.remove(&at);
                }
            }
            table.remember(Arc::new(change), limit);
        }
        for resource in touched {
            self.table(&resource).wake.ring();
        }
    }

    /// A resource's wake-up, if `from` is still inside its history.
    pub(super) fn subscribe(
        &mut self,
        resource: &ResourceId,
        from: Revision,
    ) -> Result<Ear, Forgotten> {
        let table = self.table(resource);
        if from < table.floor {
            return Err(Forgotten { asked: from, oldest: table.floor });
        }
        Ok(table.wake.listen())
    }

    /// Up to `limit` changes after `cursor`, oldest first.
    pub(super) fn changes_after(
        &self,
        resource: &ResourceId,
        cursor: Revision,
        limit: usize,
    ) -> Result<Vec<Arc<Change>>, Forgotten> {
        let Some(table) = self.tables.get(resource) else { return Ok(Vec::new()) };
        if cursor < table.floor {
            return Err(Forgotten { asked: cursor, oldest: table.floor });
        }
        let start = table.history.partition_point(|change| change.revision <= cursor);
        Ok(table.history.range(start..).take(limit).cloned().collect())
    }

    /// Every object, by resource, namespace and name.
    pub(super) fn everything(&self) -> Vec<(Key, Object)> {
        let keyed = |resource: &ResourceId, object: &Object| {
            let meta = object.meta();
            let key = Key::new(resource.clone(), meta.namespace.clone(), meta.name.clone());
            (key, object.clone())
        };
        self.tables
            .iter()
            .flat_map(|(resource, table)| {
                table.objects.values().map(move |object| keyed(resource, object))
            })
            .collect()
    }

    /// The changes of all resources after `cursor`, oldest first.
    pub(super) fn all_changes_after(
        &self,
        cursor: Revision,
    ) -> Result<Vec<Arc<Change>>, Forgotten> {
        let mut changes = Vec::new();
        for table in self.tables.values() {
            if cursor < table.floor {
                return Err(Forgotten { asked: cursor, oldest: table.floor });
            }
            let start = table.history.partition_point(|change| change.revision <= cursor);
            changes.extend(table.history.range(start..).cloned());
        }
        changes.sort_by_key(|change| change.revision);
        Ok(changes)
    }

    /// Objects as they are now.
    pub(super) fn list(&self, query: &Query<'_>) -> Listing {
        let mut listing = Listing { revision: self.revision, ..Listing::default() };
        let Some(table) = self.tables.get(query.resource) else { return listing };
        let limit = query.limit.unwrap_or(usize::MAX);
        let mut range = table.objects.range::<str, _>(range_of(query).as_bounds());
        let inside = |at: &str| query.namespace.is_none_or(|namespace| in_namespace(at, namespace));
        for (at, object) in range.by_ref() {
            if !inside(at) {
                return listing;
            }
            if listing.items.len() == limit {
                listing.remaining = 1 + range.take_while(|(at, _)| inside(at)).count();
                return listing;
            }
            listing.items.push(object.clone());
        }
        listing
    }

    /// Objects as they were at `revision`: now, with the changes since then undone.
    pub(super) fn list_at(
        &self,
        query: &Query<'_>,
        revision: Revision,
    ) -> Result<Listing, Forgotten> {
        if revision >= self.revision {
            return Ok(self.list(query));
        }
        let Some(table) = self.tables.get(query.resource) else {
            if revision < self.floor {
                return Err(Forgotten { asked: revision, oldest: self.floor });
            }
            return Ok(Listing { revision, ..Listing::default() });
        };
        if revision < table.floor {
            return Err(Forgotten { asked: revision, oldest: table.floor });
        }
        let inside = |at: &str| query.namespace.is_none_or(|namespace| in_namespace(at, namespace));
        let bounds = range_of(query);
        let mut then: BTreeMap<String, Object> = table
            .objects
            .range::<str, _>(bounds.as_bounds())
            .take_while(|(at, _)| inside(at))
            .map(|(at, object)| (at.clone(), object.clone()))
            .collect();
        for change in table.history.iter().rev().take_while(|change| change.revision > revision) {
            let at = place(&change.key.namespace, &change.key.name);
            if !inside(&at) || !bounds.contains(&at) {
                continue;
            }
            match &change.old {
                Some(old) => then.insert(at, old.clone()),
                None => then.remove(&at),
            };
        }
        let limit = query.limit.unwrap_or(usize::MAX);
        let remaining = then.len().saturating_sub(limit);
        let items = then.into_values().take(limit).collect();
        Ok(Listing { revision, items, remaining })
    }
}

fn in_namespace(at: &str, namespace: &str) -> bool {
    at.strip_prefix(namespace).is_some_and(|rest| rest.starts_with('/'))
}

/// Where a query begins; it ends where the namespace does.
struct Begin(Bound<String>);

impl Begin {
    fn as_bounds(&self) -> (Bound<&str>, Bound<&str>) {
        let lower = match &self.0 {
            Bound::Included(at) => Bound::Included(at.as_str()),
            Bound::Excluded(at) => Bound::Excluded(at.as_str()),
            Bound::Unbounded => Bound::Unbounded,
        };
        (lower, Bound::Unbounded)
    }

    fn contains(&self, at: &str) -> bool {
        match &self.0 {
            Bound::Included(first) => at >= first.as_str(),
            Bound::Excluded(before) => at > before.as_str(),
            Bound::Unbounded => true,
        }
    }
}

fn range_of(query: &Query<'_>) -> Begin {
    Begin(match (query.after, query.namespace) {
        (Some((namespace, name)), _) => Bound::Excluded(place(namespace, name)),
        (None, Some(namespace)) => Bound::Included(place(namespace, "")),
        (None, None) => Bound::Unbounded,
    })
}
