//! A subscriber of a simulated run: it reads at its own pace, leaves, loses its connection, and resumes by its token.

use std::time::Duration;

use almanac::proto::{subscribe_request::Start, *};
use tokio::sync::watch;
use tonic::{Code, Status};

use super::network;
use crate::support::{
    Dice, at_revision,
    fixture::*,
    reason,
    replica::{self, Replica},
    subscriptions::*,
    watch::{Recording, covered},
};

/// What one subscription saw in all its streams.
#[derive(Debug)]
pub(super) struct SubscriptionRecord {
    pub(super) filters: Vec<Filter>,
    pub(super) streams: Vec<Recording>,
    /// How often the copy was compared with the state of the server.
    pub(super) compared: usize,
    copy: Option<Replica>,
}

impl SubscriptionRecord {
    /// The revision where the subscription began.
    pub(super) fn began(&self) -> u64 {
        self.streams[0].opened().start_revision
    }

    fn new(filters: Vec<Filter>) -> Self {
        Self { filters, streams: Vec::new(), compared: 0, copy: None }
    }

    /// Adds the state and the complete commits of a stream.
    async fn add(&mut self, stream: Recording) {
        if replica::keep_state(&self.filters) {
            if self.streams.is_empty() {
                self.copy = match stream.snapshot_end() {
                    Some(_) => Some(Replica::of_state(&stream.messages)),
                    None if matches!(stream.start, Start::State(_) | Start::AsKnownAt(_)) => None,
                    None => state_of(stream.opened().start_revision, &self.filters).await,
                };
            }
            if let Some(copy) = &mut self.copy {
                stream.commits().iter().for_each(|commit| copy.apply_commit(commit));
            }
        }
        self.streams.push(stream);
    }

    /// Compares the copy, row by row and field by field, with the state of the server at the revision that it covers.
    async fn compare(&mut self) {
        let Some(copy) = &self.copy else { return };
        if let Some(state) = state_of(self.covered(), &self.filters).await {
            copy.assert_same(&state, &format!("{:?} at {}", self.filters, self.covered()));
            self.compared += 1;
        }
    }

    /// Whether the server leaves out other sources than in the stream before.
    fn has_other_licences(&self, stream: &Recording) -> bool {
        let Some(before) = self.streams.last() else { return false };
        !stream.messages.is_empty() && before.opened().left_out_sources != stream.opened().left_out_sources
    }

    /// The last revision that its streams cover.
    pub(super) fn covered(&self) -> u64 {
        self.streams.iter().map(|stream| covered(&stream.messages)).max().unwrap_or(0)
    }
}

/// The state of a revision; `None`: it could not be read, because of a fault or of compaction.
pub(super) async fn state_of(revision: u64, filters: &[Filter]) -> Option<Replica> {
    if revision == 0 {
        return Some(Replica::default());
    }
    let start = Start::AsKnownAt(at_revision(revision).unwrap());
    let (state, end) = replica::try_read_state(&network::clients(), start, filters.to_vec()).await.ok()?;
    assert_eq!(end.revision, revision);
    Some(state)
}

/// Filters of any kind, or none.
pub(super) fn draw_filters(dice: &mut Dice) -> Vec<Filter> {
    match dice.below(15) {
        0..=2 => Vec::new(),
        3 => vec![of_kinds(&[ChangeKind::Value])],
        4 => vec![of_rankings(&[RANKING])],
        5 => vec![of_indicators(&["GB.*"])],
        6 => vec![of_entities(&[dice.pick::<&str>(&ECONOMIES)])],
        7 => vec![of_sources(&[dice.pick::<&str>(&SOURCES)])],
        8 => vec![of_causes(&[Cause::FirstRelease])],
        9 => vec![Filter { min_places: 1, ..within_rank(1 + dice.below(4) as u32) }],
        10 => vec![within_rank(1 + dice.below(4) as u32)],
        11 => vec![Filter { rankings: ids(&[RANKING]), ..of_entities(&[dice.pick::<&str>(&ECONOMIES)]) }],
        12 => vec![of_dimension("SEX", "F")],
        13 => vec![of_kinds(&[ChangeKind::Definition])],
        _ => vec![
            with_name("chinese", of_entities(&["CHN"])),
            with_name("first", within_rank(1)),
            with_name("nobody", of_sources(&["nobody"])),
        ],
    }
}

pub(super) async fn pause(dice: &mut Dice, milliseconds: usize) {
    tokio::time::sleep(Duration::from_millis(dice.below(milliseconds + 1) as u64)).await;
}

/// A start that the server accepts, unless compaction comes first.
pub(super) async fn draw_start(dice: &mut Dice) -> Start {
    let head = loop {
        match network::clients().feed.get_head(GetHeadRequest::default()).await {
            Ok(head) => break head.into_inner(),
            Err(_) => pause(dice, 50).await,
        }
    };
    let edges = [1, head.floor, head.head.max(1), head.head + 1, 1 + dice.below(head.head as usize + 1) as u64];
    let revision = *dice.pick(&edges);
    match dice.below(6) {
        0 => now(),
        1 | 2 => state(),
        3 => Start::AsKnownAt(at_revision(revision.min(head.head)).unwrap()),
        _ => range(revision.max(1), 0),
    }
}

/// Subscribes, anew where it has to, until a subscription covers the goal.
pub(super) async fn subscribe(mut dice: Dice, goal: watch::Receiver<Option<u64>>) -> Vec<SubscriptionRecord> {
    let mut records = Vec::new();
    pause(&mut dice, 400).await;
    loop {
        let filters = draw_filters(&mut dice);
        let first = draw_start(&mut dice).await;
        let mut record = SubscriptionRecord::new(filters);
        let done = subscribe_once(&mut dice, &goal, first, &mut record).await;
        if !record.streams.is_empty() {
            record.compare().await;
            records.push(record);
        }
        if done {
            return records;
        }
    }
}

/// One subscription and its resumptions. False: it has to begin anew.
async fn subscribe_once(
    dice: &mut Dice,
    goal: &watch::Receiver<Option<u64>>,
    first: Start,
    record: &mut SubscriptionRecord,
) -> bool {
    let mut from = first;
    loop {
        let mut recording = Recording { start: from.clone(), filters: record.filters.clone(), messages: Vec::new() };
        let ended = read(dice, goal, &mut recording).await;
        let token = recording.tokens().pop().map(|(_, token)| token);
        if record.has_other_licences(&recording) {
            // Its copy is not complete any more, as the contract says.
            return false;
        }
        if !recording.messages.is_empty() {
            record.add(recording).await;
            if dice.once_in(4) {
                record.compare().await;
            }
        }
        match ended {
            Ok(true) => return true,
            Ok(false) => {}
            Err(status) if status.code() == Code::OutOfRange => {
                // Only compaction may cause this: a token never names a revision that the store lacks.
                let why = reason(&status);
                assert!(why == "BELOW_FLOOR" || (why == "ABOVE_HEAD" && record.streams.is_empty()), "{status:?}");
                return false;
            }
            Err(status) => {
                assert!(
                    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled),
                    "{status:?}"
                );
            }
        }
        match token {
            Some(token) => from = Start::ResumeToken(token),
            // The state was not complete, or no message came: begin anew.
            None if !record.streams.is_empty() => return false,
            None => {}
        }
        pause(dice, 80).await;
    }
}

/// Reads one stream. True: it covers the goal; false: the subscriber left, or the stream ended.
async fn read(dice: &mut Dice, goal: &watch::Receiver<Option<u64>>, recording: &mut Recording) -> Result<bool, Status> {
    let request = SubscribeRequest {
        start: Some(recording.start.clone()),
        filters: recording.filters.clone(),
        progress_interval: Some(prost_types::Duration { seconds: 0, nanos: 100_000_000 }),
        ..Default::default()
    };
    let mut goal = goal.clone();
    let mut left_after = if dice.once_in(3) { 1 + dice.below(20) } else { usize::MAX };
    let slow = dice.once_in(5);
    let mut stream = network::clients().feed.subscribe(request).await?.into_inner();
    loop {
        if goal.borrow_and_update().is_some_and(|goal| covered(&recording.messages) >= goal) {
            return Ok(true);
        }
        let message = tokio::select! {
            biased;
            message = stream.message() => message?,
            _ = goal.changed() => continue,
        };
        let Some(message) = message else { return Ok(false) };
        recording.messages.push(message.body.expect("no empty messages"));
        left_after -= 1;
        if left_after == 0 {
            return Ok(false);
        }
        if slow {
            pause(dice, 60).await;
        }
    }
}
