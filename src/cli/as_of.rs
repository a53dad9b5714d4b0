//! `--as-of`: a point of history, written in a few characters.

use crate::proto::{self, as_of::At};

#[derive(Debug, Clone, Default, clap::Args)]
pub struct AsOfArg {
    /// Answer from this point of history: a date (2026-05-15: what was published by then), a revision (rev:12), or an
    /// instant of the server's clock (recorded:2026-05-15T10:00:00Z) [default: now]
    #[arg(long = "as-of", value_name = "WHEN", value_parser = parse)]
    pub as_of: Option<proto::AsOf>,
}

/// Parses the value of `--as-of`.
pub(super) fn parse(text: &str) -> Result<proto::AsOf, String> {
    let at = if let Some(revision) = text.strip_prefix("rev:") {
        At::Revision(revision.parse().map_err(|_| format!("`{revision}` is not a revision number"))?)
    } else if let Some(instant) = text.strip_prefix("recorded:") {
        let instant: jiff::Timestamp = instant.parse().map_err(|error| format!("{error}"))?;
        At::Recorded(prost_types::Timestamp { seconds: instant.as_second(), nanos: instant.subsec_nanosecond() })
    } else {
        let day: jiff::civil::Date =
            text.parse().map_err(|_| "write 2026-05-15, rev:12 or recorded:2026-05-15T10:00:00Z".to_owned())?;
        At::Released(day.to_string())
    };
    Ok(proto::AsOf { at: Some(at) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_of_history_is_a_date_a_revision_or_an_instant() {
        let instant = prost_types::Timestamp { seconds: 1_778_839_200, nanos: 0 };
        assert_eq!(parse("2026-05-15").unwrap().at, Some(At::Released("2026-05-15".into())));
        assert_eq!(parse("rev:12").unwrap().at, Some(At::Revision(12)));
        assert_eq!(parse("recorded:2026-05-15T10:00:00Z").unwrap().at, Some(At::Recorded(instant)));
    }

    const WRONG: &[&str] = &["", "yesterday", "rev:", "rev:-1", "recorded:2026", "2026-13-01"];

    #[test]
    fn what_is_no_point_of_history_is_refused() {
        for text in WRONG {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
