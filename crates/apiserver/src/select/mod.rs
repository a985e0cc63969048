//! Label and field selectors.
//!
//! ```text
//!   labels   a=b,c!=d,e in (x,y),f notin (z),g,!h,i>3
//!   fields   metadata.name=a,status.phase!=Running
//! ```

mod fields;
mod labels;

pub use fields::{FieldSelector, FieldTerm, field_text};
pub use labels::LabelSelector;

/// A selector that can't be read, or that asks for a field nobody indexes; a 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(String);
