//! CustomResourceDefinitions: what is asked of them when they are written, and the kinds they describe.
//!
//! Serving them is the work of a loop, [`crate::definitions`].

use std::sync::Arc;

use serde_json::{Value, json};

use super::builtin;
use super::{
    ALL_VERBS, Column, Conversion, Generation, Hooks, Kind, Names, PutMissing, PutUnversioned,
    Rules, ScalePaths, Scope, Source, Status, Subresources, Version,
};
use crate::object::{ResourceId, Revision};
use crate::rest::subdomain_problem;
use crate::schema::{FieldError, Schema};

/// The most selectable fields a version may have; each is read on every change of every object that is watched.
const SELECTABLE_FIELDS: usize = 8;

pub(super) const HOOKS: Hooks = Hooks { on_create, default, on_update, validate, ..Hooks::NONE };

/// The resource that definitions are.
pub(crate) fn resource() -> ResourceId {
    ResourceId::new("apiextensions.k8s.io", "customresourcedefinitions")
}

fn on_create(definition: &mut Value) {
    definition["status"] = json!({"storedVersions": storage_of(definition)});
}

/// A version that was once stored stays on record until someone has rewritten its objects and says so.
fn on_update(definition: &mut Value, old: &Value) {
    let Some(storage) = storage_of(definition).pop() else { return };
    if definition["status"]["storedVersions"] != old["status"]["storedVersions"] {
        return;
    }
    if let Some(stored) = definition["status"]["storedVersions"].as_array_mut()
        && !stored.iter().any(|known| *known == storage)
    {
        stored.push(storage.into());
    }
}

fn storage_of(definition: &Value) -> Vec<String> {
    let versions = definition["spec"]["versions"].as_array().into_iter().flatten();
    versions
        .filter(|version| version["storage"] == true)
        .filter_map(|version| version["name"].as_str().map(str::to_owned))
        .collect()
}

fn default(definition: &mut Value) {
    let spec = &mut definition["spec"];
    let kind = spec["names"]["kind"].as_str().unwrap_or_default().to_owned();
    if kind.is_empty() {
        return;
    }
    let names = &mut spec["names"];
    builtin::default_to(names, "singular", kind.to_lowercase());
    builtin::default_to(names, "listKind", format!("{kind}List"));
    builtin::default_to(spec, "conversion", json!({"strategy": "None"}));
    for version in spec["versions"].as_array_mut().into_iter().flatten() {
        if let Some(scale) = version.pointer_mut("/subresources/scale") {
            builtin::default_to(scale, "specReplicasPath", ".spec.replicas");
            builtin::default_to(scale, "statusReplicasPath", ".status.replicas");
        }
    }
}

fn validate(definition: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let spec = &definition["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (group, plural) = (text(&spec["group"]), text(&spec["names"]["plural"]));
    let mut errors = Vec::new();
    let name = text(&definition["metadata"]["name"]);
    if name != format!("{plural}.{group}") {
        let detail = "must be spec.names.plural+\".\"+spec.group".to_string();
        errors.push(FieldError::invalid("metadata.name", name.into(), detail));
    }
    if !group.contains('.') {
        let detail = "should be a domain with at least one dot";
        errors.push(FieldError::invalid("spec.group", group.as_str().into(), detail));
    } else if let Some(problem) = subdomain_problem(&group) {
        errors.push(FieldError::invalid("spec.group", group.as_str().into(), problem));
    }
    if !matches!(spec["scope"].as_str(), Some("Namespaced" | "Cluster")) {
        let path = "spec.scope";
        errors.push(FieldError::not_supported(
            path,
            spec["scope"].clone(),
            ["Cluster", "Namespaced"],
        ));
    }
    if spec["preserveUnknownFields"] == true {
        let detail = "must be false in order to use defaults in the schema";
        errors.push(FieldError::invalid("spec.preserveUnknownFields", true.into(), detail));
    }
    check_conversion(&spec["conversion"], &mut errors);
    check_versions(spec, &mut errors);
    if let Some(old) = old {
        for path in ["/spec/group", "/spec/scope", "/spec/names/plural", "/spec/names/kind"] {
            if definition.pointer(path) != old.pointer(path) {
                let value = definition.pointer(path).cloned().unwrap_or_default();
                let path = path.trim_start_matches('/').replace('/', ".");
                errors.push(FieldError::invalid(path, value, "field is immutable"));
            }
        }
        check_stored(definition, &mut errors);
    }
    errors
}

fn check_conversion(conversion: &Value, errors: &mut Vec<FieldError>) {
    let path = "spec.conversion.strategy";
    match conversion["strategy"].as_str() {
        None | Some("None" | "Webhook") => {}
        Some(other) => {
            errors.push(FieldError::not_supported(path, other.into(), ["None", "Webhook"]));
        }
    }
}

fn check_versions(spec: &Value, errors: &mut Vec<FieldError>) {
    let versions = spec["versions"].as_array().map_or(&[][..], Vec::as_slice);
    let storages = versions.iter().filter(|version| version["storage"] == true).count();
    if storages != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid("spec.versions", spec["versions"].clone(), detail));
    }
    for (index, version) in versions.iter().enumerate() {
        let path = format!("spec.versions[{index}]");
        if versions[..index].iter().any(|other| other["name"] == version["name"]) {
            errors.push(FieldError::duplicate(format!("{path}.name"), version["name"].clone()));
        }
        let schema = &version["schema"]["openAPIV3Schema"];
        if schema.is_null() {
            let path = format!("{path}.schema.openAPIV3Schema");
            errors.push(FieldError::required(path, "schemas are required"));
        } else if let Err(found) = Schema::parse(schema, &format!("{path}.schema.openAPIV3Schema"))
        {
            errors.extend(found);
        }
        let fields = version["selectableFields"].as_array().map_or(0, Vec::len);
        if fields > SELECTABLE_FIELDS {
            let path = format!("{path}.selectableFields");
            let detail = format!("must have at most {SELECTABLE_FIELDS} items");
            errors.push(FieldError::invalid(path, fields.into(), detail));
        }
    }
}

/// A version with stored objects can't be taken away.
fn check_stored(definition: &Value, errors: &mut Vec<FieldError>) {
    let versions = definition["spec"]["versions"].as_array().map_or(&[][..], Vec::as_slice);
    let stored = definition["status"]["storedVersions"].as_array().into_iter().flatten();
    for (index, name) in stored.enumerate() {
        if !versions.iter().any(|version| version["name"] == *name) {
            let path = format!("status.storedVersions[{index}]");
            let detail = "missing from spec.versions; objects may still be stored in it";
            errors.push(FieldError::invalid(path, name.clone(), detail));
        }
    }
}

/// The kind that a definition describes. None if it does not hold together, which its validation rules out.
pub(crate) fn kind_of(definition: &Value) -> Option<Kind> {
    let spec = &definition["spec"];
    let names = &spec["names"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().map(text).collect()
    };
    let (group, plural) = (text(&spec["group"]), text(&names["plural"]));
    let mut versions: Vec<Version> = spec["versions"]
        .as_array()?
        .iter()
        .map(|version| version_of(version, &group, &names["kind"]))
        .collect();
    versions.sort_by_key(|version| std::cmp::Reverse(precedence(&version.name)));
    let conversion = match spec["conversion"]["strategy"].as_str() {
        Some("Webhook") => Conversion::InProcess,
        _ => Conversion::None,
    };
    Some(Kind {
        stored_as: ResourceId::new(&group, &plural),
        defaults_since: Revision(definition["metadata"]["resourceVersion"].as_str()?.parse().ok()?),
        singular: text(&names["singular"]),
        kind: text(&names["kind"]),
        list_kind: text(&names["listKind"]),
        short_names: texts(&names["shortNames"]),
        categories: texts(&names["categories"]),
        scope: if spec["scope"] == "Cluster" { Scope::Cluster } else { Scope::Namespaced },
        storage: storage_of(definition).pop()?,
        versions,
        source: Source::Custom {
            definition: text(&definition["metadata"]["name"]),
            uid: text(&definition["metadata"]["uid"]),
            conversion,
        },
        rules: Rules {
            verbs: ALL_VERBS,
            put_missing: PutMissing::Refuse,
            put_unversioned: PutUnversioned::Refuse,
            generation: Generation::Content,
            names: Names::Subdomain,
            hooks: Hooks::NONE,
        },
        group,
        plural,
    })
}

fn version_of(version: &Value, group: &str, kind: &Value) -> Version {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = text(&version["name"]);
    let open_api = &version["schema"]["openAPIV3Schema"];
    let columns = version["additionalPrinterColumns"].as_array().into_iter().flatten();
    let scale = &version["subresources"]["scale"];
    let deprecation = (version["deprecated"] == true).then(|| {
        version["deprecationWarning"].as_str().map_or_else(
            || format!("{group}/{name} {} is deprecated", kind.as_str().unwrap_or_default()),
            str::to_owned,
        )
    });
    Version {
        served: version["served"] == true,
        deprecation,
        columns: columns
            .map(|column| Column {
                name: text(&column["name"]),
                column_type: text(&column["type"]),
                format: text(&column["format"]),
                description: text(&column["description"]),
                priority: column["priority"].as_i64().unwrap_or(0),
                json_path: text(&column["jsonPath"]),
            })
            .collect(),
        subresources: Subresources {
            status: if version["subresources"]["status"].is_object() {
                Status::Subresource
            } else {
                Status::Inline
            },
            scale: scale.is_object().then(|| ScalePaths {
                spec_replicas: text(&scale["specReplicasPath"]),
                status_replicas: text(&scale["statusReplicasPath"]),
                label_selector: scale["labelSelectorPath"].as_str().map(str::to_owned),
            }),
            others: Vec::new(),
        },
        selectable: version["selectableFields"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|field| text(&field["jsonPath"]))
            .collect(),
        schema: Schema::parse(open_api, "openAPIV3Schema").ok().map(Arc::new),
        open_api: Some(Arc::new(open_api.clone())),
        name,
    }
}

/// Order among versions: v2 before v1 before v1beta1 before v1alpha1, anything else after them by name.
fn precedence(name: &str) -> (u8, u64, u8, u64, std::cmp::Reverse<String>) {
    let parse = || -> Option<(u64, u8, u64)> {
        let rest = name.strip_prefix('v')?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let major = rest[..digits].parse().ok()?;
        match &rest[digits..] {
            "" => Some((major, 2, 0)),
            level => {
                let (rank, minor) = match (level.strip_prefix("beta"), level.strip_prefix("alpha"))
                {
                    (Some(minor), _) => (1, minor),
                    (_, Some(minor)) => (0, minor),
                    _ => return None,
                };
                Some((major, rank, minor.parse().ok()?))
            }
        }
    };
    // Stability comes before the number: v1 is preferred to v2beta1.
    match parse() {
        Some((major, level, minor)) => {
            (level + 1, major, 0, minor, std::cmp::Reverse(String::new()))
        }
        None => (0, 0, 0, 0, std::cmp::Reverse(name.to_owned())),
    }
}

/// A condition of a definition.
pub(crate) fn condition<'a>(definition: &'a Value, kind: &str) -> Option<&'a Value> {
    let mut conditions = definition["status"]["conditions"].as_array().into_iter().flatten();
    conditions.find(|condition| condition["type"] == kind)
}

/// Whether the kind is served.
pub(crate) fn is_established(definition: &Value) -> bool {
    condition(definition, "Established").is_some_and(|condition| condition["status"] == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_versions_come_first_then_higher_numbers() {
        let mut names = ["foo10", "v1alpha1", "v2beta1", "v1", "v10", "v1beta2", "foo1", "v2"];
        names.sort_by_key(|name| std::cmp::Reverse(precedence(name)));
        assert_eq!(names, ["v10", "v2", "v1", "v2beta1", "v1beta2", "v1alpha1", "foo1", "foo10"]);
    }
}
