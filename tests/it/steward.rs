//! Writes that need more than one act before them: tables that are corrected, moved and taken back, and what travels in a
//! write.

use std::collections::BTreeMap;

use almanac::proto::*;
use tonic::{Code, Status};

use crate::{
    author::{Author, WriteRequest},
    fixture::*,
    harness::{Clients, Dice, publication, upload},
};

/// Editions that the steward keeps besides those of its author.
const EDITIONS: [&str; 4] = ["e1", "e2", "e9", "e10"];
const METHODOLOGIES_MAX: usize = 4;

/// Makes up writes of every kind: those of an [`Author`], and its own.
#[derive(Debug, Clone)]
pub(crate) struct Steward {
    author: Author,
    dice: Dice,
    name: &'static str,
    count: usize,
    /// It also takes commits back. What it makes up then may be refused.
    reverts: bool,
    /// From which day on each edition reads as it does: the newest of its publications and withdrawals.
    since: BTreeMap<&'static str, String>,
    /// What each edition that stands says, if every write so far was taken.
    tables: BTreeMap<&'static str, (Edition, Vec<Entry>)>,
}

/// One write, with a request id and a name of its kind.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant)] // few, and short-lived
pub(crate) enum Deed {
    Author(WriteRequest),
    Upload(&'static str, String, Vec<IngestObservationsRequest>),
    Publication(&'static str, String, Vec<PublishEditionRequest>),
    Withdrawal(Box<WithdrawEditionRequest>),
    Revert(Box<RevertCommitRequest>),
}

impl Deed {
    pub(crate) async fn send(&self, clients: &Clients) -> Result<WriteResult, Status> {
        match self.clone() {
            Self::Author(act) => act.send(clients).await,
            Self::Upload(_, _, messages) => clients.ingest_messages(messages).await,
            Self::Publication(_, _, messages) => Ok(clients.publish_messages(messages).await?.result.unwrap()),
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

    /// Sends it to a store that may refuse it, because an earlier deed was taken back, or cannot be.
    pub(crate) async fn attempt(&self, clients: &Clients) -> Option<WriteResult> {
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
            Self::Author(act) => act.request_id(),
            Self::Upload(_, id, _) | Self::Publication(_, id, _) => id,
            Self::Withdrawal(request) => request.options.as_ref().map_or("", |options| &options.request_id),
            Self::Revert(request) => request.options.as_ref().map_or("", |options| &options.request_id),
        }
    }

    /// What kind of write it is.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Author(_) => "plain write",
            Self::Upload(kind, ..) | Self::Publication(kind, ..) => kind,
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

    /// The same, who also takes commits back: what it makes up then may be refused.
    pub(crate) fn who_reverts(self) -> Self {
        Self { reverts: true, ..self }
    }

    /// The next deed, of a store with this head.
    pub(crate) fn next(&mut self, head: u64) -> Deed {
        self.count += 1;
        if self.reverts && head > 1 && self.dice.once_in(6) {
            // Of an old commit, something newer is mostly in the way.
            let newest = (head - 1).min(8) as usize;
            let revisions = vec![head - self.dice.below(newest) as u64];
            return Deed::Revert(Box::new(RevertCommitRequest { options: Some(self.options()), revisions }));
        }
        match self.dice.below(10) {
            0 | 1 => self.upload_with_definitions(),
            2 => self.backfill(),
            3..=5 => self.publish(),
            6 => self.withdraw(),
            _ => Deed::Author(self.author.next()),
        }
    }

    fn options(&self) -> WriteOptions {
        request(&format!("{}-more-{}", self.name, self.count))
    }

    fn day(&mut self) -> String {
        format!("20{}-0{}-15", 18 + self.dice.below(8), 1 + self.dice.below(9))
    }

    fn upload(&mut self, kind: &'static str, day: &str, definitions: Vec<Definition>, batch: SeriesBatch) -> Deed {
        let options = self.options();
        let id = options.request_id.clone();
        let header = IngestHeader { options: Some(options), ..released(day) };
        Deed::Upload(kind, id, upload(header, definitions, &[batch]))
    }

    /// Figures of an indicator, an economy and a source that nobody may have heard of, with their definitions.
    fn upload_with_definitions(&mut self) -> Deed {
        let number = self.dice.below(4);
        let (of, at, by) = (format!("NEW.{number}"), format!("X0{number}"), format!("bureau-{number}"));
        let named = |what: &str, draw: usize| format!("{what} {draw}");
        let definitions = vec![
            indicator(&of, &named("Indicator", self.dice.below(2))),
            economy(&at, &named("Economy", number)),
            source(&by, 30 + self.dice.below(2) as u32),
        ];
        let value = format!("{}.5", self.dice.below(4));
        let sent = batch(&of, &at, &by, &[("2020", &value), ("2021", &value)]);
        let day = self.day();
        self.upload("figures with their definitions", &day, definitions, sent)
    }

    /// A figure, or none, of an old release.
    fn backfill(&mut self) -> Deed {
        let mut sent = batch(self.dice.pick::<&str>(&INDICATORS), self.dice.pick::<&str>(&ECONOMIES), "bank", &[]);
        let year = (2015 + self.dice.below(6)).to_string();
        let withdrawn = self.dice.once_in(4);
        let value = number(&format!("{}.25", self.dice.below(3)));
        sent.points.push(IngestPoint { period: year, value: (!withdrawn).then_some(value), withdrawn });
        let day = format!("2016-0{}-01", 1 + self.dice.below(9));
        self.upload("backfill", &day, Vec::new(), sent)
    }

    fn publish(&mut self) -> Deed {
        let id = *self.dice.pick(&EDITIONS);
        let Some((standing, entries)) = self.tables.get(id).cloned() else {
            let mut edition = edition(id).edition.unwrap();
            (edition.id, edition.released) = (id.into(), self.day());
            edition.source = ["", "press", "bank"][self.dice.below(3)].into();
            let entries = self.table();
            // Once withdrawn, it is published again as a first one.
            return self.publication("first table", id, edition, entries, false);
        };
        if self.dice.once_in(3) {
            let source = ["office", "press", "bank"].into_iter().find(|source| *source != standing.source).unwrap();
            let edition = Edition { source: source.into(), ..standing };
            return self.publication("correction of the source alone", id, edition, entries, true);
        }
        let released = self.day();
        let kind = if released < standing.released { "correction of an older day" } else { "correction" };
        let note = ["", "See the errata."][self.dice.below(2)].to_owned();
        let edition = Edition { released, note, ..standing };
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
    ) -> Deed {
        // The methodology comes with the table that uses it.
        let method = format!("m{}", self.dice.below(METHODOLOGIES_MAX));
        let definitions = vec![methodology(&method, &["pct", "pub"][..1 + self.dice.below(2)])];
        if kind != "correction of the source alone" {
            edition.methodology = method;
        }
        let since = self.since.entry(id).or_default();
        // An older one is filled in behind what stands.
        if !correction || edition.released >= *since {
            self.tables.insert(id, (edition.clone(), entries.clone()));
        }
        *since = edition.released.clone().max(std::mem::take(since));
        let options = self.options();
        let request_id = options.request_id.clone();
        let header = PublishHeader { options: Some(options), edition: Some(edition), correction };
        Deed::Publication(kind, request_id, publication(header, definitions, &entries))
    }

    /// A table whose rows say all that a row can say.
    fn table(&mut self) -> Vec<Entry> {
        let mut clusters: Vec<usize> = (1..=CLUSTERS).collect();
        self.dice.shuffle(&mut clusters);
        clusters.truncate(1 + self.dice.below(CLUSTERS));
        let rows = entries(&clusters);
        self.moved(rows)
    }

    /// The same ranks, and otherwise other rows: some lie elsewhere, some carry other remarks.
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
        let claim = |rank: usize| RankClaim {
            rank: 1 + rank as u32,
            edition: edition.into(),
            claimed_by: "press release".into(),
        };
        (0..self.dice.below(2)).map(|_| claim(self.dice.below(9))).collect()
    }

    fn withdraw(&mut self) -> Deed {
        let standing: Vec<&'static str> = self.tables.keys().copied().collect();
        if standing.is_empty() {
            return Deed::Author(self.author.next());
        }
        let id = *self.dice.pick(&standing);
        self.tables.remove(id);
        // Not before the version that it withdraws.
        let released = self.day().max(self.since[id].clone());
        self.since.insert(id, released.clone());
        let options = Some(self.options());
        let (ranking, edition) = (RANKING.into(), id.into());
        Deed::Withdrawal(Box::new(WithdrawEditionRequest { options, ranking, edition, withdrawn: released }))
    }
}
