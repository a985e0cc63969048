//! `sandbank crds`: the definitions to install in a cluster of one's own. `sandbank up` has them built in.

use anyhow::Context;
use dialects::crds::crds;
use serde_json::json;

use crate::cli::Global;
use crate::exit::Error;
use crate::output::{self, Format};

/// Prints them in a form that `kubectl apply --server-side -f -` takes: YAML documents, or one JSON list.
pub fn run(global: &Global) -> Result<(), Error> {
    let definitions = crds();
    match global.output {
        Format::Text => {
            let yaml = serde_saphyr::to_string_multiple(&definitions);
            output::line(yaml.context("cannot write the definitions as YAML")?.trim_end())
        }
        Format::Json => {
            output::json(&json!({"apiVersion": "v1", "kind": "List", "items": definitions}))
        }
    }
}
