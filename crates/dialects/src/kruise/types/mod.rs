//! The kinds as they are stored, as far as we look at them. Pod specs, volume claim specs and what others added stay JSON and are passed on untouched.

mod claim;
mod sandbox;
mod set;
mod template;
mod template_block;

pub use claim::*;
pub use sandbox::*;
pub use set::*;
pub use template::*;
pub use template_block::*;
