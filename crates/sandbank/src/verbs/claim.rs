//! `sandbank claim`: asks for a sandbox of a pool and, if told so, waits until it can be used.

use std::time::{Duration, Instant};

use controllers::kinds::Kind;
use dialects::x_k8s::types::EnvVar;
use kube::ResourceExt;
use serde::Serialize;

use super::connect::Server;
use super::duration;
use super::find::{self, Named, POOLS};
use super::follow::{Verdict, follow};
use super::objects::{self, Claim, Scope, kruise};
use super::pool::{self, PoolRow};
use crate::cli::Global;
use crate::exit::Error;
use crate::output;

/// Flags of `sandbank claim`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("source").required(true))]
pub struct ClaimArgs {
    /// Take a sandbox of this pool: a name, or KIND/NAME
    #[arg(long, group = "source", value_name = "NAME")]
    pool: Option<String>,
    /// Take a sandbox of any pool that keeps this template warm
    #[arg(long, group = "source", value_name = "NAME")]
    template: Option<String>,
    /// The claim's name [default: one is made up]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Wait until the sandbox can be used
    #[arg(short, long)]
    wait: bool,
    /// How long to wait
    #[arg(long, value_parser = duration::parse, default_value = "60s", value_name = "TIME", requires = "wait")]
    timeout: Duration,
    /// Set a variable in the sandbox, where its template allows that (such a sandbox starts cold)
    #[arg(long, value_parser = parse_env, value_name = "KEY=VALUE")]
    env: Vec<EnvVar>,
}

/// The answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    namespace: String,
    name: String,
    pool: String,
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    sandbox: Option<String>,
    #[serde(rename = "podIPs", skip_serializing_if = "Vec::is_empty")]
    pod_ips: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    launch_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ms: Option<f64>,
}

/// Makes the claim and prints what came of it.
pub async fn run(global: &Global, args: ClaimArgs) -> Result<(), Error> {
    let server = Server::connect(global).await?;
    let Source { kind, pool } =
        choose_pool(&server, args.pool.as_deref(), args.template.as_deref()).await?;
    let mut claim = match kind {
        Kind::SandboxSet => kruise::new_claim(&pool, &args.env),
        _ => objects::new_claim(&pool, &args.env),
    };
    let what = match args.name.clone() {
        Some(name) => format!("claim {}/{}", server.namespace, claim.metadata.name.insert(name)),
        None => {
            claim.metadata.generate_name = Some(format!("{pool}-"));
            format!("a claim of pool {}/{pool}", server.namespace)
        }
    };
    let asked = Instant::now();
    let refused = |e| server.explain(&what, "does the namespace exist? `kubectl get ns`", e);
    let answer = |name: String| Answer {
        namespace: server.namespace.clone(),
        name,
        pool: pool.clone(),
        ready: false,
        sandbox: None,
        pod_ips: Vec::new(),
        launch_type: None,
        took_ms: None,
    };
    if kind == Kind::SandboxSet {
        let claim: kruise::Claim = server.make(Kind::KruiseClaim, &claim).await.map_err(refused)?;
        let answer = answer(claim.name_any());
        if !args.wait {
            return made(global, &answer);
        }
        let end =
            follow(&server, &server.set_claims(Scope::Namespace), claim, args.timeout).await?;
        let took = asked.elapsed();
        return match end.verdict {
            Verdict::Ready => ready(global, with_set(&server, answer, &end.claim).await, took),
            verdict => {
                let because = kruise::claim_message(&end.claim).map(str::to_owned);
                Err(not_ready(&answer, verdict, because, args.timeout))
            }
        };
    }
    let claim = server.make_claim(&claim).await.map_err(refused)?;
    let answer = answer(claim.name_any());
    if !args.wait {
        return made(global, &answer);
    }
    let end = follow(&server, &server.claims(Scope::Namespace), claim, args.timeout).await?;
    let took = asked.elapsed();
    match end.verdict {
        Verdict::Ready => ready(global, with_sandbox(&server, answer, &end.claim).await, took),
        verdict => {
            let because = objects::claim_ready(&end.claim).map(objects::because);
            Err(not_ready(&answer, verdict, because, args.timeout))
        }
    }
}

fn made(global: &Global, answer: &Answer) -> Result<(), Error> {
    output::answer(global.output, answer, || {
        format!(
            "claim {0}/{1} made; `sandbank why claim/{1}` shows what comes of it",
            answer.namespace, answer.name
        )
    })
}

/// What the claim got. Asked after the clock stopped; without it the answer is only less talkative.
async fn with_sandbox(server: &Server, mut answer: Answer, claim: &Claim) -> Answer {
    if let Some(bound) = objects::claim_sandbox(claim) {
        answer.sandbox = Some(bound.name.clone());
        answer.pod_ips.clone_from(&bound.pod_ips);
        let sandbox = server.sandboxes(Scope::Namespace).get_opt(&bound.name).await.ok().flatten();
        answer.launch_type = sandbox.as_ref().and_then(objects::launch_type).cloned();
    }
    answer
}

/// The same for a claim on a set.
async fn with_set(server: &Server, mut answer: Answer, claim: &kruise::Claim) -> Answer {
    let sandboxes = server.sandboxes_of(claim).await.unwrap_or_default();
    if let Some(sandbox) = sandboxes.first() {
        answer.sandbox = Some(sandbox.name_any());
        let address = sandbox.status.as_ref().map(|status| status.sandbox_ip.clone());
        answer.pod_ips = address.into_iter().filter(|address| !address.is_empty()).collect();
        answer.launch_type = kruise::launch_type(claim, sandbox);
    }
    answer
}

fn ready(global: &Global, mut answer: Answer, took: Duration) -> Result<(), Error> {
    answer.ready = true;
    answer.took_ms = Some(took.as_secs_f64() * 1e3);
    output::answer(global.output, &answer, || {
        let sandbox = answer.sandbox.as_deref().unwrap_or("-");
        let ip = if answer.pod_ips.is_empty() { "-".into() } else { answer.pod_ips.join(",") };
        let start = answer.launch_type.as_deref().unwrap_or("unknown");
        format!(
            "claim {}/{name} is ready: sandbox {sandbox}, ip {ip}, {start} start, {took}\n\
             try `sandbank exec -it {name} -- sh`; `sandbank release {name}` gives it back",
            answer.namespace,
            name = answer.name,
            took = duration::latency(took),
        )
    })
}

fn not_ready(
    answer: &Answer,
    verdict: Verdict,
    because: Option<String>,
    patience: Duration,
) -> Error {
    let name = &answer.name;
    let because = because.unwrap_or_else(|| "no controller has looked at it yet".into());
    let (reason, next) = match verdict {
        Verdict::Gone => ("it was deleted".to_owned(), "claim again".to_owned()),
        Verdict::Ready | Verdict::InVain | Verdict::TimedOut => (
            match verdict {
                Verdict::TimedOut => format!("{because} (after {patience:?})"),
                _ => because,
            },
            format!(
                "`sandbank why claim/{name}` explains; the claim stays and goes on trying: \
                 `sandbank release {name}` gives it up"
            ),
        ),
    };
    Error::NotReady { what: format!("claim {}/{name}", answer.namespace), reason, next }
}

/// Where to claim from.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    kind: Kind,
    pool: String,
}

impl Source {
    fn of(row: &PoolRow) -> Self {
        Source { kind: row.kind, pool: row.name.clone() }
    }
}

/// The pool to claim from: the named one if it exists, or the fullest one of the template.
async fn choose_pool(
    server: &Server,
    pool: Option<&str>,
    template: Option<&str>,
) -> Result<Source, Error> {
    let rows = pool::rows(server, Scope::Namespace).await?;
    match pool {
        Some(pool) => {
            let named = Named::parse_among(pool, &POOLS)?;
            the_named(&rows, &named)?.ok_or_else(|| {
                Error::not_found(
                    format!("pool {}/{}", server.namespace, named.name),
                    known_pools(&rows, &server.namespace),
                )
            })
        }
        None => {
            let template = template.unwrap_or_default();
            fullest(&rows, template).ok_or_else(|| {
                Error::refused(
                    format!("a claim of template {}/{template}", server.namespace),
                    "no pool keeps it warm",
                    format!(
                        "{}; make a SandboxWarmPool with sandboxTemplateRef.name: {template} \
                         (replicas: 0 for cold starts only)",
                        known_pools(&rows, &server.namespace)
                    ),
                )
            })
        }
    }
}

/// The pool of this name, if there is just one.
fn the_named(rows: &[PoolRow], named: &Named) -> Result<Option<Source>, Error> {
    let found: Vec<&PoolRow> = rows
        .iter()
        .filter(|row| row.name == named.name && named.kinds.contains(&row.kind))
        .collect();
    match found.as_slice() {
        [] => Ok(None),
        [row] => Ok(Some(Source::of(row))),
        several => {
            let kinds: Vec<Kind> = several.iter().map(|row| row.kind).collect();
            Err(find::ambiguous(&named.name, &kinds))
        }
    }
}

/// The pool of `template` with the most sandboxes at hand; the first by name of several.
fn fullest(rows: &[PoolRow], template: &str) -> Option<Source> {
    rows.iter()
        .filter(|row| row.template.as_deref() == Some(template))
        .max_by(|a, b| a.ready.cmp(&b.ready).then(b.name.cmp(&a.name)))
        .map(Source::of)
}

fn known_pools(rows: &[PoolRow], namespace: &str) -> String {
    if rows.is_empty() {
        return format!("namespace {namespace} has no pools; `sandbank pool ls -A` lists all");
    }
    let named: Vec<String> = rows
        .iter()
        .map(|row| match &row.template {
            Some(template) => format!("{} (template {template})", row.name),
            None => row.name.clone(),
        })
        .collect();
    format!("namespace {namespace} has the pools {}", named.join(", "))
}

fn parse_env(text: &str) -> Result<EnvVar, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            Ok(EnvVar { name: name.into(), value: value.into(), ..EnvVar::default() })
        }
        _ => Err("write it as KEY=VALUE".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, kind: Kind, template: &str, ready: u32) -> PoolRow {
        PoolRow {
            namespace: "default".into(),
            name: name.into(),
            kind,
            template: Some(template.to_owned()).filter(|name| !name.is_empty()),
            strategy: String::new(),
            desired: ready,
            current: ready,
            ready,
            updated: ready,
            state: String::new(),
            age: String::new(),
        }
    }

    #[test]
    fn a_template_is_claimed_from_its_fullest_pool() {
        let rows = [
            row("b", Kind::Pool, "t", 2),
            row("a", Kind::Pool, "t", 2),
            row("c", Kind::Pool, "t", 1),
            row("d", Kind::Pool, "other", 9),
            row("e", Kind::SandboxSet, "", 9),
        ];
        assert_eq!(fullest(&rows, "t"), Some(Source { kind: Kind::Pool, pool: "a".into() }));
        assert_eq!(fullest(&rows, "missing"), None);
    }

    #[test]
    fn a_pool_is_found_in_either_family_and_never_guessed() {
        let rows = [
            row("a", Kind::Pool, "t", 1),
            row("a", Kind::SandboxSet, "", 1),
            row("b", Kind::SandboxSet, "", 1),
        ];
        let named = |text| the_named(&rows, &Named::parse_among(text, &POOLS).unwrap());
        assert_eq!(named("b").unwrap().unwrap().kind, Kind::SandboxSet);
        assert_eq!(named("sbs/a").unwrap().unwrap().kind, Kind::SandboxSet);
        assert!(named("c").unwrap().is_none());
        assert!(named("a").unwrap_err().to_string().contains("sandboxsets.agents.kruise.io/a"));
    }

    #[test]
    fn env_needs_a_name_and_may_have_any_value() {
        let var =
            |n: &str, v: &str| EnvVar { name: n.into(), value: v.into(), ..EnvVar::default() };
        assert_eq!(parse_env("A=b=c"), Ok(var("A", "b=c")));
        assert_eq!(parse_env("A="), Ok(var("A", "")));
        assert!(parse_env("=b").is_err());
        assert!(parse_env("A").is_err());
    }
}
