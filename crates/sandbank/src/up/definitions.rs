//! The kinds that sandbank adds to its own API server, kept at this program's version of them.

use anyhow::Context;
use dialects::x_k8s;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};

use crate::exit::Error;

/// Creates or updates every definition, and waits for none: the server serves a kind as soon as it is stored.
pub async fn install(client: &kube::Client) -> Result<(), Error> {
    let kind = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::from_gvk(&kind));
    for definition in x_k8s::crds() {
        let object: DynamicObject =
            serde_json::from_value(definition).context("a definition is not an object")?;
        let name = object.metadata.name.clone().unwrap_or_default();
        match api.create(&PostParams::default(), &object).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 409 => {
                // A merge keeps what users added to its metadata; what is equal is not written.
                api.patch(&name, &PatchParams::default(), &Patch::Merge(&object))
                    .await
                    .with_context(|| format!("cannot update the definition {name}"))?;
            }
            Err(error) => {
                return Err(anyhow::Error::new(error)
                    .context(format!("cannot install the definition {name}"))
                    .into());
            }
        }
    }
    Ok(())
}
