//! The routes. Paths, methods, bodies, codes and messages are those that controllers already use; what is added are queries, headers and the route of the output.

use std::{collections::BTreeMap, io, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Path, RawQuery, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::json;

use super::{
    auth::Token,
    tasks::{TaskError, Tasks},
};
use crate::{
    output::{self, From},
    protocol::{
        ErrorBody, OUTPUT_END_HEADER, OUTPUT_NEXT_HEADER, OUTPUT_OFFSET_HEADER, Stream, Task,
        VERSION_HEADER,
    },
};

/// One task with a long script and many variables is some kilobytes; what is larger belongs into the image or a volume.
const LARGEST_BODY: usize = 1 << 20;
/// A caller that takes longer to send its body is not waited for.
const BODY_DEADLINE: Duration = Duration::from_secs(30);
/// A caller that waits longer for news asks again; so a connection that was lost unnoticed is not held for ever.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// What one answer with output holds, unless less is asked for.
const LARGEST_OUTPUT: usize = 1 << 20;
const USUAL_OUTPUT: usize = 64 << 10;

/// What the routes work on.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) tasks: Tasks,
    pub(crate) token: Option<Token>,
}

/// All routes. Health needs no token: it says nothing, and a kubelet's probe has none.
pub(crate) fn router(served: Served) -> Router {
    let guarded = Router::new()
        .route("/setTasks", post(set_tasks))
        .route("/getTasks", get(get_tasks))
        .route("/tasks", post(create_task))
        .route("/tasks/{name}", get(get_task).delete(delete_task))
        .route("/tasks/{name}/output", get(get_output))
        .route_layer(middleware::from_fn_with_state(served.clone(), guard));
    Router::new()
        .route("/health", get(health))
        .merge(guarded)
        .fallback(async || Refusal::new(StatusCode::NOT_FOUND, "there is no such path"))
        .method_not_allowed_fallback(async || {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this path has no such method")
        })
        .with_state(served)
}

/// An answer that is not a success.
struct Refusal {
    status: StatusCode,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    fn unknown(name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("task {name} not found"))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let code = self.status.canonical_reason().unwrap_or_default().to_owned();
        let mut answer = json_of(self.status, &ErrorBody { code, message: self.message });
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        answer
    }
}

impl std::convert::From<TaskError> for Refusal {
    fn from(error: TaskError) -> Self {
        let status = match error {
            TaskError::NoName | TaskError::BadName(_) => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

fn json_of<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => {
            let kind = HeaderValue::from_static("application/json");
            (status, [(header::CONTENT_TYPE, kind)], body).into_response()
        }
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
    }
}

fn with_version(mut answer: Response, version: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(version) {
        answer.headers_mut().insert(VERSION_HEADER, value);
    }
    answer
}

async fn guard(State(served): State<Served>, request: Request, next: Next) -> Response {
    let Some(token) = &served.token else { return next.run(request).await };
    match token.shown(request.headers()) {
        Ok(true) => next.run(request).await,
        Ok(false) => {
            Refusal::new(StatusCode::UNAUTHORIZED, "a bearer token is needed").into_response()
        }
        Err(e) => Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
    }
}

async fn health() -> Response {
    json_of(StatusCode::OK, &json!({ "status": "healthy" }))
}

async fn set_tasks(State(served): State<Served>, body: Body) -> Result<Response, Refusal> {
    let desired = parse::<Option<Vec<Task>>>(&read(body).await?)?.unwrap_or_default();
    served
        .tasks
        .set(desired)
        .map_err(|e| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?;
    served.tasks.begun().await;
    let (tasks, version) = served.tasks.list();
    Ok(with_version(json_of(StatusCode::OK, &tasks), &version))
}

async fn get_tasks(
    State(served): State<Served>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    wait(&served.tasks, &Query::new(query)).await?;
    let (tasks, version) = served.tasks.list();
    Ok(with_version(json_of(StatusCode::OK, &tasks), &version))
}

async fn create_task(State(served): State<Served>, body: Body) -> Result<Response, Refusal> {
    let task: Task = parse(&read(body).await?)?;
    let name = task.name.clone();
    served.tasks.create(task)?;
    served.tasks.begun().await;
    let (task, version) = served.tasks.get(&name).ok_or_else(|| Refusal::unknown(&name))?;
    Ok(with_version(json_of(StatusCode::CREATED, &task), &version))
}

async fn get_task(
    State(served): State<Served>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    wait(&served.tasks, &Query::new(query)).await?;
    let (task, version) = served.tasks.get(&name).ok_or_else(|| Refusal::unknown(&name))?;
    Ok(with_version(json_of(StatusCode::OK, &task), &version))
}

async fn delete_task(
    State(served): State<Served>,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    served.tasks.delete(&name)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn get_output(
    State(served): State<Served>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    if served.tasks.get(&name).is_none() {
        return Err(Refusal::unknown(&name));
    }
    let query = Query::new(query);
    let stream = match query.text("stream") {
        None | Some("stdout") => Stream::Stdout,
        Some("stderr") => Stream::Stderr,
        Some(other) => {
            let message = format!("stream is {other:?}, and can be stdout or stderr");
            return Err(Refusal::new(StatusCode::BAD_REQUEST, message));
        }
    };
    let from = match (query.number("offset")?, query.number("tail")?) {
        (offset, None) => From::Offset(offset.unwrap_or(0)),
        (None, Some(tail)) => From::Tail(tail),
        (Some(_), Some(_)) => {
            let message = "offset and tail can't both be given";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, message));
        }
    };
    let limit = query.number("limit")?.map_or(USUAL_OUTPUT, |limit| {
        usize::try_from(limit).unwrap_or(LARGEST_OUTPUT).min(LARGEST_OUTPUT)
    });
    let folder = served.tasks.folder(&name);
    let slice = output::read(folder.path(), stream, from, limit).map_err(|e: io::Error| {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, format!("read the output: {e}"))
    })?;
    let next = slice.offset + slice.bytes.len() as u64;
    let mut answer = Response::new(Body::from(slice.bytes));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(OUTPUT_OFFSET_HEADER, slice.offset.into());
    headers.insert(OUTPUT_NEXT_HEADER, next.into());
    headers.insert(OUTPUT_END_HEADER, slice.end.into());
    Ok(answer)
}

async fn wait(tasks: &Tasks, query: &Query) -> Result<(), Refusal> {
    let millis = query.number("waitMillis")?;
    if let (Some(seen), Some(millis)) = (query.text("version"), millis) {
        tasks.changed_since(seen, Duration::from_millis(millis).min(LONGEST_WAIT)).await;
    }
    Ok(())
}

async fn read(body: Body) -> Result<Bytes, Refusal> {
    let read = tokio::time::timeout(BODY_DEADLINE, axum::body::to_bytes(body, LARGEST_BODY)).await;
    match read {
        Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body did not come")),
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(e))
            if std::error::Error::source(&e)
                .is_some_and(|s| s.is::<http_body_util::LengthLimitError>()) =>
        {
            let message = format!("the body is larger than {LARGEST_BODY} bytes");
            Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message))
        }
        Ok(Err(e)) => Err(Refusal::new(StatusCode::BAD_REQUEST, format!("read the body: {e}"))),
    }
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|e| Refusal::new(StatusCode::BAD_REQUEST, format!("invalid request body: {e}")))
}

/// The part of a path after `?`. Nothing that is asked for here needs quoting.
struct Query(BTreeMap<String, String>);

impl Query {
    fn new(text: Option<String>) -> Self {
        let text = text.unwrap_or_default();
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        Self(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let number = |text: &str| {
            let message = format!("{name} is {text:?}, and must be a number");
            text.parse().map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, message))
        };
        self.text(name).map(number).transpose()
    }
}
