//! `sandbank why KIND/NAME`: the chain of reasons for an object's state, down to the one that can be mended.
//!
//! The controllers' own planner is asked what it would decide now and why; it needs no controller to run. Beside it
//! stand the newest warnings of those objects that are not well.

mod events;
mod render;

use controllers::kinds::Kind;
use controllers::why::{Link, Standing, WhyError};
use engine::Key;
use jiff::Timestamp;
use serde::Serialize;

use self::events::Warnings;
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
    kind: Kind,
    name: String,
}

/// The answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    chain: Link,
    /// Where it comes from; the object itself if all it depends on is well.
    comes_down_to: String,
    warnings: Warnings,
}

/// Prints the chain. That something is wrong is the answer here, and no failure of the verb.
pub async fn run(global: &Global, args: WhyArgs) -> Result<(), Error> {
    let server = Server::connect(global).await?;
    let Subject { kind, name } = args.subject;
    let key = Key::new(&server.namespace, &name);
    let now = Timestamp::now();
    let options = dialects::x_k8s::Options::default();
    let chain = controllers::why::why(&server.client, kind, &key, &options, now).await;
    let chain = chain.map_err(|e| match e {
        WhyError::List { kind, namespace, source } => server.explain(
            &format!("listing {} of namespace {namespace}", kind.plural()),
            "`sandbank crds` prints what to install",
            source,
        ),
        e @ WhyError::Kind(_) => Error::usage(e.to_string(), KINDS),
    })?;
    if chain.standing == Standing::Missing {
        let next = format!("`kubectl get {} -A` lists what there is", kind.plural());
        return Err(Error::not_found(format!("{} {key}", render::noun(kind)), next));
    }
    let warnings = Warnings::about(&server, &chain).await;
    let comes_down_to = render::object(chain.root_cause());
    let answer = Answer { chain, comes_down_to, warnings };
    output::answer(global.output, &answer, || render::chain(&answer.chain, &answer.warnings, now))
}

const KINDS: &str = "write claim/NAME, pool/NAME, template/NAME, sandbox/NAME or pod/NAME";

/// Reads `claim/a`; a kind may be written as kubectl knows it too.
fn parse_subject(text: &str) -> Result<Subject, String> {
    let Some((kind, name)) = text.split_once('/').filter(|(_, name)| !name.is_empty()) else {
        return Err(KINDS.into());
    };
    let kind = match kind.to_ascii_lowercase().as_str() {
        "claim" | "sandboxclaim" | "sandboxclaims" => Kind::Claim,
        "pool" | "swp" | "sandboxwarmpool" | "sandboxwarmpools" => Kind::Pool,
        "template" | "sandboxtemplate" | "sandboxtemplates" => Kind::Template,
        "sandbox" | "sandboxes" => Kind::Sandbox,
        "pod" | "pods" | "po" => Kind::Pod,
        _ => return Err(KINDS.into()),
    };
    Ok(Subject { kind, name: name.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_may_be_written_as_kubectl_knows_them() {
        let read = |text| parse_subject(text).map(|s| (s.kind, s.name));
        assert_eq!(read("claim/a"), Ok((Kind::Claim, "a".into())));
        assert_eq!(read("SandboxWarmPool/b"), Ok((Kind::Pool, "b".into())));
        for bad in ["claim", "claim/", "/a", "node/a"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
