//! Copies kept from conflations equal copies kept from every commit.

use almanac::proto::{subscribe_request::Start, *};

use crate::support::{
    Dice, TestServer,
    fixture::*,
    long,
    oracle::{CommitLog, Step, check_conflating, plain_copy},
    replica::{Replica, read_state},
    steward::Steward,
    subscriptions::*,
    watch::Watch,
};

/// Filters that look only at rows: a copy can be kept with them.
fn filters_by_key() -> Vec<Vec<Filter>> {
    let chinese = with_name("chinese", of_entities(&["CHN"]));
    let venture = with_name("venture", of_indicators(&["VC.*"]));
    vec![
        Vec::new(),
        vec![of_kinds(&[ChangeKind::Value])],
        vec![of_kinds(&[ChangeKind::Entry])],
        vec![of_rankings(&[RANKING])],
        vec![of_indicators(&["GB.*"])],
        vec![of_entities(&["CHN"])],
        vec![of_sources(&["press"])],
        vec![of_entities(&["nobody"])],
        vec![within_rank(3)],
        vec![with_name("first", within_rank(1)), chinese.clone(), venture.clone()],
        vec![chinese, venture],
    ]
}

/// Filters that also look at moves and causes: no copy can be kept with them, but they conflate.
fn other_filters() -> Vec<Vec<Filter>> {
    vec![
        vec![of_causes(&[Cause::FirstRelease, Cause::Correction])],
        vec![Filter { min_places: 3, ..Default::default() }],
        vec![Filter { min_places: 1, ..within_rank(3) }],
    ]
}

/// A store with a random history.
struct RandomHistory {
    server: TestServer,
    log: CommitLog,
    head: u64,
}

impl RandomHistory {
    async fn new(dice: Dice) -> Self {
        let server = server_with_catalog().await;
        let mut steward = Steward::new(dice, "steward", 700).with_reverts();
        for _ in 0..if long() { 300 } else { 60 } {
            steward.next(server.clients.head().await).send_or_refused(&server.clients).await;
        }
        let log = CommitLog::read(&server.clients).await;
        let head = server.clients.head().await;
        Self { server, log, head }
    }

    /// A range from the beginning to head, and some between random revisions.
    fn draw_ranges(&self, dice: &mut Dice) -> Vec<(u64, u64)> {
        let mut ranges = vec![(1, self.head)];
        for _ in 0..if long() { 60 } else { 8 } {
            let from = 1 + dice.below(self.head as usize) as u64;
            ranges.push((from, from + dice.below((self.head - from) as usize + 1) as u64));
        }
        ranges
    }

    /// Reads a range that conflates, and checks it, and that its token continues as a plain stream.
    async fn check_range(&self, filters: &[Filter], from: u64, until: u64) -> Vec<Step> {
        let clients = &self.server.clients;
        let watch = Watch::conflating(clients, range(from, until), filters.to_vec()).await.unwrap();
        let recording = watch.ended().await.unwrap();
        let steps = check_conflating(&self.log, &recording, 0);
        assert!(steps.iter().all(|step| step.revision <= until));
        let start = token(&recording.goodbye().unwrap().resume_token);
        let mut rest = Watch::open(clients, start, filters.to_vec()).await.unwrap();
        rest.until_covers(self.head).await;
        let rest = rest.leave().await;
        assert_eq!(rest.opened().start_revision, until);
        let expected = self.log.expected(filters, until, u64::MAX);
        let expected: Vec<u64> = expected.iter().map(|commit| commit.commit.revision).collect();
        let found: Vec<u64> = rest.commits().iter().map(|commit| commit.commit.revision).collect();
        assert_eq!(found, expected);
        steps
    }

    /// Checks that the steps lead from the copy before a range to the copy at its end.
    async fn check_copy(&self, filters: &[Filter], from: u64, until: u64, steps: &[Step]) {
        let mut copy = plain_copy(&self.log, filters, from - 1);
        apply(&mut copy, steps);
        let expected = plain_copy(&self.log, filters, until);
        let state = read_state(&self.server.clients, until, filters).await;
        expected.assert_same(&state, &format!("{filters:?} at {until}"));
        copy.assert_same(&expected, &format!("{filters:?} from {from} to {until}"));
    }
}

fn apply(copy: &mut Replica, steps: &[Step]) {
    for step in steps {
        for change in &step.changes {
            copy.apply(change);
        }
    }
}

/// Whichever commits are conflated, a copy comes out as if each had been applied.
#[tokio::test]
async fn a_copy_kept_from_conflations_is_the_copy_kept_from_every_commit() {
    let mut dice = Dice::new("conflations");
    let history = RandomHistory::new(dice.clone()).await;
    let by_key = filters_by_key();
    let mut conflations = 0;
    let mut commits = 0;
    for filters in by_key.iter().cloned().chain(other_filters()) {
        for (from, until) in history.draw_ranges(&mut dice) {
            let steps = history.check_range(&filters, from, until).await;
            if by_key.contains(&filters) {
                history.check_copy(&filters, from, until, &steps).await;
            }
            let conflated = steps.iter().filter(|step| step.conflated_from > 0).count();
            conflations += conflated;
            commits += steps.len() - conflated;
        }
    }
    assert!(conflations > 0 && commits > 0, "{conflations} conflations, {commits} commits");
    history.server.end().await;
}

/// An old state and all conflations since give the digest of the state now.
#[tokio::test]
async fn an_old_state_and_conflations_since_give_the_digest_of_the_state_now() {
    let RandomHistory { server, log, head } = RandomHistory::new(Dice::new("conflations")).await;
    let clients = &server.clients;
    let mut now = Watch::open(clients, state(), Vec::new()).await.unwrap();
    now.until_covers(head).await;
    let digest = now.leave().await.snapshot_end().unwrap().digest;
    for revision in [0, head / 3, head - 2] {
        let mut watch = Watch::conflating(clients, known_at(revision), Vec::new()).await.unwrap();
        watch.until_covers(head).await;
        let recording = watch.leave().await;
        let mut copy = Replica::of_state(&recording.messages);
        apply(&mut copy, &check_conflating(&log, &recording, 0));
        assert_eq!(copy, plain_copy(&log, &[], head));
        assert_eq!(copy.digest(), digest);
    }
    server.end().await;
}

/// A client that comes and goes while a steward writes resumes by tokens of conflations and of commits.
#[tokio::test]
async fn tokens_of_conflated_and_plain_streams_resume_each_other() {
    let mut dice = Dice::new("in turn");
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let mut author = Steward::new(dice.clone(), "steward", 300).with_reverts();
    let filters = vec![of_indicators(&["GB.*"])];
    let mut copy = Replica::default();
    let mut start = range(1, 0);
    let mut recordings = Vec::new();
    for _ in 0..if long() { 60 } else { 14 } {
        for _ in 0..dice.below(8) {
            author.next(clients.head().await).send_or_refused(clients).await;
        }
        let head = clients.head().await;
        let conflate = !dice.once_in(3);
        let mut watch = match conflate {
            true => Watch::conflating(clients, start, filters.clone()).await.unwrap(),
            false => Watch::open(clients, start, filters.clone()).await.unwrap(),
        };
        watch.until_covers(head).await;
        let recording = watch.leave().await;
        start = Start::ResumeToken(recording.tokens().last().unwrap().1.clone());
        recordings.push(recording);
    }
    let log = CommitLog::read(clients).await;
    let mut last_match = 0;
    for recording in &recordings {
        for step in check_conflating(&log, recording, last_match) {
            step.changes.iter().for_each(|change| copy.apply(change));
            last_match = step.revision;
        }
    }
    assert_eq!(copy, plain_copy(&log, &filters, clients.head().await));
    server.end().await;
}
