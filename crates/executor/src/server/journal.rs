//! The lines that `kubectl logs -c task-executor` shows: one for each thing that happens to a task. Never a task's arguments or variables, which may
//! be secrets, and never its output, which is read through the API.

use std::{
    fmt, fs,
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use parking_lot::Mutex;

use super::options::LogFile;

const NAME: &str = "task-executor.log";

/// Where the lines go.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    file: Option<Mutex<Rotated>>,
}

impl Journal {
    /// Standard output, and the file if there is to be one.
    pub(crate) fn open(file: Option<LogFile>) -> io::Result<Self> {
        let file = file.map(Rotated::open).transpose()?;
        Ok(Self { file: file.map(Mutex::new) })
    }

    /// Writes a line. A reader that went away is no reason to stop.
    pub(crate) fn say(&self, what: fmt::Arguments<'_>) {
        let now = Timestamp::now();
        let line = format!("{now:.3} {what}\n");
        let mut out = io::stdout().lock();
        let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
        if let Some(file) = &self.file
            && let Err(error) = file.lock().write(line.as_bytes())
        {
            let _ = writeln!(out, "{now:.3} the log file can't be written: {error}");
        }
    }
}

/// `task-executor.log`, and `task-executor.log.TIME` for those before.
#[derive(Debug)]
struct Rotated {
    options: LogFile,
    file: File,
    length: u64,
}

impl Rotated {
    fn open(options: LogFile) -> io::Result<Self> {
        fs::create_dir_all(&options.dir)?;
        let file = append(&options.dir.join(NAME))?;
        let length = file.metadata()?.len();
        Ok(Self { options, file, length })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.length > 0 && self.length + line.len() as u64 > self.options.max_bytes {
            let path = self.options.dir.join(NAME);
            // Times in this form sort as they passed.
            let old = format!("{NAME}.{:.6}", Timestamp::now());
            fs::rename(&path, self.options.dir.join(old))?;
            self.file = append(&path)?;
            self.length = 0;
            self.forget()?;
        }
        self.length += line.len() as u64;
        self.file.write_all(line)
    }

    /// Removes what is too old or too much.
    fn forget(&self) -> io::Result<()> {
        let prefix = format!("{NAME}.");
        let mut old: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(&self.options.dir)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)) {
                old.push(entry.path());
            }
        }
        old.sort_unstable();
        let days = self.options.max_age_days.min(36_500);
        let too_old = SystemTime::now() - Duration::from_secs(days * 86_400);
        let too_many = old.len().saturating_sub(self.options.max_backups);
        for (index, path) in old.iter().enumerate() {
            if index < too_many || fs::metadata(path)?.modified()? < too_old {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_begun_anew_and_only_so_many_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let options =
            LogFile { dir: dir.path().to_owned(), max_bytes: 10, max_backups: 2, max_age_days: 7 };
        let mut log = Rotated::open(options).unwrap();
        for line in ["first\n", "second\n", "third\n", "fourth\n", "fifth\n"] {
            log.write(line.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(dir.path().join(NAME)).unwrap(), "fifth\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }
}
