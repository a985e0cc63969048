//! The simulator: the real controllers and the real API server on a memory store, a machine of tokio time and people
//! drawn from a seed, all on one thread with paused time. A bystander checks the laws on every change.

pub mod laws;
pub mod node;
pub mod user;
pub mod view;
