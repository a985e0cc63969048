//! Entering, making and naming network namespaces. All of it concerns the calling thread.

use std::{
    fs::File,
    io,
    net::IpAddr,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    net::{AddressFamily, SocketFlags, SocketType},
    thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space},
};

/// Moves the calling thread into the namespace at `path`.
pub(super) fn enter(path: &Path) -> io::Result<()> {
    let file = File::open(path)
        .map_err(|e| io::Error::new(e.kind(), format!("open namespace {}: {e}", path.display())))?;
    enter_fd(&file)
}

/// Moves the calling thread into a namespace.
pub(crate) fn enter_fd(namespace: &impl AsFd) -> io::Result<()> {
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// The calling thread's namespace.
pub(super) fn current() -> io::Result<OwnedFd> {
    Ok(File::open("/proc/thread-self/ns/net")?.into())
}

/// Runs `inside` in a fresh namespace, and comes back to `home`.
pub(super) fn fresh<T>(
    home: &OwnedFd,
    inside: impl FnOnce() -> io::Result<T>,
) -> io::Result<(OwnedFd, T)> {
    #[allow(unsafe_code, reason = "the call itself; the argument is below")]
    // SAFETY: only CLONE_NEWNET is asked for; it doesn't touch the file descriptor table or memory that other threads share.
    unsafe {
        rustix::thread::unshare_unsafe(UnshareFlags::NEWNET)?;
    }
    let made = current().and_then(|fd| Ok((fd, inside()?)));
    if let Err(error) = enter_fd(home) {
        // Going on in the wrong namespace would give every later pod a network of its own kind.
        tracing::error!(%error, "the pod network's thread can't return to its namespace");
        std::process::abort();
    }
    made
}

/// A TCP socket in the calling thread's namespace.
pub(super) fn socket(to: IpAddr) -> io::Result<OwnedFd> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(family, SocketType::STREAM, flags, None)?)
}
