//! Answers for people. Until columns are known here, a table is answered with the objects themselves, which every client
//! that asks for tables accepts as well.

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;

use super::call::{Call, json};
use super::list::{self, Page};
use super::negotiate::Form;
use crate::kinds::Served;
use crate::object::Object;
use crate::server::Api;
use crate::status::ApiError;

/// One object.
pub(crate) fn one(api: &Api, served: &Served, object: &Object) -> Result<Bytes, ApiError> {
    api.show(served, object)
}

/// A page of a list.
pub(crate) fn page(call: &Call<'_>, page: &Page) -> Result<Response, ApiError> {
    Ok(json(StatusCode::OK, list::render(call, page, Form::Object)?))
}
