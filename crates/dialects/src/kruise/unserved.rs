//! What a template may ask for and does not get: accepted, because manifests carry it, and said, because nobody should find out by its absence.

use super::types::{PauseType, TemplateBlock};

/// A sentence for each field that is not acted on.
pub fn unserved(block: &TemplateBlock) -> Vec<String> {
    let mut sentences = Vec::new();
    if !block.runtimes.is_empty() {
        let names: Vec<&str> = block.runtimes.iter().map(|runtime| &*runtime.name).collect();
        sentences.push(format!(
            "runtimes: {} are not put beside the containers; add them to the template",
            names.join(", ")
        ));
    }
    if block.pause_strategy.as_ref().is_some_and(|said| said.kind == PauseType::Hibernate) {
        sentences.push("pauseStrategy: Hibernate is done as Stop; only volumes survive".to_owned());
    }
    sentences
}
