//! The real binary, killed at any moment: every answered write is in the store, and no write is there in part.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use almanac::proto::*;

use crate::support::{
    Clients, DEADLINE, Dice, WholeCommit, assert_refused,
    author::{Author, PlannedWrite},
    fixture::*,
    long,
    process::Process,
    replica::{Replica, read_state},
    subscriptions::*,
    watch::Watch,
};

/// What the writers sent and what the server answered before it was killed, and the commits that it has after a start.
#[derive(Default)]
struct ExpectedStore {
    /// Answered writes with their counts, by revision.
    answered: BTreeMap<u64, (PlannedWrite, ChangeCounts)>,
    /// Writes that were sent and not answered.
    open: Vec<PlannedWrite>,
    /// Commits that were complete after a start.
    commits: Vec<WholeCommit>,
    /// The state after those commits.
    copy: Replica,
}

/// How many figures, entries or definitions a write has; `None`: the counts also include what it leaves out.
fn size(write: &PlannedWrite) -> Option<u64> {
    match write {
        PlannedWrite::Define(_, definitions) => Some(definitions.len() as u64),
        PlannedWrite::Ingest(header, batches) if header.mode() != IngestMode::Replace => {
            Some(batches.iter().map(|batch| batch.points.len() as u64).sum())
        }
        PlannedWrite::Ingest(..) | PlannedWrite::Publish(..) | PlannedWrite::Withdraw(..) => None,
    }
}

fn total(counts: &ChangeCounts) -> u64 {
    let rows = counts.added + counts.revised + counts.unchanged + counts.withdrawn + counts.backfilled;
    rows + counts.definitions_added + counts.definitions_revised + counts.definitions_unchanged
}

impl ExpectedStore {
    /// Checks a server after a start, and sends the unanswered writes again.
    async fn check(&mut self, clients: &Clients, whole: bool) {
        let known = self.commits.len() as u64;
        let new = clients.commits(known, Vec::new()).await;
        let head = clients.head().await;
        assert_eq!(known + new.len() as u64, head, "revisions are dense");
        let last = self.answered.last_key_value().map_or(0, |(revision, _)| *revision);
        assert!(head >= last, "head is {head}, {last} was answered");
        for commit in &new {
            let revision = commit.commit.revision;
            let counts = commit.commit.counts.as_ref().unwrap();
            let write = match self.answered.get(&revision) {
                Some((write, answered)) => {
                    assert_eq!(counts, answered, "revision {revision} as it was answered");
                    write
                }
                // The answer was lost. Only a write that was sent may be there.
                None => {
                    let sent = self.open.iter().find(|write| write.request_id() == commit.commit.request_id);
                    sent.unwrap_or_else(|| panic!("revision {revision} was never asked for"))
                }
            };
            assert_eq!(write.request_id(), commit.commit.request_id);
            assert_whole(write, commit);
            self.copy.apply_commit(commit);
        }
        self.commits.extend(new);
        // A retry gets the first answer if the write was committed, and is committed now if not.
        for write in std::mem::take(&mut self.open) {
            let result = write.send(clients).await.unwrap();
            let made = self.commits.iter().find(|commit| commit.commit.request_id == write.request_id());
            assert_eq!(result.replayed, made.is_some());
            assert_eq!(made.map_or(result.revision, |commit| commit.commit.revision), result.revision);
            self.answered.insert(result.revision, (write, result.counts.unwrap()));
        }
        if whole {
            self.check_state(clients).await;
        }
    }

    /// Compares the state that the server answers from with the state after all commits.
    async fn check_state(&mut self, clients: &Clients) {
        for commit in clients.commits(self.commits.len() as u64, Vec::new()).await {
            self.copy.apply_commit(&commit);
            self.commits.push(commit);
        }
        let state = read_state(clients, self.commits.len() as u64, &[]).await;
        state.assert_same(&self.copy, "after a start");
        let status = clients.status().await;
        let figures = state.rows().values().filter(|row| matches!(row, state_row::Item::Figure(_))).count();
        assert_eq!(status.current_figures, figures as u64);
        assert!(status.accepts_writes);
    }
}

/// The commit has everything that was sent.
fn assert_whole(write: &PlannedWrite, commit: &WholeCommit) {
    let revision = commit.commit.revision;
    let counts = commit.commit.counts.as_ref().unwrap();
    if let Some(size) = size(write) {
        assert_eq!(total(counts), size, "revision {revision} has all that was sent");
    }
    let changes = commit.changes.len() as u64;
    match write {
        PlannedWrite::Ingest(..) | PlannedWrite::Define(..) => {
            assert_eq!(
                changes,
                total(counts) - counts.unchanged - counts.definitions_unchanged,
                "revision {revision} is there to its last page"
            );
        }
        PlannedWrite::Publish(_, entries) => {
            assert_eq!(counts.added + counts.revised + counts.unchanged, entries.len() as u64);
        }
        PlannedWrite::Withdraw(..) => assert_eq!(changes, counts.withdrawn + 1),
    }
}

/// Writes until the server is gone; returns the answered writes, and the one that was not answered.
async fn write_on(
    clients: Clients,
    mut author: Author,
    figures_only: bool,
) -> (Author, Vec<(PlannedWrite, WriteResult)>, PlannedWrite) {
    let mut answered = Vec::new();
    loop {
        let write = loop {
            let write = author.next();
            // The second writer makes no editions: two writers would have to agree which are published.
            if !figures_only || matches!(write, PlannedWrite::Ingest(..)) {
                break write;
            }
        };
        match write.send(&clients).await {
            Ok(result) => {
                assert!(!result.replayed);
                answered.push((write, result));
            }
            Err(status) => {
                let gone = matches!(
                    status.code(),
                    tonic::Code::Unavailable | tonic::Code::Unknown | tonic::Code::Internal | tonic::Code::Cancelled
                );
                assert!(gone, "refused while the server lived: {status:?}");
                return (author, answered, write);
            }
        }
    }
}

/// `--keep-revisions` of folders that are compacted.
const KEPT: &str = "300";

/// Starts a server and kills it early, in the middle of recovery.
async fn kill_early(data: &Path, arguments: &[&str], dice: &mut Dice) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_almanac"));
    let child = child.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data).args(arguments);
    let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    tokio::time::sleep(Duration::from_millis(dice.below(60) as u64)).await;
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A folder whose server is killed again and again.
struct KilledFolder {
    data: PathBuf,
    arguments: &'static [&'static str],
    authors: Option<[Author; 2]>,
    store: ExpectedStore,
    /// Commits that a subscriber saw in the round before.
    seen: Vec<WholeCommit>,
    floor: u64,
    lost_answers: usize,
}

impl KilledFolder {
    /// Starts the server, checks the store, writes, and kills the server; `whole`: compares the whole state too.
    async fn round(&mut self, dice: &mut Dice, whole: bool) {
        let process = Process::start_with(&self.data, self.arguments, &[]).unwrap();
        let clients = process.clients().await;
        self.floor = clients.status().await.floor;
        let store = &mut self.store;
        if store.answered.is_empty() {
            let write = PlannedWrite::Define(request("catalog"), open_catalog());
            let result = write.send(&clients).await.unwrap();
            store.answered.insert(result.revision, (write, result.counts.unwrap()));
        }
        self.lost_answers += store.open.len();
        store.check(&clients, whole).await;
        for commit in self.seen.drain(..) {
            let found = &store.commits[commit.commit.revision as usize - 1];
            assert_eq!((&commit.commit, &commit.changes), (&found.commit, &found.changes), "what was seen is there");
        }
        let watch = Watch::open(&clients, now(), Vec::new()).await.unwrap();
        let [steward, clerk] = self.authors.take().unwrap();
        let writing = [
            tokio::spawn(write_on(clients.clone(), steward, false)),
            tokio::spawn(write_on(clients.clone(), clerk, true)),
        ];
        tokio::time::sleep(Duration::from_millis(5 + dice.below(146) as u64)).await;
        process.kill();
        let mut authors = Vec::new();
        for writing in writing {
            let (author, answered, open) = tokio::time::timeout(DEADLINE, writing).await.unwrap().unwrap();
            for (write, result) in answered {
                assert!(store.answered.insert(result.revision, (write, result.counts.unwrap())).is_none());
            }
            store.open.push(open);
            authors.push(author);
        }
        self.authors = authors.try_into().ok();
        self.seen = watch.leave().await.commits();
    }
}

/// Folders of a test, and how often the server of each is killed.
const FOLDERS: (usize, usize) = (1, 14);
/// The same with `ALMANAC_TEST_LONG=1`.
const FOLDERS_LONG: (usize, usize) = (20, 50);

/// Kills the servers of new folders, and checks each folder after every start.
async fn kill_servers(mut dice: Dice, arguments: &'static [&'static str]) {
    let (folders, rounds) = if long() { FOLDERS_LONG } else { FOLDERS };
    let mut commits = 0;
    let mut lost_answers = 0;
    let mut early = 0;
    for number in 0..folders {
        let scratch = tempfile::tempdir().unwrap();
        let mut authors = Vec::new();
        for name in ["steward", "clerk"] {
            dice.next();
            authors.push(Author::new(dice.clone(), name, 4_000));
        }
        let mut folder = KilledFolder {
            data: scratch.path().join("data"),
            arguments,
            authors: authors.try_into().ok(),
            store: ExpectedStore::default(),
            seen: Vec::new(),
            floor: 1,
            lost_answers: 0,
        };
        for round in 0..rounds {
            if dice.once_in(5) {
                kill_early(&folder.data, folder.arguments, &mut dice).await;
                early += 1;
            }
            folder.round(&mut dice, round % 25 == 0 || round + 1 == rounds).await;
        }
        let store = &folder.store;
        commits += store.commits.len();
        lost_answers += folder.lost_answers;
        let rows = store.copy.rows().len();
        println!("folder {number}: {} commits from {}, {rows} rows", store.commits.len(), folder.floor);
        assert!(folder.floor == 1 || !folder.arguments.is_empty());
        let mut verify = Command::new(env!("CARGO_BIN_EXE_almanac"));
        let verified = verify.args(["verify", "--data"]).arg(&folder.data).output().unwrap();
        assert!(verified.status.success(), "{verified:?}");
    }
    println!("{commits} commits, {lost_answers} answers lost, {early} starts killed early");
    assert!(commits > folders * rounds, "the server worked before it was killed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_it_keeps_every_answered_write_and_no_part_of_others() {
    kill_servers(Dice::new("killed"), &[]).await;
}

/// It keeps more commits than one round makes, so that the rounds find all of their commits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_compacts_it_keeps_every_answered_write_and_no_part_of_others() {
    kill_servers(Dice::new("killed while it compacts"), &["--keep-revisions", KEPT]).await;
}

/// Starts a server that must refuse to start; returns its standard error.
fn refused(data: &Path) -> String {
    match Process::start(data, &[]) {
        Ok(_) => panic!("it serves"),
        Err(stderr) => stderr,
    }
}

#[tokio::test]
async fn a_second_process_on_a_folder_is_refused_and_the_first_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let first = Process::start(&data, &[]).unwrap();
    let stderr = refused(&data);
    assert!(stderr.contains("in use by another almanac process") && stderr.contains("data"), "{stderr}");
    let clients = first.clients().await;
    clients.define(WriteOptions::default(), catalog()).await.unwrap();
}

#[tokio::test]
async fn a_folder_of_a_newer_version_or_of_something_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let process = Process::start(&data, &[]).unwrap();
    process.stop();
    let format = data.join("FORMAT");
    std::fs::write(&format, "almanac 999\n").unwrap();
    let stderr = refused(&data);
    assert!(stderr.contains("999") && stderr.contains("version that wrote it"), "{stderr}");
    assert_eq!(std::fs::read_to_string(&format).unwrap(), "almanac 999\n");

    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("thesis.txt"), "years of work").unwrap();
    let stderr = refused(&other);
    assert!(stderr.contains("not an almanac folder"), "{stderr}");
    assert_eq!(std::fs::read_dir(&other).unwrap().count(), 1, "nothing was added");
}

#[tokio::test]
async fn it_refuses_a_public_address_without_the_option() {
    let folder = tempfile::tempdir().unwrap();
    let mut exposed = Command::new(env!("CARGO_BIN_EXE_almanac"));
    exposed.args(["serve", "--listen", "0.0.0.0:0", "--data"]).arg(folder.path().join("data"));
    let output = exposed.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("--expose-without-protection"), "{stderr}");
}

#[tokio::test]
async fn sigterm_ends_politely_with_a_goodbye_and_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let process = Process::start(&data, &[]).unwrap();
    let clients = process.clients().await;
    clients.define(WriteOptions::default(), catalog()).await.unwrap();
    let mut watch = Watch::open(&clients, state(), Vec::new()).await.unwrap();
    watch.until_covers(1).await;
    // A silent connection must not delay the stop.
    let silent = std::net::TcpStream::connect(process.address).unwrap();
    let asked = Instant::now();
    let stopping = tokio::task::spawn_blocking(move || process.stop());
    let recording = watch.ended().await.unwrap();
    let goodbye = recording.goodbye().expect("a goodbye comes last").clone();
    assert_eq!(goodbye.reason(), GoodbyeReason::Shutdown);
    stopping.await.unwrap();
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    drop(silent);

    let process = Process::start(&data, &[]).unwrap();
    let clients = process.clients().await;
    clients.ingest(released("2024-01-01"), one_figure("1")).await.unwrap();
    let mut watch = Watch::open(&clients, token(&goodbye.resume_token), Vec::new()).await.unwrap();
    watch.until_covers(2).await;
    assert_eq!(watch.leave().await.commits().len(), 1);
    let twice = clients.publish(edition("2022"), Vec::new()).await;
    assert_refused(twice, tonic::Code::InvalidArgument, "FINDINGS");
}
