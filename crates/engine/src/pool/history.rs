//! History: the templates that a pool had before, and how many of them are kept.

use crate::ids::{Key, Precondition};
use crate::reason::{Code, Reason};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// So many of a pool's templates are kept, the current one included: enough to see what changed in the last days and to go back, as many as Deployments keep.
pub const KEPT: usize = 10;

/// A template that a pool wrote down when it began to use it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// Its name.
    pub key: Key,
    /// What must still be true when it is removed.
    pub precondition: Precondition,
    /// When it was written down.
    pub created: Timestamp,
    /// Whether somebody needs it, however old it is.
    pub use_: Use,
}

/// Whether a template is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Use {
    /// The pool makes sandboxes from it, a sandbox was made from it, or somebody refers to it.
    Needed,
    /// It is only remembered.
    Remembered,
}

/// The templates to remove: all that are only remembered and not among the newest [`KEPT`].
pub fn outdated(mut templates: Vec<Past>) -> Vec<(Past, Reason)> {
    templates.sort_by(|a, b| (b.created, &b.key).cmp(&(a.created, &a.key)));
    let beyond = templates.into_iter().skip(KEPT);
    beyond
        .filter(|template| template.use_ == Use::Remembered)
        .map(|template| {
            let message = format!("it is older than the newest {KEPT}, and nobody needs it");
            (template, Reason::new(Code::Outdated, message))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Uid, Version};
    use jiff::SignedDuration;

    fn past(age: i64, use_: Use) -> Past {
        Past {
            key: Key::new("ns", format!("p-{age:02}")),
            precondition: Precondition { uid: Uid::new(format!("uid-{age}")), version: Version(1) },
            created: Timestamp::UNIX_EPOCH - SignedDuration::from_hours(age),
            use_,
        }
    }

    #[test]
    fn the_newest_stay_and_so_does_whatever_is_needed() {
        let mut templates: Vec<Past> = (0..13).map(|age| past(age, Use::Remembered)).collect();
        templates[11].use_ = Use::Needed;
        templates.reverse();
        let gone: Vec<String> =
            outdated(templates).iter().map(|(past, _)| past.key.name.to_string()).collect();
        assert_eq!(gone, ["p-10", "p-12"]);
        assert_eq!(outdated((0..10).map(|age| past(age, Use::Remembered)).collect()), []);
    }
}
