//! From the global flags to a client, and from a client's errors to ours.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::cli::Global;
use crate::exit::Error;
use crate::paths;

/// A dead address must not hang a verb for kube's default of 30 s; a server of this machine answers in
/// microseconds, one across an ocean in well under this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A server, and what is needed to talk about it.
#[derive(Clone)]
pub struct Server {
    /// The client.
    pub client: Client,
    /// The namespace to use: the flag, the kubeconfig's, or `default`.
    pub namespace: String,
    /// The server's address, for messages.
    pub address: String,
    /// The kubeconfig that was used.
    pub kubeconfig: PathBuf,
}

impl Server {
    /// Makes the client. Nothing is sent yet: a server that is not there shows at the first request.
    pub async fn connect(global: &Global) -> Result<Self, Error> {
        let path =
            paths::find_kubeconfig(global.kubeconfig.as_deref(), global.data_dir.as_deref())?;
        let bad = |reason: String| Error::BadKubeconfig { path: path.clone(), reason };
        let kubeconfig = Kubeconfig::read_from(&path).map_err(|e| bad(e.to_string()))?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .map_err(|e| bad(e.to_string()))?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        let namespace =
            global.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let address = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let client = Client::try_from(config).map_err(|e| bad(e.to_string()))?;
        Ok(Self { client, namespace, address, kubeconfig: path })
    }

    /// Says what a failed request means. `what` is the object or operation, as in `claim default/a`;
    /// `next` is the hint for the case that it does not exist.
    pub fn explain(&self, what: &str, next: &str, error: kube::Error) -> Error {
        match error {
            kube::Error::Api(status) => match status.code {
                404 => Error::not_found(what, next),
                401 | 403 => Error::refused(
                    what,
                    &status.message,
                    format!("the credentials in {} are not enough", self.kubeconfig.display()),
                ),
                _ => Error::Refused { what: what.into(), reason: status.message, next: None },
            },
            kube::Error::Service(e) => self.unreachable(root_cause(e.as_ref())),
            kube::Error::HyperError(e) => self.unreachable(root_cause(&e)),
            e => Error::Failed(anyhow::Error::new(e).context(what.to_owned())),
        }
    }

    /// The error of a server that does not answer.
    pub fn unreachable(&self, reason: String) -> Error {
        Error::Unreachable { server: self.address.clone(), reason }
    }
}

/// The innermost source of an error: `connection refused` instead of four layers around it.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
