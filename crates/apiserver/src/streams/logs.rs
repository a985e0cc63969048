//! `GET pods/NAME/log`: text as the container wrote it.

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use futures::{StreamExt, stream};
use http::{HeaderValue, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::{LogRequest, LogStream, Params, PodStreams, StreamError, target::Target};
use crate::{
    object::Object,
    status::{ApiError, Cause, Named},
};

/// Answers a request for a container's log.
pub(super) async fn serve(
    pods: &dyn PodStreams,
    pod: &Object,
    params: &Params,
    now: Timestamp,
    stop: CancellationToken,
) -> Result<Response, ApiError> {
    let options = Options::parse(params, &pod.meta().name, now)?;
    let target = Target::of(pod);
    let container = target.container(params)?;
    if !target.is_bound() {
        let mut nothing = Response::new(Body::empty());
        *nothing.status_mut() = StatusCode::NO_CONTENT;
        return Ok(nothing);
    }
    let request = LogRequest {
        target: target.locate(container)?,
        follow: params.flag("follow"),
        previous: params.flag("previous"),
        timestamps: params.flag("timestamps"),
        tail_lines: options.tail_lines,
        since: options.since,
    };
    let text = pods.logs(request).await.map_err(refusal)?;
    let text = text.take_until(stop.cancelled_owned()).boxed();
    let text = match options.limit_bytes {
        Some(limit) => first_bytes(text, limit),
        None => text,
    };
    let mut response = Response::new(Body::from_stream(text));
    let plain = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    Ok(response)
}

struct Options {
    tail_lines: Option<u64>,
    limit_bytes: Option<u64>,
    since: Option<Timestamp>,
}

impl Options {
    fn parse(params: &Params, pod: &str, now: Timestamp) -> Result<Self, ApiError> {
        let mut causes = Vec::new();
        let tail_lines = at_least(params, "tailLines", 0, &mut causes)?;
        let limit_bytes = at_least(params, "limitBytes", 1, &mut causes)?;
        let since_seconds = at_least(params, "sinceSeconds", 1, &mut causes)?;
        let since_time = params
            .text("sinceTime")
            .map(|text| {
                let wrong = |_| ApiError::bad_request(format!("sinceTime {text:?} is not a time"));
                text.parse::<Timestamp>().map_err(wrong)
            })
            .transpose()?;
        if since_seconds.is_some() && since_time.is_some() {
            causes.push(Cause {
                reason: "FieldValueForbidden",
                message: "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
                    .to_owned(),
                field: String::new(),
            });
        }
        if !causes.is_empty() {
            let options = Named { group: "", resource: "PodLogOptions", name: pod };
            return Err(ApiError::invalid(&options, causes));
        }
        let ago = |seconds: u64| {
            let seconds = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
            // Longer ago than time goes back: everything.
            now.checked_sub(seconds).ok()
        };
        Ok(Self { tail_lines, limit_bytes, since: since_time.or(since_seconds.and_then(ago)) })
    }
}

fn at_least(
    params: &Params,
    name: &str,
    least: u64,
    causes: &mut Vec<Cause>,
) -> Result<Option<u64>, ApiError> {
    let number = params
        .number(name)
        .map_err(|text| ApiError::bad_request(format!("{name}: {text:?} is not a number")))?;
    let Some(number) = number else { return Ok(None) };
    match u64::try_from(number) {
        Ok(number) if number >= least => Ok(Some(number)),
        _ => {
            let bound = if least == 0 { "greater than or equal to 0" } else { "greater than 0" };
            causes.push(Cause {
                reason: "FieldValueInvalid",
                message: format!("Invalid value: {number}: must be {bound}"),
                field: name.to_owned(),
            });
            Ok(None)
        }
    }
}

/// The stream's beginning. The rest is not asked for, so a node can stop reading.
fn first_bytes(text: LogStream, limit: u64) -> LogStream {
    stream::unfold((text, limit), |(mut text, left)| async move {
        if left == 0 {
            return None;
        }
        let piece = text.next().await?;
        let piece: Result<Bytes, StreamError> = piece.map(|piece| {
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            piece.slice(..length)
        });
        let left = piece.as_ref().map_or(0, |piece| left - piece.len() as u64);
        Some((piece, (text, left)))
    })
    .boxed()
}

fn refusal(error: StreamError) -> ApiError {
    match error {
        StreamError::Waiting(reason) | StreamError::NotRunning(reason) => {
            ApiError::bad_request(reason)
        }
        StreamError::Unsupported(what) => ApiError::not_implemented(&what),
        StreamError::NotExecutable(reason) | StreamError::Failed(reason) => {
            ApiError::internal(reason)
        }
    }
}
