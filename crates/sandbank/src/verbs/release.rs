//! `sandbank release CLAIM...`: gives sandboxes back by deleting their claims.

use kube::api::DeleteParams;
use serde::Serialize;

use super::connect::Server;
use super::objects::Scope;
use crate::cli::Global;
use crate::exit::Error;
use crate::output;

/// Flags of `sandbank release`.
#[derive(Debug, clap::Args)]
pub struct ReleaseArgs {
    /// The claims to give up
    #[arg(required = true, value_name = "CLAIM")]
    claims: Vec<String>,
}

#[derive(Serialize)]
struct Released {
    released: Vec<String>,
}

/// Deletes the claims; their sandboxes follow, and each pool makes a new one. Stops at the first that fails,
/// after saying which were released.
pub async fn run(global: &Global, args: ReleaseArgs) -> Result<(), Error> {
    let server = Server::connect(global).await?;
    let mut released = Vec::new();
    let mut failure = None;
    for name in &args.claims {
        let name = name.strip_prefix("claim/").unwrap_or(name);
        let what = format!("claim {}/{name}", server.namespace);
        match server.claims(Scope::Namespace).delete(name, &DeleteParams::background()).await {
            Ok(_) => released.push(what),
            Err(e) => {
                let next = "`kubectl get sandboxclaims -A` lists the claims";
                failure = Some(server.explain(&what, next, e));
                break;
            }
        }
    }
    if !released.is_empty() {
        let released = Released { released };
        output::answer(global.output, &released, || {
            released.released.iter().map(|r| format!("released {r}")).collect::<Vec<_>>().join("\n")
        })?;
    }
    failure.map_or(Ok(()), Err)
}
