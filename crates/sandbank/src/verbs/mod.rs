//! One file per verb. Each has its flags and one `run` that asks the server and prints the answer.

pub mod completion;
pub mod connect;
pub mod version;
