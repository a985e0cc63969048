//! Images: what is here, under which names, and how it got here.
//!
//! ```text
//! OCI layout folder ─┐
//! OCI / docker archive ─┤                        layers/<diff id>/   unpacked once, shared read-only
//! registry ───────────┼─> import -> commit ──>   records/<id>.json  layers and defaults of one image
//! root fs folder ─────┘                          index.json          name -> image
//! this machine ──────────────────────────────>   host/<hash>/        the private part of the `host` image's root
//! ```
//!
//! The store is shared by processes: `sandbank image load` works beside a running server. Whatever another process could see
//! half done is prepared in `tmp/` and moved into place under one file lock.

mod archive;
mod digest;
mod host;
mod layout;
mod name;
mod registry;
mod rootfs;
mod staging;
mod store;
mod unpack;

pub use digest::Digest;
pub use host::{HOST_EMPTY_DIRS, HOST_ETC_HIDDEN, HOST_TREES};
pub use name::ImageName;
pub use registry::Credentials;
pub(crate) use staging::{discard, empty_trash};
pub use store::{ImageStore, Listed, Loaded, Removed};
pub use unpack::{UnpackLimits, Unpacked, unpack_layer};

use std::{io, path::PathBuf};

/// What identifies an image: the digest of its configuration, or `host`.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct ImageId(pub String);

impl ImageId {
    /// This machine's own root file system.
    pub fn host() -> Self {
        Self("host".into())
    }

    /// Whether this is the built-in image of the machine itself.
    pub fn is_host(&self) -> bool {
        self.0 == "host"
    }
}

/// An image that is here, ready to be the lower layers of an overlay.
#[derive(Clone, Debug)]
pub struct Image {
    /// What identifies it; becomes `imageID` in a pod's status.
    pub id: ImageId,
    /// Unpacked layers, topmost first, as overlayfs wants them.
    pub layers: Vec<PathBuf>,
    /// Further trees, each an overlay of its own below the root; only the `host` image has any.
    pub trees: Vec<Tree>,
    /// What a container of this image does unless told otherwise.
    pub defaults: ImageDefaults,
    /// How the name it was asked for came to mean it.
    pub origin: Origin,
}

/// How a name came to mean an image. A name given on this machine needs no registry, whatever the pull policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Origin {
    /// Loaded or tagged here.
    Local,
    /// Pulled.
    Registry,
}

/// A part of a root file system with layers of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Where, relative to the root.
    pub at: PathBuf,
    /// Its layers, topmost first.
    pub layers: Vec<PathBuf>,
}

/// The part of an image's configuration that a container inherits. Field names are those of the OCI image specification.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageDefaults {
    /// Program and first arguments.
    pub entrypoint: Option<Vec<String>>,
    /// Arguments, or the program if there is no entry point.
    pub cmd: Option<Vec<String>>,
    /// `NAME=value`.
    pub env: Option<Vec<String>>,
    /// Where the program starts.
    pub working_dir: Option<String>,
    /// `user[:group]`, by name or number.
    pub user: Option<String>,
    /// The signal that asks it to stop, by name or number.
    pub stop_signal: Option<String>,
}

/// Why an image can't be had. The text becomes the message of ErrImagePull.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A file operation of the store.
    #[error("{attempted} {path}: {source}")]
    Io {
        /// What was attempted.
        attempted: &'static str,
        /// On what.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A name that no image can have.
    #[error("couldn't parse image name {name:?}: {reason}")]
    Name {
        /// As written.
        name: String,
        /// The reason.
        reason: String,
    },
    /// Nothing of that name is here.
    #[error(
        "no image named {0:?} is here; see `sandbank image list`, load it or tag one that is here"
    )]
    NotHere(String),
    /// The source is not an image, or not one this machine can use.
    #[error("{source_name}: {reason}")]
    NotAnImage {
        /// The file, folder or name it was read from.
        source_name: String,
        /// The reason.
        reason: String,
    },
    /// Content does not have the digest it was promised to have.
    #[error("{what} has digest {found}, not {expected} as promised")]
    DigestMismatch {
        /// Which content.
        what: String,
        /// What was promised.
        expected: String,
        /// What came.
        found: String,
    },
    /// A layer that would leave its folder or is larger than allowed.
    #[error("unpacking a layer: {path:?}: {reason}")]
    Layer {
        /// The entry.
        path: String,
        /// The reason.
        reason: String,
    },
    /// The registry refused or could not be reached.
    #[error("pulling {name}: {reason}")]
    Registry {
        /// The image.
        name: String,
        /// The registry's word.
        reason: String,
    },
    /// The `host` image is built in: it can be tagged, not changed.
    #[error("the image `host` is built in and can't be {0}")]
    BuiltIn(&'static str),
}

impl ImageError {
    /// Wraps an I/O error with what was attempted on which path.
    pub(crate) fn io(
        attempted: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { attempted, path, source }
    }
}

/// Reads a small file of an image as the container would see it: from the topmost layer that has it. Links are followed
/// inside the layer only; nothing if no layer has it.
pub(crate) fn read_in_image(image: &Image, path: &str) -> Option<String> {
    use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
    /// User databases; a larger one is not read.
    const MAX_BYTES: u64 = 1 << 20;
    for layer in &image.layers {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(layer, flags, Mode::empty()).ok()?;
        // Without blocking: a layer may have put a pipe or the character device of a whiteout there.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        match openat2(&root, path, flags, Mode::empty(), inside) {
            Err(rustix::io::Errno::NOENT) => {}
            Err(_) => return None,
            Ok(file) => {
                let file = std::fs::File::from(file);
                file.metadata().ok().filter(|m| m.is_file())?;
                let mut text = String::new();
                io::Read::read_to_string(&mut io::Read::take(file, MAX_BYTES), &mut text).ok()?;
                return Some(text);
            }
        }
    }
    None
}
