//! `sandbank pool ls`: the warm pools and how full they are.

use dialects::condition::Condition;
use dialects::x_k8s::types::UpdateStrategyType;
use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::ListParams;
use serde::Serialize;

use super::connect::Server;
use super::objects::{self, Pool, Scope};
use crate::cli::Global;
use crate::exit::Error;
use crate::output;
use crate::table::Table;

/// What to do with pools.
#[derive(Debug, clap::Subcommand)]
pub enum PoolVerb {
    /// List the warm pools and how full they are
    Ls(LsArgs),
}

/// Flags of `sandbank pool ls`.
#[derive(Debug, clap::Args)]
pub struct LsArgs {
    /// The pools of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
}

/// One pool, as shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolRow {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The template it keeps warm.
    pub template: String,
    /// How it follows template changes.
    pub strategy: UpdateStrategyType,
    /// How many it shall have.
    pub desired: u32,
    /// How many it has.
    pub current: u32,
    /// How many of those can be claimed at once.
    pub ready: u32,
    /// How many have the template as it is now.
    pub updated: u32,
    /// What goes on: the conditions that say more than "all is well".
    pub state: String,
    /// Since when it exists.
    pub age: String,
}

/// Runs a verb of pools.
pub async fn run(global: &Global, verb: PoolVerb) -> Result<(), Error> {
    let PoolVerb::Ls(args) = verb;
    let scope = if args.all_namespaces { Scope::Everywhere } else { Scope::Namespace };
    let server = Server::connect(global).await?;
    let rows = rows(&server, scope).await?;
    output::answer(global.output, &rows, || {
        if rows.is_empty() {
            let place = match scope {
                Scope::Everywhere => "any namespace".to_owned(),
                Scope::Namespace => format!("namespace {}", server.namespace),
            };
            return format!(
                "no pools in {place} yet; `kubectl apply -f examples/quickstart` makes one"
            );
        }
        table(&rows, scope).render()
    })
}

/// The pools, by namespace and name.
pub async fn rows(server: &Server, scope: Scope) -> Result<Vec<PoolRow>, Error> {
    let pools = server.pools(scope).list(&ListParams::default()).await.map_err(|e| {
        server.explain("listing pools", "`sandbank crds` prints what to install", e)
    })?;
    let now = Timestamp::now();
    let mut rows: Vec<PoolRow> = pools.items.iter().map(|pool| row(pool, now)).collect();
    rows.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    Ok(rows)
}

fn row(pool: &Pool, now: Timestamp) -> PoolRow {
    let status = pool.status.clone().unwrap_or_default();
    PoolRow {
        namespace: pool.namespace().unwrap_or_default(),
        name: pool.name_any(),
        template: pool.spec.sandbox_template_ref.name.clone(),
        strategy: pool.spec.update_strategy.as_ref().and_then(|s| s.kind).unwrap_or_default(),
        desired: pool.spec.replicas.unwrap_or(1),
        current: status.replicas,
        ready: status.ready_replicas,
        updated: status.updated_replicas,
        state: state(&status.conditions),
        age: objects::age(&pool.metadata, now),
    }
}

/// The reasons of the conditions, each once.
fn state(conditions: &[Condition]) -> String {
    let mut reasons: Vec<&str> = conditions.iter().map(|c| c.reason.as_str()).collect();
    reasons.dedup();
    reasons.join(",")
}

/// The table of pools.
pub fn table(rows: &[PoolRow], scope: Scope) -> Table {
    let mut titles = vec![
        "NAME", "TEMPLATE", "STRATEGY", "READY", "UPDATED", "CURRENT", "DESIRED", "STATE", "AGE",
    ];
    if scope == Scope::Everywhere {
        titles.insert(0, "NAMESPACE");
    }
    let mut table = Table::new(titles);
    for row in rows {
        let namespace = (scope == Scope::Everywhere).then(|| row.namespace.clone());
        table.row(namespace.into_iter().chain([
            row.name.clone(),
            row.template.clone(),
            format!("{:?}", row.strategy),
            row.ready.to_string(),
            row.updated.to_string(),
            row.current.to_string(),
            row.desired.to_string(),
            row.state.clone(),
            row.age.clone(),
        ]));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(json: serde_json::Value) -> Pool {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_pool_without_status_is_shown_with_zeros_and_defaults() {
        let bare = pool(serde_json::json!({
            "apiVersion": "extensions.agents.x-k8s.io/v1beta1", "kind": "SandboxWarmPool",
            "metadata": {"name": "p", "namespace": "default"},
            "spec": {"sandboxTemplateRef": {"name": "t"}, "fieldOfTomorrow": 1},
        }));
        let rows = [row(&bare, Timestamp::UNIX_EPOCH)];
        assert_eq!(
            table(&rows, Scope::Namespace).render(),
            "NAME   TEMPLATE   STRATEGY      READY   UPDATED   CURRENT   DESIRED   STATE   AGE\n\
             p      t          OnReplenish   0       0         0         1                 <unknown>"
        );
    }

    #[test]
    fn reasons_of_conditions_are_the_state() {
        let rolling = pool(serde_json::json!({
            "metadata": {"name": "p", "namespace": "default"},
            "spec": {"replicas": 3, "updateStrategy": {"type": "RollingUpdate"},
                     "sandboxTemplateRef": {"name": "t"}},
            "status": {"replicas": 4, "readyReplicas": 3, "conditions": [
                {"type": "Available", "status": "True", "reason": "Filled", "message": "3 of 3"},
                {"type": "Progressing", "status": "True", "reason": "RollingOut", "message": "1 of 3"}]},
        }));
        let row = row(&rolling, Timestamp::UNIX_EPOCH);
        assert_eq!((row.ready, row.current, row.desired), (3, 4, 3));
        assert_eq!(row.state, "Filled,RollingOut");
    }
}
