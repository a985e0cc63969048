//! Who a container runs as: numbers from the pod, or names from the image looked up in its `/etc/passwd`.

use k8s_openapi::api::core::v1::{Container, PodSpec};

/// User, group and further groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
}

/// Why a container may not or can't run; the message of CreateContainerConfigError.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IdentityError {
    /// The pod forbids root and nothing else is said.
    #[error("container has runAsNonRoot and image will run as root")]
    Root,
    /// The pod forbids root, and the image names its user by a name it does not list.
    #[error("unable to find user {0}: no matching entries in passwd file")]
    NoUser(String),
    /// The image names a group it does not list.
    #[error("unable to find group {0}: no matching entries in group file")]
    NoGroup(String),
}

/// The user database of an image, as text; empty if it has none.
#[derive(Clone, Debug, Default)]
pub(crate) struct UserFiles {
    /// `/etc/passwd`.
    pub(crate) passwd: String,
    /// `/etc/group`.
    pub(crate) group: String,
}

/// Decides who runs. The container's word counts before the pod's, and the pod's before the image's.
pub(crate) fn identity(
    spec: &PodSpec,
    container: &Container,
    image_user: Option<&str>,
    files: &UserFiles,
) -> Result<Identity, IdentityError> {
    let own = container.security_context.as_ref();
    let pod = spec.security_context.as_ref();
    let number = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
    let run_as = own.and_then(|s| s.run_as_user).or(pod.and_then(|s| s.run_as_user));
    let run_group = own.and_then(|s| s.run_as_group).or(pod.and_then(|s| s.run_as_group));
    let (image_user, image_group) = match image_user.unwrap_or_default().split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (image_user.unwrap_or_default(), None),
    };
    let wanted = run_as.map_or_else(|| image_user.to_owned(), |uid| uid.to_string());
    let user = find_user(&wanted, files)?;
    let gid = match (run_group, image_group) {
        (Some(gid), _) => number(gid),
        (None, Some(group)) if run_as.is_none() => find_group(group, files)?,
        _ => user.gid,
    };
    let non_root = own.and_then(|s| s.run_as_non_root).or(pod.and_then(|s| s.run_as_non_root));
    if non_root == Some(true) && user.uid == 0 {
        return Err(IdentityError::Root);
    }
    let mut groups = memberships(&user.name, files);
    groups.extend(pod.and_then(|s| s.fs_group).map(number));
    groups.extend(
        pod.iter().flat_map(|s| s.supplemental_groups.iter().flatten()).map(|g| number(*g)),
    );
    groups.retain(|group| *group != gid);
    groups.sort_unstable();
    groups.dedup();
    Ok(Identity { uid: user.uid, gid, groups })
}

struct User {
    name: String,
    uid: u32,
    gid: u32,
}

/// A user by number or name. A number needs no entry; without one its group is 0.
fn find_user(wanted: &str, files: &UserFiles) -> Result<User, IdentityError> {
    let wanted = if wanted.is_empty() { "0" } else { wanted };
    let by_number = wanted.parse::<u32>().ok();
    for line in files.passwd.lines() {
        let mut fields = line.split(':');
        let (Some(name), _, Some(uid), Some(gid)) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let (Ok(uid), Ok(gid)) = (uid.parse(), gid.parse()) else { continue };
        if by_number == Some(uid) || by_number.is_none() && name == wanted {
            return Ok(User { name: name.into(), uid, gid });
        }
    }
    match by_number {
        Some(uid) => Ok(User { name: String::new(), uid, gid: 0 }),
        None => Err(IdentityError::NoUser(wanted.into())),
    }
}

fn find_group(wanted: &str, files: &UserFiles) -> Result<u32, IdentityError> {
    if let Ok(gid) = wanted.parse() {
        return Ok(gid);
    }
    group_lines(files)
        .find(|(name, ..)| *name == wanted)
        .map(|(_, gid, _)| gid)
        .ok_or_else(|| IdentityError::NoGroup(wanted.into()))
}

fn memberships(user: &str, files: &UserFiles) -> Vec<u32> {
    if user.is_empty() {
        return Vec::new();
    }
    let lines = group_lines(files);
    lines.filter(|(_, _, members)| members.split(',').any(|m| m == user)).map(|l| l.1).collect()
}

fn group_lines(files: &UserFiles) -> impl Iterator<Item = (&str, u32, &str)> {
    files.group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _, gid) = (fields.next()?, fields.next()?, fields.next()?.parse().ok()?);
        Some((name, gid, fields.next().unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(
        pod: serde_json::Value,
        container: serde_json::Value,
        image: &str,
    ) -> Result<Identity, IdentityError> {
        let spec: PodSpec =
            serde_json::from_value(serde_json::json!({ "containers": [], "securityContext": pod }))
                .unwrap();
        let container: Container = serde_json::from_value(
            serde_json::json!({ "name": "a", "securityContext": container }),
        )
        .unwrap();
        let files = UserFiles {
            passwd: "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/:/bin/sh\n".into(),
            group: "root:x:0:\napps:x:1001:\naudio:x:29:app,other\n".into(),
        };
        identity(&spec, &container, Some(image), &files)
    }

    #[test]
    fn the_container_speaks_before_the_pod_and_the_pod_before_the_image() {
        let (pod, own) =
            (serde_json::json!({ "runAsUser": 7 }), serde_json::json!({ "runAsUser": 8 }));
        let none = serde_json::json!({});
        assert_eq!(who(pod.clone(), own, "app").unwrap().uid, 8);
        assert_eq!(who(pod, none.clone(), "app").unwrap().uid, 7);
        let app = who(none.clone(), none.clone(), "app").unwrap();
        assert_eq!(app, Identity { uid: 1000, gid: 1001, groups: vec![29] });
        assert_eq!(who(none.clone(), none.clone(), "app:audio").unwrap().gid, 29);
        assert_eq!(who(none.clone(), none, "").unwrap(), Identity::default());
    }

    #[test]
    fn root_is_refused_where_the_pod_says_so() {
        let strict = serde_json::json!({ "runAsNonRoot": true });
        let none = serde_json::json!({});
        assert_eq!(who(strict.clone(), none.clone(), ""), Err(IdentityError::Root));
        assert!(who(strict.clone(), none.clone(), "app").is_ok());
        assert_eq!(who(strict, none, "ghost"), Err(IdentityError::NoUser("ghost".into())));
    }

    #[test]
    fn the_pods_groups_are_added() {
        let pod = serde_json::json!({ "fsGroup": 5, "supplementalGroups": [9, 5] });
        assert_eq!(who(pod, serde_json::json!({}), "").unwrap().groups, [5, 9]);
    }
}
