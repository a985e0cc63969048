//! Layers from strangers: what they may do, and what they must not.

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use super::*;

struct Tar(tar::Builder<Vec<u8>>);

impl Tar {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn add(mut self, kind: EntryType, path: &str, content: &str) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o640 });
        header.set_mtime(1_000_000);
        // Written by hand: the builder refuses the very names these tests are about.
        let name = &mut header.as_old_mut().name;
        name[..path.len()].copy_from_slice(path.as_bytes());
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
            header.set_size(0);
            header.set_cksum();
            self.0.append(&header, io::empty()).unwrap();
        } else {
            header.set_size(content.len() as u64);
            header.set_cksum();
            self.0.append(&header, content.as_bytes()).unwrap();
        }
        self
    }

    fn unpack(self) -> (tempfile::TempDir, Result<Unpacked, ImageError>) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir(&root).unwrap();
        std::fs::create_dir(dir.path().join("outside")).unwrap();
        std::fs::write(dir.path().join("outside/file"), "untouched").unwrap();
        let bytes = self.0.into_inner().unwrap();
        let answer = unpack_layer(&bytes[..], &root, UnpackLimits::default());
        (dir, answer)
    }
}

#[test]
fn files_folders_links_and_modes_arrive_as_packed() {
    let (dir, answer) = Tar::new()
        .add(EntryType::Directory, "bin/", "")
        .add(EntryType::Regular, "bin/tool", "#!/bin/sh\n")
        .add(EntryType::Symlink, "bin/alias", "tool")
        .add(EntryType::Link, "bin/same", "bin/tool")
        .unpack();
    assert_eq!(answer.unwrap().bytes, 10);
    let root = dir.path().join("root");
    let tool = std::fs::metadata(root.join("bin/tool")).unwrap();
    assert_eq!((tool.permissions().mode() & 0o7777, tool.mtime()), (0o640, 1_000_000));
    assert_eq!(tool.ino(), std::fs::metadata(root.join("bin/same")).unwrap().ino());
    assert_eq!(std::fs::read_link(root.join("bin/alias")).unwrap(), Path::new("tool"));
}

#[test]
fn a_path_with_dots_is_refused() {
    for path in ["../outside/file", "a/../../outside/file", "/../outside/file"] {
        let (dir, answer) = Tar::new().add(EntryType::Regular, path, "owned").unpack();
        assert!(matches!(answer, Err(ImageError::Layer { .. })), "{path}");
        let kept = std::fs::read_to_string(dir.path().join("outside/file")).unwrap();
        assert_eq!(kept, "untouched");
    }
}

#[test]
fn a_link_that_points_outside_leads_nowhere() {
    for target in ["../outside", "/etc", "../../../../../../../../tmp"] {
        let (dir, answer) = Tar::new()
            .add(EntryType::Symlink, "door", target)
            .add(EntryType::Regular, "door/file", "owned")
            .unpack();
        // Either there is no such folder beneath the root, or it was made there: never outside.
        let kept = std::fs::read_to_string(dir.path().join("outside/file")).unwrap();
        assert_eq!(kept, "untouched", "through {target}: {answer:?}");
        assert!(!Path::new("/etc/file").exists() && !Path::new("/tmp/file").exists());
    }
}

#[test]
fn a_hard_link_reaches_only_what_the_layer_brought() {
    let (_dir, answer) = Tar::new()
        .add(EntryType::Symlink, "door", "../outside")
        .add(EntryType::Link, "stolen", "door/file")
        .unpack();
    assert!(answer.is_err());
    let (_dir, answer) = Tar::new().add(EntryType::Link, "stolen", "../outside/file").unpack();
    assert!(answer.is_err());
}

#[test]
fn a_file_replaces_a_link_instead_of_writing_through_it() {
    let (dir, answer) = Tar::new()
        .add(EntryType::Symlink, "file", "../outside/file")
        .add(EntryType::Regular, "file", "mine")
        .unpack();
    answer.unwrap();
    assert_eq!(std::fs::read_to_string(dir.path().join("root/file")).unwrap(), "mine");
    assert_eq!(std::fs::read_to_string(dir.path().join("outside/file")).unwrap(), "untouched");
}

#[test]
fn whiteouts_become_what_overlayfs_reads() {
    let (dir, answer) = Tar::new()
        .add(EntryType::Regular, "etc/.wh.passwd", "")
        .add(EntryType::Regular, "var/.wh..wh..opq", "")
        .unpack();
    answer.unwrap();
    let root = dir.path().join("root");
    let gone = std::fs::symlink_metadata(root.join("etc/passwd")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    let mut value = [0u8; 4];
    let n = fs::getxattr(root.join("var"), "trusted.overlay.opaque", &mut value[..]).unwrap();
    assert_eq!(&value[..n], b"y");
}

#[test]
fn the_digest_is_that_of_the_plain_archive_whatever_the_compression() {
    let plain = Tar::new().add(EntryType::Regular, "a", "b").0.into_inner().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    io::Write::write_all(&mut gzip, &plain).unwrap();
    let packed = [plain.clone(), gzip.finish().unwrap(), zstd::encode_all(&plain[..], 1).unwrap()];
    for bytes in packed {
        let dir = tempfile::tempdir().unwrap();
        let answer = unpack_layer(&bytes[..], dir.path(), UnpackLimits::default()).unwrap();
        assert_eq!(answer.diff_id, Digest::of(&plain));
    }
}

#[test]
fn a_layer_beyond_its_limits_is_refused() {
    let big = Tar::new().add(EntryType::Regular, "a", &"x".repeat(5000)).0.into_inner().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let limits = UnpackLimits { bytes: 1000, entries: 10 };
    assert!(unpack_layer(&big[..], dir.path(), limits).is_err());
    let many = Tar::new().add(EntryType::Regular, "a", "").add(EntryType::Regular, "b", "");
    let dir = tempfile::tempdir().unwrap();
    let limits = UnpackLimits { bytes: 1 << 20, entries: 1 };
    assert!(unpack_layer(&many.0.into_inner().unwrap()[..], dir.path(), limits).is_err());
}
