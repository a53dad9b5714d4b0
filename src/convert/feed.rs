//! Notices of the feed as messages of the contract, and the digest of the state that a stream sends.

use super::digest::Version;
use crate::{
    feed::event::{GoodbyeReason, Notice},
    proto::{self, subscribe_response::Body},
};

/// The digest of the state that a stream sends, over the rows sent so far.
#[derive(Debug)]
pub struct SnapshotDigest {
    version: Version,
    sum: u64,
}

impl SnapshotDigest {
    pub fn new(version: Version) -> Self {
        Self { version, sum: 0 }
    }

    /// Adds the rows of a page.
    pub fn add(&mut self, rows: &[proto::StateRow]) {
        for row in rows {
            self.sum = self.sum.wrapping_add(self.version.of_row(row));
        }
    }
}

/// A notice as a message. `digest` covers the whole state when the notice is its end.
pub fn notice_message(notice: Notice, digest: &SnapshotDigest) -> Body {
    match notice {
        Notice::Opened { history, head, floor, start, token, left_out } => Body::Opened(proto::Opened {
            history_id: history.to_string(),
            head: head.0,
            floor: floor.0,
            start_revision: start.0,
            resume_token: token,
            left_out_sources: left_out,
        }),
        Notice::SnapshotEnd { revision, rows, token } => Body::SnapshotEnd(proto::SnapshotEnd {
            revision: revision.0,
            row_count: rows,
            digest: digest.sum,
            resume_token: token,
            digest_version: digest.version.number(),
        }),
        Notice::Progress { revision, token } => {
            Body::Progress(proto::Progress { revision: revision.0, resume_token: token })
        }
        Notice::Lag { behind, head } => {
            let state = if behind { proto::LagState::CatchingUp } else { proto::LagState::Live };
            Body::Lag(proto::Lag { state: state.into(), head: head.0 })
        }
        Notice::Goodbye { reason, token, reconnect_after } => Body::Goodbye(proto::Goodbye {
            reason: proto::GoodbyeReason::from(reason).into(),
            resume_token: token,
            reconnect_after: prost_types::Duration::try_from(reconnect_after).ok(),
        }),
    }
}

impl From<GoodbyeReason> for proto::GoodbyeReason {
    fn from(reason: GoodbyeReason) -> Self {
        match reason {
            GoodbyeReason::Shutdown => Self::Shutdown,
            GoodbyeReason::RangeComplete => Self::RangeComplete,
            GoodbyeReason::MaxAge => Self::MaxAge,
            GoodbyeReason::ConnectionStalled => Self::ConnectionStalled,
            GoodbyeReason::LicencesChanged => Self::LicencesChanged,
        }
    }
}
