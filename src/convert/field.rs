//! Fields that many messages have: ids, free texts, lists.

use super::error::{FieldError, Problem};
use crate::model::id::IdError;

/// Longest text that describes something, in bytes.
pub(super) const DESCRIPTION_BYTES_MAX: usize = 16 * 1024;
/// Longest definition or entry, encoded, in bytes: a change carries one from before and one from after in one message.
pub(super) const OBJECT_BYTES_MAX: usize = 1 << 20;
/// Most items of a list whose comment in the contract does not say otherwise.
const LIST_ITEMS_MAX: usize = 500;

/// Reads an id with the constructor of its type.
pub fn id<T>(field: &str, text: &str, new: impl Fn(&str) -> Result<T, IdError>) -> Result<T, FieldError> {
    new(text).map_err(|error| FieldError::new(field, error))
}

/// Reads an id that may be left out: `None` for an empty text.
pub fn optional_id<T>(
    field: &str,
    text: &str,
    new: impl Fn(&str) -> Result<T, IdError>,
) -> Result<Option<T>, FieldError> {
    if text.is_empty() { Ok(None) } else { id(field, text, new).map(Some) }
}

/// Reads a list of ids. The caller bounds its length.
pub fn ids<T, C: FromIterator<T>>(
    field: &str,
    texts: &[String],
    new: impl Fn(&str) -> Result<T, IdError>,
) -> Result<C, FieldError> {
    texts.iter().map(|text| id(field, text, &new)).collect()
}

/// Checks the length of a text.
pub fn text(field: &str, text: String, bytes_max: usize) -> Result<String, FieldError> {
    if text.len() <= bytes_max { Ok(text) } else { Err(FieldError::new(field, Problem::TooLong { bytes_max })) }
}

/// Checks the length of a list: at most 500 items.
pub fn check_list<T>(field: &str, items: &[T]) -> Result<(), FieldError> {
    if items.len() <= LIST_ITEMS_MAX {
        return Ok(());
    }
    Err(FieldError::new(field, Problem::TooMany { items_max: LIST_ITEMS_MAX }))
}

/// Reads every message of a list; errors name the list's field.
pub(super) fn list<M, T>(field: &str, messages: Vec<M>) -> Result<Vec<T>, FieldError>
where
    T: TryFrom<M, Error = FieldError>,
{
    messages.into_iter().map(|message| T::try_from(message).map_err(|error| error.under(field))).collect()
}

/// Something that may be missing, as the contract writes it: an empty text.
pub(super) fn optional_text(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}
