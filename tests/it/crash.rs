//! The real binary, killed at any moment: what was answered is there, whole; nothing else is there in part.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use almanac::proto::{change::Detail, subscribe_request::Start, subscribe_response::Body as Message, *};

use crate::support::{
    Clients, DEADLINE, Dice, WholeCommit, assert_refused,
    author::{Author, PlannedWrite},
    fixture::*,
    long,
    process::Process,
    watch::Watch,
};

/// What was sent, and what was answered before the server died.
#[derive(Default)]
struct Book {
    /// By revision: the act and its counts.
    answered: BTreeMap<u64, (PlannedWrite, ChangeCounts)>,
    /// Sent, and cut off before an answer.
    open: Vec<PlannedWrite>,
    /// Commits that were found whole after a start.
    found: Vec<WholeCommit>,
    /// Figures and entries as those commits leave them.
    figures: BTreeMap<String, Observation>,
    entries: BTreeMap<String, Entry>,
}

/// How much an act says: figures, entries or definitions.
fn size(act: &PlannedWrite) -> Option<u64> {
    match act {
        PlannedWrite::Define(_, definitions) => Some(definitions.len() as u64),
        PlannedWrite::Ingest(header, batches) if header.mode() != IngestMode::Replace => {
            Some(batches.iter().map(|batch| batch.points.len() as u64).sum())
        }
        // What a whole release or a correction lacks counts too.
        PlannedWrite::Ingest(..) | PlannedWrite::Publish(..) | PlannedWrite::Withdraw(..) => None,
    }
}

fn total(counts: &ChangeCounts) -> u64 {
    let rows = counts.added + counts.revised + counts.unchanged + counts.withdrawn + counts.backfilled;
    rows + counts.definitions_added + counts.definitions_revised + counts.definitions_unchanged
}

impl Book {
    /// Checks a store that was started again, and does what was cut off once more.
    async fn check(&mut self, clients: &Clients, whole: bool) {
        let known = self.found.len() as u64;
        let new = clients.commits(known, Vec::new()).await;
        let head = clients.head().await;
        assert_eq!(known + new.len() as u64, head, "revisions are dense");
        let last = self.answered.last_key_value().map_or(0, |(revision, _)| *revision);
        assert!(head >= last, "head is {head}, {last} was answered");
        for commit in &new {
            let revision = commit.commit.revision;
            let counts = commit.commit.counts.as_ref().unwrap();
            let act = match self.answered.get(&revision) {
                Some((act, answered)) => {
                    assert_eq!(counts, answered, "revision {revision} as it was answered");
                    act
                }
                // Made, but its answer was lost. Only what was sent may be there.
                None => {
                    let sent = self.open.iter().find(|act| act.request_id() == commit.commit.request_id);
                    sent.unwrap_or_else(|| panic!("revision {revision} was never asked for"))
                }
            };
            assert_eq!(act.request_id(), commit.commit.request_id);
            assert_whole(act, commit);
            self.apply(commit);
        }
        self.found.extend(new);
        // A retry gets the first answer if there was one to get, or does it now.
        for act in std::mem::take(&mut self.open) {
            let result = act.send(clients).await.unwrap();
            let made = self.found.iter().find(|commit| commit.commit.request_id == act.request_id());
            assert_eq!(result.replayed, made.is_some());
            assert_eq!(made.map_or(result.revision, |commit| commit.commit.revision), result.revision);
            self.answered.insert(result.revision, (act, result.counts.unwrap()));
        }
        if whole {
            self.check_state(clients).await;
        }
    }

    fn apply(&mut self, commit: &WholeCommit) {
        for change in &commit.changes {
            match change.detail.as_ref().unwrap() {
                Detail::Value(change) => {
                    let key = figure_key(
                        change.after.as_ref().or(change.recorded_version.as_ref()).or(change.before.as_ref()).unwrap(),
                    );
                    assert_eq!(self.figures.get(&key), change.before.as_ref(), "{key}");
                    match &change.after {
                        Some(figure) => self.figures.insert(key, figure.clone()),
                        None => self.figures.remove(&key),
                    };
                }
                Detail::Entry(change) => {
                    let key = format!("{} {}", change.edition, change.entity);
                    assert_eq!(self.entries.get(&key), change.before.as_ref(), "{key}");
                    match &change.after {
                        Some(entry) => self.entries.insert(key, entry.clone()),
                        None => self.entries.remove(&key),
                    };
                }
                Detail::Edition(_) | Detail::Definition(_) => {}
            }
        }
    }

    /// The state that queries are answered from is what the commits say, all of it.
    async fn check_state(&mut self, clients: &Clients) {
        let known = self.found.len() as u64;
        for commit in clients.commits(known, Vec::new()).await {
            self.apply(&commit);
            self.found.push(commit);
        }
        let head = self.found.len() as u64;
        let mut watch = Watch::open(clients, Start::State(StartState {}), Vec::new()).await.unwrap();
        watch.until_covers(head).await;
        let (mut figures, mut entries) = (BTreeMap::new(), BTreeMap::new());
        for message in watch.leave().await.messages {
            let Message::SnapshotPage(page) = message else { continue };
            for row in page.rows {
                match row.item.unwrap() {
                    state_row::Item::Figure(row) => {
                        figures.insert(figure_key(&row), row);
                    }
                    state_row::Item::Entry(row) => {
                        let entry = row.entry.unwrap();
                        entries.insert(format!("{} {}", row.edition, entry.entity), entry);
                    }
                    state_row::Item::Edition(_) | state_row::Item::Definition(_) => {}
                }
            }
        }
        assert_eq!(entries, self.entries);
        assert!(figures == self.figures, "{} figures held, {} by the commits", figures.len(), self.figures.len());
        let status = clients.status().await;
        assert_eq!(status.current_figures, figures.len() as u64);
        assert!(status.accepts_writes);
    }
}

fn figure_key(figure: &Observation) -> String {
    let Observation { indicator, entity, source, dimensions, period, .. } = figure;
    format!("{indicator} {entity} {source} {dimensions:?} {period}")
}

/// All that was sent is in the commit, or none of it would be.
fn assert_whole(act: &PlannedWrite, commit: &WholeCommit) {
    let revision = commit.commit.revision;
    let counts = commit.commit.counts.as_ref().unwrap();
    if let Some(size) = size(act) {
        assert_eq!(total(counts), size, "revision {revision} holds all that was sent");
    }
    let changes = commit.changes.len() as u64;
    match act {
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

/// Writes until the server is gone; what was answered, and the one act that was not.
async fn write_on(
    clients: Clients,
    mut author: Author,
    figures_only: bool,
) -> (Author, Vec<(PlannedWrite, WriteResult)>, PlannedWrite) {
    let mut answered = Vec::new();
    loop {
        let act = loop {
            let act = author.next();
            // The second writer makes no editions: two would have to agree which of them stand.
            if !figures_only || matches!(act, PlannedWrite::Ingest(..)) {
                break act;
            }
        };
        match act.send(&clients).await {
            Ok(result) => {
                assert!(!result.replayed);
                answered.push((act, result));
            }
            Err(status) => {
                let gone = matches!(
                    status.code(),
                    tonic::Code::Unavailable | tonic::Code::Unknown | tonic::Code::Internal | tonic::Code::Cancelled
                );
                assert!(gone, "refused while the server lived: {status:?}");
                return (author, answered, act);
            }
        }
    }
}

/// Commits that keep their pages in folders that are compacted.
const KEPT: &str = "300";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_it_keeps_what_was_answered_and_nothing_in_part() {
    let mut dice = Dice::new("killed");
    let (rounds, per_folder) = if long() { (2_000, 50) } else { (200, 50) };
    let (mut commits, mut lost_answers, mut early) = (0, 0, 0);
    for folder in 0..rounds / per_folder {
        let data = tempfile::tempdir().unwrap();
        let data = data.path().join("data");
        // Every second folder is compacted while it is written. More commits are kept than are made in one round.
        let arguments = if folder % 2 == 1 { &["--keep-revisions", KEPT][..] } else { &[] };
        let mut book = Book::default();
        let mut authors = {
            let mut author = |name| {
                Author::new(
                    {
                        dice.next();
                        dice.clone()
                    },
                    name,
                    4_000,
                )
            };
            [author("steward"), author("clerk")]
        };
        let mut seen: Vec<WholeCommit> = Vec::new();
        let mut floor = 1;
        for round in 0..per_folder {
            if dice.once_in(5) {
                // A start may be cut off too, in the middle of recovery.
                let mut child = Command::new(env!("CARGO_BIN_EXE_almanac"));
                let child = child.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&data).args(arguments);
                let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
                tokio::time::sleep(Duration::from_millis(dice.below(60) as u64)).await;
                child.kill().unwrap();
                child.wait().unwrap();
                early += 1;
            }
            let process = Process::start_with(&data, arguments, &[]).unwrap();
            let clients = process.clients().await;
            floor = clients.status().await.floor;
            if round == 0 {
                let act = PlannedWrite::Define(request("catalog"), open_catalog());
                let result = act.send(&clients).await.unwrap();
                book.answered.insert(result.revision, (act, result.counts.unwrap()));
            }
            lost_answers += book.open.len();
            book.check(&clients, round % 25 == 0 || round + 1 == per_folder).await;
            // Nothing was ever seen that is not in the store now.
            for commit in seen.drain(..) {
                let found = &book.found[commit.commit.revision as usize - 1];
                assert_eq!((&commit.commit, &commit.changes), (&found.commit, &found.changes));
            }
            let watch = Watch::open(&clients, Start::Now(StartNow {}), Vec::new()).await.unwrap();
            let [steward, clerk] = authors;
            let writing = [
                tokio::spawn(write_on(clients.clone(), steward, false)),
                tokio::spawn(write_on(clients.clone(), clerk, true)),
            ];
            tokio::time::sleep(Duration::from_millis(5 + dice.below(146) as u64)).await;
            process.kill();
            let mut done = Vec::new();
            for writing in writing {
                let (author, answered, open) = tokio::time::timeout(DEADLINE, writing).await.unwrap().unwrap();
                for (act, result) in answered {
                    assert!(book.answered.insert(result.revision, (act, result.counts.unwrap())).is_none());
                }
                book.open.push(open);
                done.push(author);
            }
            authors = done.try_into().unwrap();
            seen = watch.leave().await.commits();
        }
        commits += book.found.len();
        println!("folder {folder}: {} commits from {floor}, {} figures", book.found.len(), book.figures.len());
        assert!(floor == 1 || !arguments.is_empty());
        let mut verify = Command::new(env!("CARGO_BIN_EXE_almanac"));
        let verified = verify.args(["verify", "--data"]).arg(&data).output().unwrap();
        assert!(verified.status.success(), "{verified:?}");
    }
    println!("{commits} commits, {lost_answers} answers lost, {early} starts cut off");
    assert!(commits > rounds, "the server was killed while it worked");
}

/// Starts it where it cannot serve; what it said.
fn refused(data: &Path) -> String {
    match Process::start(data, &[]) {
        Ok(_) => panic!("it serves"),
        Err(said) => said,
    }
}

#[tokio::test]
async fn a_second_process_on_the_folder_is_told_so_and_the_first_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let first = Process::start(&data, &[]).unwrap();
    let said = refused(&data);
    assert!(said.contains("in use by another almanac process") && said.contains("data"), "{said}");
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
    let said = refused(&data);
    assert!(said.contains("999") && said.contains("version that wrote it"), "{said}");
    assert_eq!(std::fs::read_to_string(&format).unwrap(), "almanac 999\n");

    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("thesis.txt"), "years of work").unwrap();
    let said = refused(&other);
    assert!(said.contains("not an almanac folder"), "{said}");
    assert_eq!(std::fs::read_dir(&other).unwrap().count(), 1, "nothing was added");
}

#[tokio::test]
async fn it_does_not_open_itself_to_the_world_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let mut exposed = Command::new(env!("CARGO_BIN_EXE_almanac"));
    exposed.args(["serve", "--listen", "0.0.0.0:0", "--data"]).arg(folder.path().join("data"));
    let output = exposed.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("--expose-without-protection"), "{said}");
}

#[tokio::test]
async fn sigterm_ends_politely_with_a_goodbye_and_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let process = Process::start(&data, &[]).unwrap();
    let clients = process.clients().await;
    clients.define(WriteOptions::default(), catalog()).await.unwrap();
    let mut watch = Watch::open(&clients, Start::State(StartState {}), Vec::new()).await.unwrap();
    watch.until_covers(1).await;
    // A connection that says nothing must not hold it up.
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
    clients.ingest(released("2024-01-01"), vec![batch(RD, "CHN", "bank", &[("2020", "1")])]).await.unwrap();
    let mut watch = Watch::open(&clients, Start::ResumeToken(goodbye.resume_token), Vec::new()).await.unwrap();
    watch.until_covers(2).await;
    assert_eq!(watch.leave().await.commits().len(), 1);
    let twice = clients.publish(edition("2022"), Vec::new()).await;
    assert_refused(twice, tonic::Code::InvalidArgument, "FINDINGS");
}
