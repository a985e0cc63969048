//! SandboxClaim: a pool here; a template and a wish there.
//!
//! A v1alpha1 claim names a template and says from which pool it would like to be served: from any (`default`), from none (`none`), or from one by name. v1beta1
//! knows only a pool, so the wish is kept in an annotation and [`Intent::of`] reads it back for the controllers.

use super::{annotate, take, unannotate};
use crate::meta::Meta;
use crate::x_k8s::keys;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const STATE: &str = "api.agents.x-k8s.io/v1alpha1-sandboxclaim-state";
const VOLUMES: &str = "api.agents.x-k8s.io/v1beta1-volume-claim-templates";

/// The pool that a stored claim names when it is served by any or by none. The prefix is the one that migrated clusters know.
const SHADOW: &str = "shadow-pool-";

/// What a v1alpha1 claim asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The template.
    pub template: String,
    /// The wish.
    pub warmpool: Warmpool,
}

/// From which pools a v1alpha1 claim wants to be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warmpool {
    /// None: always cold.
    None,
    /// Any of the template.
    Default,
    /// This one.
    Named(String),
}

/// The annotation's value. Others keep the whole object in it; these are the fields we read of it and all that we write.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct State {
    spec: StateSpec,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StateSpec {
    sandbox_template_ref: crate::x_k8s::types::NameRef,
    #[serde(skip_serializing_if = "Option::is_none")]
    warmpool: Option<String>,
}

impl Intent {
    /// What a stored claim was made with, if it was made as v1alpha1 and its pool reference was not edited since.
    pub fn of(meta: &Meta, pool: &str) -> Option<Self> {
        Self::read(meta.annotations.get(STATE)?, pool)
    }

    fn read(state: &str, pool: &str) -> Option<Self> {
        let state: State = serde_json::from_str(state).ok()?;
        let intent =
            Self::new(state.spec.sandbox_template_ref.name, state.spec.warmpool.as_deref());
        (intent.pool() == pool).then_some(intent)
    }

    fn new(template: String, warmpool: Option<&str>) -> Self {
        let warmpool = match warmpool {
            Some("none") => Warmpool::None,
            None | Some("" | "default") => Warmpool::Default,
            Some(name) => Warmpool::Named(name.to_owned()),
        };
        Self { template, warmpool }
    }

    /// The pool that a v1beta1 claim names for it.
    fn pool(&self) -> String {
        match &self.warmpool {
            Warmpool::Named(pool) => pool.clone(),
            Warmpool::None | Warmpool::Default => format!("{SHADOW}{}", self.template),
        }
    }

    fn word(&self) -> &str {
        match &self.warmpool {
            Warmpool::None => "none",
            Warmpool::Default => "default",
            Warmpool::Named(pool) => pool,
        }
    }
}

pub(super) fn up(object: &mut Value) {
    let template = take(object, "spec", "sandboxTemplateRef");
    let template =
        template.as_ref().and_then(|reference| reference["name"].as_str()).unwrap_or_default();
    let warmpool = take(object, "spec", "warmpool");
    let intent = Intent::new(template.to_owned(), warmpool.as_ref().and_then(Value::as_str));
    object["spec"]["warmPoolRef"] = json!({"name": intent.pool()});
    let state = json!({"spec": {"sandboxTemplateRef": {"name": intent.template}, "warmpool": intent.word()}});
    annotate(object, STATE, state.to_string());
    if let Some(volumes) =
        unannotate(object, VOLUMES).and_then(|text| serde_json::from_str::<Value>(&text).ok())
    {
        object["spec"]["volumeClaimTemplates"] = volumes;
    }
}

pub(super) fn down(object: &mut Value) {
    let pool = take(object, "spec", "warmPoolRef");
    let pool = pool.as_ref().and_then(|reference| reference["name"].as_str()).unwrap_or_default();
    let intent = unannotate(object, STATE)
        .and_then(|state| Intent::read(&state, pool))
        .unwrap_or_else(|| {
            if let Some(template) = pool.strip_prefix(SHADOW) {
                return Intent::new(template.to_owned(), None);
            }
            // A v1beta1 claim does not name its template. Once it is bound an annotation does; before, the pool's name stands in, as clients of the family know it.
            let known = object["metadata"]["annotations"][keys::TEMPLATE_REF].as_str();
            Intent::new(known.unwrap_or(pool).to_owned(), Some(pool))
        });
    object["spec"]["sandboxTemplateRef"] = json!({"name": intent.template});
    object["spec"]["warmpool"] = json!(intent.word());
    if let Some(volumes) = take(object, "spec", "volumeClaimTemplates") {
        annotate(object, VOLUMES, volumes.to_string());
    }
}
