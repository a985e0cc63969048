//! The file that kubectl and every other client connects with.

use std::path::Path;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

use super::{AuthError, Leaf, secret_file};

/// The name of cluster, user and context in the file.
const NAME: &str = "sandbank";

/// One cluster, one user, one context; certificates and key are inside, so the file works wherever it is copied.
#[derive(Clone)]
pub struct Kubeconfig {
    /// Where the server is, such as `https://127.0.0.1:6443`.
    pub server: String,
    /// The authority's certificate, in PEM.
    pub authority: String,
    /// The user's certificate and key.
    pub client: Leaf,
}

impl Kubeconfig {
    /// The file's content. JSON, which is YAML as well and needs no quoting rules of its own.
    pub fn render(&self) -> String {
        let pem = |text: &str| STANDARD.encode(text);
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": NAME,
            "clusters": [{"name": NAME, "cluster": {
                "server": self.server,
                "certificate-authority-data": pem(&self.authority),
            }}],
            "users": [{"name": NAME, "user": {
                "client-certificate-data": pem(&self.client.certificate),
                "client-key-data": pem(&self.client.key),
            }}],
            "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": NAME}}],
        });
        format!("{config:#}\n")
    }

    /// Writes the file, for its owner only, in one step. Makes missing folders, which are private too.
    pub fn write(&self, path: &Path) -> Result<(), AuthError> {
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty() && !dir.exists())
        {
            secret_file::private_dir(dir)?;
        }
        secret_file::write(path, self.render().as_bytes())
    }
}
