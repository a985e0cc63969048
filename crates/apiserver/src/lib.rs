//! A Kubernetes API server to embed: in a program that needs no cluster, or in a test of an operator.
//!
//! ```text
//!   request -> rest (path, options, formats) -> kinds (data: names, schema, rules) -> store
//!                                                                                      |  memory to read
//!   watchers <- stored bytes, one serialisation for all <- history per resource <------+  log to survive
//! ```
//!
//! It knows nothing about sandboxes, and a kind is data: built-in kinds and CustomResourceDefinitions differ only in where
//! that data comes from. Objects are JSON bytes plus the metadata the server acts on; they are parsed to be checked or
//! changed, never to be served.

pub mod auth;
pub mod discovery;
pub mod in_process;
pub mod patch;
pub mod protobuf;
pub mod schema;
pub mod select;
pub mod streams;
pub mod table;
pub mod testing;
pub mod tls;

mod clock;
mod convert;
mod definitions;
mod expiry;
mod finalizers;
mod gc;
mod kinds;
mod loops;
mod namespaces;
mod object;
mod openapi;
mod openapi_v2;
mod rest;
mod server;
mod status;
mod store;

#[cfg(test)]
mod story;

pub use clock::{Clock, Ids, rfc3339_micros, rfc3339_seconds};
pub use convert::Converter;
pub use kinds::{
    ALL_VERBS, Column, Conversion, Generation, Hooks, Kind, Kinds, Names, PutMissing,
    PutUnversioned, Registry, Rules, ScalePaths, Scope, Source, Status, Subresource, Subresources,
    Version, View,
};
pub use object::{Draft, Key, Meta, Object, ObjectError, OwnerReference, ResourceId, Revision};
pub use server::{ApiServer, ApiServerBuilder, InProcess};
pub use status::{ApiError, Cause, Details, Named};
pub use store::{
    Change, Effect, Forgotten, Listing, OpenError, Operation, Query, Require, Store, StoreOptions,
    Transaction, Watch, WriteError,
};
