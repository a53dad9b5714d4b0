//! Writes of several clients at one time, in the real binary, which crashes or whose disk fails in the middle: what is there
//! afterwards is a beginning of what was sent, and has everything that was answered.

use std::{collections::BTreeMap, path::Path};

use almanac::{proto::*, store::faults::CrashPoint};
use tonic::{Code, Status};

use crate::support::{
    Clients,
    fixture::*,
    long,
    process::{Process, copy_folder},
};

const WRITERS: usize = 12;
/// Figures of a series that are written before, so that the writer is busy when the others come.
const MONTHS: usize = 600;

/// A folder with the catalog in revision 1.
async fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path(), &[]).unwrap();
    server.clients().await.define(WriteOptions::default(), catalog()).await.unwrap();
    server.stop();
    folder
}

/// The write of one of the clients.
fn upload(writer: usize) -> (IngestHeader, Vec<SeriesBatch>) {
    let options = Some(request(&format!("writer-{writer}")));
    let header = IngestHeader { options, ..released("2024-01-01") };
    let months = if writer == 0 { MONTHS } else { 1 };
    let points = (0..months).map(|month| {
        let period = format!("{:04}-{:02}", 1900 + month / 12, month % 12 + 1);
        point(&period, &format!("{writer}.{month}"))
    });
    let points = points.collect();
    let entity = ECONOMIES[writer % ECONOMIES.len()].into();
    let batch = SeriesBatch { indicator: RD.into(), entity, source: "bank".into(), dimensions: Vec::new(), points };
    (header, vec![batch])
}

/// All clients write at one time. The answers, by writer.
async fn write_together(clients: &Clients) -> Vec<Result<WriteResult, Status>> {
    let writing = (0..WRITERS).map(|writer| {
        let (header, batches) = upload(writer);
        clients.ingest(header, batches)
    });
    futures_util::future::join_all(writing).await
}

/// The writer of each commit that is there, by revision.
async fn commits(clients: &Clients) -> BTreeMap<u64, String> {
    let commits = clients.commits(1, Vec::new()).await;
    commits.into_iter().map(|commit| (commit.commit.revision, commit.commit.request_id)).collect()
}

/// After a start: commits are dense, every answered one is there, and a retry commits a write once.
async fn recovers(data: &Path, answers: &[Result<WriteResult, Status>], what: &str) {
    let server = Process::start(data, &[]).unwrap();
    let clients = server.clients().await;
    let found = commits(&clients).await;
    let head = clients.head().await;
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), (2..=head).collect::<Vec<_>>(), "{what}: dense");
    for (writer, answer) in answers.iter().enumerate() {
        let Ok(answer) = answer else { continue };
        let made_by = found.get(&answer.revision);
        assert_eq!(made_by, Some(&format!("writer-{writer}")), "{what}: answered, and lost");
    }
    for (writer, answer) in write_together(&clients).await.into_iter().enumerate() {
        let answer = answer.unwrap();
        let made = found.iter().find(|(_, by)| **by == format!("writer-{writer}"));
        assert_eq!(answer.replayed, made.is_some(), "{what}: {answer:?}");
        assert!(made.is_none_or(|(revision, _)| *revision == answer.revision), "{what}: {answer:?}");
    }
    assert_eq!(clients.head().await, 1 + WRITERS as u64);
    server.stop();
    let mut verify = std::process::Command::new(env!("CARGO_BIN_EXE_almanac"));
    let verified = verify.args(["verify", "--data"]).arg(data).output().unwrap();
    assert!(verified.status.success(), "{what}: {verified:?}");
}

#[tokio::test]
async fn a_crash_while_several_write_leaves_its_first_commits_and_all_that_was_answered() {
    let base = folder().await;
    // Where a wrong order shows: before the seal, before the sync, and after each step that tells somebody.
    let some = [CrashPoint::AppliedUnmarked, CrashPoint::SealWritten, CrashPoint::Sealed, CrashPoint::Applied];
    for point in CrashPoint::SHORT_COMMIT.into_iter().filter(|point| long() || some.contains(point)) {
        for times in if long() { vec![1, 2, 3, 5, 8] } else { vec![3] } {
            let copy = tempfile::tempdir().unwrap();
            copy_folder(base.path(), copy.path());
            let crash_at = format!("{}:{times}", point.name());
            let server = Process::start(copy.path(), &[("ALMANAC_CRASH_AT", &crash_at)]).unwrap();
            let answers = write_together(&server.clients().await).await;
            // A sync is shared by so many that there may be less than five.
            if point == CrashPoint::Sealed && answers.iter().all(Result::is_ok) {
                server.kill();
            } else {
                assert!(answers.iter().any(Result::is_err), "{crash_at}");
                assert!(!server.ended().success());
            }
            recovers(copy.path(), &answers, &crash_at).await;
        }
    }
}

#[tokio::test]
async fn when_a_sync_fails_all_writes_that_wait_are_refused_and_none_is_seen() {
    let base = folder().await;
    // The first flush belongs to the opening of the folder.
    let more = if long() { &["sync:3", "write", "write:6"][..] } else { &[] };
    for fault in ["sync:2", "write:2"].iter().chain(more).copied() {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(base.path(), copy.path());
        let server = Process::start(copy.path(), &[("ALMANAC_FAIL_AT", fault)]).unwrap();
        let clients = server.clients().await;
        let answers = write_together(&clients).await;
        let answered: Vec<u64> = answers.iter().flatten().map(|answer| answer.revision).collect();
        for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            assert_eq!(refused.code(), Code::Unavailable, "{fault}: {refused:?}");
        }
        // All writes may share the first sync, and then there is no second one.
        assert!(answered.len() < WRITERS || fault == "sync:3", "{fault}: nothing failed");
        assert_eq!(clients.head().await, 1 + answered.len() as u64, "{fault}: what is seen is what was answered");
        assert_eq!(commits(&clients).await.len(), answered.len(), "{fault}");
        server.kill();
        recovers(copy.path(), &answers, fault).await;
    }
}
