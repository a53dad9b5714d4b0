//! Where a stream begins, and whether it may.

use std::{collections::VecDeque, sync::Arc};

use tokio::time::Instant;

use super::{Phase, SnapshotWalk, Subscription, SubscriptionRequest, SubscriptionStart};
use crate::{
    feed::{
        FeedError,
        event::{Notice, SubscriptionEvent},
        filter::Filters,
        hub::Hub,
        token::Position,
    },
    model::id::Revision,
};

/// Where a stream begins and ends.
struct StreamBounds {
    position: Position,
    /// See [`SubscriptionStart::Range`].
    until: Option<Revision>,
    /// The state that comes first.
    snapshot: Option<SnapshotWalk>,
}

impl StreamBounds {
    async fn of(start: SubscriptionStart, hub: &Hub, filters: &Filters) -> Result<Self, FeedError> {
        match start {
            SubscriptionStart::Now => Ok(Self::after(Position::at(hub.reader().head()))),
            SubscriptionStart::Token { token } => Ok(Self::after(hub.resume(&token, filters).await?)),
            SubscriptionStart::Range { first, last } => {
                let before_first = Revision(first.0.saturating_sub(1));
                Ok(Self { until: last, ..Self::after(Position::at(before_first)) })
            }
            SubscriptionStart::State { as_of } => {
                let snapshot = hub.read(move |reader| reader.state_at(as_of)).await?;
                let position = Position::at(snapshot.revision());
                Ok(Self { snapshot: Some(SnapshotWalk::new(snapshot)), ..Self::after(position) })
            }
        }
    }

    fn after(position: Position) -> Self {
        Self { position, until: None, snapshot: None }
    }
}

impl Subscription {
    /// Opens a subscription. Its first message is [`Notice::Opened`].
    ///
    /// Errors: too many subscriptions; a token that this server or these filters do not accept; a start above head or
    /// below the floor; a state that cannot be read.
    pub async fn open(hub: Arc<Hub>, request: SubscriptionRequest) -> Result<Self, FeedError> {
        let permit = hub.subscriber_permit()?;
        let conflating = if request.conflate { Some(hub.conflating_permit()?) } else { None };
        let floor = hub.reader().ledger().floor();
        let StreamBounds { position, until, snapshot } =
            StreamBounds::of(request.start, &hub, &request.filters).await?;
        // Read only now: the state may be that of a commit made since.
        let head = hub.reader().head();
        if position.revision > head {
            return Err(FeedError::AboveHead { asked: position.revision, head });
        }
        if position.revision.next() < floor {
            return Err(FeedError::BelowFloor { asked: position.revision.next(), floor });
        }
        let token = match snapshot {
            // The state is not resumable half way: a client that loses it starts again.
            Some(_) => String::new(),
            None => hub.token(position, request.filters.hash()).await?,
        };
        let opened = Notice::Opened {
            history: hub.reader().ledger().history(),
            head,
            floor,
            start: position.revision,
            token,
            left_out: request.filters.left_out().iter().cloned().collect(),
        };
        let now = Instant::now();
        let group = hub.group(request.filters);
        Ok(Self {
            wakeups: group.wakeups(),
            group,
            head: until.map(|_| hub.head()),
            connection_ends: request.connection.ends(),
            _connection: request.connection,
            hub,
            _permit: permit,
            conflating,
            progress_interval: request.progress_interval,
            ends_at: now + request.max_age,
            phase: snapshot.map_or(Phase::BetweenCommits, |walk| Phase::Snapshot(Box::new(walk))),
            position,
            until,
            ready: VecDeque::from([SubscriptionEvent::Notice(opened)]),
            licences_version: request.licences_version,
            reported_lag: None,
            reported: position.revision,
            last_sent: now,
        })
    }
}
