//! How images come in, what they are called, and when they go.

use std::os::unix::fs::MetadataExt as _;

use super::*;

struct Sources {
    dir: tempfile::TempDir,
}

impl Sources {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn store(&self) -> ImageStore {
        ImageStore::open(&self.path("data")).unwrap()
    }

    fn rootfs(&self) -> PathBuf {
        let path = self.path("rootfs");
        fs::create_dir_all(path.join("bin")).unwrap();
        fs::write(path.join("bin/sh"), "#!").unwrap();
        path
    }

    /// A layout of one layer, made by hand.
    fn layout(&self, name: &str, content: &str) -> PathBuf {
        let folder = self.path("layout");
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        let put = |bytes: &[u8]| -> serde_json::Value {
            let digest = Digest::of(bytes);
            fs::write(blobs.join(digest.hex()), bytes).unwrap();
            serde_json::json!({ "digest": digest.to_string(), "size": bytes.len() })
        };
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, "file", content.as_bytes()).unwrap();
        let layer = tar.into_inner().unwrap();
        let config = serde_json::json!({
            "os": "linux",
            "architecture": oci_architecture(),
            "rootfs": { "type": "layers", "diff_ids": [Digest::of(&layer).to_string()] },
            "config": { "Entrypoint": ["/file"], "Env": ["A=b"] },
        });
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "config": put(config.to_string().as_bytes()),
            "layers": [put(&layer)],
        });
        let mut descriptor = put(manifest.to_string().as_bytes());
        descriptor["annotations"] =
            serde_json::json!({ "org.opencontainers.image.ref.name": name });
        let index = serde_json::json!({ "schemaVersion": 2, "manifests": [descriptor] });
        fs::write(folder.join("index.json"), index.to_string()).unwrap();
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        folder
    }

    fn archive(&self, folder: &Path) -> PathBuf {
        let path = self.path("archive.tar");
        let mut tar = tar::Builder::new(File::create(&path).unwrap());
        tar.append_dir_all(".", folder).unwrap();
        tar.finish().unwrap();
        path
    }
}

#[test]
fn a_layout_and_an_archive_of_it_are_the_same_image() {
    let sources = Sources::new();
    let store = sources.store();
    let layout = sources.layout("example/app:1", "hello");
    let first = store.load(&layout, None).unwrap();
    assert_eq!(first[0].names.len(), 1);
    let image = store.resolve("example/app:1").unwrap().unwrap();
    assert_eq!(image.defaults.entrypoint.as_deref(), Some(&["/file".to_owned()][..]));
    assert_eq!(fs::read_to_string(image.layers[0].join("file")).unwrap(), "hello");

    let second = store.load(&sources.archive(&layout), Some("other")).unwrap();
    assert_eq!(first[0].id, second[0].id);
    assert_eq!(store.list().unwrap()[1].names.len(), 2);
}

#[test]
fn a_docker_archive_is_understood() {
    let sources = Sources::new();
    let store = sources.store();
    let layout = sources.layout("x/y:1", "docker");
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let blob = |v: &serde_json::Value| {
        format!("blobs/sha256/{}", &v["digest"].as_str().unwrap()["sha256:".len()..])
    };
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(layout.join(blob(&index["manifests"][0]))).unwrap())
            .unwrap();
    let docker = serde_json::json!([{
        "Config": blob(&manifest["config"]),
        "RepoTags": ["saved:2"],
        "Layers": [blob(&manifest["layers"][0])],
    }]);
    fs::remove_file(layout.join("oci-layout")).unwrap();
    fs::write(layout.join("manifest.json"), docker.to_string()).unwrap();
    store.load(&sources.archive(&layout), None).unwrap();
    assert!(store.resolve("saved:2").unwrap().is_some());
}

#[test]
fn a_root_folder_is_an_image_and_a_tag_makes_any_name_mean_it() {
    let sources = Sources::new();
    let store = sources.store();
    let loaded = store.load(&sources.rootfs(), Some("mine")).unwrap();
    assert!(store.resolve("ghcr.example/team/runtime:v3").unwrap().is_none());
    store.tag("mine", "ghcr.example/team/runtime:v3", &[]).unwrap();
    let image = store.resolve("ghcr.example/team/runtime:v3").unwrap().unwrap();
    assert_eq!(image.id, loaded[0].id);
    assert_eq!(fs::read_to_string(image.layers[0].join("bin/sh")).unwrap(), "#!");
    store.tag("host", "python:3.12", &[]).unwrap();
    assert!(store.resolve("python:3.12").unwrap().unwrap().id.is_host());
}

#[test]
fn a_changed_blob_is_noticed() {
    let sources = Sources::new();
    let store = sources.store();
    let layout = sources.layout("a/b:1", "content");
    for blob in fs::read_dir(layout.join("blobs/sha256")).unwrap().flatten() {
        let path = blob.path();
        if fs::metadata(&path).unwrap().size() > 1000 {
            let mut bytes = fs::read(&path).unwrap();
            bytes[512] ^= 1;
            fs::write(&path, bytes).unwrap();
        }
    }
    assert!(matches!(store.load(&layout, None), Err(ImageError::DigestMismatch { .. })));
    assert!(store.resolve("a/b:1").unwrap().is_none(), "nothing of it is kept");
}

#[test]
fn an_image_in_use_goes_when_its_last_container_does() {
    let sources = Sources::new();
    let store = sources.store();
    store.load(&sources.rootfs(), Some("mine")).unwrap();
    let image = store.resolve("mine").unwrap().unwrap();
    let container = sources.path("data/pods/uid/containers/main");
    fs::create_dir_all(&container).unwrap();
    store.hold(&image, &container).unwrap();

    assert_eq!(store.remove("mine").unwrap(), Removed::InUse);
    assert!(store.resolve("mine").unwrap().is_none());
    assert!(image.layers[0].join("bin/sh").exists(), "a running container keeps its layers");

    fs::remove_dir_all(&container).unwrap();
    sources.store();
    assert!(!image.layers[0].exists());
    assert!(matches!(store.remove("mine"), Err(ImageError::NotHere(_))));
}

#[test]
fn an_image_for_another_machine_is_refused_with_the_reason() {
    let sources = Sources::new();
    let store = sources.store();
    let config = serde_json::json!({
        "os": "windows", "architecture": "amd64",
        "rootfs": { "diff_ids": [Digest::of(b"x").to_string()] },
    });
    let found = Found {
        config: config.to_string().into_bytes(),
        layers: vec![None],
        names: Vec::new(),
        origin: "somewhere".into(),
    };
    let staging = store.staging().unwrap();
    let error = store.import(vec![found], Origin::Local, &staging).unwrap_err().to_string();
    assert!(error.contains("windows/amd64"), "{error}");
}

#[test]
fn the_built_in_image_can_be_neither_replaced_nor_removed() {
    let sources = Sources::new();
    let store = sources.store();
    store.load(&sources.rootfs(), Some("mine")).unwrap();
    assert!(matches!(store.tag("mine", "host", &[]), Err(ImageError::BuiltIn(_))));
    assert!(matches!(store.remove("host:latest"), Err(ImageError::BuiltIn(_))));
}

#[test]
fn a_tag_can_say_what_a_container_does_and_hands_it_on() {
    let sources = Sources::new();
    let store = sources.store();
    let serve = ["httpd", "-f"].map(str::to_owned);
    store.tag("host", "web:1", &serve).unwrap();
    store.tag("web:1", "web:latest", &[]).unwrap();
    for name in ["web:1", "web"] {
        let image = store.resolve(name).unwrap().unwrap();
        assert!(image.id.is_host());
        assert_eq!(image.defaults.entrypoint, None);
        assert_eq!(image.defaults.cmd.as_deref(), Some(&serve[..]), "{name}");
    }
    let plain = store.resolve("host").unwrap().unwrap();
    assert_ne!(plain.defaults.cmd.as_deref(), Some(&serve[..]), "the image itself is as it was");
}
