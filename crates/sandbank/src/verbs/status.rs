//! `sandbank status`: the server, its nodes, pools, sandboxes and claims on one screen.

use dialects::condition::Condition;
use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde::Serialize;

use super::connect::Server;
use super::objects::{self, Scope, kruise, list_served};
use super::pool::{self, PoolRow};
use crate::cli::Global;
use crate::exit::Error;
use crate::output;
use crate::table::Table;

/// What `status` says.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    server: String,
    version: String,
    kubeconfig: String,
    nodes: Vec<NodeRow>,
    claims: Claims,
    sandboxes: Sandboxes,
    pools: Vec<PoolRow>,
}

#[derive(Debug, Serialize)]
struct NodeRow {
    name: String,
    ready: bool,
    cpu: String,
    memory: String,
}

/// Claims of all namespaces. Every claim is either ready or waiting.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Claims {
    ready: usize,
    waiting: usize,
}

/// Sandboxes of all namespaces. Every sandbox is in exactly one of these.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Sandboxes {
    claimed: usize,
    warm: usize,
    starting: usize,
}

/// Asks for all of it at once and prints it.
pub async fn run(global: &Global) -> Result<(), Error> {
    let server = Server::connect(global).await?;
    let everything = ListParams::default();
    let nodes: Api<Node> = Api::all(server.client.clone());
    let (all_claims, all_sandboxes) =
        (server.claims(Scope::Everywhere), server.sandboxes(Scope::Everywhere));
    let (set_claims, set_sandboxes) =
        (server.set_claims(Scope::Everywhere), server.set_sandboxes(Scope::Everywhere));
    // The version first: it needs no rights and tells best that there is no server.
    let version = server.client.apiserver_version().await;
    let version = version.map_err(|e| server.explain("the server's version", "", e))?.git_version;
    let listing = tokio::try_join!(
        list_served(&all_claims),
        list_served(&all_sandboxes),
        list_served(&set_claims),
        list_served(&set_sandboxes),
        nodes.list(&everything)
    );
    let (claims, sandboxes, set_claims, set_sandboxes, nodes) = listing.map_err(|e| {
        server.explain("listing sandboxes", "`sandbank crds` prints what to install", e)
    })?;
    let mut all_claims = Claims::default();
    for claim in claims.unwrap_or_default() {
        all_claims.count(objects::claim_ready(&claim).is_some_and(Condition::is_true));
    }
    for claim in set_claims.unwrap_or_default() {
        all_claims.count(kruise::claim_is_served(&claim) == Some(true));
    }
    let mut all = Sandboxes::default();
    for sandbox in sandboxes.unwrap_or_default() {
        all.count(objects::sandbox_is_claimed(&sandbox), objects::sandbox_is_ready(&sandbox));
    }
    for sandbox in set_sandboxes.unwrap_or_default() {
        all.count(kruise::sandbox_is_claimed(&sandbox), kruise::sandbox_is_ready(&sandbox));
    }
    let status = Status {
        version,
        kubeconfig: server.kubeconfig.display().to_string(),
        nodes: nodes.items.iter().map(node_row).collect(),
        claims: all_claims,
        sandboxes: all,
        pools: pool::rows(&server, Scope::Everywhere).await?,
        server: server.address,
    };
    output::answer(global.output, &status, || render(&status))
}

fn render(status: &Status) -> String {
    let mut facts = vec![
        format!("server      {} ({})", status.server, status.version),
        format!("kubeconfig  {}", status.kubeconfig),
    ];
    for node in &status.nodes {
        let state = if node.ready { "ready" } else { "NOT READY" };
        facts.push(format!(
            "node        {}: {state}, {} cpu, {} memory",
            node.name, node.cpu, node.memory
        ));
    }
    let (claims, sandboxes) = (&status.claims, &status.sandboxes);
    facts.push(format!("claims      {} ready, {} waiting", claims.ready, claims.waiting));
    facts.push(format!(
        "sandboxes   {} claimed, {} warm, {} starting or not ready",
        sandboxes.claimed, sandboxes.warm, sandboxes.starting
    ));
    let pools: Table = pool::table(&status.pools, Scope::Everywhere);
    match status.pools.is_empty() {
        true => facts.push("pools       none".into()),
        false => facts.push(format!("\n{}", pools.render())),
    }
    facts.join("\n")
}

fn node_row(node: &Node) -> NodeRow {
    let status = node.status.as_ref();
    let allocatable = |resource: &str| {
        let quantity = status.and_then(|s| s.allocatable.as_ref()).and_then(|a| a.get(resource));
        quantity.map_or_else(|| "?".into(), |q| q.0.clone())
    };
    let conditions = status.and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    NodeRow {
        name: node.name_any(),
        ready: conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True"),
        cpu: allocatable("cpu"),
        memory: allocatable("memory"),
    }
}

impl Claims {
    fn count(&mut self, ready: bool) {
        if ready {
            self.ready += 1;
        } else {
            self.waiting += 1;
        }
    }
}

impl Sandboxes {
    fn count(&mut self, claimed: bool, ready: bool) {
        match (claimed, ready) {
            (true, _) => self.claimed += 1,
            (false, true) => self.warm += 1,
            (false, false) => self.starting += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox(owner: &str, ready: &str) -> objects::Sandbox {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "s", "namespace": "default", "ownerReferences": [
                {"apiVersion": "v1", "kind": owner, "name": "o", "uid": "u", "controller": true}]},
            "spec": {"podTemplate": {"spec": {"containers": []}}},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        }))
        .unwrap()
    }

    #[test]
    fn each_sandbox_is_counted_once() {
        let all = [
            sandbox("SandboxClaim", "True"),
            sandbox("SandboxClaim", "False"),
            sandbox("SandboxWarmPool", "True"),
            sandbox("SandboxWarmPool", "False"),
        ];
        let mut counts = Sandboxes::default();
        for sandbox in &all {
            counts.count(objects::sandbox_is_claimed(sandbox), objects::sandbox_is_ready(sandbox));
        }
        assert_eq!(counts, Sandboxes { claimed: 2, warm: 1, starting: 1 });
    }
}
