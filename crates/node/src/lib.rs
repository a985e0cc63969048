//! The node agent of `sandbank up`: pods of a Kubernetes API as real OCI containers on this machine.

pub mod runtime;
