//! Folders of Almanac 0.1: refused with a way out, migrated by the real binary, and then served like those
//! of this version. `tests/data/README.md` describes them.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use almanac::proto::{subscribe_request::Start, *};
use tonic::Code;

use crate::support::{
    Clients, assert_refused,
    oracle::{CommitLog, check},
    process::Process,
    replica::{Replica, read_state},
    subscriptions::state,
    watch::Watch,
};

/// The folders with the number of their commits.
const FOLDERS: [(&str, u64); 2] = [("format-2", 16), ("format-2-editions", 10)];
/// The token of Almanac 0.1 for `format-2-editions` before the first commit.
const OLD_TOKEN: &str = "AXDGJ-DTrSOW4QE_pqEK7IMAAAAAAAAAAAAAAAAAAAAAT1PNoYwrqgyCAWuOx4-GMd2OFC4";

pub(crate) fn unpacked(archive: &str, into: &Path) -> PathBuf {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let file = File::open(data.join(format!("{archive}.tar.gz"))).unwrap();
    tar::Archive::new(flate2::read::GzDecoder::new(file)).unpack(into).unwrap();
    into.join(archive)
}

fn almanac(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_almanac")).args(arguments).output().unwrap()
}

fn migrate(old: &Path, new: &Path) -> Output {
    almanac(&["migrate", old.to_str().unwrap(), new.to_str().unwrap()])
}

fn output_text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[track_caller]
fn done(output: &Output) {
    assert!(output.status.success(), "{}", output_text(output));
}

/// A folder of 0.1, migrated.
fn migrated(archive: &str, into: &Path) -> PathBuf {
    let new = into.join("new");
    done(&migrate(&unpacked(archive, into), &new));
    new
}

fn of_source(source: &str) -> Filter {
    Filter { name: source.into(), sources: vec![source.into()], ..Default::default() }
}

/// Filters that see parts of the folders.
fn filters() -> Vec<Vec<Filter>> {
    let top = Filter { name: "top 2".into(), rank_at_most: 2, ..Default::default() };
    vec![Vec::new(), vec![of_source("press")], vec![of_source("office")], vec![top]]
}

#[test]
fn an_old_folder_is_refused_with_the_way_to_migrate_it() {
    let scratch = tempfile::tempdir().unwrap();
    let old = unpacked("format-2", scratch.path());
    let Err(refused) = Process::start(&old, &[]) else { panic!("an old folder must not be served") };
    let way_out = format!("almanac migrate {} NEW", old.display());
    assert!(refused.contains(&way_out), "{refused}");
    let new = scratch.path().join("new");
    done(&migrate(&old, &new));
    Process::start(&new, &[]).unwrap().stop();
    assert!(Process::start(&old, &[]).is_err(), "the old folder stays what it was");
}

#[test]
fn a_compacted_folder_is_refused_with_a_way_out() {
    let scratch = tempfile::tempdir().unwrap();
    let old = unpacked("format-2-compacted", scratch.path());
    let new = scratch.path().join("new");
    let refused = migrate(&old, &new);
    let text = output_text(&refused);
    assert_eq!(refused.status.code(), Some(1), "{text}");
    assert!(
        text.contains("was compacted") && text.contains("start an empty folder and load your files again"),
        "{text}"
    );
    assert!(!new.exists());
}

/// Every promise of the feed holds for commits of 0.1, with whole rows and strict scopes.
#[tokio::test]
async fn a_copy_kept_from_the_first_commit_on_is_the_state() {
    for (archive, head) in FOLDERS {
        let scratch = tempfile::tempdir().unwrap();
        let server = Process::start(&migrated(archive, scratch.path()), &[]).unwrap();
        let clients = server.clients().await;
        let log = CommitLog::read(&clients).await;
        for filters in filters() {
            let whole = StartRange { first_revision: 1, ..Default::default() };
            for (start, began) in [(Start::Range(whole), 0), (state(), head)] {
                let mut watch = Watch::open(&clients, start, filters.clone()).await.unwrap();
                watch.until_covers(head).await;
                let recording = watch.leave().await;
                check(&clients, &log, &recording, began).await;
            }
        }
        let mut copy = Replica::default();
        for commit in &log.commits {
            copy.apply_commit(commit);
            let revision = commit.commit.revision;
            copy.assert_same(&read_state(&clients, revision, &[]).await, &format!("{archive} at {revision}"));
        }
        server.stop();
    }
}

/// A release is checked by the same command, which must then go through (`.ci/run release`).
#[test]
fn a_build_for_tests_crashes_or_fails_in_a_migration_when_told_to() {
    for (variable, fault) in [("ALMANAC_CRASH_AT", "sealed"), ("ALMANAC_FAIL_AT", "sync")] {
        let scratch = tempfile::tempdir().unwrap();
        let old = unpacked("format-2", scratch.path());
        let mut command = Command::new(env!("CARGO_BIN_EXE_almanac"));
        command.env(variable, fault).arg("migrate").arg(&old).arg(scratch.path().join("new"));
        let output = command.output().unwrap();
        assert!(!output.status.success(), "{variable}: {}", output_text(&output));
    }
}

#[tokio::test]
async fn tokens_of_the_old_version_are_outdated() {
    let scratch = tempfile::tempdir().unwrap();
    let server = Process::start(&migrated("format-2-editions", scratch.path()), &[]).unwrap();
    let clients = server.clients().await;
    let request = ListCommitsRequest { resume_token: OLD_TOKEN.into(), ..Default::default() };
    let refused = clients.feed.clone().list_commits(request).await;
    assert_refused(refused, Code::FailedPrecondition, "TOKEN_OUTDATED");
    let resumed = Watch::open(&clients, Start::ResumeToken(OLD_TOKEN.into()), Vec::new()).await;
    assert_refused(resumed, Code::FailedPrecondition, "TOKEN_OUTDATED");
    server.stop();
}

async fn states(clients: &Clients, head: u64) -> Vec<Replica> {
    let mut states = Vec::new();
    for revision in 1..=head {
        states.push(read_state(clients, revision, &[]).await);
    }
    states
}

#[tokio::test]
async fn a_migrated_folder_can_be_verified_backed_up_restored_and_written_to() {
    for (archive, head) in FOLDERS {
        let scratch = tempfile::tempdir().unwrap();
        let new = migrated(archive, scratch.path());
        done(&almanac(&["verify", "--data", new.to_str().unwrap()]));
        let server = Process::start(&new, &[]).unwrap();
        let clients = server.clients().await;
        let file = scratch.path().join("backup");
        let url = format!("http://{}", server.address);
        done(&almanac(&["--server", &url, "backup", file.to_str().unwrap()]));
        let restored = scratch.path().join("restored");
        done(&almanac(&["restore", file.to_str().unwrap(), "--data", restored.to_str().unwrap()]));
        done(&almanac(&["verify", "--data", restored.to_str().unwrap()]));
        let copy = Process::start(&restored, &[]).unwrap();
        assert!(states(&copy.clients().await, head).await == states(&clients, head).await);
        copy.stop();

        let definitions = clients.catalog.clone().list_sources(ListSourcesRequest::default()).await.unwrap();
        let source = Source { title: "another".into(), ..definitions.into_inner().sources[0].clone() };
        let definition = Definition { item: Some(definition::Item::Source(source)) };
        let written = clients.define(WriteOptions::default(), vec![definition]).await.unwrap();
        assert_eq!(written.revision, head + 1);
        server.stop();
    }
}
