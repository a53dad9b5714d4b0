//! Power cuts at every named step of a commit, and failing disks: a commit is there whole or not at all, and no client sees
//! a commit that may be lost.

use std::{cell::Cell, path::Path};

use almanac::{
    proto::{subscribe_request::Start, subscribe_response::Body as Message, *},
    store::faults::CrashPoint,
};
use tempfile::TempDir;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::support::{
    Clients, DEADLINE,
    fixture::*,
    long,
    process::{Process, copy_folder},
    watch::{Watch, covered, outline},
};

/// Months of a series: enough for many pages before the seal of a commit.
const LONG: usize = 2_400;
const SHORT: usize = 3;

/// Figures of every economy and two indicators; each `version` has other values.
fn upload(months: usize, version: usize) -> Vec<SeriesBatch> {
    let mut batches = Vec::new();
    for (of, indicator) in [RD, PATENTS].into_iter().enumerate() {
        for (at, economy) in ECONOMIES.into_iter().enumerate() {
            let points = (0..months).map(|month| {
                let digits = (month * 7_919 + at * 104_729 + of) * 1_000_003 % 1_000_000_007;
                point(&format!("{:04}-{:02}", 1820 + month / 12, month % 12 + 1), &format!("{version}.{digits:09}"))
            });
            let points = points.collect();
            let indicator = indicator.into();
            let entity = economy.into();
            let source = "bank".into();
            batches.push(SeriesBatch { indicator, entity, source, dimensions: Vec::new(), points });
        }
    }
    batches
}

fn header(version: usize) -> IngestHeader {
    let options = Some(request(&format!("upload-{version}")));
    IngestHeader { options, ..released(&format!("2024-01-{version:02}")) }
}

/// A folder with the catalog in revision 1 and version 1 of the figures in revision 2.
async fn folder(months: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path(), &[]).unwrap();
    let clients = server.clients().await;
    clients.define(WriteOptions::default(), catalog()).await.unwrap();
    assert_eq!(clients.ingest(header(1), upload(months, 1)).await.unwrap().revision, 2);
    drop(clients);
    // Everything is applied and flushed, so that a test counts only the steps of its own commit.
    server.stop();
    folder
}

/// The version of a figure.
fn says(observation: &Observation) -> usize {
    observation.value.as_ref().unwrap().number.unwrap() as usize
}

/// The version of all figures. Panics if they are of different versions.
async fn version_held(clients: &Clients, months: usize) -> usize {
    let found = clients.observations(select(&[RD, PATENTS]), None).await;
    assert_eq!(found.len(), months * ECONOMIES.len() * 2);
    let versions: std::collections::BTreeSet<usize> = found.iter().map(says).collect();
    assert_eq!(versions.len(), 1, "figures of several versions at one time: {versions:?}");
    *versions.first().unwrap()
}

/// After a restart, the commit of a version is there whole or not at all, and a retry commits it or finds it. Returns the head before the retry.
///
/// Version 1 is revision 2, and so on.
async fn recovers(data: &Path, months: usize, version: usize) -> u64 {
    let server = Process::start(data, &[]).unwrap();
    let clients = server.clients().await;
    let head = clients.head().await;
    assert_eq!(version_held(&clients, months).await as u64, head - 1);
    let revision = version as u64 + 1;
    let again = clients.ingest(header(version), upload(months, version)).await.unwrap();
    assert_eq!((again.revision, again.replayed), (revision, head == revision));
    assert_eq!(version_held(&clients, months).await, version);
    assert_eq!(clients.head().await, revision);
    server.kill();
    // Once more, with nothing to recover.
    let server = Process::start(data, &[]).unwrap();
    assert_eq!(server.clients().await.head().await, revision);
    server.kill();
    assert_eq!(std::fs::read_dir(data.join("store/blobs")).map_or(0, Iterator::count), 0);
    head
}

/// Crashes at each of these points. `order`: all steps of the commit.
async fn crash_at_every_step(
    months: usize,
    order: &[CrashPoint],
    points: impl Iterator<Item = (CrashPoint, &'static str)>,
) {
    let base = folder(months).await;
    for (point, times) in points {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(base.path(), copy.path());
        let crash_at = format!("{}{times}", point.name());
        let server = Process::start(copy.path(), &[("ALMANAC_CRASH_AT", &crash_at)]).unwrap();
        let answer = server.clients().await.ingest(header(2), upload(months, 2)).await;
        assert!(answer.is_err(), "{crash_at}: answered {answer:?}");
        assert!(!server.ended().success());
        let head = recovers(copy.path(), months, 2).await;
        let position = |point| order.iter().position(|other| *other == point).unwrap();
        if position(point) < position(CrashPoint::SealWritten) {
            assert_eq!(head, 2, "{crash_at}: it is there before its seal");
        } else if position(point) >= position(CrashPoint::Sealed) {
            assert_eq!(head, 3, "{crash_at}: it was durable and is lost");
        }
    }
}

#[tokio::test]
async fn a_crash_at_any_step_of_a_short_commit_leaves_all_or_nothing() {
    let order = CrashPoint::SHORT_COMMIT;
    crash_at_every_step(SHORT, &order, order.into_iter().map(|point| (point, ""))).await;
}

#[tokio::test]
async fn a_crash_at_any_step_of_a_long_commit_leaves_all_or_nothing() {
    let order = CrashPoint::LONG_COMMIT;
    let later = [(CrashPoint::PageAppended, ":90"), (CrashPoint::PagesWritten, ":2"), (CrashPoint::PageApplied, ":50")];
    let every = order.into_iter().map(|point| (point, "")).chain(later);
    // Where a wrong order shows: around the seal, and in the middle of what is written before and after it.
    let some = [CrashPoint::PagesDurable, CrashPoint::SealWritten, CrashPoint::Sealed, CrashPoint::AppliedUnmarked];
    let points = every.filter(|(point, times)| long() || some.contains(point) || *times == ":2" || *times == ":50");
    crash_at_every_step(LONG, &order, points).await;
}

/// So many new series, which go into the view one by one.
fn new_series(count: usize) -> Vec<SeriesBatch> {
    let dimension = |number: usize| Dimension { id: "PART".into(), value: number.to_string() };
    let batch = |number| SeriesBatch {
        indicator: RD.into(),
        entity: ECONOMIES[0].into(),
        source: "bank".into(),
        dimensions: vec![dimension(number)],
        points: vec![point("2023", &number.to_string()), point("2024", "0.5")],
    };
    (0..count).map(batch).collect()
}

/// Crashes while so many new series are written, and returns how many of their figures are there afterwards, before a retry.
async fn crash_with_new_series(base: &Path, count: usize, crash_at: &str) -> usize {
    let copy = tempfile::tempdir().unwrap();
    copy_folder(base, copy.path());
    let server = Process::start(copy.path(), &[("ALMANAC_CRASH_AT", crash_at)]).unwrap();
    assert!(server.clients().await.ingest(header(2), new_series(count)).await.is_err(), "{crash_at}");
    assert!(!server.ended().success(), "{crash_at} never came");
    let server = Process::start(copy.path(), &[]).unwrap();
    let clients = server.clients().await;
    let before = clients.status().await.current_figures as usize - SHORT * ECONOMIES.len() * 2;
    let retry = clients.ingest(header(2), new_series(count)).await.unwrap();
    assert_eq!(retry.replayed, before > 0, "{crash_at}");
    let found = clients.observations(select(&[RD]), None).await;
    assert_eq!(found.iter().filter(|observation| !observation.dimensions.is_empty()).count(), 2 * count, "{crash_at}");
    server.kill();
    before
}

#[tokio::test]
async fn a_crash_while_new_series_come_into_the_view_leaves_all_of_them_or_none() {
    let base = folder(SHORT).await;
    // A short commit has its seal and its series in one go, which the crash may take back as a whole.
    let every = ["series-put:2", "applied-unmarked", "page-applied:2", "series-put", "applied"];
    for crash_at in &every[..if long() { 5 } else { 2 }] {
        let count = 1_000;
        let found = crash_with_new_series(base.path(), count, crash_at).await;
        let is_durable = *crash_at == "applied";
        assert!(found == 2 * count || (found == 0 && !is_durable), "{crash_at}: {found}");
    }
    // A long one is sealed before.
    let every = ["series-put:2", "page-applied:2", "sealed", "applied-unmarked", "applied"];
    for crash_at in &every[..if long() { 5 } else { 2 }] {
        let count = 6_000;
        assert_eq!(crash_with_new_series(base.path(), count, crash_at).await, 2 * count, "{crash_at}");
    }
}

async fn serving(server: &Process, service: &str) -> bool {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
    let mut health = HealthClient::new(endpoint.connect().await.unwrap());
    let answer = health.check(HealthCheckRequest { service: service.into() }).await.unwrap().into_inner();
    answer.status == ServingStatus::Serving as i32
}

/// After a failure of the disk: writes are refused, health says so, nothing is published, and reads go on.
async fn refuses_writes_and_reads_on(server: &Process, months: usize, failed: usize) {
    let clients = server.clients().await;
    let again = clients.ingest(header(failed), upload(months, failed)).await.unwrap_err();
    assert_eq!(again.code(), Code::Unavailable, "{again:?}");
    assert!(again.message().contains("until a restart"), "{again:?}");
    let small = clients.ingest(header(failed + 1), upload(SHORT, failed + 1)).await.unwrap_err();
    assert_eq!(small.code(), Code::Unavailable, "{small:?}");
    let status = clients.status().await;
    assert!(!status.accepts_writes && !status.refusal.is_empty());
    assert_eq!(clients.head().await, failed as u64, "nothing may be published that may be lost");
    assert_eq!(version_held(&clients, months).await, failed - 1);
    becomes_unwell(server).await;
}

fn progress_count(messages: &[Message]) -> usize {
    messages.iter().filter(|one| matches!(one, Message::Progress(_))).count()
}

fn nothing_new(messages: &[Message]) -> bool {
    let commit = messages.iter().any(|one| matches!(one, Message::CommitPage(_)));
    assert!(!commit, "a commit that is not on disk was seen: {}", outline(messages));
    covered(messages) == 2
}

/// A subscriber gets progress, and nothing of a commit that may be lost.
async fn saw_nothing(watch: &mut Watch) {
    let before = Cell::new(0);
    watch.until("what came so far", |messages| before.replace(progress_count(messages)) < usize::MAX).await;
    watch.until("progress", |messages| progress_count(messages) >= before.get() + 2).await;
    watch.until("no new revision", nothing_new).await;
}

/// Health says that writes are refused and reads are served.
async fn becomes_unwell(server: &Process) {
    let started = std::time::Instant::now();
    while serving(server, "almanac.v1.AdminService").await {
        assert!(started.elapsed() < DEADLINE, "health never stderr so");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(!serving(server, "").await);
    assert!(serving(server, "almanac.v1.StatisticsService").await);
}

#[tokio::test]
async fn after_a_failed_write_or_flush_nothing_is_written_or_published_until_a_restart() {
    // The first flush belongs to the opening of the folder.
    let of_long = if long() { &["sync:2", "sync:3", "write", "write:2"][..] } else { &["sync:3", "write:2"] };
    for (months, faults) in [(SHORT, &["sync:2", "write"][..]), (LONG, of_long)] {
        let base = folder(months).await;
        for fault in faults {
            let copy = tempfile::tempdir().unwrap();
            copy_folder(base.path(), copy.path());
            let server = Process::start(copy.path(), &[("ALMANAC_FAIL_AT", fault)]).unwrap();
            let clients = server.clients().await;
            let mut watch = Watch::open(&clients, Start::Now(StartNow {}), Vec::new()).await.unwrap();
            let failed = clients.ingest(header(2), upload(months, 2)).await.unwrap_err();
            assert_eq!(failed.code(), Code::Unavailable, "{fault}: {failed:?}");
            saw_nothing(&mut watch).await;
            refuses_writes_and_reads_on(&server, months, 2).await;
            server.kill();
            recovers(copy.path(), months, 2).await;
        }
    }
}

#[tokio::test]
async fn a_full_disk_stops_writes_and_what_is_still_read_is_right() {
    let base = folder(LONG).await;
    let database = std::fs::metadata(base.path().join("store/db")).unwrap().len();
    let server = Process::start_with_file_limit(base.path(), database + (1 << 20)).unwrap();
    let clients = server.clients().await;
    let mut version = 2;
    let failed = loop {
        assert!(version < 40, "the disk never got full");
        let answer = tokio::time::timeout(DEADLINE, clients.ingest(header(version), upload(LONG, version))).await;
        match answer.expect("a full disk must not hang a write") {
            Ok(written) => assert_eq!(written.revision, version as u64 + 1),
            Err(failed) => break failed,
        }
        version += 1;
    };
    assert_eq!(failed.code(), Code::Unavailable, "{failed:?}");
    let again = clients.ingest(header(version), upload(LONG, version)).await.unwrap_err();
    assert!(again.message().contains("until a restart"), "{again:?}");
    assert_eq!(clients.head().await, version as u64, "nothing may be published that may be lost");
    becomes_unwell(&server).await;
    // sled cannot read what it would have to rewrite first; everything that it reads is right.
    for indicator in [RD, PATENTS] {
        for economy in ECONOMIES {
            let selection = SeriesSelection { entities: vec![economy.into()], ..select(&[indicator]) };
            let request =
                QueryObservationsRequest { selection: Some(selection), page_size: 10_000, ..Default::default() };
            match clients.statistics.clone().query_observations(request).await {
                Ok(answer) => {
                    // A page of a mebibyte holds most of a series, but not all of it.
                    let answer = answer.into_inner();
                    let found = answer.observations;
                    assert!(found.len() == LONG || !answer.next_page_token.is_empty());
                    assert!(found.iter().all(|observation| says(observation) == version - 1));
                }
                Err(error) => assert!(error.message().contains("disk"), "{error:?}"),
            }
        }
    }
    server.kill();
    recovers(base.path(), LONG, version).await;
}

#[tokio::test]
async fn a_folder_that_cannot_grow_is_called_so_at_start() {
    let base = folder(LONG).await;
    let database = std::fs::metadata(base.path().join("store/db")).unwrap().len();
    let stderr = Process::start_with_file_limit(base.path(), database - (256 << 10)).err().unwrap();
    assert!(stderr.contains("cannot be written"), "{stderr}");
    assert!(!stderr.contains("damaged"), "{stderr}");
}

#[tokio::test]
async fn a_crash_while_recovering_is_recovered_from() {
    let base = folder(LONG).await;
    let mut crashes = vec!["sealed", "page-applied", "page-applied:60", "applied-unmarked"].into_iter();
    let server = Process::start(base.path(), &[("ALMANAC_CRASH_AT", crashes.next().unwrap())]).unwrap();
    server.clients().await.ingest(header(2), upload(LONG, 2)).await.unwrap_err();
    assert!(!server.ended().success());
    for crash in crashes {
        let ended = Process::start(base.path(), &[("ALMANAC_CRASH_AT", crash)]);
        assert!(ended.is_err(), "{crash}: it came up although it was to crash while recovering");
    }
    assert_eq!(recovers(base.path(), LONG, 2).await, 3);
}

#[test]
fn a_fault_that_does_not_exist_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let stderr = Process::start(folder.path(), &[("ALMANAC_CRASH_AT", "nowhere")]).err().unwrap();
    assert!(stderr.contains("ALMANAC_CRASH_AT=nowhere"), "{stderr}");
}
