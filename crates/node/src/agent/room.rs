//! Who has how much of the machine. A pod gets room when it is bound; one that grows asks for more, and waits for it if others
//! have it.

use std::collections::{BTreeSet, HashMap};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Capacity;
use crate::schedule::{Request, Taken};

/// The room of a machine, shared by whoever gives it away and whoever grows.
#[derive(Debug)]
pub(crate) struct Room {
    capacity: Capacity,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Room of pods that are bound or being bound, by uid.
    taken: HashMap<String, Request>,
    /// What pods would have if there were room. It is kept free of new pods, which would otherwise always come first.
    wanted: HashMap<String, Request>,
}

/// What a pod that wants other room hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It has it.
    Granted,
    /// Others have it; why. Whoever waits is told when something is freed.
    Later(String),
    /// The whole machine has less; why.
    Never(String),
}

impl Room {
    pub(crate) fn new(capacity: Capacity) -> Self {
        Self { capacity, state: Mutex::default(), freed: Notify::new() }
    }

    pub(crate) fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// A pod has this much, whether there is room or not: it was bound.
    pub(crate) fn hold(&self, uid: &str, request: Request) {
        self.state.lock().taken.insert(uid.to_owned(), request);
    }

    /// A pod has nothing any more.
    pub(crate) fn free(&self, uid: &str) {
        let mut state = self.state.lock();
        state.wanted.remove(uid);
        if state.taken.remove(uid).is_some() {
            self.freed.notify_one();
        }
    }

    pub(crate) fn holds(&self, uid: &str) -> bool {
        self.state.lock().taken.contains_key(uid)
    }

    /// What new pods can't have.
    pub(crate) fn taken(&self) -> Taken {
        let state = self.state.lock();
        let mut sum = Taken::default();
        for (uid, has) in &state.taken {
            sum.add(state.wanted.get(uid).map_or(*has, |wanted| has.most(*wanted)));
        }
        sum
    }

    /// A pod that has room wants this much instead. Less is always granted.
    pub(crate) fn resize(&self, uid: &str, wanted: Request) -> Answer {
        let mut state = self.state.lock();
        let has = state.taken.get(uid).copied().unwrap_or_default();
        let mut others = Taken::default();
        let rest = state.taken.iter().filter(|(other, _)| *other != uid);
        rest.for_each(|(_, request)| others.add(*request));
        let answer = self.answer(has, wanted, others.request);
        match answer {
            Answer::Granted => {
                state.wanted.remove(uid);
                state.taken.insert(uid.to_owned(), wanted);
                if wanted.cpu_millis < has.cpu_millis || wanted.memory_bytes < has.memory_bytes {
                    self.freed.notify_one();
                }
            }
            Answer::Later(_) => {
                state.wanted.insert(uid.to_owned(), wanted);
            }
            Answer::Never(_) => {
                state.wanted.remove(uid);
            }
        }
        answer
    }

    fn answer(&self, has: Request, wanted: Request, others: Request) -> Answer {
        let memory = (
            has.memory_bytes,
            wanted.memory_bytes,
            others.memory_bytes,
            self.capacity.memory_bytes,
        );
        let cpu = (has.cpu_millis, wanted.cpu_millis, others.cpu_millis, self.capacity.cpu_millis);
        let each = [("memory", memory), ("cpu", cpu)];
        let growing = || each.iter().filter(|(_, (has, wanted, ..))| wanted > has);
        if let Some((name, (_, wanted, _, capacity))) =
            growing().find(|(_, (_, wanted, _, capacity))| wanted > capacity)
        {
            return Answer::Never(format!(
                "Node didn't have enough capacity: {name}, requested: {wanted}, capacity: {capacity}"
            ));
        }
        let short = growing()
            .find(|(_, (_, wanted, others, capacity))| wanted.saturating_add(*others) > *capacity);
        match short {
            None => Answer::Granted,
            Some((name, (_, wanted, others, capacity))) => Answer::Later(format!(
                "Node didn't have enough resource: {name}, requested: {wanted}, used: {others}, capacity: {capacity}"
            )),
        }
    }

    /// The pods that wait for more room.
    pub(crate) fn waiting(&self) -> BTreeSet<String> {
        self.state.lock().wanted.keys().cloned().collect()
    }

    /// Resolves when something was freed since the last time.
    pub(crate) async fn freed(&self) {
        self.freed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(cpu_millis: u64, memory_bytes: u64) -> Request {
        Request { cpu_millis, memory_bytes }
    }

    fn room() -> Room {
        let room = Room::new(Capacity { cpu_millis: 2000, memory_bytes: 1000, pods: 10 });
        room.hold("a", request(1000, 400));
        room.hold("b", request(500, 400));
        room
    }

    #[test]
    fn who_grows_gets_what_others_do_not_have() {
        let room = room();
        assert_eq!(room.resize("a", request(1500, 600)), Answer::Granted);
        let why =
            "Node didn't have enough resource: memory, requested: 401, used: 600, capacity: 1000";
        assert_eq!(room.resize("b", request(500, 401)), Answer::Later(why.into()));
        let why = "Node didn't have enough capacity: cpu, requested: 2001, capacity: 2000";
        assert_eq!(room.resize("b", request(2001, 0)), Answer::Never(why.into()));
        assert_eq!(room.taken().request, request(2000, 1000));
    }

    #[test]
    fn what_is_waited_for_is_kept_free_of_new_pods_until_it_is_not_wanted_any_more() {
        let room = room();
        assert!(matches!(room.resize("a", request(1600, 400)), Answer::Later(_)));
        assert_eq!(room.taken().request.cpu_millis, 2100);
        assert_eq!(room.waiting(), ["a".to_owned()].into());
        room.free("b");
        assert_eq!(room.resize("a", request(1600, 400)), Answer::Granted);
        assert!(room.waiting().is_empty());
        assert_eq!(room.taken().request, request(1600, 400));
    }

    #[test]
    fn less_is_granted_on_a_machine_that_is_too_full() {
        let room = room();
        room.hold("c", request(5000, 5000));
        assert_eq!(room.resize("a", request(900, 400)), Answer::Granted);
    }

    #[tokio::test]
    async fn whoever_waits_hears_of_what_is_freed() {
        let room = room();
        room.resize("a", request(900, 400));
        room.freed().await;
        room.free("b");
        room.freed().await;
    }
}
