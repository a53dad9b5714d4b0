//! Places in a stream, as clients keep them.
//!
//! Invariant: a token is taken only by the history that made it, for the filters it was made for. A foreign, forged or
//! damaged one is refused, never silently wrong.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use super::FeedError;
use crate::model::id::{HistoryId, Revision};

const VERSION: u8 = 1;
const BODY_BYTES: usize = 1 + 16 + 8 + 8 + 8;
const MARK_BYTES: usize = 12;

/// A place in a stream: everything up to `revision` was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// How far the stream came.
    pub revision: Revision,
    /// The last commit that matched; zero if none did.
    pub last_match: Revision,
}

/// Makes and reads the tokens of one history.
#[derive(Debug, Clone)]
pub struct Tokens {
    history: HistoryId,
    secret: [u8; 32],
}

impl Tokens {
    /// For one history.
    pub fn new(history: HistoryId, secret: [u8; 32]) -> Self {
        Self { history, secret }
    }

    /// The token of a place in a stream with these filters.
    pub fn token(&self, place: Place, filter_hash: u64) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.history.0);
        bytes.extend_from_slice(&place.revision.0.to_le_bytes());
        bytes.extend_from_slice(&place.last_match.0.to_le_bytes());
        bytes.extend_from_slice(&filter_hash.to_le_bytes());
        let mark = self.mark(&bytes);
        bytes.extend_from_slice(&mark);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place that a token names.
    pub fn place(&self, token: &str, filter_hash: u64) -> Result<Place, FeedError> {
        let (place, hash) = self.read(token)?;
        if hash == filter_hash { Ok(place) } else { Err(FeedError::TokenOtherFilter) }
    }

    /// The place that a token names, and the hash of the filters it is for.
    pub fn read(&self, token: &str) -> Result<(Place, u64), FeedError> {
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| FeedError::TokenMalformed)?;
        if bytes.len() != BODY_BYTES + MARK_BYTES || bytes[0] != VERSION {
            return Err(FeedError::TokenMalformed);
        }
        // The history is told first: a token of another store cannot bear our mark.
        if bytes[1..17] != self.history.0 {
            return Err(FeedError::TokenOtherHistory);
        }
        let (body, mark) = bytes.split_at(BODY_BYTES);
        if mark != self.mark(body) {
            return Err(FeedError::TokenMalformed);
        }
        let number = |at: usize| body[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        Ok((Place { revision: Revision(number(17)), last_match: Revision(number(25)) }, number(33)))
    }

    fn mark(&self, body: &[u8]) -> [u8; MARK_BYTES] {
        let digest = Sha256::new().chain_update(self.secret).chain_update(body).finalize();
        let mut mark = [0; MARK_BYTES];
        mark.copy_from_slice(&digest[..MARK_BYTES]);
        mark
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_by_its_own_history_and_filters_only() {
        let tokens = Tokens::new(HistoryId([1; 16]), [2; 32]);
        let place = Place { revision: Revision(7), last_match: Revision(5) };
        let token = tokens.token(place, 99);
        assert_eq!(tokens.place(&token, 99).unwrap(), place);
        assert!(matches!(tokens.place(&token, 98), Err(FeedError::TokenOtherFilter)));
        let restored = Tokens::new(HistoryId([3; 16]), [2; 32]);
        assert!(matches!(restored.place(&token, 99), Err(FeedError::TokenOtherHistory)));
        let other_secret = Tokens::new(HistoryId([1; 16]), [4; 32]);
        assert!(matches!(other_secret.place(&token, 99), Err(FeedError::TokenMalformed)));
        for bad in ["", "12", "!!!", &token[1..], &format!("{token}A")] {
            assert!(matches!(tokens.place(bad, 99), Err(FeedError::TokenMalformed)), "{bad}");
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        bytes[17] ^= 1;
        assert!(matches!(tokens.place(&URL_SAFE_NO_PAD.encode(bytes), 99), Err(FeedError::TokenMalformed)));
    }
}
