//! `sandbank up`, `down` and `reset`: the whole control plane in one process on one machine.
//!
//! ```text
//!   lock the folder -> open the store -> serve the API -> definitions -> node -> controllers -> "ready"
//! ```
//!
//! The node and the controllers get a `kube::Client` straight onto the API, in process: what they do is what they would do
//! in a cluster. Stopping goes the other way round and leaves the pods running.

mod definitions;
mod down;
mod lock;
mod machine;
mod metrics;
mod pods;
mod server;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

pub use down::{down, reset};

use crate::cli::Global;
use crate::exit::Error;
use crate::paths::DataDir;
use crate::{logging, output};
use lock::Lock;

/// What starts the pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum RuntimeKind {
    /// Real OCI containers on this machine (Linux, root).
    #[default]
    Oci,
    /// No containers: pods become ready after a set delay. For scale tests and machines without Linux.
    Fake,
}

/// Flags of `sandbank up`. The data directory and the kubeconfig to write are global flags.
#[derive(Clone, Debug, clap::Args)]
pub struct UpArgs {
    /// Address and port to serve the Kubernetes API on; port 0 picks a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:6443")]
    pub listen: SocketAddr,
    /// What starts the pods
    #[arg(long, value_enum, default_value_t)]
    pub runtime: RuntimeKind,
    /// How long a pod of the fake runtime takes to start, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    pub fake_delay: u64,
    /// The addresses of pods
    #[arg(long, value_name = "CIDR", default_value = "10.88.0.0/16")]
    pub pod_network: machine::PodNetwork,
    /// How many pods may run at once [default: 500; with the fake runtime 100000]
    #[arg(long, value_name = "N")]
    pub max_pods: Option<u32>,
    /// Run no controllers: `sandbank controller` runs beside this server
    #[arg(long)]
    pub no_controllers: bool,
}

/// Runs the server in the foreground until SIGTERM or Ctrl-C.
pub async fn run(global: &Global, args: UpArgs) -> Result<(), Error> {
    let began = Instant::now();
    logging::start()?;
    // Before anything else, so that a signal at any moment after is a request to stop and not the end.
    let mut terminated = signal(SignalKind::terminate()).context("cannot listen to SIGTERM")?;
    let mut interrupted = signal(SignalKind::interrupt()).context("cannot listen to Ctrl-C")?;

    let dir = DataDir::resolve(global.data_dir.as_deref())?;
    machine::check(args.runtime)?;
    let mut lock = Lock::take(&dir)?;
    let kubeconfigs = kubeconfigs(global, &dir);
    let listener = server::bind(args.listen).await?;
    let address = listener.local_addr().context("cannot tell where the server listens")?;

    let pods = pods::Pods::default();
    let server = server::Server::open(&dir, address, pods.clone()).await?;
    let client = server.client("sandbank");
    definitions::install(&client).await?;

    // Two stages: first whoever makes requests, then whoever answers them.
    let stop = CancellationToken::new();
    let stop_serving = CancellationToken::new();
    let machine = machine::start(&dir, &args, client.clone(), &pods, &stop).await?;
    let options = controllers::Options::default();
    let numbers = options.metrics.clone();
    let controllers =
        (!args.no_controllers).then(|| controllers::start(client, options, stop.clone()));
    let serving = tokio::spawn(server.clone().serve(listener, numbers, stop_serving.clone()));
    for path in &kubeconfigs {
        server.write_kubeconfig(path)?;
    }
    lock.record(Some(address))?;
    announce(&dir, address, &kubeconfigs, began)?;

    let mut controllers = std::pin::pin!(finished(controllers, stop.clone()));
    let ended = tokio::select! {
        _ = terminated.recv() => None,
        _ = interrupted.recv() => None,
        ended = &mut controllers => Some(ended),
    };
    tracing::info!("stopping; the pods run on");
    stop.cancel();
    let ended = match ended {
        Some(ended) => ended,
        None => controllers.await,
    };
    machine.stop().await;
    stop_serving.cancel();
    let served = serving.await.context("the listener failed")?;
    server.close().await;
    drop(lock);
    ended.context("the controllers stopped")?;
    served
}

/// Waits for the end of the controllers; without any, until `stop`.
async fn finished(
    controllers: Option<controllers::Running>,
    stop: CancellationToken,
) -> Result<(), controllers::RunError> {
    match controllers {
        Some(controllers) => controllers.finished().await,
        None => {
            stop.cancelled().await;
            Ok(())
        }
    }
}

/// The data directory's own, and the one that was asked for.
fn kubeconfigs(global: &Global, dir: &DataDir) -> Vec<PathBuf> {
    let mut paths = vec![dir.kubeconfig()];
    paths.extend(global.kubeconfig.clone().filter(|asked| *asked != paths[0]));
    paths
}

fn announce(
    dir: &DataDir,
    address: SocketAddr,
    kubeconfigs: &[PathBuf],
    began: Instant,
) -> Result<(), Error> {
    let shown = kubeconfigs.last().map(|path| path.display().to_string()).unwrap_or_default();
    output::line(format_args!(
        "sandbank is ready at https://{address} after {} ms; everything it keeps is in {}\n\
         \n\
         Try next, in another terminal:\n\
         \x20 export KUBECONFIG={shown}\n\
         \x20 kubectl apply -f examples/quickstart\n\
         \x20 sandbank claim --pool quickstart --wait\n\
         \n\
         Ctrl-C stops the server and leaves the pods running; `sandbank down` stops both.",
        began.elapsed().as_millis(),
        dir.path().display(),
    ))
}
