//! Templates: the network policy that all sandboxes of a template share.

mod view;

use crate::reason::{Code, Reason};
use crate::sandbox::{Drift, Ownership};
pub use view::*;

/// What should be done about a template.
pub fn plan(view: &TemplateView) -> TemplatePlan {
    let mut plan = TemplatePlan::default();
    if view.leaving {
        plan.reasons.push(Reason::new(
            Code::BeingDeleted,
            "the template is being deleted, and its policy with it",
        ));
        return plan;
    }
    if !view.labelled {
        plan.step(
            TemplateAction::Label(view.key.clone()),
            Code::Missing,
            "the template gets the label its sandboxes carry",
        );
    }
    let key = view.policy_key.clone();
    match (view.management, &view.policy) {
        (Management::Managed, None) => {
            plan.step(
                TemplateAction::CreatePolicy(key),
                Code::Missing,
                "the network policy is made",
            );
        }
        (_, Some(policy)) if policy.ownership != Ownership::Ours => {
            // Whoever made it meant something by it; to overwrite it could open or close what they did not want.
            if view.management == Management::Managed {
                let message = format!(
                    "network policy {:?} exists and does not belong to the template",
                    &*key.name
                );
                plan.reasons.push(Reason::new(Code::ForeignObject, message));
            }
        }
        (_, Some(policy)) if policy.leaving => {}
        (Management::Managed, Some(policy)) if policy.drift == Drift::Differs => {
            let action = TemplateAction::RepairPolicy(key, policy.precondition.clone());
            plan.step(action, Code::Drifted, "the network policy is put right");
        }
        (Management::Unmanaged, Some(policy)) => {
            let action = TemplateAction::DeletePolicy(key, policy.precondition.clone());
            plan.step(action, Code::Unwanted, "the network policy is managed by somebody else");
        }
        (Management::Managed, Some(_)) | (Management::Unmanaged, None) => {}
    }
    plan
}

impl TemplatePlan {
    fn step(&mut self, action: TemplateAction, code: Code, why: &str) {
        self.actions.push(action);
        self.reasons.push(Reason::new(code, why));
    }
}
