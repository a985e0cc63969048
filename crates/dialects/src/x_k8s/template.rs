//! SandboxTemplate, between object and engine.

use super::keys;
use super::options::Options;
use super::revision;
use super::types::{NetworkPolicyManagement, SandboxTemplate};
use engine::pool::TemplateState;
use engine::sandbox::ChildView;
use engine::template::{Management, TemplateView};
use engine::{Key, Revision};

/// The name of the network policy of a template.
pub fn policy_name(template: &str) -> String {
    format!("{template}-network-policy")
}

impl SandboxTemplate {
    /// What it means now: what its sandboxes are compared with.
    pub fn revision(&self, options: &Options) -> Revision {
        revision::of_template(self, options)
    }

    /// Who takes care of its network policy.
    pub fn management(&self) -> NetworkPolicyManagement {
        self.spec.network_policy_management.unwrap_or_default()
    }

    /// As the engine sees it.
    pub fn view(&self, policy: Option<ChildView>) -> TemplateView {
        let key = self.metadata.key();
        TemplateView {
            policy_key: key.sibling(policy_name(&key.name)),
            leaving: self.metadata.is_leaving(),
            labelled: self.metadata.labels.get(keys::TEMPLATE_REF_HASH)
                == Some(&keys::hash(&key.name)),
            management: match self.management() {
                NetworkPolicyManagement::Managed => Management::Managed,
                NetworkPolicyManagement::Unmanaged => Management::Unmanaged,
            },
            policy,
            key,
        }
    }
}

/// The state of a template for the view of a pool that names it.
pub fn state(name: Key, revision: Option<Revision>) -> TemplateState {
    match revision {
        Some(revision) => TemplateState::Found { name, revision },
        None => TemplateState::Missing { name },
    }
}
