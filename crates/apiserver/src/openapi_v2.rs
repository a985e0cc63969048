//! OpenAPI v2, with nothing in it.
//!
//! Kinds are described in v3 alone. But kubectl still asks for v2 before it takes in a `kind: List`, a kind that no group
//! serves: it then looks up each item, finds no description, and leaves validation to the server. Without an answer it gives
//! up on every file that `kubectl get -o yaml` made of several objects.

use axum::body::Body;
use axum::response::Response;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

/// What kubectl asks for; it reads nothing else.
const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// A `Document`: 1 = swagger, 2 = info {1 = title, 2 = version}.
const DOCUMENT: &[u8] = b"\x0a\x032.0\x12\x0d\x0a\x08sandbank\x12\x011";

/// The same for those who read JSON.
const JSON_DOCUMENT: &str =
    r#"{"swagger":"2.0","info":{"title":"sandbank","version":"1"},"paths":{},"definitions":{}}"#;

/// Answers for `/openapi/v2`.
pub(crate) fn answer(headers: &HeaderMap) -> Response {
    let accepts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let protobuf = accepts
        .flat_map(|value| value.split(','))
        .any(|media| media.trim().starts_with("application/com.github.proto-openapi.spec.v2"));
    let (body, media) = match protobuf {
        true => (Body::from(DOCUMENT), PROTOBUF),
        false => (Body::from(JSON_DOCUMENT), "application/json"),
    };
    let mut response = Response::new(body);
    let out = response.headers_mut();
    out.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    out.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message's fields of length-delimited kind, which are all that occur: number and content.
    fn fields(mut message: &[u8]) -> Vec<(u8, &[u8])> {
        let mut fields = Vec::new();
        while let [tag, length, rest @ ..] = message {
            assert_eq!(tag & 7, 2, "length-delimited");
            let (content, after) = rest.split_at(usize::from(*length));
            fields.push((tag >> 3, content));
            message = after;
        }
        fields
    }

    #[test]
    fn both_forms_say_the_same_nothing() {
        let json: serde_json::Value = serde_json::from_str(JSON_DOCUMENT).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().as_bytes().to_vec();
        let (swagger, info) = (text(&json["swagger"]), &json["info"]);
        let (title, version) = (text(&info["title"]), text(&info["version"]));
        let document = fields(DOCUMENT);
        assert_eq!(document[0], (1, swagger.as_slice()));
        assert_eq!((document[1].0, document.len()), (2, 2));
        assert_eq!(fields(document[1].1), [(1, title.as_slice()), (2, version.as_slice())]);

        let mut headers = HeaderMap::new();
        assert_eq!(answer(&headers).headers()[CONTENT_TYPE], "application/json");
        let accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        assert_eq!(answer(&headers).headers()[CONTENT_TYPE], PROTOBUF);
    }
}
