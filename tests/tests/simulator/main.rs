//! The simulator at work: histories from seeds, and the stories of races that others have lost.

#![allow(clippy::unwrap_used)] // a test that fails says where

mod crashes;
mod histories;
mod kruise;
mod people;
mod races;
mod stage;
