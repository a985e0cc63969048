//! Which objects of a collection a request means.

use serde_json::Value;

use super::call::Call;
use super::options::ListOptions;
use crate::kinds::Served;
use crate::object::Object;
use crate::select::{FieldSelector, LabelSelector, field_text};
use crate::server::Api;
use crate::status::ApiError;

/// Label and field selectors, and the name where the path has one (old watch paths).
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    labels: LabelSelector,
    fields: FieldSelector,
    name: String,
}

impl Selection {
    pub(crate) fn parse(call: &Call<'_>, options: &ListOptions) -> Result<Self, ApiError> {
        let labels = LabelSelector::parse(&options.labels)
            .map_err(|error| ApiError::bad_request(error.to_string()))?;
        let fields = FieldSelector::parse(&options.fields)
            .map_err(|error| ApiError::bad_request(error.to_string()))?;
        let version = call.served.version();
        let selectable = version.selectable.iter().map(|path| path.trim_start_matches('.'));
        let known: Vec<&str> =
            call.served.kind.rules.hooks.fields.iter().copied().chain(selectable).collect();
        fields.check(&known).map_err(|error| ApiError::bad_request(error.to_string()))?;
        Ok(Self { labels, fields, name: call.path.name.clone() })
    }

    /// Whether nothing is left out.
    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty() && self.name.is_empty()
    }

    pub(crate) fn matches(&self, call: &Call<'_>, object: &Object) -> Result<bool, ApiError> {
        self.matches_object(call.api, &call.served, object)
    }

    pub(crate) fn matches_object(
        &self,
        api: &Api,
        served: &Served,
        object: &Object,
    ) -> Result<bool, ApiError> {
        let meta = object.meta();
        if !self.name.is_empty() && self.name != meta.name {
            return Ok(false);
        }
        if !self.labels.matches(&meta.labels) {
            return Ok(false);
        }
        if self.fields.is_empty() {
            return Ok(true);
        }
        // Names are at hand; only other fields make it necessary to parse the object.
        let of_meta = |field: &str| match field {
            "metadata.name" => Some(meta.name.clone()),
            "metadata.namespace" => Some(meta.namespace.clone()),
            _ => None,
        };
        if let Some(name) = self.fields.exact("metadata.name")
            && name != meta.name
        {
            return Ok(false);
        }
        let needs_value = self.fields.terms().iter().any(|term| of_meta(&term.field).is_none());
        let value = if needs_value { api.value_in(served, object)? } else { Value::Null };
        Ok(self
            .fields
            .matches(|field| of_meta(field).unwrap_or_else(|| field_value(served, &value, field))))
    }
}

/// Fields whose label is not their path.
fn field_value(served: &Served, value: &Value, field: &str) -> String {
    let text = field_text(value, field);
    if !text.is_empty() {
        return text;
    }
    match (served.kind.kind.as_str(), field) {
        ("Pod", "status.podIPs") => field_text(value, "status.podIP"),
        ("Pod", "spec.hostNetwork") | ("Node", "spec.unschedulable") => "false".into(),
        ("Event", "source") => {
            let component = field_text(value, "source.component");
            if component.is_empty() { field_text(value, "reportingComponent") } else { component }
        }
        _ => text,
    }
}
