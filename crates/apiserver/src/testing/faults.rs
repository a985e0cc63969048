//! Faults between a client and the server, drawn from a seed.
//!
//! A layer decides for each request whether one of its rules strikes, and how. What it does to requests is what networks
//! and busy servers do; a client that is right survives all of it, and after [`Faults::stop`] nothing happens any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tower::{Layer, Service};

use crate::object::Revision;
use crate::rest::{QueryPairs, ResourcePath};
use crate::status::{ApiError, Named};
use crate::store::Store;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What can happen to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It arrives later, by up to this long.
    Delay(Duration),
    /// It never arrives; the client sees a broken connection.
    Drop,
    /// It is done, and the answer is lost: a broken connection.
    LoseAnswer,
    /// It is done, and the answer is 500.
    FailAfterCommit,
    /// It is refused with 409 Conflict, undone.
    Conflict,
    /// It is refused with 429 TooManyRequests and this Retry-After in seconds, undone.
    Busy(u32),
    /// It is refused with 500 InternalError, undone.
    Fail,
    /// A watch ends after this many pieces (each holds one event or more).
    CutWatch(u32),
    /// Each piece of a watch comes later, by up to this long.
    DelayWatch(Duration),
    /// A list shows a state this many revisions ago, if the store still remembers it.
    StaleList {
        /// How far back.
        revisions: u64,
        /// Which lists.
        lists: Lists,
    },
}

/// Which lists may be stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lists {
    /// Those that ask for `resourceVersion=0`, "anything you have": the API promises them no more.
    Cached,
    /// Every list, also those to which the API promises the newest state: for clients that do not rely on it.
    All,
}

/// A fault, where it strikes and how often.
#[derive(Debug, Clone)]
pub struct Rule {
    fault: Fault,
    methods: Vec<Method>,
    resource: Option<String>,
    chance: f64,
}

impl Rule {
    /// A fault that strikes every request it can strike.
    pub fn new(fault: Fault) -> Self {
        Self { fault, methods: Vec::new(), resource: None, chance: 1.0 }
    }

    /// Only requests with one of these methods.
    #[must_use]
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods = methods.into_iter().collect();
        self
    }

    /// Only requests for this resource, by plural name.
    #[must_use]
    pub fn resource(mut self, plural: &str) -> Self {
        self.resource = Some(plural.to_owned());
        self
    }

    /// Only this share of them, from 0 to 1.
    #[must_use]
    pub fn chance(mut self, chance: f64) -> Self {
        self.chance = chance;
        self
    }

    fn fits(&self, target: &Target) -> bool {
        let method = self.methods.is_empty() || self.methods.contains(&target.method);
        let resource = self.resource.as_ref().is_none_or(|plural| *plural == target.path.plural);
        let possible = match self.fault {
            Fault::CutWatch(_) | Fault::DelayWatch(_) => target.shape == Shape::Watch,
            Fault::StaleList { lists, .. } => {
                target.shape == Shape::List(Freshness::Any)
                    || (lists == Lists::All && target.shape == Shape::List(Freshness::Newest))
            }
            // A watch that is refused or lost is a matter of opening it, which `Drop` and `Busy` cover.
            Fault::LoseAnswer | Fault::FailAfterCommit | Fault::Conflict => {
                target.shape == Shape::Write
            }
            Fault::Delay(_) | Fault::Drop | Fault::Busy(_) | Fault::Fail => true,
        };
        method && resource && possible
    }
}

/// What a rule looks at.
struct Target {
    method: Method,
    path: ResourcePath,
    shape: Shape,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Get,
    List(Freshness),
    Watch,
    Write,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Freshness {
    /// `resourceVersion=0`.
    Any,
    /// No resourceVersion.
    Newest,
    /// A revision or a continue token: these are left alone.
    Fixed,
}

impl Target {
    fn of(method: &Method, uri: &Uri) -> Option<Self> {
        let path = ResourcePath::parse(uri.path())?;
        let query = QueryPairs::parse(uri.query());
        let shape = if *method != Method::GET {
            Shape::Write
        } else if path.name.is_empty() && query.flag("watch") {
            Shape::Watch
        } else if path.name.is_empty() {
            Shape::List(match (query.get("resourceVersion"), query.get("continue")) {
                (None, None) => Freshness::Newest,
                (Some("0"), None) => Freshness::Any,
                _ => Freshness::Fixed,
            })
        } else {
            Shape::Get
        };
        Some(Self { method: method.clone(), path, shape })
    }
}

/// A seeded source of faults. Clones share seed, rules and switch.
#[derive(Clone)]
pub struct Faults {
    shared: Arc<Shared>,
}

struct Shared {
    chance: Mutex<fastrand::Rng>,
    rules: Mutex<Vec<Rule>>,
    stopped: AtomicBool,
    struck: AtomicU64,
    store: Store,
}

impl Faults {
    /// No rules yet. Needs the server's store to know which states are past.
    pub fn seeded(seed: u64, store: &Store) -> Self {
        Self {
            shared: Arc::new(Shared {
                chance: Mutex::new(fastrand::Rng::with_seed(seed)),
                rules: Mutex::new(Vec::new()),
                stopped: AtomicBool::new(false),
                struck: AtomicU64::new(0),
                store: store.clone(),
            }),
        }
    }

    /// Adds a rule. Of several that fit a request the first that strikes wins.
    #[must_use]
    pub fn rule(self, rule: Rule) -> Self {
        self.shared.rules.lock().push(rule);
        self
    }

    /// From now on every request passes, and every open watch goes on undisturbed.
    pub fn stop(&self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
    }

    /// Faults may strike again.
    pub fn resume(&self) {
        self.shared.stopped.store(false, Ordering::SeqCst);
    }

    /// How often a fault has struck: a test that relies on faults checks that there were some.
    pub fn struck(&self) -> u64 {
        self.shared.struck.load(Ordering::SeqCst)
    }

    fn draw(&self, target: &Target) -> Option<Fault> {
        if self.is_stopped() {
            return None;
        }
        let rules = self.shared.rules.lock();
        let mut chance = self.shared.chance.lock();
        let strikes = rules.iter().find(|rule| rule.fits(target) && chance.f64() < rule.chance)?;
        self.shared.struck.fetch_add(1, Ordering::SeqCst);
        Some(strikes.fault.clone())
    }

    fn is_stopped(&self) -> bool {
        self.shared.stopped.load(Ordering::SeqCst)
    }

    /// A time from nothing to `longest`.
    fn up_to(&self, longest: Duration) -> Duration {
        longest.mul_f64(self.shared.chance.lock().f64())
    }
}

impl<S> Layer<S> for Faults {
    type Service = Faulty<S>;

    fn layer(&self, inner: S) -> Faulty<S> {
        Faulty { faults: self.clone(), inner }
    }
}

/// A service behind [`Faults`].
#[derive(Clone)]
pub struct Faulty<S> {
    faults: Faults,
    inner: S,
}

impl<S, B> Service<Request<B>> for Faulty<S>
where
    S: Service<Request<B>, Response = Response> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Send + 'static,
{
    type Response = Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The service that was polled ready is the one to call.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        let faults = self.faults.clone();
        let target = Target::of(request.method(), request.uri());
        async move {
            let Some(target) = target else {
                return inner.call(request).await.map_err(Into::into);
            };
            match faults.draw(&target) {
                None => inner.call(request).await.map_err(Into::into),
                Some(fault) => suffer(&faults, &fault, &target, &mut inner, request).await,
            }
        }
        .boxed()
    }
}

async fn suffer<S, B>(
    faults: &Faults,
    fault: &Fault,
    target: &Target,
    inner: &mut S,
    mut request: Request<B>,
) -> Result<Response, BoxError>
where
    S: Service<Request<B>, Response = Response>,
    S::Error: Into<BoxError>,
{
    let named =
        Named { group: &target.path.group, resource: &target.path.plural, name: &target.path.name };
    match fault {
        Fault::Drop => return Err("the request was lost".into()),
        Fault::Conflict => return Ok(ApiError::stale(&named).into_response()),
        Fault::Busy(seconds) => {
            return Ok(ApiError::too_many_requests(
                "too many requests, please try again later",
                *seconds,
            )
            .into_response());
        }
        Fault::Fail => {
            return Ok(ApiError::internal("a fault that a test asked for").into_response());
        }
        Fault::Delay(longest) => tokio::time::sleep(faults.up_to(*longest)).await,
        Fault::StaleList { revisions, .. } => {
            let past = faults.shared.store.revision().0.saturating_sub(*revisions);
            if let Some(uri) = pinned(request.uri(), Revision(past), faults) {
                *request.uri_mut() = uri;
            }
        }
        Fault::LoseAnswer | Fault::FailAfterCommit | Fault::CutWatch(_) | Fault::DelayWatch(_) => {}
    }
    let response = inner.call(request).await.map_err(Into::into)?;
    match fault {
        Fault::LoseAnswer => Err("the answer was lost".into()),
        Fault::FailAfterCommit => {
            Ok(ApiError::internal("the answer failed after the request was done").into_response())
        }
        Fault::CutWatch(pieces) if response.status() == StatusCode::OK => {
            Ok(disturbed(response, faults.clone(), Some(*pieces), Duration::ZERO))
        }
        Fault::DelayWatch(longest) if response.status() == StatusCode::OK => {
            Ok(disturbed(response, faults.clone(), None, *longest))
        }
        _ => Ok(response),
    }
}

/// The same list at a past revision; none if that is forgotten.
fn pinned(uri: &Uri, revision: Revision, faults: &Faults) -> Option<Uri> {
    let path = ResourcePath::parse(uri.path())?;
    let resource = crate::object::ResourceId::new(&path.group, &path.plural);
    faults.shared.store.watch(&resource, revision).ok()?;
    let kept = uri.query().unwrap_or_default().split('&').filter(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        !matches!(name, "" | "resourceVersion" | "resourceVersionMatch")
    });
    let mut query = kept.collect::<Vec<_>>().join("&");
    query.push_str(&format!("&resourceVersion={revision}&resourceVersionMatch=Exact"));
    format!("{}?{query}", uri.path()).parse().ok()
}

/// A watch that is slow, or ends early.
fn disturbed(
    response: Response,
    faults: Faults,
    pieces: Option<u32>,
    longest: Duration,
) -> Response {
    response.map(|body| {
        let stream = futures::stream::unfold((body, pieces), move |(mut body, left)| {
            let faults = faults.clone();
            async move {
                let calm = faults.is_stopped();
                if left == Some(0) && !calm {
                    return None;
                }
                let piece = loop {
                    let frame = body.frame().await?;
                    match frame.map(http_body::Frame::into_data) {
                        Ok(Ok(piece)) => break Ok(piece),
                        // Trailers; watches have none.
                        Ok(Err(_)) => {}
                        Err(error) => break Err(error),
                    }
                };
                if !longest.is_zero() && !calm {
                    tokio::time::sleep(faults.up_to(longest)).await;
                }
                let left = left.map(|left| left.saturating_sub(1));
                Some((piece, (body, left)))
            }
        });
        Body::from_stream(stream)
    })
}
