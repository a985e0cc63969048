//! What can be wrong with a claim's content, and the judgement that the engine gets.

use super::options::Options;
use super::types::InjectionPolicy;
use super::{SandboxClaim, SandboxTemplate, env, metadata, volumes};
use engine::claim::Content;
use engine::{Code, Reason};
use thiserror::Error;

/// A claim asks for something that can't be done until it or its template is edited.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ContentError {
    /// Additional metadata that may not be set, or that contradicts the template.
    #[error("{0}")]
    Metadata(String),
    /// Variables that may not be set.
    #[error("{0}")]
    Env(String),
    /// Volumes that may not be set.
    #[error("{0}")]
    Volumes(String),
}

impl ContentError {
    /// The reason of the claim's Ready condition. Clients stop waiting when they read one of these, so none may ever be a passing state.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Metadata(_) => "InvalidMetadata",
            Self::Env(_) => "EnvVarsInjectionRejected",
            Self::Volumes(_) => "VolumeClaimTemplatesError",
        }
    }
}

impl SandboxClaim {
    /// The judgement on what the claim says about its sandbox. Without a template only what needs none is judged.
    pub fn content(&self, template: Option<&SandboxTemplate>, options: &Options) -> Content {
        if let Err(error) = self.judge(template, options) {
            return Content::Refused { word: error.word().to_owned(), message: error.to_string() };
        }
        let cold = |what: &str| Content::ColdOnly(Reason::new(Code::ColdAsked, what));
        if !self.spec.env.is_empty() {
            cold("the claim sets variables, which a running sandbox can't take over")
        } else if !self.spec.volume_claim_templates.is_empty() {
            cold("the claim brings volumes, which a running sandbox can't mount")
        } else if self.choice().never_warm() {
            cold("the claim asks for no warm pool")
        } else {
            Content::Plain
        }
    }

    fn judge(
        &self,
        template: Option<&SandboxTemplate>,
        options: &Options,
    ) -> Result<(), ContentError> {
        if let Some(extra) = &self.spec.additional_pod_metadata {
            metadata::validate(extra, &options.allowed_label_domains)?;
        }
        let Some(template) = template else { return Ok(()) };
        metadata::for_claim(self, template)?;
        if !self.spec.env.is_empty() {
            let mut spec = template.spec.blueprint.pod_template.spec.clone();
            env::inject(
                &mut spec,
                &self.spec.env,
                policy(template.spec.env_vars_injection_policy),
            )?;
        }
        if !self.spec.volume_claim_templates.is_empty() {
            let own = template.spec.blueprint.volume_claim_templates.as_deref();
            let policy = policy(template.spec.volume_claim_templates_policy);
            volumes::merge(own, &self.spec.volume_claim_templates, policy)?;
        }
        Ok(())
    }
}

fn policy(said: Option<InjectionPolicy>) -> InjectionPolicy {
    said.unwrap_or_default()
}
