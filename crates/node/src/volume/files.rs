//! Volumes made of API objects: configMap, secret, downward API, and projections of them.
//!
//! Readers see one consistent set of files: a new set is written to a folder of its own, and one rename of the link `..data`
//! replaces the old set.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Component, Path},
};

use k8s_openapi::api::core::v1::{
    ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, Secret, Volume,
};

use super::{Sources, VolumeError};
use crate::{
    downward,
    oci_config::{EnvError, References},
};

/// A file to be: its bytes and mode.
type Files = BTreeMap<String, (Vec<u8>, u32)>;

/// Readable by all, as the API documents.
const DEFAULT_MODE: i32 = 0o644;

/// The files of a volume that is neither a folder nor a claim.
pub(super) fn of(pod: &Pod, volume: &Volume, from: &Sources<'_>) -> Result<Files, VolumeError> {
    let mut files = Files::new();
    let collected = if let Some(map) = &volume.config_map {
        let mode = map.default_mode.unwrap_or(DEFAULT_MODE);
        config_map(&mut files, from.references, &map.name, &map.items, map.optional, mode)
    } else if let Some(source) = &volume.secret {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        let name = source.secret_name.as_deref().unwrap_or_default();
        secret(&mut files, from.references, name, &source.items, source.optional, mode)
    } else if let Some(down) = &volume.downward_api {
        let mode = down.default_mode.unwrap_or(DEFAULT_MODE);
        downward_files(&mut files, pod, &down.items, from, mode)
    } else if let Some(projected) = &volume.projected {
        let mode = projected.default_mode.unwrap_or(DEFAULT_MODE);
        let mut each = || {
            for source in projected.sources.iter().flatten() {
                if let Some(m) = &source.config_map {
                    config_map(&mut files, from.references, &m.name, &m.items, m.optional, mode)?;
                }
                if let Some(s) = &source.secret {
                    secret(&mut files, from.references, &s.name, &s.items, s.optional, mode)?;
                }
                if let Some(down) = &source.downward_api {
                    downward_files(&mut files, pod, &down.items, from, mode)?;
                }
            }
            Ok(())
        };
        each()
    } else {
        return Err(VolumeError::Unknown(volume.name.clone()));
    };
    collected.map_err(|source| VolumeError::Missing { volume: volume.name.clone(), source })?;
    Ok(files)
}

fn config_map(
    files: &mut Files,
    references: &References,
    name: &str,
    items: &Option<Vec<KeyToPath>>,
    optional: Option<bool>,
    mode: i32,
) -> Result<(), EnvError> {
    let Some(ConfigMap { data, binary_data, .. }) = references.config_maps.get(name) else {
        return absent("configmap", name, optional);
    };
    let text = data.iter().flatten().map(|(k, v)| (k.clone(), v.clone().into_bytes()));
    let binary = binary_data.iter().flatten().map(|(k, v)| (k.clone(), v.0.clone()));
    pick(files, text.chain(binary).collect(), items, optional, mode, ("ConfigMap", name))
}

fn secret(
    files: &mut Files,
    references: &References,
    name: &str,
    items: &Option<Vec<KeyToPath>>,
    optional: Option<bool>,
    mode: i32,
) -> Result<(), EnvError> {
    let Some(Secret { data, .. }) = references.secrets.get(name) else {
        return absent("secret", name, optional);
    };
    let data = data.iter().flatten().map(|(k, v)| (k.clone(), v.0.clone())).collect();
    pick(files, data, items, optional, mode, ("Secret", name))
}

fn absent(kind: &'static str, name: &str, optional: Option<bool>) -> Result<(), EnvError> {
    if optional == Some(true) {
        return Ok(());
    }
    Err(EnvError::NoObject { kind, name: name.into() })
}

/// All keys, or the listed ones under the listed paths.
fn pick(
    files: &mut Files,
    mut data: BTreeMap<String, Vec<u8>>,
    items: &Option<Vec<KeyToPath>>,
    optional: Option<bool>,
    mode: i32,
    (kind, name): (&'static str, &str),
) -> Result<(), EnvError> {
    let Some(items) = items.as_ref().filter(|items| !items.is_empty()) else {
        files.extend(data.into_iter().map(|(key, bytes)| (key, (bytes, mode as u32))));
        return Ok(());
    };
    for item in items {
        match data.remove(&item.key) {
            Some(bytes) => {
                let mode = item.mode.unwrap_or(mode) as u32;
                files.insert(item.path.clone(), (bytes, mode));
            }
            None if optional == Some(true) => {}
            None => {
                let (name, key) = (name.to_owned(), item.key.clone());
                return Err(EnvError::NoKey { kind, name, key });
            }
        }
    }
    Ok(())
}

fn downward_files(
    files: &mut Files,
    pod: &Pod,
    items: &Option<Vec<DownwardAPIVolumeFile>>,
    from: &Sources<'_>,
    mode: i32,
) -> Result<(), EnvError> {
    for item in items.iter().flatten() {
        let text = if let Some(field) = &item.field_ref {
            downward::field(pod, &field.field_path, from.addresses)
                .ok_or_else(|| EnvError::Field(field.field_path.clone()))?
        } else if let (Some(selector), Some(first)) =
            (&item.resource_field_ref, pod.spec.as_ref().and_then(|s| s.containers.first()))
        {
            crate::oci_config::resource_value(pod, first, selector)?
        } else {
            continue;
        };
        files.insert(item.path.clone(), (text.into_bytes(), item.mode.unwrap_or(mode) as u32));
    }
    Ok(())
}

/// Writes a set of files, unless the present set is the same.
pub(super) fn write(volume: &Path, wanted: &Files, group: Option<u32>) -> io::Result<()> {
    fs::create_dir_all(volume)?;
    fs::set_permissions(volume, fs::Permissions::from_mode(0o755))?;
    let current = volume.join("..data");
    if current.exists() && same(&current, wanted) {
        return Ok(());
    }
    let old = fs::read_link(&current).ok();
    let set = format!("..{:016x}", fastrand::u64(..));
    let folder = volume.join(&set);
    fs::create_dir(&folder)?;
    for (name, (bytes, mode)) in wanted {
        let path = folder.join(harmless(name)?);
        if let Some(above) = path.parent() {
            fs::create_dir_all(above)?;
        }
        fs::write(&path, bytes)?;
        let mut mode = *mode;
        if group.is_some() {
            std::os::unix::fs::chown(&path, None, group)?;
            mode |= 0o440;
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    let link = volume.join("..data_tmp");
    // What a killed predecessor left.
    let _ = fs::remove_file(&link);
    symlink(&set, &link)?;
    fs::rename(&link, &current)?;
    for top in tops(wanted) {
        let link = volume.join(&top);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new("..data").join(&top), &link)?;
        }
    }
    for entry in fs::read_dir(volume)?.flatten() {
        let name = entry.file_name();
        let gone =
            name.to_str().is_some_and(|n| !n.starts_with("..") && !tops(wanted).any(|t| t == n));
        if gone {
            fs::remove_file(entry.path())?;
        }
    }
    match old {
        Some(old) => fs::remove_dir_all(volume.join(old)),
        None => Ok(()),
    }
}

fn tops(files: &Files) -> impl Iterator<Item = String> {
    files.keys().filter_map(|name| name.split('/').find(|p| !p.is_empty()).map(str::to_owned))
}

fn same(folder: &Path, wanted: &Files) -> bool {
    let all = wanted.iter().all(|(name, (bytes, _))| {
        fs::read(folder.join(name)).is_ok_and(|present| present == *bytes)
    });
    all && count(folder) == wanted.len()
}

fn count(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|e| if e.path().is_dir() { count(&e.path()) } else { 1 }).sum()
}

/// A relative path that stays where it is put. The API server checks this too; files are written by root, so it is checked here.
fn harmless(name: &str) -> io::Result<&Path> {
    let path = Path::new(name);
    let normal = path.components().all(|c| matches!(c, Component::Normal(_)));
    if normal && !name.is_empty() && !name.starts_with("..") {
        return Ok(path);
    }
    Err(io::Error::other(format!("{name:?} is no path inside a volume")))
}
