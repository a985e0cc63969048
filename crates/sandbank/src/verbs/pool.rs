//! `sandbank pool ls`: the warm pools and how full they are.

use controllers::kinds::Kind;
use dialects::condition::Condition;
use jiff::Timestamp;
use kube::ResourceExt;
use serde::{Serialize, Serializer};

use super::connect::Server;
use super::objects::{self, Pool, Scope, kruise, list_served};
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
    /// Its kind.
    #[serde(serialize_with = "name_of_kind")]
    pub kind: Kind,
    /// The template it keeps warm; nothing if it is its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// How it follows template changes.
    pub strategy: String,
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

fn name_of_kind<S: Serializer>(kind: &Kind, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(kind.name())
}

/// The pools of all families, by namespace and name.
pub async fn rows(server: &Server, scope: Scope) -> Result<Vec<PoolRow>, Error> {
    let (pools, sets) = (server.pools(scope), server.sets(scope));
    let listed = tokio::try_join!(list_served(&pools), list_served(&sets));
    let next = "`sandbank crds` prints what to install";
    let (pools, sets) = listed.map_err(|e| server.explain("listing pools", next, e))?;
    if pools.is_none() && sets.is_none() {
        return Err(Error::not_found("the definition of any kind of pool", next));
    }
    let now = Timestamp::now();
    let (pools, sets) = (pools.unwrap_or_default(), sets.unwrap_or_default());
    let mut rows: Vec<PoolRow> = pools.iter().map(|pool| row(pool, now)).collect();
    rows.extend(sets.iter().map(|set| row_of_set(set, now)));
    rows.sort_by(|a, b| (&a.namespace, &a.name, a.kind).cmp(&(&b.namespace, &b.name, b.kind)));
    Ok(rows)
}

fn row(pool: &Pool, now: Timestamp) -> PoolRow {
    let status = pool.status.clone().unwrap_or_default();
    let strategy =
        pool.spec.update_strategy.as_ref().and_then(|said| said.kind).unwrap_or_default();
    PoolRow {
        namespace: pool.namespace().unwrap_or_default(),
        name: pool.name_any(),
        kind: Kind::Pool,
        template: Some(pool.spec.sandbox_template_ref.name.clone()),
        strategy: format!("{strategy:?}"),
        desired: pool.spec.replicas.unwrap_or(1),
        current: status.replicas,
        ready: status.ready_replicas,
        updated: status.updated_replicas,
        state: state(&status.conditions),
        age: objects::age(&pool.metadata, now),
    }
}

fn row_of_set(set: &kruise::Set, now: Timestamp) -> PoolRow {
    let status = set.status.clone().unwrap_or_default();
    PoolRow {
        namespace: set.namespace().unwrap_or_default(),
        name: set.name_any(),
        kind: Kind::SandboxSet,
        template: set.spec.block.template_ref.as_ref().map(|named| named.name.clone()),
        // The only one that sets have.
        strategy: "RollingUpdate".to_owned(),
        desired: set.spec.replicas,
        current: status.replicas,
        ready: status.available_replicas,
        updated: status.updated_replicas,
        state: state(&status.conditions),
        age: objects::age(&set.metadata, now),
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
        "NAME", "KIND", "TEMPLATE", "STRATEGY", "READY", "UPDATED", "CURRENT", "DESIRED", "STATE",
        "AGE",
    ];
    if scope == Scope::Everywhere {
        titles.insert(0, "NAMESPACE");
    }
    let mut table = Table::new(titles);
    for row in rows {
        let namespace = (scope == Scope::Everywhere).then(|| row.namespace.clone());
        table.row(namespace.into_iter().chain([
            row.name.clone(),
            row.kind.name().to_owned(),
            row.template.clone().unwrap_or_else(|| "(its own)".to_owned()),
            row.strategy.clone(),
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
            "NAME   KIND              TEMPLATE   STRATEGY      READY   UPDATED   CURRENT   DESIRED   STATE   AGE\n\
             p      SandboxWarmPool   t          OnReplenish   0       0         0         1                 <unknown>"
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

    #[test]
    fn a_set_is_a_pool_that_is_its_own_template() {
        let set = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "s", "namespace": "default"},
            "spec": {"replicas": 3, "template": {"spec": {"containers": []}}},
            "status": {"replicas": 3, "availableReplicas": 2},
        }))
        .unwrap();
        let row = row_of_set(&set, Timestamp::UNIX_EPOCH);
        assert_eq!((row.ready, row.current, row.desired), (2, 3, 3));
        let json = serde_json::to_value(&row).unwrap();
        assert_eq!((&json["kind"], json.get("template")), (&"SandboxSet".into(), None));
    }
}
