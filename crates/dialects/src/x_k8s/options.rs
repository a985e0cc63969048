//! What an installation may choose, and what the family's other implementations have fixed.

use crate::meta::Pairs;

/// The choices. The defaults are what clients of the family are used to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Which name servers sandboxes behind the default network policy use.
    pub dns: Dns,
    /// Who may reach sandboxes behind the default network policy.
    pub router: Router,
    /// The cluster's DNS domain.
    pub cluster_domain: String,
    /// Domains, with their subdomains, under which claims may put labels on pods.
    pub allowed_label_domains: Vec<String>,
    /// Whether the autoscaler may move warm pods.
    pub evictable: bool,
}

/// Name servers for sandboxes behind the default network policy, which blocks private addresses and so the cluster's own DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dns {
    /// These.
    Servers(Vec<String>),
    /// The cluster's, where something else lets sandboxes reach it. Pod specs are left as they are.
    Cluster,
}

/// The pods that may reach sandboxes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Router {
    /// Their namespace.
    pub namespace: String,
    /// Their labels.
    pub labels: Pairs,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dns: Dns::Servers(vec!["8.8.8.8".to_owned(), "1.1.1.1".to_owned()]),
            router: Router {
                namespace: "agent-sandbox-system".to_owned(),
                labels: Pairs::from([("app".to_owned(), "sandbox-router".to_owned())]),
            },
            cluster_domain: "cluster.local".to_owned(),
            allowed_label_domains: vec!["sandbox.users.io".to_owned()],
            evictable: true,
        }
    }
}
