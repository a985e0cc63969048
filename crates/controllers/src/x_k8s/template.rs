//! Templates: their label and their network policy.

use std::sync::Arc;

use dialects::x_k8s::build::policy;
use dialects::x_k8s::{SandboxTemplate, keys};
use engine::Key;
use engine::template::TemplateAction;
use serde_json::json;

use super::XK8s;
use crate::act::{DeletePrecondition, Part, Propagation, Urgency, WriteError};
use crate::family::{self, Looked};
use crate::index::child::NetworkPolicy;
use crate::kinds::Kind;
use crate::reconcile::{Failure, Reconciler};
use crate::subject::Subject;

impl family::Template<XK8s> for SandboxTemplate {
    async fn reconcile(this: &Arc<Reconciler<XK8s>>, key: &Key) -> Looked {
        this.template(key).await
    }
}

impl Reconciler<XK8s> {
    async fn template(&self, key: &Key) -> Looked {
        let subject = Subject::Template(key.clone());
        if let Some(at) = self.hold_back(&subject) {
            return Ok(Some(at));
        }
        let (template, existing, plan, options) = {
            let world = self.index.world();
            let Some(template) = world.templates.get(key).cloned() else { return Ok(None) };
            let name = key.sibling(dialects::x_k8s::template::policy_name(&key.name));
            let existing = world.own.policies.get(&name).cloned();
            let view = template.view(
                existing
                    .as_deref()
                    .map(|p| policy::view(&template, &p.metadata, &p.spec, &world.own.options)),
            );
            (template, existing, engine::template::plan(&view), world.own.options.clone())
        };
        for action in &plan.actions {
            let done = match action {
                TemplateAction::Label(key) => {
                    let label = json!({ keys::TEMPLATE_REF_HASH: keys::hash(&key.name) });
                    let patch =
                        json!({"metadata": {"uid": template.metadata.uid, "labels": label}});
                    let written = self
                        .writer
                        .patch(Kind::Template, key, Part::Main, &patch, Urgency::Background)
                        .await;
                    written.map(|written| self.wrote(&subject, Kind::Template, &written))
                }
                TemplateAction::CreatePolicy(key) => {
                    let body = policy::policy(&template, &options);
                    return self
                        .create_child::<NetworkPolicy>(&subject, key, &body, Urgency::Background)
                        .await
                        .map(|_| None);
                }
                TemplateAction::RepairPolicy(key, _) => {
                    let patch = existing
                        .as_deref()
                        .and_then(|p| policy::repair(&template, &p.metadata, &p.spec, &options));
                    let Some(patch) = patch else { continue };
                    let written = self
                        .writer
                        .patch(Kind::NetworkPolicy, key, Part::Main, &patch, Urgency::Background)
                        .await;
                    written.map(|written| self.wrote(&subject, Kind::NetworkPolicy, &written))
                }
                TemplateAction::DeletePolicy(key, precondition) => {
                    let insist = DeletePrecondition::Life(&precondition.uid);
                    self.writer
                        .delete(
                            Kind::NetworkPolicy,
                            key,
                            insist,
                            Propagation::Background,
                            Urgency::Background,
                        )
                        .await
                }
            };
            match done {
                // What the write was for is gone or different: the watch tells, and the next look plans from that.
                Ok(()) | Err(WriteError::Gone(_)) => {}
                Err(source) => {
                    return Err(Failure::write(
                        "write for template",
                        Kind::NetworkPolicy,
                        key,
                        source,
                    ));
                }
            }
            tracing::info!(%subject, ?action, "carried out");
        }
        Ok(None)
    }
}
