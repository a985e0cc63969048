//! Tables: what `kubectl get` prints is computed here, not by kubectl.
//!
//! A client that asks for `as=Table` gets one row an object: the cells of its columns and, behind them, the metadata of the
//! object. Custom kinds name their columns by JSONPath; those of the built-in kinds are written by hand.

mod age;
mod builtin;
mod jsonpath;
mod pods;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kinds::{Column, Kind, Version};
pub(crate) use jsonpath::JsonPath;

/// What stands behind the cells of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// Its metadata: enough to name it.
    #[default]
    Metadata,
    /// All of it: for `kubectl get --sort-by`.
    Object,
}

impl IncludeObject {
    /// The value of the parameter `includeObject`; `None` if it means nothing (a 400).
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "Metadata" => Some(Self::Metadata),
            "None" => Some(Self::None),
            "Object" => Some(Self::Object),
            _ => None,
        }
    }
}

/// How the objects of one version of a kind become rows.
pub struct Printer {
    columns: Columns,
}

enum Columns {
    BuiltIn(builtin::Columns),
    Custom(Vec<CustomColumn>),
}

struct CustomColumn {
    column: Column,
    /// `None` for a path that can't be read: an empty column, not a broken table.
    path: Option<JsonPath>,
}

impl Printer {
    /// The printer of a version of a kind.
    pub fn new(kind: &Kind, version: &Version) -> Self {
        let columns = match kind.is_custom() {
            false => Columns::BuiltIn(builtin::columns(&kind.group, &kind.plural)),
            true => Columns::Custom(custom(&version.columns)),
        };
        Self { columns }
    }

    /// The headings.
    pub fn definitions(&self) -> Value {
        let definition = |name: &str, ty: &str, format: &str, description: &str, priority: i64| json!({"name": name, "type": ty, "format": format, "description": description, "priority": priority});
        let first = "Name of the object, unique within its namespace.";
        match &self.columns {
            Columns::BuiltIn(columns) => {
                let headings = columns.headings.iter().map(|heading| {
                    let (format, description) =
                        if heading.name == "Name" { ("name", first) } else { ("", "") };
                    definition(
                        heading.name,
                        heading.ty,
                        format,
                        description,
                        i64::from(heading.wide),
                    )
                });
                headings.collect()
            }
            Columns::Custom(columns) => {
                let name = definition("Name", "string", "name", first, 0);
                let others = columns.iter().map(|CustomColumn { column, .. }| {
                    definition(
                        &column.name,
                        &column.column_type,
                        &column.format,
                        &column.description,
                        column.priority,
                    )
                });
                std::iter::once(name).chain(others).collect()
            }
        }
    }

    /// One object as a row. Ages are counted up to `now`.
    pub fn row(&self, object: &Value, include: IncludeObject, now: Timestamp) -> Value {
        let cells: Vec<Value> = match &self.columns {
            Columns::BuiltIn(columns) => (columns.cells)(object, now),
            Columns::Custom(columns) => {
                let name = object["metadata"]["name"].clone();
                std::iter::once(name)
                    .chain(columns.iter().map(|column| column.cell(object, now)))
                    .collect()
            }
        };
        let mut row = json!({ "cells": cells });
        match include {
            IncludeObject::None => {}
            IncludeObject::Metadata => row["object"] = partial_metadata(object),
            IncludeObject::Object => row["object"] = object.clone(),
        }
        row
    }

    /// A whole table. `metadata` is that of the list; in a watch, `definitions` is null after the first event.
    pub fn table(metadata: Value, definitions: Value, rows: Vec<Value>) -> Value {
        json!({
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata,
            "columnDefinitions": definitions,
            "rows": rows,
        })
    }
}

/// An object as clients see it that ask for metadata only.
pub fn partial_metadata(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

fn custom(columns: &[Column]) -> Vec<CustomColumn> {
    let age = Column {
        name: "Age".to_owned(),
        column_type: "date".to_owned(),
        format: String::new(),
        description: String::new(),
        priority: 0,
        json_path: ".metadata.creationTimestamp".to_owned(),
    };
    let columns = if columns.is_empty() { std::slice::from_ref(&age) } else { columns };
    let read = |column: &Column| CustomColumn {
        column: column.clone(),
        path: JsonPath::parse(&column.json_path).ok(),
    };
    columns.iter().map(read).collect()
}

impl CustomColumn {
    /// The cell of an object; null where the path leads nowhere or the value does not fit the column.
    fn cell(&self, object: &Value, now: Timestamp) -> Value {
        let found = self.path.as_ref().map(|path| path.find(object)).unwrap_or_default();
        let Some(first) = found.first().filter(|value| !value.is_null()) else {
            return Value::Null;
        };
        match (self.column.column_type.as_str(), first) {
            ("integer", Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
                (Some(integer), _) => integer.into(),
                (None, Some(float)) => (float as i64).into(),
                _ => Value::Null,
            },
            ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => (*first).clone(),
            ("date", Value::String(text)) => match text.parse::<Timestamp>() {
                Ok(then) => age::span(now.as_second() - then.as_second()).into(),
                Err(_) => "<invalid>".into(),
            },
            ("string", _) => {
                let text = |value: &&Value| match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                found.iter().map(text).collect::<Vec<_>>().join(" ").into()
            }
            _ => Value::Null,
        }
    }
}
