//! `sandbank down` and `sandbank reset`: the end of a server, of its pods and of its data.

use std::fs;
use std::io;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use super::lock::{self, Lock};
use super::machine;
use crate::cli::Global;
use crate::exit::Error;
use crate::output;
use crate::paths::DataDir;

/// A server ends in about a second: it lets requests finish for that long. Ten times as much is a hang.
const PATIENCE: Duration = Duration::from_secs(15);

/// What came to its end.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ended {
    data_dir: String,
    /// Whether there was a server to stop; its pods may have outlived it.
    server_stopped: bool,
    pods_stopped: usize,
    data_removed: bool,
}

/// Stops the pods and the server of a data directory. What they were is kept: the next `up` starts them again.
pub async fn down(global: &Global) -> Result<(), Error> {
    let dir = DataDir::resolve(global.data_dir.as_deref())?;
    must_exist(&dir)?;
    let (ended, _lock) = stop(&dir).await?;
    tell(global, &ended)
}

/// Does what [`down`] does, then removes the data directory.
pub async fn reset(global: &Global) -> Result<(), Error> {
    let dir = DataDir::resolve(global.data_dir.as_deref())?;
    must_exist(&dir)?;
    let (ended, _lock) = stop(&dir).await?;
    fs::remove_dir_all(dir.path())
        .with_context(|| format!("cannot remove {}", dir.path().display()))?;
    tell(global, &Ended { data_removed: true, ..ended })
}

fn tell(global: &Global, ended: &Ended) -> Result<(), Error> {
    output::answer(global.output, ended, || {
        let Ended { data_dir, pods_stopped, .. } = ended;
        let stopped = match (ended.server_stopped, pods_stopped) {
            (true, _) => format!("stopped the server and {pods_stopped} of its pods"),
            (false, 0) => "no server and no pod was running".to_owned(),
            (false, _) => format!("no server was running; stopped {pods_stopped} of its pods"),
        };
        match ended.data_removed {
            true => format!("{stopped}; removed {data_dir}"),
            false => format!("{stopped}; the data is kept in {data_dir}"),
        }
    })
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
async fn stop(dir: &DataDir) -> Result<(Ended, Lock), Error> {
    let holder = lock::holder(dir)?;
    if let Some(holder) = &holder
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
    let ended = Ended {
        data_dir: dir.path().display().to_string(),
        server_stopped: holder.is_some(),
        pods_stopped: machine::end_pods(dir).await?,
        data_removed: false,
    };
    Ok((ended, lock))
}
