//! The product as its users have it: the real `sandbank` binary, the real kubectl, real containers.
//!
//! Every story gets a [`machine::Machine`]: a folder and a network namespace of its own, in which `sandbank up` runs. The
//! machine takes everything away at the end, also of a failed story, and fails if anything is left.
//!
//! They need root, `unshare`, `nsenter`, `ip` and `script`, and fail without.

#![allow(clippy::unwrap_used)] // here a panic is the answer

mod commands;
mod controller;
mod crash;
mod ends;
mod images;
mod leaks;
mod machine;
mod main_job;
mod openkruise;
mod pods;
mod refusals;
mod remains;
