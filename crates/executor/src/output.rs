//! What a task writes, in files that can't fill the disk.
//!
//! ```text
//!   stdout.log.5242880   the piece before: its number is the position of its first byte
//!   stdout.log           the newest piece, which begins where the one before ends
//! ```
//!
//! Two pieces of each stream are kept. Positions are counted from the task's first byte and never change, so a reader that comes back goes on where it was, or
//! learns how much it missed.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::protocol::Stream;

/// A stream holds at most twice as much on disk: enough for a test run's output, and small beside an image.
const PIECE: u64 = 5 << 20;

fn newest(dir: &Path, stream: Stream) -> PathBuf {
    dir.join(format!("{}.log", stream.name()))
}

/// The pieces that were rotated away and are still there, by the position of their first byte.
fn older(dir: &Path, stream: Stream) -> io::Result<Vec<(u64, PathBuf)>> {
    let prefix = format!("{}.log.", stream.name());
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(&prefix)?.parse().ok());
        found.extend(number.map(|start| (start, entry.path())));
    }
    found.sort_unstable();
    Ok(found)
}

/// The end of one stream that the waiter writes to.
#[derive(Debug)]
pub(crate) struct Writer {
    dir: PathBuf,
    stream: Stream,
    /// Absent: the task was removed, or the disk is full. Its output goes nowhere, and the task is not held up.
    file: Option<File>,
    start: u64,
    length: u64,
    piece: u64,
}

impl Writer {
    pub(crate) fn create(dir: &Path, stream: Stream) -> io::Result<Self> {
        Self::with_pieces(dir, stream, PIECE)
    }

    fn with_pieces(dir: &Path, stream: Stream, piece: u64) -> io::Result<Self> {
        let file = Some(open(&newest(dir, stream))?);
        Ok(Self { dir: dir.to_owned(), stream, file, start: 0, length: 0, piece })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if let Err(error) = self.try_write(bytes) {
            self.file = None;
            eprintln!("the task's {} is no longer kept: {error}", self.stream.name());
        }
    }

    fn try_write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let Some(file) = &mut self.file else { return Ok(()) };
            if file.metadata()?.nlink() == 0 {
                // The task was removed, and whatever it left running writes for nobody.
                self.file = None;
                return Ok(());
            }
            if self.length >= self.piece {
                self.rotate()?;
                continue;
            }
            let room = usize::try_from(self.piece - self.length).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(bytes.len().min(room));
            file.write_all(now)?;
            self.length += now.len() as u64;
            bytes = later;
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let current = newest(&self.dir, self.stream);
        let before = older(&self.dir, self.stream)?;
        fs::rename(&current, self.dir.join(format!("{}.log.{}", self.stream.name(), self.start)))?;
        self.file = Some(open(&current)?);
        self.start += self.length;
        self.length = 0;
        before.into_iter().try_for_each(|(_, path)| fs::remove_file(path))
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// A piece of output, and where it is in the whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) bytes: Vec<u8>,
    pub(crate) offset: u64,
    pub(crate) end: u64,
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// At a position, or at the oldest byte that is left.
    Offset(u64),
    /// So many bytes before the end.
    Tail(u64),
}

/// Reads at most `limit` bytes.
pub(crate) fn read(dir: &Path, stream: Stream, from: From, limit: usize) -> io::Result<Slice> {
    // A rotation in between shows as a file that is gone. It happens once in megabytes, so the second look finds things at rest.
    for _ in 0..3 {
        match try_read(dir, stream, from, limit) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            done => return done,
        }
    }
    // Nothing was ever written: the task has not begun.
    Ok(Slice { bytes: Vec::new(), offset: 0, end: 0 })
}

fn try_read(dir: &Path, stream: Stream, from: From, limit: usize) -> io::Result<Slice> {
    let mut pieces = Vec::new();
    let mut end = 0;
    // Only the last of them: one that is about to be removed may be there too.
    if let Some((start, path)) = older(dir, stream)?.pop() {
        let file = File::open(path)?;
        end = start + file.metadata()?.len();
        pieces.push((start, file));
    }
    let file = File::open(newest(dir, stream))?;
    let length = file.metadata()?.len();
    pieces.push((end, file));
    end += length;
    let oldest = pieces.first().map_or(0, |(start, _)| *start);
    let offset = match from {
        From::Offset(offset) => offset.clamp(oldest, end),
        From::Tail(bytes) => end.saturating_sub(bytes).max(oldest),
    };
    let mut bytes = Vec::new();
    for (start, mut file) in pieces {
        let at = offset + bytes.len() as u64;
        if at < start || bytes.len() >= limit {
            continue;
        }
        file.seek(SeekFrom::Start(at - start))?;
        // What was written since is left for the next question, so that the position of the end stays true.
        let room = (limit - bytes.len()) as u64;
        file.take(room.min(end - at)).read_to_end(&mut bytes)?;
    }
    Ok(Slice { bytes, offset, end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_stay_true_while_old_pieces_go() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let at = |from, limit| read(dir, Stream::Stdout, from, limit).unwrap();
        let slice = |bytes: &str, offset, end| Slice { bytes: bytes.into(), offset, end };
        assert_eq!(at(From::Offset(0), 9), slice("", 0, 0));
        let mut writer = Writer::with_pieces(dir, Stream::Stdout, 10).unwrap();
        writer.write(b"0123456789ab");
        assert_eq!(at(From::Offset(0), 99), slice("0123456789ab", 0, 12));
        assert_eq!(at(From::Offset(8), 3), slice("89a", 8, 12));
        writer.write(b"cdefghijklmnopqrs");
        // 29 bytes in all, of which the first ten are gone.
        assert_eq!(at(From::Offset(0), 4), slice("abcd", 10, 29));
        assert_eq!(at(From::Offset(18), 99), slice("ijklmnopqrs", 18, 29));
        assert_eq!(at(From::Tail(3), 99), slice("qrs", 26, 29));
        assert_eq!(at(From::Offset(99), 99), slice("", 29, 29));
        assert_eq!(fs::read_dir(dir).unwrap().count(), 2);
        writer.write(b"tuvwx");
        assert_eq!(at(From::Offset(29), 99), slice("tuvwx", 29, 34));
    }

    #[test]
    fn output_of_a_removed_task_goes_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::with_pieces(dir.path(), Stream::Stderr, 10).unwrap();
        fs::remove_file(newest(dir.path(), Stream::Stderr)).unwrap();
        writer.write(b"for nobody, and more than one piece of it");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
