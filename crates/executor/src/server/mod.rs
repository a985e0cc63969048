//! The executor: a small HTTP server, and a process for each task that outlives it.

mod auth;
mod follow;
mod http;
mod journal;
mod listen;
mod options;
mod tasks;

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use rustix::process::WaitOptions;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use self::{
    journal::Journal,
    options::{Options, OptionsError, USAGE},
    tasks::{Settings, Tasks},
};
use crate::target;

/// Held while an executor uses a data directory.
const LOCK: &str = ".lock";
/// The executor before may still be letting answers finish.
const LOCK_WAIT: Duration = Duration::from_secs(10);
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Why the executor ended by itself.
#[derive(Debug, thiserror::Error)]
enum ServerError {
    #[error("use the data directory {dir}: {source}")]
    DataDir { dir: String, source: io::Error },
    #[error("listen on {address}: {source}")]
    Listen { address: String, source: io::Error },
    #[error("open the log file: {0}")]
    Log(io::Error),
    #[error("start the async runtime: {0}")]
    Runtime(#[from] io::Error),
}

/// Runs the executor until SIGTERM or Ctrl-C. Tasks go on without it. `arguments` are those after the program's, or the verb's, name.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let variable = |name: &str| std::env::var_os(name).map(|v| v.to_string_lossy().into_owned());
    let options = match Options::read(arguments, variable) {
        Ok(options) => options,
        Err(OptionsError::Help) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(e) => {
            eprintln!("{e}");
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("task-executor: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<(), ServerError> {
    let dir = &options.data_dir;
    let in_dir = |source| ServerError::DataDir { dir: dir.display().to_string(), source };
    let lock = take(dir).map_err(in_dir)?;
    let journal = Journal::open(options.log.clone()).map_err(ServerError::Log)?;
    // The executor is in every pod: one thread, and the memory of one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(serve(options, journal));
    drop(lock);
    done
}

/// Makes the data directory ours. Two executors on one directory would both start its tasks.
fn take(dir: &Path) -> io::Result<File> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mut options = OpenOptions::new();
    let lock = options.create(true).truncate(false).write(true).mode(0o600).open(dir.join(LOCK))?;
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::Error(e)) => return Err(e),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                return Err(io::Error::other("another executor uses it"));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
        }
    }
}

async fn serve(options: Options, journal: Journal) -> Result<(), ServerError> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let listen = |source| ServerError::Listen { address: options.listen.to_string(), source };
    let listener = TcpListener::bind(options.listen).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let dir = fs::canonicalize(&options.data_dir)?;
    let (mode, main_container) = (options.mode, options.main_container);
    let tasks = Tasks::new(Settings { dir, mode, main_container }, journal);
    tokio::spawn(reap()?);
    tasks.recover().map_err(|source| ServerError::DataDir {
        dir: options.data_dir.display().to_string(),
        source,
    })?;
    let place = target::describe(&tasks.settings().mode, &tasks.settings().main_container);
    tasks.journal().say(format_args!("{place}"));
    let asked = if options.token.is_some() { "with a token" } else { "without a token" };
    tasks.journal().say(format_args!("listening on {address}, {asked}"));
    if options.token.is_none() && !address.ip().is_loopback() {
        tasks.journal().say(format_args!(
            "whoever reaches this address may run programs in the sandbox; -token-file closes it"
        ));
    }
    let router = http::router(http::Served { tasks: tasks.clone(), token: options.token });
    let (stop, stopped) = watch::channel(false);
    let mut serving = std::pin::pin!(listen::serve(listener, router, stopped));
    tokio::select! {
        () = &mut serving => {}
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    tasks.journal().say(format_args!("going; tasks go on"));
    // Nobody is left who could refuse it.
    let _ = stop.send(true);
    tasks.wake();
    serving.await;
    Ok(())
}

/// Takes the exit codes of all children: of waiters, and, as the first process of a container, of everything that was left behind there.
fn reap() -> io::Result<impl Future<Output = ()>> {
    let mut ended = signal(SignalKind::child())?;
    Ok(async move {
        while ended.recv().await.is_some() {
            while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
        }
    })
}
