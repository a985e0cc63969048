//! The ways to ask a server: its router as a function, `kube::Client` in process, and `kube::Client` over TLS.

use std::path::Path;

use anyhow::Context;
use apiserver::InProcess;
use http::{Method, Request, header};
use http_body_util::BodyExt;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde_json::Value;
use tower::ServiceExt;

/// One client. A clone of [`Caller::Client`] shares its connections.
#[derive(Clone)]
pub enum Caller {
    /// No client at all: what the server itself costs.
    Router(InProcess),
    /// What controllers and tools use.
    Client(kube::Client),
}

impl Caller {
    /// A client of its own connections, by what a kubeconfig says.
    pub async fn over_tls(kubeconfig: &Path) -> anyhow::Result<Self> {
        let config = Kubeconfig::read_from(kubeconfig).context("the server's kubeconfig")?;
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
        Ok(Self::Client(kube::Client::try_from(config)?))
    }

    /// Sends one request and reads the whole answer.
    pub async fn call(&self, method: Method, path: &str, body: &str) -> anyhow::Result<String> {
        let content = match method {
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        let request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header(header::CONTENT_TYPE, content)
            .body(body.to_owned())?;
        match self {
            Self::Client(client) => client
                .request_text(request.map(String::into_bytes))
                .await
                .with_context(|| format!("{method} {path}")),
            Self::Router(router) => {
                let response = router.clone().oneshot(request).await?;
                let status = response.status();
                let answer = response.into_body().collect().await?.to_bytes();
                let answer = String::from_utf8(answer.to_vec())?;
                anyhow::ensure!(status.is_success(), "{method} {path}: {status} {answer}");
                Ok(answer)
            }
        }
    }

    /// Creates an object.
    pub async fn create(&self, path: &str, object: &Value) -> anyhow::Result<()> {
        self.call(Method::POST, path, &object.to_string()).await.map(drop)
    }
}
