//! Folders that Almanac 0.1 made. `tests/data/README.md` describes them.

mod answers;

use std::{collections::BTreeSet, fs::File, sync::Arc};

use tempfile::TempDir;

use self::answers::{commits, editions, figures, point, versions};
use super::*;
use crate::{
    ledger::{Ledger, page::LedgerPage, verify::verify},
    model::{
        catalog::{Definition, DefinitionKind},
        change::{Change, EntryChange, Movement},
        edition::{CoverageKind, Edition, EditionStatus, Entry},
        id::{EditionId, RankingId, RequestId},
    },
    query::{
        Snapshot,
        snapshot::{AsOf, Reader},
    },
    ranking::compare::{Standing, absence, movement},
};

/// A folder of format 2, and the answers of Almanac 0.1 about it.
struct Case {
    archive: &'static str,
    answers: &'static str,
    commits: u64,
    /// Lines that format 3 answers otherwise: the commit of a withdrawal is released on the day of the withdrawal.
    changed: &'static [(&'static str, &'static str)],
    /// The names of methodologies in format 2, and their ids in format 3.
    methodologies: &'static [(&'static str, &'static str)],
}

const CASES: [Case; 2] = [
    Case {
        archive: "format-2",
        answers: include_str!("../../../tests/data/format-2.txt"),
        commits: 16,
        changed: &[(
            "commit 13 1795742212882156 Withdrawal gone 2022-09-01 a mistake",
            "commit 13 1795742212882156 Withdrawal gone 2026-11-27 a mistake",
        )],
        methodologies: &[("two", "clusters:two"), ("three", "clusters:three")],
    },
    Case {
        archive: "format-2-editions",
        answers: include_str!("../../../tests/data/format-2-editions.txt"),
        commits: 10,
        changed: &[],
        methodologies: &[("old", "index:old"), ("two_ü", "index:two--"), ("two--", "index:two---2")],
    },
];

impl Case {
    /// The answers that the migrated folder must give.
    fn expected(&self) -> Vec<String> {
        self.answers.lines().skip(1).map(|line| self.expected_line(line)).collect()
    }

    fn expected_line(&self, line: &str) -> String {
        if let Some((_, changed)) = self.changed.iter().find(|(old, _)| *old == line) {
            return (*changed).to_owned();
        }
        if !line.starts_with("edition ") {
            return line.to_owned();
        }
        let mut fields: Vec<&str> = line.split(' ').collect();
        let known = self.methodologies.iter().find(|(old, _)| *old == fields[4]);
        fields[4] = known.unwrap().1;
        fields.join(" ")
    }
}

/// A migrated folder, open.
struct Opened {
    folder: TempDir,
    engine: Arc<Engine>,
    ledger: Arc<Ledger>,
    reader: Reader,
}

impl Opened {
    fn migrated(archive: &str) -> Self {
        let (folder, old) = extract(archive);
        let new = folder.path().join("new");
        migrate(&old, &new).unwrap();
        let engine = Arc::new(Engine::open(&new).unwrap());
        let ledger: Arc<Ledger> = Arc::new(Ledger::open(engine.clone()).unwrap());
        let reader = Reader::new(ledger.clone(), Arc::new(View::open(engine.clone()).unwrap()));
        Self { folder, engine, ledger, reader }
    }

    fn at(&self, revision: u64) -> Snapshot {
        self.reader.at(AsOf::Revision(Revision(revision))).unwrap()
    }

    fn changes(&self, revision: u64) -> Vec<Change> {
        let revision = Revision(revision);
        let mut changes = Vec::new();
        for number in 0..self.ledger.header(revision).unwrap().unwrap().pages {
            let bytes = self.ledger.read(revision, number).unwrap().unwrap();
            changes.extend(LedgerPage::decode(&bytes).unwrap().changes().into_iter().map(|(_, change)| change));
        }
        changes
    }

    fn entry_changes(&self, revision: u64) -> Vec<EntryChange> {
        let mut entries = Vec::new();
        for change in self.changes(revision) {
            if let Change::Entry(change) = change {
                entries.push(*change);
            }
        }
        entries
    }

    /// Kind and id of every definition that a commit changes.
    fn definition_names(&self, revision: u64) -> Vec<String> {
        let mut names = Vec::new();
        for change in self.changes(revision) {
            if let Change::Definition(change) = change {
                let (kind, id) = change.name().unwrap();
                names.push(format!("{} {id}", kind.name()));
            }
        }
        names
    }

    /// The version of an edition that answers on a release date.
    fn edition_on(&self, day: &str, ranking: &str, edition: &str) -> Option<Arc<Edition>> {
        edition_at(&self.reader.at(point(day)).unwrap(), ranking, edition)
    }

    /// The source of an edition at a revision.
    fn source(&self, revision: u64, edition: &str) -> String {
        let edition = edition_at(&self.at(revision), "index", edition).unwrap();
        edition.source.as_ref().unwrap().to_string()
    }

    fn counts(&self, revision: u64) -> Counts {
        self.reader.commit(Revision(revision)).unwrap().counts
    }
}

fn edition_at(snapshot: &Snapshot, ranking: &str, edition: &str) -> Option<Arc<Edition>> {
    let ranking = RankingId::new(ranking).unwrap();
    snapshot.catalog.edition(&ranking, &EditionId::new(edition).unwrap(), snapshot.horizon).cloned()
}

/// The row of an entity in an edition that stands.
fn row_at(snapshot: &Snapshot, change: &EntryChange, edition: &EditionId) -> Option<Entry> {
    let edition = edition_at(snapshot, change.ranking.as_str(), edition.as_str())?;
    let table = snapshot.view().table(&edition).unwrap();
    table.entries.iter().find(|entry| entry.entity == change.entity).cloned()
}

/// Extracts an archive of test data. Returns the temporary folder and the data folder in it.
fn extract(archive: &str) -> (TempDir, PathBuf) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let file = File::open(data.join(format!("{archive}.tar.gz"))).unwrap();
    let folder = tempfile::tempdir().unwrap();
    tar::Archive::new(flate2::read::GzDecoder::new(file)).unpack(folder.path()).unwrap();
    let old = folder.path().join(archive);
    (folder, old)
}

#[test]
fn a_migrated_folder_answers_as_the_old_one_did() {
    for case in CASES {
        let opened = Opened::migrated(case.archive);
        let mut expected = case.expected();
        let kinds = ["figure ", "edition "];
        let dated = expected.iter().filter(|line| kinds.iter().any(|kind| line.starts_with(kind)));
        let points: BTreeSet<String> = dated.map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect();
        let mut found = versions(&opened.reader.at(AsOf::Head).unwrap());
        found.extend(commits(&opened.reader));
        for at in &points {
            let snapshot = opened.reader.at(point(at)).unwrap();
            found.extend(figures(&snapshot, at));
            if at.starts_with("rev:") {
                found.extend(editions(&snapshot, at));
            }
        }
        found.sort();
        expected.sort();
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected, "{}", case.archive);
        }
        assert_eq!(found.len(), expected.len());

        assert_eq!(opened.engine.scan(b"P", None).count(), 0, "tokens of 0.1 are outdated, and so are cursors");
        let Opened { folder, engine, ledger, reader } = opened;
        drop((reader, ledger, engine));
        let report = verify(&folder.path().join("new"), false).unwrap();
        assert_eq!((report.problems, report.commits), (Vec::new(), case.commits));
    }
}

#[test]
fn history_and_receipts_stay() {
    let opened = Opened::migrated("format-2");
    assert_eq!(opened.ledger.history().to_string(), "b1acf97594c36e8b4bb038a908bb7c6d");
    let receipt = opened.ledger.receipt(&RequestId::new("load-2023").unwrap()).unwrap().unwrap();
    assert_eq!((receipt.revision, receipt.edition), (Revision(3), None));

    // What a receipt answers is the version as it is now; of a correction that changed nothing, the one that stood.
    let opened = Opened::migrated("format-2-editions");
    for (revision, answered) in [(5, 5), (10, 9)] {
        let request = opened.reader.commit(Revision(revision)).unwrap().request_id.clone().unwrap();
        let receipt = opened.ledger.receipt(&request).unwrap().unwrap();
        let edition = receipt.edition.unwrap();
        let known = edition_at(&opened.at(answered), "index", edition.edition.as_str()).unwrap();
        assert_eq!((receipt.revision, &edition), (Revision(revision), known.as_ref()));
    }
}

/// Every change of an entry says what the view says at the two revisions.
#[test]
fn entries_change_from_and_to_whole_rows() {
    let mut checked = 0;
    for case in CASES {
        let opened = Opened::migrated(case.archive);
        for revision in 1..=case.commits {
            for change in opened.entry_changes(revision) {
                check_entry_change(&opened.at(revision - 1), &opened.at(revision), &change);
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 18 + 16);
}

/// `before` and `now` are the state at the revision before the change and at its own.
fn check_entry_change(before: &Snapshot, now: &Snapshot, change: &EntryChange) {
    let ranking = change.ranking.as_str();
    let edition = edition_at(now, ranking, change.edition.as_str()).unwrap();
    let standing = edition_at(before, ranking, change.edition.as_str()).filter(|edition| edition.stands());
    let row_before = standing.as_ref().and_then(|_| row_at(before, change, &change.edition));
    assert_eq!(change.before.as_deref(), row_before.as_ref());
    assert_eq!(change.after.as_deref(), row_at(now, change, &change.edition).as_ref());
    assert_eq!(change.source, edition.source);

    let is_of_one_edition = change.is_of_one_edition();
    assert_eq!(is_of_one_edition, standing.is_some());
    let other = change.compared_with.as_ref().filter(|_| !is_of_one_edition);
    let other_row = other.and_then(|edition| row_at(before, change, edition));
    assert_eq!(change.compared.as_deref(), other_row.as_ref());

    let earlier = change.compared_with.as_ref().and_then(|edition| edition_at(before, ranking, edition.as_str()));
    assert_eq!(change.earlier_source, earlier.as_ref().and_then(|edition| edition.source.clone()));
    let absent_from = earlier.as_ref().filter(|_| change.earlier().is_none());
    assert_eq!(change.earlier_absence, absent_from.map(|edition| absence(edition)));
    assert_eq!(change.later_absence, change.after.is_none().then(|| absence(&edition)));

    let was_complete = earlier.as_ref().is_some_and(|edition| is_complete(edition));
    let was = Standing::of(change.earlier(), change.earlier_absence, was_complete);
    let is = Standing::of(change.after.as_deref(), change.later_absence, is_complete(&edition));
    let expected = if edition.stands() { movement(was, is) } else { Movement::Withdrawn };
    assert_eq!(change.movement, expected, "{change:?}");
}

fn is_complete(edition: &Edition) -> bool {
    edition.coverage.kind != CoverageKind::Partial
}

#[test]
fn editions_change_from_and_to_the_versions_that_stand() {
    for case in CASES {
        let opened = Opened::migrated(case.archive);
        for revision in 1..=case.commits {
            for change in opened.changes(revision) {
                let Change::Edition { before, after, backfilled: None } = change else { continue };
                let ranking = after.ranking.as_str();
                let edition = after.edition.as_str();
                let standing =
                    edition_at(&opened.at(revision - 1), ranking, edition).filter(|edition| edition.stands());
                assert_eq!(before.as_deref(), standing.as_deref());
                assert_eq!(Some(after.as_ref()), edition_at(&opened.at(revision), ranking, edition).as_deref());
                assert!(after.source.is_some());
            }
        }
    }
}

#[test]
fn methodologies_become_definitions_and_are_counted_as_such() {
    let opened = Opened::migrated("format-2-editions");
    let first = opened.definition_names(1);
    assert_eq!(
        first[6..],
        ["methodology index:old", "methodology index:two--", "methodology index:two---2", "ranking index"]
    );
    assert_eq!((first.len(), opened.counts(1)), (10, definition_counts(10, 0, 0)));
    assert!(opened.definition_names(2).is_empty());
    assert_eq!(opened.counts(2), definition_counts(0, 0, 7));
    // Only the words of one methodology changed: the ranking is what it was.
    assert_eq!(opened.definition_names(7), ["methodology index:old"]);
    assert_eq!(opened.counts(7), definition_counts(0, 1, 9));
    assert_eq!(opened.definition_names(8), ["ranking index"]);
    assert_eq!(opened.counts(8), definition_counts(0, 1, 9));
    // A correction that changes nothing counts no definition.
    assert_eq!(opened.counts(10), Counts { unchanged: 2, ..Counts::default() });
    assert_eq!(old_methodology(&opened, 6), "As in the old days");
    assert_eq!(old_methodology(&opened, 7), "As in the old days, in other words");
}

fn definition_counts(added: u64, revised: u64, unchanged: u64) -> Counts {
    Counts {
        definitions_added: added,
        definitions_revised: revised,
        definitions_unchanged: unchanged,
        ..Counts::default()
    }
}

/// The description of the methodology `index:old`.
fn old_methodology(opened: &Opened, revision: u64) -> String {
    let catalog = opened.at(revision).catalog;
    match catalog.definition(DefinitionKind::Methodology, "index:old", Revision(revision)).unwrap().as_ref() {
        Definition::Methodology(methodology) => methodology.description.clone(),
        other => panic!("{other:?}"),
    }
}

/// Almanac 0.1 answered with the newest revision, however old its release date.
#[test]
fn a_correction_with_an_older_release_stays_current() {
    let opened = Opened::migrated("format-2-editions");
    let days = [(4, "2024-09-02"), (5, "2024-09-02"), (6, "2024-09-02")];
    for (revision, day) in days {
        let edition = edition_at(&opened.at(revision), "index", "2024").unwrap();
        assert_eq!((edition.revision, edition.effective_day()), (Revision(revision), Date::parse(day).unwrap()));
    }
    let head = edition_at(&opened.reader.at(AsOf::Head).unwrap(), "index", "2024").unwrap();
    assert_eq!((head.revision, head.released), (Revision(6), Date::parse("2024-09-01").unwrap()));
    let answer = opened.edition_on("2024-09-02", "index", "2024").unwrap();
    assert_eq!(answer.revision, Revision(6));
    assert_eq!(opened.edition_on("2024-09-01", "index", "2024"), None);
}

#[test]
fn a_withdrawal_takes_effect_on_the_day_it_was_recorded() {
    let opened = Opened::migrated("format-2");
    let withdrawn = edition_at(&opened.at(13), "clusters", "2022").unwrap();
    assert_eq!((withdrawn.status, withdrawn.effective_day()), (EditionStatus::Withdrawn, withdrawn.recorded.day()));
    // Published again with an older date, it answers from then on.
    let again = edition_at(&opened.at(14), "clusters", "2022").unwrap();
    assert_eq!((again.revision, again.effective_day()), (Revision(14), withdrawn.effective_day()));
    let answer = opened.edition_on("2022-09-03", "clusters", "2022").unwrap();
    assert_eq!(answer.revision, Revision(12));
}

#[test]
fn an_edition_without_a_source_gets_that_of_its_ranking_at_that_time() {
    let opened = Opened::migrated("format-2-editions");
    assert_eq!(opened.source(10, "2023"), "press");
    assert_eq!(opened.source(5, "2024"), "press");
    assert_eq!(opened.source(6, "2024"), "office");
    assert_eq!(opened.source(10, "2025"), "office");
    // Format 2 has no change of an entry when only the source changes. A subscriber to a source must hear of all.
    let changes = opened.entry_changes(6);
    let rows: Vec<_> = changes.iter().map(|change| (change.entity.as_str(), change.before == change.after)).collect();
    assert_eq!(rows, [("AAA", true), ("BBB", true), ("DDD", true)]);
    assert_eq!(opened.counts(6), Counts { unchanged: 3, ..Counts::default() });
}

#[test]
fn a_folder_of_the_format_before_is_refused_and_the_error_names_migrate() {
    let (folder, old) = extract("format-2");
    let refused = Engine::open(&old).unwrap_err();
    assert!(matches!(refused, OpenError::PreviousFormat { .. }), "{refused}");
    let new = folder.path().join("new");
    migrate(&old, &new).unwrap();
    // The old one is as it was, and the new one is in the way of a second time.
    assert!(matches!(migrate(&old, &new), Err(MigrateError::Open(OpenError::Occupied { .. }))));
    migrate(&old, &folder.path().join("another")).unwrap();
    assert!(matches!(
        migrate(&new, &folder.path().join("third")),
        Err(MigrateError::Open(OpenError::NotPreviousFormat { .. }))
    ));
    assert!(matches!(
        migrate(&folder.path().join("absent"), &folder.path().join("third")),
        Err(MigrateError::Open(OpenError::NotPreviousFormat { .. }))
    ));
    assert!(!folder.path().join("third").exists() && !folder.path().join("absent").exists());
}

#[test]
fn a_compacted_folder_is_refused_and_nothing_is_made() {
    let (folder, old) = extract("format-2-compacted");
    let new = folder.path().join("new");
    let refused = migrate(&old, &new).unwrap_err();
    assert!(matches!(refused, MigrateError::Compacted { floor: Revision(14), .. }), "{refused}");
    assert!(!new.exists() && !folder.path().join("new.migrating").exists());
}

/// A crash leaves only the folder under its other name; the next run begins again.
#[test]
fn a_migration_replaces_what_a_crash_left_of_one() {
    let (folder, old) = extract("format-2");
    let new = folder.path().join("new");
    let left = folder.path().join("new.migrating");
    fs::create_dir(&left).unwrap();
    fs::write(left.join("half"), b"half").unwrap();
    migrate(&old, &new).unwrap();
    assert!(!left.exists() && !new.join("half").exists());
}

#[test]
fn a_damaged_commit_is_named_and_nothing_is_made() {
    let (folder, old) = extract("format-2");
    let engine = Engine::open_previous(&old).unwrap();
    let pages_of_4 = [&[keys::PAGES][..], &4u64.to_be_bytes()].concat();
    let keys: Vec<_> = engine.scan(&pages_of_4, None).map(|item| item.unwrap().0).collect();
    let mut batch = engine.batch();
    for key in keys {
        batch.remove(&key).unwrap();
    }
    batch.write().unwrap();
    drop(engine);
    let new = folder.path().join("new");
    let refused = migrate(&old, &new).unwrap_err();
    assert!(matches!(refused, MigrateError::Damaged { revision: Revision(4), .. }), "{refused}");
    assert!(!new.exists() && !folder.path().join("new.migrating").exists());
}
