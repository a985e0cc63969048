//! Stories of the controllers against the embedded API server, on one thread with paused time: the same run every time.

// A test may say "this is so" in one word.
#![allow(clippy::unwrap_used)]

extern crate sandbank_controllers as controllers;

mod commands;
mod node;
mod stage;
mod wire;

mod cold;
mod conversion;
mod expiry;
mod families;
mod faults;
mod kruise;
mod leader;
mod policy;
mod refill;
mod rollout;
mod suspend;
mod warm;
mod why;
