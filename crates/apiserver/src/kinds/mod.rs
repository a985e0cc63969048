//! The kinds this server knows: compiled-in ones and those that CustomResourceDefinitions add.

mod kind;

pub use kind::{
    ALL_VERBS, Column, Conversion, Generation, Hooks, Kind, Names, PutMissing, PutUnversioned,
    Rules, ScalePaths, Scope, Source, Status, Subresource, Subresources, Version,
};
