//! The table of kinds, messages and fields, from `data/protobuf.json`.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// A message's place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MessageId(usize);

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    String,
    Bool,
    Int,
    Bytes,
    Time,
    MicroTime,
    Quantity,
    IntOrString,
    /// JSON inside bytes.
    Raw,
    /// A list of texts wrapped in a message, as the values of a map.
    Strings,
    Message(MessageId),
}

/// How a field holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Shape {
    One,
    Many,
    Map,
    /// The fields of the message are fields of its parent.
    Inline,
}

/// Whether a zero says something. Go writes zeros of plain fields always, of pointers only when they were set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Zero {
    Keep,
    Drop,
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) ty: Type,
    pub(super) shape: Shape,
    pub(super) zero: Zero,
}

pub(super) type Message = HashMap<u32, Field>;

pub(super) struct Table {
    kinds: HashMap<String, MessageId>,
    messages: Vec<Message>,
}

impl Table {
    /// The message of a kind. Options of a delete come under the version of any group.
    pub(super) fn kind(&self, api_version: &str, kind: &str) -> Option<MessageId> {
        let (group, version) = match api_version.split_once('/') {
            Some(parts) if kind != "DeleteOptions" => parts,
            Some(_) => ("", "v1"),
            None => ("", api_version),
        };
        self.kinds.get(&format!("{group}/{version}/{kind}")).copied()
    }

    pub(super) fn message(&self, id: MessageId) -> &Message {
        &self.messages[id.0]
    }
}

#[derive(Deserialize)]
struct Data {
    kinds: HashMap<String, String>,
    messages: HashMap<String, HashMap<u32, Cell>>,
}

/// JSON name, type, shape, zero.
type Cell = (String, String, Shape, Zero);

pub(super) static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let text = include_str!("../../data/protobuf.json");
    let data: Data = serde_json::from_str(text).expect("generated data that a test reads");
    let ids: HashMap<&str, MessageId> = data
        .messages
        .keys()
        .enumerate()
        .map(|(index, name)| (name.as_str(), MessageId(index)))
        .collect();
    let known =
        |name: &str| *ids.get(name).expect("a message that the generator wrote with its user");
    let ty = |name: &str| match name {
        "string" => Type::String,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "bytes" => Type::Bytes,
        "Time" => Type::Time,
        "MicroTime" => Type::MicroTime,
        "Quantity" => Type::Quantity,
        "IntOrString" => Type::IntOrString,
        "Raw" => Type::Raw,
        "Strings" => Type::Strings,
        message => Type::Message(known(message)),
    };
    let fields = |fields: &HashMap<u32, Cell>| {
        let field = |(number, (name, of, shape, zero)): (&u32, &Cell)| {
            (*number, Field { name: name.clone(), ty: ty(of), shape: *shape, zero: *zero })
        };
        fields.iter().map(field).collect()
    };
    let messages = data.messages.values().map(fields).collect();
    let kinds = data.kinds.iter().map(|(kind, message)| (kind.clone(), known(message))).collect();
    Table { kinds, messages }
});
