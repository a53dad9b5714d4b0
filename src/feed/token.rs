//! Places in a stream, as clients keep them.
//!
//! Invariant: a token is taken only by the history that made it, with the past that it was made in, for the filters it was
//! made for. A foreign, forged or damaged one is refused, never silently wrong.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use super::FeedError;
use crate::model::id::{HistoryId, Revision};

/// Tokens of Almanac 0.1 are version 1: without a chain, and with a hash of their filters that later fields would change.
const VERSION: u8 = 2;
const BODY_BYTES: usize = 1 + 16 + 8 + 8 + 8 + CHAIN_BYTES;
const MARK_BYTES: usize = 12;
/// As much of a chain as a token carries.
const CHAIN_BYTES: usize = 16;

/// A place in a stream: everything up to `revision` was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// How far the stream came.
    pub revision: Revision,
    /// The last commit that matched; zero if none did.
    pub last_match: Revision,
}

/// The beginning of the hash chain at a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainMark([u8; CHAIN_BYTES]);

impl ChainMark {
    /// Of a whole chain.
    pub fn of(chain: &[u8; 32]) -> Self {
        Self(std::array::from_fn(|at| chain[at]))
    }
}

/// What a token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The place.
    pub place: Position,
    /// The hash of the filters it is for.
    pub filter_hash: u64,
    /// The chain at its revision, in the history that made it.
    pub chain: ChainMark,
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

    /// The token that says this.
    pub fn token(&self, claim: Claim) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.history.0);
        bytes.extend_from_slice(&claim.place.revision.0.to_le_bytes());
        bytes.extend_from_slice(&claim.place.last_match.0.to_le_bytes());
        bytes.extend_from_slice(&claim.filter_hash.to_le_bytes());
        bytes.extend_from_slice(&claim.chain.0);
        let mark = self.mark(&bytes);
        bytes.extend_from_slice(&mark);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a token says. That it is genuine does not mean that its past is ours: the chain tells.
    pub fn read(&self, token: &str) -> Result<Claim, FeedError> {
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| FeedError::TokenMalformed)?;
        if bytes.first().is_some_and(|version| *version < VERSION) {
            return Err(FeedError::TokenOutdated);
        }
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
        let chain = body[41..].first_chunk().copied().unwrap_or_default();
        Ok(Claim {
            place: Position { revision: Revision(number(17)), last_match: Revision(number(25)) },
            filter_hash: number(33),
            chain: ChainMark(chain),
        })
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
    fn a_token_is_taken_by_its_own_history_only() {
        let tokens = Tokens::new(HistoryId([1; 16]), [2; 32]);
        let place = Position { revision: Revision(7), last_match: Revision(5) };
        let claim = Claim { place, filter_hash: 99, chain: ChainMark::of(&[9; 32]) };
        let token = tokens.token(claim);
        assert_eq!(tokens.read(&token).unwrap(), claim);
        let restored = Tokens::new(HistoryId([3; 16]), [2; 32]);
        assert!(matches!(restored.read(&token), Err(FeedError::TokenOtherHistory)));
        let other_secret = Tokens::new(HistoryId([1; 16]), [4; 32]);
        assert!(matches!(other_secret.read(&token), Err(FeedError::TokenMalformed)));
        for bad in ["", "_w", "!!!", &token[..token.len() - 1], &format!("{token}A")] {
            assert!(matches!(tokens.read(bad), Err(FeedError::TokenMalformed)), "{bad}");
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        bytes[17] ^= 1;
        assert!(matches!(tokens.read(&URL_SAFE_NO_PAD.encode(&bytes)), Err(FeedError::TokenMalformed)));
        bytes[0] = 1;
        assert!(matches!(tokens.read(&URL_SAFE_NO_PAD.encode(bytes)), Err(FeedError::TokenOutdated)));
    }
}
