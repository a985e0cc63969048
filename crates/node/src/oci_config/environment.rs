//! A container's environment: the image's, then `envFrom`, then `env`, each able to use what came before.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    ConfigMap, Container, EnvVar, EnvVarSource, Pod, PodSpec, ResourceFieldSelector, Secret,
};

use super::expand;
use crate::{downward, image::ImageDefaults};

/// The configMaps and secrets of the pod's namespace that it names, as they are now; absent ones are not in the map.
#[derive(Clone, Debug, Default)]
pub(crate) struct References {
    /// By name.
    pub(crate) config_maps: BTreeMap<String, ConfigMap>,
    /// By name.
    pub(crate) secrets: BTreeMap<String, Secret>,
}

/// Why an environment can't be made; the message of CreateContainerConfigError.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EnvError {
    /// A configMap or secret that isn't there and isn't optional.
    #[error("{kind} {name:?} not found")]
    NoObject {
        /// `configmap` or `secret`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A key that isn't in it.
    #[error("couldn't find key {key} in {kind} {name}")]
    NoKey {
        /// `ConfigMap` or `Secret`.
        kind: &'static str,
        /// Namespace and name.
        name: String,
        /// The key.
        key: String,
    },
    /// A field of the pod that can't be an environment variable.
    #[error("unsupported fieldPath: {0}")]
    Field(String),
    /// A resource that can't be.
    #[error("unsupported container resource: {0}")]
    Resource(String),
}

impl References {
    /// Names of the configMaps and of the secrets that a pod's containers and volumes name.
    pub(crate) fn named(spec: &PodSpec) -> (BTreeSet<String>, BTreeSet<String>) {
        let (mut maps, mut secrets) = (BTreeSet::new(), BTreeSet::new());
        for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
            for from in container.env_from.iter().flatten() {
                maps.extend(from.config_map_ref.iter().map(|r| r.name.clone()));
                secrets.extend(from.secret_ref.iter().map(|r| r.name.clone()));
            }
            for source in container.env.iter().flatten().filter_map(|e| e.value_from.as_ref()) {
                maps.extend(source.config_map_key_ref.iter().map(|r| r.name.clone()));
                secrets.extend(source.secret_key_ref.iter().map(|r| r.name.clone()));
            }
        }
        for volume in spec.volumes.iter().flatten() {
            maps.extend(volume.config_map.iter().map(|r| r.name.clone()));
            secrets.extend(volume.secret.iter().filter_map(|r| r.secret_name.clone()));
            let projected = volume.projected.iter().flat_map(|p| p.sources.iter().flatten());
            for source in projected {
                maps.extend(source.config_map.iter().map(|r| r.name.clone()));
                secrets.extend(source.secret.iter().map(|r| r.name.clone()));
            }
        }
        (maps, secrets)
    }
}

/// The environment of a container.
pub(crate) fn environment(
    pod: &Pod,
    container: &Container,
    image: &ImageDefaults,
    references: &References,
    ips: &downward::Addresses,
) -> Result<BTreeMap<String, String>, EnvError> {
    let mut env = BTreeMap::new();
    for line in image.env.iter().flatten() {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        env.insert(name.to_owned(), value.to_owned());
    }
    env.entry("PATH".to_owned())
        .or_insert_with(|| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into());
    if container.tty == Some(true) {
        env.insert("TERM".into(), "xterm".into());
    }
    if let Some(name) = pod.metadata.name.as_deref() {
        let host = pod.spec.as_ref().and_then(|s| s.hostname.as_deref()).unwrap_or(name);
        env.insert("HOSTNAME".into(), host.to_owned());
    }
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        if let Some(source) = &from.config_map_ref {
            match references.config_maps.get(&source.name) {
                Some(map) => env.extend(
                    map.data.iter().flatten().map(|(k, v)| (format!("{prefix}{k}"), v.clone())),
                ),
                None if source.optional == Some(true) => {}
                None => return Err(missing("configmap", &source.name)),
            }
        }
        if let Some(source) = &from.secret_ref {
            match references.secrets.get(&source.name) {
                Some(secret) => env.extend(secret.data.iter().flatten().map(|(k, v)| {
                    (format!("{prefix}{k}"), String::from_utf8_lossy(&v.0).into_owned())
                })),
                None if source.optional == Some(true) => {}
                None => return Err(missing("secret", &source.name)),
            }
        }
    }
    for EnvVar { name, value, value_from } in container.env.iter().flatten() {
        let value = match value_from {
            None => Some(expand(value.as_deref().unwrap_or_default(), &env)),
            Some(source) => from_source(source, pod, container, references, ips)?,
        };
        // An optional key that isn't there leaves the variable unset.
        if let Some(value) = value {
            env.insert(name.clone(), value);
        }
    }
    Ok(env)
}

fn from_source(
    source: &EnvVarSource,
    pod: &Pod,
    container: &Container,
    references: &References,
    ips: &downward::Addresses,
) -> Result<Option<String>, EnvError> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    if let Some(field) = &source.field_ref {
        return match downward::field(pod, &field.field_path, ips) {
            Some(value) => Ok(Some(value)),
            None => Err(EnvError::Field(field.field_path.clone())),
        };
    }
    if let Some(resource) = &source.resource_field_ref {
        return resource_value(pod, container, resource).map(Some);
    }
    if let Some(key) = &source.config_map_key_ref {
        let optional = key.optional == Some(true);
        let Some(map) = references.config_maps.get(&key.name) else {
            return if optional { Ok(None) } else { Err(missing("configmap", &key.name)) };
        };
        let value = map.data.as_ref().and_then(|d| d.get(&key.key)).cloned();
        return found(value, optional, "ConfigMap", namespace, &key.name, &key.key);
    }
    if let Some(key) = &source.secret_key_ref {
        let optional = key.optional == Some(true);
        let Some(secret) = references.secrets.get(&key.name) else {
            return if optional { Ok(None) } else { Err(missing("secret", &key.name)) };
        };
        let value = secret.data.as_ref().and_then(|d| d.get(&key.key));
        let value = value.map(|v| String::from_utf8_lossy(&v.0).into_owned());
        return found(value, optional, "Secret", namespace, &key.name, &key.key);
    }
    Ok(Some(String::new()))
}

fn found(
    value: Option<String>,
    optional: bool,
    kind: &'static str,
    namespace: &str,
    name: &str,
    key: &str,
) -> Result<Option<String>, EnvError> {
    if value.is_some() || optional {
        return Ok(value);
    }
    Err(EnvError::NoKey { kind, name: format!("{namespace}/{name}"), key: key.into() })
}

/// A limit or request, of this container or of the one named.
pub(crate) fn resource_value(
    pod: &Pod,
    container: &Container,
    selector: &ResourceFieldSelector,
) -> Result<String, EnvError> {
    let named = selector.container_name.as_deref().filter(|name| !name.is_empty());
    let container = match (named, &pod.spec) {
        (Some(name), Some(spec)) => {
            spec.containers.iter().find(|c| c.name == name).unwrap_or(container)
        }
        _ => container,
    };
    downward::resource(container, &selector.resource, selector.divisor.as_ref())
        .ok_or_else(|| EnvError::Resource(selector.resource.clone()))
}

fn missing(kind: &'static str, name: &str) -> EnvError {
    EnvError::NoObject { kind, name: name.into() }
}
