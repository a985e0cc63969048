//! Who owns whom, and what follows from it. Values in, values out: no store, no clock.
//!
//! Kept for every object: its uid, where it is, its owners and what deletion it is in. From owner to dependents there is an
//! index by uid, so a deletion costs what it concerns and not what there is.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    finalizers::{FOREGROUND, ORPHAN},
    object::{Key, Meta, Object, OwnerReference, Revision},
};

/// A uid as a number: 16 bytes instead of 60, of which there are two for each object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Uid(u128);

impl Uid {
    /// `None` for what no server ever gave out.
    pub(super) fn parse(text: &str) -> Option<Self> {
        uuid::Uuid::try_parse(text).ok().map(|uuid| Self(uuid.as_u128()))
    }
}

/// What an object's dependents see of its deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// Nobody asked for its deletion, or something else than its dependents holds it.
    Stays,
    /// It waits for its dependents to go.
    Foreground,
    /// It waits for its dependents to forget it.
    Orphaning,
}

#[derive(Clone, Debug)]
struct Node {
    key: Key,
    revision: Revision,
    life: Life,
    deleting: bool,
    owners: Vec<Owner>,
}

#[derive(Clone, Debug)]
struct Owner {
    /// None if the reference holds no uid that a server could have given out.
    uid: Option<Uid>,
    reference: OwnerReference,
    /// Whether its removal was seen. What was never seen may be of a kind that is not served yet.
    seen_gone: bool,
}

/// What the owner of a reference turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It is there and stays.
    Solid,
    /// It waits in a foreground deletion for this very dependent.
    Waiting,
    /// It is not there.
    Gone,
    /// Whether it is there can't be known.
    Unknown,
}

/// Which object an action is about: this life of it, in the state that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) uid: Uid,
    pub(super) key: Key,
    pub(super) revision: Revision,
}

/// What is to be done to one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Delete it; its own dependents follow in the background or go first.
    Delete {
        /// Whether its dependents go first.
        foreground: bool,
    },
    /// Take these owners out of its references, by uid as written.
    Disown(Vec<String>),
    /// Let its owners go before it: it is part of a circle that would otherwise wait for itself.
    Unblock,
    /// Take away a finalizer that is the collector's own.
    Release(&'static str),
}

/// Whether a kind is served, by `apiVersion` and `kind`: an owner of a kind that is not can't be known to be gone.
pub(super) type IsServed<'a> = &'a dyn Fn(&str, &str) -> bool;

/// The index.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: BTreeMap<Uid, Node>,
    dependents: BTreeMap<Uid, BTreeSet<Uid>>,
    /// Objects to look at again.
    dirty: BTreeSet<Uid>,
    /// Objects with an owner that can't be known to be gone.
    unknown: BTreeSet<Uid>,
}

impl Graph {
    /// Takes in an object's newest state.
    pub(super) fn written(&mut self, key: &Key, object: &Object) {
        let meta = object.meta();
        let Some(uid) = Uid::parse(&meta.uid) else { return };
        let before = self.nodes.remove(&uid);
        let node = Node {
            key: key.clone(),
            revision: object.revision(),
            life: life(meta),
            deleting: meta.is_deleting(),
            owners: owners(meta, before.as_ref()),
        };
        if let Some(before) = before {
            self.unlink(uid, &before);
        }
        for owner in node.owners.iter().filter_map(|owner| owner.uid) {
            self.dependents.entry(owner).or_default().insert(uid);
        }
        // A plain object without owners needs nobody's attention: the common case of a busy store.
        if !node.owners.is_empty() || node.life != Life::Stays {
            self.dirty.insert(uid);
        }
        self.nodes.insert(uid, node);
    }

    /// Takes in that an object is gone.
    pub(super) fn removed(&mut self, object: &Object) {
        let Some(uid) = Uid::parse(&object.meta().uid) else { return };
        if let Some(node) = self.nodes.remove(&uid) {
            self.unlink(uid, &node);
        }
        self.dirty.remove(&uid);
        self.unknown.remove(&uid);
        for dependent in self.dependents.get(&uid).into_iter().flatten() {
            let owners = self.nodes.get_mut(dependent).map(|node| &mut node.owners);
            for owner in owners.into_iter().flatten().filter(|owner| owner.uid == Some(uid)) {
                owner.seen_gone = true;
            }
            self.dirty.insert(*dependent);
        }
    }

    /// Looks again at what depends on kinds that were not served: some may be now.
    pub(super) fn kinds_changed(&mut self) {
        self.dirty.append(&mut self.unknown);
    }

    /// Looks at an object again, and at owners that wait for it, after an action on it failed.
    pub(super) fn retry(&mut self, uid: Uid) {
        let Some(node) = self.nodes.get(&uid) else { return };
        self.dirty.insert(uid);
        self.dirty.extend(node.owners.iter().filter_map(|owner| owner.uid));
    }

    /// What follows for up to `limit` of the objects that something happened to.
    pub(super) fn plan(&mut self, limit: usize, is_served: IsServed<'_>) -> Vec<(Subject, Action)> {
        let mut actions = Vec::new();
        while actions.len() < limit {
            let Some(uid) = self.dirty.pop_first() else { break };
            self.look_at(uid, limit, is_served, &mut actions);
        }
        actions
    }

    fn look_at(
        &mut self,
        uid: Uid,
        limit: usize,
        is_served: IsServed<'_>,
        actions: &mut Vec<(Subject, Action)>,
    ) {
        let Some(node) = self.nodes.get(&uid) else { return };
        match node.life {
            Life::Orphaning => return self.orphan(uid, limit, actions),
            Life::Foreground => return self.wait_for_dependents(uid, actions),
            // Something else holds it; deleting it again changes nothing.
            Life::Stays if node.deleting => return,
            Life::Stays => {}
        }
        let standings: Vec<Standing> =
            node.owners.iter().map(|owner| self.standing(node, owner, is_served)).collect();
        let any = |standing| standings.contains(&standing);
        if standings.is_empty() {
            return;
        }
        if any(Standing::Unknown) {
            self.unknown.insert(uid);
            return;
        }
        if any(Standing::Solid) {
            let lost: Vec<String> = node
                .owners
                .iter()
                .zip(&standings)
                .filter(|(_, standing)| **standing != Standing::Solid)
                .map(|(owner, _)| owner.reference.uid.clone())
                .collect();
            if !lost.is_empty() {
                actions.push((subject(uid, node), Action::Disown(lost)));
            }
            return;
        }
        let has_dependents = self.dependents.get(&uid).is_some_and(|set| !set.is_empty());
        let foreground = any(Standing::Waiting) && has_dependents;
        if foreground && self.is_in_circle(uid) {
            actions.push((subject(uid, node), Action::Unblock));
            return;
        }
        actions.push((subject(uid, node), Action::Delete { foreground }));
    }

    /// Every dependent forgets this owner; then it may go. Those beyond the limit have their turn when the first have
    /// forgotten, which wakes the owner again.
    fn orphan(&self, uid: Uid, limit: usize, actions: &mut Vec<(Subject, Action)>) {
        let Some(owner) = self.nodes.get(&uid) else { return };
        let before = actions.len();
        for dependent in self.dependents.get(&uid).into_iter().flatten().take(limit) {
            let Some(node) = self.nodes.get(dependent) else { continue };
            let written = node.owners.iter().filter(|owner| owner.uid == Some(uid));
            let uids = written.map(|owner| owner.reference.uid.clone()).collect();
            actions.push((subject(*dependent, node), Action::Disown(uids)));
        }
        if actions.len() == before {
            actions.push((subject(uid, owner), Action::Release(ORPHAN)));
        }
    }

    /// Dependents go first; those that block are waited for.
    fn wait_for_dependents(&mut self, uid: Uid, actions: &mut Vec<(Subject, Action)>) {
        let dependents = self.dependents.get(&uid).cloned().unwrap_or_default();
        let blocks = |dependent: &Uid| {
            // Who owns itself does not wait for itself.
            *dependent != uid && self.nodes.get(dependent).is_some_and(|node| node.blocks(uid))
        };
        if !dependents.iter().any(blocks) {
            if let Some(node) = self.nodes.get(&uid) {
                actions.push((subject(uid, node), Action::Release(FOREGROUND)));
            }
            return;
        }
        // They find their owner waiting and draw their own conclusion.
        let idle = dependents
            .into_iter()
            .filter(|uid| self.nodes.get(uid).is_some_and(|node| !node.deleting));
        self.dirty.extend(idle.collect::<Vec<_>>());
    }

    fn standing(&self, node: &Node, owner: &Owner, is_served: IsServed<'_>) -> Standing {
        let found = owner.uid.and_then(|uid| self.nodes.get(&uid));
        match found {
            // A dependent beside namespaces can't have an owner inside one; nobody can say what was meant.
            Some(found) if node.key.namespace.is_empty() && !found.key.namespace.is_empty() => {
                Standing::Unknown
            }
            // An owner in another namespace is no owner.
            Some(found)
                if !found.key.namespace.is_empty() && found.key.namespace != node.key.namespace =>
            {
                Standing::Gone
            }
            Some(found) if found.life == Life::Foreground => Standing::Waiting,
            Some(_) => Standing::Solid,
            None if owner.seen_gone => Standing::Gone,
            None if is_served(&owner.reference.api_version, &owner.reference.kind) => {
                Standing::Gone
            }
            None => Standing::Unknown,
        }
    }

    /// Whether a dependent of this object waits already, above it, for this very object.
    fn is_in_circle(&self, uid: Uid) -> bool {
        let waits =
            |uid: &Uid| self.nodes.get(uid).is_some_and(|node| node.life == Life::Foreground);
        self.nodes.get(&uid).is_some_and(|node| node.owners.iter().any(|owner| owner.blocks()))
            && self.dependents.get(&uid).into_iter().flatten().any(waits)
    }

    /// Forgets the edges of a state that is no more, and wakes owners that may have waited for it.
    fn unlink(&mut self, uid: Uid, node: &Node) {
        for owner in node.owners.iter().filter_map(|owner| owner.uid) {
            if let Some(set) = self.dependents.get_mut(&owner) {
                set.remove(&uid);
                if set.is_empty() {
                    self.dependents.remove(&owner);
                }
            }
            if self.nodes.get(&owner).is_some_and(|owner| owner.life != Life::Stays) {
                self.dirty.insert(owner);
            }
        }
    }

    /// Says which promise of the index is broken.
    #[cfg(test)]
    pub(super) fn check(&self) -> Result<(), String> {
        for (owner, set) in &self.dependents {
            if set.is_empty() {
                return Err(format!("{owner:?} has an empty set of dependents"));
            }
            for dependent in set {
                let node = self.nodes.get(dependent).ok_or("a dependent is not a node")?;
                if !node.owners.iter().any(|known| known.uid == Some(*owner)) {
                    return Err(format!("{} does not know its owner", node.key));
                }
            }
        }
        for (uid, node) in &self.nodes {
            for owner in node.owners.iter().filter_map(|owner| owner.uid) {
                if !self.dependents.get(&owner).is_some_and(|set| set.contains(uid)) {
                    return Err(format!("{} is missing among the dependents", node.key));
                }
            }
        }
        Ok(())
    }
}

impl Node {
    fn blocks(&self, uid: Uid) -> bool {
        self.owners.iter().any(|owner| owner.uid == Some(uid) && owner.blocks())
    }
}

impl Owner {
    fn blocks(&self) -> bool {
        self.reference.block_owner_deletion == Some(true)
    }
}

fn subject(uid: Uid, node: &Node) -> Subject {
    Subject { uid, key: node.key.clone(), revision: node.revision }
}

fn life(meta: &Meta) -> Life {
    let has = |name: &str| meta.finalizers.iter().any(|finalizer| finalizer == name);
    if !meta.is_deleting() {
        Life::Stays
    } else if has(ORPHAN) {
        Life::Orphaning
    } else if has(FOREGROUND) {
        Life::Foreground
    } else {
        Life::Stays
    }
}

/// The owners of the newest state; what was seen of them before is kept.
fn owners(meta: &Meta, before: Option<&Node>) -> Vec<Owner> {
    meta.owner_references
        .iter()
        .map(|reference| {
            let uid = Uid::parse(&reference.uid);
            let known = |owner: &Owner| owner.uid == uid && owner.seen_gone;
            let seen_gone = before.is_some_and(|node| node.owners.iter().any(known));
            Owner { uid, reference: reference.clone(), seen_gone }
        })
        .collect()
}
