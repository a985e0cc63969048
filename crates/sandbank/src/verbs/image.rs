//! `sandbank image`: the images of a data directory. Works on its files, with or without a server that runs.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use node::image::{Credentials, Listed, Loaded, Removed};
use node::{ImageError, ImageStore};
use serde::Serialize;

use crate::cli::Global;
use crate::exit::Error;
use crate::output;
use crate::paths::DataDir;
use crate::table::Table;

/// A password longer than this is a wrong file.
const LONGEST_PASSWORD: u64 = 64 * 1024;

/// What to do with images.
#[derive(Debug, clap::Subcommand)]
pub enum ImageVerb {
    /// Bring in an OCI layout, an OCI or docker archive, or a root file system folder
    Load {
        /// The file or folder
        path: PathBuf,
        /// The image's name [default: the names in the source]
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Download an image from a registry
    Pull {
        /// The image, as pods write it
        image: String,
        /// Log in as this user; the password is read from standard input
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
    },
    /// Give an image another name: pods that ask for that name get this image
    Tag {
        /// An image that is here, by name or id; `host` is this machine itself
        image: String,
        /// The further name
        name: String,
        /// What a container of that name does unless its pod says otherwise [default: what the image says]
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// List the images
    #[command(alias = "ls")]
    List,
    /// Remove a name; an image without names goes when nothing runs it
    Rm {
        /// Names or ids
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<String>,
    },
}

/// Runs a verb of images.
pub async fn run(global: &Global, verb: ImageVerb) -> Result<(), Error> {
    let dir = DataDir::resolve(global.data_dir.as_deref())?;
    match verb {
        ImageVerb::Load { .. } | ImageVerb::Pull { .. } => dir.make()?,
        ImageVerb::Tag { .. } | ImageVerb::List | ImageVerb::Rm { .. } => must_exist(&dir)?,
    }
    let store = ImageStore::open(dir.path())
        .map_err(|e| explain(&format!("opening the images of {}", dir.path().display()), e))?;
    match verb {
        ImageVerb::Load { path, name } => load(global, store, path, name).await,
        ImageVerb::Pull { image, user } => pull(global, store, &image, user).await,
        ImageVerb::Tag { image, name, command } => tag(global, &store, &image, &name, &command),
        ImageVerb::List => list(global, &store),
        ImageVerb::Rm { images } => rm(global, &store, &images),
    }
}

/// Looking must not make anything.
fn must_exist(dir: &DataDir) -> Result<(), Error> {
    match dir.path().is_dir() {
        true => Ok(()),
        false => Err(Error::not_found(
            format!("the data directory {}", dir.path().display()),
            "`sandbank up` and `sandbank image load` make it; another is named with --data-dir DIR",
        )),
    }
}

async fn load(
    global: &Global,
    store: ImageStore,
    path: PathBuf,
    name: Option<String>,
) -> Result<(), Error> {
    let what = format!("loading {}", path.display());
    let load = tokio::task::spawn_blocking(move || store.load(&path, name.as_deref())).await;
    let loaded = load.map_err(anyhow::Error::from)?.map_err(|e| explain(&what, e))?;
    output::answer(global.output, &loaded, || {
        loaded.iter().map(say_loaded).collect::<Vec<_>>().join("\n")
    })
}

fn say_loaded(loaded: &Loaded) -> String {
    let id = &loaded.id.0;
    match loaded.names.is_empty() {
        false => format!("loaded {} ({id})", loaded.names.join(", ")),
        true => format!("loaded {id}; it has no name yet: `sandbank image tag {id} NAME`"),
    }
}

async fn pull(
    global: &Global,
    store: ImageStore,
    image: &str,
    user: Option<String>,
) -> Result<(), Error> {
    let credentials = match user {
        None => Credentials::Anonymous,
        Some(user) => Credentials::Basic { user, password: read_password()? },
    };
    let pulled = Arc::new(store).pull(image, credentials).await;
    let id = pulled.map_err(|e| explain(&format!("pulling {image}"), e))?.id;
    let answer = Loaded { id, names: vec![image.to_owned()] };
    output::answer(global.output, &answer, || format!("pulled {image} ({})", answer.id.0))
}

/// Not a flag: a flag is seen by every process of the machine.
fn read_password() -> Result<String, Error> {
    let mut password = String::new();
    let read = std::io::stdin().take(LONGEST_PASSWORD).read_to_string(&mut password);
    read.map_err(|e| anyhow::Error::new(e).context("reading the password"))?;
    let password = password.trim_end_matches(['\r', '\n']);
    match password.is_empty() {
        true => Err(Error::usage(
            "--user needs a password on standard input",
            "pipe it in: `... < password-file`",
        )),
        false => Ok(password.to_owned()),
    }
}

fn tag(
    global: &Global,
    store: &ImageStore,
    image: &str,
    name: &str,
    command: &[String],
) -> Result<(), Error> {
    let id =
        store.tag(image, name, command).map_err(|e| explain(&format!("tagging {image}"), e))?;
    let answer = Loaded { id, names: vec![name.to_owned()] };
    output::answer(global.output, &answer, || format!("{name} is now {image} ({})", answer.id.0))
}

fn list(global: &Global, store: &ImageStore) -> Result<(), Error> {
    let images = store.list().map_err(|e| explain("listing images", e))?;
    output::answer(global.output, &images, || table(&images).render())
}

fn table(images: &[Listed]) -> Table {
    let mut table = Table::new(["NAME", "ID", "SIZE"]);
    for image in images {
        // One line a name, so that a name can be found with grep and cut out with awk.
        let names = match image.names.is_empty() {
            true => vec!["<none>".to_owned()],
            false => image.names.clone(),
        };
        for name in names {
            table.row([name, image.id.0.clone(), size(image.size_bytes)]);
        }
    }
    table
}

fn size(bytes: u64) -> String {
    match bytes {
        0 => "-".into(),
        1..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

#[derive(Serialize)]
struct Removal {
    image: String,
    removed: &'static str,
}

fn rm(global: &Global, store: &ImageStore, images: &[String]) -> Result<(), Error> {
    let mut removals = Vec::new();
    let mut failure = None;
    for image in images {
        match store.remove(image) {
            Ok(removed) => {
                let removed = match removed {
                    Removed::NameOnly => "name",
                    Removed::InUse => "name, and the image when nothing runs it any more",
                    Removed::Image => "image",
                };
                removals.push(Removal { image: image.clone(), removed });
            }
            Err(e) => {
                failure = Some(explain(&format!("removing {image}"), e));
                break;
            }
        }
    }
    if !removals.is_empty() {
        output::answer(global.output, &removals, || {
            let lines = removals.iter().map(|r| format!("removed {} ({})", r.image, r.removed));
            lines.collect::<Vec<_>>().join("\n")
        })?;
    }
    failure.map_or(Ok(()), Err)
}

/// The exit code and the hint of an image error.
fn explain(what: &str, error: ImageError) -> Error {
    match &error {
        ImageError::NotHere(name) => {
            Error::not_found(format!("image {name}"), "`sandbank image list` lists the images")
        }
        ImageError::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            Error::refused(what, error.to_string(), "run it as the user that runs `sandbank up`")
        }
        ImageError::Io { .. } => Error::Failed(anyhow::Error::new(error).context(what.to_owned())),
        _ => Error::Refused { what: what.into(), reason: error.to_string(), next: None },
    }
}

#[cfg(test)]
mod tests {
    use node::image::ImageId;

    use super::*;

    #[test]
    fn every_name_has_a_line_of_its_own() {
        let images = [
            Listed { id: ImageId::host(), names: vec!["host:latest".into()], size_bytes: 0 },
            Listed {
                id: ImageId("sha256:ab".into()),
                names: vec!["a:1".into(), "b:2".into()],
                size_bytes: 12_300_000,
            },
            Listed { id: ImageId("sha256:cd".into()), names: Vec::new(), size_bytes: 900 },
        ];
        assert_eq!(
            table(&images).render(),
            "NAME          ID          SIZE\n\
             host:latest   host        -\n\
             a:1           sha256:ab   12.3 MB\n\
             b:2           sha256:ab   12.3 MB\n\
             <none>        sha256:cd   0.9 kB"
        );
    }
}
