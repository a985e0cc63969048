//! Variables that a claim sets in the containers of its sandbox, as far as the template lets it.

use super::claim_content::ContentError;
use super::types::{EnvVar, InjectionPolicy};
use serde_json::{Value, json};

/// Puts the variables into the pod spec.
///
/// # Errors
/// If the template allows none, if a container does not exist, or if a variable is there already and may not be replaced.
pub fn inject(
    pod_spec: &mut Value,
    variables: &[EnvVar],
    policy: InjectionPolicy,
) -> Result<(), ContentError> {
    if variables.is_empty() {
        return Ok(());
    }
    if policy == InjectionPolicy::Disallowed {
        return Err(ContentError::Env(
            "the template does not allow claims to set environment variables".to_owned(),
        ));
    }
    for variable in variables {
        let container = target(pod_spec, &variable.container_name)?;
        let from_elsewhere =
            container["envFrom"].as_array().is_some_and(|sources| !sources.is_empty());
        if policy == InjectionPolicy::Allowed && from_elsewhere {
            // What a source brings is not known here, so nothing can be said to be only added.
            return Err(ContentError::Env(format!(
                "environment variable {:?} can't be added: container {} takes variables from a source (envFrom), \
                 and the template does not allow overrides",
                variable.name, container["name"]
            )));
        }
        set(container, variable, policy)?;
    }
    Ok(())
}

/// The named container, be it an init container or a main one; or the first main one.
fn target<'a>(pod_spec: &'a mut Value, name: &str) -> Result<&'a mut Value, ContentError> {
    let place = if name.is_empty() {
        (!pod_spec["containers"][0].is_null()).then_some(("containers", 0))
    } else {
        ["initContainers", "containers"].into_iter().find_map(|list| {
            let containers = pod_spec[list].as_array()?;
            let index =
                containers.iter().position(|container| container["name"].as_str() == Some(name))?;
            Some((list, index))
        })
    };
    match place {
        Some((list, index)) => Ok(&mut pod_spec[list][index]),
        None if name.is_empty() => {
            Err(ContentError::Env("the template has no containers".to_owned()))
        }
        None => Err(ContentError::Env(format!("container {name:?} not found in the template"))),
    }
}

fn set(
    container: &mut Value,
    variable: &EnvVar,
    policy: InjectionPolicy,
) -> Result<(), ContentError> {
    let wanted = json!({"name": variable.name, "value": variable.value});
    if !container["env"].is_array() {
        container["env"] = json!([]);
    }
    let Some(list) = container["env"].as_array_mut() else { return Ok(()) };
    match list.iter_mut().find(|known| known["name"].as_str() == Some(&variable.name)) {
        None => list.push(wanted),
        Some(known) if policy == InjectionPolicy::Overrides => *known = wanted,
        Some(_) => {
            return Err(ContentError::Env(format!(
                "environment variable {:?} is set by the template, which does not allow overrides",
                variable.name
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use InjectionPolicy::{Allowed, Disallowed, Overrides};

    fn variable(name: &str, container: &str) -> EnvVar {
        EnvVar {
            name: name.to_owned(),
            value: "new".to_owned(),
            container_name: container.to_owned(),
        }
    }

    /// What each policy says to each kind of variable.
    #[test]
    fn policies() {
        let spec = || {
            json!({
                "initContainers": [{"name": "setup"}],
                "containers": [
                    {"name": "main", "env": [{"name": "MODE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
                    {"name": "side", "envFrom": [{"configMapRef": {"name": "c"}}]},
                ],
            })
        };
        let table = [
            (Disallowed, "NEW", "", Err("does not allow claims to set")),
            (Allowed, "NEW", "", Ok("/containers/0/env/1")),
            (Allowed, "MODE", "", Err("does not allow overrides")),
            (Allowed, "NEW", "setup", Ok("/initContainers/0/env/0")),
            (Allowed, "NEW", "side", Err("takes variables from a source")),
            (Allowed, "NEW", "ghost", Err("container \"ghost\" not found")),
            (Overrides, "MODE", "", Ok("/containers/0/env/0")),
            (Overrides, "NEW", "side", Ok("/containers/1/env/0")),
            (Overrides, "NEW", "ghost", Err("container \"ghost\" not found")),
        ];
        for (policy, name, container, expected) in table {
            let mut spec = spec();
            let result = inject(&mut spec, &[variable(name, container)], policy);
            match expected {
                Ok(place) => {
                    result.unwrap();
                    let set = spec.pointer(place).unwrap();
                    assert_eq!(
                        *set,
                        json!({"name": name, "value": "new"}),
                        "{policy:?} {name} {container}"
                    );
                }
                Err(part) => {
                    let error = result.unwrap_err();
                    assert_eq!(error.word(), "EnvVarsInjectionRejected");
                    assert!(error.to_string().contains(part), "{error} should contain {part:?}");
                }
            }
        }
    }

    #[test]
    fn no_variables_are_always_fine() {
        inject(&mut json!({}), &[], Disallowed).unwrap();
    }
}
