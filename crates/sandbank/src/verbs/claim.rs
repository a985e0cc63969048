//! `sandbank claim`: asks for a sandbox of a pool and, if told so, waits until it can be used.

use std::time::{Duration, Instant};

use dialects::x_k8s::types::EnvVar;
use kube::ResourceExt;
use kube::api::ListParams;
use serde::Serialize;

use super::connect::Server;
use super::duration;
use super::follow::{Verdict, follow};
use super::objects::{self, Claim, Pool, Scope};
use crate::cli::Global;
use crate::exit::Error;
use crate::output;

/// Flags of `sandbank claim`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("source").required(true))]
pub struct ClaimArgs {
    /// Take a sandbox of this pool
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
    let pool = choose_pool(&server, args.pool.as_deref(), args.template.as_deref()).await?;
    let mut claim = objects::new_claim(&pool, &args.env);
    let what = match args.name {
        Some(name) => format!("claim {}/{}", server.namespace, claim.metadata.name.insert(name)),
        None => {
            claim.metadata.generate_name = Some(format!("{pool}-"));
            format!("a claim of pool {}/{pool}", server.namespace)
        }
    };
    let asked = Instant::now();
    let claim = server
        .make_claim(&claim)
        .await
        .map_err(|e| server.explain(&what, "does the namespace exist? `kubectl get ns`", e))?;
    let answer = Answer {
        namespace: server.namespace.clone(),
        name: claim.name_any(),
        pool,
        ready: false,
        sandbox: None,
        pod_ips: Vec::new(),
        launch_type: None,
        took_ms: None,
    };
    if !args.wait {
        return output::answer(global.output, &answer, || {
            format!(
                "claim {0}/{1} made; `sandbank why claim/{1}` shows what comes of it",
                answer.namespace, answer.name
            )
        });
    }
    let end = follow(&server, claim, args.timeout).await?;
    let took = asked.elapsed();
    match end.verdict {
        Verdict::Ready => ready(global, &server, answer, &end.claim, took).await,
        verdict => Err(not_ready(&answer, verdict, &end.claim, args.timeout)),
    }
}

async fn ready(
    global: &Global,
    server: &Server,
    mut answer: Answer,
    claim: &Claim,
    took: Duration,
) -> Result<(), Error> {
    answer.ready = true;
    answer.took_ms = Some(took.as_secs_f64() * 1e3);
    if let Some(bound) = objects::claim_sandbox(claim) {
        answer.sandbox = Some(bound.name.clone());
        answer.pod_ips.clone_from(&bound.pod_ips);
        // Asked after the clock stopped; without it the answer is only less talkative.
        let sandbox = server.sandboxes(Scope::Namespace).get_opt(&bound.name).await.ok().flatten();
        answer.launch_type = sandbox.as_ref().and_then(objects::launch_type).cloned();
    }
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

fn not_ready(answer: &Answer, verdict: Verdict, claim: &Claim, patience: Duration) -> Error {
    let name = &answer.name;
    let because = objects::claim_ready(claim).map(objects::because);
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

/// The pool to claim from: the named one if it exists, or the fullest one of the template.
async fn choose_pool(
    server: &Server,
    pool: Option<&str>,
    template: Option<&str>,
) -> Result<String, Error> {
    let pools = server
        .pools(Scope::Namespace)
        .list(&ListParams::default())
        .await
        .map_err(|e| server.explain("listing pools", "`sandbank crds` prints what to install", e))?
        .items;
    match (pool, template) {
        (Some(pool), _) if pools.iter().any(|p| p.name_any() == pool) => Ok(pool.to_owned()),
        (Some(pool), _) => Err(Error::not_found(
            format!("pool {}/{pool}", server.namespace),
            known_pools(&pools, &server.namespace),
        )),
        (None, template) => {
            let template = template.unwrap_or_default();
            fullest(&pools, template).ok_or_else(|| {
                Error::refused(
                    format!("a claim of template {}/{template}", server.namespace),
                    "no pool keeps it warm",
                    format!(
                        "{}; make a SandboxWarmPool with sandboxTemplateRef.name: {template} \
                         (replicas: 0 for cold starts only)",
                        known_pools(&pools, &server.namespace)
                    ),
                )
            })
        }
    }
}

/// The pool of `template` with the most sandboxes at hand; the first by name of several.
fn fullest(pools: &[Pool], template: &str) -> Option<String> {
    let ready = |pool: &Pool| pool.status.as_ref().map_or(0, |s| s.ready_replicas);
    pools
        .iter()
        .filter(|pool| pool.spec.sandbox_template_ref.name == template)
        .max_by(|a, b| ready(a).cmp(&ready(b)).then(b.name_any().cmp(&a.name_any())))
        .map(ResourceExt::name_any)
}

fn known_pools(pools: &[Pool], namespace: &str) -> String {
    if pools.is_empty() {
        return format!("namespace {namespace} has no pools; `sandbank pool ls -A` lists all");
    }
    let named: Vec<String> = pools
        .iter()
        .map(|p| format!("{} (template {})", p.name_any(), p.spec.sandbox_template_ref.name))
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

    fn pool(name: &str, template: &str, ready: u32) -> Pool {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": name},
            "spec": {"sandboxTemplateRef": {"name": template}},
            "status": {"readyReplicas": ready},
        }))
        .unwrap()
    }

    #[test]
    fn a_template_is_claimed_from_its_fullest_pool() {
        let pools =
            [pool("b", "t", 2), pool("a", "t", 2), pool("c", "t", 1), pool("d", "other", 9)];
        assert_eq!(fullest(&pools, "t").as_deref(), Some("a"));
        assert_eq!(fullest(&pools, "missing"), None);
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
