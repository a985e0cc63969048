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

mod source;

pub use source::{
    AttachRequest, ContainerRef, ExecRequest, Exit, LogRequest, LogStream, PodStreams, Session,
    StreamError, StreamNeeds,
};
