//! The laws (ARCHITECTURE.md) as a bystander checks them: on every change, and once more when all is quiet.
//!
//! The checker knows the API and nothing of the controllers. A write is judged strictly by the object it changes, because it carries that object's version as a
//! precondition. Where a law also speaks of *other* objects, it allows [`Grace`]: nobody can act on a change of which he has not been told yet.
//!
//! - here: what is seen, and what holds across families.
//! - [`book`]: what is remembered of one family, and laws 1 and 4. [`handing`]: laws 2, 3 and 5, what happens to a single sandbox.
//! - [`rest`]: laws 6 and 7, when all is quiet.

mod book;
mod handing;
mod rest;

use super::family::Family;
use super::kruise::Kruise;
use super::view::{Change, View, controller, is_leaving, uid};
use super::x_k8s::XK8s;
use book::Book;

/// How old, in simulated milliseconds, news of other objects may be before acting against it is a fault: the longest delay that the simulated network adds, plus a
/// watch that breaks and comes back.
#[derive(Clone, Copy, Debug)]
pub struct Grace(pub u64);

/// A broken law.
#[derive(Clone, Debug)]
pub struct Breach {
    /// Its number in the list of laws; 0 for "a controller never ends by itself".
    pub law: u8,
    /// When, as a revision.
    pub revision: u64,
    /// What happened.
    pub what: String,
}

impl std::fmt::Display for Breach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "law {} broken at revision {}: {}", self.law, self.revision, self.what)
    }
}

/// Watches the laws over a run.
#[derive(Debug)]
pub struct Laws {
    view: View,
    x_k8s: Book<XK8s>,
    kruise: Book<Kruise>,
    breaches: Vec<Breach>,
}

impl Laws {
    /// Begins with an empty cluster.
    pub fn new(grace: Grace) -> Self {
        Self {
            view: View::default(),
            x_k8s: Book::new(grace),
            kruise: Book::new(grace),
            breaches: Vec::new(),
        }
    }

    /// The state seen so far.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The breaches so far.
    pub fn breaches(&self) -> &[Breach] {
        &self.breaches
    }

    /// Notes a breach that no single change shows.
    pub fn accuse(&mut self, breach: Breach) {
        self.breaches.push(breach);
    }

    /// Takes in a change and checks it.
    pub fn observe(&mut self, change: &Change) {
        let mut found = Vec::new();
        self.x_k8s.before(&self.view, change, &mut found);
        self.kruise.before(&self.view, change, &mut found);
        self.view.apply(change);
        self.x_k8s.after(&self.view, change, &mut found);
        self.kruise.after(&self.view, change, &mut found);
        if change.place.0 == "pods" && change.old.is_none() {
            found.extend(self.one_pod_each(change));
        }
        self.note(change.revision, found);
    }

    /// Checks what must hold when nothing has happened for long.
    pub fn at_rest(&mut self, revision: u64) {
        let mut found = Vec::new();
        self.x_k8s.at_rest(&self.view, &mut found);
        self.kruise.at_rest(&self.view, &mut found);
        for (place, pod) in self.view.all("pods") {
            let alive = controller(pod).is_some_and(|(_, name, life)| {
                [XK8s::SANDBOXES, Kruise::SANDBOXES].iter().any(|sandboxes| {
                    self.view.get(sandboxes, &place.1, name).is_some_and(|s| uid(s) == life)
                })
            });
            if !alive || is_leaving(pod) {
                found.push((6, format!("pod {} is left over", place.2)));
            }
        }
        self.note(revision, found);
    }

    fn note(&mut self, revision: u64, found: Vec<(u8, String)>) {
        let breaches = found.into_iter().map(|(law, what)| Breach { law, revision, what });
        self.breaches.extend(breaches);
    }

    /// Part of law 1: a sandbox never has two pods.
    fn one_pod_each(&self, change: &Change) -> Option<(u8, String)> {
        let (_, name, life) = change.new.as_ref().and_then(controller)?;
        let pods = self.view.all("pods").filter(|(_, pod)| {
            !is_leaving(pod) && controller(pod).is_some_and(|(_, _, owner)| owner == life)
        });
        let count = pods.count();
        (count > 1).then(|| (1, format!("sandbox {name} has {count} pods")))
    }
}
