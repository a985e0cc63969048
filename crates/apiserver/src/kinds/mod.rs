//! The kinds this server knows: compiled-in ones and those that CustomResourceDefinitions add.

pub(crate) mod builtin;
pub(crate) mod definitions;
mod kind;
mod known;
mod registry;

pub use kind::{
    ALL_VERBS, Column, Conversion, Generation, Hooks, Kind, Names, PutMissing, PutUnversioned,
    Rules, ScalePaths, Scope, Source, Status, Subresource, Subresources, Version, View,
};
pub(crate) use known::Known;
pub(crate) use registry::Served;
pub use registry::{Kinds, Registry};
