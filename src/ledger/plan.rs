//! From the content of a write to what really changes.
//!
//! The planner compares the content with the view and keeps only real changes, each with the state before it. It gives the
//! records to a [`Sink`]: the pages of the ledger, or a list for `validate_only`. Planning never writes to the view.
//!
//! Invariant: the same write against the same view gives the same records. So `validate_only` answers what a write would do.

mod definitions;
mod editions;
mod figures;
mod revert;
mod sink;
mod suggest;
mod table_checks;

use std::{collections::BTreeSet, sync::Arc};

pub use self::{
    sink::{DIFFERENCE_CHANGES_MAX, Sink},
    suggest::KnownIds,
};
use super::{Ledger, log::Totals, record::Record, upload::Upload};
use crate::{
    model::{
        catalog::{Definition, DefinitionKind},
        change::Counts,
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
        upload: Upload,
        /// Definitions that the figures need, in the same commit.
        definitions: Vec<Definition>,
    },
    /// Publish or correct an edition.
    Publish {
        /// The edition and its entries, in any order.
        table: Table,
        /// The table replaces an edition that stands, or is older than that one and is backfilled.
        correction: bool,
        /// Definitions that the edition needs, in the same commit.
        definitions: Vec<Definition>,
    },
    /// Take commits back: from the new revision on they count as never made.
    Revert(BTreeSet<Revision>),
    /// Withdraw an edition.
    Withdraw {
        ranking: RankingId,
        edition: EditionId,
        /// The day on which the producer withdrew it. Default: the day of recording. The edition is never withdrawn on a day
        /// before it stood.
        released: Option<Date>,
    },
}

/// Most figures, entries and definitions together of a short write.
const SHORT_ITEMS_MAX: usize = 1_000;

impl WriteRequest {
    /// Whether it takes little time to plan, whatever the store holds.
    pub(super) fn is_short(&self) -> bool {
        match self {
            Self::Define(definitions) => definitions.len() <= SHORT_ITEMS_MAX,
            Self::Ingest { upload, definitions } => {
                // A whole release looks for the series that it leaves out.
                let is_whole = !upload.replaced().is_empty();
                !is_whole && upload.has_at_most(SHORT_ITEMS_MAX) && definitions.len() <= SHORT_ITEMS_MAX
            }
            Self::Publish { table, definitions, .. } => table.entries.len() + definitions.len() <= SHORT_ITEMS_MAX,
            // Each takes as long as what it takes back.
            Self::Revert(_) | Self::Withdraw { .. } => false,
        }
    }
}

/// Why a write cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The edition stands already.
    #[error("edition {edition} of {ranking} stands already; to mend it, publish it as a correction")]
    EditionExists { ranking: RankingId, edition: EditionId },
    /// The edition was withdrawn already.
    #[error(
        "edition {edition} of {ranking} was withdrawn in revision {revision}; to bring it back, publish it again or revert that"
    )]
    EditionWithdrawn {
        ranking: RankingId,
        edition: EditionId,
        /// The commit that withdrew it.
        revision: Revision,
    },
    /// No such edition stands.
    #[error("{ranking} has no edition {edition} that stands{}", near_clause(.near))]
    NoEdition {
        ranking: RankingId,
        edition: EditionId,
        /// The newest editions of the ranking, newest first: at most 20.
        near: Vec<String>,
    },
    /// No definition has this id.
    #[error("no {} is called `{id}`{}", .kind.name(), near_clause(.near))]
    Unknown {
        kind: DefinitionKind,
        id: String,
        /// Ids with similar spelling.
        near: Vec<String>,
    },
    /// Later commits build on the commits to take back.
    #[error("revisions {} build on what is to be taken back; take them back in the same call, or first", first_of(.revisions))]
    RevertConflict { revisions: BTreeSet<Revision> },
    /// A commit to take back does not exist yet.
    #[error("revision {asked} is not there, head is {head}")]
    AboveHead { asked: Revision, head: Revision },
    /// Compaction dropped the changes of a commit to take back.
    #[error("what revision {asked} changed was dropped by compaction; the oldest that can be taken back is {floor}")]
    BelowFloor {
        /// The commit to take back, or one that counts otherwise because of it.
        asked: Revision,
        floor: Revision,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Most conflicts in a message.
const CONFLICTS_LISTED_MAX: usize = 100;

/// The first [`CONFLICTS_LISTED_MAX`] revisions, joined by blanks.
pub fn first_of(revisions: &BTreeSet<Revision>) -> String {
    let first: Vec<String> = revisions.iter().take(CONFLICTS_LISTED_MAX).map(Revision::to_string).collect();
    first.join(" ")
}

/// The result of a plan, beside its records.
#[derive(Debug, Default)]
pub struct Outcome {
    pub counts: Counts,
    /// With an error among them nothing may be written.
    pub findings: Findings,
    /// What the unknown ids in `findings` are compared with; `None` if there are none.
    pub known: Option<KnownIds>,
    /// What the store would hold.
    pub totals: Totals,
    /// Release date of the figures or the edition.
    pub released: Option<Date>,
    /// The edition as it would stand.
    pub edition: Option<Edition>,
    /// The write corrects an edition, even if only its title or its date changes.
    pub corrects: bool,
    /// The write takes commits back.
    pub reverts: bool,
}

#[derive(Debug)]
pub struct Planner<'a> {
    ledger: &'a Ledger,
    view: &'a View,
    /// The catalog at head, and at `revision` with the definitions of this write.
    catalog: Arc<Catalog>,
    /// The newest commit; it may still wait for its sync.
    head: Revision,
    /// The revision of the commit that the write would be.
    revision: Revision,
    recorded: Instant,
    sink: Sink<'a>,
    outcome: Outcome,
}

impl<'a> Planner<'a> {
    /// A planner of the commit after the newest. `totals` are those at the newest.
    pub fn new(ledger: &'a Ledger, view: &'a View, recorded: Instant, totals: Totals, sink: Sink<'a>) -> Self {
        let head = ledger.newest();
        let outcome = Outcome { totals, ..Outcome::default() };
        Self { ledger, view, catalog: view.catalog(), head, revision: head.next(), recorded, sink, outcome }
    }

    /// Plans the write and gives its records to the sink.
    pub fn run(mut self, request: WriteRequest) -> Result<(Outcome, Sink<'a>), PlanError> {
        match request {
            WriteRequest::Define(definitions) => self.define(definitions)?,
            WriteRequest::Ingest { upload, definitions } => {
                self.define(definitions)?;
                self.ingest(upload)?;
            }
            WriteRequest::Publish { table, correction, definitions } => {
                self.define(definitions)?;
                self.publish(table, correction)?;
            }
            WriteRequest::Withdraw { ranking, edition, released } => self.withdraw(&ranking, &edition, released)?,
            WriteRequest::Revert(revisions) => self.revert(revisions)?,
        }
        self.sink.finish()?;
        if self.outcome.findings.any_unknown() {
            self.outcome.known = Some(KnownIds { catalog: self.catalog, revision: self.revision });
        }
        Ok((self.outcome, self.sink))
    }

    /// The state at head.
    fn now(&self) -> Horizon {
        Horizon::at(self.head)
    }

    /// Refuses a release date after tomorrow. Tomorrow is today somewhere.
    fn check_release(&mut self, released: Date, location: &str) {
        let today = self.recorded.day();
        if today.plus_days(1).is_some_and(|tomorrow| released > tomorrow) {
            let message = format!("{released} has not come yet; today is {today} by the clock of the server");
            self.outcome.findings.error("FUTURE_RELEASE", location, message);
        }
    }

    /// Gives a record to the sink, unless the write is going to be refused anyway.
    fn emit(&mut self, record: Record) -> Result<(), StoreError> {
        if self.outcome.findings.refuse() { Ok(()) } else { self.sink.add(record) }
    }
}
