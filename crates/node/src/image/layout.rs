//! OCI layout folders: `oci-layout`, `index.json` and `blobs/sha256/`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    Digest, ImageError, ImageName,
    store::{Found, oci_architecture},
};

/// Either of the two documents a descriptor may lead to; they are told apart by what they hold.
#[derive(Deserialize)]
pub(super) struct Document {
    #[serde(default)]
    manifests: Vec<Descriptor>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Clone, Deserialize)]
pub(super) struct Descriptor {
    pub(super) digest: Digest,
    #[serde(default)]
    annotations: Option<std::collections::BTreeMap<String, String>>,
    platform: Option<Platform>,
}

#[derive(Clone, Deserialize)]
struct Platform {
    os: String,
    architecture: String,
}

/// Configurations and manifests are small; what is larger is something else.
const MAX_DOCUMENT_BYTES: u64 = 4 << 20;
/// An index within an index within an index is as deep as tools go.
const MAX_DEPTH: usize = 3;

/// Every image of this machine's platform in the layout.
pub(super) fn find(folder: &Path) -> Result<Vec<Found>, ImageError> {
    let index = document(&folder.join("index.json"))?;
    let mut found = Vec::new();
    for descriptor in &index.manifests {
        let names = names(descriptor);
        found.extend(follow(folder, descriptor, names, MAX_DEPTH)?);
    }
    if found.is_empty() {
        return Err(not_an_image(folder, "the layout holds no image for this machine"));
    }
    Ok(found)
}

/// The image that a manifest in the folder describes. `layers` left out of the folder are taken to be in the store.
pub(super) fn read_manifest(
    folder: &Path,
    manifest: &Digest,
    names: Vec<ImageName>,
) -> Result<Found, ImageError> {
    let descriptor = Descriptor { digest: manifest.clone(), annotations: None, platform: None };
    follow(folder, &descriptor, names, 0)?
        .pop()
        .ok_or_else(|| not_an_image(folder, "the manifest is an index"))
}

fn follow(
    folder: &Path,
    descriptor: &Descriptor,
    names: Vec<ImageName>,
    depth: usize,
) -> Result<Vec<Found>, ImageError> {
    if let Some(platform) = &descriptor.platform
        && (platform.os != "linux" || platform.architecture != oci_architecture())
    {
        return Ok(Vec::new());
    }
    let path = blob(folder, &descriptor.digest);
    let bytes = read_document(&path)?;
    descriptor.digest.check(&Digest::of(&bytes), &path.display().to_string())?;
    let document = parse(&path, &bytes)?;
    if let Some(config) = document.config {
        let path = blob(folder, &config.digest);
        let bytes = read_document(&path)?;
        config.digest.check(&Digest::of(&bytes), &path.display().to_string())?;
        let layers = document.layers.iter().map(|l| blob(folder, &l.digest));
        let layers = layers.map(|path| path.is_file().then_some(path)).collect();
        let origin = folder.display().to_string();
        return Ok(vec![Found { config: bytes, layers, names, origin }]);
    }
    let mut found = Vec::new();
    if depth > 0 {
        for inner in &document.manifests {
            found.extend(follow(folder, inner, names.clone(), depth - 1)?);
        }
    }
    Ok(found)
}

/// The names a layout gives an image: a full one, or at least a tag that looks like one.
fn names(descriptor: &Descriptor) -> Vec<ImageName> {
    let Some(annotations) = &descriptor.annotations else { return Vec::new() };
    ["io.containerd.image.name", "org.opencontainers.image.ref.name"]
        .iter()
        .filter_map(|key| annotations.get(*key))
        // A bare tag ("latest", "1.2") names nothing by itself.
        .filter(|name| name.contains(['/', ':']))
        .filter_map(|name| ImageName::parse(name).ok())
        .take(1)
        .collect()
}

/// Where a layout keeps a blob.
pub(super) fn blob(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join("blobs/sha256").join(digest.hex())
}

/// Reads and parses a manifest or an index.
pub(super) fn document(path: &Path) -> Result<Document, ImageError> {
    parse(path, &read_document(path)?)
}

/// Reads a small file, and only that.
pub(super) fn read_document(path: &Path) -> Result<Vec<u8>, ImageError> {
    let meta = fs::metadata(path).map_err(ImageError::io("reading", path))?;
    if !meta.is_file() || meta.len() > MAX_DOCUMENT_BYTES {
        return Err(not_an_image(path, "not a small regular file"));
    }
    fs::read(path).map_err(ImageError::io("reading", path))
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Document, ImageError> {
    serde_json::from_slice(bytes).map_err(|e| not_an_image(path, &e.to_string()))
}

/// An error that names the file.
pub(super) fn not_an_image(path: &Path, reason: &str) -> ImageError {
    ImageError::NotAnImage { source_name: path.display().to_string(), reason: reason.into() }
}
