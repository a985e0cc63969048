//! Bytes of a request to a JSON value: duplicate keys are noticed, depth is bounded.
//!
//! A duplicate key is not a syntax error: the last one wins, and the caller decides by `fieldValidation` whether that
//! is refused, warned about or ignored.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How deep objects may nest. CRDs that embed pod templates reach 20 levels, a CRD's own schema about twice that of the
/// objects it describes; recursion over an accepted value must never exhaust a thread's stack.
pub const MAX_DEPTH: usize = 100;

/// A decoded body.
#[derive(Debug, PartialEq)]
pub struct Decoded {
    /// The value; of a repeated key, the last one.
    pub value: Value,
    /// Paths of keys that stand twice in one object, as `spec.image`.
    pub duplicates: Vec<String>,
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// Not YAML.
    #[error("error converting YAML to JSON: {0}")]
    Yaml(String),
}

/// Reads a JSON document.
pub fn json(body: &[u8]) -> Result<Decoded, DecodeError> {
    let mut duplicates = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let seed = Seed { path: &Step::Root, depth: 0, duplicates: &mut duplicates };
    let value = seed.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(Decoded { value, duplicates })
}

/// Reads a YAML document (of which JSON is a part). A stream of several documents is refused.
pub fn yaml(body: &[u8]) -> Result<Decoded, DecodeError> {
    let mut duplicates = Vec::new();
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::PassThrough,
        with_snippet: false,
    };
    let value =
        serde_saphyr::with_deserializer_from_slice_with_options(body, options, |deserializer| {
            Seed { path: &Step::Root, depth: 0, duplicates: &mut duplicates }
                .deserialize(deserializer)
        })
        .map_err(|error| DecodeError::Yaml(error.to_string()))?;
    Ok(Decoded { value, duplicates })
}

enum Step<'a> {
    Root,
    Key(&'a Step<'a>, &'a str),
    Index(&'a Step<'a>, usize),
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Root => Ok(()),
            Step::Key(Step::Root, key) => f.write_str(key),
            Step::Key(parent, key) => write!(f, "{parent}.{key}"),
            Step::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

struct Seed<'a> {
    path: &'a Step<'a>,
    depth: usize,
    duplicates: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.depth > MAX_DEPTH {
            return Err(D::Error::custom(format_args!("exceeded max depth {MAX_DEPTH}")));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("number is not finite"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let path = Step::Index(self.path, list.len());
            let seed =
                Seed { path: &path, depth: self.depth + 1, duplicates: &mut *self.duplicates };
            match items.next_element_seed(seed)? {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let path = Step::Key(self.path, &key);
            let seed =
                Seed { path: &path, depth: self.depth + 1, duplicates: &mut *self.duplicates };
            let value = entries.next_value_seed(seed)?;
            if map.contains_key(&key) {
                let path = path.to_string();
                if !self.duplicates.contains(&path) {
                    self.duplicates.push(path);
                }
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_reports_each_repeated_key_once_and_keeps_the_last() {
        let body = br#"{"a":1,"a":2,"a":3,"l":[{"x":1,"x":2}],"n":1.5,"b":true,"z":null}"#;
        let decoded = json(body).unwrap();
        assert_eq!(decoded.value, json!({"a":3,"l":[{"x":2}],"n":1.5,"b":true,"z":null}));
        assert_eq!(decoded.duplicates, ["a", "l[0].x"]);
    }

    #[test]
    fn yaml_reads_what_kubectl_sends_and_sees_repeated_keys() {
        let decoded = yaml(
            b"kind: Pod\nspec:\n  a: 1\n  a: 2\n  on: \"yes\"\n  list:\n  - x: 0.5\n  none:\n",
        )
        .unwrap();
        let expected = json!({"kind": "Pod", "spec": {"a": 2, "on": "yes", "list": [{"x": 0.5}], "none": null}});
        assert_eq!(decoded.value, expected);
        assert_eq!(decoded.duplicates, ["spec.a"]);
        assert_eq!(yaml(br#"{"a": [1, "b"]}"#).unwrap().value, json!({"a": [1, "b"]}));
    }

    #[test]
    fn broken_and_too_deep_input_is_refused() {
        for body in ["{", "{\"a\":}", "[1] 2", ""] {
            assert!(json(body.as_bytes()).is_err(), "{body}");
        }
        let deep = "[".repeat(MAX_DEPTH + 2) + &"]".repeat(MAX_DEPTH + 2);
        assert!(json(deep.as_bytes()).is_err());
        assert!(yaml(deep.as_bytes()).is_err());
        assert!(yaml(b"a: [").is_err());
        assert!(yaml(b"a: 1\n---\nb: 2\n").is_err());
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
        for i in 1..9 {
            let previous = format!("*a{}", i - 1);
            bomb += &format!("a{i}: &a{i} [{}]\n", vec![previous; 9].join(","));
        }
        assert!(yaml(bomb.as_bytes()).is_err());
    }
}
