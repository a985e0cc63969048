//! Credentials for a registry, from the pod's `imagePullSecrets`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{Api, Client};
use serde_json::Value;

use crate::image::{Credentials, ImageName};

/// The first entry for the image's registry; nothing if no secret has one. A missing secret is not an error: the registry
/// may need none, and says so otherwise.
pub(super) async fn credentials(client: &Client, pod: &Pod, image: &str) -> Option<Credentials> {
    let namespace = pod.metadata.namespace.as_deref()?;
    let full = ImageName::parse(image).ok()?.to_string();
    let registry = full.split('/').next()?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    for reference in pod.spec.as_ref()?.image_pull_secrets.iter().flatten() {
        let Ok(Some(secret)) = secrets.get_opt(&reference.name).await else { continue };
        let data = secret.data.unwrap_or_default();
        let found = data
            .get(".dockerconfigjson")
            .and_then(|bytes| serde_json::from_slice::<Value>(&bytes.0).ok())
            .and_then(|config| find(&config["auths"], registry));
        if found.is_some() {
            return found;
        }
    }
    None
}

fn find(auths: &Value, registry: &str) -> Option<Credentials> {
    let entries = auths.as_object()?;
    let (_, entry) = entries.iter().find(|(address, _)| {
        let host = address.trim_start_matches("https://").trim_start_matches("http://");
        host.split('/').next() == Some(registry)
    })?;
    if let (Some(user), Some(password)) = (entry["username"].as_str(), entry["password"].as_str()) {
        return Some(Credentials::Basic { user: user.into(), password: password.into() });
    }
    let decoded = STANDARD.decode(entry["auth"].as_str()?).ok()?;
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(Credentials::Basic { user: user.into(), password: password.into() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_spellings_of_credentials_are_read() {
        let auths = json!({
            "https://one.example/v1/": { "username": "u", "password": "p" },
            "two.example:5000": { "auth": STANDARD.encode("a:b:c") },
        });
        let basic = |registry| match find(&auths, registry) {
            Some(Credentials::Basic { user, password }) => Some((user, password)),
            _ => None,
        };
        assert_eq!(basic("one.example"), Some(("u".into(), "p".into())));
        assert_eq!(basic("two.example:5000"), Some(("a".into(), "b:c".into())));
        assert_eq!(basic("three.example"), None);
    }
}
