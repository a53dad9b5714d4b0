//! Options of a write, and what it answers.

use super::{
    enums::{ContractEnum, optional},
    error::{FieldError, Problem},
    field::{optional_id, text},
};
use crate::{
    ledger::WriteOptions,
    model::{
        finding::Finding,
        id::{RequestId, Revision},
    },
    proto,
};

/// Longest note of a commit, in bytes.
const NOTE_BYTES_MAX: usize = 1_000;
/// Length of a SHA-256 as text.
const SHA256_HEX_DIGITS: usize = 64;

/// Reads the field `options` of a write. `content` is the SHA-256 of what the write says apart from its options.
pub fn write_options(
    message: Option<proto::WriteOptions>,
    author: &str,
    content: [u8; 32],
) -> Result<WriteOptions, FieldError> {
    let message = message.unwrap_or_default();
    let digest = message.document_sha256;
    let is_digest = digest.len() == SHA256_HEX_DIGITS && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !digest.is_empty() && !is_digest {
        let problem = Problem::NotHexDigits { digits: SHA256_HEX_DIGITS };
        return Err(FieldError::new("options.document_sha256", problem));
    }
    Ok(WriteOptions {
        request_id: optional_id("options.request_id", &message.request_id, RequestId::new)?,
        validate_only: message.validate_only,
        expected_head: message.expected_head.map(Revision),
        cause: optional("options.cause", message.cause)?,
        note: text("options.note", message.note, NOTE_BYTES_MAX)?,
        document_sha256: digest.to_ascii_lowercase(),
        author: author.to_owned(),
        content,
    })
}

impl From<&Finding> for proto::Finding {
    fn from(finding: &Finding) -> Self {
        Self {
            severity: finding.severity.number(),
            code: finding.code.clone(),
            message: finding.message.clone(),
            location: finding.location.clone(),
            suggestions: finding.suggestions.clone(),
        }
    }
}
