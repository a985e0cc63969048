//! The built-in image `host`: this machine's own programs, copy-on-write, without its private files.
//!
//! What a container sees is built up, not masked away, so that a file nobody thought of is not there:
//!
//! - [`HOST_TREES`] show the machine's own files, each through an overlay of its own. Other file systems mounted below them
//!   do not show.
//! - `/etc` is a snapshot of what every user of the machine may read, without [`HOST_ETC_HIDDEN`].
//! - [`HOST_EMPTY_DIRS`] exist and are empty: home directories, `/var`, sockets and temporary files start afresh.
//! - Everything else at the top level, and the data dir wherever it is, does not exist.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, PermissionsExt as _, symlink},
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::fs::{FileType, Mode};

use super::{Digest, Image, ImageDefaults, ImageError, ImageId, Origin, Tree};

/// Folders of the machine that show as they are. Where one is a link (`/bin -> usr/bin`), the link shows.
pub const HOST_TREES: &[&str] =
    &["bin", "lib", "lib32", "lib64", "libx32", "nix", "opt", "sbin", "usr"];

/// Folders that exist and are empty, with their modes.
pub const HOST_EMPTY_DIRS: &[(&str, u32)] = &[
    ("boot", 0o755),
    ("dev", 0o755),
    ("home", 0o755),
    ("media", 0o755),
    ("mnt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("run/lock", 0o1777),
    ("srv", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("var", 0o755),
    ("var/cache", 0o755),
    ("var/lib", 0o755),
    ("var/log", 0o755),
    ("var/mail", 0o755),
    ("var/spool", 0o755),
    ("var/tmp", 0o1777),
];

/// Parts of `/etc` that do not show even if their mode would let every user read them: keys, credentials and the machine's
/// identity. Files that not every user may read (`shadow`, private keys) do not show in any case.
pub const HOST_ETC_HIDDEN: &[&str] = &[
    "NetworkManager",
    "apt/auth.conf",
    "apt/auth.conf.d",
    "cni",
    "containerd",
    "containers",
    "credstore",
    "credstore.encrypted",
    "crypttab",
    "docker",
    "fstab",
    "gshadow",
    "gshadow-",
    "ipsec.d",
    "ipsec.secrets",
    "kubernetes",
    "krb5.keytab",
    "letsencrypt",
    "machine-id",
    "netplan",
    "openvpn",
    "ppp",
    "rancher",
    "sandbank",
    "security/opasswd",
    "shadow",
    "shadow-",
    "ssh",
    "ssl/private",
    "sudoers",
    "sudoers.d",
    "wireguard",
    "wpa_supplicant",
];

/// Files of `/etc` that the node mounts over; they are there and empty so that the mount has a place.
const ETC_PLACES: &[&str] = &["hostname", "hosts", "resolv.conf"];

/// The search path of images that name none.
pub(super) const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The snapshot of `/etc` may be this old; walking `/etc` costs milliseconds, which a container start should not pay.
const SNAPSHOT_AGE: Duration = Duration::from_secs(30);
/// Larger files of `/etc` are databases that a tool rebuilds (hwdb), not configuration.
const MAX_ETC_FILE_BYTES: u64 = 4 << 20;
/// An `/etc` beyond this is not one.
const MAX_ETC_ENTRIES: usize = 50_000;

/// The built-in image of one store.
pub(super) struct Host {
    dir: PathBuf,
    hidden: Vec<PathBuf>,
    current: Option<(Instant, Image)>,
}

/// One entry of `/etc` that shows.
struct Entry {
    mode: u32,
    owner: (u32, u32),
    kind: FileType,
    /// Size and time of the last change: what makes a snapshot out of date.
    stamp: (u64, i64, i64),
}

impl Host {
    /// `dir` receives the snapshots; `hidden` are absolute paths that must not show.
    pub(super) fn new(dir: PathBuf, hidden: Vec<PathBuf>) -> Self {
        // Both spellings: as given, and where links lead.
        let mut both: Vec<PathBuf> = hidden.iter().filter_map(|p| p.canonicalize().ok()).collect();
        both.extend(hidden);
        both.sort();
        both.dedup();
        Self { dir, hidden: both, current: None }
    }

    /// The image as of now.
    pub(super) fn image(&mut self) -> Result<Image, ImageError> {
        if let Some((made, image)) = &self.current
            && made.elapsed() < SNAPSHOT_AGE
        {
            return Ok(image.clone());
        }
        let image = self.build(Path::new("/"))?;
        self.current = Some((Instant::now(), image.clone()));
        Ok(image)
    }

    /// The image of the machine whose root is `machine`.
    fn build(&self, machine: &Path) -> Result<Image, ImageError> {
        let etc = self.list_etc(machine)?;
        let mut meaning = format!("{:?}", self.hidden);
        for (path, entry) in &etc {
            meaning += &format!("{path:?} {:o} {:?} {:?}", entry.mode, entry.owner, entry.stamp);
        }
        let key = Digest::of(meaning.as_bytes());
        let snapshot = self.dir.join(&key.hex()[..16]);
        if !snapshot.is_dir() {
            self.write_snapshot(machine, &etc, &snapshot)?;
        }
        let mut trees = Vec::new();
        for name in HOST_TREES {
            let path = machine.join(name);
            if !fs::symlink_metadata(&path).is_ok_and(|m| m.is_dir()) {
                continue;
            }
            let mut layers = vec![path];
            let mask = snapshot.join("masks").join(name);
            if mask.is_dir() {
                layers.insert(0, mask);
            }
            trees.push(Tree { at: name.into(), layers });
        }
        let defaults = ImageDefaults {
            cmd: Some(vec!["/bin/sh".into()]),
            env: Some(vec![PATH.into()]),
            ..ImageDefaults::default()
        };
        let layers = vec![snapshot.join("root")];
        Ok(Image { id: ImageId::host(), layers, trees, defaults, origin: Origin::Local })
    }

    fn list_etc(&self, machine: &Path) -> Result<BTreeMap<PathBuf, Entry>, ImageError> {
        let mut entries = BTreeMap::new();
        let mut folders = vec![PathBuf::from("etc")];
        while let Some(folder) = folders.pop() {
            let path = machine.join(&folder);
            // What vanishes while it is listed was not there.
            for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
                let Ok(meta) = entry.metadata() else { continue };
                let inside = folder.join(entry.file_name());
                let kind = FileType::from_raw_mode(meta.mode());
                let everyone = match kind {
                    FileType::Directory => meta.mode() & 0o005 == 0o005,
                    FileType::RegularFile => {
                        meta.mode() & 0o004 != 0 && meta.len() <= MAX_ETC_FILE_BYTES
                    }
                    FileType::Symlink => true,
                    _ => false,
                };
                if !everyone || self.hides(machine, &inside) {
                    continue;
                }
                if kind == FileType::Directory {
                    folders.push(inside.clone());
                }
                let entry = Entry {
                    mode: meta.mode() & 0o7777,
                    owner: (meta.uid(), meta.gid()),
                    kind,
                    stamp: (meta.len(), meta.mtime(), meta.mtime_nsec()),
                };
                entries.insert(inside, entry);
                if entries.len() > MAX_ETC_ENTRIES {
                    return Err(ImageError::NotAnImage {
                        source_name: path.display().to_string(),
                        reason: format!("/etc holds more than {MAX_ETC_ENTRIES} files"),
                    });
                }
            }
        }
        Ok(entries)
    }

    fn hides(&self, machine: &Path, inside: &Path) -> bool {
        let in_etc = inside.strip_prefix("etc").unwrap_or(inside);
        HOST_ETC_HIDDEN.iter().any(|h| in_etc == Path::new(h))
            || ETC_PLACES.iter().any(|p| in_etc == Path::new(p))
            || self.hidden.iter().any(|h| machine.join(inside) == *h)
    }

    fn write_snapshot(
        &self,
        machine: &Path,
        etc: &BTreeMap<PathBuf, Entry>,
        to: &Path,
    ) -> Result<(), ImageError> {
        let making = self.dir.join(format!(".{:016x}", fastrand::u64(..)));
        let written = self.write_parts(machine, etc, &making);
        written.map_err(ImageError::io("making the host image in", &making))?;
        match fs::rename(&making, to) {
            // Another process was faster; its snapshot has the same content.
            Err(_) if to.is_dir() => {
                fs::remove_dir_all(&making).map_err(ImageError::io("removing", &making))
            }
            answer => answer.map_err(ImageError::io("moving the host image to", to)),
        }
    }

    fn write_parts(
        &self,
        machine: &Path,
        etc: &BTreeMap<PathBuf, Entry>,
        making: &Path,
    ) -> std::io::Result<()> {
        let root = making.join("root");
        fs::create_dir_all(root.join("etc"))?;
        for (name, mode) in HOST_EMPTY_DIRS {
            let path = root.join(name);
            fs::create_dir(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode))?;
        }
        symlink("/run", root.join("var/run"))?;
        symlink("/run/lock", root.join("var/lock"))?;
        for name in HOST_TREES {
            let path = machine.join(name);
            match fs::symlink_metadata(&path) {
                Ok(meta) if meta.is_symlink() => symlink(fs::read_link(&path)?, root.join(name))?,
                Ok(meta) if meta.is_dir() => fs::create_dir(root.join(name))?,
                _ => {}
            }
        }
        for (inside, entry) in etc {
            // A file that changes or goes while it is copied makes the next snapshot differ.
            let _ = copy(&machine.join(inside), &root.join(inside), entry);
        }
        for name in ETC_PLACES {
            fs::write(root.join("etc").join(name), "")?;
        }
        for hidden in &self.hidden {
            if let Ok(inside) = hidden.strip_prefix(machine) {
                mask(machine, inside, &making.join("masks"))?;
            }
        }
        Ok(())
    }
}

fn copy(from: &Path, to: &Path, entry: &Entry) -> std::io::Result<()> {
    match entry.kind {
        FileType::Directory => fs::create_dir(to)?,
        FileType::Symlink => return symlink(fs::read_link(from)?, to),
        _ => {
            fs::copy(from, to)?;
        }
    }
    std::os::unix::fs::chown(to, Some(entry.owner.0), Some(entry.owner.1))?;
    fs::set_permissions(to, fs::Permissions::from_mode(entry.mode))
}

/// A layer that makes `inside` disappear from its tree: folders down to it with the machine's modes, then a whiteout.
fn mask(machine: &Path, inside: &Path, masks: &Path) -> std::io::Result<()> {
    let shown = inside
        .iter()
        .next()
        .is_some_and(|top| HOST_TREES.iter().any(|t| OsStr::from_bytes(t.as_bytes()) == top));
    let (true, Some(above)) = (shown && inside.components().count() > 1, inside.parent()) else {
        return Ok(());
    };
    let mut at = PathBuf::new();
    for part in above {
        at.push(part);
        let (Ok(meta), path) = (fs::metadata(machine.join(&at)), masks.join(&at)) else {
            return Ok(());
        };
        fs::create_dir_all(&path)?;
        std::os::unix::fs::chown(&path, Some(meta.uid()), Some(meta.gid()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(meta.mode() & 0o7777))?;
    }
    let (cwd, kind) = (rustix::fs::CWD, FileType::CharacterDevice);
    match rustix::fs::mknodat(cwd, masks.join(inside), kind, Mode::empty(), 0) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
#[path = "host_tests.rs"]
mod tests;
