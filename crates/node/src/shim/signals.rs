//! Signals about children, which rustix leaves to the C library.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{FromRawFd, OwnedFd},
};

/// A descriptor that becomes readable when a child has ended, ours or handed to us. The signal itself is blocked; programs that we
/// start begin with none blocked, as the standard library sees to.
pub(super) fn of_children() -> io::Result<OwnedFd> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    #[allow(unsafe_code, reason = "the calls themselves; the argument is below")]
    // SAFETY: `sigemptyset` initialises the set before anything reads it; the descriptor is fresh and ours alone.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGCHLD);
        if libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        match libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

/// Takes the word that children have ended, so that the descriptor waits for the next one.
pub(super) fn heard(children: &OwnedFd) {
    let mut word = [0; size_of::<libc::signalfd_siginfo>()];
    // How many signals were one does not matter: all children are looked at.
    while rustix::io::read(children, &mut word).is_ok_and(|length| length > 0) {}
}

/// Children of this process are not waited for: the kernel takes them away when they end.
pub(super) fn ignore_children() {
    #[allow(unsafe_code, reason = "the call itself; the argument is below")]
    // SAFETY: ignoring is no handler, so no code runs in signal context.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_IGN);
    }
}
