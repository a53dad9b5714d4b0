//! Editions by revision and by release date, on the ledger without a server.

mod editions;
mod writes;

use std::sync::Arc;

use almanac::{
    ledger::{
        WriteAnswer, WriteError, WriteOptions, Writer, apply::catch_up, log::Ledger, plan::WriteRequest, writer::Setup,
    },
    model::{
        catalog::{self, Definition},
        change::Cause,
        edition::{Basis, Coverage, CoverageKind, Edition, EditionStatus, Entry, Table},
        id::{EditionId, EntityId, RankingId, Revision, SourceId},
        time::{Clock, Date, Instant},
    },
    query::Reader,
    store::{Engine, view::View},
};

use crate::support::ledger_catalog;

/// The clock shows this day, which is the day of a withdrawal without one.
const TODAY: i32 = 4;

fn day(number: i32) -> Date {
    Date::from_days(20_000 + number).unwrap()
}

struct Store {
    _folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    writer: Writer,
    reader: Reader,
}

impl Store {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = Arc::new(Engine::open(folder.path()).unwrap());
        let ledger = Arc::new(Ledger::open(engine.clone()).unwrap());
        let view = Arc::new(View::open(engine).unwrap());
        catch_up(ledger.as_ref(), &view).unwrap();
        let reader = Reader::new(ledger.clone(), view.clone());
        let clock = Clock::from_fn(|| Instant(i64::from(20_000 + TODAY) * 86_400_000_000 + 7));
        let setup = Setup { clock, ..Setup::default() };
        let writer = Writer::start(ledger, view, setup, |_| {}).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let store = Self { _folder: folder, runtime, writer, reader };
        store.write(WriteRequest::Define(vec![source("s"), source("t"), entity("AAA"), entity("BBB")])).unwrap();
        store
    }

    fn write(&self, request: WriteRequest) -> Result<WriteAnswer, WriteError> {
        self.runtime.block_on(self.writer.write(WriteOptions::default(), request))
    }

    fn validate(&self, request: WriteRequest) -> WriteAnswer {
        let options = WriteOptions { validate_only: true, ..WriteOptions::default() };
        self.runtime.block_on(self.writer.write(options, request)).unwrap()
    }

    fn cause(&self, written: &WriteAnswer) -> Cause {
        self.reader.commit(written.revision).unwrap().cause
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.writer.stop();
    }
}

fn source(id: &str) -> Definition {
    Definition::Source(ledger_catalog::source(id, 0))
}

fn entity(id: &str) -> Definition {
    coded(id, catalog::EntityKind::Economy, &[])
}

fn coded(id: &str, kind: catalog::EntityKind, codes: &[(&str, &str)]) -> Definition {
    let mut entity = ledger_catalog::entity(id, kind);
    for (scheme, code) in codes {
        entity.codes.push(((*scheme).to_owned(), (*code).to_owned()));
    }
    Definition::Entity(entity)
}

fn ranking(id: &str) -> Definition {
    Definition::Ranking(catalog::Ranking {
        id: RankingId::new(id).unwrap(),
        name: id.into(),
        subject: catalog::EntityKind::Economy,
        source: SourceId::new("s").unwrap(),
        description: String::new(),
    })
}

/// A table of one entry, whose note differs between versions.
fn table(ranking: &str, id: &str, released: i32, note: &str) -> Table {
    let edition = Edition {
        ranking: RankingId::new(ranking).unwrap(),
        edition: EditionId::new(id).unwrap(),
        title: String::new(),
        status: EditionStatus::Published,
        basis: Basis::AsPublished,
        about: String::new(),
        coverage: Coverage { kind: CoverageKind::All, listed: 0, universe: 0 },
        methodology: String::new(),
        released: day(released),
        effective: None,
        source: None,
        note: String::new(),
        entry_count: 0,
        complete_to: 0,
        revision: Revision::ZERO,
        recorded: Instant(0),
        compared_with: None,
    };
    let entry = Entry {
        entity: EntityId::new("AAA").unwrap(),
        published_name: "A".into(),
        economies: Vec::new(),
        rank: Some(1),
        tied: false,
        score: None,
        components: Vec::new(),
        previous: Vec::new(),
        disputed: Vec::new(),
        note: note.into(),
    };
    Table { edition, entries: vec![entry] }
}

fn publish(table: Table) -> WriteRequest {
    WriteRequest::Publish { table, correction: false, definitions: Vec::new() }
}

fn correct(table: Table) -> WriteRequest {
    WriteRequest::Publish { table, correction: true, definitions: Vec::new() }
}

fn withdraw(ranking: &str, id: &str, released: Option<i32>) -> WriteRequest {
    WriteRequest::Withdraw {
        ranking: RankingId::new(ranking).unwrap(),
        edition: EditionId::new(id).unwrap(),
        released: released.map(day),
    }
}
