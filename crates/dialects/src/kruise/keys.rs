//! Labels, annotations and finalizers of the family.
//!
//! They are the protocol between the programs of the family: who took which sandbox, from which set, for whom. Their spelling is fixed.

/// What the controllers' own keys begin with. Templates must not set such keys on sandboxes and pods.
pub const PREFIX: &str = "agents.kruise.io/";
/// What the keys of the HTTP front begin with. Templates that carry such keys are refused.
pub const FRONT_PREFIX: &str = "e2b.agents.kruise.io/";
/// What annotations of the front begin with, in any of its spellings; they never reach a pod.
pub const FRONT_DOMAIN: &str = "e2b.";

// Labels of sandboxes.

/// The name of the set. Stays when the sandbox is claimed.
pub const POOL: &str = "agents.kruise.io/sandbox-pool";
/// The name of the template it was made from: the referenced one, or the set's own name.
pub const TEMPLATE: &str = "agents.kruise.io/sandbox-template";
/// [`TRUE`] once claimed, [`FALSE`] while warm.
pub const CLAIMED: &str = "agents.kruise.io/sandbox-claimed";
/// The name of the claim that has it.
pub const CLAIM_NAME: &str = "agents.kruise.io/claim-name";
/// The set's revision, as shown, that it was made with.
pub const TEMPLATE_HASH: &str = "agents.kruise.io/template-hash";
/// A short id; also an annotation. Nobody but the front may set it.
pub const SANDBOX_ID: &str = "agents.kruise.io/sandbox-id";
/// The sandbox's name, on objects that belong to it.
pub const SANDBOX_NAME: &str = "agents.kruise.io/sandbox-name";
/// [`TRUE`] on one that could not be handed out and is kept to be looked at.
pub const RESERVED_FAILED: &str = "agents.kruise.io/reserved-failed-sandbox";
/// Whether it may reach the internet.
pub const ALLOW_INTERNET_ACCESS: &str = "agents.kruise.io/allow-internet-access";
/// The update operation that works on it.
pub const UPDATE_OPS: &str = "agents.kruise.io/update-ops";
/// Set by an update operation that failed on it.
pub const UPGRADE_FAILED: &str = "agents.kruise.io/upgrade-failed";
/// The type of a checkpoint.
pub const CHECKPOINT_TYPE: &str = "agents.kruise.io/checkpoint-type";
/// The checkpoint it comes from.
pub const CHECKPOINT_ID: &str = "agents.kruise.io/checkpoint-id";

/// The labels of a sandbox that its pod carries too, whatever its template says: pods are found by their pool, and by whether they are claimed.
pub const ON_PODS: [&str; 4] = [POOL, TEMPLATE, CLAIMED, TEMPLATE_HASH];

// Labels of pods.

/// The sandbox's own revision that the pod was made with.
pub const POD_TEMPLATE_HASH: &str = "pod-template-hash";
/// Label and annotation, always [`CREATED_BY_SANDBOX`].
pub const CREATED_BY: &str = "agents.kruise.io/created-by";
/// The value of [`CREATED_BY`] on pods of sandboxes.
pub const CREATED_BY_SANDBOX: &str = "sandbox";

// Annotations of sandboxes.

/// Somebody is taking it, or has: a random word of theirs.
pub const LOCK: &str = "agents.kruise.io/lock";
/// Who has it: an API key's id, a claim's uid, or [`SCALE_DOWN_OWNER`]. Also a label of the pod of a claimed sandbox.
pub const OWNER: &str = "agents.kruise.io/owner";
/// The [`OWNER`] that other controllers of the family write on what they are about to remove.
pub const SCALE_DOWN_OWNER: &str = "__manager_scale_down";
/// When it was claimed.
pub const CLAIM_TIMESTAMP: &str = "agents.kruise.io/claim-timestamp";
/// What the runtime inside is initialised with, as JSON.
pub const INIT_RUNTIME_REQUEST: &str = "agents.kruise.io/init-runtime-request";
/// The token of the runtime inside.
pub const RUNTIME_ACCESS_TOKEN: &str = "agents.kruise.io/runtime-access-token";
/// Where the runtime inside listens.
pub const RUNTIME_URL: &str = "agents.kruise.io/runtime-url";
/// The port of the runtime inside that speaks TLS.
pub const RUNTIME_TLS_PORT: &str = "agents.kruise.io/runtime-tls-port";
/// The checkpoint to restore it from.
pub const RESTORE_FROM: &str = "agents.kruise.io/restore-from";
/// Where the members of a front's cluster find each other.
pub const MEMBERLIST_URL: &str = "agents.kruise.io/memberlist-url";
/// Whether a used one may come back to its set; templates may set it.
pub const CLEANUP_ENABLED: &str = "agents.kruise.io/cleanup-enabled";
/// Asks for a used one to come back to its set.
pub const CLEANUP: &str = "agents.kruise.io/cleanup";
/// How long one stays that could not come back; templates may set it.
pub const CLEANUP_RETAIN_ON_FAILURE: &str = "agents.kruise.io/cleanup-retain-on-failure";
/// What a claim added, as JSON lists of keys.
pub const UPDATED_IN_CLAIM: &str = "agents.kruise.io/updated-metadata-in-claim";
/// How long a paused one is kept: a duration, or `forever`.
pub const RESERVE_PAUSED: &str = "agents.kruise.io/reserve-paused-sandbox-duration";
/// On materialised templates of other controllers: nobody needs it any more.
pub const CLEANUP_CANDIDATE: &str = "agents.kruise.io/cleanup-candidate";
/// How urgent its start is; higher is more.
pub const PRIORITY: &str = "agents.kruise.io/sandbox-priority";
/// Asks a paused one to be upgraded.
pub const UPGRADE_RESUME_TRIGGER: &str = "agents.kruise.io/upgrade-resume-trigger";
/// On pods: how far an in-place update is, as JSON.
pub const INPLACE_UPDATE_STATE: &str = "agents.kruise.io/inplace-update-state";
/// A hash of what can't be updated in place.
pub const HASH_IMMUTABLE_PART: &str = "sandbox.agents.kruise.io/hash-immutable-part";
/// The same, as older controllers wrote it.
pub const HASH_WITHOUT_IMAGE_RESOURCES: &str =
    "sandbox.agents.kruise.io/hash-without-image-resources";
/// Of the front: the token of the runtime inside.
pub const FRONT_ACCESS_TOKEN: &str = "e2b.agents.kruise.io/envd-access-token";
/// Of the front: where the runtime inside listens.
pub const FRONT_URL: &str = "e2b.agents.kruise.io/envd-url";
/// Of the front: volumes to mount from inside.
pub const FRONT_CSI_VOLUME_CONFIG: &str = "e2b.agents.kruise.io/csi-volume-config";
/// Ours. A digest of what the template meant when the sandbox was made from a reference to it, since its own content does not tell.
pub const TEMPLATE_DIGEST: &str = "sandbank.agents.kruise.io/template-digest";

/// On sandboxes that are paused: their pod is removed with care.
pub const FINALIZER: &str = "agents.kruise.io/sandbox";

/// The value of labels that hold.
pub const TRUE: &str = "true";
/// The value of labels that don't.
pub const FALSE: &str = "false";

/// Whether a key of a template's metadata stays behind when a sandbox is made from it. The controllers speak to each other with such keys: a template that could
/// set them could pass its sandboxes off as claimed.
pub fn is_internal(key: &str) -> bool {
    key.starts_with(PREFIX) && !matches!(key, CLEANUP_ENABLED | CLEANUP_RETAIN_ON_FAILURE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_may_ask_for_cleanup_and_for_nothing_else_of_ours() {
        assert!(is_internal(OWNER));
        assert!(is_internal("agents.kruise.io/anything"));
        assert!(!is_internal(CLEANUP_ENABLED));
        assert!(!is_internal("team.agents.kruise.io/x"));
        assert!(!is_internal("foo"));
    }
}
