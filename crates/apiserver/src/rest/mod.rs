//! Requests for resources.
//!
//! ```text
//!   path ──> kind and version (registry) ──> verb ──┬─ get, list, watch      stored bytes, cut to the form asked for
//!                                                   ├─ create                 decode, prune, default, check, store
//!                                                   ├─ update, patch, scale   one loop: read, compute, check, write
//!                                                   └─ delete                 mark or remove
//! ```

mod call;
mod collection;
mod create;
mod delete;
mod list;
mod metadata;
mod negotiate;
mod options;
mod patch;
mod path;
mod pods;
mod prepare;
mod reviews;
mod scale;
mod selection;
mod show;
mod tables;
mod update;
mod watch;

use axum::body::Body;
use axum::response::Response;
use http::{Method, Request, StatusCode};

pub(crate) use create::{create_decoded, namespace_key};
pub(crate) use delete::{Deleted, delete_object};
pub(crate) use metadata::{label_problem, subdomain_problem};
pub(crate) use options::{
    DeleteOptions, Effectiveness, FieldValidation, Propagation, WriteOptions,
};
pub(crate) use path::{QueryPairs, ResourcePath};
pub(crate) use update::{Part, modify, nothing_holds};

use crate::auth::Identity;
use crate::kinds::{Served, Status};
use crate::server::Api;
use crate::status::ApiError;
use crate::store::WriteError;
use crate::streams::Streamed;
use call::Call;
use options::ListOptions;
use update::Part::{Finalize, Main};

/// Answers a request whose path names a resource.
pub(crate) async fn serve(
    api: &Api,
    path: ResourcePath,
    identity: Identity,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let served = api.kinds.now().served(&path.group, &path.version, &path.plural)?;
    check_scope(&served, &path, request.method())?;
    if let Some(streamed) = streamed(&served, &path) {
        return stream(api, &served, &path, streamed, request).await;
    }
    let (parts, body) = request.into_parts();
    let query = QueryPairs::parse(parts.uri.query());
    let method = parts.method;
    let headers = parts.headers;
    let call = Call { api, served, method, path, query, headers, identity };
    if call.path.subresource.is_empty() {
        resource(&call, body).await
    } else {
        subresource(&call, body).await
    }
}

/// A namespaced resource is written inside a namespace; a cluster-scoped one never has one in its path.
fn check_scope(served: &Served, path: &ResourcePath, method: &Method) -> Result<(), ApiError> {
    match (served.is_namespaced(), path.namespace.is_empty()) {
        (false, false) => Err(ApiError::unknown_resource()),
        (true, true) if !path.name.is_empty() && !path.old_watch => {
            Err(ApiError::unknown_resource())
        }
        (true, true) if !matches!(*method, Method::GET | Method::HEAD) => {
            Err(ApiError::method_not_allowed())
        }
        _ => Ok(()),
    }
}

async fn resource(call: &Call<'_>, body: Body) -> Result<Response, ApiError> {
    let on_object = !call.path.name.is_empty();
    let reads = matches!(call.method, Method::GET | Method::HEAD);
    if reads && (!on_object || call.path.old_watch) {
        let watch = call.path.old_watch || call.query.flag("watch");
        let options = ListOptions::parse(&call.query, watch)?;
        offered(call, if watch { "watch" } else { "list" })?;
        return if options.watch {
            watch::watch(call, &options).await
        } else {
            list::list(call, &options).await
        };
    }
    match (&call.method, on_object) {
        (&Method::GET | &Method::HEAD, true) => {
            offered(call, "get")?;
            get(call).await
        }
        (&Method::POST, false) => {
            offered(call, "create")?;
            if reviews::is_review(&call.served) {
                return reviews::answer(call, &call::collect(body).await?);
            }
            create::create(call, &call::collect(body).await?).await
        }
        (&Method::PUT, true) => {
            offered(call, "update")?;
            update::replace(call, &call::collect(body).await?, Main).await
        }
        (&Method::PATCH, true) => {
            offered(call, "patch")?;
            patch::patch(call, &call::collect(body).await?, Main).await
        }
        (&Method::DELETE, true) => {
            offered(call, "delete")?;
            delete::delete(call, &call::collect(body).await?).await
        }
        (&Method::DELETE, false) => {
            offered(call, "deletecollection")?;
            collection::delete(call, &call::collect(body).await?).await
        }
        _ => Err(ApiError::method_not_allowed()),
    }
}

fn offered(call: &Call<'_>, verb: &str) -> Result<(), ApiError> {
    if call.served.kind.rules.verbs.contains(&verb) {
        Ok(())
    } else {
        Err(ApiError::method_not_allowed())
    }
}

async fn subresource(call: &Call<'_>, body: Body) -> Result<Response, ApiError> {
    if call.path.name.is_empty() {
        return Err(ApiError::unknown_resource());
    }
    let version = call.served.version();
    let kind = call.served.kind.kind.as_str();
    let builtin = !call.served.kind.is_custom();
    match (call.path.subresource.as_str(), &call.method) {
        ("status", method) if version.subresources.status == Status::Subresource => match *method {
            Method::GET | Method::HEAD => get(call).await,
            Method::PUT => update::replace(call, &call::collect(body).await?, Part::Status).await,
            Method::PATCH => patch::patch(call, &call::collect(body).await?, Part::Status).await,
            _ => Err(ApiError::method_not_allowed()),
        },
        ("scale", method) if version.subresources.scale.is_some() => match *method {
            Method::GET | Method::HEAD => scale::get(call),
            Method::PUT => scale::replace(call, &call::collect(body).await?).await,
            Method::PATCH => scale::patch(call, &call::collect(body).await?).await,
            _ => Err(ApiError::method_not_allowed()),
        },
        ("finalize", method) if builtin && kind == "Namespace" => match *method {
            Method::PUT => update::replace(call, &call::collect(body).await?, Finalize).await,
            _ => Err(ApiError::method_not_allowed()),
        },
        ("binding", method) if builtin && kind == "Pod" => match *method {
            Method::POST => pods::bind(call, &call::collect(body).await?).await,
            _ => Err(ApiError::method_not_allowed()),
        },
        ("resize", method) if builtin && kind == "Pod" => match *method {
            Method::GET | Method::HEAD => get(call).await,
            Method::PUT => update::replace(call, &call::collect(body).await?, Part::Resize).await,
            Method::PATCH => patch::patch(call, &call::collect(body).await?, Part::Resize).await,
            _ => Err(ApiError::method_not_allowed()),
        },
        ("eviction", method) if builtin && kind == "Pod" => match *method {
            Method::POST => pods::evict(call, &call::collect(body).await?).await,
            _ => Err(ApiError::method_not_allowed()),
        },
        _ => Err(ApiError::unknown_resource()),
    }
}

async fn get(call: &Call<'_>) -> Result<Response, ApiError> {
    if let Some(text) = call.query.get("resourceVersion") {
        list::wait_for(call, options::parse_revision(text)?).await?;
    }
    let key = call.served.key(&call.path.namespace, &call.path.name);
    match call.api.store.get(&key) {
        Some(object) => call.object(StatusCode::OK, &object, &[]),
        None => Err(ApiError::not_found(&call.served.named(&key.name))),
    }
}

fn streamed(served: &Served, path: &ResourcePath) -> Option<Streamed> {
    let is_pod = served.kind.kind == "Pod" && served.kind.group.is_empty();
    if is_pod && !path.name.is_empty() { Streamed::from_segment(&path.subresource) } else { None }
}

async fn stream(
    api: &Api,
    served: &Served,
    path: &ResourcePath,
    streamed: Streamed,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let key = served.key(&path.namespace, &path.name);
    let pod = api.store.get(&key);
    let pod = pod.ok_or_else(|| ApiError::not_found(&served.named(&path.name)))?;
    api.streaming.serve(streamed, &pod, request).await
}

/// A store's refusal as a client hears it.
pub(crate) fn write_error(served: &Served, name: &str, error: &WriteError) -> ApiError {
    match error {
        WriteError::Exists(_) | WriteError::NotAbsent(_) => {
            ApiError::already_exists(&served.named(name))
        }
        WriteError::Missing(_) | WriteError::NotAlive(_) => {
            ApiError::not_found(&served.named(name))
        }
        WriteError::Stale { .. } => ApiError::stale(&served.named(name)),
        WriteError::NoSpace(_) => ApiError::insufficient_storage(error),
        WriteError::Closed => ApiError::unavailable("the server is stopping"),
        WriteError::Log(_) | WriteError::Twice(_) => ApiError::internal(error),
    }
}
