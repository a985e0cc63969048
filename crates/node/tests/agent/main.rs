//! Stories of pods on a node, told through the Kubernetes API alone. Those with real containers need root.

mod lifecycle;
mod pretended;
mod real;
#[path = "../support/root.rs"]
mod root;
mod update;
mod world;
