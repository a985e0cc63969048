//! `sandbank up`, `down` and `reset`: the whole control plane in one process on one machine.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::cli::Global;
use crate::exit::Error;

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
}

/// Runs the server in the foreground until SIGTERM or Ctrl-C.
pub async fn run(global: &Global, args: UpArgs) -> Result<(), Error> {
    Err(not_wired("up", global.data_dir.as_ref(), format!("{args:?}")))
}

/// Stops the pods and the server of a data directory.
pub async fn down(global: &Global) -> Result<(), Error> {
    Err(not_wired("down", global.data_dir.as_ref(), String::new()))
}

/// Does what [`down`] does, then removes the data directory.
pub async fn reset(global: &Global) -> Result<(), Error> {
    Err(not_wired("reset", global.data_dir.as_ref(), String::new()))
}

fn not_wired(verb: &str, data_dir: Option<&PathBuf>, args: String) -> Error {
    Error::Failed(anyhow::anyhow!(
        "`sandbank {verb}` is not part of this build (data directory {data_dir:?} {args})"
    ))
}
