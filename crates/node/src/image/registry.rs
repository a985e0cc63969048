//! Pulls from a registry: what is not here is downloaded into a layout folder, then imported like any other layout.

use std::{fs, time::Duration};

use futures::TryStreamExt as _;
use oci_client::{
    Client, Reference,
    client::{ClientConfig, ClientProtocol},
    manifest::{OciDescriptor, OciImageManifest},
    secrets::RegistryAuth,
};
use tokio::io::AsyncWriteExt as _;

use super::{Digest, Image, ImageError, ImageName, ImageStore, Origin, layout, name};

/// Who pulls.
#[derive(Clone, Debug, Default)]
pub enum Credentials {
    /// Nobody in particular.
    #[default]
    Anonymous,
    /// A user with a password or token.
    Basic {
        /// User name.
        user: String,
        /// Password or token.
        password: String,
    },
}

/// Long enough for a slow link's first byte; a registry that is silent for longer is gone.
const SILENCE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);

impl ImageStore {
    /// Pulls an image and gives it the name it was pulled by. Layers that are here are not downloaded again.
    /// A registry on this machine (`localhost`, `127.0.0.1`, `[::1]`) is spoken to without TLS.
    pub async fn pull(
        self: &std::sync::Arc<Self>,
        written: &str,
        credentials: Credentials,
    ) -> Result<Image, ImageError> {
        if ImageName::is_host(written) {
            return Err(ImageError::BuiltIn("pulled"));
        }
        let reference = name::reference(written)?;
        let full = ImageName::parse(written)?;
        let store = self.clone();
        let (staging, digest) = self.download(&reference, &credentials, written).await?;
        let import = move || {
            let folder = staging.dir().join("layout");
            let found = layout::read_manifest(&folder, &digest, vec![full])?;
            store.import(vec![found], Origin::Registry, &staging)
        };
        let joined = tokio::task::spawn_blocking(import).await;
        joined.map_err(|e| refused(written, e))??;
        self.resolve(written)?.ok_or_else(|| ImageError::NotHere(written.into()))
    }

    /// Downloads manifest, configuration and missing layers; answers where, and the manifest's digest.
    async fn download(
        &self,
        reference: &Reference,
        credentials: &Credentials,
        written: &str,
    ) -> Result<(super::staging::Staging, Digest), ImageError> {
        let client = client(reference, written)?;
        let auth = match credentials {
            Credentials::Anonymous => RegistryAuth::Anonymous,
            Credentials::Basic { user, password } => {
                RegistryAuth::Basic(user.clone(), password.clone())
            }
        };
        let (manifest, digest) =
            client.pull_image_manifest(reference, &auth).await.map_err(|e| refused(written, e))?;
        let by_digest = reference.clone_with_digest(digest.clone());
        let accepted = [
            oci_client::manifest::OCI_IMAGE_MEDIA_TYPE,
            oci_client::manifest::IMAGE_MANIFEST_MEDIA_TYPE,
        ];
        let (bytes, _) = client
            .pull_manifest_raw(&by_digest, &auth, &accepted)
            .await
            .map_err(|e| refused(written, e))?;
        let digest: Digest = digest.parse()?;
        digest.check(&Digest::of(&bytes), "the manifest")?;

        let staging = self.staging()?;
        let folder = staging.folder("layout")?;
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(ImageError::io("making", &blobs))?;
        let path = layout::blob(&folder, &digest);
        fs::write(&path, &bytes).map_err(ImageError::io("writing", &path))?;
        fetch(&client, reference, &manifest.config, &folder, written).await?;
        for (layer, diff_id) in manifest.layers.iter().zip(diff_ids(&manifest, &folder)?) {
            if !self.layer_path(&diff_id).is_dir() {
                fetch(&client, reference, layer, &folder, written).await?;
            }
        }
        Ok((staging, digest))
    }
}

fn client(reference: &Reference, written: &str) -> Result<Client, ImageError> {
    let registry = reference.resolve_registry();
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    let here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    // Installing it twice is an error that only says that it is there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = ClientConfig {
        protocol: if here { ClientProtocol::Http } else { ClientProtocol::Https },
        read_timeout: Some(SILENCE),
        connect_timeout: Some(CONNECT),
        ..ClientConfig::default()
    };
    Client::try_from(config).map_err(|e| refused(written, e))
}

/// The unpacked layers' digests, from the configuration just fetched.
fn diff_ids(
    manifest: &OciImageManifest,
    folder: &std::path::Path,
) -> Result<Vec<Digest>, ImageError> {
    #[derive(serde::Deserialize)]
    struct Config {
        rootfs: RootFs,
    }
    #[derive(serde::Deserialize)]
    struct RootFs {
        diff_ids: Vec<Digest>,
    }
    let path = layout::blob(folder, &manifest.config.digest.parse()?);
    let config: Config = serde_json::from_slice(&layout::read_document(&path)?)
        .map_err(|e| layout::not_an_image(&path, &e.to_string()))?;
    Ok(config.rootfs.diff_ids)
}

/// Streams one blob to its file; the client checks its digest on the way.
async fn fetch(
    client: &Client,
    reference: &Reference,
    blob: &OciDescriptor,
    folder: &std::path::Path,
    written: &str,
) -> Result<(), ImageError> {
    let path = layout::blob(folder, &blob.digest.parse()?);
    let mut stream =
        client.pull_blob_stream(reference, blob).await.map_err(|e| refused(written, e))?;
    let mut file = tokio::fs::File::create(&path).await.map_err(ImageError::io("making", &path))?;
    let mut left = u64::try_from(blob.size).unwrap_or(0);
    while let Some(bytes) = stream.stream.try_next().await.map_err(|e| refused(written, e))? {
        left = left
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| refused(written, "a blob is larger than its manifest says"))?;
        file.write_all(&bytes).await.map_err(ImageError::io("writing", &path))?;
    }
    file.flush().await.map_err(ImageError::io("writing", &path))
}

/// With the causes below the first word: that a request could not be sent says nothing about why.
fn refused(name: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ImageError {
    let error = error.into();
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let said = deeper.to_string();
        if !reason.contains(&said) {
            reason = format!("{reason}: {said}");
        }
        cause = deeper.source();
    }
    ImageError::Registry { name: name.into(), reason }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
