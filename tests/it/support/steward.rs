//! Random writes that depend on earlier ones: corrections, withdrawals and reverts, and definitions that travel in a write.

use std::collections::BTreeMap;

use almanac::proto::*;
use tonic::{Code, Status};

use crate::support::{
    Clients, Dice,
    author::{Author, PlannedWrite},
    fixture::*,
    publication, upload,
};

/// Editions of the steward; those of its author have other ids.
const EDITIONS: [&str; 4] = ["e1", "e2", "e9", "e10"];
const METHODOLOGIES_MAX: usize = 4;

/// Makes up writes of every kind: those of an [`Author`], and its own.
#[derive(Debug, Clone)]
pub(crate) struct Steward {
    author: Author,
    dice: Dice,
    name: &'static str,
    count: usize,
    /// Whether it reverts commits. The store may then refuse its later writes.
    reverts: bool,
    /// The newest release day of each edition, of its publications and withdrawals.
    since: BTreeMap<&'static str, String>,
    /// The table of each published edition, if the store accepted every write so far.
    tables: BTreeMap<&'static str, (Edition, Vec<Entry>)>,
}

/// One write, with a request id and a name of its kind.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant)] // few, and short-lived
pub(crate) enum StewardWrite {
    Plain(PlannedWrite),
    Upload { kind: &'static str, request_id: String, messages: Vec<IngestObservationsRequest> },
    Publication { kind: &'static str, request_id: String, messages: Vec<PublishEditionRequest> },
    Withdrawal(Box<WithdrawEditionRequest>),
    Revert(Box<RevertCommitRequest>),
}

impl StewardWrite {
    pub(crate) async fn send(&self, clients: &Clients) -> Result<WriteResult, Status> {
        match self.clone() {
            Self::Plain(write) => write.send(clients).await,
            Self::Upload { messages, .. } => clients.ingest_messages(messages).await,
            Self::Publication { messages, .. } => Ok(clients.publish_messages(messages).await?.result.unwrap()),
            Self::Withdrawal(request) => {
                let answer = clients.admin.clone().withdraw_edition(*request).await?.into_inner();
                Ok(answer.result.unwrap())
            }
            Self::Revert(request) => {
                let answer = clients.admin.clone().revert_commit(*request).await?.into_inner();
                Ok(answer.result.unwrap())
            }
        }
    }

    /// Sends it to a store that may refuse it: an earlier write was reverted, or a revert is not possible.
    pub(crate) async fn send_or_refused(&self, clients: &Clients) -> Option<WriteResult> {
        match self.send(clients).await {
            Ok(result) => Some(result),
            Err(status) => {
                let refused = [Code::InvalidArgument, Code::NotFound, Code::AlreadyExists, Code::FailedPrecondition];
                assert!(refused.contains(&status.code()), "{self:?}: {status:?}");
                None
            }
        }
    }

    pub(crate) fn request_id(&self) -> &str {
        match self {
            Self::Plain(write) => write.request_id(),
            Self::Upload { request_id, .. } | Self::Publication { request_id, .. } => request_id,
            Self::Withdrawal(request) => request.options.as_ref().map_or("", |options| &options.request_id),
            Self::Revert(request) => request.options.as_ref().map_or("", |options| &options.request_id),
        }
    }

    /// One of [`Self::KINDS`].
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Plain(_) => "plain write",
            Self::Upload { kind, .. } | Self::Publication { kind, .. } => kind,
            Self::Withdrawal(_) => "withdrawal with its day",
            Self::Revert(_) => "revert",
        }
    }

    /// All kinds that a steward makes up.
    pub(crate) const KINDS: [&str; 9] = [
        "plain write",
        "figures with their definitions",
        "backfill",
        "first table",
        "correction",
        "correction of an older day",
        "correction of the source alone",
        "withdrawal with its day",
        "revert",
    ];
}

impl Steward {
    pub(crate) fn new(mut dice: Dice, name: &'static str, figures_max: usize) -> Self {
        let author = Author::new(dice.split(), name, figures_max);
        Self { author, dice, name, count: 0, reverts: false, since: BTreeMap::new(), tables: BTreeMap::new() }
    }

    /// Also reverts commits. The store may then refuse its later writes.
    pub(crate) fn with_reverts(self) -> Self {
        Self { reverts: true, ..self }
    }

    /// The next write, to a store with this head.
    pub(crate) fn next(&mut self, head: u64) -> StewardWrite {
        self.count += 1;
        if self.reverts && head > 1 && self.dice.once_in(6) {
            // The newest commits only: most older ones cannot be reverted, because a newer one changed the same rows.
            let newest = (head - 1).min(8) as usize;
            let revisions = vec![head - self.dice.below(newest) as u64];
            return StewardWrite::Revert(Box::new(RevertCommitRequest { options: Some(self.options()), revisions }));
        }
        match self.dice.below(10) {
            0 | 1 => self.upload_with_definitions(),
            2 => self.backfill(),
            3..=5 => self.publish(),
            6 => self.withdraw(),
            _ => StewardWrite::Plain(self.author.next()),
        }
    }

    fn options(&self) -> WriteOptions {
        request(&format!("{}-more-{}", self.name, self.count))
    }

    fn day(&mut self) -> String {
        format!("20{}-0{}-15", 18 + self.dice.below(8), 1 + self.dice.below(9))
    }

    fn upload(
        &mut self,
        kind: &'static str,
        day: &str,
        definitions: Vec<Definition>,
        batch: SeriesBatch,
    ) -> StewardWrite {
        let options = self.options();
        let request_id = options.request_id.clone();
        let header = IngestHeader { options: Some(options), ..released(day) };
        StewardWrite::Upload { kind, request_id, messages: upload(header, definitions, &[batch]) }
    }

    /// Figures of an indicator, an economy and a source that may be new, with their definitions.
    fn upload_with_definitions(&mut self) -> StewardWrite {
        let number = self.dice.below(4);
        let indicator_id = format!("NEW.{number}");
        let economy_id = format!("X0{number}");
        let source_id = format!("bureau-{number}");
        let definitions = vec![
            indicator(&indicator_id, &format!("Indicator {}", self.dice.below(2))),
            economy(&economy_id, &format!("Economy {number}")),
            source(&source_id, 30 + self.dice.below(2) as u32),
        ];
        let value = format!("{}.5", self.dice.below(4));
        let sent = batch(&indicator_id, &economy_id, &source_id, &[("2020", &value), ("2021", &value)]);
        let day = self.day();
        self.upload("figures with their definitions", &day, definitions, sent)
    }

    /// A figure, or none, of an old release.
    fn backfill(&mut self) -> StewardWrite {
        let mut sent = batch(self.dice.pick::<&str>(&INDICATORS), self.dice.pick::<&str>(&ECONOMIES), "bank", &[]);
        let year = (2015 + self.dice.below(6)).to_string();
        let withdrawn = self.dice.once_in(4);
        let value = number(&format!("{}.25", self.dice.below(3)));
        sent.points.push(IngestPoint { period: year, value: (!withdrawn).then_some(value), withdrawn });
        let day = format!("2016-0{}-01", 1 + self.dice.below(9));
        self.upload("backfill", &day, Vec::new(), sent)
    }

    fn publish(&mut self) -> StewardWrite {
        let id = *self.dice.pick(&EDITIONS);
        let Some((published, entries)) = self.tables.get(id).cloned() else {
            let mut edition = edition(id).edition.unwrap();
            edition.id = id.into();
            edition.released = self.day();
            edition.source = ["", "press", "bank"][self.dice.below(3)].into();
            let entries = self.table();
            // After a withdrawal, an edition is published as if it were the first time.
            return self.publication("first table", id, edition, entries, false);
        };
        if self.dice.once_in(3) {
            let source = ["office", "press", "bank"].into_iter().find(|source| *source != published.source).unwrap();
            let edition = Edition { source: source.into(), ..published };
            return self.publication("correction of the source alone", id, edition, entries, true);
        }
        let released = self.day();
        let kind = if released < published.released { "correction of an older day" } else { "correction" };
        let note = ["", "See the errata."][self.dice.below(2)].to_owned();
        let edition = Edition { released, note, ..published };
        let entries = if self.dice.once_in(2) { self.moved(entries) } else { self.table() };
        self.publication(kind, id, edition, entries, true)
    }

    fn publication(
        &mut self,
        kind: &'static str,
        id: &'static str,
        mut edition: Edition,
        entries: Vec<Entry>,
        correction: bool,
    ) -> StewardWrite {
        // The methodology comes with the table that uses it.
        let method = format!("m{}", self.dice.below(METHODOLOGIES_MAX));
        let definitions = vec![methodology(&method, &["pct", "pub"][..1 + self.dice.below(2)])];
        if kind != "correction of the source alone" {
            edition.methodology = method;
        }
        let since = self.since.entry(id).or_default();
        // An older version does not become current.
        if !correction || edition.released >= *since {
            self.tables.insert(id, (edition.clone(), entries.clone()));
        }
        *since = edition.released.clone().max(std::mem::take(since));
        let options = self.options();
        let request_id = options.request_id.clone();
        let header = PublishHeader { options: Some(options), edition: Some(edition), correction };
        StewardWrite::Publication { kind, request_id, messages: publication(header, definitions, &entries) }
    }

    /// A table with every field that a row can have.
    fn table(&mut self) -> Vec<Entry> {
        let mut clusters: Vec<usize> = (1..=CLUSTERS).collect();
        self.dice.shuffle(&mut clusters);
        clusters.truncate(1 + self.dice.below(CLUSTERS));
        let rows = entries(&clusters);
        self.moved(rows)
    }

    /// Changes rows but not their ranks: some lie in other economies, some have other remarks.
    fn moved(&mut self, mut rows: Vec<Entry>) -> Vec<Entry> {
        for row in &mut rows {
            if self.dice.once_in(3) {
                let first = self.dice.below(ECONOMIES.len());
                let count = 1 + self.dice.below(2);
                row.economies = (first..first + count).map(|at| ECONOMIES[at % ECONOMIES.len()].to_owned()).collect();
            }
            if self.dice.once_in(3) {
                row.note = ["", "as printed", "after the errata"][self.dice.below(3)].into();
            }
            if self.dice.once_in(3) {
                row.previous = self.claims("e1");
            }
            if self.dice.once_in(3) {
                row.disputed = self.claims("");
            }
        }
        rows
    }

    fn claims(&mut self, edition: &str) -> Vec<RankClaim> {
        let mut claims = Vec::new();
        for _ in 0..self.dice.below(2) {
            let rank = 1 + self.dice.below(9) as u32;
            claims.push(RankClaim { rank, edition: edition.into(), claimed_by: "press release".into() });
        }
        claims
    }

    fn withdraw(&mut self) -> StewardWrite {
        let published: Vec<&'static str> = self.tables.keys().copied().collect();
        if published.is_empty() {
            return StewardWrite::Plain(self.author.next());
        }
        let id = *self.dice.pick(&published);
        self.tables.remove(id);
        // Not before the version that it withdraws.
        let released = self.day().max(self.since[id].clone());
        self.since.insert(id, released.clone());
        StewardWrite::Withdrawal(Box::new(WithdrawEditionRequest {
            options: Some(self.options()),
            ranking: RANKING.into(),
            edition: id.into(),
            withdrawn: released,
        }))
    }
}
