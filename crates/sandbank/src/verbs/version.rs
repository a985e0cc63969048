//! `sandbank version`: this program's version and the server's.

use serde::Serialize;

use super::connect::Server;
use crate::cli::Global;
use crate::exit::Error;
use crate::output;

/// Flags of `sandbank version`.
#[derive(Debug, clap::Args)]
pub struct VersionArgs {
    /// Do not ask the server
    #[arg(long)]
    client: bool,
}

#[derive(Serialize)]
struct Versions {
    client: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<ServerVersion>,
}

#[derive(Serialize)]
struct ServerVersion {
    address: String,
    version: String,
    platform: String,
}

/// Prints the versions. Our own is printed even when there is no server, before that error.
pub async fn run(global: &Global, args: VersionArgs) -> Result<(), Error> {
    let client = env!("CARGO_PKG_VERSION");
    let server = if args.client { Ok(None) } else { ask(global).await.map(Some) };
    let (server, error) = match server {
        Ok(server) => (server, None),
        Err(error) => (None, Some(error)),
    };
    let versions = Versions { client, server };
    output::answer(global.output, &versions, || match &versions.server {
        Some(s) => {
            format!("client  {client}\nserver  {}  {}  {}", s.version, s.platform, s.address)
        }
        None => format!("client  {client}"),
    })?;
    error.map_or(Ok(()), Err)
}

async fn ask(global: &Global) -> Result<ServerVersion, Error> {
    let server = Server::connect(global).await?;
    let info = server
        .client
        .apiserver_version()
        .await
        .map_err(|e| server.explain("the server's version", "is this a Kubernetes API?", e))?;
    Ok(ServerVersion {
        address: server.address,
        version: info.git_version,
        platform: info.platform,
    })
}
