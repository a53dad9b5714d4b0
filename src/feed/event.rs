//! What a subscription produces: pages of data, and notices about the stream itself.

use std::time::Duration;

use super::page::FeedPage;
use crate::model::id::{HistoryId, Revision};

/// One message to a subscriber.
#[derive(Debug)]
pub enum SubscriptionEvent {
    Page(FeedPage),
    Notice(Notice),
}

/// A message about the stream itself.
#[derive(Debug)]
pub enum Notice {
    /// The first message.
    Opened {
        history: HistoryId,
        /// The newest revision.
        head: Revision,
        /// The oldest revision that can be replayed.
        floor: Revision,
        /// The stream sends no commit at or below it.
        start: Revision,
        /// Resumes at `start`; empty if the state comes first, because that is not resumable half way.
        token: String,
        /// Ids of sources that the stream leaves out.
        left_out: Vec<String>,
    },
    /// The state is complete.
    SnapshotEnd {
        /// The state is that of this revision.
        revision: Revision,
        /// Rows sent.
        rows: u64,
        /// Resumes after the state.
        token: String,
    },
    /// No commit at or below `revision` follows.
    Progress {
        revision: Revision,
        /// Resumes after `revision`.
        token: String,
    },
    Lag {
        /// The stream is catching up. `false`: it is live.
        behind: bool,
        head: Revision,
    },
    /// The last message.
    Goodbye {
        reason: GoodbyeReason,
        /// Resumes where the stream ends; empty within the state.
        token: String,
        /// How long the client waits before it comes back.
        reconnect_after: Duration,
    },
}

/// Why the server ends a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoodbyeReason {
    Shutdown,
    RangeComplete,
    MaxAge,
    ConnectionStalled,
    LicencesChanged,
}
