//! A container's log file, in the format the Kubernetes container runtime interface defines: one line of output a line, with its
//! time, its stream and whether it is complete.
//!
//! `2026-01-02T03:04:05.000000006Z stdout F hello`

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output; the terminal, if there is one.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line beyond this is written in parts, marked `P`: readers of the format expect no more.
const LINE_LIMIT: usize = 16 * 1024;

/// A file beyond this is renamed to `NAME.1` (replacing the previous one) and begun anew, so that a container holds at most twice as much.
pub const ROTATE_AT: u64 = 10 * 1024 * 1024;

/// An open log file.
#[derive(Debug)]
pub struct LogWriter {
    path: PathBuf,
    file: File,
    written: u64,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl LogWriter {
    /// Opens the file, going on at its end.
    ///
    /// # Errors
    /// If it can't be made.
    pub fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        let written = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, written, stdout: Vec::new(), stderr: Vec::new() })
    }

    /// Writes what a stream brought; an incomplete line waits for its rest.
    ///
    /// # Errors
    /// If the disk is full or gone.
    pub fn write(&mut self, stream: LogStream, bytes: &[u8], now: Timestamp) -> io::Result<()> {
        let mut out = Vec::with_capacity(bytes.len() + 64);
        let waiting = match stream {
            LogStream::Stdout => &mut self.stdout,
            LogStream::Stderr => &mut self.stderr,
        };
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            waiting.extend_from_slice(piece);
            if waiting.last() == Some(&b'\n') {
                waiting.pop();
                line(&mut out, stream, waiting, now);
                waiting.clear();
            } else {
                while waiting.len() >= LINE_LIMIT {
                    let rest = waiting.split_off(LINE_LIMIT);
                    entry(&mut out, stream, waiting, Part::Partial, now);
                    *waiting = rest;
                }
            }
        }
        self.put(&out)
    }

    /// Writes what is left without an end of line, when the container has ended.
    ///
    /// # Errors
    /// If the disk is full or gone.
    pub fn finish(&mut self, now: Timestamp) -> io::Result<()> {
        let mut out = Vec::new();
        for (stream, rest) in [
            (LogStream::Stdout, std::mem::take(&mut self.stdout)),
            (LogStream::Stderr, std::mem::take(&mut self.stderr)),
        ] {
            if !rest.is_empty() {
                line(&mut out, stream, &rest, now);
            }
        }
        self.put(&out)
    }

    fn put(&mut self, out: &[u8]) -> io::Result<()> {
        if self.written > 0 && self.written + out.len() as u64 > ROTATE_AT {
            let mut old = self.path.clone().into_os_string();
            old.push(".1");
            fs::rename(&self.path, old)?;
            self.file =
                OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)?;
            self.written = 0;
        }
        self.file.write_all(out)?;
        self.written += out.len() as u64;
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Part {
    Full,
    Partial,
}

/// A whole line, in as many parts as it takes.
fn line(out: &mut Vec<u8>, stream: LogStream, text: &[u8], now: Timestamp) {
    let mut rest = text;
    while rest.len() > LINE_LIMIT {
        let (part, more) = rest.split_at(LINE_LIMIT);
        entry(out, stream, part, Part::Partial, now);
        rest = more;
    }
    entry(out, stream, rest, Part::Full, now);
}

fn entry(out: &mut Vec<u8>, stream: LogStream, text: &[u8], part: Part, now: Timestamp) {
    let stream = match stream {
        LogStream::Stdout => "stdout",
        LogStream::Stderr => "stderr",
    };
    let part = match part {
        Part::Full => 'F',
        Part::Partial => 'P',
    };
    // Nine digits always: readers sort lines by their text.
    out.extend_from_slice(format!("{now:.9} {stream} {part} ").as_bytes());
    out.extend_from_slice(text);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::new(1_700_000_000, 6).expect("a valid time")
    }

    #[test]
    fn lines_wait_until_they_are_complete_and_streams_do_not_mix() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("c/0.log");
        let mut log = LogWriter::open(&path).expect("a fresh log");
        log.write(LogStream::Stdout, b"one\ntw", now()).expect("room on the disk");
        log.write(LogStream::Stderr, b"oops\n", now()).expect("room on the disk");
        log.write(LogStream::Stdout, b"o\nrest", now()).expect("room on the disk");
        log.finish(now()).expect("room on the disk");
        assert_eq!(
            fs::read_to_string(&path).expect("was written"),
            "2023-11-14T22:13:20.000000006Z stdout F one\n\
             2023-11-14T22:13:20.000000006Z stderr F oops\n\
             2023-11-14T22:13:20.000000006Z stdout F two\n\
             2023-11-14T22:13:20.000000006Z stdout F rest\n"
        );
    }

    #[test]
    fn an_endless_line_is_written_in_parts() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("0.log");
        let mut log = LogWriter::open(&path).expect("a fresh log");
        log.write(LogStream::Stdout, &vec![b'x'; LINE_LIMIT + 5], now()).expect("room");
        log.write(LogStream::Stdout, b"y\n", now()).expect("room");
        let text = fs::read_to_string(&path).expect("was written");
        let ends: Vec<&str> = text.lines().map(|line| &line[38..39]).collect();
        assert_eq!(ends, ["P", "F"]);
        assert!(text.ends_with(" F xxxxxy\n"));
    }

    #[test]
    fn a_full_file_becomes_the_previous_one() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("0.log");
        let mut log = LogWriter::open(&path).expect("a fresh log");
        let line = [vec![b'x'; LINE_LIMIT - 1], vec![b'\n']].concat();
        for _ in 0..=(ROTATE_AT as usize / line.len()) {
            log.write(LogStream::Stdout, &line, now()).expect("room");
        }
        let old = fs::metadata(dir.path().join("0.log.1")).expect("rotated").len();
        let new = fs::metadata(&path).expect("begun anew").len();
        assert!(old <= ROTATE_AT && new < ROTATE_AT && new > 0, "{old} {new}");
    }
}
