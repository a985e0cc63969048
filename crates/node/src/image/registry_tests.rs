//! Pulls from a registry of a few lines, on this machine's loopback.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::image::Origin;

/// What it serves by path, and what it was asked for.
#[derive(Clone, Default)]
struct Registry {
    content: BTreeMap<String, (&'static str, Vec<u8>)>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Registry {
    /// An image `app:1` of one layer that holds one file.
    fn with_image() -> Self {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(5);
        header.set_mode(0o644);
        tar.append_data(&mut header, "file", &b"hello"[..]).unwrap();
        let layer = tar.into_inner().unwrap();
        let config = serde_json::json!({
            "os": "linux",
            "architecture": crate::image::store::oci_architecture(),
            "rootfs": { "type": "layers", "diff_ids": [Digest::of(&layer).to_string()] },
        });
        let config = config.to_string().into_bytes();
        let describe = |kind: &str, bytes: &[u8]| {
            serde_json::json!({
                "mediaType": format!("application/vnd.oci.image.{kind}"),
                "digest": Digest::of(bytes).to_string(), "size": bytes.len(),
            })
        };
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": describe("config.v1+json", &config),
            "layers": [describe("layer.v1.tar", &layer)],
        });
        let manifest = manifest.to_string().into_bytes();
        let mut registry = Self::default();
        let kind = "application/vnd.oci.image.manifest.v1+json";
        for name in ["1".to_owned(), Digest::of(&manifest).to_string()] {
            let path = format!("/v2/app/manifests/{name}");
            registry.content.insert(path, (kind, manifest.clone()));
        }
        for blob in [config, layer] {
            let path = format!("/v2/app/blobs/{}", Digest::of(&blob));
            registry.content.insert(path, ("application/octet-stream", blob));
        }
        registry
    }

    /// Listens, and answers its address. It ends with the test's runtime.
    async fn serve(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(self.clone().answer(stream));
            }
        });
        address.to_string()
    }

    /// One request a connection: enough for a test.
    async fn answer(self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        let mut request = String::new();
        stream.read_line(&mut request).await.unwrap();
        let mut header = String::new();
        while stream.read_line(&mut header).await.unwrap() > 2 {
            header.clear();
        }
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let (status, kind, body) = match self.content.get(&path) {
            Some((kind, body)) => ("200 OK", *kind, body.clone()),
            None if path == "/v2/" => ("200 OK", "application/json", b"{}".to_vec()),
            None => {
                let error = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no such tag"}]}"#;
                ("404 Not Found", "application/json", error.into())
            }
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
             Docker-Content-Digest: {}\r\nConnection: close\r\n\r\n",
            body.len(),
            Digest::of(&body),
        );
        self.asked.lock().unwrap().push(path);
        stream.write_all(head.as_bytes()).await.unwrap();
        if !request.starts_with("HEAD") {
            stream.write_all(&body).await.unwrap();
        }
        // The client may have seen enough.
        let _ = stream.shutdown().await;
    }
}

fn store(dir: &Path) -> Arc<ImageStore> {
    Arc::new(ImageStore::open(dir).unwrap())
}

#[tokio::test]
async fn an_image_is_pulled_once_and_known_by_its_name() {
    let registry = Registry::with_image();
    let asked = registry.asked.clone();
    let name = format!("{}/app:1", registry.serve().await);
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let image = store.pull(&name, Credentials::Anonymous).await.unwrap();
    assert_eq!(fs::read_to_string(image.layers[0].join("file")).unwrap(), "hello");
    assert_eq!(store.resolve(&name).unwrap().unwrap().origin, Origin::Registry);

    let layers = |asked: &[String]| asked.iter().filter(|path| path.contains("/blobs/")).count();
    assert_eq!(layers(&asked.lock().unwrap()), 2, "its configuration and its layer");
    store.pull(&name, Credentials::Anonymous).await.unwrap();
    assert_eq!(layers(&asked.lock().unwrap()), 3, "the layer is here");
}

#[tokio::test]
async fn what_the_registry_says_is_told() {
    let address = Registry::with_image().serve().await;
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let error = store.pull(&format!("{address}/app:2"), Credentials::Anonymous).await.unwrap_err();
    assert!(error.to_string().contains("no such tag"), "{error}");
    assert!(store.resolve(&format!("{address}/app:2")).unwrap().is_none());
}

#[tokio::test]
async fn a_layer_that_is_not_what_was_promised_is_refused() {
    let mut registry = Registry::with_image();
    for (path, (_, body)) in &mut registry.content {
        if path.contains("/blobs/") && body.len() > 512 {
            body[0] ^= 1;
        }
    }
    let name = format!("{}/app:1", registry.serve().await);
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    assert!(store.pull(&name, Credentials::Anonymous).await.is_err());
    assert!(store.resolve(&name).unwrap().is_none());
}
