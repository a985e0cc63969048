//! Golden values: what a container's configuration says for what its pod says.

use super::*;

fn build(spec: Value, image: &ImageDefaults, binds: &[Bind]) -> Value {
    let spec: PodSpec = serde_json::from_value(spec).unwrap();
    let env = BTreeMap::from([("WHO".to_owned(), "world".to_owned())]);
    let available: Vec<String> =
        ["CHOWN", "NET_RAW", "SYS_ADMIN", "NET_ADMIN", "KILL"].map(str::to_owned).into();
    config(&Inputs {
        spec: &spec,
        container: &spec.containers[0],
        image,
        env: &env,
        identity: &Identity { uid: 7, gid: 8, groups: vec![9] },
        binds,
        hostname: "pod",
        available: &available,
    })
    .unwrap()
}

fn image() -> ImageDefaults {
    ImageDefaults {
        entrypoint: Some(vec!["/entry".into()]),
        cmd: Some(vec!["--default".into()]),
        working_dir: Some("/work".into()),
        ..ImageDefaults::default()
    }
}

#[test]
fn every_configuration_is_one_that_an_oci_runtime_reads() {
    let value = build(json!({ "containers": [{ "name": "a" }] }), &image(), &[]);
    let spec: oci_spec::runtime::Spec = serde_json::from_value(value.clone()).unwrap();
    let process = spec.process().as_ref().unwrap();
    assert_eq!(process.args().as_ref().unwrap(), &["/entry", "--default"]);
    assert_eq!(process.cwd().to_str(), Some("/work"));
    assert_eq!(value["process"]["user"], json!({ "uid": 7, "gid": 8, "additionalGids": [9] }));
    assert_eq!(value["process"]["env"], json!(["WHO=world"]));
}

#[test]
fn the_pods_command_replaces_the_images_and_drops_its_arguments() {
    let args = |container: Value| {
        build(json!({ "containers": [container] }), &image(), &[])["process"]["args"].clone()
    };
    let hello = json!({ "name": "a", "command": ["echo", "$(WHO)"] });
    assert_eq!(args(hello), json!(["echo", "world"]));
    assert_eq!(args(json!({ "name": "a", "args": ["-x"] })), json!(["/entry", "-x"]));
    let both = json!({ "name": "a", "command": ["c"], "args": ["$$(WHO)"] });
    assert_eq!(args(both), json!(["c", "$(WHO)"]));
    let container = serde_json::from_value(json!({ "name": "a" })).unwrap();
    let nothing = arguments(&container, &ImageDefaults::default(), &BTreeMap::new());
    assert_eq!(nothing, Err(ConfigError::NoCommand));
}

#[test]
fn capabilities_follow_the_security_context() {
    let of = |security: Value| {
        let container = json!({ "name": "a", "securityContext": security });
        build(json!({ "containers": [container] }), &image(), &[])["process"]["capabilities"]
            ["bounding"]
            .clone()
    };
    assert_eq!(of(json!({})), json!(["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"]));
    assert_eq!(of(json!({ "capabilities": { "drop": ["ALL"] } })), json!([]));
    let one = json!({ "capabilities": { "drop": ["ALL"], "add": ["SYS_ADMIN"] } });
    assert_eq!(of(one), json!(["CAP_SYS_ADMIN"]));
    let all = of(json!({ "privileged": true }));
    assert_eq!(all.as_array().unwrap().len(), 5, "what the machine has, and no more");
}

#[test]
fn the_security_context_reaches_the_process_and_the_root() {
    let container = json!({
        "name": "a", "tty": true,
        "securityContext": { "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false },
    });
    let value = build(json!({ "containers": [container], "hostNetwork": true }), &image(), &[]);
    assert_eq!(value["root"], json!({ "path": "rootfs", "readonly": true }));
    assert_eq!(value["process"]["noNewPrivileges"], true);
    assert_eq!(value["process"]["terminal"], true);
    let kinds = value["linux"]["namespaces"].as_array().unwrap();
    assert!(!kinds.contains(&json!({ "type": "network" })), "the machine's network is shared");
}

#[test]
fn volumes_are_mounted_parents_first() {
    let bind = |target: &str, read_only| Bind {
        source: "/src".into(),
        sub_path: None,
        target: target.into(),
        read_only,
    };
    let binds = [bind("/a/b/c", true), bind("/a", false)];
    let value = build(json!({ "containers": [{ "name": "a" }] }), &image(), &binds);
    let mounts = value["mounts"].as_array().unwrap();
    let [.., parent, child] = &mounts[..] else { panic!("two binds") };
    assert_eq!((&parent["destination"], &child["destination"]), (&json!("/a"), &json!("/a/b/c")));
    assert_eq!(child["options"], json!(["rbind", "rprivate", "ro"]));
}
