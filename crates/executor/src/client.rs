//! What a controller calls: one connection for each question, with a time limit and a size limit, because what answers may be anything.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Body as _, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::net::TcpStream;

use crate::protocol::{
    ErrorBody, OUTPUT_END_HEADER, OUTPUT_NEXT_HEADER, OUTPUT_OFFSET_HEADER, Stream, Task,
    VERSION_HEADER,
};

/// An executor in the same cluster answers in a millisecond. One that does not answer for this long is asked again later; a longer wait would hold back the
/// controller's other work.
const TIMEOUT: Duration = Duration::from_secs(3);

/// One task of a few kilobytes, or a megabyte of output. What is larger did not come from an executor.
const LARGEST_ANSWER: usize = 4 << 20;

/// An error message longer than this is not shown whole: it ends up in a condition.
const LONGEST_MESSAGE: usize = 512;

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody is there. It says nothing about the task.
    #[error("connect to the executor at {address}: {source}")]
    Connect {
        /// Who was called.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The connection ended in the middle.
    #[error("talk to the executor: {0}")]
    Talk(#[from] hyper::Error),
    /// It took too long.
    #[error("the executor did not answer within {0:?}")]
    Late(Duration),
    /// More than an executor would say.
    #[error("the executor answered more than {LARGEST_ANSWER} bytes")]
    TooLong,
    /// The executor wants another token, or one at all.
    #[error("the executor refused the token")]
    Unauthorized,
    /// The executor said no.
    #[error("the executor answered {status}: {message}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// Its own words, shortened.
        message: String,
    },
    /// Whatever answered is no executor.
    #[error("the executor's answer can't be read: {0}")]
    Garbage(#[from] serde_json::Error),
    /// The question itself can't be put, such as with a task's name that can't stand in a path.
    #[error("make the request: {0}")]
    Request(#[from] http::Error),
}

/// What an executor has at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// All tasks, those being deleted as well.
    pub tasks: Vec<Task>,
    /// Absent: an executor that can't be waited on.
    pub version: Option<Version>,
}

/// A state of an executor's list, good only for comparing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(String);

impl Version {
    /// As the executor spelled it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A piece of a task's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The bytes, from `offset` on.
    pub bytes: Bytes,
    /// The position of the first byte. More than what was asked for when that part was rotated away.
    pub offset: u64,
    /// Where to go on reading.
    pub next: u64,
    /// How much there is so far.
    pub end: u64,
}

/// One executor.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
    token: Option<String>,
    timeout: Duration,
}

impl Client {
    /// The executor at an address. Nothing is connected yet.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, token: None, timeout: TIMEOUT }
    }

    /// Shows this token with every question. An executor that wants none ignores it.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Waits this long for an answer, beyond what a question itself asks the executor to wait.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Whether somebody is there. Needs no token.
    ///
    /// # Errors
    /// If nobody is, or not an executor.
    pub async fn health(&self) -> Result<(), ClientError> {
        self.ask::<serde_json::Value>(Method::GET, "/health", Bytes::new(), Duration::ZERO)
            .await
            .map(drop)
    }

    /// All tasks, now.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn tasks(&self) -> Result<Listing, ClientError> {
        self.list(Method::GET, "/getTasks", Bytes::new(), Duration::ZERO).await
    }

    /// All tasks, as soon as the list is no longer what it was at `seen`, or when the time is up. An executor that can't wait answers at once, without
    /// a version: then it must be polled.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn tasks_after(
        &self,
        seen: &Version,
        wait: Duration,
    ) -> Result<Listing, ClientError> {
        let path = format!("/getTasks?version={}&waitMillis={}", seen.0, wait.as_millis());
        self.list(Method::GET, &path, Bytes::new(), wait).await
    }

    /// Makes these the executor's tasks: new names begin, missing ones are stopped and removed, known ones stay as they are.
    ///
    /// # Errors
    /// See [`ClientError`]. Asking again is safe.
    pub async fn set_tasks(&self, tasks: &[Task]) -> Result<Listing, ClientError> {
        self.list(Method::POST, "/setTasks", body(&tasks)?, Duration::ZERO).await
    }

    /// One task.
    ///
    /// # Errors
    /// See [`ClientError`]; a name that is not known is [`ClientError::Refused`] with 404.
    pub async fn task(&self, name: &str) -> Result<Task, ClientError> {
        let path = format!("/tasks/{name}");
        Ok(self.ask(Method::GET, &path, Bytes::new(), Duration::ZERO).await?.0)
    }

    /// Begins one more task.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn create(&self, task: &Task) -> Result<Task, ClientError> {
        Ok(self.ask(Method::POST, "/tasks", body(task)?, Duration::ZERO).await?.0)
    }

    /// Stops and removes a task. That it is gone is seen in the list.
    ///
    /// # Errors
    /// See [`ClientError`]; not if there is no such task.
    pub async fn delete(&self, name: &str) -> Result<(), ClientError> {
        let path = format!("/tasks/{name}");
        self.call(Method::DELETE, &path, Bytes::new(), Duration::ZERO).await.map(drop)
    }

    /// A piece of what a task wrote, from a position on.
    ///
    /// # Errors
    /// See [`ClientError`]; executors of others have no such route.
    pub async fn output(
        &self,
        name: &str,
        stream: Stream,
        offset: u64,
        limit: usize,
    ) -> Result<Output, ClientError> {
        let path =
            format!("/tasks/{name}/output?stream={}&offset={offset}&limit={limit}", stream.name());
        let (headers, bytes) = self.call(Method::GET, &path, Bytes::new(), Duration::ZERO).await?;
        let number = |name: &str| {
            headers.get(name).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok())
        };
        let at = number(OUTPUT_OFFSET_HEADER).unwrap_or(offset);
        let next = number(OUTPUT_NEXT_HEADER).unwrap_or(at + bytes.len() as u64);
        Ok(Output { offset: at, next, end: number(OUTPUT_END_HEADER).unwrap_or(next), bytes })
    }

    async fn list(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        wait: Duration,
    ) -> Result<Listing, ClientError> {
        let (tasks, headers) = self.ask::<Option<Vec<Task>>>(method, path, body, wait).await?;
        let version = headers.get(VERSION_HEADER).and_then(|v| v.to_str().ok());
        Ok(Listing {
            tasks: tasks.unwrap_or_default(),
            version: version.map(|v| Version(v.to_owned())),
        })
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        wait: Duration,
    ) -> Result<(T, HeaderMap), ClientError> {
        let (headers, bytes) = self.call(method, path, body, wait).await?;
        Ok((serde_json::from_slice(&bytes)?, headers))
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        wait: Duration,
    ) -> Result<(HeaderMap, Bytes), ClientError> {
        let limit = self.timeout + wait;
        let answer = tokio::time::timeout(limit, self.talk(method, path, body)).await;
        let (status, headers, bytes) = answer.map_err(|_| ClientError::Late(limit))??;
        match status {
            StatusCode::UNAUTHORIZED => Err(ClientError::Unauthorized),
            _ if status.is_success() => Ok((headers, bytes)),
            _ => Err(ClientError::Refused { status, message: complaint(&bytes) }),
        }
    }

    async fn talk(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, HeaderMap, Bytes), ClientError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address.to_string())
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(body))?;
        let stream = TcpStream::connect(self.address)
            .await
            .map_err(|source| ClientError::Connect { address: self.address, source })?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // One question: the connection is driven here, and ends with this future.
        let exchange = async {
            let response = sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            // One that announces too much is not read at all.
            if body.size_hint().lower() > LARGEST_ANSWER as u64 {
                return Err(ClientError::TooLong);
            }
            let body = Limited::new(body, LARGEST_ANSWER).collect().await;
            let bytes = body.map_err(|e| match e.downcast::<hyper::Error>() {
                Ok(cut) => ClientError::Talk(*cut),
                Err(_) => ClientError::TooLong,
            })?;
            Ok((head.status, head.headers, bytes.to_bytes()))
        };
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            // The connection may end when all has been read, which is not yet that all has been handed over.
            ended = connection => match ended {
                Ok(()) => exchange.await,
                Err(e) => Err(e.into()),
            },
        }
    }
}

fn body<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, ClientError> {
    Ok(Bytes::from(serde_json::to_vec(value)?))
}

fn complaint(bytes: &[u8]) -> String {
    let said = match serde_json::from_slice::<ErrorBody>(bytes) {
        Ok(error) => error.message,
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    };
    let short: String = said.chars().take(LONGEST_MESSAGE).collect();
    short.trim().to_owned()
}
