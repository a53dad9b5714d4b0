//! Where a follower starts, what it yields, and why it ends.

use std::time::Duration;

use tonic::Status;

use super::check::BrokenPromise;
use crate::proto;

/// Where a follower starts.
#[derive(Debug, Clone, PartialEq)]
pub enum FollowStart {
    /// The newest state, then every later change.
    State,
    /// The state as Almanac knew it at a point of history, then every later change.
    StateAsKnownAt(proto::AsOf),
    /// Every change from now on.
    Now,
    /// Every change of a range: from the first revision to the last one, or without an end.
    Range(u64, Option<u64>),
    /// Every change after the position of this resume token.
    Token(String),
}

/// What a follower yields.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum FollowEvent {
    /// The follower opened a stream.
    Opened(proto::Opened),
    /// Some rows of the state. Do not use them before [`FollowEvent::StateComplete`].
    Rows(Vec<proto::StateRow>),
    /// The connection broke inside the state. Discard the rows: the state begins again.
    StateDiscarded,
    /// The rows are complete. The follower checked their number and their digest.
    StateComplete(proto::SnapshotEnd),
    /// The server leaves out other sources than before, because of their licences. Discard the copy, which does not match
    /// any more. If the follower started with a state, the state begins again.
    LicencesChanged {
        /// Ids of the sources that the server leaves out from here on.
        left_out: Vec<String>,
    },
    /// Changes of a commit.
    Changes(Box<Part>),
    /// No change at or below this revision follows.
    Progress(u64),
    /// The stream fell behind or caught up.
    Lag(proto::Lag),
    /// The connection broke. The follower opens a new one after a wait.
    Reconnecting {
        /// How long the follower waits.
        wait: Duration,
        /// Why the connection broke, in words.
        why: String,
    },
}

/// Part of a commit, or a whole conflated commit. Apply the parts of a commit together, when the one with `last` has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Revision of the commit; of a conflated commit the revision of the last commit in it.
    pub revision: u64,
    /// First revision in a conflated commit; 0 for a commit as it is. A conflated commit comes as one part.
    pub conflated_from: u64,
    /// About the commit. Set in its first part only.
    pub commit: Option<proto::Commit>,
    /// Revision of the matching commit before this one; 0 for the first one after a start without a token.
    pub prev_matching_revision: u64,
    /// Matching changes, in commit order; in a conflated commit in the order in which their keys first changed.
    pub changes: Vec<proto::Change>,
    /// This is the last part of the commit.
    pub last: bool,
}

/// Why a follower ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The server refuses the request for a reason that a retry does not change.
    #[error("{}", .0.message())]
    Refused(Box<Status>),
    /// The server broke a promise of the feed.
    #[error(transparent)]
    Broken(#[from] BrokenPromise),
    /// A newer server sent something of an unknown kind, so a copy would no longer equal the state.
    #[error("the server sent {0} of a kind that this client does not know; it needs a newer version of the client")]
    Unknown(&'static str),
}
