//! The store: names, records and layers below `images/` of the data dir.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use parking_lot::Mutex;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    Digest, Image, ImageDefaults, ImageError, ImageId, ImageName, Origin, UnpackLimits, archive,
    host::Host,
    layout, rootfs,
    staging::{self, Staging},
    unpack_layer,
};

/// The images of a data dir. Cheap to open; any number of processes may have it open.
pub struct ImageStore {
    dir: PathBuf,
    pods: PathBuf,
    host: Mutex<Host>,
}

/// An image as `sandbank image list` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// The image.
    pub id: ImageId,
    /// Every name it has, in order.
    pub names: Vec<String>,
    /// Bytes of its files; layers shared with other images count for each.
    pub size_bytes: u64,
}

/// An image that was brought in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Loaded {
    /// The image.
    pub id: ImageId,
    /// The names it got; none if its source says none and none was asked for.
    pub names: Vec<String>,
}

/// What removing a name did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// The image has other names, or is built in.
    NameOnly,
    /// The image is gone from the list; its files go when the last container that uses it does.
    InUse,
    /// The image and the layers that only it had are gone.
    Image,
}

/// One image, as kept on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    id: ImageId,
    /// Bottom first, as in the image's configuration.
    layers: Vec<Digest>,
    defaults: ImageDefaults,
    size_bytes: u64,
    /// Removed by name while in use: goes as soon as no container holds it.
    #[serde(default)]
    released: bool,
}

/// What keeps layers in place: written into a container's folder before its root is mounted.
#[derive(Serialize, Deserialize)]
struct Hold {
    id: ImageId,
    layers: Vec<PathBuf>,
}

/// An image found in some source, not yet unpacked.
pub(super) struct Found {
    /// The bytes of the image configuration; their digest is the image's id.
    pub(super) config: Vec<u8>,
    /// Layer files, bottom first; absent where the store has the layer already.
    pub(super) layers: Vec<Option<PathBuf>>,
    /// Names its source gives it.
    pub(super) names: Vec<ImageName>,
    /// For messages.
    pub(super) origin: String,
}

/// The part of an image configuration that is read here.
#[derive(Deserialize)]
struct Config {
    os: Option<String>,
    architecture: Option<String>,
    rootfs: RootFs,
    #[serde(default)]
    config: Option<ImageDefaults>,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<Digest>,
}

/// More layers than overlayfs could stack.
const MAX_LAYERS: usize = 400;

type Index = BTreeMap<ImageName, Named>;

/// What a name means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Named {
    id: ImageId,
    origin: Origin,
    /// What a container does under this name instead of what the image says; empty: what the image says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    command: Vec<String>,
}

impl Named {
    fn new(id: ImageId, origin: Origin) -> Self {
        Self { id, origin, command: Vec::new() }
    }
}

impl ImageStore {
    /// Opens the store of a data dir, making it if need be, and clears away what a killed process left.
    pub fn open(data_dir: &Path) -> Result<Self, ImageError> {
        Self::open_hiding(data_dir, &[])
    }

    /// The same, with further paths that the `host` image must not show.
    pub fn open_hiding(data_dir: &Path, private: &[PathBuf]) -> Result<Self, ImageError> {
        let dir = data_dir.join("images");
        crate::private::folder(&dir).map_err(ImageError::io("making", &dir))?;
        for part in ["layers", "records", "tmp", "trash", "host"] {
            let path = dir.join(part);
            fs::create_dir_all(&path).map_err(ImageError::io("making", &path))?;
        }
        let mut hidden = private.to_vec();
        hidden.push(data_dir.into());
        let host = Mutex::new(Host::new(dir.join("host"), hidden));
        let store = Self { dir, pods: data_dir.join("pods"), host };
        staging::sweep(&store.dir);
        let _lock = store.lock()?;
        store.collect()?;
        Ok(store)
    }

    /// The image of a name, by name or id; nothing if it isn't here.
    pub fn resolve(&self, written: &str) -> Result<Option<Image>, ImageError> {
        let index = self.index()?;
        let named = match self.known_id(written)? {
            Some(id) => Some(Named::new(id, Origin::Local)),
            None => index.get(&ImageName::parse(written)?).cloned(),
        };
        let Some(Named { id, origin, command }) = named else { return Ok(None) };
        let mut image = Image { origin, ..self.image(&id)? };
        if !command.is_empty() {
            image.defaults.entrypoint = None;
            image.defaults.cmd = Some(command);
        }
        Ok(Some(image))
    }

    /// Brings in every image of an OCI layout folder, an OCI or docker archive, or a root file system folder.
    /// `name` names it; without one the names in the source are used.
    pub fn load(&self, from: &Path, name: Option<&str>) -> Result<Vec<Loaded>, ImageError> {
        let name = name.map(ImageName::parse).transpose()?;
        let staging = Staging::new(&self.dir)?;
        let mut found = if from.join("oci-layout").is_file() {
            layout::find(from)?
        } else if from.is_dir() {
            vec![rootfs::pack(from, &staging)?]
        } else {
            archive::find(from, &staging)?
        };
        if let Some(name) = name {
            let [one] = &mut found[..] else {
                return Err(ImageError::NotAnImage {
                    source_name: from.display().to_string(),
                    reason: format!("holds {} images, so one name does not do", found.len()),
                });
            };
            one.names = vec![name];
        }
        let loaded = self.import(found, Origin::Local, &staging)?;
        drop(staging);
        self.empty_trash();
        Ok(loaded)
    }

    /// Gives an image that is here another name; from then on that name means this image. Under the new name a container does `command` unless its pod says
    /// otherwise; with an empty one it does what it does under the old name.
    pub fn tag(
        &self,
        existing: &str,
        new: &str,
        command: &[String],
    ) -> Result<ImageId, ImageError> {
        if ImageName::is_host(new) {
            return Err(ImageError::BuiltIn("replaced"));
        }
        let new = ImageName::parse(new)?;
        let _lock = self.lock()?;
        let mut index = self.index()?;
        let known = match self.known_id(existing)? {
            Some(id) => Named::new(id, Origin::Local),
            None => index
                .get(&ImageName::parse(existing)?)
                .cloned()
                .ok_or_else(|| ImageError::NotHere(existing.into()))?,
        };
        let id = known.id;
        if !id.is_host() {
            let record = self.record(&id)?;
            self.write_record(&Record { released: false, ..record })?;
        }
        let command = if command.is_empty() { known.command } else { command.to_vec() };
        index.insert(new, Named { id: id.clone(), origin: Origin::Local, command });
        self.write_index(&index)?;
        Ok(id)
    }

    /// Every image that is here, the built-in one first.
    pub fn list(&self) -> Result<Vec<Listed>, ImageError> {
        let index = self.index()?;
        let names = |id: &ImageId| -> Vec<String> {
            index.iter().filter(|(_, named)| named.id == *id).map(|(n, _)| n.to_string()).collect()
        };
        let host = ImageId::host();
        let mut host_names = vec!["host:latest".to_owned()];
        host_names.extend(names(&host));
        let mut listed = vec![Listed { id: host, names: host_names, size_bytes: 0 }];
        for record in self.records()? {
            let names = names(&record.id);
            if !record.released || !names.is_empty() {
                listed.push(Listed { names, size_bytes: record.size_bytes, id: record.id });
            }
        }
        Ok(listed)
    }

    /// Removes a name (or, by id, an image and all its names).
    pub fn remove(&self, written: &str) -> Result<Removed, ImageError> {
        if ImageName::is_host(written) {
            return Err(ImageError::BuiltIn("removed"));
        }
        let lock = self.lock()?;
        let mut index = self.index()?;
        let id = match self.known_id(written)? {
            Some(id) => {
                index.retain(|_, named| named.id != id);
                id
            }
            None => index
                .remove(&ImageName::parse(written)?)
                .map(|named| named.id)
                .ok_or_else(|| ImageError::NotHere(written.into()))?,
        };
        self.write_index(&index)?;
        if id.is_host() || index.values().any(|named| named.id == id) {
            return Ok(Removed::NameOnly);
        }
        let record = self.record(&id)?;
        self.write_record(&Record { released: true, ..record })?;
        self.collect()?;
        drop(lock);
        self.empty_trash();
        let gone = !self.record_path(&id).exists();
        Ok(if gone { Removed::Image } else { Removed::InUse })
    }

    /// Notes in a container's folder that its root uses this image, so that no process deletes the layers meanwhile.
    pub(crate) fn hold(&self, image: &Image, container: &Path) -> Result<(), ImageError> {
        let _lock = self.lock()?;
        for layer in &image.layers {
            fs::metadata(layer).map_err(ImageError::io("finding the layer", layer))?;
        }
        let path = container.join("image");
        let hold = Hold { id: image.id.clone(), layers: image.layers.clone() };
        write_json(&path, &hold)
    }

    /// Where the layer with this digest is or would be.
    pub(super) fn layer_path(&self, diff_id: &Digest) -> PathBuf {
        self.dir.join("layers").join(diff_id.hex())
    }

    /// A place for an import.
    pub(super) fn staging(&self) -> Result<Staging, ImageError> {
        Staging::new(&self.dir)
    }

    /// Deletes what was thrown away. Slow for large images.
    pub(crate) fn empty_trash(&self) {
        staging::empty_trash(&self.dir.join("trash"));
    }

    /// Unpacks what was found and makes it known, all of it or nothing.
    pub(super) fn import(
        &self,
        found: Vec<Found>,
        origin: Origin,
        staging: &Staging,
    ) -> Result<Vec<Loaded>, ImageError> {
        let mut unpacked: BTreeMap<Digest, PathBuf> = BTreeMap::new();
        let mut records = Vec::new();
        for image in found {
            let config = read_config(&image)?;
            let mut size_bytes = 0;
            for (diff_id, file) in config.rootfs.diff_ids.iter().zip(&image.layers) {
                let sizes = self.dir.join("layers").join(format!("{}.size", diff_id.hex()));
                if unpacked.contains_key(diff_id) || self.layer_path(diff_id).is_dir() {
                    size_bytes += read_json::<u64>(&sizes)?.unwrap_or(0);
                    continue;
                }
                let Some(file) = file else {
                    return Err(ImageError::NotAnImage {
                        source_name: image.origin.clone(),
                        reason: format!("layer {diff_id} was removed meanwhile; try again"),
                    });
                };
                let folder = staging.folder(&format!("layer-{}", diff_id.hex()))?;
                let archive = File::open(file).map_err(ImageError::io("opening", file))?;
                let answer = unpack_layer(archive, &folder, UnpackLimits::default())?;
                diff_id.check(&answer.diff_id, "the layer")?;
                write_json(&sizes, &answer.bytes)?;
                size_bytes += answer.bytes;
                unpacked.insert(diff_id.clone(), folder);
            }
            let id = ImageId(Digest::of(&image.config).to_string());
            let defaults = config.config.unwrap_or_default();
            let layers = config.rootfs.diff_ids;
            let record = Record { id, layers, defaults, size_bytes, released: false };
            records.push((record, image.names));
        }
        self.commit(records, origin, unpacked)
    }

    fn commit(
        &self,
        records: Vec<(Record, Vec<ImageName>)>,
        origin: Origin,
        unpacked: BTreeMap<Digest, PathBuf>,
    ) -> Result<Vec<Loaded>, ImageError> {
        let _lock = self.lock()?;
        for (diff_id, folder) in unpacked {
            let path = self.layer_path(&diff_id);
            // Another process may have brought the same layer meanwhile: content is the same by digest.
            if !path.is_dir() {
                fs::rename(&folder, &path).map_err(ImageError::io("moving a layer to", &path))?;
            }
        }
        let mut index = self.index()?;
        let mut loaded = Vec::new();
        for (record, names) in records {
            for diff_id in &record.layers {
                let path = self.layer_path(diff_id);
                fs::metadata(&path).map_err(ImageError::io("finding the layer", &path))?;
            }
            self.write_record(&record)?;
            let shown = names.iter().map(ToString::to_string).collect();
            let named = Named::new(record.id.clone(), origin);
            index.extend(names.into_iter().map(|name| (name, named.clone())));
            loaded.push(Loaded { id: record.id, names: shown });
        }
        self.write_index(&index)?;
        Ok(loaded)
    }

    /// Removes released records nobody holds, then layers nobody needs. Under the lock.
    fn collect(&self) -> Result<(), ImageError> {
        let holds = self.holds();
        let held: BTreeSet<&ImageId> = holds.iter().map(|h| &h.id).collect();
        let trash = self.dir.join("trash");
        let mut needed = BTreeSet::new();
        for record in self.records()? {
            if record.released && !held.contains(&record.id) {
                let path = self.record_path(&record.id);
                fs::remove_file(&path).map_err(ImageError::io("removing", &path))?;
            } else {
                needed.extend(record.layers.iter().map(|l| l.hex().to_owned()));
            }
        }
        let layers = self.dir.join("layers");
        for name in names_in(&layers)? {
            let hex = name.strip_suffix(".size").unwrap_or(&name);
            if !needed.contains(hex) {
                staging::discard(&layers.join(&name), &trash);
            }
        }
        let host = self.dir.join("host");
        for name in names_in(&host)? {
            let path = host.join(&name);
            if !holds.iter().any(|h| h.layers.iter().any(|l| l.starts_with(&path))) {
                staging::discard(&path, &trash);
            }
        }
        Ok(())
    }

    fn holds(&self) -> Vec<Hold> {
        let list = |dir: &Path| -> Vec<PathBuf> {
            fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect()
        };
        list(&self.pods)
            .iter()
            .flat_map(|pod| list(&pod.join("containers")))
            .filter_map(|container| read_json(&container.join("image")).ok().flatten())
            .collect()
    }

    /// An image that needs no name: the machine's own, or one given by its id.
    fn known_id(&self, written: &str) -> Result<Option<ImageId>, ImageError> {
        if ImageName::is_host(written) {
            return Ok(Some(ImageId::host()));
        }
        if !written.starts_with("sha256:") {
            return Ok(None);
        }
        let id = ImageId(written.parse::<Digest>()?.to_string());
        if self.record_path(&id).exists() {
            return Ok(Some(id));
        }
        Err(ImageError::NotHere(written.into()))
    }

    fn image(&self, id: &ImageId) -> Result<Image, ImageError> {
        if id.is_host() {
            return self.host.lock().image();
        }
        let record = self.record(id)?;
        let layers = record.layers.iter().rev().map(|l| self.layer_path(l)).collect();
        let (trees, origin) = (Vec::new(), Origin::Local);
        Ok(Image { id: record.id, layers, trees, defaults: record.defaults, origin })
    }

    fn lock(&self) -> Result<File, ImageError> {
        let path = self.dir.join("lock");
        let file = File::create(&path).map_err(ImageError::io("opening", &path))?;
        flock(&file, FlockOperation::LockExclusive)
            .map_err(|e| ImageError::io("locking", &path)(e.into()))?;
        Ok(file)
    }

    fn index(&self) -> Result<Index, ImageError> {
        Ok(read_json(&self.dir.join("index.json"))?.unwrap_or_default())
    }

    fn write_index(&self, index: &Index) -> Result<(), ImageError> {
        write_json(&self.dir.join("index.json"), index)
    }

    fn record_path(&self, id: &ImageId) -> PathBuf {
        let hex = id.0.strip_prefix("sha256:").unwrap_or(&id.0);
        self.dir.join("records").join(format!("{hex}.json"))
    }

    fn record(&self, id: &ImageId) -> Result<Record, ImageError> {
        read_json(&self.record_path(id))?.ok_or_else(|| ImageError::NotHere(id.0.clone()))
    }

    fn write_record(&self, record: &Record) -> Result<(), ImageError> {
        write_json(&self.record_path(&record.id), record)
    }

    fn records(&self) -> Result<Vec<Record>, ImageError> {
        let dir = self.dir.join("records");
        let mut records = Vec::new();
        for name in names_in(&dir)? {
            // A record that another process removed meanwhile is no record.
            records.extend(read_json::<Record>(&dir.join(name))?);
        }
        Ok(records)
    }
}

fn read_config(found: &Found) -> Result<Config, ImageError> {
    let refuse =
        |reason: String| ImageError::NotAnImage { source_name: found.origin.clone(), reason };
    let config: Config = serde_json::from_slice(&found.config)
        .map_err(|e| refuse(format!("its configuration is not that of an image: {e}")))?;
    let layers = config.rootfs.diff_ids.len();
    if layers != found.layers.len() || layers == 0 || layers > MAX_LAYERS {
        return Err(refuse(format!(
            "its configuration names {layers} layers and its manifest {}",
            found.layers.len()
        )));
    }
    let machine = oci_architecture();
    match (config.os.as_deref().unwrap_or("linux"), config.architecture.as_deref()) {
        ("linux", None) => Ok(config),
        ("linux", Some(architecture)) if architecture == machine => Ok(config),
        (os, architecture) => Err(refuse(format!(
            "it is for {os}/{}, this machine is linux/{machine}",
            architecture.unwrap_or("?")
        ))),
    }
}

/// This machine's architecture, as image manifests spell it.
pub(super) fn oci_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

fn names_in(dir: &Path) -> Result<Vec<String>, ImageError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(ImageError::io("reading", dir))? {
        let entry = entry.map_err(ImageError::io("reading", dir))?;
        names.extend(entry.file_name().into_string().ok().filter(|n| !n.starts_with('.')));
    }
    names.sort();
    Ok(names)
}

/// Nothing if there is no such file.
fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ImageError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(ImageError::io("reading", path)(e)),
    };
    let value = serde_json::from_slice(&bytes)
        .map_err(|e| ImageError::io("reading", path)(std::io::Error::other(e)))?;
    Ok(Some(value))
}

/// Whole or not at all, also for a reader in another process.
fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ImageError> {
    let bytes = serde_json::to_vec(value)
        .map_err(|e| ImageError::io("writing", path)(std::io::Error::other(e)))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{:016x}", fastrand::u64(..)));
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&beside)?;
        file.write_all(&bytes)?;
        fs::rename(&beside, path)
    };
    write().map_err(ImageError::io("writing", path))
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
