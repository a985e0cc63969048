//! What flows to and from running containers: exec, attach, logs.
//!
//! ```text
//!   kubectl exec ──GET, Upgrade: websocket──> exec ── checks the pod ──> PodStreams (the node) ──> Session
//!                                              |                                                     |
//!                                              └── channels: one WebSocket <──────── pump ───────────┘
//!                                                  0 stdin  1 stdout  2 stderr  3 status  4 resize
//! ```
//!
//! The server knows pods as objects only; whoever runs them implements [`PodStreams`].

mod channel;
mod logs;
mod params;
mod pump;
mod serve;
mod source;
mod target;
mod upgrade;

pub use params::Params;
pub use serve::{Streamed, Streaming};
pub use source::{
    AttachRequest, ContainerRef, ExecRequest, Exit, LogRequest, LogStream, PodStreams, Session,
    StreamError, StreamNeeds,
};

use channel::Protocol;

#[cfg(test)]
mod tests;
