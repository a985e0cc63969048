//! `sandbank down` and `sandbank reset`: the end of a server, of its pods and of its data.

use std::fs;
use std::io;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

use super::lock::{self, Lock};
use super::machine;
use crate::cli::Global;
use crate::exit::Error;
use crate::output;
use crate::paths::DataDir;

/// A server ends in about a second: it lets requests finish for that long. Ten times as much is a hang.
const PATIENCE: Duration = Duration::from_secs(15);

/// Stops the pods and the server of a data directory. What they were is kept: the next `up` starts them again.
pub async fn down(global: &Global) -> Result<(), Error> {
    let dir = DataDir::resolve(global.data_dir.as_deref())?;
    must_exist(&dir)?;
    let (pods, _lock) = stop(&dir).await?;
    output::line(format_args!(
        "stopped the server and {pods} of its pods; the data is kept in {}",
        dir.path().display()
    ))
}

/// Does what [`down`] does, then removes the data directory.
pub async fn reset(global: &Global) -> Result<(), Error> {
    let dir = DataDir::resolve(global.data_dir.as_deref())?;
    must_exist(&dir)?;
    let (pods, _lock) = stop(&dir).await?;
    fs::remove_dir_all(dir.path())
        .with_context(|| format!("cannot remove {}", dir.path().display()))?;
    output::line(format_args!(
        "stopped the server and {pods} of its pods and removed {}",
        dir.path().display()
    ))
}

/// Nothing that is not ours is ever stopped or removed.
fn must_exist(dir: &DataDir) -> Result<(), Error> {
    if lock::is_data_dir(dir) {
        return Ok(());
    }
    Err(Error::not_found(
        format!("a sandbank data directory at {}", dir.path().display()),
        "name the one that `sandbank up` printed with --data-dir DIR",
    ))
}

/// Ends the server, then every pod. The lock keeps another server from starting in between.
async fn stop(dir: &DataDir) -> Result<(usize, Lock), Error> {
    if let Some(holder) = lock::holder(dir)?
        && let Some(pid) = Pid::from_raw(holder.pid)
    {
        match kill_process(pid, Signal::TERM) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(e) => {
                return Err(Error::refused(
                    format!("stopping the server with process id {}", holder.pid),
                    io::Error::from(e).to_string(),
                    "run this as the user who started it",
                ));
            }
        }
    }
    let taken = {
        let dir = dir.clone();
        tokio::task::spawn_blocking(move || Lock::wait(&dir))
    };
    let lock = tokio::time::timeout(PATIENCE, taken)
        .await
        .map_err(|_| Error::NotReady {
            what: "the end of the server".into(),
            reason: format!("it still runs {} s after it was told to stop", PATIENCE.as_secs()),
            next: format!("look at the process that holds {}", dir.path().display()),
        })?
        .context("cannot wait for the server")??;
    let pods = machine::end_pods(dir).await?;
    Ok((pods, lock))
}
