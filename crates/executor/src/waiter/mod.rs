//! The waiter: one process for each task, which starts it, waits for it and writes down how it ended.
//!
//! It is our binary, executed again, and has one thread: starting a process in another container means running code between fork and exec, which only such a process may do.
//! It outlives the executor, so a task does not notice when the executor is restarted; and it adopts whatever the task detaches, so nothing can
//! leave the tree that a stop ends.
//!
//! ```text
//!   executor ── control.sock ── waiter ──┬── task ── child
//!                                        └── child that left its parents behind
//! ```

mod line;
mod outputs;
mod run;
mod stop;

use std::{
    env,
    ffi::OsStr,
    io,
    os::{
        fd::AsFd,
        unix::{ffi::OsStrExt, net::UnixListener, net::UnixStream},
    },
    process::ExitCode,
    time::Duration,
};

use rustix::process::DumpableBehavior;

use crate::{
    records::{Folder, SOCKET},
    target::Mode,
};

pub(crate) use line::{Command, Event};

/// The first argument that makes our binary a waiter. Its folder is the task's.
pub(crate) const WAITER: &str = "__task";

/// The executor looks at the lock for a moment. Whoever has it longer is another waiter, and the task is theirs.
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The arguments of a waiter.
pub(crate) fn arguments(mode: &Mode, main_container: &str) -> [String; 3] {
    let mode = match mode {
        Mode::Find => "find",
        Mode::Beside => "beside",
    };
    [WAITER.to_owned(), mode.to_owned(), main_container.to_owned()]
}

/// Runs the waiter if that is what this process was started as. The binary calls it before anything else: before a second thread or an async runtime exists.
#[must_use]
pub fn main() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(WAITER)) {
        return None;
    }
    let mode = match arguments.next()?.as_bytes() {
        b"beside" => Mode::Beside,
        _ => Mode::Find,
    };
    let name = arguments.next()?.to_string_lossy().into_owned();
    Some(match begin(&mode, &name) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("the waiter of a task: {e}");
            ExitCode::FAILURE
        }
    })
}

fn begin(mode: &Mode, name: &str) -> io::Result<()> {
    // What is forked here still holds our descriptors when it stands in a sandbox. Not dumpable, it can't be looked into from there; exec ends that.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    // Standard input is the executor's end of a pair of sockets; afterwards it is nothing.
    let executor = UnixStream::from(rustix::io::dup(io::stdin().as_fd())?);
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    rustix::process::setsid()?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;

    let folder = Folder::at(".");
    let mut held = folder.try_lock()?;
    for _ in 0..LOCK_TRIES {
        if held.is_some() {
            break;
        }
        std::thread::sleep(LOCK_PAUSE);
        held = folder.try_lock()?;
    }
    let Some(lock) = held else { return Ok(()) };
    if folder.launch()?.is_some() || folder.result()?.is_some() {
        // Somebody has run it already: never twice.
        return Ok(());
    }
    let record = folder.task()?;
    // One that is gone may have left its socket.
    let _ = std::fs::remove_file(SOCKET);
    let listener = UnixListener::bind(SOCKET)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done =
        runtime.block_on(run::run(run::Setup { folder, record, mode, name, executor, listener }));
    drop(lock);
    done
}
