//! One file per verb. Each has its flags and one `run` that asks the server and prints the answer.

pub mod bench;
pub mod claim;
pub mod completion;
pub mod connect;
pub mod crds;
mod duration;
pub mod exec;
mod find;
mod follow;
pub mod image;
mod objects;
pub mod pool;
pub mod release;
pub mod status;
mod terminal;
pub mod version;
pub mod why;
