//! One sandbox: its pod, its service, its volumes, and how its life ends.

mod plan;
mod pods;
mod service;
mod view;
pub(crate) mod volumes;

pub use plan::plan;
pub use view::*;

#[cfg(test)]
mod tests;
