//! Backups made while writes go on, and folders made from them; files that were cut or changed are refused.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use almanac::proto::*;
use tonic::Code;

use crate::support::{Clients, fixture::*, process::Process};

fn almanac(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_almanac")).args(arguments).output().unwrap()
}

fn backup(server: &Process, file: &Path, more: &[&str]) -> Output {
    let url = format!("http://{}", server.address);
    almanac(&[&["--server", &url, "backup", file.to_str().unwrap()], more].concat())
}

fn restore(file: &Path, data: &Path) -> Output {
    almanac(&["restore", file.to_str().unwrap(), "--data", data.to_str().unwrap()])
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn figures(version: usize) -> Vec<SeriesBatch> {
    let points: Vec<(String, String)> =
        (1900..2024).map(|year| (year.to_string(), format!("{version}.{year}"))).collect();
    let points: Vec<(&str, &str)> = points.iter().map(|(year, value)| (&year[..], &value[..])).collect();
    ECONOMIES.iter().map(|economy| batch(RD, economy, "bank", &points)).collect()
}

async fn ingest(clients: &Clients, version: usize) -> WriteResult {
    let header = released(&format!("19{:02}-01-01", version % 100));
    let header = IngestHeader { options: Some(request(&format!("version-{version}"))), ..header };
    clients.ingest(header, figures(version)).await.unwrap()
}

async fn answers(clients: &Clients, revision: u64) -> String {
    let as_of = Some(AsOf { at: Some(as_of::At::Revision(revision)) });
    format!("{:?}", clients.observations(select(&[RD]), as_of).await)
}

/// Restores a backup to a folder, verifies the folder, and starts a server on it.
fn start_restored(file: &Path, data: &Path) -> Process {
    let done = restore(file, data);
    assert!(done.status.success(), "{}", text(&done));
    assert!(!restore(file, data).status.success(), "a folder with data must not be replaced");
    let verified = almanac(&["verify", "--data", data.to_str().unwrap()]);
    assert!(verified.status.success(), "{}", text(&verified));
    Process::start(data, &[]).unwrap()
}

#[tokio::test]
async fn a_backup_made_while_writes_go_on_restores_to_what_was_known() {
    let scratch = tempfile::tempdir().unwrap();
    let server = Process::start(&scratch.path().join("data"), &[]).unwrap();
    let clients = server.clients().await;
    clients.define(WriteOptions::default(), catalog()).await.unwrap();
    ingest(&clients, 1).await;
    clients.publish(partial(edition("2024")), entries(&[1, 2, 3])).await.unwrap();
    let history = clients.status().await.history_id;

    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let writing = tokio::spawn({
        let clients = clients.clone();
        async move {
            let mut stopped = stopped;
            let mut version = 2;
            while stopped.try_recv().is_err() {
                ingest(&clients, version).await;
                version += 1;
            }
        }
    });
    let file = scratch.path().join("all.almanac");
    let old = scratch.path().join("old.almanac");
    let made = backup(&server, &file, &[]);
    assert!(made.status.success(), "{}", text(&made));
    assert!(backup(&server, &old, &["--revision", "2"]).status.success());
    assert!(!backup(&server, &file, &[]).status.success(), "a file that is there must not be replaced");
    let above = backup(&server, &scratch.path().join("no"), &["--revision", "100000"]);
    assert!(!above.status.success() && !scratch.path().join("no").exists(), "{}", text(&above));
    stop.send(()).unwrap();
    writing.await.unwrap();

    for (file, name) in [(&file, "restored"), (&old, "restored-old")] {
        let copy = start_restored(file, &scratch.path().join(name));
        let restored = copy.clients().await;
        let status = restored.status().await;
        assert_ne!(status.history_id, history, "a restored folder is a new history");
        assert_eq!(status.head == 2, name == "restored-old");
        for revision in 1..=status.head {
            assert_eq!(answers(&restored, revision).await, answers(&clients, revision).await);
        }
        // A retry gets the first answer, and a new write gets the next revision.
        let again = ingest(&restored, 1).await;
        assert!(again.replayed && again.revision == 2);
        assert_eq!(ingest(&restored, 99).await.revision, status.head + 1);
        if name == "restored" {
            assert_eq!(
                restored.entries(RANKING, "2024", None).await.unwrap(),
                clients.entries(RANKING, "2024", None).await.unwrap()
            );
        }
        copy.stop();
    }
    server.stop();
}

#[tokio::test]
async fn a_backup_that_was_cut_or_changed_is_refused_and_leaves_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let server = Process::start(&scratch.path().join("data"), &[]).unwrap();
    let clients = server.clients().await;
    clients.define(WriteOptions::default(), catalog()).await.unwrap();
    ingest(&clients, 1).await;
    let file = scratch.path().join("good");
    assert!(backup(&server, &file, &[]).status.success());
    let good = fs::read(&file).unwrap();
    let bad = scratch.path().join("bad");
    let data = scratch.path().join("restored");
    let mut cases: Vec<(String, Vec<u8>)> = Vec::new();
    for at in (0..good.len()).step_by(good.len() / 40 + 1) {
        let mut flipped = good.clone();
        flipped[at] ^= 1 << (at % 8);
        cases.push((format!("bit of byte {at} flipped"), flipped));
        cases.push((format!("cut at {at}"), good[..at].to_vec()));
    }
    cases.push(("more after its end".into(), [&good[..], b"x"].concat()));
    cases.push(("twice".into(), [&good[..], &good[..]].concat()));
    for (what, bytes) in cases {
        fs::write(&bad, bytes).unwrap();
        let refused = restore(&bad, &data);
        assert_eq!(refused.status.code(), Some(1), "{what}: {}", text(&refused));
        assert!(!text(&refused).contains("panicked"), "{what}: {}", text(&refused));
        assert!(!data.exists(), "{what}: something was left behind");
    }
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 3, "data, good and bad");
    assert!(restore(&file, &data).status.success());

    let mut admin = clients.admin.clone();
    let above = admin.backup(BackupRequest { revision: Some(9) }).await.unwrap_err();
    assert_eq!(above.code(), Code::OutOfRange);
    server.stop();
}
