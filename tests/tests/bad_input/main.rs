//! What is answered to input that is wrong: each file beside this one is a document of such input and of the exact answers.
//!
//! The API server, the definitions and the controllers are the real ones, the machine is pretended, and time is paused, so that "ten minutes later" costs
//! nothing. To write a document anew after a change that is meant: `DOCUMENTS=write cargo test -p sandbank-tests --test bad_input NAME`, then read the difference.

// All of this is a test; clippy sees only functions marked as one.
#![allow(clippy::unwrap_used)]

#[path = "../kubectl/diff.rs"]
mod diff;
mod document;
mod text;
mod wire;
mod world;

macro_rules! documents {
    ($($(#[$about:meta])* $name:ident)+) => {$(
        $(#[$about])*
        #[tokio::test(start_paused = true)]
        async fn $name() {
            document::play(concat!(stringify!($name), ".txt")).await;
        }
    )+};
}

documents! {
    /// Bodies that can't be read, are too large, or are of another kind.
    bodies
    /// Fields that nobody knows, of the wrong type, or missing.
    fields
    /// Names and labels.
    names
    /// Writes that come too late or change what can't be changed.
    conflicts
    /// Pods that no machine could run.
    pods
    /// Pools.
    pools
    /// Claims.
    claims
    /// Sandboxes whose children are refused.
    sandboxes
    /// Sets of agents.kruise.io and their templates.
    sets
    /// Claims of agents.kruise.io.
    batches
    /// Sandboxes of agents.kruise.io that are asked for what can't be.
    lives
}
