//! The digest that `docs/feed.md` defines, computed by the page's own table, against that of the code.
//!
//! The page says which fields of each message are in the text of a row, and in which order. Here a row is written by that
//! table and by nothing else: a field that page and code treat differently gives another digest.

use std::collections::{BTreeMap, HashSet};

use almanac::{
    convert::digest::Version,
    proto::{DESCRIPTORS, StateRow},
};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _, Value};
use sha2::{Digest as _, Sha256};

use super::markdown::Page;
use crate::support::{Dice, fixture::server_with_catalog, replica::read_state, steward::Steward};

/// How many writes of every kind make the rows that are compared.
const WRITES: usize = 60;

/// The fields of each message, in the order of the page.
struct Fields(BTreeMap<String, Vec<String>>);

impl Fields {
    fn of_the_page() -> Self {
        let page = Page::read("docs/feed.md");
        let rows = page.rows.iter().filter(|row| row.section == "version-2");
        let mut fields = BTreeMap::new();
        for row in rows {
            let list = row.cells[1].split(" (").next().unwrap_or_default();
            fields.insert(row.cells[0].clone(), list.split(", ").map(str::to_owned).collect());
        }
        assert!(fields.len() > 15, "the table of fields is gone");
        Self(fields)
    }

    fn text(&self, message: &DynamicMessage) -> Vec<u8> {
        let descriptor = message.descriptor();
        let mut text = Vec::new();
        for name in &self.0[descriptor.name()] {
            let field =
                descriptor.get_field_by_name(name).unwrap_or_else(|| panic!("{} has no {name}", descriptor.name()));
            let bytes = if message.has_field(&field) { self.bytes(&message.get_field(&field)) } else { Vec::new() };
            put(&mut text, &bytes);
        }
        text
    }

    fn bytes(&self, value: &Value) -> Vec<u8> {
        match value {
            Value::Bool(_) => b"1".to_vec(),
            Value::I32(number) | Value::EnumNumber(number) => number.to_string().into_bytes(),
            Value::I64(number) => number.to_string().into_bytes(),
            Value::U32(number) => number.to_string().into_bytes(),
            Value::U64(number) => number.to_string().into_bytes(),
            Value::F64(number) => format!("{:016x}", number.to_bits()).into_bytes(),
            Value::String(text) => text.clone().into_bytes(),
            Value::Message(message) => self.text(message),
            Value::List(items) => {
                let mut text = Vec::new();
                for item in items {
                    put(&mut text, &self.bytes(item));
                }
                text
            }
            other => panic!("the page does not say how {other:?} is written"),
        }
    }
}

/// A field with its length.
fn put(text: &mut Vec<u8>, bytes: &[u8]) {
    text.extend_from_slice(format!("{}:", bytes.len()).as_bytes());
    text.extend_from_slice(bytes);
}

/// The letter of each kind of row, by the field of `StateRow` that has it.
const LETTERS: [(&str, u8); 4] = [("figure", b'F'), ("edition", b'R'), ("entry", b'E'), ("definition", b'D')];

fn digest_by_the_page(fields: &Fields, pool: &DescriptorPool, row: &StateRow) -> u64 {
    let descriptor = pool.get_message_by_name("almanac.v1.StateRow").unwrap();
    let dynamic = DynamicMessage::decode(descriptor, row.encode_to_vec().as_slice()).unwrap();
    let (kind, letter) = LETTERS.into_iter().find(|(kind, _)| dynamic.has_field_by_name(kind)).unwrap();
    let mut text = vec![letter];
    text.extend(fields.bytes(&dynamic.get_field_by_name(kind).unwrap()));
    let digest = Sha256::digest(&text);
    u64::from_le_bytes(digest[..8].try_into().unwrap())
}

#[tokio::test]
async fn rows_written_by_the_table_of_the_page_have_the_digest_of_the_code() {
    let server = server_with_catalog().await;
    let mut steward = Steward::new(Dice::new("rows by the page"), "page", 100);
    for _ in 0..WRITES {
        let head = server.clients.head().await;
        steward.next(head).send_or_refused(&server.clients).await;
    }
    let state = read_state(&server.clients, server.clients.head().await, &[]).await;
    let fields = Fields::of_the_page();
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let mut kinds = HashSet::new();
    for item in state.rows().values() {
        let row = StateRow { item: Some(item.clone()), matched_filters: Vec::new() };
        assert_eq!(digest_by_the_page(&fields, &pool, &row), Version::Rows.of_row(&row), "{row:?}");
        kinds.insert(std::mem::discriminant(item));
    }
    assert_eq!(kinds.len(), 4, "rows of every kind");
    server.end().await;
}
