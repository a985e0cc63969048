//! Stories of `agents.kruise.io`.

mod claims;
mod sandboxes;
mod sets;
