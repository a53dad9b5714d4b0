//! Answers by their question, for a few questions that come again and again.

use crate::model::period::Period;

/// Most answers that are remembered; of several that share a place the newest. A database has fewer periods.
const PLACES: usize = 1 << PLACES_BITS;
const PLACES_BITS: u32 = 9;
/// Spreads keys that differ little over all places: 2^64 divided by the golden ratio.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// Remembers the newest answers.
#[derive(Debug)]
pub(super) struct Recent<V> {
    /// Empty before the first answer.
    places: Vec<Option<(u128, V)>>,
}

impl<V> Default for Recent<V> {
    fn default() -> Self {
        Self { places: Vec::new() }
    }
}

impl<V: Copy> Recent<V> {
    /// The remembered answer, else that of `find`.
    pub(super) fn get_or_find(&mut self, key: u128, find: impl FnOnce() -> Option<V>) -> Option<V> {
        if self.places.is_empty() {
            self.places.resize(PLACES, None);
        }
        let folded = (key >> 64) as u64 ^ key as u64;
        let place = folded.wrapping_mul(SPREAD) >> (u64::BITS - PLACES_BITS);
        let place = &mut self.places[place as usize];
        match place {
            Some((remembered, answer)) if *remembered == key => Some(*answer),
            _ => {
                let answer = find()?;
                *place = Some((key, answer));
                Some(answer)
            }
        }
    }
}

/// A key for a text; `None` if it is too long.
pub(super) fn text_key(text: &[u8]) -> Option<u128> {
    let mut key = [0; 16];
    key.get_mut(..text.len()).filter(|_| text.len() < 16)?.copy_from_slice(text);
    key[15] = text.len() as u8;
    Some(u128::from_le_bytes(key))
}

/// A key for a period.
pub(super) fn period_key(period: Period) -> u128 {
    let start = period.start().days() as u32;
    let end = period.end().days() as u32;
    u128::from(start) << 32 | u128::from(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_once_and_then_remembered() {
        let mut recent = Recent::default();
        assert_eq!(recent.get_or_find(1, || Some("one")), Some("one"));
        assert_eq!(recent.get_or_find(1, || panic!("is remembered")), Some("one"));
        assert_eq!(recent.get_or_find(2, || None), None);
        assert_eq!(recent.get_or_find(2, || Some("two")), Some("two"));
    }

    #[test]
    fn more_answers_than_places_stay_right() {
        let mut recent = Recent::default();
        for key in (0..3 * PLACES as u128).chain(0..3 * PLACES as u128) {
            assert_eq!(recent.get_or_find(key, || Some(key)), Some(key));
        }
    }

    #[test]
    fn different_texts_have_different_keys() {
        assert_ne!(text_key(b"2024"), text_key(b"2024\0"));
        assert_ne!(text_key(b""), text_key(b"\0"));
        assert!(text_key(b"123456789012345").is_some());
        assert_eq!(text_key(b"1234567890123456"), None);
    }
}
