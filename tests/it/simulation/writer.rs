//! The writers of a simulated run. Each write is sent until it is answered; sometimes several clients write at one time, so
//! that their writes share a sync. Every commit is listed.

use std::collections::BTreeSet;

use almanac::proto::*;

use super::{
    network::{self},
    scenario::{Environment, wait},
};
use crate::support::{
    Clients, Dice,
    author::{Author, PlannedWrite},
    fixture::*,
    steward::{Steward, StewardWrite},
};

/// Most clients that write at the same time as the steward.
const CLERKS_MAX: usize = 5;

/// A write, and the revision that it was answered with. `None`: it was refused.
type SentWrite = (StewardWrite, Option<u64>);

/// The writers: send each write until it is answered.
pub(super) async fn write(environment: Environment, mut dice: Dice) -> turmoil::Result {
    let mut clients = network::clients();
    let figures_max = if dice.once_in(8) { 600 } else { 20 };
    let mut steward = Steward::new(dice.split(), "steward", figures_max).with_reverts();
    let mut clerk = Author::new(dice.split(), "clerk", figures_max);
    let mut taken: Vec<(StewardWrite, u64)> = Vec::new();
    let writes = 8 + dice.below(14);
    let options = request("catalog");
    loop {
        match clients.define(options.clone(), catalog()).await {
            Ok(_) => break,
            Err(_) => wait(&mut dice, 100).await,
        }
        clients = network::clients();
    }
    list_commits(&environment, &mut clients, &mut dice).await;
    for _ in 0..writes {
        wait(&mut dice, 60).await;
        let mut together = vec![steward.next(environment.scenario.lock().unwrap().listed)];
        if dice.once_in(2) {
            together.extend((0..=dice.below(CLERKS_MAX)).map(|_| figures_of(&mut clerk)));
            *environment.scenario.lock().unwrap().happened.entry("writes at one time").or_default() += together.len();
        }
        let sending = together.into_iter().map(|write| send(&environment, write, dice.split()));
        for (write, revision) in futures_util::future::join_all(sending).await {
            taken.extend(revision.map(|revision| (write, revision)));
        }
        list_commits(&environment, &mut clients, &mut dice).await;
    }
    check_unlisted(&environment, &mut clients, &mut dice, &taken).await;
    let head = environment.scenario.lock().unwrap().listed;
    environment.goal.send_replace(Some(head));
    Ok(())
}

/// Figures of an author. Two authors would have to agree which editions are published.
fn figures_of(author: &mut Author) -> StewardWrite {
    loop {
        let write = author.next();
        if matches!(write, PlannedWrite::Ingest(..)) {
            return StewardWrite::Plain(write);
        }
    }
}

/// Sends a write until it is answered or refused.
async fn send(environment: &Environment, write: StewardWrite, mut dice: Dice) -> SentWrite {
    loop {
        match write.send(&network::clients()).await {
            Ok(result) => {
                let mut scenario = environment.scenario.lock().unwrap();
                scenario.answered.insert(write.request_id().to_owned(), result.revision);
                *scenario.happened.entry(write.kind()).or_default() += 1;
                return (write, Some(result.revision));
            }
            // It depends on an earlier write that was refused.
            Err(status) if !may_help(&status) => return (write, None),
            Err(_) => wait(&mut dice, 100).await,
        }
    }
}

/// A write that was answered but is not listed changed only figures whose licence forbids redistribution. Sent again, it gets
/// the same answer.
async fn check_unlisted(
    environment: &Environment,
    clients: &mut Clients,
    dice: &mut Dice,
    taken: &[(StewardWrite, u64)],
) {
    let listed: BTreeSet<u64> =
        environment.scenario.lock().unwrap().commits.iter().map(|one| one.commit.revision).collect();
    let mut hidden = BTreeSet::new();
    for (write, revision) in taken.iter().filter(|(_, revision)| !listed.contains(revision)) {
        loop {
            match write.send(clients).await {
                Ok(again) => {
                    assert_eq!((again.revision, again.replayed), (*revision, true), "{}", write.request_id());
                    hidden.insert(*revision);
                    break;
                }
                Err(status) => assert!(may_help(&status), "an answered write is refused: {status:?}"),
            }
            wait(dice, 100).await;
            *clients = network::clients();
        }
    }
    let listed_head = environment.scenario.lock().unwrap().listed;
    let all: Vec<u64> = listed.union(&hidden).copied().collect();
    assert_eq!(all, (1..=listed_head).collect::<Vec<_>>(), "every revision was listed or is one that was answered");
    *environment.scenario.lock().unwrap().happened.entry("commits of closed sources").or_default() += hidden.len();
}

/// Whether a retry may help.
fn may_help(status: &tonic::Status) -> bool {
    use tonic::Code::*;
    matches!(
        status.code(),
        Unavailable | Unknown | Internal | Cancelled | Aborted | DeadlineExceeded | ResourceExhausted
    )
}

/// Lists new commits before compaction may drop them.
async fn list_commits(environment: &Environment, clients: &mut Clients, dice: &mut Dice) {
    let known = environment.scenario.lock().unwrap().listed;
    loop {
        let head = clients.feed.get_head(GetHeadRequest::default()).await;
        let listed = match head {
            Ok(head) => {
                let listed = clients.try_commits(known, Vec::new()).await;
                listed.map(|commits| (head.into_inner().head, commits))
            }
            Err(status) => Err(status),
        };
        match listed {
            Ok((head, commits)) => {
                let mut scenario = environment.scenario.lock().unwrap();
                scenario.listed = head;
                for mut commit in commits {
                    let previous = scenario.commits.last().map_or(0, |last| last.commit.revision);
                    assert!(commit.commit.revision > previous.max(known), "revisions grow");
                    commit.previous = previous;
                    scenario.listed = scenario.listed.max(commit.commit.revision);
                    scenario.commits.push(commit);
                }
                return;
            }
            Err(status) if may_help(&status) => wait(dice, 100).await,
            Err(status) => panic!("listing commits after {known}: {status:?}"),
        }
        *clients = network::clients();
    }
}
