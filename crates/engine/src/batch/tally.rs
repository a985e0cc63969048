//! Tally: what a batch has, what is in work for it, and what it must not keep.

use super::view::{BatchView, Delivered, Delivery, Holding, HoldingState};

/// The sandboxes of a batch, sorted by what they are to it.
pub(super) struct Tally<'a> {
    /// Delivered, now or before.
    pub delivered: Delivered,
    /// Not delivered yet. Each has a place until it is, or until it is gone: whoever planned another one in its place would hold one too many for a moment.
    pub in_work: Vec<&'a Holding>,
    /// Beyond what was asked for, left over from a write whose answer was lost. Nobody was told of them.
    pub unwanted: Vec<&'a Holding>,
    /// Whether the reports name every sandbox that they count, so that one which is not named is one that nobody was told of.
    pub is_ours: bool,
}

impl<'a> Tally<'a> {
    pub fn of(view: &'a BatchView) -> Self {
        let mut names = view.history.delivered.clone();
        let mut live: Vec<&Holding> = view
            .held
            .iter()
            .filter(|held| !matches!(held.state, HoldingState::Leaving | HoldingState::Reserved))
            .filter(|held| !view.history.delivered.contains(&held.key))
            .collect();
        // The furthest come first, then the oldest: what is left over at the end is the least loss.
        live.sort_by_key(|held| (rank(&held.state), held.since, held.key.clone()));

        let is_ours = is_ours(view);
        let room = if is_ours {
            (view.want as usize).saturating_sub(names.len())
        } else {
            // Another implementation counted, or somebody took the report back: then users may know of each of them.
            live.iter()
                .filter(|held| held.state == HoldingState::Done)
                .count()
                .max((view.want as usize).saturating_sub(names.len()))
        };
        let unwanted = live.split_off(room.min(live.len()));
        let (done, mut in_work): (Vec<&Holding>, Vec<&Holding>) =
            live.into_iter().partition(|held| held.state == HoldingState::Done);

        let enough = names.len() + done.len() >= view.want as usize;
        if view.terms.delivery == Delivery::AsTheyCome || enough {
            names.extend(done.into_iter().map(|held| held.key.clone()));
        } else {
            in_work.splice(0..0, done);
        }
        let count = u32::try_from(names.len()).unwrap_or(u32::MAX).max(view.history.claimed);
        Tally { delivered: Delivered { count, names }, in_work, unwanted, is_ours }
    }

    /// How many places are free.
    pub fn missing(&self, want: u32) -> u32 {
        let in_work = u32::try_from(self.in_work.len()).unwrap_or(u32::MAX);
        want.saturating_sub(self.delivered.count).saturating_sub(in_work)
    }

    /// Those in work that can still be delivered.
    pub fn hopeful(&self) -> impl Iterator<Item = &'a Holding> {
        self.in_work
            .iter()
            .copied()
            .filter(|held| !matches!(held.state, HoldingState::Broken { .. }))
    }
}

fn is_ours(view: &BatchView) -> bool {
    let history = &view.history;
    history.started.is_some() && history.delivered.len() == history.claimed as usize
}

fn rank(state: &HoldingState) -> u8 {
    match state {
        HoldingState::Done => 0,
        HoldingState::Untold => 1,
        HoldingState::Starting(None) => 2,
        HoldingState::Starting(Some(_)) => 3,
        HoldingState::Broken { .. } | HoldingState::Reserved | HoldingState::Leaving => 4,
    }
}
