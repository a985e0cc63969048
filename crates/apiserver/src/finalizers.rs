//! The finalizers that are the server's own: each stands for a loop that takes it away.

/// Holds an object until its dependents are gone; the collector takes it away.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";

/// Holds an object until its dependents have forgotten it; the collector takes it away.
pub(crate) const ORPHAN: &str = "orphan";

/// Holds a definition until its objects are gone; the loop of the definitions takes it away.
pub(crate) const DEFINITION_CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";
