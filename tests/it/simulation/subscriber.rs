//! A subscriber in a simulated world: reads at its own pace, goes away, loses its connection, and comes back by its token.

use std::time::Duration;

use almanac::{
    client::{FollowError, FollowEvent, FollowStart, Follower, Part},
    proto::{subscribe_request::Start, *},
};
use tokio::sync::watch;
use tonic::{Code, Status};

use super::network;
use crate::{
    fixture::*,
    harness::{Dice, WholeCommit, at_revision, reason},
    replica::{self, Replica},
    watch::{Recording, covered},
};

/// All that one subscription saw, through all its streams.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) filters: Vec<Filter>,
    pub(super) streams: Vec<Recording>,
    /// How often the copy was compared with the state of the server.
    pub(super) compared: usize,
    copy: Option<Replica>,
}

impl Life {
    /// Where it began.
    pub(super) fn began(&self) -> u64 {
        self.streams[0].opened().start_revision
    }

    fn new(filters: Vec<Filter>) -> Self {
        Self { filters, streams: Vec::new(), compared: 0, copy: None }
    }

    /// Adds what a stream brought: its state, and every commit that came whole.
    async fn take(&mut self, stream: Recording) {
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

    /// Compares the copy, row by row and field by field, with the state of the server where the subscription rests.
    async fn compare(&mut self) {
        let Some(copy) = &self.copy else { return };
        if let Some(state) = state_of(self.covered(), &self.filters).await {
            copy.assert_same(&state, &format!("{:?} at {}", self.filters, self.covered()));
            self.compared += 1;
        }
    }

    /// Whether the server leaves out other sources than in the stream before.
    fn leaves_out_others(&self, stream: &Recording) -> bool {
        let Some(before) = self.streams.last() else { return false };
        !stream.messages.is_empty() && before.opened().left_out_sources != stream.opened().left_out_sources
    }

    /// How far it came.
    pub(super) fn covered(&self) -> u64 {
        self.streams.iter().map(|stream| covered(&stream.messages)).max().unwrap_or(0)
    }
}

/// The state of a revision; `None`: the network, the server or compaction came between.
async fn state_of(revision: u64, filters: &[Filter]) -> Option<Replica> {
    if revision == 0 {
        return Some(Replica::default());
    }
    let start = Start::AsKnownAt(at_revision(revision).unwrap());
    let (state, end) = replica::try_read_state(&network::clients(), start, filters.to_vec()).await.ok()?;
    assert_eq!(end.revision, revision);
    Some(state)
}

/// What the client library made of a subscription.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) filters: Vec<Filter>,
    pub(super) began: u64,
    pub(super) position: u64,
    pub(super) commits: Vec<WholeCommit>,
    /// How often the copy was compared with the state of the server.
    pub(super) compared: usize,
    rows: Vec<StateRow>,
}

/// Filters of any kind, or none.
fn filters(dice: &mut Dice) -> Vec<Filter> {
    let ids = |id: &str| vec![id.to_owned()];
    let one = |filter: Filter| vec![filter];
    match dice.below(15) {
        0..=2 => Vec::new(),
        3 => one(Filter { kinds: vec![ChangeKind::Value.into()], ..Default::default() }),
        4 => one(Filter { rankings: ids(RANKING), ..Default::default() }),
        5 => one(Filter { indicators: ids("GB.*"), ..Default::default() }),
        6 => one(Filter { entities: ids(dice.pick::<&str>(&ECONOMIES)), ..Default::default() }),
        7 => one(Filter { sources: ids(dice.pick::<&str>(&SOURCES)), ..Default::default() }),
        8 => one(Filter { causes: vec![Cause::FirstRelease.into()], ..Default::default() }),
        9 => one(Filter { rank_at_most: 1 + dice.below(4) as u32, min_places: 1, ..Default::default() }),
        10 => one(Filter { rank_at_most: 1 + dice.below(4) as u32, ..Default::default() }),
        11 => {
            one(Filter { rankings: ids(RANKING), entities: ids(dice.pick::<&str>(&ECONOMIES)), ..Default::default() })
        }
        12 => one(Filter { dimensions: vec![Dimension { id: "SEX".into(), value: "F".into() }], ..Default::default() }),
        13 => one(Filter { kinds: vec![ChangeKind::Definition.into()], ..Default::default() }),
        _ => vec![
            Filter { name: "chinese".into(), entities: ids("CHN"), ..Default::default() },
            Filter { name: "first".into(), rank_at_most: 1, ..Default::default() },
            Filter { name: "nobody".into(), sources: ids("nobody"), ..Default::default() },
        ],
    }
}

async fn pause(dice: &mut Dice, milliseconds: usize) {
    tokio::time::sleep(Duration::from_millis(dice.below(milliseconds + 1) as u64)).await;
}

/// A place to start that the server should have.
async fn start(dice: &mut Dice) -> Start {
    let head = loop {
        match network::clients().feed.get_head(GetHeadRequest::default()).await {
            Ok(head) => break head.into_inner(),
            Err(_) => pause(dice, 50).await,
        }
    };
    let edges = [1, head.floor, head.head.max(1), head.head + 1, 1 + dice.below(head.head as usize + 1) as u64];
    let revision = *dice.pick(&edges);
    match dice.below(6) {
        0 => Start::Now(StartNow {}),
        1 | 2 => Start::State(StartState {}),
        3 => Start::AsKnownAt(at_revision(revision.min(head.head)).unwrap()),
        _ => Start::Range(StartRange { first_revision: revision.max(1), last_revision: 0 }),
    }
}

/// Lives until everything up to a goal that is told later was seen.
pub(super) async fn live(mut dice: Dice, goal: watch::Receiver<Option<u64>>) -> Vec<Life> {
    let mut lives = Vec::new();
    pause(&mut dice, 400).await;
    loop {
        let filters = filters(&mut dice);
        let first = start(&mut dice).await;
        let mut life = Life::new(filters);
        let done = live_once(&mut dice, &goal, first, &mut life).await;
        if !life.streams.is_empty() {
            life.compare().await;
            lives.push(life);
        }
        if done {
            return lives;
        }
    }
}

/// One subscription, through all its tokens. False: it has to begin anew.
async fn live_once(dice: &mut Dice, goal: &watch::Receiver<Option<u64>>, first: Start, life: &mut Life) -> bool {
    let mut from = first;
    loop {
        let mut recording = Recording { start: from.clone(), filters: life.filters.clone(), messages: Vec::new() };
        let ended = read(dice, goal, &mut recording).await;
        let token = recording.tokens().pop().map(|(_, token)| token);
        if life.leaves_out_others(&recording) {
            // Its copy is not whole any more, as the contract says.
            return false;
        }
        if !recording.messages.is_empty() {
            life.take(recording).await;
            if dice.once_in(4) {
                life.compare().await;
            }
        }
        match ended {
            Ok(true) => return true,
            Ok(false) => {}
            Err(status) if status.code() == Code::OutOfRange => {
                // What compaction took, and nothing else: a token never names what is not in the store.
                let why = reason(&status);
                assert!(why == "BELOW_FLOOR" || (why == "ABOVE_HEAD" && life.streams.is_empty()), "{status:?}");
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
            // The state was not complete, or nothing came at all: another beginning.
            None if !life.streams.is_empty() => return false,
            None => {}
        }
        pause(dice, 80).await;
    }
}

/// One stream, until it covers the goal (true), is left, or ends.
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

/// The same by the client library, which comes back by itself.
pub(super) async fn follow(mut dice: Dice, mut goal: watch::Receiver<Option<u64>>) -> Vec<Followed> {
    let mut all = Vec::new();
    pause(&mut dice, 400).await;
    loop {
        let filters = filters(&mut dice);
        let from = match start(&mut dice).await {
            Start::Now(_) => FollowStart::Now,
            Start::State(_) => FollowStart::State,
            Start::AsKnownAt(as_of) => FollowStart::StateAsKnownAt(as_of),
            Start::Range(range) => FollowStart::Range(range.first_revision, None),
            Start::ResumeToken(token) => FollowStart::Token(token),
        };
        let with_state = matches!(from, FollowStart::State | FollowStart::StateAsKnownAt(_));
        let mut jitter = dice.split();
        let feed = network::clients().feed;
        let mut follower = Follower::new(feed, from, filters.clone())
            .progress_every(Duration::from_millis(100))
            .jitter(move || jitter.fraction());
        let mut followed = Followed::new(filters);
        let mut begun = false;
        loop {
            let reached = goal.borrow_and_update().is_some_and(|goal| follower.position() >= goal);
            if reached && begun && !follower.within_commit() {
                followed.position = follower.position();
                followed.compare().await;
                all.push(followed);
                return all;
            }
            let event = tokio::select! {
                biased;
                event = follower.next() => event,
                _ = goal.changed() => continue,
            };
            match event {
                Ok(Some(FollowEvent::Opened(opened))) if !begun && !opened.resume_token.is_empty() => {
                    (begun, followed.began) = (true, opened.start_revision);
                }
                Ok(Some(FollowEvent::StateComplete(end))) => (begun, followed.began) = (true, end.revision),
                Ok(Some(FollowEvent::Rows(rows))) => followed.rows.extend(rows),
                Ok(Some(FollowEvent::StateDiscarded)) => followed.rows.clear(),
                Ok(Some(FollowEvent::Changes(part))) => followed.take(*part),
                Ok(Some(FollowEvent::LicencesChanged { .. })) => {
                    followed = Followed::new(followed.filters);
                    begun = false;
                    if !with_state {
                        break;
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => panic!("nobody asked for an end"),
                Err(FollowError::Refused(status)) => {
                    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
        // What came before its place was compacted away holds all the same.
        followed.commits.truncate(followed.whole());
        followed.position = follower.position();
        if begun {
            followed.compare().await;
            all.push(followed);
        }
    }
}

impl Followed {
    fn new(filters: Vec<Filter>) -> Self {
        Self { filters, began: 0, position: 0, commits: Vec::new(), compared: 0, rows: Vec::new() }
    }

    /// Compares the copy that an application would have with the state of the server.
    async fn compare(&mut self) {
        if !replica::keep_state(&self.filters) {
            return;
        }
        let mut copy = Replica::default();
        self.rows.iter().for_each(|row| copy.row(row));
        if self.rows.is_empty() {
            let Some(base) = state_of(self.began, &self.filters).await else { return };
            copy = base;
        }
        self.commits.iter().for_each(|commit| copy.apply_commit(commit));
        if let Some(state) = state_of(self.position, &self.filters).await {
            copy.assert_same(&state, &format!("{:?} at {}", self.filters, self.position));
            self.compared += 1;
        }
    }

    fn take(&mut self, part: Part) {
        if let Some(commit) = part.commit {
            self.commits.push(WholeCommit { commit, previous: part.prev_matching_revision, changes: Vec::new() });
        }
        let open = self.commits.last_mut().expect("a commit begins with its first part");
        assert_eq!(open.commit.revision, part.revision);
        open.changes.extend(part.changes);
        self.position = if part.last { part.revision } else { self.position };
    }

    /// How many commits came whole.
    fn whole(&self) -> usize {
        self.commits.iter().filter(|one| one.commit.revision <= self.position).count()
    }
}
