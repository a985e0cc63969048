//! The words of a template: what goes into a plan and what comes out.

use crate::ids::{Key, Precondition};
use crate::reason::Reason;
use crate::sandbox::ChildView;
use serde::{Deserialize, Serialize};

/// A template and its network policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateView {
    /// Its name.
    pub key: Key,
    /// Whether it is being deleted; then nothing is done.
    pub leaving: bool,
    /// Whether it carries the label that its sandboxes are found by.
    pub labelled: bool,
    /// Who takes care of the policy.
    pub management: Management,
    /// The name its policy has.
    pub policy_key: Key,
    /// The policy of that name, if there is one.
    pub policy: Option<ChildView>,
}

/// Who takes care of the network policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Management {
    /// We do.
    #[default]
    Managed,
    /// Somebody else does; ours is removed.
    Unmanaged,
}

/// What should be done about a template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplatePlan {
    /// In this order.
    pub actions: Vec<TemplateAction>,
    /// Why, in the order of thought.
    pub reasons: Vec<Reason>,
}

/// One thing to do about a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TemplateAction {
    /// Put the label on it that its sandboxes are found by.
    Label(Key),
    /// Make the policy.
    CreatePolicy(Key),
    /// Put the policy right.
    RepairPolicy(Key, Precondition),
    /// Delete the policy.
    DeletePolicy(Key, Precondition),
}
