//! Reads container logs: lines of `TIME STREAM F|P TEXT`, where `P` says that the line goes on in the next one.

use std::{collections::VecDeque, io, path::PathBuf, time::Duration};

use bytes::Bytes;
use futures::stream::BoxStream;
use jiff::Timestamp;
use tokio::{
    fs::File,
    io::{AsyncBufReadExt as _, AsyncSeekExt as _, BufReader, SeekFrom},
    sync::{mpsc, watch},
};

/// What part of a log, and in which form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Go on as the container writes, until it ends.
    pub follow: bool,
    /// The run before the current one.
    pub previous: bool,
    /// Begin each line with its time.
    pub timestamps: bool,
    /// Only the last so many lines of what is there.
    pub tail_lines: Option<u64>,
    /// Only lines written at this time or later.
    pub since: Option<Timestamp>,
}

/// A follower looks for new text this often: unnoticeable to people, and two system calls each time.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Text is handed on in pieces of about this size.
const PIECE_BYTES: usize = 32 << 10;
/// One physical line; the writer splits at 16 KiB, so a longer one is not a log.
const MAX_LINE_BYTES: usize = 1 << 20;

/// Streams a log file. `running` turns false when the container has ended, which ends a follower at the end of the file.
pub(crate) fn stream(
    path: PathBuf,
    options: LogOptions,
    running: watch::Receiver<bool>,
) -> BoxStream<'static, io::Result<Bytes>> {
    let (send, receive) = mpsc::channel(8);
    tokio::spawn(async move {
        if let Err(error) = copy(path, options, running, &send).await {
            // A reader that is gone does not care why.
            let _ = send.send(Err(error)).await;
        }
    });
    Box::pin(futures::stream::unfold(receive, |mut receive| async {
        receive.recv().await.map(|piece| (piece, receive))
    }))
}

async fn copy(
    path: PathBuf,
    options: LogOptions,
    mut running: watch::Receiver<bool>,
    to: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let mut file = open(&path, &options, &mut running).await?;
    if let Some(lines) = options.tail_lines {
        let start = tail_offset(&mut file, lines).await?;
        file.seek(SeekFrom::Start(start)).await?;
    }
    let mut format = Format { options, at_line_start: true };
    let mut piece = Vec::new();
    let mut line = Vec::new();
    loop {
        // Asked before reading: what was written before the end is then read.
        let still_running = *running.borrow();
        while read_line(&mut file, &mut line).await? {
            format.append(&line, &mut piece);
            line.clear();
            if piece.len() >= PIECE_BYTES && !hand_on(&mut piece, to).await {
                return Ok(());
            }
        }
        if !hand_on(&mut piece, to).await {
            return Ok(());
        }
        if !format.options.follow || !still_running {
            return Ok(());
        }
        if let Some(next) = rotated(&path, &file).await {
            file = next;
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = to.closed() => return Ok(()),
        }
    }
}

/// The file, once there is one; a container that was just started may not have written yet.
async fn open(
    path: &PathBuf,
    options: &LogOptions,
    running: &mut watch::Receiver<bool>,
) -> io::Result<BufReader<File>> {
    loop {
        match File::open(path).await {
            Ok(file) => return Ok(BufReader::with_capacity(PIECE_BYTES, file)),
            Err(e)
                if e.kind() == io::ErrorKind::NotFound && options.follow && *running.borrow() =>
            {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            Err(e) => return Err(e),
        }
    }
}

/// The new file, if the writer has begun one under the same name.
async fn rotated(path: &PathBuf, current: &BufReader<File>) -> Option<BufReader<File>> {
    use std::os::unix::fs::MetadataExt as _;
    let named = tokio::fs::metadata(path).await.ok()?;
    let open = current.get_ref().metadata().await.ok()?;
    if named.ino() == open.ino() {
        return None;
    }
    let file = File::open(path).await.ok()?;
    Some(BufReader::with_capacity(PIECE_BYTES, file))
}

/// Whether a whole line was read; a line that is still being written is completed by later calls.
async fn read_line(file: &mut BufReader<File>, line: &mut Vec<u8>) -> io::Result<bool> {
    file.read_until(b'\n', line).await?;
    if line.len() > MAX_LINE_BYTES {
        return Err(io::Error::other("a line of the log is longer than a log's lines are"));
    }
    Ok(line.ends_with(b"\n"))
}

async fn hand_on(piece: &mut Vec<u8>, to: &mpsc::Sender<io::Result<Bytes>>) -> bool {
    piece.is_empty() || to.send(Ok(std::mem::take(piece).into())).await.is_ok()
}

/// Where the last `lines` lines begin. Reads the file from the start: it is bounded by rotation.
async fn tail_offset(file: &mut BufReader<File>, lines: u64) -> io::Result<u64> {
    let keep = usize::try_from(lines).unwrap_or(usize::MAX);
    let mut starts = VecDeque::new();
    let (mut at, mut new_line) = (0u64, true);
    let mut line = Vec::new();
    while read_line(file, &mut line).await? {
        if new_line {
            starts.push_back(at);
            if starts.len() > keep {
                starts.pop_front();
            }
        }
        at += line.len() as u64;
        new_line = !Parts::of(&line).is_some_and(|parts| parts.partial);
        line.clear();
    }
    Ok(starts.front().copied().unwrap_or(at))
}

/// A physical line, taken apart.
struct Parts<'a> {
    time: &'a str,
    partial: bool,
    text: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(line: &'a [u8]) -> Option<Self> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let mut fields = line.splitn(4, |b| *b == b' ');
        let time = std::str::from_utf8(fields.next()?).ok()?;
        let (_stream, tag) = (fields.next()?, fields.next()?);
        Some(Self { time, partial: tag.starts_with(b"P"), text: fields.next().unwrap_or_default() })
    }
}

struct Format {
    options: LogOptions,
    at_line_start: bool,
}

impl Format {
    fn append(&mut self, line: &[u8], out: &mut Vec<u8>) {
        // Not in our format: half a line after a power cut. It can only be passed over.
        let Some(parts) = Parts::of(line) else { return };
        if let Some(since) = self.options.since
            && parts.time.parse::<Timestamp>().is_ok_and(|time| time < since)
        {
            return;
        }
        if self.at_line_start && self.options.timestamps {
            out.extend_from_slice(parts.time.as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(parts.text);
        if !parts.partial {
            out.push(b'\n');
        }
        self.at_line_start = !parts.partial;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use futures::StreamExt as _;

    use super::*;

    const LOG: &str = "2026-01-01T00:00:01.000000000Z stdout F one\n\
        2026-01-01T00:00:02.000000000Z stdout P tw\n\
        2026-01-01T00:00:02.000000001Z stdout F o\n\
        2026-01-01T00:00:03.000000000Z stderr F three\n";

    async fn read(options: LogOptions) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), LOG).unwrap();
        let (_send, running) = watch::channel(false);
        let pieces = stream(file.path().into(), options, running);
        let all: Vec<_> = pieces.map(Result::unwrap).collect().await;
        String::from_utf8(all.concat()).unwrap()
    }

    #[tokio::test]
    async fn partial_lines_are_joined() {
        assert_eq!(read(LogOptions::default()).await, "one\ntwo\nthree\n");
    }

    #[tokio::test]
    async fn the_tail_counts_whole_lines() {
        let tail = |n| LogOptions { tail_lines: Some(n), ..LogOptions::default() };
        assert_eq!(read(tail(2)).await, "two\nthree\n");
        assert_eq!(read(tail(0)).await, "");
        assert_eq!(read(tail(9)).await, "one\ntwo\nthree\n");
    }

    #[tokio::test]
    async fn lines_are_chosen_and_shown_with_their_time() {
        let options = LogOptions {
            since: Some("2026-01-01T00:00:03Z".parse().unwrap()),
            timestamps: true,
            ..LogOptions::default()
        };
        assert_eq!(read(options).await, "2026-01-01T00:00:03.000000000Z three\n");
    }

    #[tokio::test]
    async fn a_follower_sees_what_is_written_later_and_ends_with_the_container() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let (send, running) = watch::channel(true);
        let options = LogOptions { follow: true, ..LogOptions::default() };
        let mut pieces = stream(path.clone(), options, running);
        let mut file = std::fs::File::create(&path).unwrap();
        writeln!(file, "2026-01-01T00:00:01Z stdout F early").unwrap();
        assert_eq!(pieces.next().await.unwrap().unwrap(), "early\n");
        writeln!(file, "2026-01-01T00:00:02Z stdout F late").unwrap();
        assert_eq!(pieces.next().await.unwrap().unwrap(), "late\n");
        send.send(false).unwrap();
        assert!(pieces.next().await.is_none());
    }
}
