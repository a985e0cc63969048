//! Changing what the containers of a pod ask for and may use, through `pods/resize`.

use serde_json::{Value, json};

use super::{amount, check_resources, quality_of_service, update::differences};
use crate::schema::FieldError;

/// The lists whose containers can be resized, and what refusals call them.
const LISTS: [&str; 2] = ["containers", "initContainers"];

/// The resources that a running container can follow.
const RESIZABLE: [&str; 2] = ["cpu", "memory"];

/// Takes from the new pod only what a resize is about. Containers that are not those of the old pod are left for [`errors`] to
/// refuse.
pub(crate) fn limit(new: &mut Value, old: &Value) {
    let mut limited = old.clone();
    for list in LISTS {
        let theirs = items(&new["spec"][list]);
        let ours = items(&old["spec"][list]);
        let same = theirs.len() == ours.len()
            && theirs.iter().zip(ours).all(|(theirs, ours)| theirs["name"] == ours["name"]);
        if !same {
            limited["spec"][list] = theirs.into();
            continue;
        }
        let kept = limited["spec"].get_mut(list).and_then(Value::as_array_mut);
        for (container, asked) in kept.into_iter().flatten().zip(theirs) {
            for member in ["resources", "resizePolicy"] {
                match asked.get(member) {
                    Some(value) => container[member] = value.clone(),
                    None => {
                        if let Some(members) = container.as_object_mut() {
                            members.remove(member);
                        }
                    }
                }
            }
        }
    }
    *new = limited;
}

/// Everything wrong with a resize.
pub(crate) fn errors(pod: &Value, old: &Value) -> Vec<FieldError> {
    let (new_spec, old_spec) = (&pod["spec"], &old["spec"]);
    let mut errors = Vec::new();
    for list in LISTS {
        for (index, container) in items(&new_spec[list]).iter().enumerate() {
            let path = format!("spec.{list}[{index}]");
            check_resources(&container["resources"], &path, &mut errors);
        }
    }
    let before = old["status"]["qosClass"].as_str().unwrap_or(quality_of_service(old_spec));
    if before != quality_of_service(new_spec) {
        let detail = "Pod QOS Class may not change as a result of resizing";
        errors.push(FieldError::invalid("spec", before.into(), detail));
    }
    if !node_can_resize(old) {
        let detail = "Pod running on node without support for resize";
        errors.push(FieldError::forbidden("spec", detail));
    }
    let told = errors.len();
    LISTS.into_iter().for_each(|list| check_order(new_spec, old_spec, list, &mut errors));
    if errors.len() > told {
        return errors;
    }
    for list in ["initContainers", "containers"] {
        for (index, (new, old)) in pairs(new_spec, old_spec, list).enumerate() {
            check_removed(&new["resources"], &old["resources"], list, index, &mut errors);
        }
    }
    for (new, old) in pairs(new_spec, old_spec, "containers") {
        if changes_more(new, old) {
            let detail = "only cpu and memory resources are mutable";
            errors.push(FieldError::forbidden("spec", detail));
        }
    }
    for (index, (new, old)) in pairs(new_spec, old_spec, "initContainers").enumerate() {
        let path = format!("spec.initContainers[{index}]");
        if changes_more(new, old) {
            let detail = "only cpu and memory resources for init or sidecar containers are mutable";
            errors.push(FieldError::forbidden(&path, detail));
        }
        if new != old && new["restartPolicy"] != "Always" && wants_restart(new) {
            let detail = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized";
            errors.push(FieldError::forbidden(&path, detail));
        }
    }
    errors
}

fn items(list: &Value) -> Vec<Value> {
    list.as_array().cloned().unwrap_or_default()
}

fn pairs<'a>(
    new: &'a Value,
    old: &'a Value,
    list: &str,
) -> impl Iterator<Item = (&'a Value, &'a Value)> + use<'a> {
    let [new, old] = [new, old].map(|spec| spec[list].as_array().into_iter().flatten());
    new.zip(old)
}

/// A node that resizes says in the status of what runs what it has given.
fn node_can_resize(pod: &Value) -> bool {
    let statuses = pod["status"]["containerStatuses"].as_array();
    let running = statuses.into_iter().flatten().find(|s| !s["state"]["running"].is_null());
    running.is_none_or(|status| !status["resources"].is_null())
}

fn check_order(new: &Value, old: &Value, list: &str, errors: &mut Vec<FieldError>) {
    let (theirs, ours) = (items(&new[list]), items(&old[list]));
    if theirs.len() != ours.len() {
        let detail = format!("{list} may not be added or removed on resize");
        return errors.push(FieldError::forbidden(format!("spec.{list}"), detail));
    }
    for (index, (theirs, ours)) in theirs.iter().zip(&ours).enumerate() {
        if theirs["name"] != ours["name"] {
            let detail = format!("{list} may not be renamed or reordered on resize");
            errors.push(FieldError::forbidden(format!("spec.{list}[{index}].name"), detail));
        }
    }
}

fn check_removed(new: &Value, old: &Value, list: &str, index: usize, errors: &mut Vec<FieldError>) {
    for member in ["requests", "limits"] {
        let mut given = old[member].as_object().into_iter().flatten();
        if given.any(|(name, _)| new[member][name].is_null()) {
            let path = format!("spec.{list}[{index}].resources.{member}");
            errors
                .push(FieldError::forbidden(path, format!("resource {member} cannot be removed")));
        }
    }
}

/// Whether a container differs in more than cpu and memory.
fn changes_more(new: &Value, old: &Value) -> bool {
    let mut same = new.clone();
    for member in ["requests", "limits"] {
        for name in RESIZABLE {
            let before = &old["resources"][member][name];
            let list = &mut same["resources"][member];
            if !before.is_null() {
                if !list.is_object() {
                    *list = json!({});
                }
                list[name] = before.clone();
            } else if let Some(members) = list.as_object_mut() {
                members.remove(name);
            }
        }
        // The same amount in other words is the same.
        let others = same["resources"][member].as_object_mut();
        for (name, value) in others.into_iter().flatten() {
            let before = &old["resources"][member][name];
            if amount(value).is_some() && amount(value) == amount(before) {
                *value = before.clone();
            }
        }
    }
    let mut found = Vec::new();
    differences(&same, old, "", &mut found);
    !found.is_empty()
}

fn wants_restart(container: &Value) -> bool {
    let mut policies = container["resizePolicy"].as_array().into_iter().flatten();
    policies.any(|policy| policy["restartPolicy"] == "RestartContainer")
}
