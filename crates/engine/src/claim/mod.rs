//! Claims: which sandbox a claim gets, or why it waits or is refused; and how it ends.

mod choose;
mod lifetime;
mod plan;
mod view;

pub use plan::plan;
pub use view::*;

#[cfg(test)]
mod tests;
