//! `--as-of`: a point of history in a few characters.

use crate::proto::{self, as_of::At};

/// The point of history to answer at.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct AsOfArg {
    /// 2026-05-15: published by then; rev:12: a revision; recorded:2026-05-15T10:00:00Z: an instant of the server's clock
    #[arg(long = "as-of", value_name = "WHEN", value_parser = parse)]
    pub as_of: Option<proto::AsOf>,
}

/// Reads what `--as-of` takes.
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
    fn three_ways_to_name_a_point_of_history() {
        let at = |text| parse(text).unwrap().at.unwrap();
        assert_eq!(at("2026-05-15"), At::Released("2026-05-15".into()));
        assert_eq!(at("rev:12"), At::Revision(12));
        let instant = prost_types::Timestamp { seconds: 1_778_839_200, nanos: 0 };
        assert_eq!(at("recorded:2026-05-15T10:00:00Z"), At::Recorded(instant));
        for bad in ["", "yesterday", "rev:", "rev:-1", "recorded:2026", "2026-13-01"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
