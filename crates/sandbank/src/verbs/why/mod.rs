//! `sandbank why KIND/NAME`: the chain of reasons for an object's state, down to the one that can be mended.
//!
//! The controllers' own planner is asked what it would decide now and why; it needs no controller to run. Beside it
//! stand the newest warnings of those objects that are not well.

mod events;
mod render;

use controllers::why::{Link, Standing, WhyError};
use engine::Key;
use jiff::Timestamp;
use serde::Serialize;

use self::events::Warnings;
use super::connect::Server;
use super::find::{self, Named};
use crate::cli::Global;
use crate::exit::Error;
use crate::output;

/// Flags of `sandbank why`.
#[derive(Debug, clap::Args)]
pub struct WhyArgs {
    /// claim/NAME, pool/NAME, template/NAME, sandbox/NAME or pod/NAME
    #[arg(value_name = "KIND/NAME", value_parser = Named::parse)]
    subject: Named,
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
    let asked = args.subject;
    // What does not exist is asked for in vain as the first of what it may be.
    let found = server.find(&asked).await?.or(asked.kinds.first().copied());
    let kind = found.ok_or_else(|| Error::usage("nothing was asked about", find::FORMS))?;
    let key = Key::new(&server.namespace, &asked.name);
    let now = Timestamp::now();
    let options = dialects::x_k8s::Options::default();
    let chain = controllers::why::why(&server.client, kind, &key, &options, now).await;
    let chain = chain.map_err(|e| match e {
        WhyError::List { kind, namespace, source } => server.explain(
            &format!("listing {} of namespace {namespace}", kind.plural()),
            "`sandbank crds` prints what to install",
            source,
        ),
        e @ WhyError::Kind(_) => Error::usage(e.to_string(), find::FORMS),
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
