//! Labels and annotations of the family, and the hash that their values are made with.

/// On pods, services and volume claims, and in selectors: the hash of the sandbox's name.
pub const NAME_HASH: &str = "agents.x-k8s.io/sandbox-name-hash";
/// On warm sandboxes and their pods: the hash of the pool's name. Gone once claimed.
pub const POOL: &str = "agents.x-k8s.io/warm-pool-sandbox";
/// On sandboxes, pods and templates: the hash of the template's name; the network policy selects by it.
pub const TEMPLATE_REF_HASH: &str = "agents.x-k8s.io/sandbox-template-ref-hash";
/// On warm sandboxes: a hash of the template's blueprint. Written for readers; never believed, because other programs hash other bytes.
pub const TEMPLATE_HASH: &str = "agents.x-k8s.io/sandbox-template-hash";
/// The same of the pod template alone, for older readers.
pub const POD_TEMPLATE_HASH: &str = "agents.x-k8s.io/sandbox-pod-template-hash";
/// On sandboxes: `warm` or `cold`.
pub const LAUNCH_TYPE: &str = "agents.x-k8s.io/launch-type";
/// On claims, sandboxes and pods: which client made it.
pub const CREATED_BY: &str = "agents.x-k8s.io/created-by";
/// On bound sandboxes: the claim's uid.
pub const CLAIM_UID: &str = "agents.x-k8s.io/claim-uid";
/// Set by users: an unowned object with this label set to `true` may be taken over.
pub const ADOPTABLE: &str = "agents.x-k8s.io/adoptable";
/// On sandboxes: the name of the pod behind it.
pub const POD_NAME: &str = "agents.x-k8s.io/pod-name";
/// On sandboxes: the template's name.
pub const TEMPLATE_REF: &str = "agents.x-k8s.io/sandbox-template-ref";
/// On claims: the sandbox assigned to it. An annotation now, a label once.
pub const SANDBOX_NAME: &str = "agents.x-k8s.io/sandbox-name";
/// On pods: which labels came from the pod template, so that they can be removed when it drops them.
pub const PROPAGATED_LABELS: &str = "agents.x-k8s.io/propagated-labels";
/// On pods: which annotations came from the pod template.
pub const PROPAGATED_ANNOTATIONS: &str = "agents.x-k8s.io/propagated-annotations";
/// On claims, by clients: when they asked.
pub const CLIENT_FIRST_REQUESTED_AT: &str = "agents.x-k8s.io/client-first-requested-at";
/// On claims, by the controller: when it first saw the claim.
pub const CONTROLLER_FIRST_OBSERVED_AT: &str = "agents.x-k8s.io/controller-first-observed-at";
/// On claims, by an admission webhook.
pub const WEBHOOK_FIRST_OBSERVED_AT: &str = "agents.x-k8s.io/webhook-first-observed-at";
/// On claims, by the controller: when it was first ready.
pub const CLAIM_FIRST_READY_AT: &str = "agents.x-k8s.io/claim-first-ready-at";
/// On claims and sandboxes: a trace to continue.
pub const TRACE_CONTEXT: &str = "opentelemetry.io/trace-context";
/// On warm pods: the autoscaler may move them. Taken off when claimed.
pub const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";

/// Whether a key belongs to the controllers alone. Users' pod templates must not set such keys on pods: whoever could set another sandbox's selector hash would
/// receive its traffic.
pub fn is_reserved(key: &str) -> bool {
    key.starts_with("agents.x-k8s.io/") || key.starts_with("extensions.agents.x-k8s.io/")
}

/// FNV-1a over 32 bits as eight hexadecimal digits: a label value for a name of any length. Two names may share one, so it selects but never proves.
pub fn hash(text: &str) -> String {
    let mut state: u32 = 0x811c_9dc5;
    for byte in text.bytes() {
        state ^= u32::from(byte);
        state = state.wrapping_mul(0x0100_0193);
    }
    format!("{state:08x}")
}

/// The value of [`CREATED_BY`] as it appears on pods and in metrics: unknown clients share one word, so that nobody can fill the metrics with names.
pub fn normalise_created_by(value: &str) -> &str {
    match value {
        "go-client" | "python-client" | "controller" => value,
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published test vectors of FNV-1a, 32 bit.
    #[test]
    fn hash_is_fnv_1a() {
        assert_eq!(hash(""), "811c9dc5");
        assert_eq!(hash("a"), "e40c292c");
        assert_eq!(hash("foobar"), "bf9cf968");
    }

    #[test]
    fn only_exact_prefixes_are_reserved() {
        assert!(is_reserved(NAME_HASH));
        assert!(is_reserved("extensions.agents.x-k8s.io/x"));
        assert!(!is_reserved("agents.x-k8s.io.example.com/x"));
        assert!(!is_reserved("my.agents.x-k8s.io/x"));
    }
}
