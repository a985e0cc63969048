//! A folder that holds a root file system becomes an image of one layer.

use std::{
    fs::{self, File},
    io::{BufReader, BufWriter, Write as _},
    path::Path,
};

use super::{
    Digest, ImageError,
    digest::Hashing,
    layout::not_an_image,
    staging::Staging,
    store::{Found, oci_architecture},
};

/// Packs the folder as a layer. Sockets are left out: they mean nothing without their process.
pub(super) fn pack(folder: &Path, staging: &Staging) -> Result<Found, ImageError> {
    if !["bin", "usr", "etc", "lib"].iter().any(|name| folder.join(name).exists())
        && fs::read_dir(folder).map_err(ImageError::io("reading", folder))?.next().is_none()
    {
        return Err(not_an_image(folder, "the folder is empty"));
    }
    let path = staging.dir().join("rootfs.tar");
    let file = File::create(&path).map_err(ImageError::io("making", &path))?;
    let mut builder = tar::Builder::new(BufWriter::new(file));
    builder.follow_symlinks(false);
    append(&mut builder, folder, Path::new("")).map_err(ImageError::io("packing", folder))?;
    let written = builder.into_inner().and_then(|mut w| w.flush());
    written.map_err(ImageError::io("writing", &path))?;
    let file = File::open(&path).map_err(ImageError::io("reading", &path))?;
    let diff_id = Hashing::new(BufReader::new(file), u64::MAX)
        .digest()
        .map_err(ImageError::io("reading", &path))?;
    let config = serde_json::json!({
        "os": "linux",
        "architecture": oci_architecture(),
        "rootfs": { "type": "layers", "diff_ids": [Digest::to_string(&diff_id)] },
        "config": { "Cmd": ["/bin/sh"], "Env": [super::host::PATH] },
    });
    Ok(Found {
        config: config.to_string().into_bytes(),
        layers: vec![Some(path)],
        names: Vec::new(),
        origin: folder.display().to_string(),
    })
}

/// In the order of names, so that the same folder gives the same image.
fn append(
    builder: &mut tar::Builder<impl std::io::Write>,
    folder: &Path,
    at: &Path,
) -> std::io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let mut entries = fs::read_dir(folder.join(at))?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type()?;
        let inside = at.join(entry.file_name());
        if kind.is_dir() {
            builder.append_dir(&inside, entry.path())?;
            append(builder, folder, &inside)?;
        } else if !kind.is_socket() {
            builder.append_path_with_name(entry.path(), &inside)?;
        }
    }
    Ok(())
}
