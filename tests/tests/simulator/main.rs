//! The simulator at work: histories from seeds, and the stories of races that others have lost.

mod crashes;
mod histories;
mod people;
mod races;
mod stage;
