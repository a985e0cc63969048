//! Stories of the API server, told through its router in process.

mod client;
mod clients;
mod collections;
mod definitions;
mod deletion;
mod durability;
mod errors;
mod objects;
mod watches;
