//! Volumes: folders of the pod, of the machine or in memory, prepared before the first container and seen by all of them.

mod files;
mod host_path;
mod provision;

pub(crate) use provision::{ClaimError, claim_folder, run as provision};

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use k8s_openapi::api::core::v1::{Container, Pod, Volume};

use crate::{
    downward::Addresses,
    oci_config::{Bind, EnvError, References, expand},
    quantity::whole,
    runtime::PodMount,
    sub_path,
};

/// Why a volume can't be had; the message of FailedMount.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VolumeError {
    /// A file operation.
    #[error("volume {volume:?}: {attempted} {path}: {source}")]
    Io {
        /// The volume.
        volume: String,
        /// What was attempted.
        attempted: &'static str,
        /// On what.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A configMap, secret or key that isn't there.
    #[error("MountVolume.SetUp failed for volume {volume:?} : {source}")]
    Missing {
        /// The volume.
        volume: String,
        /// What is missing.
        source: EnvError,
    },
    /// A hostPath that is not what it was said to be.
    #[error("volume {volume:?}: hostPath type check failed: {path} is not a {wanted}")]
    Type {
        /// The volume.
        volume: String,
        /// Where.
        path: PathBuf,
        /// What was asked for.
        wanted: String,
    },
    /// A container mounts a volume the pod does not have.
    #[error("volume mount {0:?} names no volume of the pod")]
    Unknown(String),
    /// A path inside a volume that leaves it.
    #[error("volume {volume:?}: subPath {sub_path:?} leaves the volume or can't be made: {source}")]
    SubPath {
        /// The volume.
        volume: String,
        /// As written.
        sub_path: String,
        /// The reason.
        source: io::Error,
    },
}

/// What volumes are made of, besides the pod.
pub(crate) struct Sources<'a> {
    /// ConfigMaps and secrets.
    pub(crate) references: &'a References,
    /// The pod's addresses, for files of the downward API.
    pub(crate) addresses: &'a Addresses,
    /// Folders of the pod's bound claims, by claim name.
    pub(crate) claims: &'a BTreeMap<String, PathBuf>,
}

/// The volumes of a pod.
#[derive(Clone, Debug, Default)]
pub(crate) struct Volumes {
    paths: BTreeMap<String, PathBuf>,
    read_only: Vec<String>,
    /// Mounts that the runtime makes in the pod.
    pub(crate) mounts: Vec<PodMount>,
}

/// Prepares every volume below `dir`. Doing it again is harmless, and refreshes what is made of API objects.
pub(crate) fn prepare(
    pod: &Pod,
    dir: &Path,
    sources: &Sources<'_>,
) -> Result<Volumes, VolumeError> {
    let mut volumes = Volumes::default();
    let Some(spec) = &pod.spec else { return Ok(volumes) };
    let group = spec.security_context.as_ref().and_then(|s| s.fs_group);
    let group = group.and_then(|g| u32::try_from(g).ok());
    for volume in spec.volumes.iter().flatten() {
        let own = dir.join(&volume.name);
        let path = if let Some(empty) = &volume.empty_dir {
            make_shared(&volume.name, &own, group)?;
            if empty.medium.as_deref() == Some("Memory") {
                volumes.mounts.push(PodMount::Tmpfs {
                    target: own.clone(),
                    size_bytes: empty.size_limit.as_ref().and_then(|q| whole(&q.0)),
                });
            }
            own
        } else if let Some(host) = &volume.host_path {
            host_path::check(&volume.name, host)?
        } else if let Some(claim) = &volume.persistent_volume_claim {
            let Some(path) = sources.claims.get(&claim.claim_name) else {
                return Err(VolumeError::Unknown(claim.claim_name.clone()));
            };
            if claim.read_only == Some(true) {
                volumes.read_only.push(volume.name.clone());
            }
            make_shared(&volume.name, path, group)?;
            path.clone()
        } else {
            let wanted = files::of(pod, volume, sources)?;
            files::write(&own, &wanted, group).map_err(io_error(&volume.name, "writing", &own))?;
            volumes.read_only.push(volume.name.clone());
            own
        };
        volumes.paths.insert(volume.name.clone(), path);
    }
    Ok(volumes)
}

/// Whether some volume follows a configMap or secret that may change.
pub(crate) fn changes(pod: &Pod) -> bool {
    let volumes = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    let follows = |v: &Volume| {
        v.config_map.is_some()
            || v.secret.is_some()
            || v.projected.is_some()
            || v.downward_api.is_some()
    };
    volumes.into_iter().any(follows)
}

impl Volumes {
    /// What a container sees of the volumes.
    pub(crate) fn binds(
        &self,
        container: &Container,
        env: &BTreeMap<String, String>,
    ) -> Result<Vec<Bind>, VolumeError> {
        let mut binds = Vec::new();
        for mount in container.volume_mounts.iter().flatten() {
            let path = self
                .paths
                .get(&mount.name)
                .ok_or_else(|| VolumeError::Unknown(mount.name.clone()))?;
            let part = match (&mount.sub_path, &mount.sub_path_expr) {
                (Some(sub), _) if !sub.is_empty() => sub.clone(),
                (_, Some(expression)) => expand(expression, env),
                _ => String::new(),
            };
            if !part.is_empty() {
                // Only to say early what is wrong with it: what is mounted is found again by whoever mounts it.
                sub_path::open(path, &part).map_err(|source| VolumeError::SubPath {
                    volume: mount.name.clone(),
                    sub_path: part.clone(),
                    source,
                })?;
            }
            binds.push(Bind {
                source: path.clone(),
                sub_path: Some(part).filter(|part| !part.is_empty()),
                target: mount.mount_path.clone(),
                read_only: mount.read_only == Some(true) || self.read_only.contains(&mount.name),
            });
        }
        Ok(binds)
    }
}

/// A folder every user of the pod may write to; with an fsGroup it belongs to that group, and so does what is made in it.
fn make_shared(volume: &str, path: &Path, group: Option<u32>) -> Result<(), VolumeError> {
    let made = path.is_dir();
    fs::create_dir_all(path).map_err(io_error(volume, "making", path))?;
    if let Some(group) = group {
        std::os::unix::fs::chown(path, None, Some(group)).map_err(io_error(
            volume,
            "changing the group of",
            path,
        ))?;
    }
    // A folder that was there, a claim's for one, keeps its mode, but its group must get in.
    let mode = match group {
        None if made => return Ok(()),
        None => 0o777,
        Some(_) if made => {
            let there = fs::metadata(path).map_err(io_error(volume, "looking at", path))?;
            there.permissions().mode() | 0o2770
        }
        Some(_) => 0o2777,
    };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(io_error(
        volume,
        "changing the mode of",
        path,
    ))?;
    Ok(())
}

fn io_error(
    volume: &str,
    attempted: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> VolumeError {
    let (volume, path) = (volume.to_owned(), path.to_owned());
    move |source| VolumeError::Io { volume, attempted, path, source }
}

#[cfg(test)]
mod tests;
