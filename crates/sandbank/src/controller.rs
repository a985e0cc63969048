//! `sandbank controller`: the controllers as a process of their own, against any API server.

use crate::cli::Global;
use crate::exit::Error;

/// Flags of `sandbank controller`. The kubeconfig is a global flag.
#[derive(Clone, Debug, clap::Args)]
pub struct ControllerArgs {
    /// Namespace of the leader election lease
    #[arg(long, value_name = "NAMESPACE", default_value = "agent-sandbox-system")]
    pub lease_namespace: String,
}

/// Runs the controllers in the foreground until SIGTERM or Ctrl-C.
pub async fn run(_global: &Global, args: ControllerArgs) -> Result<(), Error> {
    Err(Error::Failed(anyhow::anyhow!(
        "`sandbank controller` is not part of this build (lease in {})",
        args.lease_namespace
    )))
}
