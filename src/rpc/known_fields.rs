//! Which fields the messages of the contract have, and whether a request has others.
//!
//! prost skips fields that it does not know. So a server that is older than its client would pass over a field that narrows
//! the request, and answer too much. This server refuses such a request.
//!
//! Invariant: a message that passes [`Shapes::check`] has only fields of the contract, at any depth. Checking a message that
//! passes allocates nothing.

use std::{collections::HashMap, sync::LazyLock};

use prost::{
    Message,
    encoding::{WireType, decode_key, decode_varint},
};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

use crate::proto;

/// How deep messages may be nested. The contract's own need less than ten levels.
const NESTING_MAX: usize = 32;

/// The messages of the contract and the well-known types that it uses.
pub(super) static SHAPES: LazyLock<Shapes> = LazyLock::new(|| {
    // The set is compiled in. If it did not parse, the server would refuse every request, and every test would fail.
    let set = FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap_or_default();
    Shapes::new(&set)
});

/// Why a message is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum MessageError {
    #[error(
        "field {number} of {}{message} is not known to this server, so the request may mean something else than the \
         server would answer: leave it out, or ask a newer server",
        at(path)
    )]
    UnknownField {
        /// Names of the fields that lead to the message, joined by dots; empty for the request itself.
        path: String,
        /// Full name of the message that has no such field.
        message: &'static str,
        number: u32,
    },
    #[error("the request is not a message of the contract: {0}")]
    Malformed(String),
    #[error("the request nests deeper than {NESTING_MAX} messages")]
    TooDeep,
    #[error("the contract has no message {0}")]
    NoSuchMessage(String),
}

fn at(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("`{path}`, a ") }
}

/// A message inside [`Shapes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ShapeId(usize);

/// Messages by name, with their fields.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    ids: HashMap<String, ShapeId>,
    shapes: Vec<Shape>,
}

/// The fields of one message.
#[derive(Debug, Default)]
struct Shape {
    name: String,
    /// Sorted by number.
    fields: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    number: u32,
    name: String,
    wire: WireType,
    /// A repeated number may come packed: all its values in one block.
    packable: bool,
    /// For fields that hold messages.
    message: Option<ShapeId>,
}

impl Shapes {
    /// The messages of a set of files, which has to contain all imports.
    fn new(set: &FileDescriptorSet) -> Self {
        let mut messages = Vec::new();
        for file in &set.file {
            let package = file.package();
            for message in &file.message_type {
                collect(package, message, &mut messages);
            }
        }
        let mut ids = HashMap::new();
        for (at, (name, _)) in messages.iter().enumerate() {
            ids.insert(name.clone(), ShapeId(at));
        }
        let mut shapes = Vec::with_capacity(messages.len());
        for (name, message) in messages {
            let mut fields: Vec<Field> = message.field.iter().map(|field| Field::new(field, &ids)).collect();
            fields.sort_by_key(|field| field.number);
            shapes.push(Shape { name, fields });
        }
        Self { ids, shapes }
    }

    /// The message with this full name.
    pub(super) fn find(&self, name: &str) -> Option<ShapeId> {
        self.ids.get(name).copied()
    }

    /// An error if an encoded message has a field that is not in the contract, or is malformed.
    pub(super) fn check(&'static self, id: ShapeId, bytes: &[u8]) -> Result<(), MessageError> {
        self.check_nested(id, bytes, 1)
    }

    fn check_nested(&'static self, ShapeId(at): ShapeId, mut bytes: &[u8], depth: usize) -> Result<(), MessageError> {
        let Some(shape) = self.shapes.get(at) else { return Err(MessageError::NoSuchMessage(at.to_string())) };
        if depth > NESTING_MAX {
            return Err(MessageError::TooDeep);
        }
        while !bytes.is_empty() {
            let (number, wire) = decode_key(&mut bytes).map_err(malformed)?;
            let Ok(at) = shape.fields.binary_search_by_key(&number, |field| field.number) else {
                return Err(MessageError::UnknownField { path: String::new(), message: &shape.name, number });
            };
            let field = &shape.fields[at];
            if wire != field.wire && !(field.packable && wire == WireType::LengthDelimited) {
                return Err(MessageError::Malformed(format!("{} of {} is not a {wire:?}", field.name, shape.name)));
            }
            let length = match wire {
                WireType::Varint => {
                    decode_varint(&mut bytes).map_err(malformed)?;
                    0
                }
                WireType::ThirtyTwoBit => 4,
                WireType::SixtyFourBit => 8,
                WireType::LengthDelimited => {
                    usize::try_from(decode_varint(&mut bytes).map_err(malformed)?).unwrap_or(usize::MAX)
                }
                WireType::StartGroup | WireType::EndGroup => {
                    return Err(MessageError::Malformed(format!("{} of {} is a group", field.name, shape.name)));
                }
            };
            let Some((value, rest)) = bytes.split_at_checked(length) else {
                return Err(MessageError::Malformed(format!("{} of {} is cut off", field.name, shape.name)));
            };
            bytes = rest;
            if let Some(message) = field.message {
                self.check_nested(message, value, depth + 1).map_err(|error| error.under(&field.name))?;
            }
        }
        Ok(())
    }
}

fn malformed(error: prost::DecodeError) -> MessageError {
    MessageError::Malformed(error.to_string())
}

impl MessageError {
    /// The same error, seen from the message that holds its message in the field `parent`.
    fn under(self, parent: &str) -> Self {
        match self {
            Self::UnknownField { path, message, number } => {
                let path = if path.is_empty() { parent.to_owned() } else { format!("{parent}.{path}") };
                Self::UnknownField { path, message, number }
            }
            other => other,
        }
    }
}

/// Adds a message and those defined inside it, with their full names.
fn collect<'a>(scope: &str, message: &'a DescriptorProto, into: &mut Vec<(String, &'a DescriptorProto)>) {
    let name = format!("{scope}.{}", message.name());
    for nested in &message.nested_type {
        collect(&name, nested, into);
    }
    into.push((name, message));
}

impl Field {
    fn new(field: &FieldDescriptorProto, ids: &HashMap<String, ShapeId>) -> Self {
        let wire = match field.r#type() {
            Type::String | Type::Bytes | Type::Message => WireType::LengthDelimited,
            Type::Group => WireType::StartGroup,
            Type::Fixed32 | Type::Sfixed32 | Type::Float => WireType::ThirtyTwoBit,
            Type::Fixed64 | Type::Sfixed64 | Type::Double => WireType::SixtyFourBit,
            Type::Int32
            | Type::Int64
            | Type::Uint32
            | Type::Uint64
            | Type::Sint32
            | Type::Sint64
            | Type::Bool
            | Type::Enum => WireType::Varint,
        };
        let repeated = field.label() == Label::Repeated;
        Self {
            number: field.number().unsigned_abs(),
            name: field.name().to_owned(),
            wire,
            packable: repeated && matches!(wire, WireType::Varint | WireType::ThirtyTwoBit | WireType::SixtyFourBit),
            message: ids.get(field.type_name().trim_start_matches('.')).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::encoding::{encode_key, encode_varint};

    use super::*;

    fn check(name: &str, bytes: &[u8]) -> Result<(), MessageError> {
        SHAPES.check(SHAPES.find(name).unwrap(), bytes)
    }

    fn varint(number: u32, value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_key(number, WireType::Varint, &mut bytes);
        encode_varint(value, &mut bytes);
        bytes
    }

    fn block(number: u32, content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_key(number, WireType::LengthDelimited, &mut bytes);
        encode_varint(content.len() as u64, &mut bytes);
        bytes.extend_from_slice(content);
        bytes
    }

    #[test]
    fn every_message_of_a_package_is_there_with_what_it_holds() {
        for shape in &SHAPES.shapes {
            assert!(shape.name.starts_with("almanac.v1.") || shape.name.starts_with("google.protobuf."));
        }
        for name in ["almanac.v1.SubscribeRequest", "google.protobuf.Timestamp", "google.protobuf.Duration"] {
            assert!(SHAPES.find(name).is_some(), "{name}");
        }
    }

    #[test]
    fn whole_requests_pass() {
        let request = proto::SubscribeRequest {
            filters: vec![proto::Filter { kinds: vec![1, 2, 300], entities: vec!["CHN".into()], ..Default::default() }],
            progress_interval: Some(prost_types::Duration { seconds: 1, nanos: 5 }),
            ..Default::default()
        };
        assert_eq!(check("almanac.v1.SubscribeRequest", &request.encode_to_vec()), Ok(()));
    }

    #[test]
    fn repeated_numbers_pass_packed_and_one_by_one() {
        let fields = &SHAPES.shapes[SHAPES.find("almanac.v1.Filter").unwrap().0].fields;
        let kinds = fields.iter().find(|field| field.name == "kinds").unwrap().number;
        for bytes in [varint(kinds, 1), block(kinds, &[1, 2])] {
            assert_eq!(check("almanac.v1.Filter", &bytes), Ok(()));
        }
    }

    #[test]
    fn an_unknown_field_is_named_with_its_path() {
        let fields = &SHAPES.shapes[SHAPES.find("almanac.v1.SubscribeRequest").unwrap().0].fields;
        let interval = fields.iter().find(|field| field.name == "progress_interval").unwrap().number;
        let found = check("almanac.v1.SubscribeRequest", &block(interval, &varint(99, 1))).unwrap_err();
        let expected = MessageError::UnknownField {
            path: "progress_interval".to_owned(),
            message: "google.protobuf.Duration",
            number: 99,
        };
        assert_eq!(found, expected);
        assert!(found.to_string().contains("field 99 of `progress_interval`, a google.protobuf.Duration"), "{found}");
        let found = check("almanac.v1.SubscribeRequest", &varint(99, 1)).unwrap_err();
        assert!(found.to_string().contains("field 99 of almanac.v1.SubscribeRequest"), "{found}");
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let timestamp = "google.protobuf.Timestamp";
        let cases: &[(&str, &[u8])] = &[
            ("key cut off", &[0x80]),
            ("number cut off", &[0x08, 0x80]),
            ("text for a number", &[0x0a, 0x00]),
            ("field 0", &[0x00, 0x00]),
            ("group", &[0x0b, 0x0c]),
            ("wire type 7", &[0x0f]),
        ];
        for (what, bytes) in cases {
            assert!(matches!(check(timestamp, bytes), Err(MessageError::Malformed(_))), "{what}");
        }
        let filter = "almanac.v1.Filter";
        assert!(matches!(check(filter, &[0x0a, 0x05, b'a']), Err(MessageError::Malformed(_))), "text cut off");
    }

    #[test]
    fn messages_that_hold_themselves_end_at_a_depth() {
        let field = FieldDescriptorProto {
            name: Some("child".into()),
            number: Some(1),
            r#type: Some(Type::Message.into()),
            type_name: Some(".test.Node".into()),
            ..Default::default()
        };
        let node = DescriptorProto { name: Some("Node".into()), field: vec![field], ..Default::default() };
        let file = prost_types::FileDescriptorProto {
            package: Some("test".into()),
            message_type: vec![node],
            ..Default::default()
        };
        static NODES: std::sync::OnceLock<Shapes> = std::sync::OnceLock::new();
        let shapes = NODES.get_or_init(|| Shapes::new(&FileDescriptorSet { file: vec![file] }));
        let node = shapes.find("test.Node").unwrap();
        let mut deepest = Vec::new();
        for _ in 1..NESTING_MAX {
            deepest = block(1, &deepest);
        }
        assert_eq!(shapes.check(node, &deepest), Ok(()));
        assert_eq!(shapes.check(node, &block(1, &deepest)), Err(MessageError::TooDeep));
    }
}
