//! Persistent volume claims: a claim of no class, or of class `sandbank-local`, is bound to a folder in the data dir.

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{
    PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// The class of the folders made here.
const CLASS: &str = "sandbank-local";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

/// Why a pod's claim can't be used yet, or at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClaimError {
    /// No such claim.
    #[error("persistentvolumeclaim {0:?} not found")]
    NotFound(String),
    /// It has no volume yet.
    #[error("persistentvolumeclaim {0:?} is not bound yet")]
    Unbound(String),
    /// Nobody here will bind it.
    #[error("persistentvolumeclaim {name:?} is not bound: {why}")]
    Refused {
        /// Its name.
        name: String,
        /// What it asks for that is not done here.
        why: String,
    },
    /// Its volume is of a kind this node can't mount.
    #[error("persistentvolumeclaim {0:?}: only hostPath and local volumes are done")]
    Kind(String),
    /// The API server.
    #[error("reading persistentvolumeclaim: {0}")]
    Api(#[from] Box<kube::Error>),
}

/// The folder of a bound claim.
pub(crate) async fn claim_folder(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<PathBuf, ClaimError> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let claim = claims.get_opt(name).await.map_err(Box::new)?;
    let claim = claim.ok_or_else(|| ClaimError::NotFound(name.into()))?;
    let spec = claim.spec.unwrap_or_default();
    let Some(volume) = spec.volume_name.as_ref().filter(|v| !v.is_empty()) else {
        let name = name.to_owned();
        return Err(match refusal(&spec) {
            Some(why) => ClaimError::Refused { name, why },
            None => ClaimError::Unbound(name),
        });
    };
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let volume = volumes.get_opt(volume).await.map_err(Box::new)?;
    let source = volume.ok_or_else(|| ClaimError::Unbound(name.into()))?.spec;
    source
        .and_then(|s| s.host_path.map(|h| h.path).or(s.local.map(|l| l.path)))
        .map(PathBuf::from)
        .ok_or_else(|| ClaimError::Kind(name.into()))
}

/// Binds claims as they appear and reclaims volumes as claims go, until told to stop.
pub(crate) async fn run(client: Client, data_dir: PathBuf, stop: CancellationToken) {
    let folders = data_dir.join("volumes");
    let claims: Api<PersistentVolumeClaim> = Api::all(client.clone());
    let mut events = std::pin::pin!(watcher(claims, watcher::Config::default()).default_backoff());
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return,
            event = events.next() => event,
        };
        let done = match event {
            None => return,
            Some(Ok(watcher::Event::Apply(claim) | watcher::Event::InitApply(claim))) => {
                bind(&client, &claim, &folders).await
            }
            // After the initial list, and on each deletion, what has no claim any more is known.
            Some(Ok(watcher::Event::InitDone | watcher::Event::Delete(_))) => {
                reclaim(&client, &folders, &data_dir.join("trash")).await
            }
            Some(Ok(watcher::Event::Init)) => Ok(()),
            Some(Err(error)) => {
                debug!(%error, "watching persistentvolumeclaims");
                Ok(())
            }
        };
        if let Err(error) = done {
            warn!(%error, "provisioning local volumes");
        }
    }
}

/// Why a claim is not ours to bind, if it isn't.
fn refusal(spec: &PersistentVolumeClaimSpec) -> Option<String> {
    let class = spec.storage_class_name.as_deref().unwrap_or_default();
    if !matches!(class, "" | CLASS) {
        return Some(format!("this node does not do spec.storageClassName: {class}"));
    }
    let fields = [
        (spec.volume_mode.as_deref() == Some("Block"), "volumeMode: Block"),
        (spec.selector.is_some(), "selector"),
        (spec.data_source.is_some() || spec.data_source_ref.is_some(), "dataSource"),
    ];
    let mut refused = fields.iter().filter(|(asked, _)| *asked).map(|(_, field)| field);
    refused.next().map(|field| format!("this node does not do spec.{field}"))
}

async fn bind(
    client: &Client,
    claim: &PersistentVolumeClaim,
    folders: &Path,
) -> Result<(), kube::Error> {
    let (Some(spec), Some(uid), Some(namespace)) = (&claim.spec, claim.uid(), claim.namespace())
    else {
        return Ok(());
    };
    let phase = claim.status.as_ref().and_then(|s| s.phase.as_deref());
    let named = spec.volume_name.as_deref().unwrap_or_default();
    let name = format!("pvc-{uid}");
    if refusal(spec).is_some()
        || phase == Some("Bound")
        || claim.metadata.deletion_timestamp.is_some()
    {
        return Ok(());
    }
    if !named.is_empty() && named != name {
        // Somebody's own volume was asked for; whoever made it binds it.
        return Ok(());
    }
    let folder = folders.join(&name);
    // Any user of the pod may write to it; who else could is kept out by the data dir's own mode.
    let open = std::fs::Permissions::from_mode(0o777);
    let made =
        std::fs::create_dir_all(&folder).and_then(|()| std::fs::set_permissions(&folder, open));
    if let Err(error) = made {
        warn!(%error, folder = %folder.display(), "making a volume");
        return Ok(());
    }
    let size = spec.resources.as_ref().and_then(|r| r.requests.as_ref());
    let size = size.and_then(|r| r.get("storage")).map_or("0".to_owned(), |q| q.0.clone());
    let modes = spec.access_modes.clone().unwrap_or_default();
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": { "name": name, "annotations": { PROVISIONED_BY: CLASS } },
        "spec": {
            "capacity": { "storage": size },
            "accessModes": modes,
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": spec.storage_class_name.clone().unwrap_or_default(),
            "volumeMode": "Filesystem",
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "namespace": namespace, "name": claim.name_any(), "uid": uid,
            },
            "hostPath": { "path": folder, "type": "Directory" },
        },
    });
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let volume = serde_json::from_value(volume).map_err(kube::Error::SerdeError)?;
    match volumes.create(&PostParams::default(), &volume).await {
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        answer => drop(answer?),
    }
    let bound = Patch::Merge(json!({ "status": { "phase": "Bound" } }));
    volumes.patch_status(&name, &PatchParams::default(), &bound).await?;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &namespace);
    let to = Patch::Merge(json!({ "metadata": { "uid": uid }, "spec": { "volumeName": name } }));
    claims.patch(&claim.name_any(), &PatchParams::default(), &to).await?;
    let status = json!({ "metadata": { "uid": uid }, "status": {
        "phase": "Bound", "accessModes": modes, "capacity": { "storage": size },
    }});
    claims.patch_status(&claim.name_any(), &PatchParams::default(), &Patch::Merge(status)).await?;
    Ok(())
}

/// Removes our volumes whose claim is gone, and their folders.
async fn reclaim(client: &Client, folders: &Path, trash: &Path) -> Result<(), kube::Error> {
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let claims: Api<PersistentVolumeClaim> = Api::all(client.clone());
    let list = claims.list(&ListParams::default()).await?;
    let alive: BTreeMap<String, ()> =
        list.iter().filter_map(|c| c.uid().map(|u| (u, ()))).collect();
    for volume in volumes.list(&ListParams::default()).await? {
        let spec = volume.spec.as_ref();
        let claim = spec.and_then(|s| s.claim_ref.as_ref()).and_then(|c| c.uid.clone());
        let policy = spec.and_then(|s| s.persistent_volume_reclaim_policy.as_deref());
        let ours = volume.annotations().get(PROVISIONED_BY).is_some_and(|by| by == CLASS);
        if !ours || claim.is_none_or(|uid| alive.contains_key(&uid)) {
            continue;
        }
        let name = volume.name_any();
        if policy == Some("Delete") {
            volumes.delete(&name, &DeleteParams::default()).await?;
            crate::image::discard(&folders.join(&name), trash);
        } else {
            let released = Patch::Merge(json!({ "status": { "phase": "Released" } }));
            volumes.patch_status(&name, &PatchParams::default(), &released).await?;
        }
    }
    Ok(())
}
