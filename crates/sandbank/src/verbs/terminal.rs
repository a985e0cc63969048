//! Our own terminal: is there one, how large is it, and raw mode that is always left again.

use std::io;

use rustix::fd::BorrowedFd;
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::{self, OptionalActions, Termios};
use tokio::fs::File;

/// Whether standard input is a terminal.
pub fn is_terminal() -> bool {
    termios::isatty(stdin())
}

/// Columns and rows of the terminal that shows the output.
pub fn size() -> Option<(u16, u16)> {
    let size = termios::tcgetwinsize(stdout()).or_else(|_| termios::tcgetwinsize(stdin())).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

/// Standard input for tokio. Unbuffered on our side: nothing that was read is ever held back.
pub fn input() -> io::Result<File> {
    file(stdin())
}

/// Standard output and standard error for tokio.
pub fn outputs() -> io::Result<(File, File)> {
    Ok((file(stdout())?, file(stderr())?))
}

fn file(fd: BorrowedFd<'_>) -> io::Result<File> {
    Ok(File::from_std(std::fs::File::from(rustix::io::fcntl_dupfd_cloexec(fd, 3)?)))
}

/// Raw mode: every key goes to the other side, Ctrl-C too. Dropping it restores what was before.
pub struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    /// Enters raw mode on standard input.
    pub fn enter() -> io::Result<Self> {
        let before = termios::tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that is gone.
        let _ = termios::tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}
