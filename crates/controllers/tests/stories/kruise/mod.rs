//! Stories of `agents.kruise.io`.

mod claims;
mod sets;
