//! Stories of `agents.kruise.io`.

mod claims;
