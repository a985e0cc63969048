//! What the client wants to read and what it sends.

use http::{HeaderMap, header};

use crate::status::ApiError;

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The objects themselves.
    Object,
    /// Rows for people: `as=Table`.
    Table,
    /// Objects without content: `as=PartialObjectMetadata`, or its list.
    Metadata,
}

/// What can be served, as a 406 lists it.
const OFFERED: [&str; 2] = ["application/json", "application/yaml"];

/// One entry of a comma list, with its parameters in any order.
pub(crate) struct MediaType<'a> {
    pub(crate) name: &'a str,
    pub(crate) parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> MediaType<'a> {
    pub(crate) fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let parameters = parts.filter_map(|part| part.split_once('=')).collect();
        Self { name, parameters }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

/// Every media type of the Accept headers, in the client's order.
pub(crate) fn accepted(headers: &HeaderMap) -> Vec<MediaType<'_>> {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(MediaType::parse)
        .filter(|media| !media.name.is_empty())
        .collect()
}

/// The first form the client asks for that can be served.
pub(crate) fn form(headers: &HeaderMap) -> Result<Form, ApiError> {
    let accepted = accepted(headers);
    if accepted.is_empty() {
        return Ok(Form::Object);
    }
    for media in &accepted {
        if !matches!(media.name, "application/json" | "*/*" | "application/*") {
            continue;
        }
        let version_fits = media.get("g").is_none_or(|group| group == "meta.k8s.io")
            && media.get("v").is_none_or(|version| matches!(version, "v1" | "v1beta1"));
        match media.get("as") {
            None => return Ok(Form::Object),
            Some("Table") if version_fits => return Ok(Form::Table),
            Some("PartialObjectMetadata" | "PartialObjectMetadataList") if version_fits => {
                return Ok(Form::Metadata);
            }
            Some(_) => {}
        }
    }
    Err(ApiError::not_acceptable(&OFFERED))
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFormat {
    Json,
    Yaml,
    Protobuf,
}

/// The format of an object's body. A missing Content-Type means JSON: the Python client sends none.
pub(crate) fn body_format(headers: &HeaderMap) -> Result<BodyFormat, ApiError> {
    let media = content_type(headers);
    match media {
        "" | "application/json" | "*/*" => Ok(BodyFormat::Json),
        "application/yaml" => Ok(BodyFormat::Yaml),
        "application/vnd.kubernetes.protobuf" => Ok(BodyFormat::Protobuf),
        _ => Err(ApiError::unsupported_media_type(&[
            "application/json",
            "application/yaml",
            "application/vnd.kubernetes.protobuf",
        ])),
    }
}

/// The Content-Type without parameters; empty if there is none.
pub(crate) fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    MediaType::parse(value.unwrap_or_default()).name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(accept: &str) -> Result<Form, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        form(&headers).map_err(|error| error.code.as_u16())
    }

    #[test]
    fn the_first_form_that_fits_wins_whatever_the_order_of_parameters() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        assert_eq!(asked(table), Ok(Form::Table));
        assert_eq!(asked("application/json;g=meta.k8s.io;v=v1;as=Table"), Ok(Form::Table));
        assert_eq!(asked("application/vnd.kubernetes.protobuf, */*"), Ok(Form::Object));
        assert_eq!(
            asked(
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
            ),
            Ok(Form::Metadata)
        );
        assert_eq!(asked("application/json;as=Table;v=v9;g=meta.k8s.io"), Err(406));
        assert_eq!(asked("text/html"), Err(406));
        assert_eq!(form(&HeaderMap::new()).unwrap(), Form::Object);
    }
}
