//! The shelf of a pool: what a claim can take at once, what will be ready soon, and who waits.
//!
//! Kept up to date member by member, so that a claim costs O(log n) instead of a scan of the pool. It is a cache of what was seen: taking a candidate from it is
//! not yet having it; the conditional write is.

use crate::batch::Lot;
use crate::claim::{Candidate, Offer};
use crate::ids::{Key, NodeName, Revision, Uid};
use crate::pace::Pace;
use crate::rollout::{Freshness, Strategy};
use crate::world::{Holder, Member, Stage};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, btree_set};

/// Which of several equally fresh sandboxes a claim gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pick {
    /// The one that has been ready longest.
    #[default]
    Oldest,
    /// The oldest on the node that has most ready ones, so that claims spread over nodes and no node is drained of warm ones first.
    SpreadNodes,
}

/// One pool's ready queue and line of waiting claims.
#[derive(Clone, Debug)]
pub struct Shelf {
    pool: Key,
    uid: Uid,
    strategy: Strategy,
    revision: Option<Revision>,
    pick: Pick,
    /// Every member that lies in one of the sets below, and where.
    places: BTreeMap<Key, Place>,
    fresh: Rack,
    stale: Rack,
    /// On their way, of the current revision and not in trouble, by when their start began.
    creating: BTreeSet<(Timestamp, Key)>,
    /// Claims that wait, first come first, and for how many sandboxes each.
    line: BTreeMap<(Timestamp, Key), u32>,
    waiting_since: BTreeMap<Key, Timestamp>,
    /// For how many sandboxes they wait in all.
    waited_for: usize,
    pace: Pace,
}

#[derive(Clone, Debug)]
struct Place {
    member: Member,
    spot: Spot,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Spot {
    Ready(Freshness, Timestamp),
    Creating,
    /// Known, but of no use to a claim.
    Aside,
}

/// Ready sandboxes of one freshness.
#[derive(Clone, Debug, Default)]
struct Rack {
    by_age: BTreeSet<(Timestamp, Key)>,
    by_node: BTreeMap<Option<NodeName>, BTreeSet<(Timestamp, Key)>>,
    /// Nodes by how many ready ones they hold. Sandboxes without a known node count as none.
    fullest: BTreeSet<(usize, NodeName)>,
}

impl Rack {
    fn resize(
        &mut self,
        node: &Option<NodeName>,
        change: impl FnOnce(&mut BTreeSet<(Timestamp, Key)>),
    ) {
        let set = self.by_node.entry(node.clone()).or_default();
        let before = set.len();
        change(set);
        let after = set.len();
        if after == 0 {
            self.by_node.remove(node);
        }
        if let Some(name) = node {
            self.fullest.remove(&(before, name.clone()));
            if after > 0 {
                self.fullest.insert((after, name.clone()));
            }
        }
    }

    fn insert(&mut self, since: Timestamp, key: &Key, node: &Option<NodeName>) {
        self.by_age.insert((since, key.clone()));
        self.resize(node, |set| {
            set.insert((since, key.clone()));
        });
    }

    fn remove(&mut self, since: Timestamp, key: &Key, node: &Option<NodeName>) {
        let entry = (since, key.clone());
        self.by_age.remove(&entry);
        self.resize(node, |set| {
            set.remove(&entry);
        });
    }

    fn first(&self, pick: Pick) -> Option<&Key> {
        let set = match (pick, self.fullest.last()) {
            (Pick::SpreadNodes, Some((_, node))) => self.by_node.get(&Some(node.clone()))?,
            _ => &self.by_age,
        };
        set.first().map(|(_, key)| key)
    }

    /// The first `count`, as if each were taken before the next is chosen.
    fn several(&self, pick: Pick, count: usize) -> Vec<&Key> {
        match (pick, count) {
            (_, 0) => Vec::new(),
            (_, 1) => self.first(pick).into_iter().collect(),
            (Pick::Oldest, _) => self.by_age.iter().take(count).map(|(_, key)| key).collect(),
            (Pick::SpreadNodes, _) => self.spread(count),
        }
    }

    fn spread(&self, count: usize) -> Vec<&Key> {
        let mut fullest: BinaryHeap<(usize, &NodeName)> =
            self.fullest.iter().map(|(ready, node)| (*ready, node)).collect();
        let mut rests: BTreeMap<&NodeName, btree_set::Iter<'_, (Timestamp, Key)>> = BTreeMap::new();
        let mut chosen = Vec::with_capacity(count);
        while chosen.len() < count {
            let Some((ready, node)) = fullest.pop() else { break };
            let rest = rests.entry(node).or_insert_with(|| {
                self.by_node.get(&Some(node.clone())).map(BTreeSet::iter).unwrap_or_default()
            });
            chosen.extend(rest.next().map(|(_, key)| key));
            if ready > 1 {
                fullest.push((ready - 1, node));
            }
        }
        let nowhere = self.by_node.get(&None).into_iter().flatten();
        chosen.extend(nowhere.take(count - chosen.len()).map(|(_, key)| key));
        chosen
    }
}

impl Shelf {
    /// An empty shelf.
    pub fn new(pool: Key, uid: Uid, strategy: Strategy, pick: Pick) -> Self {
        Self {
            pool,
            uid,
            strategy,
            revision: None,
            pick,
            places: BTreeMap::new(),
            fresh: Rack::default(),
            stale: Rack::default(),
            creating: BTreeSet::new(),
            line: BTreeMap::new(),
            waiting_since: BTreeMap::new(),
            waited_for: 0,
            pace: Pace::default(),
        }
    }

    /// Follows the pool's spec and template. When the revision changed, everything is put in its place again: O(n log n), once per template change.
    pub fn follow(&mut self, strategy: Strategy, revision: Option<Revision>) {
        self.strategy = strategy;
        if self.revision == revision {
            return;
        }
        self.revision = revision;
        let members: Vec<Member> = self.places.values().map(|place| place.member.clone()).collect();
        for member in members {
            self.observe(member);
        }
    }

    /// A member as it is now; replaces what was known of it. An older version than the known one is ignored. Returns whether there is now something for the first waiting claim.
    pub fn observe(&mut self, member: Member) -> bool {
        let known = self.places.get(&member.key);
        if known.is_some_and(|known| {
            known.member.uid == member.uid && known.member.version > member.version
        }) {
            return false;
        }
        self.remove(&member.key.clone());
        if member.holder != Holder::Pool(self.uid.clone()) {
            return false;
        }
        let freshness = self.freshness(&member);
        let spot = match &member.stage {
            _ if member.is_locked() => Spot::Aside,
            Stage::Available => Spot::Ready(freshness, member.since),
            Stage::Creating(None) if freshness == Freshness::Fresh => Spot::Creating,
            _ => Spot::Aside,
        };
        match &spot {
            Spot::Ready(freshness, since) => {
                self.rack(*freshness).insert(*since, &member.key, &member.node)
            }
            Spot::Creating => {
                self.creating.insert((member.since, member.key.clone()));
            }
            Spot::Aside => {}
        }
        let serves =
            matches!(spot, Spot::Ready(freshness, _) if self.strategy.hands_out(freshness));
        self.places.insert(member.key.clone(), Place { member, spot });
        serves && !self.line.is_empty()
    }

    /// Forgets a member: it is gone, or it was taken.
    pub fn remove(&mut self, key: &Key) {
        let Some(place) = self.places.remove(key) else { return };
        match place.spot {
            Spot::Ready(freshness, since) => {
                self.rack(freshness).remove(since, key, &place.member.node)
            }
            Spot::Creating => {
                self.creating.remove(&(place.member.since, key.clone()));
            }
            Spot::Aside => {}
        }
    }

    /// How many a claim could take now.
    pub fn ready(&self) -> usize {
        let stale =
            if self.strategy.hands_out(Freshness::Stale) { self.stale.by_age.len() } else { 0 };
        self.fresh.by_age.len() + stale
    }

    /// What the pool offers to this claim: nothing that a claim before it in line waits for.
    pub fn offer(&self, claim: &Key, created: Timestamp) -> Offer {
        let lot = self.lot(claim, created, 1);
        Offer {
            pool: lot.pool,
            strategy: lot.strategy,
            candidate: lot.candidates.into_iter().next(),
            in_flight: lot.coming.first().copied(),
            ahead: lot.ahead,
            stale: lot.stale,
            start: lot.start,
        }
    }

    /// What the pool offers to a claim of up to `want`: nothing that claims before it in line wait for.
    pub fn lot(&self, claim: &Key, created: Timestamp, want: u32) -> Lot {
        let ahead = self.ahead(claim, created);
        let ready = self.ready();
        let want = want as usize;
        let candidates = self.best(want.min(ready.saturating_sub(ahead)));
        let nth = ahead.saturating_sub(ready);
        let left = self.creating.len().saturating_sub(nth).min(want - candidates.len());
        let coming = if nth < EXACT_PLACES {
            self.creating.iter().skip(nth).take(left).map(|(created, _)| *created).collect()
        } else {
            self.creating.last().map(|(created, _)| vec![*created; left]).unwrap_or_default()
        };
        Lot {
            pool: self.pool.clone(),
            strategy: self.strategy,
            candidates,
            coming,
            ahead: u32::try_from(ahead).unwrap_or(u32::MAX),
            stale: u32::try_from(self.stale.by_age.len()).unwrap_or(u32::MAX),
            start: self.pace.typical(),
        }
    }

    /// Takes a candidate off the shelf before the write that commits it. On a conflict leave it off: the watch brings it back if it is still free. On any other
    /// failure [`Shelf::observe`] it again.
    pub fn take(&mut self, candidate: &Candidate) -> Option<Member> {
        let place = self.places.get(&candidate.key)?;
        if place.member.uid != candidate.precondition.uid {
            return None;
        }
        let member = place.member.clone();
        self.remove(&candidate.key);
        Some(member)
    }

    /// Puts a claim of one sandbox in line. Its place is its age, however often it is put there.
    pub fn wait(&mut self, claim: &Key, created: Timestamp) {
        self.wait_for(claim, created, 1);
    }

    /// Puts a claim in line for so many sandboxes. Asking for another number does not cost it its place.
    pub fn wait_for(&mut self, claim: &Key, created: Timestamp, want: u32) {
        self.leave(claim);
        if want == 0 {
            return;
        }
        self.line.insert((created, claim.clone()), want);
        self.waiting_since.insert(claim.clone(), created);
        self.waited_for += want as usize;
    }

    /// Takes a claim out of the line: it was served, or it is gone.
    pub fn leave(&mut self, claim: &Key) {
        if let Some(created) = self.waiting_since.remove(claim)
            && let Some(want) = self.line.remove(&(created, claim.clone()))
        {
            self.waited_for -= want as usize;
        }
    }

    /// The claims that can be served now, if only in part, first come first: call after [`Shelf::observe`] said so.
    pub fn served(&self) -> impl Iterator<Item = &Key> {
        let mut left = self.ready();
        self.line.iter().map_while(move |((_, key), want)| {
            let served = left > 0;
            left = left.saturating_sub(*want as usize);
            served.then_some(key)
        })
    }

    /// For how many sandboxes claims wait.
    pub fn waiting(&self) -> usize {
        self.waited_for
    }

    /// All claims that wait, first come first.
    pub fn line(&self) -> impl Iterator<Item = &Key> {
        self.line.keys().map(|(_, key)| key)
    }

    /// The observed start times of this pool.
    pub fn pace(&mut self) -> &mut Pace {
        &mut self.pace
    }

    /// For how many sandboxes claims before this one wait.
    fn ahead(&self, claim: &Key, created: Timestamp) -> usize {
        let place = (created, claim.clone());
        match self.line.last_key_value() {
            // The usual case, a new claim behind everybody, without counting.
            Some((last, _)) if *last < place => self.waited_for,
            _ => self.line.range(..place).map(|(_, want)| *want as usize).sum(),
        }
    }

    /// The best `count` that may be handed out, fresh ones first.
    fn best(&self, count: usize) -> Vec<Candidate> {
        let fresh = self.fresh.several(self.pick, count);
        let fewer = count - fresh.len();
        let stale = if self.strategy.hands_out(Freshness::Stale) {
            self.stale.several(self.pick, fewer)
        } else {
            Vec::new()
        };
        let candidate = |key: &Key, freshness| {
            let member = &self.places.get(key)?.member;
            Some(Candidate {
                key: key.clone(),
                precondition: member.precondition(),
                freshness,
                node: member.node.clone(),
            })
        };
        let fresh = fresh.into_iter().filter_map(|key| candidate(key, Freshness::Fresh));
        let stale = stale.into_iter().filter_map(|key| candidate(key, Freshness::Stale));
        fresh.chain(stale).collect()
    }

    fn freshness(&self, member: &Member) -> Freshness {
        if self.revision.as_ref() == Some(&member.revision) {
            Freshness::Fresh
        } else {
            Freshness::Stale
        }
    }

    fn rack(&mut self, freshness: Freshness) -> &mut Rack {
        match freshness {
            Freshness::Fresh => &mut self.fresh,
            Freshness::Stale => &mut self.stale,
        }
    }
}

/// Up to this place in line the very sandbox that a claim would get is looked up; behind it the youngest one stands for it, which errs towards a cold start.
/// Counting further would make a burst of claims quadratic.
const EXACT_PLACES: usize = 64;
