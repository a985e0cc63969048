//! DELETE of a collection.

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;

use super::call::{self, Call};
use super::delete::{Deleted, delete_object, options};
use super::list::{self, list_meta};
use super::options::ListOptions;
use super::selection::Selection;
use crate::status::ApiError;

pub(crate) async fn delete(call: &Call<'_>, body: &Bytes) -> Result<Response, ApiError> {
    let listing = ListOptions::parse(&call.query, false)?;
    let options = options(call, body)?;
    let selection = Selection::parse(call, &listing)?;
    call.form()?;
    let mut page = list::page(call, &listing, &selection).await?;
    let mut deleted = Vec::with_capacity(page.items.len());
    for object in &page.items {
        let key = call.served.key(&object.meta().namespace, &object.meta().name);
        match delete_object(call.api, &call.served, &key, &options).await {
            Ok(Deleted::Gone(object) | Deleted::Marked(object)) => {
                deleted.push(call.api.value_in(&call.served, &object)?);
            }
            // Someone else was faster; gone is gone.
            Err(error) if error.code == StatusCode::NOT_FOUND => {}
            Err(error) => return Err(error),
        }
    }
    page.revision = call.api.store.revision();
    let list = serde_json::json!({
        "kind": call.served.kind.list_kind,
        "apiVersion": call.served.api_version(),
        "metadata": list_meta(&page),
        "items": deleted,
    });
    let mut response = call::json_value(StatusCode::OK, &list);
    call.warn(&mut response, &[]);
    Ok(response)
}
