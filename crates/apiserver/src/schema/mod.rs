//! Structural schemas: what an object of a kind may hold, and what the server does with what it holds.
//!
//! ```text
//!   bytes -> decode -> prune -> default -> validate (types, values, lists) -> CEL rules
//! ```
//!
//! A schema comes from a CustomResourceDefinition ([`Schema::parse`]) or from Kubernetes' published definitions
//! ([`builtin::schema`]); everything after that is one path. All of it is pure: values in, values and errors out.

pub mod builtin;
pub mod decode;
pub mod quantity;

mod cel;
mod default;
mod error;
mod format;
pub(crate) mod node;
mod prune;
mod structural;
mod typed;
mod validate;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::Value;

pub(crate) use error::Path;
pub use error::{FieldError, FieldErrorKind};
use node::{Arena, Node, NodeId};
pub use typed::TypeMismatch;

/// What an object may hold. Cheap to clone; safe to share between requests.
#[derive(Debug, Clone)]
pub struct Schema {
    arena: Arc<Arena>,
    root: NodeId,
}

impl Schema {
    /// Reads the `openAPIV3Schema` of a CRD version and holds it to the rules of structural schemas. Errors carry paths
    /// below `path`, where the schema stands in the CRD.
    pub fn parse(schema: &Value, path: &str) -> Result<Self, Vec<FieldError>> {
        let (arena, root) = structural::read(schema, &Path::Prefix(path))?;
        Ok(Self { arena: Arc::new(arena), root })
    }

    fn node(&self) -> &Node {
        self.arena.get(self.root)
    }

    pub(crate) fn arena(&self) -> &Arena {
        &self.arena
    }

    pub(crate) fn root(&self) -> &Node {
        self.node()
    }

    /// Drops unknown fields and returns their paths, as `spec.unknown`: `fieldValidation` decides what becomes of them.
    /// In Kubernetes' own kinds, and in the metadata of all, a null counts as absent and goes too.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        prune::node(&self.arena, self.node(), object, &Path::Root)
    }

    /// The first value that the real server could not even read into its structs: for Kubernetes' own kinds a wrong
    /// type is a 400, not a 422. Of a custom resource only the metadata is held to this. Call after [`Schema::prune`].
    pub fn check_types(&self, object: &Value) -> Result<(), TypeMismatch> {
        typed::node(&self.arena, self.node(), object)
    }

    /// Fills in defaults; writes quantities and times of built-in types in their one form. Doing it again changes
    /// nothing.
    pub fn default(&self, object: &mut Value) {
        default::node(&self.arena, self.node(), object);
    }

    /// Everything that is wrong with an object. `old` is what an update replaces; rules about transitions run only with
    /// it. Rules are skipped, and a remark says so, while errors stand that could make them misfire.
    pub fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut errors = validate::node(&self.arena, self.node(), object, &Path::Root);
        if !self.node().rules_below {
            return errors;
        }
        let blocking = |kind| !matches!(kind, FieldErrorKind::Invalid | FieldErrorKind::Duplicate);
        if errors.iter().any(|error| blocking(error.kind)) {
            errors.push(FieldError {
                path: None,
                kind: FieldErrorKind::Invalid,
                value: Some(Value::Null),
                detail: "some validation rules were not checked because the object was invalid; \
                         correct the existing errors to complete validation"
                    .to_owned(),
            });
        } else {
            errors.extend(cel::node(&self.arena, self.node(), object, old));
        }
        errors
    }
}
