//! Bytes of a file → UTF-8.
//!
//! A byte order mark decides. Without one, bytes that are valid UTF-8 are UTF-8; all others are read as Windows-1252,
//! which the web reads where a page says ISO-8859-1. That is a guess which seldom fails, so the caller notes it as a
//! finding.

use std::borrow::Cow;

/// The text of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodedText<'a> {
    /// UTF-8, without a byte order mark.
    pub text: Cow<'a, [u8]>,
    /// The encoding of the file, if it was not UTF-8.
    pub converted_from: Option<&'static str>,
}

pub fn decode(bytes: &[u8]) -> DecodedText<'_> {
    if let Some((encoding, mark)) = encoding_rs::Encoding::for_bom(bytes)
        && encoding != encoding_rs::UTF_8
    {
        return convert(encoding, &bytes[mark..]);
    }
    let plain = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if std::str::from_utf8(plain).is_ok() {
        return DecodedText { text: Cow::Borrowed(plain), converted_from: None };
    }
    convert(encoding_rs::WINDOWS_1252, plain)
}

fn convert<'a>(encoding: &'static encoding_rs::Encoding, bytes: &[u8]) -> DecodedText<'a> {
    let (text, _) = encoding.decode_without_bom_handling(bytes);
    DecodedText { text: Cow::Owned(text.into_owned().into_bytes()), converted_from: Some(encoding.name()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_removed() {
        let decoded = decode(b"\xEF\xBB\xBFRank,Name");
        assert_eq!((decoded.text.as_ref(), decoded.converted_from), (b"Rank,Name".as_slice(), None));
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_read_as_windows_1252() {
        let decoded = decode(b"C\xF4te d'Ivoire");
        assert_eq!(decoded.text.as_ref(), "Côte d'Ivoire".as_bytes());
        assert_eq!(decoded.converted_from, Some("windows-1252"));
        assert_eq!(decode("Côte d'Ivoire".as_bytes()).converted_from, None);
    }

    #[test]
    fn utf_16_with_a_byte_order_mark_is_decoded() {
        let bytes: Vec<u8> = [0xFF, 0xFE].into_iter().chain("Köln".encode_utf16().flat_map(u16::to_le_bytes)).collect();
        assert_eq!(decode(&bytes).text.as_ref(), "Köln".as_bytes());
    }
}
