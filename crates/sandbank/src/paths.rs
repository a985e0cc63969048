//! Where things are on this machine: the data directory, what it holds, and the kubeconfig a verb uses.
//!
//! `up` and every client verb ask this file, so that a client finds the server of the same user without a flag.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::exit::Error;

/// The data directory of one server: everything `sandbank up` writes is below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// The directory named by the flag, or the default of this user: `$SANDBANK_DATA_DIR`, then
    /// `/var/lib/sandbank` for root, then `$XDG_DATA_HOME/sandbank`, then `~/.local/share/sandbank`.
    pub fn resolve(flag: Option<&Path>) -> Result<Self, Error> {
        let root = rustix::process::geteuid().is_root();
        let Self(dir) = Self::from_surroundings(flag, root, |name| {
            env::var_os(name).filter(|v| !v.is_empty())
        })?;
        // Pods outlive the server, and the next one may be started from another folder.
        Ok(Self(std::path::absolute(&dir).unwrap_or(dir)))
    }

    fn from_surroundings(
        flag: Option<&Path>,
        is_root: bool,
        var: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Error> {
        if let Some(dir) = flag {
            return Ok(Self(dir.to_owned()));
        }
        if let Some(dir) = var("SANDBANK_DATA_DIR") {
            return Ok(Self(dir.into()));
        }
        if is_root {
            return Ok(Self("/var/lib/sandbank".into()));
        }
        if let Some(base) = var("XDG_DATA_HOME") {
            return Ok(Self(PathBuf::from(base).join("sandbank")));
        }
        match var("HOME") {
            Some(home) => Ok(Self(PathBuf::from(home).join(".local/share/sandbank"))),
            None => Err(Error::usage(
                "there is no data directory: neither $HOME nor $SANDBANK_DATA_DIR is set",
                "name one with --data-dir DIR",
            )),
        }
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes the directory if it is not there, for its owner only: it holds keys, and other users' sandboxes.
    pub fn make(&self) -> Result<(), Error> {
        use std::os::unix::fs::DirBuilderExt;
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0);
        made.map_err(|e| {
            Error::refused(
                format!("making the data directory {}", self.0.display()),
                e.to_string(),
                "run it as the user that runs `sandbank up`, or name another with --data-dir DIR",
            )
        })
    }

    /// Certificates and tokens of the server.
    pub fn credentials(&self) -> PathBuf {
        self.0.join("credentials")
    }

    /// The objects.
    pub fn store(&self) -> PathBuf {
        self.0.join("objects.redb")
    }

    /// The administrator's kubeconfig that `up` writes (mode 0600).
    pub fn kubeconfig(&self) -> PathBuf {
        self.0.join("kubeconfig")
    }
}

/// Finds the kubeconfig of a client verb: `--kubeconfig`, that of `--data-dir`, `$KUBECONFIG`, that of the default data
/// directory, `~/.kube/config`.
///
/// A file that was named on purpose (by a flag or the variable) is used even if it does not exist: the error then
/// names it, instead of a server that nobody meant being asked.
pub fn find_kubeconfig(
    kubeconfig: Option<&Path>,
    data_dir: Option<&Path>,
) -> Result<PathBuf, Error> {
    if let Some(file) = kubeconfig {
        return Ok(file.to_owned());
    }
    if data_dir.is_some() {
        let file = DataDir::resolve(data_dir)?.kubeconfig();
        return if file.exists() {
            Ok(file)
        } else {
            Err(Error::NoKubeconfig { looked_at: vec![file] })
        };
    }
    // A list of files, as kubectl allows: the first that exists is the one (we do not merge).
    if let Some(files) = env::var_os("KUBECONFIG").filter(|v| !v.is_empty()) {
        let files: Vec<PathBuf> =
            env::split_paths(&files).filter(|p| !p.as_os_str().is_empty()).collect();
        if let Some(file) = files.iter().find(|p| p.exists()).or(files.first()) {
            return Ok(file.clone());
        }
    }
    let mut looked_at = vec![DataDir::resolve(None)?.kubeconfig()];
    looked_at.extend(env::var_os("HOME").map(|home| PathBuf::from(home).join(".kube/config")));
    match looked_at.iter().find(|p| p.exists()) {
        Some(file) => Ok(file.clone()),
        None => Err(Error::NoKubeconfig { looked_at }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(flag: Option<&str>, is_root: bool, vars: &[(&str, &str)]) -> Option<String> {
        DataDir::from_surroundings(flag.map(Path::new), is_root, |name| {
            vars.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v))
        })
        .ok()
        .map(|dir| dir.path().display().to_string())
    }

    #[test]
    fn the_data_directory_is_looked_for_from_the_most_to_the_least_explicit() {
        let all = [("SANDBANK_DATA_DIR", "/s"), ("XDG_DATA_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(resolve(Some("/f"), false, &all).as_deref(), Some("/f"));
        assert_eq!(resolve(None, true, &all).as_deref(), Some("/s"));
        assert_eq!(resolve(None, true, &all[1..]).as_deref(), Some("/var/lib/sandbank"));
        assert_eq!(resolve(None, false, &all[1..]).as_deref(), Some("/x/sandbank"));
        assert_eq!(resolve(None, false, &all[2..]).as_deref(), Some("/h/.local/share/sandbank"));
        assert_eq!(resolve(None, false, &[]), None);
    }
}
