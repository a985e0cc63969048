//! SandboxTemplate.

use super::{Parts, definition, template_block};
use crate::kruise::names::Kind;
use crate::schema::age_column;
use serde_json::{Value, json};

const ABOUT: &str = "What sandboxes run. Sets refer to it, or keep one for each revision they had.";

pub(super) fn crd() -> Value {
    let spec = json!({
        "type": "object",
        "description": "What sandboxes of this template are.",
        "required": ["template"],
        "properties": template_block::of_template(),
    });
    definition(
        Kind::SandboxTemplate,
        Parts { about: ABOUT, spec, status: None, scale: None, columns: json!([age_column()]) },
    )
}
