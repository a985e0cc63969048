//! `sandbank why KIND/NAME`: the chain of reasons for an object's state, down to the one that can be mended.
//!
//! The controllers and the node write their reasons into conditions and events. This verb reads them along the
//! references: a claim's pool and template, its sandbox, that one's pod and containers.

mod chain;
mod gather;

use self::chain::Link;
use super::connect::Server;
use crate::cli::Global;
use crate::exit::Error;
use crate::output;

/// Flags of `sandbank why`.
#[derive(Debug, clap::Args)]
pub struct WhyArgs {
    /// claim/NAME, pool/NAME, template/NAME, sandbox/NAME or pod/NAME
    #[arg(value_name = "KIND/NAME", value_parser = parse_subject)]
    subject: Subject,
}

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Subject {
    kind: Asked,
    name: String,
}

/// The kinds one can ask about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Claim,
    Pool,
    Template,
    Sandbox,
    Pod,
}

/// Prints the chain. That something is wrong is the answer here, and no failure of the verb.
pub async fn run(global: &Global, args: WhyArgs) -> Result<(), Error> {
    let server = Server::connect(global).await?;
    let name = &args.subject.name;
    let chain: Link = match args.subject.kind {
        Asked::Claim => gather::claim(&server, name).await?,
        Asked::Pool => gather::pool(&server, name).await?,
        Asked::Template => gather::template(&server, name).await?,
        Asked::Sandbox => gather::sandbox(&server, name).await?,
        Asked::Pod => gather::pod(&server, name).await?,
    };
    output::answer(global.output, &chain, || chain.render())
}

/// Reads `claim/a`; a kind may be written as kubectl knows it too.
fn parse_subject(text: &str) -> Result<Subject, String> {
    let kinds = "write claim/NAME, pool/NAME, template/NAME, sandbox/NAME or pod/NAME";
    let Some((kind, name)) = text.split_once('/').filter(|(_, name)| !name.is_empty()) else {
        return Err(kinds.into());
    };
    let kind = match kind.to_ascii_lowercase().as_str() {
        "claim" | "sandboxclaim" | "sandboxclaims" => Asked::Claim,
        "pool" | "swp" | "sandboxwarmpool" | "sandboxwarmpools" => Asked::Pool,
        "template" | "sandboxtemplate" | "sandboxtemplates" => Asked::Template,
        "sandbox" | "sandboxes" => Asked::Sandbox,
        "pod" | "pods" | "po" => Asked::Pod,
        _ => return Err(kinds.into()),
    };
    Ok(Subject { kind, name: name.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_may_be_written_as_kubectl_knows_them() {
        let read = |text| parse_subject(text).map(|s| (s.kind, s.name));
        assert_eq!(read("claim/a"), Ok((Asked::Claim, "a".into())));
        assert_eq!(read("SandboxWarmPool/b"), Ok((Asked::Pool, "b".into())));
        for bad in ["claim", "claim/", "/a", "node/a"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
