//! Whom a change concerns.

use std::collections::BTreeMap;

use crate::queue::Priority;
use crate::subject::Subject;

/// The subjects to look at, each once, at the highest priority somebody asked for.
#[derive(Debug, Default)]
pub struct Wakes(BTreeMap<Subject, Priority>);

impl Wakes {
    /// Adds a subject.
    pub fn add(&mut self, subject: Subject, priority: Priority) {
        let entry = self.0.entry(subject).or_insert(priority);
        *entry = (*entry).min(priority);
    }

    /// Adds a subject at its usual priority: claims are urgent, the rest can wait.
    pub fn usual(&mut self, subject: Subject) {
        let priority = match subject {
            Subject::Claim(_) => Priority::Urgent,
            Subject::Sandbox(_) | Subject::Pool(_) | Subject::Template(_) => Priority::Background,
        };
        self.add(subject, priority);
    }

    /// The subjects, in order.
    #[must_use]
    pub fn into_inner(self) -> BTreeMap<Subject, Priority> {
        self.0
    }
}
