//! The kinds that sandbank adds to its own API server, kept at this program's version of them.

use anyhow::Context;
use futures::future::try_join_all;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::runtime::wait::{await_condition, conditions::is_crd_established};
use serde_json::Value;

use crate::exit::Error;

/// Creates or updates every definition and waits until all are served.
pub async fn install(client: &kube::Client) -> Result<(), Error> {
    try_join_all(dialects::crds::crds().into_iter().map(|definition| apply(client, definition)))
        .await?;
    Ok(())
}

async fn apply(client: &kube::Client, definition: Value) -> Result<(), Error> {
    // Untyped: a round trip through a typed definition would drop what its type does not know.
    let resource = ApiResource::erase::<CustomResourceDefinition>(&());
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
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
            let error = anyhow::Error::new(error);
            return Err(error.context(format!("cannot install the definition {name}")).into());
        }
    }
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    await_condition(definitions, &name, is_crd_established())
        .await
        .with_context(|| format!("cannot wait for the definition {name}"))?;
    Ok(())
}
