//! Conversion between the versions of one custom kind, in process.

use serde_json::Value;

/// Turns objects of one version of a kind into objects of another.
///
/// A conversion must lose nothing: what was written in one version and read back through another must be what was
/// written. The server keeps identity and bookkeeping metadata by itself, whatever the converter does with them.
pub trait Converter: Send + Sync + 'static {
    /// The same object in `api_version`, such as `example.com/v1`. `object` names its own version. The error is shown to
    /// whoever asked for the object.
    fn convert(&self, object: Value, api_version: &str) -> Result<Value, String>;
}
