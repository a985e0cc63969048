//! The folder in which a container's first process begins.
//!
//! A pod may name one that neither its image nor a volume has. Container engines make it then; the library only fails to enter it, and
//! can't say which it was.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

use libcontainer::oci_spec::runtime::{Mount, Spec};

use super::protocol::Failure;
use crate::sub_path;

/// Makes it if it isn't there, in the volume or the root file system that it belongs to.
pub(super) fn make(spec: &Spec) -> Result<(), Failure> {
    let (Some(process), Some(root)) = (spec.process(), spec.root()) else { return Ok(()) };
    let folder = process.cwd();
    let inside: PathBuf = folder.components().filter(|one| *one != Component::RootDir).collect();
    if inside.components().any(|one| !matches!(one, Component::Normal(_))) {
        // Whoever writes `..` means a folder that is there.
        return Ok(());
    }
    let made = match innermost(spec, folder) {
        None => sub_path::open_in_root(root.path(), &inside).map(drop),
        Some(mount) => in_volume(mount, folder),
    };
    made.map_err(|e| Failure::new(&format!("make the working directory {}", folder.display()), e))
}

/// The mount that the folder is on; absent: the root.
fn innermost<'a>(spec: &'a Spec, folder: &Path) -> Option<&'a Mount> {
    let mounts = spec.mounts().iter().flatten();
    let around = mounts.filter(|mount| folder.starts_with(mount.destination()));
    around.max_by_key(|mount| mount.destination().components().count())
}

fn in_volume(mount: &Mount, folder: &Path) -> io::Result<()> {
    let bind = mount.typ().as_deref() == Some("bind");
    let (Some(source), Ok(inside)) = (mount.source(), folder.strip_prefix(mount.destination()))
    else {
        return Ok(());
    };
    if !bind || inside.as_os_str().is_empty() {
        // The kernel's own file systems have the folders they have, and a mount point is there.
        return Ok(());
    }
    let read_only = mount.options().iter().flatten().any(|option| option == "ro");
    if read_only && !source.join(inside).is_dir() {
        return Err(io::Error::other("it isn't in the volume, which is mounted read-only"));
    }
    let inside = inside.to_str().ok_or_else(|| io::Error::other("its name is not text"))?;
    sub_path::open(source, inside).map(drop)
}
