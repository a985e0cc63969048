//! Volumes as containers find them.

use std::os::unix::fs::{MetadataExt as _, symlink};

use serde_json::json;

use super::*;

struct World {
    dir: tempfile::TempDir,
    references: References,
}

impl World {
    fn new() -> Self {
        let map = json!({ "metadata": { "name": "settings" }, "data": { "a": "1", "b": "2" } });
        let mut references = References::default();
        references.config_maps.insert("settings".into(), serde_json::from_value(map).unwrap());
        Self { dir: tempfile::tempdir().unwrap(), references }
    }

    fn prepare(&self, volumes: serde_json::Value) -> Result<Volumes, VolumeError> {
        let pod = json!({
            "metadata": { "name": "p", "labels": { "x": "y" } },
            "spec": { "containers": [{ "name": "c" }], "volumes": volumes },
        });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let sources = Sources {
            references: &self.references,
            addresses: &Addresses::default(),
            claims: &BTreeMap::new(),
        };
        prepare(&pod, self.dir.path(), &sources)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.dir.path().join(path)).unwrap()
    }
}

fn mount(value: serde_json::Value) -> Container {
    serde_json::from_value(json!({ "name": "c", "volumeMounts": [value] })).unwrap()
}

#[test]
fn a_config_map_becomes_files_that_follow_it() {
    let mut world = World::new();
    let volume = json!([{ "name": "v", "configMap": { "name": "settings", "defaultMode": 256 } }]);
    world.prepare(volume.clone()).unwrap();
    assert_eq!(world.read("v/a"), "1");
    let mode = fs::metadata(world.dir.path().join("v/a")).unwrap().mode();
    assert_eq!(mode & 0o777, 0o400);

    let data = world.references.config_maps.get_mut("settings").unwrap().data.as_mut().unwrap();
    data.insert("a".into(), "new".into());
    data.remove("b");
    world.prepare(volume).unwrap();
    assert_eq!(world.read("v/a"), "new");
    assert!(!world.dir.path().join("v/b").exists());
    let sets = fs::read_dir(world.dir.path().join("v")).unwrap().flatten();
    assert_eq!(sets.filter(|e| e.file_type().unwrap().is_dir()).count(), 1, "the old set is gone");
}

#[test]
fn items_choose_keys_and_paths() {
    let world = World::new();
    let items = json!([{ "key": "b", "path": "deep/file", "mode": 384 }]);
    world
        .prepare(json!([{ "name": "v", "configMap": { "name": "settings", "items": items } }]))
        .unwrap();
    assert_eq!(world.read("v/deep/file"), "2");
    assert!(!world.dir.path().join("v/a").exists());
    let items = json!([{ "key": "a", "path": "../escape" }]);
    let escape = world
        .prepare(json!([{ "name": "w", "configMap": { "name": "settings", "items": items } }]));
    assert!(escape.is_err());
}

#[test]
fn what_is_missing_is_named_unless_optional() {
    let world = World::new();
    let error =
        world.prepare(json!([{ "name": "v", "secret": { "secretName": "gone" } }])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "MountVolume.SetUp failed for volume \"v\" : secret \"gone\" not found"
    );
    let optional = json!([{ "name": "v", "secret": { "secretName": "gone", "optional": true } }]);
    assert!(world.prepare(optional).is_ok());
}

#[test]
fn the_group_of_the_pod_gets_into_a_volume_that_was_there() {
    let world = World::new();
    let claimed = world.dir.path().join("claimed");
    fs::create_dir(&claimed).unwrap();
    fs::set_permissions(&claimed, fs::Permissions::from_mode(0o755)).unwrap();
    // Our own group: only root may give a folder to another one.
    let group = fs::metadata(&claimed).unwrap().gid();
    let pod = json!({
        "metadata": { "name": "p" },
        "spec": {
            "containers": [{ "name": "c" }],
            "securityContext": { "fsGroup": group },
            "volumes": [{ "name": "v", "persistentVolumeClaim": { "claimName": "data" } }],
        },
    });
    let sources = Sources {
        references: &world.references,
        addresses: &Addresses::default(),
        claims: &BTreeMap::from([("data".to_owned(), claimed.clone())]),
    };
    prepare(&serde_json::from_value(pod).unwrap(), world.dir.path(), &sources).unwrap();
    assert_eq!(fs::metadata(&claimed).unwrap().mode() & 0o7777, 0o2775);
}

#[test]
fn an_empty_dir_in_memory_is_a_mount_of_the_pod() {
    let world = World::new();
    let empty = json!([{ "name": "v", "emptyDir": { "medium": "Memory", "sizeLimit": "1Mi" } }]);
    let volumes = world.prepare(empty).unwrap();
    let target = world.dir.path().join("v");
    assert_eq!(volumes.mounts, [PodMount::Tmpfs { target, size_bytes: Some(1 << 20) }]);
}

#[test]
fn a_projection_joins_its_sources() {
    let world = World::new();
    let label = json!({ "path": "labels", "fieldRef": { "fieldPath": "metadata.labels" } });
    let sources = json!([
        { "configMap": { "name": "settings" } }, { "downwardAPI": { "items": [label] } }
    ]);
    world.prepare(json!([{ "name": "v", "projected": { "sources": sources } }])).unwrap();
    assert_eq!((world.read("v/a"), world.read("v/labels")), ("1".into(), "x=\"y\"".into()));
}

#[test]
fn a_host_path_must_be_what_it_is_said_to_be() {
    let world = World::new();
    let path = world.dir.path().join("made");
    let host = |kind: &str| json!([{ "name": "v", "hostPath": { "path": path, "type": kind } }]);
    assert!(matches!(world.prepare(host("Directory")), Err(VolumeError::Type { .. })));
    assert!(world.prepare(host("DirectoryOrCreate")).is_ok());
    assert!(path.is_dir());
    assert!(matches!(world.prepare(host("Socket")), Err(VolumeError::Type { .. })));
}

#[test]
fn a_sub_path_stays_inside_whatever_links_say() {
    let world = World::new();
    let volumes = world.prepare(json!([{ "name": "v", "emptyDir": {} }])).unwrap();
    let env = BTreeMap::from([("WHO".to_owned(), "me".to_owned())]);
    let bind = |mount: Container| volumes.binds(&mount, &env);
    let sub = json!({ "name": "v", "mountPath": "/m", "subPathExpr": "a/$(WHO)" });
    let made = bind(mount(sub)).unwrap();
    assert_eq!(made[0].sub_path.as_deref(), Some("a/me"));
    assert!(made[0].source.ends_with("v") && made[0].source.join("a/me").is_dir());
    symlink("/etc", world.dir.path().join("v/door")).unwrap();
    for path in ["door", "../outside", "door/ssl"] {
        let sub = json!({ "name": "v", "mountPath": "/m", "subPath": path });
        assert!(matches!(bind(mount(sub)), Err(VolumeError::SubPath { .. })), "{path}");
    }
}
