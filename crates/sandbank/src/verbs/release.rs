//! `sandbank release CLAIM...`: gives sandboxes back by deleting their claims.
//!
//! A claim of `agents.x-k8s.io` owns its sandbox, which goes with it. One of `agents.kruise.io` does not: its sandboxes are released with it here, because that
//! is what the word says.

use controllers::kinds::Kind;
use kube::ResourceExt;
use kube::api::{DeleteParams, Preconditions};
use serde::Serialize;

use super::connect::Server;
use super::find::{CLAIMS, Named};
use super::objects::{Scope, kruise};
use crate::cli::Global;
use crate::exit::Error;
use crate::output;

/// Flags of `sandbank release`.
#[derive(Debug, clap::Args)]
pub struct ReleaseArgs {
    /// The claims to give up, or claimed sandboxes as sbx/NAME
    #[arg(required = true, value_name = "CLAIM")]
    claims: Vec<String>,
}

#[derive(Serialize)]
struct Released {
    released: Vec<String>,
}

/// Where to look for what was not found.
const NEXT: &str = "`kubectl get sandboxclaims -A` lists the claims";

/// Deletes the claims and their sandboxes; each pool makes new ones. Stops at the first that fails, after saying which were released.
pub async fn run(global: &Global, args: ReleaseArgs) -> Result<(), Error> {
    let server = Server::connect(global).await?;
    let mut released = Vec::new();
    let mut failure = None;
    for name in &args.claims {
        match release(&server, name).await {
            Ok(all) => released.extend(all),
            Err(error) => {
                failure = Some(error);
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

async fn release(server: &Server, text: &str) -> Result<Vec<String>, Error> {
    let releasable = [CLAIMS[0], CLAIMS[1], Kind::KruiseSandbox];
    let mut named = Named::parse_among(text, &releasable)?;
    if !text.contains('/') {
        named.kinds = CLAIMS.to_vec();
    }
    let (name, namespace) = (&named.name, &server.namespace);
    let what = format!("claim {namespace}/{name}");
    let explain = |e| server.explain(&what, NEXT, e);
    match server.find(&named).await? {
        Some(Kind::KruiseSandbox) => release_sandbox(server, name).await,
        Some(Kind::KruiseClaim) => {
            let claims = server.set_claims(Scope::Namespace);
            let claim = claims.get(name).await.map_err(explain)?;
            // The claim first: as long as it is there it may take more.
            claims.delete(name, &of_life(claim.uid())).await.map_err(explain)?;
            let mut released = vec![what.clone()];
            for sandbox in server.sandboxes_of(&claim).await.map_err(explain)? {
                released.push(delete(server, &sandbox).await?);
            }
            Ok(released)
        }
        Some(_) => {
            let claims = server.claims(Scope::Namespace);
            claims.delete(name, &DeleteParams::background()).await.map_err(explain)?;
            Ok(vec![what])
        }
        None => Err(Error::not_found(what, NEXT)),
    }
}

/// A sandbox whose claim is over: claims of this family go long before what they delivered.
async fn release_sandbox(server: &Server, name: &str) -> Result<Vec<String>, Error> {
    let what = format!("sandbox {}/{name}", server.namespace);
    let sandbox = server.set_sandboxes(Scope::Namespace).get(name).await;
    let sandbox = sandbox.map_err(|e| server.explain(&what, NEXT, e))?;
    if !kruise::sandbox_is_claimed(&sandbox) {
        return Err(Error::refused(
            what,
            "nobody has claimed it",
            "make its set smaller to have fewer warm ones",
        ));
    }
    Ok(vec![delete(server, &sandbox).await?])
}

async fn delete(server: &Server, sandbox: &kruise::Sandbox) -> Result<String, Error> {
    let name = sandbox.name_any();
    let what = format!("sandbox {}/{name}", server.namespace);
    match server.set_sandboxes(Scope::Namespace).delete(&name, &of_life(sandbox.uid())).await {
        Ok(_) => Ok(what),
        // Gone, or gone and made anew by somebody else: it is released.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(what),
        Err(e) => Err(server.explain(&what, NEXT, e)),
    }
}

/// Only what was looked at is deleted, not what has its name by then.
fn of_life(uid: Option<String>) -> DeleteParams {
    DeleteParams::background().preconditions(Preconditions { uid, resource_version: None })
}
