//! Archives: an OCI layout or the output of `docker save`, as a tar file, compressed or not.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    path::{Component, Path, PathBuf},
};

use serde::Deserialize;

use super::{
    ImageError, ImageName,
    layout::{self, not_an_image},
    staging::Staging,
    store::Found,
};

/// One image of a docker archive's `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// All the blobs of an archive together: twice the bound of one layer.
const MAX_ARCHIVE_BYTES: u64 = 64 << 30;

/// Every image of an archive; its files are spread out in the staging folder.
pub(super) fn find(archive: &Path, staging: &Staging) -> Result<Vec<Found>, ImageError> {
    let folder = staging.folder("archive")?;
    spread(archive, &folder)?;
    if folder.join("oci-layout").is_file() {
        let mut found = layout::find(&folder)?;
        for image in &mut found {
            image.origin = archive.display().to_string();
        }
        return Ok(found);
    }
    let manifest = folder.join("manifest.json");
    if !manifest.is_file() {
        return Err(not_an_image(archive, "neither an OCI nor a docker archive"));
    }
    let images: Vec<DockerImage> = serde_json::from_slice(&layout::read_document(&manifest)?)
        .map_err(|e| not_an_image(archive, &format!("its manifest.json: {e}")))?;
    images.into_iter().map(|image| docker_image(archive, &folder, image)).collect()
}

fn docker_image(archive: &Path, folder: &Path, image: DockerImage) -> Result<Found, ImageError> {
    let inside = |name: &str| -> Result<PathBuf, ImageError> {
        let path = harmless(Path::new(name))
            .ok_or_else(|| not_an_image(archive, &format!("it names the file {name:?}")))?;
        Ok(folder.join(path))
    };
    let config = layout::read_document(&inside(&image.config)?)?;
    let layers =
        image.layers.iter().map(|name| inside(name).map(Some)).collect::<Result<_, _>>()?;
    let names = image.repo_tags.unwrap_or_default();
    let names = names.iter().map(|name| ImageName::parse(name)).collect::<Result<_, _>>()?;
    Ok(Found { config, layers, names, origin: archive.display().to_string() })
}

/// Writes the archive's regular files into a folder. Links and devices have no place in an image archive and are left out.
fn spread(archive: &Path, folder: &Path) -> Result<(), ImageError> {
    let read_failed = || ImageError::io("reading", archive);
    let file = File::open(archive).map_err(read_failed())?;
    let mut file = BufReader::new(file);
    let gzip = file.fill_buf().map_err(read_failed())?.starts_with(&[0x1f, 0x8b]);
    let plain: Box<dyn Read> =
        if gzip { Box::new(flate2::bufread::MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut tar = tar::Archive::new(plain.take(MAX_ARCHIVE_BYTES));
    for entry in tar.entries().map_err(read_failed())? {
        let mut entry = entry.map_err(|e| not_an_image(archive, &e.to_string()))?;
        let path = entry.path().map_err(read_failed())?.into_owned();
        let (true, Some(path)) = (entry.header().entry_type().is_file(), harmless(&path)) else {
            continue;
        };
        let path = folder.join(path);
        if let Some(above) = path.parent() {
            fs::create_dir_all(above).map_err(ImageError::io("making", above))?;
        }
        let mut file = File::create(&path).map_err(ImageError::io("making", &path))?;
        std::io::copy(&mut entry, &mut file).map_err(ImageError::io("writing", &path))?;
    }
    Ok(())
}

/// The path without `.`; nothing if it would leave the folder.
fn harmless(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            _ => return None,
        }
    }
    (!clean.as_os_str().is_empty()).then_some(clean)
}
