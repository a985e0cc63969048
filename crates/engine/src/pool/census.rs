//! Census: who of all that carry the pool's label is what.

use super::view::{Counts, PoolView, TemplateState};
use crate::rollout::Freshness;
use crate::world::{Holder, Member, Stage};
use std::collections::BTreeSet;

/// The members of a pool, told apart, each list in the order of names.
#[derive(Debug)]
pub(crate) struct Census<'a> {
    /// Warm and not leaving, as far as we know.
    pub warm: Vec<Warm<'a>>,
    /// On their way out, seen or asked for. They still take room.
    pub leaving: u32,
    /// Asked for and not seen yet.
    pub unseen: u32,
    /// Being given to claims, and not known to have gone. They take room too.
    pub in_hand: u32,
    /// Carrying the label and owned by nobody.
    pub orphans: Vec<Warm<'a>>,
}

/// A warm member with what its revision means to the pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Warm<'a> {
    pub member: &'a Member,
    pub freshness: Freshness,
}

impl Warm<'_> {
    pub fn is_fresh(&self) -> bool {
        self.freshness == Freshness::Fresh
    }

    pub fn is_starting(&self) -> bool {
        matches!(self.member.stage, Stage::Creating(_))
    }
}

impl<'a> Census<'a> {
    pub fn take(view: &'a PoolView) -> Self {
        let mut members: Vec<&Member> = view.members.iter().collect();
        members.sort_by(|a, b| a.key.cmp(&b.key));
        let mut census =
            Self { warm: Vec::new(), leaving: 0, unseen: 0, in_hand: 0, orphans: Vec::new() };
        let ours = Holder::Pool(view.uid.clone());
        for member in &members {
            let counted = Warm { member, freshness: freshness(view, member) };
            let deleting = member.is_leaving() || view.pending.deleting.contains(&member.uid);
            if view.pending.handed_out.contains(&member.uid) {
                // A claim's by now, whatever the cache says.
            } else if view.pending.handing_out.contains(&member.uid) {
                census.in_hand += u32::from(member.holder == ours);
            } else if member.holder == ours {
                if deleting {
                    census.leaving += 1;
                } else {
                    census.warm.push(counted);
                }
            } else if member.holder == Holder::Nobody && !deleting && !member.is_locked() {
                census.orphans.push(counted);
            }
        }
        let seen: BTreeSet<_> = members.iter().map(|member| &member.key).collect();
        census.unseen = count(view.pending.creating.iter().filter(|key| !seen.contains(key)));
        census
    }

    /// What a status reports.
    pub fn counts(&self) -> Counts {
        let available = |warm: &&Warm| warm.member.is_available();
        let fresh = |warm: &&Warm| warm.is_fresh();
        Counts {
            warm: count(self.warm.iter()),
            available: count(self.warm.iter().filter(available)),
            creating: count(self.warm.iter().filter(|warm| warm.is_starting())),
            failed: count(
                self.warm.iter().filter(|warm| matches!(warm.member.stage, Stage::Failed { .. })),
            ),
            leaving: self.leaving,
            locked: count(self.warm.iter().filter(|warm| warm.member.is_locked())),
            updated: count(self.warm.iter().filter(fresh)),
            updated_available: count(self.warm.iter().filter(fresh).filter(available)),
        }
    }
}

/// Without a template that can be used nothing can be said to be stale.
fn freshness(view: &PoolView, member: &Member) -> Freshness {
    match &view.template {
        TemplateState::Found { revision, .. } if *revision != member.revision => Freshness::Stale,
        TemplateState::Found { .. }
        | TemplateState::Missing { .. }
        | TemplateState::Invalid { .. } => Freshness::Fresh,
    }
}

/// How many, as statuses count.
pub(crate) fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}
