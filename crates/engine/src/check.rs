//! The laws, as functions on a world. The simulator and the property tests call them after every step.
