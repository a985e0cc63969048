//! The API server of `sandbank up`: its store, its credentials and its listener.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use apiserver::auth::{Credentials, HostName, Identity};
use apiserver::{ApiServer, Converter, StoreOptions, tls};
use controllers::metrics::Metrics;
use dialects::x_k8s;
use jiff::Timestamp;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{metrics, pods::Pods};
use crate::exit::Error;
use crate::paths::DataDir;

/// Takes the port, or says what to do about whoever has it.
pub async fn bind(listen: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(listen).await.map_err(|e| {
        let next = match e.kind() {
            std::io::ErrorKind::AddrInUse => {
                "stop whoever listens there, or choose another port with --listen 127.0.0.1:0"
            }
            std::io::ErrorKind::PermissionDenied => "choose a port above 1023 with --listen",
            _ => "choose an address of this machine with --listen",
        };
        Error::refused(format!("listening on {listen}"), e.to_string(), next)
    })
}

/// A server that is open. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    api: ApiServer,
    credentials: Arc<Credentials>,
    address: SocketAddr,
}

impl Server {
    /// Opens the store and the credentials of the directory, or makes them.
    pub async fn open(dir: &DataDir, address: SocketAddr, pods: Pods) -> Result<Self, Error> {
        let names = match address.ip() {
            ip if ip.is_unspecified() => Vec::new(),
            ip => vec![HostName::Ip(ip)],
        };
        let credentials =
            Credentials::open(&dir.credentials(), &names, Timestamp::now()).map_err(|e| {
                Error::Refused {
                    what: "opening the credentials".into(),
                    reason: e.to_string(),
                    next: None,
                }
            })?;
        let mut builder = ApiServer::builder()
            .store(StoreOptions::Durable { path: dir.store() })
            .pods(Arc::new(pods))
            // `kubectl get sandboxes` means these; those of other families have short names, and full ones.
            .first_groups(["agents.x-k8s.io", "extensions.agents.x-k8s.io"])
            .root_certificate(credentials.authority().certificate().to_owned());
        for kind in x_k8s::Kind::ALL {
            builder = builder.converter(kind.group(), kind.as_str(), Arc::new(Versions));
        }
        let api = builder.open().await.map_err(|e| Error::Refused {
            what: format!("opening the store {}", dir.store().display()),
            reason: e.to_string(),
            next: Some(
                "free some space or mend the file's permissions; if the file is damaged, restore it from a copy, or begin anew with `sandbank reset`"
                    .into(),
            ),
        })?;
        Ok(Self { api, credentials: Arc::new(credentials), address })
    }

    /// A client inside this process, with every right.
    pub fn client(&self, user: &str) -> kube::Client {
        kube::Client::new(self.api.service(Identity::system(user)), "default")
    }

    /// Writes what clients connect with (mode 0600).
    pub fn write_kubeconfig(&self, path: &Path) -> Result<(), Error> {
        // A server that listens everywhere is reached by its own users at home.
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        self.credentials
            .kubeconfig(&format!("https://{address}"))
            .write(path)
            .context("cannot write the kubeconfig")?;
        Ok(())
    }

    /// Answers requests until `stop`.
    pub async fn serve(
        self,
        listener: TcpListener,
        numbers: Metrics,
        stop: CancellationToken,
    ) -> Result<(), Error> {
        let router = metrics::router(numbers).fallback_service(self.api.router());
        tls::serve(router, listener, &self.credentials, stop).await.context("cannot serve")?;
        Ok(())
    }

    /// Finishes the writes under way and lets go of the store.
    pub async fn close(&self) {
        self.api.close().await;
    }
}

/// The versions of the agents.x-k8s.io family become each other in process; a cluster needs a webhook for that.
struct Versions;

impl Converter for Versions {
    fn convert(&self, object: Value, api_version: &str) -> Result<Value, String> {
        // The dialect knows its versions by their bare names.
        let version = api_version.rsplit_once('/').map_or(api_version, |(_, version)| version);
        x_k8s::convert::convert(object, version).map_err(|e| e.to_string())
    }
}
