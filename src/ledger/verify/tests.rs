//! Damage behind right checksums: a commit that somebody rewrites has another hash, or every later one has another chain.

use super::*;
use crate::{
    ledger::{
        bundle,
        log::{self, Draft, Totals},
        page::PageEncoder,
        record::RecordedVersion,
        testing::commit,
    },
    model::{
        change::Commit,
        id::{EntityId, IndicatorId, SourceId},
        period::Period,
        series::{Dimensions, FigureVersion, SeriesKey, Statement},
        time::Date,
        value::{Number, Value},
    },
    store::{chunks, records::pack},
};

const COMMITS: u64 = 5;

/// The page of a commit that brings one figure.
fn page(revision: u64, figure: u64) -> Vec<u8> {
    let key = SeriesKey {
        indicator: IndicatorId::new("I").unwrap(),
        entity: EntityId::new("E").unwrap(),
        source: SourceId::new("s").unwrap(),
        dimensions: Dimensions::default(),
    };
    let row = FigureVersion {
        period: Period::parse(&format!("{}", 2000 + revision)).unwrap(),
        revision: Revision(revision),
        released: Date::EPOCH,
        statement: Statement::Figure(Value::number(Number::parse(&figure.to_string()).unwrap())),
    };
    let recorded = RecordedVersion::visible(row.clone(), &[], &[row]);
    let mut encoder = PageEncoder::default();
    encoder.add(&Record::Series(key, vec![recorded])).unwrap();
    encoder.finish()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut rebuild = Rebuild::start(folder.path(), None).unwrap();
    for revision in 1..=COMMITS {
        rebuild.page(page(revision, 1)).unwrap();
        let commit = Commit { released: Some(Date::EPOCH), ..commit(revision) };
        let draft = Draft { commit, pages: 1, changes: 1, totals: Totals::default() };
        rebuild.seal_draft(&draft, None).unwrap();
    }
    rebuild.finish().unwrap();
    folder
}

fn put(engine: &Engine, key: &[u8], value: &[u8]) {
    let mut batch = engine.batch();
    chunks::put(&mut batch, key, value).unwrap();
    batch.write().unwrap();
    engine.sync().unwrap();
}

/// Changes the note in the header of a commit. `chained`: the chain in the header fits the new note.
fn rewrite_header(engine: &Arc<Engine>, revision: u64, chained: bool) {
    let ledger = Ledger::open(engine.clone()).unwrap();
    let mut header = ledger.header(Revision(revision)).unwrap().unwrap();
    header.commit.note = "as somebody would like it".into();
    if chained {
        let previous = ledger.chain(Revision(revision - 1)).unwrap();
        header = header.draft().sealed(previous, header.content).unwrap();
    }
    put(engine, &log::keys::header_key(Revision(revision)), &pack(&header).unwrap());
}

/// Puts a page in the place of the only page of a commit.
fn rewrite_page(engine: &Engine, revision: u64, bytes: Vec<u8>) {
    put(engine, &log::keys::page_key(Revision(revision), 0), &bundle::pack(&[bytes]).unwrap());
}

/// The report on a folder after a change of it.
fn report_after(change: impl Fn(&Arc<Engine>)) -> VerifyReport {
    let folder = folder();
    change(&Arc::new(Engine::open(folder.path()).unwrap()));
    verify(folder.path(), false).unwrap()
}

#[test]
fn a_ledger_that_was_not_touched_is_whole() {
    let report = report_after(|_| {});
    assert_eq!((report.problems, report.commits), (Vec::new(), COMMITS));
}

#[test]
fn a_page_that_is_not_the_one_sealed_is_found() {
    let report = report_after(|engine| rewrite_page(engine, 3, page(3, 7)));
    assert!(report.ledger_damaged && report.problems[0].contains("revision 3"), "{:?}", report.problems);
}

#[test]
fn a_header_that_was_rewritten_is_found() {
    let report = report_after(|engine| rewrite_header(engine, 3, false));
    assert!(report.ledger_damaged && report.problems[0].contains("revision 3"), "{:?}", report.problems);
}

#[test]
fn a_header_that_was_rewritten_with_its_chain_is_found_at_the_next() {
    let report = report_after(|engine| rewrite_header(engine, 3, true));
    assert!(report.ledger_damaged && report.problems[0].contains("revision 4"), "{:?}", report.problems);
}

fn compact_to_4(engine: &Arc<Engine>) {
    let ledger = Ledger::open(engine.clone()).unwrap();
    ledger.raise_floor(Revision(4)).unwrap();
    ledger.drop_below_floor().unwrap();
}

#[test]
fn a_compacted_ledger_is_checked_from_its_first_header_on() {
    let report = report_after(compact_to_4);
    assert_eq!((report.problems, report.commits), (Vec::new(), COMMITS - 3));
    let report = report_after(|engine| {
        compact_to_4(engine);
        rewrite_header(engine, 2, false);
    });
    assert!(report.ledger_damaged && report.problems[0].contains("revision 2"), "{:?}", report.problems);
    let report = report_after(|engine| {
        compact_to_4(engine);
        rewrite_page(engine, 5, page(5, 7));
    });
    assert!(report.ledger_damaged && report.problems[0].contains("revision 5"), "{:?}", report.problems);
}
