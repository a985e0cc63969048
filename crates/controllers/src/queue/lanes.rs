//! The order of service: urgent before background, first come first served within each, and a guaranteed share for the background.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::{Lane, Priority};

/// After this many urgent keys in a row, one background key is served if any waits. With claims costing about a millisecond, a pool under a steady
/// storm of claims is looked at every few tens of milliseconds; a smaller number would take workers from claims, a larger one lets the pool run dry
/// before its refill is planned.
const URGENT_RUN: u32 = 16;

#[derive(Debug)]
pub(super) struct Lanes<K> {
    /// Arrival order; the ticket makes the order total.
    urgent: BTreeMap<u64, (K, Instant)>,
    background: BTreeMap<u64, (K, Instant)>,
    /// Keys of the background lane with their tickets, to promote one without a search.
    tickets: BTreeSet<(K, u64)>,
    next_ticket: u64,
    run: u32,
}

impl<K> Default for Lanes<K> {
    fn default() -> Self {
        Lanes {
            urgent: BTreeMap::new(),
            background: BTreeMap::new(),
            tickets: BTreeSet::new(),
            next_ticket: 0,
            run: 0,
        }
    }
}

impl<K: Ord + Clone> Lanes<K> {
    pub(super) fn push(&mut self, priority: Priority, key: K, since: Instant) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        match priority {
            Priority::Urgent => {
                self.urgent.insert(ticket, (key, since));
            }
            Priority::Background => {
                self.tickets.insert((key.clone(), ticket));
                self.background.insert(ticket, (key, since));
            }
        }
    }

    /// Moves a waiting key to the urgent lane; it keeps the time at which it began to wait.
    pub(super) fn promote(&mut self, key: K, from: Priority, to: Priority, now: Instant) {
        if (from, to) != (Priority::Background, Priority::Urgent) {
            return;
        }
        let ticket = self
            .tickets
            .range((key.clone(), 0)..)
            .next()
            .filter(|(k, _)| *k == key)
            .map(|(_, t)| *t);
        let since = ticket.and_then(|t| {
            self.tickets.remove(&(key.clone(), t));
            self.background.remove(&t).map(|(_, since)| since)
        });
        self.push(Priority::Urgent, key, since.unwrap_or(now));
    }

    pub(super) fn pop(&mut self, lane: Lane) -> Option<(Priority, K, Instant)> {
        let background_turn =
            lane == Lane::Any && (self.urgent.is_empty() || self.run >= URGENT_RUN);
        if background_turn && let Some((ticket, (key, since))) = self.background.pop_first() {
            self.tickets.remove(&(key.clone(), ticket));
            self.run = 0;
            return Some((Priority::Background, key, since));
        }
        let (_, (key, since)) = self.urgent.pop_first()?;
        self.run = self.run.saturating_add(1);
        Some((Priority::Urgent, key, since))
    }

    /// The priority of what is waiting, the highest if both.
    pub(super) fn first(&self) -> Option<Priority> {
        if !self.urgent.is_empty() {
            Some(Priority::Urgent)
        } else if !self.background.is_empty() {
            Some(Priority::Background)
        } else {
            None
        }
    }

    pub(super) fn len(&self) -> usize {
        self.urgent.len() + self.background.len()
    }
}
