//! Bodies that Go clients send as protobuf, read into the JSON they stand for.
//!
//! kubectl and client-go write built-in kinds as protobuf and do not fall back to JSON when refused, so reading it is not
//! optional. Answers are always JSON, which every client accepts. One table of field numbers and names serves all kinds:
//! `hack/kubernetes-protobuf.py` makes it from the published types.
//!
//! ```text
//!   6b 38 73 00 | 1: {1: apiVersion, 2: kind} | 2: the object, in the message of its kind
//! ```

mod table;
mod wire;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::schema::decode;
use table::{Field, MessageId, Shape, TABLE, Type, Zero};
pub use wire::Malformed;
use wire::{Reader, Record};

/// The first bytes of every body.
const PREFIX: &[u8] = b"k8s\0";

/// A body that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ProtobufError {
    /// It does not begin as it must.
    #[error("provided data does not appear to be a protobuf message, expected prefix {PREFIX:?}")]
    Prefix,
    /// A kind that does not travel as protobuf here: 415, so that a client may try JSON.
    #[error("no kind {kind:?} is registered for version {api_version:?}")]
    UnknownKind {
        /// Group and version.
        api_version: String,
        /// Kind.
        kind: String,
    },
    /// Broken encoding, or a value that its type can't hold.
    #[error("proto: {0}")]
    Malformed(#[from] Malformed),
}

/// Whether a Content-Type names this format.
pub fn is_protobuf(content_type: &str) -> bool {
    let media = content_type.split(';').next().unwrap_or_default().trim();
    media.eq_ignore_ascii_case("application/vnd.kubernetes.protobuf")
}

/// Reads a body into the object's JSON, with `apiVersion` and `kind`.
pub fn decode(body: &[u8]) -> Result<Value, ProtobufError> {
    let body = body.strip_prefix(PREFIX).ok_or(ProtobufError::Prefix)?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for record in Reader::new(body) {
        match record? {
            (1, Record::Bytes(type_meta)) => {
                for record in Reader::new(type_meta) {
                    match record? {
                        (1, Record::Bytes(text)) => api_version = wire::text(text)?.to_owned(),
                        (2, Record::Bytes(text)) => kind = wire::text(text)?.to_owned(),
                        _ => {}
                    }
                }
            }
            (2, Record::Bytes(object)) => raw = object,
            _ => {}
        }
    }
    let Some(message) = TABLE.kind(&api_version, &kind) else {
        return Err(ProtobufError::UnknownKind { api_version, kind });
    };
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), api_version.into());
    object.insert("kind".to_owned(), kind.into());
    read_message(message, raw, &mut object)?;
    Ok(Value::Object(object))
}

fn read_message(
    id: MessageId,
    bytes: &[u8],
    object: &mut Map<String, Value>,
) -> Result<(), Malformed> {
    let message = TABLE.message(id);
    for record in Reader::new(bytes) {
        let (number, record) = record?;
        // A newer client may know more fields; what it says in them is lost, as on a real server of this version.
        let Some(field) = message.get(&number) else { continue };
        read_field(field, record, object)?;
    }
    Ok(())
}

fn read_field(
    field: &Field,
    record: Record<'_>,
    object: &mut Map<String, Value>,
) -> Result<(), Malformed> {
    match field.shape {
        Shape::Inline => match (field.ty, record) {
            (Type::Message(id), Record::Bytes(bytes)) => read_message(id, bytes, object)?,
            _ => return Err(Malformed("wrong wire type")),
        },
        Shape::One => match read_value(field.ty, record)? {
            Some(value) if field.zero == Zero::Keep || !is_zero(&value) => {
                object.insert(field.name.clone(), value);
            }
            _ => {}
        },
        Shape::Many => {
            let list = object.entry(field.name.clone()).or_insert_with(|| Value::Array(Vec::new()));
            let Value::Array(list) = list else {
                return Err(Malformed("field appears in two shapes"));
            };
            match (field.ty, record) {
                (Type::Int, Record::Bytes(packed)) => {
                    let mut rest = packed;
                    while !rest.is_empty() {
                        let (number, after) = wire::varint(rest)?;
                        list.push(Value::from(number as i64));
                        rest = after;
                    }
                }
                (ty, record) => list.push(read_value(ty, record)?.unwrap_or(Value::Null)),
            }
        }
        Shape::Map => {
            let Record::Bytes(entry) = record else { return Err(Malformed("wrong wire type")) };
            let (mut key, mut value) = (String::new(), None);
            for record in Reader::new(entry) {
                match record? {
                    (1, Record::Bytes(text)) => key = wire::text(text)?.to_owned(),
                    (2, record) => value = read_value(field.ty, record)?,
                    _ => {}
                }
            }
            let value = value.unwrap_or_else(|| Value::String(String::new()));
            let map = object.entry(field.name.clone()).or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(map) = map else {
                return Err(Malformed("field appears in two shapes"));
            };
            map.insert(key, value);
        }
    }
    Ok(())
}

/// Whether a scalar is what Go writes for "not set". Messages are told apart by being there.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Bool(truth) => !truth,
        _ => false,
    }
}

/// One value; `None` for a time that was never set.
fn read_value(ty: Type, record: Record<'_>) -> Result<Option<Value>, Malformed> {
    let value = match (ty, record) {
        (Type::String, Record::Bytes(bytes)) => Value::from(wire::text(bytes)?),
        (Type::Bool, Record::Varint(number)) => Value::Bool(number != 0),
        // Negative numbers travel as the sixty-four bits of their two's complement.
        (Type::Int, Record::Varint(number)) => Value::from(number as i64),
        (Type::Bytes, Record::Bytes(bytes)) => Value::from(STANDARD.encode(bytes)),
        (Type::Message(id), Record::Bytes(bytes)) => {
            let mut object = Map::new();
            read_message(id, bytes, &mut object)?;
            Value::Object(object)
        }
        (Type::Time, Record::Bytes(bytes)) => return time(bytes, "%Y-%m-%dT%H:%M:%SZ"),
        (Type::MicroTime, Record::Bytes(bytes)) => return time(bytes, "%Y-%m-%dT%H:%M:%S%.6fZ"),
        (Type::Quantity, Record::Bytes(bytes)) => {
            let mut quantity = "0";
            for record in Reader::new(bytes) {
                if let (1, Record::Bytes(text)) = record? {
                    quantity = wire::text(text)?;
                }
            }
            Value::from(quantity)
        }
        (Type::IntOrString, Record::Bytes(bytes)) => int_or_string(bytes)?,
        (Type::Raw, Record::Bytes(bytes)) => {
            let mut value = Value::Null;
            for record in Reader::new(bytes) {
                if let (1, Record::Bytes(raw)) = record? {
                    let decoded =
                        decode::json(raw).map_err(|_| Malformed("embedded object is not JSON"))?;
                    value = decoded.value;
                }
            }
            value
        }
        (Type::Strings, Record::Bytes(bytes)) => {
            let mut list = Vec::new();
            for record in Reader::new(bytes) {
                if let (1, Record::Bytes(text)) = record? {
                    list.push(Value::from(wire::text(text)?));
                }
            }
            Value::Array(list)
        }
        _ => return Err(Malformed("wrong wire type")),
    };
    Ok(Some(value))
}

fn time(bytes: &[u8], layout: &str) -> Result<Option<Value>, Malformed> {
    let (mut seconds, mut nanos) = (0, 0);
    for record in Reader::new(bytes) {
        match record? {
            (1, Record::Varint(number)) => seconds = number as i64,
            (2, Record::Varint(number)) => nanos = number as i32,
            _ => {}
        }
    }
    if seconds == 0 && nanos == 0 {
        return Ok(None);
    }
    let time = Timestamp::new(seconds, nanos).map_err(|_| Malformed("time out of range"))?;
    Ok(Some(time.strftime(layout).to_string().into()))
}

fn int_or_string(bytes: &[u8]) -> Result<Value, Malformed> {
    let (mut is_text, mut number, mut text) = (false, 0, "");
    for record in Reader::new(bytes) {
        match record? {
            (1, Record::Varint(ty)) => is_text = ty != 0,
            (2, Record::Varint(value)) => number = value as i64,
            (3, Record::Bytes(value)) => text = wire::text(value)?,
            _ => {}
        }
    }
    Ok(if is_text { text.into() } else { number.into() })
}

#[cfg(test)]
mod tests;
