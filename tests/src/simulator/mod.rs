//! The simulator: the real controllers and the real API server on one thread, in a time that only passes when nobody has anything to do.
//!
//! ```text
//!   people (clean client) ----------+
//!   machine (clean client) ---------+--> API server, in memory --> bystander --> laws
//!   controllers --> wire --> faults-+         (seeded)          (every change, in order)
//! ```
//!
//! A seed decides everything: what people do and when, how the machine behaves, which requests are late, lost, refused or answered wrongly, and when a
//! controller is killed. The same seed gives the same run to the byte, so a breach is printed with its seed and can be played again.
//!
//! - [`world`]: puts it together. [`history`]: one whole run, from a seed to a verdict.
//! - [`user`]: what people can do. [`x_k8s`], [`kruise`]: what they do with the kinds of an API family, and how the laws read these; [`family`] is what the laws ask.
//! - [`node`]: the machine. [`weather`]: the faults of a run. [`wire`]: what connects a controller to the server, and can be cut. [`cast`]: controllers that start, die
//!   and come back.
//! - [`bystander`]: reads the server's own store. [`view`]: what it has seen. [`laws`]: what must hold. [`story`]: how a change is told.

pub mod bystander;
pub mod cast;
pub mod family;
pub mod history;
pub mod kruise;
pub mod laws;
pub mod node;
pub mod story;
pub mod user;
pub mod view;
pub mod weather;
pub mod wire;
pub mod world;
pub mod x_k8s;
