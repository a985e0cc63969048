//! Watches: a stream of one JSON object per line.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use serde_json::json;
use tokio::time::Instant;

use super::call::{self, Call};
use super::list::wait_for;
use super::negotiate::Form;
use super::options::ListOptions;
use super::selection::Selection;
use super::show;
use super::tables::Tables;
use crate::kinds::Served;
use crate::object::{Object, Revision};
use crate::server::Api;
use crate::status::ApiError;
use crate::store::{Change, Effect, Query, Watch};

/// Time between bookmarks: what clients expect, and far below the time in which a quiet resource's revision is forgotten.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);

/// A watch without a timeout ends after half an hour to an hour, at random so that clients do not come back together.
const SHORTEST_WATCH: Duration = Duration::from_secs(30 * 60);

/// How long before its end a watch sends a last bookmark, so that the client resumes from there.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);

/// Initial objects sent in one piece: large enough that a frame's cost is spread, small enough to begin at once.
const PIECE: usize = 128;

/// The annotation of the bookmark that ends the initial objects.
const END_OF_INITIAL: &str = "k8s.io/initial-events-end";

/// What a bookmark says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Marks {
    /// How far the watch has come.
    Place,
    /// The same, and that everything there was has been sent.
    EndOfInitial,
}

pub(crate) async fn watch(call: &Call<'_>, options: &ListOptions) -> Result<Response, ApiError> {
    let form = call.form()?;
    let selection = Selection::parse(call, options)?;
    let namespace = Some(call.path.namespace.as_str()).filter(|namespace| !namespace.is_empty());
    let store = &call.api.store;
    let resource = call.served.resource();
    let query = Query { resource, namespace, after: None, limit: None };
    let encoder = Encoder {
        api: call.api.clone(),
        served: call.served.clone(),
        namespace: namespace.map(str::to_owned),
        selection,
        form,
        tables: call.tables()?,
    };
    let revision = options.revision.filter(|revision| *revision > Revision(0));
    let from_state = options.send_initial || revision.is_none();
    if let (true, Some(revision)) = (options.send_initial, revision)
        && let Err(error) = wait_for(call, revision).await
    {
        return Ok(stream_of(vec![encoder.error(&error)]));
    }
    let (initial, watch) = if from_state {
        let (listing, watch) = store.list_and_watch(&query);
        (Some(listing), watch)
    } else {
        let from = revision.unwrap_or_default();
        match store.watch(resource, from) {
            Ok(watch) => (None, watch),
            Err(forgotten) => {
                let error = ApiError::watch_expired(forgotten.asked, forgotten.oldest);
                return Ok(stream_of(vec![encoder.error(&error)]));
            }
        }
    };
    let now = Instant::now();
    let timeout = options.timeout_seconds.map_or_else(
        || SHORTEST_WATCH + Duration::from_secs(call.api.ids.below(SHORTEST_WATCH.as_secs())),
        Duration::from_secs,
    );
    let mut running = Running {
        encoder,
        watch,
        initial: VecDeque::new(),
        end_mark: None,
        bookmarks: options.bookmarks,
        next_bookmark: now + BOOKMARK_EVERY.min(timeout.saturating_sub(LAST_BOOKMARK)),
        deadline: now + timeout,
        replaced: call.api.kinds.replacements(),
        state: Progress::Going,
    };
    if let Some(listing) = initial {
        running.initial = listing.items.into();
        running.end_mark = options.bookmarks.then_some(listing.revision);
    }
    let stream = futures::stream::unfold(running, |mut running| async move {
        let piece = running.next().await?;
        Some((Ok::<_, std::convert::Infallible>(piece), running))
    });
    let mut response = call::json(StatusCode::OK, Body::from_stream(stream));
    call.warn(&mut response, &[]);
    Ok(response)
}

fn stream_of(pieces: Vec<Bytes>) -> Response {
    let stream = futures::stream::iter(pieces.into_iter().map(Ok::<_, std::convert::Infallible>));
    call::json(StatusCode::OK, Body::from_stream(stream))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Going,
    Ended,
}

struct Running {
    encoder: Encoder,
    watch: Watch,
    initial: VecDeque<Object>,
    /// The bookmark that ends the initial objects, until it is sent.
    end_mark: Option<Revision>,
    bookmarks: bool,
    next_bookmark: Instant,
    deadline: Instant,
    /// Tells that other kinds are served: a watch of a kind that changed ends, and the client asks anew.
    replaced: tokio::sync::watch::Receiver<()>,
    state: Progress,
}

impl Running {
    async fn next(&mut self) -> Option<Bytes> {
        if self.state == Progress::Ended {
            return None;
        }
        if let Some(piece) = self.initial_piece() {
            return Some(piece);
        }
        loop {
            let stopping = self.encoder.api.stopping.clone();
            tokio::select! {
                biased;
                () = stopping.cancelled() => return None,
                () = tokio::time::sleep_until(self.deadline) => return None,
                changes = self.watch.next() => match changes {
                    Ok(changes) if changes.is_empty() => return None,
                    Ok(changes) => {
                        let mut piece = Vec::new();
                        for change in &changes {
                            if let Err(error) = self.encoder.change(change, &mut piece) {
                                self.state = Progress::Ended;
                                piece.extend_from_slice(&self.encoder.error(&error));
                                break;
                            }
                        }
                        if !piece.is_empty() {
                            return Some(piece.into());
                        }
                    }
                    // Too slow: the history has moved past it. The client resumes, or lists again.
                    Err(forgotten) => {
                        tracing::debug!(asked = %forgotten.asked, oldest = %forgotten.oldest, "a slow watcher was cut off");
                        return None;
                    }
                },
                // After the changes, so that the last objects of a kind are seen to go.
                _ = self.replaced.changed() => {
                    if self.encoder.is_outdated() {
                        return None;
                    }
                }
                () = tokio::time::sleep_until(self.next_bookmark), if self.bookmarks => {
                    let now = Instant::now();
                    let last = self.deadline.checked_sub(LAST_BOOKMARK).unwrap_or(now);
                    self.next_bookmark = if last > now { last.min(now + BOOKMARK_EVERY) } else { self.deadline + BOOKMARK_EVERY };
                    if let Some(revision) = self.watch.position() {
                        return Some(self.encoder.bookmark(revision, Marks::Place));
                    }
                }
            }
        }
    }

    fn initial_piece(&mut self) -> Option<Bytes> {
        let mut piece = Vec::new();
        while !self.initial.is_empty() && piece.is_empty() {
            let count = self.initial.len().min(PIECE);
            for object in self.initial.drain(..count).collect::<Vec<_>>() {
                if let Err(error) = self.encoder.initial(&object, &mut piece) {
                    self.state = Progress::Ended;
                    piece.extend_from_slice(&self.encoder.error(&error));
                    return Some(piece.into());
                }
            }
        }
        if self.initial.is_empty()
            && let Some(revision) = self.end_mark.take()
        {
            piece.extend_from_slice(&self.encoder.bookmark(revision, Marks::EndOfInitial));
        }
        (!piece.is_empty()).then(|| piece.into())
    }
}

/// Turns changes into lines.
struct Encoder {
    api: Api,
    served: Served,
    namespace: Option<String>,
    selection: Selection,
    form: Form,
    tables: Tables,
}

impl Encoder {
    fn initial(&mut self, object: &Object, out: &mut Vec<u8>) -> Result<(), ApiError> {
        if self.selects(object)? {
            self.event("ADDED", object, out)?;
        }
        Ok(())
    }

    fn change(&mut self, change: &Change, out: &mut Vec<u8>) -> Result<(), ApiError> {
        if self.namespace.as_ref().is_some_and(|namespace| *namespace != change.key.namespace) {
            return Ok(());
        }
        let before = match &change.old {
            Some(old) => self.selects(old)?,
            None => false,
        };
        let after = change.effect == Effect::Written && self.selects(&change.new)?;
        match (before, after) {
            (false, false) => Ok(()),
            (false, true) => self.event("ADDED", &change.new, out),
            (true, true) => self.event("MODIFIED", &change.new, out),
            // The last state that matched, under the revision of the change that ended it.
            (true, false) => match (&change.effect, &change.old) {
                (Effect::Written, Some(old)) => {
                    self.event("DELETED", &old.at_revision(change.revision), out)
                }
                _ => self.event("DELETED", &change.new, out),
            },
        }
    }

    /// Whether the kind is no longer what it was when the watch began.
    fn is_outdated(&self) -> bool {
        let kind = &self.served.kind;
        let now = self.api.kinds.now();
        kind.is_custom()
            && now.resource(&kind.group, &kind.plural).is_none_or(|now| !Arc::ptr_eq(now, kind))
    }

    fn selects(&self, object: &Object) -> Result<bool, ApiError> {
        self.selection.matches_object(&self.api, &self.served, object)
    }

    fn event(&mut self, kind: &str, object: &Object, out: &mut Vec<u8>) -> Result<(), ApiError> {
        let body = match self.form {
            Form::Object => self.api.show(&self.served, object)?,
            Form::Metadata => show::metadata_only(object),
            Form::Table => self.tables.one(&self.api, &self.served, object)?,
        };
        line(kind, &body, out);
        Ok(())
    }

    fn bookmark(&mut self, revision: Revision, marks: Marks) -> Bytes {
        let (kind, api_version) = match self.form {
            Form::Metadata => ("PartialObjectMetadata", "meta.k8s.io/v1".to_owned()),
            Form::Object | Form::Table => {
                (self.served.kind.kind.as_str(), self.served.api_version())
            }
        };
        let mut object = json!({
            "kind": kind, "apiVersion": api_version,
            "metadata": {"resourceVersion": revision.to_string(), "creationTimestamp": null},
        });
        if marks == Marks::EndOfInitial {
            object["metadata"]["annotations"] = json!({END_OF_INITIAL: "true"});
        }
        let body = match self.form {
            Form::Table => self.tables.bookmark(&object, revision),
            Form::Object | Form::Metadata => object.to_string().into(),
        };
        let mut out = Vec::with_capacity(body.len() + 40);
        line("BOOKMARK", &body, &mut out);
        out.into()
    }

    fn error(&self, error: &ApiError) -> Bytes {
        let mut out = Vec::new();
        line("ERROR", error.status().to_string().as_bytes(), &mut out);
        out.into()
    }
}

fn line(kind: &str, object: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
    out.extend_from_slice(object);
    out.extend_from_slice(b"}\n");
}
