//! Volumes that a claim brings or replaces, as far as the template lets it.

use super::claim_content::ContentError;
use super::types::{InjectionPolicy, VolumeClaimTemplate};
use std::collections::BTreeSet;

/// The volumes of a claim's sandbox: the template's in their order, replaced where the claim says so, then the claim's new ones in theirs.
///
/// # Errors
/// If the template allows none, if one is there already and may not be replaced, or if names are missing or double.
pub fn merge(
    template: Option<&[VolumeClaimTemplate]>,
    claim: &[VolumeClaimTemplate],
    policy: InjectionPolicy,
) -> Result<Vec<VolumeClaimTemplate>, ContentError> {
    let mut merged = template.unwrap_or_default().to_vec();
    if claim.is_empty() {
        return Ok(merged);
    }
    if policy == InjectionPolicy::Disallowed {
        return Err(ContentError::Volumes(
            "the template does not allow claims to set volumeClaimTemplates".to_owned(),
        ));
    }
    distinct("template", &merged)?;
    distinct("claim", claim)?;
    for volume in claim {
        let name = &volume.metadata.name;
        match merged.iter_mut().find(|known| known.metadata.name == *name) {
            None => merged.push(volume.clone()),
            Some(known) if policy == InjectionPolicy::Overrides => *known = volume.clone(),
            Some(_) => {
                return Err(ContentError::Volumes(format!(
                    "volumeClaimTemplate {name:?} is set by the template, which does not allow overrides"
                )));
            }
        }
    }
    Ok(merged)
}

fn distinct(whose: &str, list: &[VolumeClaimTemplate]) -> Result<(), ContentError> {
    let mut seen = BTreeSet::new();
    for volume in list {
        let name = &volume.metadata.name;
        if name.is_empty() {
            return Err(ContentError::Volumes(format!(
                "a volumeClaimTemplate of the {whose} has no name"
            )));
        }
        if !seen.insert(name) {
            return Err(ContentError::Volumes(format!(
                "volumeClaimTemplate {name:?} appears twice in the {whose}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x_k8s::types::TemplateMeta;
    use InjectionPolicy::{Allowed, Disallowed, Overrides};
    use serde_json::json;

    fn volume(name: &str, size: &str) -> VolumeClaimTemplate {
        VolumeClaimTemplate {
            metadata: TemplateMeta { name: name.to_owned(), ..TemplateMeta::default() },
            spec: json!({"resources": {"requests": {"storage": size}}}),
        }
    }

    /// What each policy makes of a template with `data` and a claim with the volumes named.
    #[test]
    fn policies() {
        type Row<'a> = (InjectionPolicy, &'a [&'a str], Result<&'a [(&'a str, &'a str)], &'a str>);
        let table: [Row; 8] = [
            (Disallowed, &[], Ok(&[("data", "1Gi")])),
            (Disallowed, &["extra"], Err("does not allow claims")),
            (Allowed, &["extra"], Ok(&[("data", "1Gi"), ("extra", "9Gi")])),
            (Allowed, &["data"], Err("does not allow overrides")),
            (Overrides, &["data"], Ok(&[("data", "9Gi")])),
            (Overrides, &["z", "data", "a"], Ok(&[("data", "9Gi"), ("z", "9Gi"), ("a", "9Gi")])),
            (Overrides, &["a", "a"], Err("appears twice in the claim")),
            (Allowed, &[""], Err("has no name")),
        ];
        for (policy, asked, expected) in table {
            let claim: Vec<_> = asked.iter().map(|name| volume(name, "9Gi")).collect();
            match (merge(Some(&[volume("data", "1Gi")]), &claim, policy), expected) {
                (Ok(merged), Ok(expected)) => {
                    let expected: Vec<_> =
                        expected.iter().map(|(name, size)| volume(name, size)).collect();
                    assert_eq!(merged, expected, "{policy:?} {asked:?}");
                }
                (Err(error), Err(part)) => {
                    assert_eq!(error.word(), "VolumeClaimTemplatesError");
                    assert!(error.to_string().contains(part), "{error} should contain {part:?}");
                }
                (got, expected) => {
                    panic!("{policy:?} {asked:?}: got {got:?}, expected {expected:?}")
                }
            }
        }
    }
}
