//! The real kubectl against the server, over TLS, as transcripts that read like documents.
//!
//! Each transcript is a file beside this one and has a server of its own. To write one anew after a change that is meant:
//! `TRANSCRIPTS=write cargo test -p sandbank-tests --test kubectl NAME`, then read the difference.

// All of this is a test; clippy sees only functions marked as one.
#![allow(clippy::unwrap_used)]

mod actors;
mod diff;
mod mask;
mod server;
mod transcript;

use actors::Actors;
use server::Server;

macro_rules! transcripts {
    ($($(#[$about:meta])* $name:ident)+) => {$(
        $(#[$about])*
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            Server::start(Actors::on_stage()).await.play(concat!(stringify!($name), ".txt")).await;
        }
    )+};
}

transcripts! {
    /// get in every form, and watching.
    reading
    /// create, apply, edit, patch, label, annotate, scale.
    writing
    /// delete and wait, with every way to treat dependents.
    deleting
    /// logs and exec.
    streaming
    /// explain, api-resources, api-versions, version.
    discovering
    /// create namespace, configmap and secret, whose bodies are protobuf; describe and events.
    builtins
    /// The sandbox kinds in both of their versions, without controllers.
    sandboxes
    /// What a user sees who asks for something that can't be done.
    refusals
}

/// Sets, claims and sandboxes of agents.kruise.io, with the real controllers and a machine that pretends to run pods.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openkruise() {
    Server::start(Actors::on_stage()).await.with_controllers().play("openkruise.txt").await;
}
