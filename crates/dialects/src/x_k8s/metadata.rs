//! Labels and annotations that a claim puts on its pod, as far as an installation lets it.

use super::claim_content::ContentError;
use super::types::TemplateMeta;
use super::{SandboxClaim, SandboxTemplate, keys};
use crate::meta::Pairs;

/// Domains whose annotations steer the cluster; a claim must not.
const CLUSTER_DOMAINS: [&str; 3] = ["kubernetes.io", "k8s.io", "agents.x-k8s.io"];

/// Judges a claim's additional metadata.
///
/// # Errors
/// If a key or value is not well formed, a label is not under an allowed domain, or an annotation is under one that steers the cluster.
pub fn validate(extra: &TemplateMeta, allowed_domains: &[String]) -> Result<(), ContentError> {
    for (key, value) in &extra.labels {
        qualified("label", key)?;
        if key == "app" && value.eq_ignore_ascii_case("sandbox-router") {
            return refuse("label app=sandbox-router is reserved: the default network policy lets such pods reach every sandbox".to_owned());
        }
        let Some((domain, _)) = key.split_once('/') else {
            return refuse(format!(
                "label {key:?} has no domain; allowed are {}",
                allowed_domains.join(", ")
            ));
        };
        if !allowed_domains.iter().any(|allowed| is_under(domain, allowed)) {
            return refuse(format!(
                "label {key:?} is not under an allowed domain; allowed are {}",
                allowed_domains.join(", ")
            ));
        }
        if !is_label_value(value) {
            return refuse(format!("value {value:?} of label {key:?} is not a valid label value"));
        }
    }
    for key in extra.annotations.keys() {
        qualified("annotation", key)?;
        let domain = key.split_once('/').map_or("", |(domain, _)| domain);
        if key != keys::SAFE_TO_EVICT
            && CLUSTER_DOMAINS.iter().any(|reserved| is_under(domain, reserved))
        {
            return refuse(format!("annotation {key:?} is under a reserved domain"));
        }
    }
    Ok(())
}

/// The pod metadata of a claim's sandbox: the template's and what the claim adds.
///
/// # Errors
/// If the claim gives a key of the template another value.
pub fn for_claim(
    claim: &SandboxClaim,
    template: &SandboxTemplate,
) -> Result<TemplateMeta, ContentError> {
    let mut meta = template.spec.blueprint.pod_template.metadata.clone();
    if let Some(extra) = &claim.spec.additional_pod_metadata {
        add("label", &mut meta.labels, &extra.labels)?;
        add("annotation", &mut meta.annotations, &extra.annotations)?;
    }
    Ok(meta)
}

fn add(what: &str, to: &mut Pairs, from: &Pairs) -> Result<(), ContentError> {
    for (key, value) in from {
        match to.get(key) {
            Some(known) if known != value => {
                return refuse(format!(
                    "{what} {key:?} is {known:?} in the template and {value:?} in the claim"
                ));
            }
            _ => to.insert(key.clone(), value.clone()),
        };
    }
    Ok(())
}

fn refuse<T>(message: String) -> Result<T, ContentError> {
    Err(ContentError::Metadata(message))
}

fn is_under(domain: &str, parent: &str) -> bool {
    domain == parent || domain.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'))
}

/// A qualified name: an optional DNS subdomain, a slash, and a name of at most 63 characters.
fn qualified(what: &str, key: &str) -> Result<(), ContentError> {
    let (domain, name) =
        key.split_once('/').map_or((None, key), |(domain, name)| (Some(domain), name));
    let good = !name.is_empty() && is_label_value(name) && domain.is_none_or(is_subdomain);
    if good { Ok(()) } else { refuse(format!("{what} key {key:?} is not a qualified name")) }
}

fn is_label_value(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let edge = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.iter().copied().all(inner)
        && edge(bytes.first())
        && edge(bytes.last())
}

fn is_subdomain(text: &str) -> bool {
    let label = |label: &str| {
        let bytes = label.as_bytes();
        let edge = |byte: Option<&u8>| {
            byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
            && edge(bytes.first())
            && edge(bytes.last())
    };
    text.len() <= 253 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pair: &str) -> Pairs {
        pair.split_once('=')
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into_iter()
            .collect()
    }

    /// Which additional labels and annotations a claim may set.
    #[test]
    fn validation() {
        let table = [
            ("sandbox.users.io/team=a", "", None),
            ("eu.sandbox.users.io/team=a", "", None),
            ("evilsandbox.users.io/team=a", "", Some("not under an allowed domain")),
            ("team=a", "", Some("has no domain")),
            ("app=Sandbox-Router", "", Some("is reserved")),
            ("sandbox.users.io/team=-a", "", Some("not a valid label value")),
            ("sandbox.users.io/=a", "", Some("not a qualified name")),
            ("Sandbox.users.io/x=a", "", Some("not a qualified name")),
            ("", "note=any value, really", None),
            ("", "cluster-autoscaler.kubernetes.io/safe-to-evict=false", None),
            ("", "scheduler.kubernetes.io/x=1", Some("reserved domain")),
            ("", "k8s.io/x=1", Some("reserved domain")),
            ("", "agents.x-k8s.io/pod-name=other", Some("reserved domain")),
        ];
        let allowed = ["sandbox.users.io".to_owned()];
        for (label, annotation, expected) in table {
            let extra = TemplateMeta {
                labels: pairs(label),
                annotations: pairs(annotation),
                ..TemplateMeta::default()
            };
            match (validate(&extra, &allowed), expected) {
                (Ok(()), None) => {}
                (Err(error), Some(part)) => {
                    assert_eq!(error.word(), "InvalidMetadata");
                    assert!(error.to_string().contains(part), "{error} should contain {part:?}");
                }
                (got, expected) => {
                    panic!("{label} {annotation}: got {got:?}, expected {expected:?}")
                }
            }
        }
    }
}
