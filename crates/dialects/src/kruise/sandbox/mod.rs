//! Sandbox, between object and engine.
//!
//! - `standing`: whom it belongs to, which of the five states of the family it is in, and how its pool counts it.
//! - `asked`: from the object to what the planner of lives sees.
//! - [`status`]: from what was decided to the status that says it.

mod asked;
mod standing;
pub mod status;

pub use asked::{ON_POD_LOST, Running};
pub use standing::State;
