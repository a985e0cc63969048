//! What the end-to-end tests share: the simulator.

pub mod simulator;
