//! The family of `agents.kruise.io`: sets, batch claims, and programs outside that take sandboxes beside us.

mod counts;
mod crashes;
mod outside;
mod races;
mod stage;
