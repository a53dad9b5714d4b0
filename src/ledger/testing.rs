//! A ledger with its view in memory, and plain definitions, for the tests of this area.

use std::sync::Arc;

use super::{
    Ledger, apply,
    log::{Draft, Totals},
    page::LedgerPage,
    plan::{Outcome, PlanError, Planner, Sink, WriteRequest},
    record::Record,
    staged::StagedPages,
};
use crate::{
    model::{
        catalog::{
            Definition, Direction, Entity, EntityKind, Frequency, Indicator, Ranking, Redistribution, Source, Timing,
        },
        change::{Cause, Change, Commit, Counts},
        id::{EntityId, IndicatorId, RankingId, Revision, SourceId},
        series::{FigureVersion, SeriesKey},
        time::{Date, Instant},
    },
    store::{Engine, memory::MemoryDisk, view::View},
};

/// Commits are recorded on day 10, after all release dates in tests.
pub(super) const NOW: Instant = Instant(20_010 * 86_400_000_000);

/// A day of a test: day 0 is in October 2024.
pub(super) fn day(number: i32) -> Date {
    Date::from_days(20_000 + number).unwrap()
}

/// A commit of which only the revision matters.
pub(super) fn commit(revision: u64) -> Commit {
    Commit {
        revision: Revision(revision),
        recorded: Instant(0),
        author: String::new(),
        cause: Cause::FirstRelease,
        note: String::new(),
        released: None,
        document_sha256: String::new(),
        counts: Counts::default(),
        request_id: None,
    }
}

pub(super) fn indicator(id: &str) -> Definition {
    Definition::Indicator(Indicator {
        id: IndicatorId::new(id).unwrap(),
        name: id.into(),
        unit: String::new(),
        direction: Direction::NotStated,
        default_decimals: 0,
        definition: String::new(),
        frequency: Frequency::Annual,
        licence: String::new(),
        timing: Timing::Flow,
    })
}

pub(super) fn entity(id: &str, kind: EntityKind, name: &str) -> Entity {
    Entity {
        id: EntityId::new(id).unwrap(),
        kind,
        name: name.into(),
        codes: Vec::new(),
        names: Vec::new(),
        relations: Vec::new(),
    }
}

pub(super) fn source(id: &str) -> Definition {
    Definition::Source(Source {
        id: SourceId::new(id).unwrap(),
        producer: id.into(),
        title: String::new(),
        published: None,
        url: String::new(),
        licence: String::new(),
        redistribution: Redistribution::Allowed,
        precedence: 0,
    })
}

pub(super) fn ranking(id: &str, source: &str) -> Definition {
    Definition::Ranking(Ranking {
        id: RankingId::new(id).unwrap(),
        name: id.into(),
        subject: EntityKind::Economy,
        source: SourceId::new(source).unwrap(),
        description: String::new(),
    })
}

/// A ledger in memory and the view of it.
pub(super) struct TestLedger {
    pub(super) engine: Arc<Engine>,
    pub(super) ledger: Ledger,
    pub(super) view: View,
    pub(super) totals: Totals,
    /// `None`: the default.
    pub(super) staged_bytes_max: Option<usize>,
}

impl TestLedger {
    /// A ledger whose only commit has these definitions.
    pub(super) fn with(definitions: Vec<Definition>) -> Self {
        let engine = Arc::new(Engine::in_memory(MemoryDisk::default()));
        let ledger = Ledger::open(engine.clone()).unwrap();
        let view = View::open(engine.clone()).unwrap();
        let mut test = Self { engine, ledger, view, totals: Totals::default(), staged_bytes_max: None };
        test.write_whole(WriteRequest::Define(definitions));
        test
    }

    pub(super) fn head(&self) -> Revision {
        self.ledger.head()
    }

    /// Makes a commit, unless the plan fails or has errors.
    pub(super) fn write(&mut self, request: WriteRequest) -> Result<Outcome, PlanError> {
        let mut sink = Sink::to_ledger(&self.ledger);
        if let Some(bytes_max) = self.staged_bytes_max {
            sink.staged = StagedPages::with_bytes_max(bytes_max);
        }
        match Planner::new(&self.ledger, &self.view, NOW, self.totals, sink).run(request) {
            Ok((outcome, sink)) if !outcome.findings.refuse() => {
                let draft = draft(&self.ledger, &sink, outcome.released, outcome.counts, outcome.totals);
                self.seal(&draft, sink.staged);
                Ok(outcome)
            }
            refused => {
                self.ledger.abandon().unwrap();
                refused.map(|(outcome, _)| outcome)
            }
        }
    }

    /// Makes a commit. The test fails if the write is refused.
    pub(super) fn write_whole(&mut self, request: WriteRequest) -> Outcome {
        let outcome = self.write(request).unwrap();
        assert!(!outcome.findings.refuse(), "{:?}", outcome.findings);
        outcome
    }

    /// Makes a commit of one record that no plan made.
    pub(super) fn write_record(&mut self, record: Record) {
        let mut sink = Sink::to_ledger(&self.ledger);
        sink.add(record).unwrap();
        sink.finish().unwrap();
        let draft = draft(&self.ledger, &sink, None, Counts::default(), self.totals);
        self.seal(&draft, sink.staged);
    }

    fn seal(&mut self, draft: &Draft, staged: StagedPages) {
        let header = self.ledger.seal(draft, None).unwrap();
        apply::apply(&self.ledger, &self.view, &header, staged).unwrap();
        self.view.show(header.commit.revision);
        self.totals = header.totals;
    }

    /// The rows of a series; none if the series does not exist.
    pub(crate) fn versions(&self, key: &SeriesKey) -> Vec<FigureVersion> {
        self.view.series_ids(key).map_or_else(Vec::new, |ids| self.view.versions(ids).unwrap())
    }

    pub(super) fn records(&self, revision: Revision) -> Vec<Record> {
        self.pages(revision).into_iter().flat_map(|page| page.records).collect()
    }

    pub(super) fn changes(&self, revision: Revision) -> Vec<Change> {
        self.pages(revision).iter().flat_map(LedgerPage::changes).map(|(_, change)| change).collect()
    }

    fn pages(&self, revision: Revision) -> Vec<LedgerPage> {
        let mut pages = Vec::new();
        for number in 0..self.ledger.header(revision).unwrap().unwrap().pages {
            let bytes = self.ledger.read(revision, number).unwrap().unwrap();
            pages.push(LedgerPage::decode(&bytes).unwrap());
        }
        pages
    }
}

fn draft(ledger: &Ledger, sink: &Sink<'_>, released: Option<Date>, counts: Counts, totals: Totals) -> Draft {
    let commit = Commit { released, counts, ..commit(ledger.head().next().0) };
    Draft { commit, pages: sink.pages, changes: sink.changes, totals }
}
