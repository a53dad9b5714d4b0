//! Ids of indicators, entities, sources, rankings, editions, methodologies, requests, commits and histories.
//!
//! Invariant: a text id is 1 to [`ID_BYTES_MAX`] bytes of printable ASCII without blanks, so keys, logs and command lines
//! hold it as it is. It is case-sensitive, and nothing may be read from its form.

use std::{cmp::Ordering, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// Longest id, in bytes.
pub const ID_BYTES_MAX: usize = 128;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id: 1 to {ID_BYTES_MAX} printable ASCII characters without blanks")]
pub struct IdError {
    /// The first [`ID_BYTES_MAX`] characters of the text.
    pub text: String,
}

fn check(text: &str) -> Result<(), IdError> {
    let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
    if printable && !text.is_empty() && text.len() <= ID_BYTES_MAX {
        Ok(())
    } else {
        Err(IdError { text: text.chars().take(ID_BYTES_MAX).collect() })
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Fails if the text is not 1 to [`ID_BYTES_MAX`] printable ASCII characters without blanks.
            pub fn new(text: &str) -> Result<Self, IdError> {
                check(text)?;
                Ok(Self(text.into()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// Names an indicator: what is measured.
    IndicatorId
);
id!(
    /// Names an entity: what a figure or a rank is about.
    EntityId
);
id!(
    /// Names a source: the publication that a figure is taken from.
    SourceId
);
id!(
    /// Names a ranking.
    RankingId
);
id!(
    /// Names an edition within its ranking.
    EditionId
);
id!(
    /// Names a methodology. All rankings share these ids.
    MethodologyId
);
id!(
    /// The name that a client gives a write, so that a retry does not write twice.
    RequestId
);

/// Compares ids as people number things: runs of digits by their number (`9` before `10`, `2022-q2` before `2022-q10`),
/// everything else by bytes. Ids that differ only in leading zeros compare as text.
pub fn natural_order(a: &str, b: &str) -> Ordering {
    let mut left = a.as_bytes();
    let mut right = b.as_bytes();
    loop {
        match (left.first(), right.first()) {
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let x = take_number(&mut left);
                let y = take_number(&mut right);
                match x.len().cmp(&y.len()).then_with(|| x.cmp(y)) {
                    Ordering::Equal => {}
                    unequal => return unequal,
                }
            }
            (Some(x), Some(y)) if x == y => {
                left = &left[1..];
                right = &right[1..];
            }
            (x, y) => return x.cmp(&y).then_with(|| a.cmp(b)),
        }
    }
}

/// Removes the digits at the start of a text and returns them without leading zeros.
fn take_number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(length);
    *text = rest;
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    &digits[zeros..]
}

/// The number of a commit: 1, 2, 3, … without gaps. 0 is the empty store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Revision(pub u64);

impl Revision {
    /// The empty store.
    pub const ZERO: Self = Self(0);
    /// Above every revision that a commit can have.
    pub const MAX: Self = Self(u64::MAX);

    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one history of revisions: random, made with a new store and again at every restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryId(pub [u8; 16]);

impl fmt::Display for HistoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_printable_ascii_without_blanks() {
        assert!(IndicatorId::new("GB.XPD.RSDV.GD.ZS").is_ok());
        assert!(EntityId::new("cluster:tokyo-yokohama").is_ok());
        for bad in ["", " ", "a b", "é", "a\n", &"x".repeat(129)] {
            assert!(EntityId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn natural_order_compares_runs_of_digits_as_numbers() {
        const ASCENDING: [&str; 12] = [
            "",
            "09",
            "9",
            "10",
            "2022-q2-x",
            "2022-q10",
            "99999999999999999999",
            "100000000000000000000",
            "a",
            "a1b2",
            "a1b10",
            "b",
        ];
        for (a_position, a) in ASCENDING.iter().enumerate() {
            for (b_position, b) in ASCENDING.iter().enumerate() {
                assert_eq!(natural_order(a, b), a_position.cmp(&b_position), "{a} and {b}");
            }
        }
    }
}
