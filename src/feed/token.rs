//! Resume tokens: where a stream is, in the form that clients keep.
//!
//! Invariant: the server accepts a token only in the history that made it, with the same chain up to its revision, and
//! for the filters that it was made for. It refuses a foreign, forged or damaged token; it never resumes at a wrong
//! place.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use super::FeedError;
use crate::model::id::{HistoryId, Revision};

/// Version 1 is that of Almanac 0.1: without a chain, and with a hash of the filters that new fields would change.
const VERSION: u8 = 2;
/// Version, history, revision, last match, filter hash, chain.
const BODY_BYTES: usize = 1 + 16 + 8 + 8 + 8 + CHAIN_BYTES;
/// Length of the keyed digest at the end.
const MARK_BYTES: usize = 12;
/// How much of a chain a token carries.
const CHAIN_BYTES: usize = 16;

/// Where a stream is: it sent everything up to `revision`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub revision: Revision,
    /// The last commit that matched; zero if none did.
    pub last_match: Revision,
}

impl Position {
    /// A position of a stream that sent no commit yet.
    pub fn at(revision: Revision) -> Self {
        Self { revision, last_match: Revision::ZERO }
    }
}

/// The beginning of the hash chain at a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainMark([u8; CHAIN_BYTES]);

impl ChainMark {
    pub fn of(chain: &[u8; 32]) -> Self {
        Self(std::array::from_fn(|at| chain[at]))
    }
}

/// What a token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenContent {
    pub position: Position,
    /// [`Filters::hash`](super::filter::Filters::hash) of the stream.
    pub filter_hash: u64,
    /// The chain at the position's revision, in the history that made the token.
    pub chain: ChainMark,
}

/// Makes and reads the tokens of one history.
#[derive(Debug, Clone)]
pub struct Tokens {
    history: HistoryId,
    secret: [u8; 32],
}

impl Tokens {
    pub fn new(history: HistoryId, secret: [u8; 32]) -> Self {
        Self { history, secret }
    }

    pub fn token(&self, content: TokenContent) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.history.0);
        bytes.extend_from_slice(&content.position.revision.0.to_le_bytes());
        bytes.extend_from_slice(&content.position.last_match.0.to_le_bytes());
        bytes.extend_from_slice(&content.filter_hash.to_le_bytes());
        bytes.extend_from_slice(&content.chain.0);
        let mark = self.mark(&bytes);
        bytes.extend_from_slice(&mark);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a token says. A genuine token may still come from another branch of this history: compare its chain.
    pub fn read(&self, token: &str) -> Result<TokenContent, FeedError> {
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| FeedError::TokenMalformed)?;
        if bytes.first().is_some_and(|version| *version < VERSION) {
            return Err(FeedError::TokenOutdated);
        }
        if bytes.len() != BODY_BYTES + MARK_BYTES || bytes[0] != VERSION {
            return Err(FeedError::TokenMalformed);
        }
        // The history is compared first: the mark of another store's token is never right here.
        if bytes[1..17] != self.history.0 {
            return Err(FeedError::TokenOtherHistory);
        }
        let (body, mark) = bytes.split_at(BODY_BYTES);
        if mark != self.mark(body) {
            return Err(FeedError::TokenMalformed);
        }
        let chain = body[41..].first_chunk().copied().unwrap_or_default();
        Ok(TokenContent {
            position: Position { revision: Revision(number_at(body, 17)), last_match: Revision(number_at(body, 25)) },
            filter_hash: number_at(body, 33),
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

fn number_at(body: &[u8], at: usize) -> u64 {
    body[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        Tokens::new(HistoryId([1; 16]), [2; 32])
    }

    fn content() -> TokenContent {
        let position = Position { revision: Revision(7), last_match: Revision(5) };
        TokenContent { position, filter_hash: 99, chain: ChainMark::of(&[9; 32]) }
    }

    #[test]
    fn a_token_says_what_it_was_made_of() {
        let tokens = tokens();
        assert_eq!(tokens.read(&tokens.token(content())).unwrap(), content());
    }

    #[test]
    fn another_history_and_another_secret_refuse_a_token() {
        let token = tokens().token(content());
        let other_history = Tokens::new(HistoryId([3; 16]), [2; 32]);
        assert!(matches!(other_history.read(&token), Err(FeedError::TokenOtherHistory)));
        let other_secret = Tokens::new(HistoryId([1; 16]), [4; 32]);
        assert!(matches!(other_secret.read(&token), Err(FeedError::TokenMalformed)));
    }

    #[test]
    fn a_damaged_token_is_refused() {
        let tokens = tokens();
        let token = tokens.token(content());
        let mut bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        bytes[17] ^= 1;
        let flipped = URL_SAFE_NO_PAD.encode(&bytes);
        for bad in ["", "_w", "!!!", &token[..token.len() - 1], &format!("{token}A"), &flipped] {
            assert!(matches!(tokens.read(bad), Err(FeedError::TokenMalformed)), "{bad}");
        }
    }

    #[test]
    fn a_token_of_an_earlier_version_is_outdated() {
        let tokens = tokens();
        let mut bytes = URL_SAFE_NO_PAD.decode(tokens.token(content())).unwrap();
        bytes[0] = VERSION - 1;
        assert!(matches!(tokens.read(&URL_SAFE_NO_PAD.encode(bytes)), Err(FeedError::TokenOutdated)));
    }
}
