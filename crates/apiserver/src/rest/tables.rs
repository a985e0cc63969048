//! Answers for people: the same objects as rows.

use bytes::Bytes;
use serde_json::{Value, json};

use super::list::{Page, list_meta};
use crate::kinds::Served;
use crate::object::{Object, Revision};
use crate::server::Api;
use crate::status::ApiError;
use crate::table::{IncludeObject, Printer};

/// How one request's tables are made.
pub(crate) struct Tables {
    printer: Printer,
    include: IncludeObject,
    headings: Headings,
}

/// In a watch only the first table says what its columns are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Headings {
    Wanted,
    Sent,
}

impl Tables {
    /// `include` is the parameter `includeObject`.
    pub(crate) fn new(served: &Served, include: Option<&str>) -> Result<Self, ApiError> {
        let include = include.unwrap_or_default();
        let include = IncludeObject::parse(include).ok_or_else(|| {
            ApiError::bad_request(format!("unrecognized includeObject value: {include:?}"))
        })?;
        let printer = Printer::new(&served.kind, served.version());
        Ok(Self { printer, include, headings: Headings::Wanted })
    }

    /// A table of one object.
    pub(crate) fn one(
        &mut self,
        api: &Api,
        served: &Served,
        object: &Object,
    ) -> Result<Bytes, ApiError> {
        let row = self.row(api, served, object)?;
        let metadata = json!({"resourceVersion": object.revision().to_string()});
        Ok(self.table(metadata, vec![row]))
    }

    /// A table of a page of a list.
    pub(crate) fn page(
        &mut self,
        api: &Api,
        served: &Served,
        page: &Page,
    ) -> Result<Bytes, ApiError> {
        let rows: Result<Vec<Value>, ApiError> =
            page.items.iter().map(|object| self.row(api, served, object)).collect();
        Ok(self.table(list_meta(page), rows?))
    }

    /// A bookmark: one row without cells, whose object says where the watch is.
    pub(crate) fn bookmark(&mut self, object: &Value, revision: Revision) -> Bytes {
        let object = crate::table::partial_metadata(object);
        let row = json!({"cells": [], "object": object});
        self.table(json!({"resourceVersion": revision.to_string()}), vec![row])
    }

    fn row(&self, api: &Api, served: &Served, object: &Object) -> Result<Value, ApiError> {
        let value = api.value_in(served, object)?;
        Ok(self.printer.row(&value, self.include, api.clock.now()))
    }

    fn table(&mut self, metadata: Value, rows: Vec<Value>) -> Bytes {
        let headings = match self.headings {
            Headings::Wanted => self.printer.definitions(),
            Headings::Sent => Value::Null,
        };
        self.headings = Headings::Sent;
        Printer::table(metadata, headings, rows).to_string().into()
    }
}
