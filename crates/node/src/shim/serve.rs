//! The shim's loop: one `poll` over clients, output and ended processes.

use std::{
    collections::BTreeMap,
    io,
    os::{fd::OwnedFd, unix::net::UnixListener},
    process::ExitCode,
};

use rustix::{
    event::{PollFd, PollFlags},
    io::Errno,
};

use super::{
    boot,
    connection::{Connection, Heard, Purpose},
    pod::{Pod, Role},
    protocol::{Failure, Reply, Request},
    signals,
};
use crate::{log::LogStream, runtime::Exit};

/// Runs the shim of one pod until the pod is removed.
pub(super) fn main() -> ExitCode {
    let booted = boot::boot().and_then(|booted| Ok((booted, signals::of_children()?)));
    match booted {
        Ok(((pod, listener), children)) => {
            let connections = BTreeMap::new();
            let mut server = Server { pod, listener, children, connections, next: 0 };
            while !server.turn() {}
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("start the pod: {e}");
            ExitCode::FAILURE
        }
    }
}

struct Server {
    pod: Pod,
    listener: UnixListener,
    /// Readable when a child has ended.
    children: OwnedFd,
    connections: BTreeMap<u64, Connection>,
    next: u64,
}

/// What became ready.
#[derive(Clone, Debug)]
enum Source {
    Listener,
    Children,
    Output(String, LogStream),
    /// A client of a container's output that was behind.
    Client(String),
    Connection(u64),
}

impl Server {
    /// One turn; true when the pod is removed.
    fn turn(&mut self) -> bool {
        let ready = match self.wait() {
            Ok(ready) => ready,
            Err(Errno::INTR) => return false,
            Err(e) => {
                eprintln!("wait for something to happen: {e}");
                return true;
            }
        };
        let mut look_for_children = false;
        for source in ready {
            match source {
                Source::Listener => self.accept(),
                Source::Children => {
                    signals::heard(&self.children);
                    look_for_children = true;
                }
                Source::Output(name, stream) => {
                    if let Some(container) = self.pod.containers.get_mut(&name) {
                        container.output.pump(stream);
                    }
                }
                Source::Client(name) => {
                    if let Some(container) = self.pod.containers.get_mut(&name) {
                        container.output.flush();
                    }
                }
                Source::Connection(id) => {
                    if self.serve(id) {
                        return true;
                    }
                }
            }
        }
        if look_for_children {
            let (ended, _) = self.pod.reap();
            self.tell(ended);
        }
        self.connections.retain(|_, connection| !connection.finished());
        false
    }

    fn wait(&self) -> Result<Vec<Source>, Errno> {
        let mut sources = vec![Source::Listener, Source::Children];
        let mut fds = vec![
            PollFd::new(&self.listener, PollFlags::IN),
            PollFd::new(&self.children, PollFlags::IN),
        ];
        for (name, container) in &self.pod.containers {
            for (stream, fd) in container.output.sources() {
                sources.push(Source::Output(name.clone(), stream));
                fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
            }
            for fd in container.output.behind() {
                sources.push(Source::Client(name.clone()));
                fds.push(PollFd::from_borrowed_fd(fd, PollFlags::OUT));
            }
        }
        for (id, connection) in &self.connections {
            let mut flags = PollFlags::IN;
            flags.set(PollFlags::OUT, connection.behind());
            sources.push(Source::Connection(*id));
            fds.push(PollFd::from_borrowed_fd(connection.fd(), flags));
        }
        rustix::event::poll(&mut fds, None)?;
        let ready = fds.iter().zip(sources).filter(|(fd, _)| !fd.revents().is_empty());
        Ok(ready.map(|(_, source)| source).collect())
    }

    fn accept(&mut self) {
        while let Ok((socket, _)) = self.listener.accept() {
            // The folder and the socket are closed to others; this also keeps a container out that finds a way to the file.
            let root = rustix::net::sockopt::socket_peercred(&socket)
                .is_ok_and(|peer| peer.uid == rustix::process::geteuid());
            if let (true, Ok(connection)) = (root, Connection::new(socket)) {
                self.connections.insert(self.next, connection);
                self.next += 1;
            }
        }
    }

    /// True when the pod is removed.
    fn serve(&mut self, id: u64) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        if connection.flush().is_err() {
            self.hang_up(id);
            return false;
        }
        match connection.hear() {
            Heard::Nothing => false,
            Heard::HungUp => {
                self.hang_up(id);
                false
            }
            Heard::Request(request) if matches!(*request, Request::Remove) => self.remove(id),
            Heard::Request(request) => {
                if self.answer(id, *request).is_err() {
                    self.hang_up(id);
                }
                false
            }
        }
    }

    fn answer(&mut self, id: u64, request: Request) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
        let pod = &mut self.pod;
        connection.purpose = Purpose::Done;
        let reply = match request {
            Request::Watch => {
                connection.purpose = Purpose::Watch;
                Reply::State(Box::new(pod.state()))
            }
            Request::State => Reply::State(Box::new(pod.state())),
            Request::Start(setup) => {
                or_failed(pod.start(*setup).map(|state| Reply::Started(Box::new(state))))
            }
            Request::Signal { name, signal } => {
                or_failed(pod.signal(&name, signal).map(|()| Reply::Done))
            }
            Request::Resize(resize) => or_failed(pod.resize(*resize).map(|()| Reply::Done)),
            Request::Exec { name, setup } => match pod.exec(&name, &setup, id) {
                Ok(running) => {
                    connection.purpose = Purpose::Command;
                    return connection.hand(&Reply::Running(running.streams), &running.fds);
                }
                Err(failure) => Reply::Failed(failure),
            },
            Request::Attach { name, stdin } => {
                let attached = pod.running(&name).and_then(|container| {
                    container.attach(id, stdin).map_err(|e| Failure::new("attach", e))
                });
                match attached {
                    Ok((streams, fds)) => {
                        connection.purpose = Purpose::Attached(name);
                        return connection.hand(&Reply::Running(streams), &fds);
                    }
                    Err(failure) => Reply::Failed(failure),
                }
            }
            Request::Remove => Reply::Failed(Failure::Unsupported("handled before".to_owned())),
        };
        connection.say(&reply)
    }

    fn remove(&mut self, id: u64) -> bool {
        let removed = self.pod.remove();
        let Some(connection) = self.connections.get_mut(&id) else { return removed.is_ok() };
        connection.purpose = Purpose::Done;
        let reply = match &removed {
            Ok(_) => Reply::Done,
            Err(e) => Reply::Failed(Failure::new("remove the pod", e)),
        };
        // If it can't be told, it will see that we are gone.
        let _ = connection.say(&reply);
        match removed {
            Ok(ended) => {
                self.tell(ended);
                true
            }
            Err(_) => false,
        }
    }

    /// Tells everyone who waits for it that a process has ended.
    fn tell(&mut self, ended: Vec<(Role, Exit)>) {
        for (role, exit) in ended {
            match role {
                Role::Command { connection } => {
                    self.last_word(connection, &Reply::Ended(exit));
                }
                Role::Container(name) => {
                    let attached = Purpose::Attached(name.clone());
                    let everyone: Vec<_> = self
                        .connections
                        .iter()
                        .map(|(id, connection)| (*id, connection.purpose.clone()))
                        .collect();
                    for (id, purpose) in everyone {
                        if purpose == attached {
                            self.last_word(id, &Reply::Ended(exit.clone()));
                        } else if purpose == Purpose::Watch {
                            let reply = Reply::Exited { name: name.clone(), exit: exit.clone() };
                            self.word(id, &reply);
                        }
                    }
                }
            }
        }
    }

    fn last_word(&mut self, id: u64, reply: &Reply) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.purpose = Purpose::Done;
        }
        self.word(id, reply);
    }

    fn word(&mut self, id: u64, reply: &Reply) {
        if let Some(connection) = self.connections.get_mut(&id)
            && connection.say(reply).is_err()
        {
            self.hang_up(id);
        }
    }

    fn hang_up(&mut self, id: u64) {
        self.connections.remove(&id);
        self.pod.hung_up(id);
    }
}

fn or_failed(reply: Result<Reply, Failure>) -> Reply {
    reply.unwrap_or_else(Reply::Failed)
}
