//! Folders that Almanac 0.1 left; `tests/data/README.md` says what is in them.

use std::{fs::File, sync::Arc};

use tempfile::TempDir;

use super::*;
use crate::{
    ledger::{Ledger, log::StoreLedger, verify::verify},
    model::{
        edition::EditionStatus,
        id::{EditionId, EntityId, IndicatorId, RankingId},
        series::SeriesKey,
        value::Figure,
    },
    query::{
        Snapshot,
        series::Selection,
        snapshot::{AsOf, Reader},
    },
};

const INDICATORS: [&str; 2] = ["RD", "PAT"];
const ENTITIES: [&str; 4] = ["CHN", "USA", "JPN", "KOR"];

fn unpacked(archive: &str) -> (TempDir, PathBuf) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let file = File::open(data.join(format!("{archive}.tar.gz"))).unwrap();
    let folder = tempfile::tempdir().unwrap();
    tar::Archive::new(flate2::read::GzDecoder::new(file)).unpack(folder.path()).unwrap();
    let old = folder.path().join(archive);
    (folder, old)
}

fn figure(value: Option<&Value>) -> String {
    match value.map(|value| &value.figure) {
        None => "none".to_owned(),
        Some(Figure::Missing(_)) => "missing".to_owned(),
        Some(Figure::Number(number)) => number.text(),
    }
}

fn version(key: &SeriesKey, row: &Row) -> String {
    let dimensions = if key.dimensions.as_str().is_empty() { "-" } else { key.dimensions.as_str() };
    let figure = figure(row.value());
    let (period, released, revision) = (row.period, row.released, row.revision);
    format!("{} {} {} {dimensions} {period} {figure} {released} {revision}", key.indicator, key.entity, key.source)
}

fn versions(snapshot: &Snapshot) -> Vec<String> {
    let mut lines = Vec::new();
    for indicator in INDICATORS {
        for entity in ENTITIES {
            let indicator = IndicatorId::new(indicator).unwrap();
            let entity = EntityId::new(entity).unwrap();
            let found = snapshot.versions(&indicator, &entity, None, None).unwrap();
            lines.extend(found.iter().map(|found| format!("version {}", version(&found.series, &found.row))));
        }
    }
    lines
}

fn commits(reader: &Reader) -> Vec<String> {
    let revisions = (1..=reader.head().0).map(|revision| reader.commit(Revision(revision)).unwrap());
    let line = |commit: Arc<Commit>| {
        let request = commit.request_id.as_ref().map_or("-".to_owned(), ToString::to_string);
        let released = commit.released.map_or("-".to_owned(), |day| day.to_string());
        let (revision, recorded, cause) = (commit.revision, commit.recorded.0, commit.cause);
        let line = format!("commit {revision} {recorded} {cause:?} {request} {released} {}", commit.note);
        line.trim_end().to_owned()
    };
    revisions.map(line).collect()
}

fn figures(snapshot: &Snapshot, at: &str) -> Vec<String> {
    let indicators = INDICATORS.map(|id| IndicatorId::new(id).unwrap()).to_vec();
    let selection = Selection { indicators, ..Selection::default() };
    let series = snapshot.series(&selection, None).map(Result::unwrap);
    series
        .flat_map(|series| series.figures.into_iter().map(move |figure| (series.key.clone(), figure.row)))
        .map(|(key, row)| format!("figure {at} {}", version(&key, &row)))
        .collect()
}

fn editions(snapshot: &Snapshot, at: &str) -> Vec<String> {
    let ranking = RankingId::new("clusters").unwrap();
    let mut lines = Vec::new();
    for id in ["2022", "2023", "2024"] {
        let found = snapshot.catalog.edition(&ranking, &EditionId::new(id).unwrap(), snapshot.horizon);
        let Some(edition) = found.filter(|edition| edition.status != EditionStatus::Withdrawn) else { continue };
        let methodology = edition.methodology.rsplit(':').next().unwrap();
        let (status, released, revision) = (edition.status, edition.released, edition.revision);
        lines.push(format!("edition {at} {id} {status:?} {methodology} {released} {revision}"));
        for entry in &snapshot.view().table(edition).unwrap().entries {
            let score = figure(entry.score.as_ref());
            let (rank, entity, name) = (entry.rank.unwrap(), &entry.entity, &entry.published_name);
            lines.push(format!("entry {at} {id} {rank} {entity} {score} {name}"));
        }
    }
    lines
}

fn point(at: &str) -> AsOf {
    match at.strip_prefix("rev:") {
        Some(revision) => AsOf::Revision(Revision(revision.parse().unwrap())),
        None => AsOf::Released(Date::parse(at).unwrap()),
    }
}

#[test]
fn a_migrated_folder_answers_as_the_old_one_did() {
    let (folder, old) = unpacked("format-2");
    let new = folder.path().join("new");
    assert_eq!(migrate(&old, &new).unwrap().revision, Revision(16));

    let expected = include_str!("../../../tests/data/format-2.txt");
    let mut expected: Vec<String> = expected.lines().skip(1).map(str::to_owned).collect();
    let mut points: Vec<String> = expected
        .iter()
        .filter(|line| line.starts_with("figure "))
        .map(|line| line.split(' ').nth(1).unwrap().to_owned())
        .collect();
    points.dedup();
    let engine = Arc::new(Engine::open(&new).unwrap());
    let ledger: Arc<dyn Ledger> = Arc::new(StoreLedger::open(engine.clone()).unwrap());
    let reader = Reader::new(ledger.clone(), Arc::new(View::open(engine.clone()).unwrap()));
    let mut found = versions(&reader.at(AsOf::Head).unwrap());
    found.extend(commits(&reader));
    for at in &points {
        let snapshot = reader.at(point(at)).unwrap();
        found.extend(figures(&snapshot, at));
        if at.starts_with("rev:") {
            found.extend(editions(&snapshot, at));
        }
    }
    found.sort();
    expected.sort();
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());

    assert_eq!(ledger.history().to_string(), "b1acf97594c36e8b4bb038a908bb7c6d");
    assert!(ledger.receipt(&RequestId::new("load-2023").unwrap()).unwrap().is_some());
    assert_eq!(engine.scan(b"P", None).count(), 0, "tokens of 0.1 are outdated, and so are cursors");
    drop((reader, ledger, engine));
    let report = verify(&new, false).unwrap();
    assert_eq!((report.problems, report.commits), (Vec::new(), 16));
}

#[test]
fn a_folder_of_the_format_before_is_refused_and_told_the_way_out() {
    let (folder, old) = unpacked("format-2");
    let refused = Engine::open(&old).unwrap_err();
    assert!(matches!(refused, StoreError::FormatBefore { .. }), "{refused}");
    let new = folder.path().join("new");
    migrate(&old, &new).unwrap();
    // The old one is as it was, and the new one is in the way of a second time.
    assert!(matches!(migrate(&old, &new), Err(MigrateError::Store(StoreError::Occupied { .. }))));
    migrate(&old, &folder.path().join("another")).unwrap();
    assert!(matches!(
        migrate(&new, &folder.path().join("third")),
        Err(MigrateError::Store(StoreError::NotBefore { .. }))
    ));
    assert!(matches!(
        migrate(&folder.path().join("absent"), &folder.path().join("third")),
        Err(MigrateError::Store(_))
    ));
    assert!(!folder.path().join("third").exists() && !folder.path().join("absent").exists());
}

#[test]
fn a_compacted_folder_is_refused_and_nothing_is_made() {
    let (folder, old) = unpacked("format-2-compacted");
    let new = folder.path().join("new");
    let refused = migrate(&old, &new).unwrap_err();
    assert!(matches!(refused, MigrateError::Compacted { floor: Revision(14), .. }), "{refused}");
    assert!(!new.exists() && !folder.path().join("new.migrating").exists());
}

/// A crash leaves only the folder under its other name; the next run begins again.
#[test]
fn what_a_crash_left_of_a_migration_is_replaced() {
    let (folder, old) = unpacked("format-2");
    let new = folder.path().join("new");
    let left = folder.path().join("new.migrating");
    fs::create_dir(&left).unwrap();
    fs::write(left.join("half"), b"half").unwrap();
    migrate(&old, &new).unwrap();
    assert!(!left.exists() && !new.join("half").exists());
}

/// A commit whose pages do not say what its header says is not brought over.
#[test]
fn a_damaged_commit_is_named_and_nothing_is_made() {
    let (folder, old) = unpacked("format-2");
    let engine = Engine::open_before(&old).unwrap();
    let keys: Vec<_> =
        engine.scan(&[&[log::PAGES][..], &4u64.to_be_bytes()].concat(), None).map(|item| item.unwrap().0).collect();
    let mut batch = engine.batch();
    keys.iter().for_each(|key| batch.remove(key).unwrap());
    batch.write().unwrap();
    drop(engine);
    let new = folder.path().join("new");
    let refused = migrate(&old, &new).unwrap_err();
    assert!(matches!(refused, MigrateError::Damaged { revision: Revision(4), .. }), "{refused}");
    assert!(!new.exists() && !folder.path().join("new.migrating").exists());
}
