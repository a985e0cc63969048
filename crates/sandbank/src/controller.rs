//! `sandbank controller`: the controllers as a process of their own, against any API server.

use std::net::SocketAddr;

use anyhow::Context;
use controllers::lease::LeaseOptions;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Error as ApiError};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cli::Global;
use crate::exit::Error;
use crate::verbs::connect::Server;
use crate::{logging, output};

/// Flags of `sandbank controller`. The kubeconfig is a global flag.
#[derive(Clone, Debug, clap::Args)]
pub struct ControllerArgs {
    /// Namespace of the leader election lease
    #[arg(long, value_name = "NAMESPACE", default_value = "agent-sandbox-system")]
    pub lease_namespace: String,
    /// How many seconds a leader is trusted without a sign of life
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(3..=600))]
    pub lease_seconds: u64,
    /// Do not elect: be sure that no other controller runs
    #[arg(long)]
    pub no_leader_election: bool,
    /// Serve /metrics, /healthz and /readyz, without authentication, on this address
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics_listen: Option<SocketAddr>,
}

/// Runs the controllers in the foreground until SIGTERM or Ctrl-C.
pub async fn run(global: &Global, args: ControllerArgs) -> Result<(), Error> {
    logging::start()?;
    let mut terminated = signal(SignalKind::terminate()).context("cannot listen to SIGTERM")?;
    let mut interrupted = signal(SignalKind::interrupt()).context("cannot listen to Ctrl-C")?;
    let server = Server::connect(global).await?;
    let version =
        server.client.apiserver_version().await.map_err(|e| {
            server.explain("the API server", "name another with --kubeconfig FILE", e)
        })?;

    let mut options = controllers::Options::default();
    if !args.no_leader_election {
        make_namespace(&server, &args.lease_namespace).await?;
        let mut lease = LeaseOptions::new(&args.lease_namespace, &identity());
        lease.term = std::time::Duration::from_secs(args.lease_seconds);
        options.election = Some(lease);
    }
    let stop = CancellationToken::new();
    let controllers = controllers::start(server.client.clone(), options, stop.clone());
    let mut health = std::pin::pin!(health(&controllers, args.metrics_listen, stop.clone()));
    output::line(format_args!(
        "sandbank controller runs against {} ({})",
        server.address, version.git_version
    ))?;

    let mut controllers = std::pin::pin!(controllers.finished());
    let ended = tokio::select! {
        _ = terminated.recv() => None,
        _ = interrupted.recv() => None,
        ended = &mut controllers => Some(ended),
        failed = &mut health => return Err(failed),
    };
    stop.cancel();
    let ended = match ended {
        Some(ended) => ended,
        None => controllers.await,
    };
    ended.context("the controllers stopped")?;
    Ok(())
}

/// The lease needs a namespace. An installed controller has one; beside a fresh server nobody has made it yet, and without it the
/// election would wait for ever.
async fn make_namespace(server: &Server, name: &str) -> Result<(), Error> {
    let what = format!("making namespace {name} for the leader election lease");
    let next = format!("`kubectl create namespace {name}`, or name another with --lease-namespace");
    let namespaces: Api<Namespace> = Api::all(server.client.clone());
    match namespaces.get_opt(name).await {
        Ok(Some(_)) => return Ok(()),
        Ok(None) => {}
        // Who may write the lease need not be allowed to look at its namespace.
        Err(ApiError::Api(status)) if status.code == 403 => return Ok(()),
        Err(e) => return Err(server.explain(&what, &next, e)),
    }
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let namespace = Namespace { metadata, ..Namespace::default() };
    match namespaces.create(&PostParams::default(), &namespace).await {
        Ok(_) => Ok(()),
        // Another replica was faster.
        Err(ApiError::Api(status)) if status.code == 409 => Ok(()),
        Err(ApiError::Api(status)) => Err(Error::refused(what, status.message, next)),
        Err(e) => Err(server.explain(&what, &next, e)),
    }
}

/// Serves health and metrics where that was asked for. Ends only if it can't.
fn health(
    controllers: &controllers::Running,
    address: Option<SocketAddr>,
    stop: CancellationToken,
) -> impl Future<Output = Error> + use<> {
    let (numbers, readiness) = (controllers.metrics().clone(), controllers.readiness());
    async move {
        let Some(address) = address else { return std::future::pending().await };
        let bound = |address| tracing::info!(%address, "serving health and metrics");
        match controllers::metrics::serve(address, numbers, readiness, bound, stop).await {
            Ok(()) => std::future::pending().await,
            Err(error) => Error::refused(
                format!("serving health and metrics on {address}"),
                anyhow::Error::new(error).root_cause().to_string(),
                "choose another address with --metrics-listen",
            ),
        }
    }
}

/// Who we are in an election: different for each replica and each start.
fn identity() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}_{:016x}", fastrand::u64(..))
}
