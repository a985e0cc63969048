//! Revision: what a set's sandboxes are made from, and the short string that people and other programs know it by.
//!
//! Whether a sandbox is fresh is decided by what it means ([`super::meaning`]), computed from the objects themselves. The string is only shown: as
//! `status.updateRevision`, as a label, and in the names of materialised templates. Another controller of the family hashes other bytes and so shows another string
//! for the same template; where one was chosen already it is kept, so that taking over a cluster recreates nothing.

use super::keys;
use super::meaning;
use super::types::{PodTemplate, SandboxSet, SandboxTemplate, TemplateBlock};
use crate::canonical;
use crate::meta::Meta;
use engine::Revision;
use serde_json::{Value, json};

/// The letters of revisions, without vowels and look-alikes.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// How much of a sandbox's own hash is shown.
const SANDBOX_DIGITS: usize = 9;

/// What a template means, and the string that stands for it unless another one does already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// What sandboxes are compared by.
    pub revision: Revision,
    /// The string that we would choose.
    pub short: String,
}

impl Meaning {
    /// What a block means; `None` if it refers to a template that is not there, or has no pod.
    pub fn of_block(block: &TemplateBlock, referenced: Option<&SandboxTemplate>) -> Option<Self> {
        let content = meaning::of_block(block, referenced)?;
        Some(Self { revision: Revision::new(canonical::digest(&content)), short: short(&content) })
    }
}

/// The revision of a set under both its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetRevision {
    /// What it means: what sandboxes are compared by.
    pub meaning: Revision,
    /// What it is shown as.
    pub shown: String,
}

/// What a sandbox was made with, by what it carries itself: its content, or the note that was made of a referenced template's. Another program makes no such note;
/// then only the string is known, and no meaning equals it. [`SetRevision::of_member`] is the judgement that includes those.
pub fn of_sandbox(metadata: &Meta, block: &TemplateBlock) -> Revision {
    if block.template_ref.is_none() {
        let content = meaning::of_block(block, None);
        return Revision::new(content.map_or_else(String::new, |it| canonical::digest(&it)));
    }
    match metadata.annotations.get(keys::TEMPLATE_DIGEST) {
        Some(digest) => Revision::new(digest),
        None => Revision::new(format!("{SHOWN_ONLY}{}", shown_of(metadata))),
    }
}

/// What a revision begins with of which only the string is known. No digest has a colon.
const SHOWN_ONLY: &str = "shown:";

/// The string that an object says it was made with.
pub fn shown_of(metadata: &Meta) -> &str {
    metadata.labels.get(keys::TEMPLATE_HASH).map_or("", String::as_str)
}

impl SetRevision {
    /// The revision of a set. `known` are meanings that were given a string before, by whomever: materialised templates and members.
    ///
    /// A string that stands for this meaning already is kept. A set that refers to a template, and whose status another program wrote, keeps that program's
    /// string too: nothing speaks for a change.
    pub fn of_set<'a>(
        set: &SandboxSet,
        meaning: &Meaning,
        known: impl IntoIterator<Item = (&'a Revision, &'a str)>,
    ) -> Self {
        let (shown, digest) = (&set.status.update_revision, &set.status.template_digest);
        let by_others = !shown.is_empty() && digest.is_empty();
        let own = !shown.is_empty() && *digest == meaning.revision.as_str();
        let shown = if own || (by_others && set.spec.block.template_ref.is_some()) {
            shown.clone()
        } else {
            let mut known = known.into_iter();
            let before =
                known.find(|(known, shown)| **known == meaning.revision && !shown.is_empty());
            before.map_or_else(|| meaning.short.clone(), |(_, shown)| shown.to_owned())
        };
        Self { meaning: meaning.revision.clone(), shown }
    }

    /// The revision of a member to compare with ours: a member of which only the string is known is what the string stands for.
    pub fn of_member(&self, revision: &Revision) -> Revision {
        match revision.as_str().strip_prefix(SHOWN_ONLY) {
            Some(shown) if shown == self.shown => self.meaning.clone(),
            _ => revision.clone(),
        }
    }
}

/// Whether only the string is known of this revision.
pub fn is_shown_only(revision: &Revision) -> bool {
    revision.as_str().starts_with(SHOWN_ONLY)
}

/// The string of a content that has none yet: a 32-bit FNV-1 hash, in decimal, in letters that spell nothing. Readers of the family know it by this look.
fn short(content: &Value) -> String {
    safe(&fnv(&canonical::text(content)).to_string())
}

/// FNV-1 over 32 bits: multiply, then mix. Not the 1a of the other family.
fn fnv(text: &str) -> u32 {
    text.bytes()
        .fold(0x811c_9dc5, |state: u32, byte| state.wrapping_mul(0x0100_0193) ^ u32::from(byte))
}

/// Letters in the place of digits.
fn safe(digits: &str) -> String {
    digits.bytes().map(|byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()])).collect()
}

/// A sandbox's own revision: of its pod template, or of the reference to one. Changes of a referenced template never reach a sandbox that exists. The controllers' own
/// keys do not count: the mark of a claim makes no other sandbox of it.
pub fn of_pod(block: &TemplateBlock) -> String {
    own_hash(&match &block.template {
        Some(template) => json!({
            "labels": meaning::visible(&template.metadata.labels),
            "annotations": meaning::visible(&template.metadata.annotations),
            "spec": template.spec,
        }),
        None => json!({"templateRef": block.template_ref.as_ref().map(|template| &template.name)}),
    })
}

/// The same without what can be updated in place: labels, annotations, images and resources.
pub fn immutable_part(block: &TemplateBlock) -> String {
    let Some(template) = &block.template else { return of_pod(block) };
    let mut spec = template.spec.clone();
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(container) = container.as_object_mut() {
                container.remove("image");
                container.remove("resources");
            }
        }
    }
    own_hash(&json!(PodTemplate { spec, ..PodTemplate::default() }))
}

fn own_hash(template: &Value) -> String {
    let digest = canonical::digest(template);
    safe(digest.get(..SANDBOX_DIGITS).unwrap_or(&digest))
}

/// The name of the template that a set is materialised as.
pub fn template_name(set: &str, shown: &str) -> String {
    format!("{set}-{shown}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published test vectors of FNV-1, 32 bit.
    #[test]
    fn hash_is_fnv_1() {
        assert_eq!(fnv(""), 0x811c_9dc5);
        assert_eq!(fnv("a"), 0x050c_5d7e);
        assert_eq!(fnv("foobar"), 0x31f0_b262);
    }

    #[test]
    fn strings_look_as_the_family_knows_them() {
        assert_eq!(safe("0123456789"), "456789bcdf");
        let shown = short(&json!({"spec": {"a": 1}}));
        assert!(
            shown.len() <= 10 && shown.bytes().all(|byte| b"456789bcdf".contains(&byte)),
            "{shown}"
        );
        assert_eq!(shown, short(&json!({"spec": {"b": null, "a": 1}})));
        assert_ne!(shown, short(&json!({"spec": {"a": 2}})));
    }

    #[test]
    fn images_and_resources_are_not_immutable() {
        let block = |image: &str, command: &str| -> TemplateBlock {
            serde_json::from_value(json!({"template": {
                "metadata": {"labels": {"image": image}},
                "spec": {"containers": [{"name": "m", "image": image, "command": [command]}]},
            }}))
            .unwrap()
        };
        assert_eq!(immutable_part(&block("a", "x")), immutable_part(&block("b", "x")));
        assert_ne!(immutable_part(&block("a", "x")), immutable_part(&block("a", "y")));
        assert_ne!(of_pod(&block("a", "x")), of_pod(&block("b", "x")));
        assert_eq!(of_pod(&block("a", "x")).len(), SANDBOX_DIGITS);
    }
}
