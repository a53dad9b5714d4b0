//! Damaged folders: a clear error or right answers, never a panic or wrong data.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use almanac::proto::*;
use tempfile::TempDir;

use crate::support::{
    Clients, Dice,
    fixture::*,
    long,
    process::{Process, copy_folder},
};

fn verify(data: &Path, repair: bool) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_almanac"));
    command.args(["verify", "--data"]).arg(data);
    if repair {
        command.arg("--repair");
    }
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// A folder with two vintages of figures and a corrected edition.
async fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path(), &[]).unwrap();
    let clients = server.clients().await;
    clients.define(WriteOptions::default(), catalog()).await.unwrap();
    for (day, shift) in [("2024-01-01", 0), ("2024-02-01", 1)] {
        let batches = ECONOMIES.iter().map(|economy| {
            let points: Vec<(String, String)> =
                (1960..2020).map(|year| (year.to_string(), format!("{}.25", year + shift * (year % 2)))).collect();
            let points: Vec<(&str, &str)> = points.iter().map(|(year, value)| (&year[..], &value[..])).collect();
            batch(RD, economy, "bank", &points)
        });
        clients.ingest(released(day), batches.collect()).await.unwrap();
    }
    clients.publish(partial(edition("2024")), entries(&[1, 2, 3])).await.unwrap();
    clients.publish(correction(partial(edition("2024"))), entries(&[2, 1, 3])).await.unwrap();
    drop(clients);
    server.stop();
    folder
}

/// The answers to a client, as text.
async fn answers(clients: &Clients) -> String {
    let mut all = String::new();
    for revision in 2..=clients.head().await {
        all.push_str(&format!("{}\n", answer_at(clients, revision).await.unwrap()));
    }
    all.push_str(&format!("{:?}\n", clients.entries(RANKING, "2024", None).await.unwrap()));
    all
}

#[tokio::test]
async fn a_whole_folder_verifies_and_a_lost_view_is_rebuilt() {
    let base = folder().await;
    let server = Process::start(base.path(), &[]).unwrap();
    let before = answers(&server.clients().await).await;
    let locked = verify(base.path(), false);
    assert!(!locked.status.success() && text(&locked).contains("in use"), "{}", text(&locked));
    server.stop();
    let found = verify(base.path(), false);
    assert!(found.status.success() && text(&found).contains("no damage found"), "{}", text(&found));
    assert!(text(&found).contains("5 commits"), "{}", text(&found));

    // A series loses a block, a name gets another number, an entry changes.
    for prefix in [&b"S"[..], b"D\x02", b"T"] {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(base.path(), copy.path());
        {
            let engine = almanac::store::Engine::open(copy.path()).unwrap();
            let (key, _) = engine.scan(prefix, None).next().unwrap().unwrap();
            let mut batch = engine.batch();
            batch.remove(&key).unwrap();
            batch.write().unwrap();
            engine.sync().unwrap();
        }
        let found = verify(copy.path(), false);
        assert_eq!(found.status.code(), Some(1), "{}", text(&found));
        assert!(text(&found).contains("--repair"), "{}", text(&found));
        let repaired = verify(copy.path(), true);
        assert!(repaired.status.success() && text(&repaired).contains("repaired"), "{}", text(&repaired));
        assert!(verify(copy.path(), false).status.success());
        let server = Process::start(copy.path(), &[]).unwrap();
        assert_eq!(answers(&server.clients().await).await, before);
        server.stop();
    }
}

#[tokio::test]
async fn a_damaged_value_is_found_and_a_damaged_ledger_is_not_repaired() {
    let base = folder().await;
    for (space, ledger) in [(b"S", false), (b"L", true), (b"H", true)] {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(base.path(), copy.path());
        {
            let engine = almanac::store::Engine::open(copy.path()).unwrap();
            let (key, value) = engine.scan(space, None).next().unwrap().unwrap();
            let mut value = value.to_vec();
            let middle = value.len() / 2;
            value[middle] ^= 4;
            let mut batch = engine.batch();
            batch.put(&key, &value).unwrap();
            batch.write().unwrap();
            engine.sync().unwrap();
        }
        let found = verify(copy.path(), true);
        assert_eq!(found.status.success(), !ledger, "{}", text(&found));
        assert!(text(&found).contains("checksum"), "{}", text(&found));
        if ledger {
            assert!(text(&found).contains("restore"), "{}", text(&found));
        }
    }
}

/// Flips a bit, cuts the file, or zeroes a page.
fn damage(database: &mut Vec<u8>, round: usize, random: &mut impl FnMut(usize) -> usize) {
    let used = database.iter().rposition(|byte| *byte != 0).unwrap();
    match round % 4 {
        0 | 1 => database[random(used)] ^= 1 << random(8),
        2 => database.truncate(random(database.len())),
        _ => {
            let at = random(used);
            let end = (at + 4_096).min(database.len());
            database[at..end].fill(0);
        }
    }
}

fn remove_snapshots(store: &Path) {
    for item in fs::read_dir(store).unwrap().flatten() {
        if item.file_name().to_string_lossy().starts_with("snap.") {
            fs::remove_file(item.path()).unwrap();
        }
    }
}

#[tokio::test]
async fn flipped_bits_and_cut_files_give_a_clear_error_or_right_answers() {
    let base = folder().await;
    let server = Process::start(base.path(), &[]).unwrap();
    let right = answers(&server.clients().await).await;
    server.stop();
    let database = fs::read(base.path().join("store/db")).unwrap();
    let mut dice = Dice::new("damage");
    let rounds = if long() { 400 } else { 14 };
    for round in 0..rounds {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(base.path(), copy.path());
        let mut damaged = database.clone();
        damage(&mut damaged, round, &mut |below| dice.below(below));
        fs::write(copy.path().join("store/db"), damaged).unwrap();
        if round % 8 > 3 {
            remove_snapshots(&copy.path().join("store"));
        }
        let checked = verify(copy.path(), false);
        let output = text(&checked);
        if !checked.status.success() {
            assert_eq!(checked.status.code(), Some(1), "round {round}: {output}");
            assert!(output.contains("damage"), "round {round}: {output}");
        }
        match Process::start(copy.path(), &[]) {
            Err(output) => assert!(output.contains("damage"), "round {round}: {output}"),
            Ok(server) => {
                let clients = server.clients().await;
                // An answer is right, or an error. If the end of the log is lost, there are fewer commits.
                let head = clients.head().await;
                for (revision, right) in (2..=head).zip(right.lines()) {
                    match answer_at(&clients, revision).await {
                        Ok(found) => assert_eq!(found, right, "round {round}, revision {revision}; verify: {output}"),
                        Err(error) => {
                            assert!(!checked.status.success(), "round {round}: verify saw nothing of {error:?}");
                        }
                    }
                }
                server.kill();
            }
        }
    }
}

/// The figures as of a revision, as text.
async fn answer_at(clients: &Clients, revision: u64) -> Result<String, tonic::Status> {
    let as_of = Some(AsOf { at: Some(as_of::At::Revision(revision)) });
    let selection = Some(select(&[RD]));
    let request = QueryObservationsRequest { selection, as_of, page_size: 10_000, ..Default::default() };
    let answer = clients.statistics.clone().query_observations(request).await?.into_inner();
    assert!(answer.next_page_token.is_empty());
    Ok(format!("{:?}", answer.observations))
}
