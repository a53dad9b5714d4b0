//! Compaction drops the pages of old commits: the floor moves, nothing below it is replayed, and every answer stays the same.

use std::{
    path::Path,
    process::{Command, Output},
    time::Instant,
};

use almanac::{
    proto::{feed_service_client::FeedServiceClient, subscribe_request::Start, subscribe_response::Body as Message, *},
    store::{Engine, faults::CrashPoint},
};
use tempfile::TempDir;
use tonic::Code;

use crate::support::{
    Clients, DEADLINE, WholeCommit, assert_refused, at_recorded, at_released, at_revision,
    fixture::*,
    join,
    process::{Process, copy_folder},
    reason,
    subscriptions::range,
    watch::Watch,
};

/// Commits of the folder: the catalog, six vintages of figures, an edition and its correction.
const COMMITS: u64 = 9;

fn vintage(version: u64) -> (IngestHeader, Vec<SeriesBatch>) {
    let header = IngestHeader {
        options: Some(request(&format!("vintage-{version}"))),
        ..released(&format!("2024-01-{:02}", version % 28 + 1))
    };
    let value = format!("{version}.5");
    let batches = ECONOMIES.iter().map(|economy| batch(RD, economy, "bank", &[("2020", &value), ("2021", &value)]));
    (header, batches.collect())
}

async fn ingest(clients: &Clients, version: u64) -> WriteResult {
    let (header, batches) = vintage(version);
    clients.ingest(header, batches).await.unwrap()
}

async fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path(), &[]).unwrap();
    let clients = server.clients().await;
    clients.define(WriteOptions::default(), catalog()).await.unwrap();
    for version in 1..=6 {
        ingest(&clients, version).await;
    }
    clients.publish(partial(edition("2024")), entries(&[1, 2, 3])).await.unwrap();
    clients.publish(correction(partial(edition("2024"))), entries(&[2, 1, 3])).await.unwrap();
    assert_eq!(clients.head().await, COMMITS);
    drop(clients);
    server.stop();
    folder
}

/// The answers to questions about the past, as text. `recorded`: when the commits were made.
async fn answers(clients: &Clients, recorded: &[prost_types::Timestamp]) -> Vec<String> {
    let mut all = Vec::new();
    let days = (1..8).map(|day| at_released(&format!("2024-01-0{day}")));
    let asked = (1..=COMMITS).map(at_revision).chain(recorded.iter().copied().map(at_recorded)).chain(days);
    for as_of in asked {
        all.push(format!("{:?}", clients.observations(select(&[RD]), as_of.clone()).await));
        let entries = clients.entries(RANKING, "2024", as_of).await;
        all.push(format!("{:?}", entries.map_err(|status| status.message().to_owned())));
    }
    for at in recorded {
        let at = Some(resolve_revision_request::At::Recorded(*at));
        let found =
            clients.feed.clone().resolve_revision(ResolveRevisionRequest { at, ..Default::default() }).await.unwrap();
        all.push(format!("{:?}", found.into_inner()));
    }
    let versions =
        ListVersionsRequest { indicator: RD.into(), entity: "CHN".into(), period: "2020".into(), ..Default::default() };
    let versions = clients.statistics.clone().list_versions(versions).await.unwrap().into_inner().versions;
    assert_eq!(versions.len(), 6);
    all.push(format!("{versions:?}"));
    all
}

async fn floor(clients: &Clients) -> u64 {
    clients.feed.clone().get_head(GetHeadRequest::default()).await.unwrap().into_inner().floor
}

pub(crate) async fn floor_becomes(clients: &Clients, expected: u64) {
    let started = Instant::now();
    while floor(clients).await != expected {
        assert!(started.elapsed() < DEADLINE, "the floor stayed at {}", floor(clients).await);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// The token of a revision.
async fn token_at(clients: &Clients, revision: u64) -> String {
    let recording = Watch::open(clients, range(1, revision), Vec::new()).await.unwrap().ended().await.unwrap();
    recording.goodbye().unwrap().resume_token.clone()
}

async fn refused(clients: &Clients, start: Start, floor: u64) {
    let result = Watch::open(clients, start, Vec::new()).await.map(|_| ());
    let status = assert_refused(result, Code::OutOfRange, "BELOW_FLOOR");
    assert!(status.message().contains(&format!("below {floor}")), "{}", status.message());
}

fn almanac(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_almanac")).args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[tokio::test]
async fn compaction_moves_the_floor_and_keeps_every_answer() {
    let folder = folder().await;
    let server = Process::start(folder.path(), &[]).unwrap();
    let clients = server.clients().await;
    let whole = clients.commits(0, Vec::new()).await;
    let recorded: Vec<_> = whole.iter().map(|commit| commit.commit.recorded.unwrap()).collect();
    let before = answers(&clients, &recorded).await;
    let token_5 = token_at(&clients, 5).await;
    let token_6 = token_at(&clients, 6).await;
    assert_eq!(floor(&clients).await, 1);
    server.stop();

    let server = Process::start_with(folder.path(), &["--keep-revisions", "3"], &[]).unwrap();
    let clients = server.clients().await;
    floor_becomes(&clients, 7).await;
    assert_eq!(clients.status().await.floor, 7);
    assert_eq!(answers(&clients, &recorded).await, before);
    assert!(ingest(&clients, 1).await.replayed, "a retry is known");

    // The newest start below the floor, and the oldest above it.
    refused(&clients, range(6, 0), 7).await;
    refused(&clients, Start::ResumeToken(token_5.clone()), 7).await;
    refused(&clients, Start::AsKnownAt(at_revision(5).unwrap()), 7).await;
    for start in [range(7, 0), Start::ResumeToken(token_6.clone()), Start::AsKnownAt(at_revision(6).unwrap())] {
        let mut watch = Watch::open(&clients, start, Vec::new()).await.unwrap();
        watch.until_covers(COMMITS).await;
        let recording = watch.leave().await;
        assert_eq!((recording.opened().floor, recording.opened().start_revision), (7, 6));
        let changes: Vec<_> = recording.commits().into_iter().map(|commit| (commit.commit, commit.changes)).collect();
        let expected: Vec<_> = whole[6..].iter().cloned().map(|commit| (commit.commit, commit.changes)).collect();
        assert_eq!(changes, expected);
    }
    let mut state = Watch::open(&clients, Start::State(StartState::default()), Vec::new()).await.unwrap();
    state
        .until("the state", |messages| messages.iter().any(|message| matches!(message, Message::SnapshotEnd(_))))
        .await;
    state.leave().await;
    check_lists(&clients, &whole, token_5, token_6).await;
    backup_is_refused(&clients, &server, folder.path()).await;
    server.stop();

    // Without the option, dropped commits stay dropped, and no other is dropped.
    let server = Process::start(folder.path(), &[]).unwrap();
    let clients = server.clients().await;
    assert_eq!((floor(&clients).await, clients.head().await), (8, 10));
    assert_eq!(ingest(&clients, 8).await.revision, 11);
    assert_eq!(clients.commits(7, Vec::new()).await.len(), 4);
    assert_eq!(answers_before(&clients, &recorded, &before).await, None);
    server.stop();
    verifies(folder.path());
}

/// Lists begin at the floor of 7; `token_5` is the newest token below it.
async fn check_lists(clients: &Clients, whole: &[WholeCommit], token_5: String, token_6: String) {
    for (request, refused) in [
        (ListCommitsRequest { after_revision: 5, ..Default::default() }, true),
        (ListCommitsRequest { resume_token: token_5, ..Default::default() }, true),
        (ListCommitsRequest::default(), true),
        (ListCommitsRequest { after_revision: 6, ..Default::default() }, false),
        (ListCommitsRequest { resume_token: token_6, ..Default::default() }, false),
    ] {
        let answer = clients.feed.clone().list_commits(request).await;
        if refused {
            assert_refused(answer, Code::OutOfRange, "BELOW_FLOOR");
        } else {
            let listed = join(&answer.unwrap().into_inner().commits);
            assert_eq!(listed.len(), 3);
            assert!(listed.iter().zip(&whole[6..]).all(|(listed, whole)| listed.changes == whole.changes));
        }
    }
}

/// After a further commit, a backup says that it cannot be made of a compacted store.
async fn backup_is_refused(clients: &Clients, server: &Process, folder: &Path) {
    assert_eq!(ingest(clients, 7).await.revision, 10);
    floor_becomes(clients, 8).await;
    let url = format!("http://{}", server.address);
    let file = folder.with_extension("backup");
    let backup = almanac(&["--server", &url, "backup", file.to_str().unwrap()]);
    assert!(!backup.status.success() && text(&backup).contains("compacted"), "{}", text(&backup));
    assert!(!file.exists());
    let mut parts = clients.admin.clone().backup(BackupRequest::default()).await.unwrap().into_inner();
    assert_refused(parts.message().await, Code::FailedPrecondition, "COMPACTED");
}

/// The first answer that differs from the one before, where later commits have no effect.
async fn answers_before(clients: &Clients, recorded: &[prost_types::Timestamp], before: &[String]) -> Option<String> {
    for (revision, expected) in (1..=COMMITS).zip(before.iter().step_by(2)) {
        let found = format!("{:?}", clients.observations(select(&[RD]), at_revision(revision)).await);
        if found != *expected {
            return Some(found);
        }
    }
    for at in recorded {
        let at = Some(resolve_revision_request::At::Recorded(*at));
        let found =
            clients.feed.clone().resolve_revision(ResolveRevisionRequest { at, ..Default::default() }).await.unwrap();
        let found = format!("{:?}", found.into_inner());
        if !before.contains(&found) {
            return Some(found);
        }
    }
    None
}

/// `verify` checks what is there, names what it cannot check, and does not pretend to repair.
fn verifies(data: &Path) {
    let folder = data.to_str().unwrap();
    let found = almanac(&["verify", "--data", folder]);
    assert!(found.status.success() && text(&found).contains("begins at revision 8"), "{}", text(&found));
    {
        // A figure of the newest commit is lost from the view.
        let engine = Engine::open(data).unwrap();
        let mut batch = engine.batch();
        for item in engine.scan(b"S", None) {
            batch.remove(&item.unwrap().0).unwrap();
        }
        batch.write().unwrap();
        engine.sync().unwrap();
    }
    for arguments in [&["verify", "--data", folder][..], &["verify", "--repair", "--data", folder]] {
        let found = almanac(arguments);
        assert_eq!(found.status.code(), Some(1), "{}", text(&found));
        assert!(text(&found).contains("not what the ledger says"), "{}", text(&found));
        assert!(text(&found).contains("cannot be rebuilt"), "{}", text(&found));
    }
}

/// Months of a series: a commit of many pages.
const MONTHS: usize = 1_200;

#[tokio::test]
async fn a_subscriber_below_a_new_floor_gets_an_error_and_no_wrong_data() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path(), &[]).unwrap();
    let clients = server.clients().await;
    clients.define(WriteOptions::default(), catalog()).await.unwrap();
    for version in 0..2 {
        let batches = ECONOMIES.iter().map(|economy| {
            let points = (0..MONTHS).map(|month| {
                let period = format!("{:04}-{:02}", 1900 + month / 12, month % 12 + 1);
                point(&period, &format!("{version}.{:09}", month * 1_000_003))
            });
            let indicator = RD.into();
            let entity = (*economy).into();
            let source = "bank".into();
            SeriesBatch { indicator, entity, source, dimensions: Vec::new(), points: points.collect() }
        });
        clients.ingest(released(&format!("2024-01-0{}", version + 1)), batches.collect()).await.unwrap();
    }
    let whole = clients.commits(1, Vec::new()).await;
    server.stop();

    // Nothing is in memory after a restart. A small window: the server cannot send ahead of the reader.
    let server = Process::start_with(folder.path(), &["--keep-revisions", "2"], &[]).unwrap();
    let clients = server.clients().await;
    floor_becomes(&clients, 2).await;
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
    let channel = endpoint.initial_stream_window_size(65_535).connect().await.unwrap();
    let request = SubscribeRequest { start: Some(range(2, 3)), ..Default::default() };
    let mut stream = FeedServiceClient::new(channel).subscribe(request).await.unwrap().into_inner();
    let mut pages = Vec::new();
    while pages.len() < 2 {
        if let Some(Message::CommitPage(page)) = stream.message().await.unwrap().unwrap().body {
            pages.push(page);
        }
    }
    ingest(&clients, 5).await;
    ingest(&clients, 6).await;
    floor_becomes(&clients, 4).await;
    let ended = loop {
        match stream.message().await {
            Ok(Some(answer)) => {
                if let Some(Message::CommitPage(page)) = answer.body {
                    pages.push(page);
                }
            }
            Ok(None) => panic!("the stream ended as if it were whole"),
            Err(status) => break status,
        }
    };
    assert_eq!((ended.code(), reason(&ended).as_str()), (Code::OutOfRange, "BELOW_FLOOR"), "{}", ended.message());
    let given: Vec<&Change> = pages.iter().flat_map(|page| &page.changes).collect();
    let expected: Vec<&Change> = whole.iter().flat_map(|commit| &commit.changes).collect();
    assert!(given.len() < expected.len() && given == expected[..given.len()], "{} changes came", given.len());
    assert!(clients.status().await.accepts_writes);
    server.stop();
}

/// More commits than one batch of removals takes.
const MANY: u64 = 230;

/// Pages below a revision that are still in the folder.
fn left_below(data: &Path, floor: u64) -> usize {
    let engine = Engine::open(data).unwrap();
    engine.scan(b"L", None).filter(|item| item.as_ref().unwrap().0[1..9] < floor.to_be_bytes()[..]).count()
}

#[tokio::test]
async fn a_crash_at_any_step_of_compaction_leaves_a_whole_store_that_is_compacted_later() {
    let base = tempfile::tempdir().unwrap();
    let server = Process::start(base.path(), &[]).unwrap();
    let clients = server.clients().await;
    clients.define(WriteOptions::default(), catalog()).await.unwrap();
    for version in 1..MANY {
        ingest(&clients, version).await;
    }
    let before = clients.observations(select(&[RD]), at_revision(40)).await;
    let tail = clients.commits(MANY - 2, Vec::new()).await;
    server.stop();
    let steps = CrashPoint::COMPACTION.into_iter().map(|point| (point, "")).chain([(CrashPoint::PagesDropped, ":2")]);
    for (point, times) in steps {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(base.path(), copy.path());
        let crash_at = format!("{}{times}", point.name());
        // The removal may come before the server prints that it listens.
        let environment = [("ALMANAC_CRASH_AT", &crash_at[..])];
        if let Ok(server) = Process::start_with(copy.path(), &["--keep-revisions", "2"], &environment) {
            assert!(!server.ended().success(), "{crash_at} never came");
        }
        // A removal that was not flushed may be lost or not; nothing before it may be gone.
        let left = left_below(copy.path(), MANY - 1) as u64;
        assert!(point == CrashPoint::PagesDropped || left == MANY - 2, "{crash_at}: {left} keys are left");

        let server = Process::start(copy.path(), &[]).unwrap();
        let clients = server.clients().await;
        let found = floor(&clients).await;
        let may_be_lost = point == CrashPoint::FloorWritten && found == 1;
        assert!(found == MANY - 1 || may_be_lost, "{crash_at}: the floor is {found}");
        assert_eq!(clients.head().await, MANY);
        assert_eq!(clients.observations(select(&[RD]), at_revision(40)).await, before, "{crash_at}");
        assert_eq!(clients.commits(MANY - 2, Vec::new()).await.len(), tail.len());
        server.stop();

        let started = Instant::now();
        while left_below(copy.path(), MANY - 1) > 0 {
            assert!(started.elapsed() < DEADLINE, "{crash_at}: pages are left");
            let server = Process::start_with(copy.path(), &["--keep-revisions", "2"], &[]).unwrap();
            floor_becomes(&server.clients().await, MANY - 1).await;
            server.stop();
        }
        let found = almanac(&["verify", "--data", copy.path().to_str().unwrap()]);
        assert!(found.status.success(), "{crash_at}: {}", text(&found));
    }
}

#[tokio::test]
async fn a_flush_that_fails_in_compaction_moves_nothing_and_stops_writing() {
    let folder = folder().await;
    let arguments = ["--keep-revisions", "3"];
    let server = Process::start_with(folder.path(), &arguments, &[("ALMANAC_FAIL_AT", "sync:2")]).unwrap();
    let clients = server.clients().await;
    let started = Instant::now();
    while clients.status().await.accepts_writes {
        assert!(started.elapsed() < DEADLINE, "the flush never failed");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let (header, batches) = vintage(9);
    assert_refused(clients.ingest(header, batches).await, Code::Unavailable, "WRITES_STOPPED");
    assert_eq!((floor(&clients).await, clients.commits(0, Vec::new()).await.len() as u64), (1, COMMITS));
    server.kill();
    assert!(left_below(folder.path(), 7) > 0, "nothing may be removed before the floor is durable");
}
