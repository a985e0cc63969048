//! hostPath: a folder or file of the machine, checked or made as its type says.

use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use k8s_openapi::api::core::v1::HostPathVolumeSource;

use super::{VolumeError, io_error};

/// Answers the path if it is what was asked for.
pub(super) fn check(volume: &str, source: &HostPathVolumeSource) -> Result<PathBuf, VolumeError> {
    let path = Path::new(&source.path);
    let kind = source.type_.as_deref().unwrap_or_default();
    let make = |result: std::io::Result<()>, mode| -> Result<(), VolumeError> {
        result
            .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
            .map_err(io_error(volume, "making", path))
    };
    if fs::symlink_metadata(path).is_err() {
        match kind {
            // Without a type nothing is checked; container engines make a folder then.
            "" | "DirectoryOrCreate" => make(fs::create_dir_all(path), 0o755)?,
            "FileOrCreate" => make(fs::write(path, ""), 0o644)?,
            _ => {}
        }
    }
    let wrong =
        || VolumeError::Type { volume: volume.into(), path: path.into(), wanted: kind.into() };
    let file_type = fs::metadata(path).map_err(|_| wrong())?.file_type();
    let right = match kind {
        "" => true,
        "Directory" | "DirectoryOrCreate" => file_type.is_dir(),
        "File" | "FileOrCreate" => file_type.is_file(),
        "Socket" => file_type.is_socket(),
        "CharDevice" => file_type.is_char_device(),
        "BlockDevice" => file_type.is_block_device(),
        _ => false,
    };
    if right { Ok(path.into()) } else { Err(wrong()) }
}
