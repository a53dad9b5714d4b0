//! Bytes of a file → UTF-8.
//!
//! A byte order mark decides; without one, what is valid UTF-8 is UTF-8, and anything else is ISO-8859-1 as the web
//! reads it (Windows-1252). The caller says so in a finding, for it is a guess, if one that seldom fails.

use std::borrow::Cow;

/// Text of a file, and what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// UTF-8, without a byte order mark.
    pub text: Cow<'a, [u8]>,
    /// The encoding, if it was not UTF-8.
    pub foreign: Option<&'static str>,
}

/// Decodes a file.
pub fn decode(bytes: &[u8]) -> Decoded<'_> {
    if let Some((encoding, mark)) = encoding_rs::Encoding::for_bom(bytes)
        && encoding != encoding_rs::UTF_8
    {
        return converted(encoding, &bytes[mark..]);
    }
    let plain = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if std::str::from_utf8(plain).is_ok() {
        return Decoded { text: Cow::Borrowed(plain), foreign: None };
    }
    converted(encoding_rs::WINDOWS_1252, plain)
}

fn converted<'a>(encoding: &'static encoding_rs::Encoding, bytes: &[u8]) -> Decoded<'a> {
    let (text, _) = encoding.decode_without_bom_handling(bytes);
    Decoded { text: Cow::Owned(text.into_owned().into_bytes()), foreign: Some(encoding.name()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_taken_off() {
        let decoded = decode(b"\xEF\xBB\xBFRank,Name");
        assert_eq!((decoded.text.as_ref(), decoded.foreign), (b"Rank,Name".as_slice(), None));
    }

    #[test]
    fn latin_1_is_recognised_because_it_is_not_utf_8() {
        let decoded = decode(b"C\xF4te d'Ivoire");
        assert_eq!(decoded.text.as_ref(), "Côte d'Ivoire".as_bytes());
        assert_eq!(decoded.foreign, Some("windows-1252"));
        assert_eq!(decode("Côte d'Ivoire".as_bytes()).foreign, None);
    }

    #[test]
    fn what_a_spreadsheet_saves_as_unicode_text() {
        let bytes: Vec<u8> = [0xFF, 0xFE].into_iter().chain("Köln".encode_utf16().flat_map(u16::to_le_bytes)).collect();
        assert_eq!(decode(&bytes).text.as_ref(), "Köln".as_bytes());
    }
}
