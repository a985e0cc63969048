//! A Sandbox started for a claim, because its set had none to give.

use super::bind::Marks;
use crate::kruise::claim::URGENT;
use crate::kruise::claim_content::changed;
use crate::kruise::keys;
use crate::kruise::runtime::Introduction;
use crate::kruise::types::SandboxClaim;
use crate::meta::Pairs;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// What the set would make under this name, `member`, made for the claim instead: the set never owns it, so it is never counted or removed by it, and the claim's mark is
/// on it from its first moment, so that a crash right after its creation loses nothing.
///
/// # Errors
/// If the claim asks for a change that the set's pods can't take: what is wrong, in a sentence.
pub fn cold(
    member: Value,
    claim: &SandboxClaim,
    at: Timestamp,
    init: Option<&Introduction>,
) -> Result<Value, String> {
    let mut body = member;
    let marks = Marks::of(claim, at, init);
    if let Some(metadata) = body["metadata"].as_object_mut() {
        metadata.remove("ownerReferences");
    }
    add(&mut body["metadata"]["labels"], marks.labels);
    add(&mut body["metadata"]["annotations"], marks.annotations);
    body["metadata"]["annotations"][keys::PRIORITY] = json!(URGENT);
    if body["spec"]["template"].is_object() {
        let template = &mut body["spec"]["template"];
        add(&mut template["metadata"]["labels"], marks.pod_labels);
        add(&mut template["metadata"]["annotations"], marks.pod_annotations);
        if let Some(change) = claim.change() {
            let spec = changed(&template["spec"], change)?;
            template["spec"] = spec;
        }
    }
    for (field, value) in marks.times {
        body["spec"][field] = value;
    }
    Ok(body)
}

fn add(to: &mut Value, pairs: Pairs) {
    if !to.is_object() {
        *to = Value::Object(Map::new());
    }
    for (key, value) in pairs {
        to[key] = Value::String(value);
    }
}
