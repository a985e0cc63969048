//! One sandbox: its pod, its service, its volumes, and how its life ends.

mod plan;
mod pods;
mod service;
mod view;
mod volumes;

pub use plan::plan;
pub use view::*;

#[cfg(test)]
mod tests;
