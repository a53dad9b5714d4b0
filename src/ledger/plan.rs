//! From what was sent to what really changes.
//!
//! A plan compares what was sent with the view, keeps only real changes with what was before, and hands records to a
//! [`Sink`]: the ledger's pages, or a list for `validate_only`. Planning never writes to the view.
//!
//! Invariant: planning the same thing against the same view gives the same records; so what `validate_only` says is what
//! a write would do.

mod definitions;
mod editions;
mod figures;
mod revert;

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Ledger,
    log::Totals,
    page::{LedgerPage, PAGE_BYTES, PageEncoder},
    record::Record,
    upload::Upload,
};
use crate::{
    model::{
        catalog::{Definition, DefinitionKind},
        change::{Change, Counts},
        edition::{Edition, Table},
        finding::Findings,
        id::{EditionId, RankingId, Revision},
        series::Horizon,
        time::{Date, Instant},
    },
    store::{StoreError, catalog::Catalog, suggestions::near_clause, view::View},
};

/// What a write asks for.
#[derive(Debug)]
pub enum WriteRequest {
    /// Add or replace definitions.
    Define(Vec<Definition>),
    /// Add, revise and withdraw figures.
    Ingest {
        /// The figures.
        upload: Upload,
        /// What the figures need to be defined, in the same commit.
        definitions: Vec<Definition>,
    },
    /// Publish or correct an edition.
    Publish {
        /// The edition and its entries, in any order.
        table: Table,
        /// It replaces one that stands, or is older and filled in behind it.
        correction: bool,
        /// What the edition needs to be defined, in the same commit.
        definitions: Vec<Definition>,
    },
    /// Take back what commits did: from the new revision on they count as never made.
    Revert(BTreeSet<Revision>),
    /// Withdraw an edition.
    Withdraw {
        /// Ranking.
        ranking: RankingId,
        /// Edition.
        edition: EditionId,
        /// The day on which the producer withdrew it. Default: the day of recording; never before the version withdrawn.
        released: Option<Date>,
    },
}

/// Why a plan was not finished.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The edition stands already.
    #[error("edition {edition} of {ranking} stands already; to mend it, publish it as a correction")]
    EditionExists {
        /// Ranking.
        ranking: RankingId,
        /// Edition.
        edition: EditionId,
    },
    /// The edition was withdrawn already.
    #[error(
        "edition {edition} of {ranking} was withdrawn in revision {revision}; to bring it back, publish it again or revert that"
    )]
    EditionWithdrawn {
        /// Ranking.
        ranking: RankingId,
        /// Edition.
        edition: EditionId,
        /// When.
        revision: Revision,
    },
    /// There is no such edition that stands.
    #[error("{ranking} has no edition {edition} that stands{}", near_clause(.near))]
    NoEdition {
        /// Ranking.
        ranking: RankingId,
        /// Edition.
        edition: EditionId,
        /// Editions there are.
        near: Vec<String>,
    },
    /// An id that no definition has.
    #[error("no {} is called `{id}`{}", .kind.name(), near_clause(.near))]
    Unknown {
        /// What was looked for.
        kind: DefinitionKind,
        /// The id.
        id: String,
        /// Nearest ids.
        near: Vec<String>,
    },
    /// Later commits build on what is to be taken back.
    #[error("revisions {} build on what is to be taken back; take them back in the same call, or first", first_of(.revisions))]
    RevertConflict {
        /// These.
        revisions: BTreeSet<Revision>,
    },
    /// A commit to take back is not there.
    #[error("revision {asked} is not there, head is {head}")]
    AboveHead {
        /// As asked.
        asked: Revision,
        /// As it is.
        head: Revision,
    },
    /// What a commit to take back changed is not kept any more.
    #[error("what revision {asked} changed was dropped by compaction; the oldest that can be taken back is {floor}")]
    BelowFloor {
        /// As asked, or what is taken back or counts again with it.
        asked: Revision,
        /// The oldest that can be taken back.
        floor: Revision,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Conflicts that a message lists.
const CONFLICTS_LISTED_MAX: usize = 100;

/// The first of many revisions, joined by blanks.
pub fn first_of(revisions: &BTreeSet<Revision>) -> String {
    let first: Vec<String> = revisions.iter().take(CONFLICTS_LISTED_MAX).map(Revision::to_string).collect();
    first.join(" ")
}

/// What a plan came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What changes.
    pub counts: Counts,
    /// What was noticed. With errors among them nothing may be written.
    pub findings: Findings,
    /// What the store would hold.
    pub totals: Totals,
    /// Release date of what it brings.
    pub released: Option<Date>,
    /// The edition as it would stand.
    pub edition: Option<Edition>,
    /// It corrects an edition, if only its title or its date.
    pub corrects: bool,
    /// It takes commits back.
    pub reverts: bool,
}

/// Plans one write.
#[derive(Debug)]
pub struct Planner<'a> {
    ledger: &'a dyn Ledger,
    view: &'a View,
    /// The catalog at head, and at `revision` with the definitions that were sent.
    catalog: Arc<Catalog>,
    head: Revision,
    /// The revision it would have.
    revision: Revision,
    recorded: Instant,
    sink: Sink<'a>,
    outcome: Outcome,
}

impl<'a> Planner<'a> {
    /// Plans the commit after head.
    pub fn new(ledger: &'a dyn Ledger, view: &'a View, recorded: Instant, totals: Totals, sink: Sink<'a>) -> Self {
        let head = ledger.head();
        let outcome = Outcome { totals, ..Outcome::default() };
        Self { ledger, view, catalog: view.catalog(), head, revision: head.next(), recorded, sink, outcome }
    }

    /// Plans the write and hands out its records.
    pub fn run(mut self, act: WriteRequest) -> Result<(Outcome, Sink<'a>), PlanError> {
        match act {
            WriteRequest::Define(definitions) => self.define(definitions)?,
            WriteRequest::Ingest { upload, definitions } => {
                self.define(definitions)?;
                self.ingest(&upload)?;
            }
            WriteRequest::Publish { table, correction, definitions } => {
                self.define(definitions)?;
                self.publish(table, correction)?;
            }
            WriteRequest::Withdraw { ranking, edition, released } => self.withdraw(&ranking, &edition, released)?,
            WriteRequest::Revert(revisions) => self.revert(revisions)?,
        }
        self.sink.finish()?;
        Ok((self.outcome, self.sink))
    }

    /// What is known now.
    fn now(&self) -> Horizon {
        Horizon::at(self.head)
    }

    /// Refuses a release date after tomorrow; tomorrow is today somewhere.
    fn check_release(&mut self, released: Date, location: &str) {
        let today = self.recorded.day();
        if today.plus_days(1).is_some_and(|tomorrow| released > tomorrow) {
            let message = format!("{released} has not come yet; today is {today} by the clock of the server");
            self.outcome.findings.error("FUTURE_RELEASE", location, message);
        }
    }

    /// Hands out a record, unless the write is going to be refused anyway.
    fn emit(&mut self, record: Record) -> Result<(), StoreError> {
        if self.outcome.findings.refuse() { Ok(()) } else { self.sink.add(record) }
    }
}

/// Most changes that `validate_only` lists.
pub const DIFFERENCE_CHANGES_MAX: usize = 20_000;
/// Commits of up to so many pages are handed to the feed decoded, so that live subscribers need not read them back.
const HANDED_PAGES_MAX: usize = 256;

/// Takes the records of a plan.
#[derive(Debug)]
pub struct Sink<'a> {
    /// `None`: nothing is written, changes are listed.
    ledger: Option<&'a dyn Ledger>,
    encoder: PageEncoder,
    page: LedgerPage,
    /// Pages given to the ledger.
    pub pages: u32,
    /// Changes seen.
    pub changes: u64,
    /// The pages decoded, if there are not too many.
    pub handed: Option<Vec<Arc<LedgerPage>>>,
    /// The changes listed.
    pub difference: Vec<(u64, Change)>,
}

impl<'a> Sink<'a> {
    /// Writes pages to a ledger.
    pub fn to_ledger(ledger: &'a dyn Ledger) -> Self {
        Self { ledger: Some(ledger), handed: Some(Vec::new()), ..Self::to_list() }
    }

    /// Lists changes.
    pub fn to_list() -> Self {
        Self {
            ledger: None,
            encoder: PageEncoder::default(),
            page: LedgerPage { first_change: 0, records: Vec::new() },
            pages: 0,
            changes: 0,
            handed: None,
            difference: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, record: Record) -> Result<(), StoreError> {
        match record {
            // A long series goes on over several pages.
            Record::Series(key, rows) => {
                let mut rest = rows.into_iter().peekable();
                while rest.peek().is_some() {
                    if self.encoder.is_full() {
                        self.close_page()?;
                    }
                    // Remarks are long; figures are not.
                    let (room, mut part, mut remarks) = (self.encoder.room(), Vec::new(), 0);
                    while part.len() < room && remarks < PAGE_BYTES {
                        let Some(row) = rest.next() else { break };
                        remarks += row.remark_bytes();
                        part.push(row);
                    }
                    self.add_whole(Record::Series(key.clone(), part))?;
                }
                Ok(())
            }
            record => self.add_whole(record),
        }
    }

    fn add_whole(&mut self, record: Record) -> Result<(), StoreError> {
        if self.encoder.is_full() {
            self.close_page()?;
        }
        if self.ledger.is_some() {
            self.encoder.add(&record)?;
        } else {
            let room = DIFFERENCE_CHANGES_MAX.saturating_sub(self.difference.len());
            let numbered = (self.changes..).zip(record.changes());
            self.difference.extend(numbered.take(room));
        }
        self.changes += record.change_count();
        if self.handed.is_some() {
            self.page.records.push(record);
        }
        Ok(())
    }

    fn close_page(&mut self) -> Result<(), StoreError> {
        let Some(ledger) = self.ledger else { return Ok(()) };
        ledger.append(self.pages, self.encoder.finish())?;
        self.pages += 1;
        if let Some(handed) = &mut self.handed {
            let next = LedgerPage { first_change: self.changes, records: Vec::new() };
            handed.push(Arc::new(std::mem::replace(&mut self.page, next)));
            if handed.len() > HANDED_PAGES_MAX {
                self.handed = None;
            }
        }
        Ok(())
    }

    pub(super) fn finish(&mut self) -> Result<(), StoreError> {
        if self.encoder.is_empty() { Ok(()) } else { self.close_page() }
    }
}
