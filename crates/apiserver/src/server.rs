//! The server as a value: built, asked, stopped.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Deref;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::{Attributes, Identity};
use crate::clock::{Clock, Ids};
use crate::convert::Converter;
use crate::kinds::{Known, Registry};
use crate::rest::{self, ResourcePath};
use crate::status::ApiError;
use crate::store::{OpenError, Store, StoreOptions};
use crate::streams::{PodStreams, Streaming};
use crate::{definitions, expiry, gc, in_process, namespaces};

/// What every part of the server works with.
#[derive(Clone)]
pub(crate) struct Api(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) kinds: Registry,
    pub(crate) clock: Clock,
    pub(crate) ids: Ids,
    pub(crate) streaming: Streaming,
    /// What pods check the server's certificate with, in PEM; absent where there is none.
    pub(crate) root_certificate: Option<String>,
    /// Cancelled when the server stops: ends watches, streams and loops.
    pub(crate) stopping: CancellationToken,
    converters: BTreeMap<(String, String), Arc<dyn Converter>>,
    loops: TaskTracker,
}

impl Deref for Api {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Api {
    /// Runs a task that ends when the server does.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.loops.spawn(task);
    }
}

impl Inner {
    /// The converter registered for a kind.
    pub(crate) fn converter(&self, group: &str, kind: &str) -> Option<&Arc<dyn Converter>> {
        self.converters.get(&(group.to_owned(), kind.to_owned()))
    }
}

/// Collects what a server is made of.
pub struct ApiServerBuilder {
    store: StoreOptions,
    clock: Clock,
    ids: Ids,
    converters: BTreeMap<(String, String), Arc<dyn Converter>>,
    pods: Option<Arc<dyn PodStreams>>,
    root_certificate: Option<String>,
    first_groups: Vec<String>,
}

impl ApiServerBuilder {
    /// Where objects live; in memory unless told otherwise.
    #[must_use]
    pub fn store(mut self, store: StoreOptions) -> Self {
        self.store = store;
        self
    }

    /// Where the time comes from; the machine's clock unless told otherwise.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Where uids and generated names come from; chance unless told otherwise.
    #[must_use]
    pub fn ids(mut self, ids: Ids) -> Self {
        self.ids = ids;
        self
    }

    /// Converts between the versions of a custom kind whose definition asks for a conversion.
    #[must_use]
    pub fn converter(mut self, group: &str, kind: &str, converter: Arc<dyn Converter>) -> Self {
        self.converters.insert((group.to_owned(), kind.to_owned()), converter);
        self
    }

    /// Whoever runs the pods, for exec, attach and logs. Without one these are refused.
    #[must_use]
    pub fn pods(mut self, pods: Arc<dyn PodStreams>) -> Self {
        self.pods = Some(pods);
        self
    }

    /// The authority's certificate, in PEM: each namespace gets it in a ConfigMap, for clients in pods.
    #[must_use]
    pub fn root_certificate(mut self, certificate: String) -> Self {
        self.root_certificate = Some(certificate);
        self
    }

    /// The groups that discovery names first, in this order; all others follow by name. Where two groups have a resource of one name, clients that are asked for
    /// it without its group take the one they read first. In a cluster an APIService's `groupPriorityMinimum` says so.
    #[must_use]
    pub fn first_groups<'a>(mut self, groups: impl IntoIterator<Item = &'a str>) -> Self {
        self.first_groups = groups.into_iter().map(str::to_owned).collect();
        self
    }

    /// Opens the store and starts the server's loops on the current tokio runtime.
    pub async fn open(self) -> Result<ApiServer, OpenError> {
        let store = Store::open(&self.store).await?;
        let stopping = CancellationToken::new();
        let api = Api(Arc::new(Inner {
            store,
            kinds: Registry::new(self.first_groups),
            streaming: Streaming::new(self.pods, self.clock.clone(), stopping.clone()),
            clock: self.clock,
            ids: self.ids,
            root_certificate: self.root_certificate,
            stopping,
            converters: self.converters,
            loops: TaskTracker::new(),
        }));
        // Custom kinds of an earlier run are served from the first request on.
        let mut known = Known::default();
        known.register(&api);
        namespaces::prepare(&api)
            .await
            .map_err(|error| OpenError::Unprepared(error.to_string()))?;
        api.spawn(definitions::run(api.clone(), known));
        api.spawn(gc::run(api.clone()));
        api.spawn(namespaces::run(api.clone()));
        api.spawn(expiry::run(api.clone()));
        Ok(ApiServer { api })
    }
}

/// A running API server. Cheap to clone; all clones are the same server.
#[derive(Clone)]
pub struct ApiServer {
    api: Api,
}

impl ApiServer {
    /// A server in memory with nothing in it, to be changed before it is opened.
    pub fn builder() -> ApiServerBuilder {
        ApiServerBuilder {
            store: StoreOptions::Memory,
            clock: Clock::System,
            ids: Ids::random(),
            converters: BTreeMap::new(),
            pods: None,
            root_certificate: None,
            first_groups: Vec::new(),
        }
    }

    /// The whole API as a router. Requests carry an [`Identity`] extension, or are anonymous.
    pub fn router(&self) -> Router {
        let api = self.api.clone();
        Router::new().fallback(move |request: Request<Body>| {
            let api = api.clone();
            async move { handle(&api, request).await }
        })
    }

    /// The API as a service inside this process, for `kube::Client::new`. All its requests are `identity`'s.
    pub fn service(&self, identity: Identity) -> InProcess {
        InProcess { server: self.clone(), identity }
    }

    /// The store behind the server, for measuring it and for tests.
    pub fn store(&self) -> &Store {
        &self.api.store
    }

    /// Ends watches, streams and loops, finishes the writes under way and lets go of the store's file.
    pub async fn close(&self) {
        self.api.stopping.cancel();
        self.api.loops.close();
        self.api.loops.wait().await;
        self.api.store.close().await;
    }
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ApiServer").field("revision", &self.api.store.revision()).finish()
    }
}

/// The API as a tower service: no connection, no copy of the bytes.
#[derive(Clone, Debug)]
pub struct InProcess {
    server: ApiServer,
    identity: Identity,
}

impl<B> tower::Service<Request<B>> for InProcess
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<Response, hyper::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Self { server, identity } = self.clone();
        async move {
            if in_process::wants_upgrade(request.headers()) {
                let response = in_process::upgrade(server.router(), identity, request).await?;
                return Ok(response.map(Body::new));
            }
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(identity);
            match handle(&server.api, request).await {
                Ok(response) => Ok(response),
                Err(never) => match never {},
            }
        }
        .boxed()
    }
}

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// Answers one request.
async fn handle(api: &Api, request: Request<Body>) -> Result<Response, Infallible> {
    let mut response = match answer(api, request).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    };
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&api.ids.uid()) {
        headers.insert(AUDIT_ID, id);
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
    Ok(response)
}

async fn answer(api: &Api, request: Request<Body>) -> Result<Response, ApiError> {
    let identity =
        request.extensions().get::<Identity>().cloned().unwrap_or_else(Identity::anonymous);
    let uri = request.uri().clone();
    Attributes::of(request.method(), uri.path(), uri.query()).check(&identity)?;
    if api.stopping.is_cancelled() {
        return Err(ApiError::unavailable("the server is stopping"));
    }
    if let Some(path) = ResourcePath::parse(uri.path()) {
        return rest::serve(api, path, identity, request).await;
    }
    let kinds = api.kinds.now();
    let now = api.clock.now();
    let document =
        kinds.catalog().answer(request.method(), uri.path(), uri.query(), request.headers(), now);
    if let Some(document) = document {
        return Ok(document);
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    match uri.path().trim_end_matches('/') {
        "/healthz" | "/livez" | "/readyz" if reads => Ok((StatusCode::OK, "ok").into_response()),
        _ => Err(ApiError::unknown_path()),
    }
}
