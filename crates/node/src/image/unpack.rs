//! Unpacks one layer beneath a folder, in the form that overlayfs reads.
//!
//! A layer comes from strangers and is unpacked by root. Every path is resolved by the kernel beneath the folder's descriptor
//! (`openat2` with `RESOLVE_IN_ROOT`), so that neither `..` nor a symbolic link that the layer itself brought leads outside.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::{self, BufRead, BufReader, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Component, Path, PathBuf},
};

use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, XattrFlags};
use tar::EntryType;

use super::{Digest, ImageError, digest::Hashing};

/// How much a layer may hold. A compressed bomb ends here instead of in a full disk.
#[derive(Clone, Copy, Debug)]
pub struct UnpackLimits {
    /// Bytes of the uncompressed archive.
    pub bytes: u64,
    /// Files, folders and links.
    pub entries: u64,
}

impl Default for UnpackLimits {
    /// 32 GiB and two million entries: several times the largest layers of machine-learning images, which are the largest in use.
    fn default() -> Self {
        Self { bytes: 32 << 30, entries: 2_000_000 }
    }
}

/// What came out of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// The digest of the uncompressed archive, to be compared with the image's `diff_ids`.
    pub diff_id: Digest,
    /// Bytes of file content.
    pub bytes: u64,
}

/// Whiteouts of the layer format.
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Unpacks a tar stream, plain or compressed with gzip or zstd, into `folder`, which must exist and be empty.
pub fn unpack_layer(
    archive: impl Read,
    folder: &Path,
    limits: UnpackLimits,
) -> Result<Unpacked, ImageError> {
    let read_failed =
        |source| ImageError::Io { attempted: "reading a layer into", path: folder.into(), source };
    let plain = decompress(archive).map_err(read_failed)?;
    let mut hashing = Hashing::new(plain, limits.bytes);
    let root = fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| read_failed(e.into()))?;
    let mut layer = Layer { root, bytes: 0, folder_times: BTreeMap::new() };
    {
        let mut archive = tar::Archive::new(&mut hashing);
        let mut left = limits.entries;
        for entry in archive.entries().map_err(read_failed)? {
            let mut entry = entry.map_err(read_failed)?;
            let path = PathBuf::from(OsStr::from_bytes(&entry.path_bytes()));
            let named =
                |reason: String| ImageError::Layer { path: path.display().to_string(), reason };
            left = left.checked_sub(1).ok_or_else(|| named("too many entries".into()))?;
            layer.place(&path, &mut entry).map_err(|e| named(e.to_string()))?;
        }
    }
    layer.finish().map_err(read_failed)?;
    let bytes = layer.bytes;
    Ok(Unpacked { diff_id: hashing.digest().map_err(read_failed)?, bytes })
}

/// Recognises the compression by its first bytes; media types are often wrong.
fn decompress<'a>(source: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut source = BufReader::with_capacity(128 << 10, source);
    let head = source.fill_buf()?;
    Ok(if head.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::bufread::MultiGzDecoder::new(source))
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Box::new(zstd::stream::read::Decoder::with_buffer(source)?)
    } else {
        Box::new(source)
    })
}

struct Layer {
    root: OwnedFd,
    bytes: u64,
    /// Set at the end, because every file made inside a folder changes its time.
    folder_times: BTreeMap<PathBuf, i64>,
}

impl Layer {
    fn place(&mut self, path: &Path, entry: &mut tar::Entry<'_, impl Read>) -> io::Result<()> {
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader | EntryType::XHeader) {
            return Ok(());
        }
        let parts = parts(path)?;
        let Some((&name, above)) = parts.split_last() else {
            return self.place_root(entry);
        };
        let above: PathBuf = above.iter().collect();
        let parent = self.folder(&above)?;
        if name.as_bytes() == OPAQUE {
            let folder =
                fs::openat(&parent, ".", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
            fs::fsetxattr(&folder, "trusted.overlay.opaque", b"y", XattrFlags::empty())?;
            return Ok(());
        }
        if let Some(gone) = name.as_bytes().strip_prefix(WHITEOUT) {
            let gone = OsStr::from_bytes(gone);
            if matches!(gone.as_bytes(), b"" | b"." | b"..") {
                return Err(io::Error::other("a whiteout of no file"));
            }
            clear(&parent, gone)?;
            fs::mknodat(&parent, gone, FileType::CharacterDevice, Mode::empty(), 0)?;
            return Ok(());
        }
        let header = entry.header();
        let mode = Mode::from_raw_mode(header.mode()? & 0o7777);
        let owner = owner(header);
        let mtime = header.mtime().unwrap_or(0) as i64;
        match kind {
            EntryType::Directory => {
                if !is_folder(&parent, name) {
                    clear(&parent, name)?;
                    fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755))?;
                }
                fs::chownat(
                    &parent,
                    name,
                    Some(owner.0),
                    Some(owner.1),
                    AtFlags::SYMLINK_NOFOLLOW,
                )?;
                fs::chmodat(&parent, name, mode, AtFlags::empty())?;
                self.folder_times.insert(above.join(name), mtime);
            }
            EntryType::Symlink => {
                let target = link_target(entry)?;
                clear(&parent, name)?;
                fs::symlinkat(&target, &parent, name)?;
                fs::chownat(
                    &parent,
                    name,
                    Some(owner.0),
                    Some(owner.1),
                    AtFlags::SYMLINK_NOFOLLOW,
                )?;
                set_time(&parent, name, mtime)?;
            }
            EntryType::Link => {
                let target = link_target(entry)?;
                let target = self::parts(&target)?;
                let Some((&target_name, target_above)) = target.split_last() else {
                    return Err(io::Error::other("a hard link to the root"));
                };
                let target_parent = self.folder(&target_above.iter().collect::<PathBuf>())?;
                clear(&parent, name)?;
                fs::linkat(&target_parent, target_name, &parent, name, AtFlags::empty())?;
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                clear(&parent, name)?;
                let device = rustix::fs::makedev(
                    header.device_major()?.unwrap_or(0),
                    header.device_minor()?.unwrap_or(0),
                );
                let file_type = match kind {
                    EntryType::Char => FileType::CharacterDevice,
                    EntryType::Block => FileType::BlockDevice,
                    _ => FileType::Fifo,
                };
                fs::mknodat(&parent, name, file_type, mode, device)?;
                fs::chownat(
                    &parent,
                    name,
                    Some(owner.0),
                    Some(owner.1),
                    AtFlags::SYMLINK_NOFOLLOW,
                )?;
                fs::chmodat(&parent, name, mode, AtFlags::empty())?;
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                clear(&parent, name)?;
                self.place_file(&parent, name, entry, owner, mode)?;
                set_time(&parent, name, mtime)?;
            }
            other => {
                return Err(io::Error::other(format!("entry type {other:?} is not understood")));
            }
        }
        Ok(())
    }

    fn place_root(&mut self, entry: &tar::Entry<'_, impl Read>) -> io::Result<()> {
        let header = entry.header();
        let root = fs::openat(&self.root, ".", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        let (uid, gid) = owner(header);
        fs::fchown(&root, Some(uid), Some(gid))?;
        fs::fchmod(&root, Mode::from_raw_mode(header.mode()? & 0o7777))?;
        Ok(())
    }

    fn place_file(
        &mut self,
        parent: impl AsFd,
        name: &OsStr,
        entry: &mut tar::Entry<'_, impl Read>,
        owner: (Uid, Gid),
        mode: Mode,
    ) -> io::Result<()> {
        let attributes = attributes(entry)?;
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file =
            std::fs::File::from(fs::openat(parent, name, flags, Mode::from_raw_mode(0o600))?);
        self.bytes += io::copy(entry, &mut file)?;
        // The owner before the mode: changing the owner clears set-user-ID. Attributes last: it also clears capabilities.
        fs::fchown(&file, Some(owner.0), Some(owner.1))?;
        fs::fchmod(&file, mode)?;
        for (key, value) in attributes {
            fs::fsetxattr(&file, key.as_str(), &value, XattrFlags::empty())?;
        }
        Ok(())
    }

    /// The folder at `path`, made if it isn't there (layers may leave parents to lower layers).
    fn folder(&self, path: &Path) -> io::Result<OwnedFd> {
        match self.open_folder(path) {
            Err(rustix::io::Errno::NOENT) => {}
            answer => return Ok(answer?),
        }
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        };
        let parent = self.folder(above)?;
        match fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => Ok(self.open_folder(path)?),
            // It is there and yet does not open: a link to nowhere stands in the way.
            Err(e) => Err(e.into()),
        }
    }

    fn open_folder(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        fs::openat2(
            &self.root,
            path,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV,
        )
    }

    fn finish(&self) -> io::Result<()> {
        for (path, mtime) in self.folder_times.iter().rev() {
            let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { continue };
            // A later entry may have replaced the folder; its time is then set already.
            if let Ok(parent) = self.open_folder(above) {
                match set_time(&parent, name, *mtime) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// The names a path is made of; `..` has no place in a layer.
fn parts(path: &Path) -> io::Result<Vec<&OsStr>> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => parts.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(io::Error::other("the path leaves the layer"));
            }
        }
    }
    Ok(parts)
}

/// Blank fields mean zero: some tools leave them so.
fn owner(header: &tar::Header) -> (Uid, Gid) {
    let (uid, gid) = (header.uid().unwrap_or(0) as u32, header.gid().unwrap_or(0) as u32);
    (Uid::from_raw(uid), Gid::from_raw(gid))
}

fn link_target(entry: &tar::Entry<'_, impl Read>) -> io::Result<PathBuf> {
    let name =
        entry.link_name_bytes().ok_or_else(|| io::Error::other("a link without a target"))?;
    Ok(PathBuf::from(OsStr::from_bytes(&name)))
}

/// File capabilities and user attributes. `trusted.*` would let a layer speak to overlayfs itself and is dropped.
fn attributes(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut attributes = Vec::new();
    let Some(extensions) = entry.pax_extensions()? else { return Ok(attributes) };
    for extension in extensions {
        let extension = extension?;
        let Some(key) = extension.key().ok().and_then(|k| k.strip_prefix("SCHILY.xattr.")) else {
            continue;
        };
        if key == "security.capability" || key.starts_with("user.") {
            attributes.push((key.into(), extension.value_bytes().to_vec()));
        }
    }
    Ok(attributes)
}

fn is_folder(parent: impl AsFd, name: &OsStr) -> bool {
    fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory)
}

/// Makes room for an entry: a later one of the same name replaces an earlier one.
fn clear(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(rustix::io::Errno::ISDIR | rustix::io::Errno::PERM) if is_folder(parent, name) => {
            // Beneath a descriptor of our own, so no link above it is followed; remove_dir_all follows none below.
            let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(parent));
            std::fs::remove_dir_all(Path::new(&path).join(name))
        }
        Err(e) => Err(e.into()),
    }
}

fn set_time(parent: impl AsFd, name: &OsStr, mtime: i64) -> io::Result<()> {
    let time = rustix::fs::Timespec { tv_sec: mtime, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    Ok(fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

#[cfg(test)]
#[path = "unpack_tests.rs"]
mod tests;
