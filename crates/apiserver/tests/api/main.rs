//! Stories of the API server, told through its router in process.

// A story that can't go on panics where it stands; that is what tests are for.
#![allow(clippy::unwrap_used)]

mod client;
mod clients;
mod collections;
mod definitions;
mod deletion;
mod durability;
mod errors;
mod objects;
mod pods;
mod watches;
