//! The executor as its callers know it: the program, over HTTP, with real processes.

mod api;
mod lives;
mod restarts;
mod sandbox;
mod stops;
mod world;
