//! GET of a collection.

use std::time::Duration;

use axum::response::Response;
use http::StatusCode;
use serde_json::Value;

use super::call::{Call, json};
use super::negotiate::Form;
use super::options::{ListOptions, ReadAt, Token};
use super::selection::Selection;
use super::show;
use crate::object::{Object, Revision};
use crate::status::ApiError;
use crate::store::{Listing, Query};

/// How long a read of a revision from the future waits for it: long enough for a write that is on its way, short enough
/// that a client with a revision of another store hears of it.
const FUTURE_PATIENCE: Duration = Duration::from_secs(3);

/// Objects to show, and where the next chunk begins.
pub(crate) struct Page {
    pub(crate) revision: Revision,
    pub(crate) items: Vec<Object>,
    pub(crate) next: Option<Token>,
    /// How many come after; only known without selectors.
    pub(crate) remaining: Option<usize>,
}

pub(crate) async fn list(call: &Call<'_>, options: &ListOptions) -> Result<Response, ApiError> {
    let form = call.form()?;
    let selection = Selection::parse(call, options)?;
    let page = page(call, options, &selection).await?;
    let mut response = match form {
        Form::Table => {
            let table = call.tables()?.page(call.api, &call.served, &page)?;
            json(StatusCode::OK, table)
        }
        Form::Object | Form::Metadata => json(StatusCode::OK, render(call, &page, form)?),
    };
    call.warn(&mut response, &[]);
    Ok(response)
}

/// Reads what the options ask for.
pub(crate) async fn page(
    call: &Call<'_>,
    options: &ListOptions,
    selection: &Selection,
) -> Result<Page, ApiError> {
    let namespace = Some(call.path.namespace.as_str()).filter(|namespace| !namespace.is_empty());
    let query = Query { resource: call.served.resource(), namespace, after: None, limit: None };
    let store = &call.api.store;
    // Only a plain list can leave the limit to the store: a selector counts what it lets through.
    let limit = options.limit.filter(|_| options.at != ReadAt::Any);
    let in_store = limit.filter(|_| selection.is_everything());
    let query = Query { limit: in_store, ..query };
    let listing = match &options.at {
        ReadAt::Newest | ReadAt::Any => store.list(&query),
        ReadAt::NotOlderThan(revision) => {
            wait_for(call, *revision).await?;
            store.list(&query)
        }
        ReadAt::Exact(revision) => {
            wait_for(call, *revision).await?;
            store.list_at(&query, *revision).map_err(|_| ApiError::list_expired())?
        }
        ReadAt::Continue(token) => {
            let (namespace, name) = &token.after;
            let query = Query { after: Some((namespace, name)), ..query };
            if token.revision == Revision(0) {
                store.list(&query)
            } else {
                store.list_at(&query, token.revision).map_err(|_| {
                    let fresh = Token { revision: Revision(0), after: token.after.clone() };
                    ApiError::continue_expired(fresh.render())
                })?
            }
        }
    };
    cut(call, listing, limit, selection)
}

fn cut(
    call: &Call<'_>,
    listing: Listing,
    limit: Option<usize>,
    selection: &Selection,
) -> Result<Page, ApiError> {
    let Listing { revision, items, remaining } = listing;
    let mut page = Page { revision, items, next: None, remaining: None };
    if selection.is_everything() {
        if remaining > 0 {
            page.next = page.items.last().map(|last| token(revision, last));
            page.remaining = Some(remaining);
        }
        return Ok(page);
    }
    let limit = limit.unwrap_or(usize::MAX);
    let mut chosen = Vec::new();
    for object in page.items {
        if !selection.matches(call, &object)? {
            continue;
        }
        if chosen.len() == limit {
            page.next = chosen.last().map(|last| token(revision, last));
            break;
        }
        chosen.push(object);
    }
    page.items = chosen;
    Ok(page)
}

fn token(revision: Revision, last: &Object) -> Token {
    Token { revision, after: (last.meta().namespace.clone(), last.meta().name.clone()) }
}

/// Waits a moment for a revision that has not come yet.
pub(crate) async fn wait_for(call: &Call<'_>, revision: Revision) -> Result<(), ApiError> {
    let store = &call.api.store;
    if store.revision() >= revision {
        return Ok(());
    }
    tokio::time::timeout(FUTURE_PATIENCE, store.reached(revision))
        .await
        .map_err(|_| ApiError::revision_too_large(revision, store.revision()))
}

/// The list as JSON, its items as they are stored.
fn render(call: &Call<'_>, page: &Page, form: Form) -> Result<Vec<u8>, ApiError> {
    let served = &call.served;
    let (kind, api_version) = match form {
        Form::Metadata => ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1".to_owned()),
        Form::Object | Form::Table => (served.kind.list_kind.clone(), served.api_version()),
    };
    let bytes: usize = page.items.iter().map(|item| item.bytes().len() + 1).sum();
    let mut out = Vec::with_capacity(bytes + 256);
    out.extend_from_slice(b"{\"kind\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"apiVersion\":\"");
    out.extend_from_slice(api_version.as_bytes());
    out.extend_from_slice(b"\",\"metadata\":");
    out.extend_from_slice(list_meta(page).to_string().as_bytes());
    out.extend_from_slice(b",\"items\":[");
    let plain = served.kind.rules.hooks.view.is_none();
    for (index, item) in page.items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        match form {
            Form::Metadata => out.extend_from_slice(&show::metadata_only(item)),
            // Items of built-in lists go without their type.
            _ if plain && !served.kind.is_custom() => {
                out.push(b'{');
                out.extend_from_slice(&item.body());
            }
            _ => out.extend_from_slice(&call.api.show(served, item)?),
        }
    }
    out.extend_from_slice(b"]}");
    Ok(out)
}

/// The metadata of a list.
pub(crate) fn list_meta(page: &Page) -> Value {
    let mut metadata = serde_json::json!({"resourceVersion": page.revision.to_string()});
    if let Some(next) = &page.next {
        metadata["continue"] = next.render().into();
    }
    if let Some(remaining) = page.remaining {
        metadata["remainingItemCount"] = remaining.into();
    }
    metadata
}
