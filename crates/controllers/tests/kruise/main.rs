//! Stories of `agents.kruise.io` against the embedded API server, on one thread with paused time: the same run every time.

// A test may say "this is so" in one word.
#![allow(clippy::unwrap_used)]

extern crate sandbank_controllers as controllers;

mod node;
mod stage;
#[path = "../stories/wire.rs"]
#[allow(dead_code)]
mod wire;

mod sandbox_changes;
mod sandbox_lives;
mod sandbox_upgrades;
