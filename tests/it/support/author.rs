//! Random writes of every kind, as a steward might make them over years. The store accepts all of them.

use std::collections::BTreeSet;

use almanac::proto::*;
use tonic::Status;

use crate::support::{Clients, Dice, fixture::*};

/// Makes up writes that the store accepts.
#[derive(Debug, Clone)]
pub(crate) struct Author {
    dice: Dice,
    /// Editions that are published if the store accepted every write so far.
    published: BTreeSet<String>,
    count: usize,
    name: &'static str,
    /// Figures in a long upload, at the most.
    figures_max: usize,
}

/// One write, with a request id.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant)] // few, and short-lived
pub(crate) enum PlannedWrite {
    Define(WriteOptions, Vec<Definition>),
    Ingest(IngestHeader, Vec<SeriesBatch>),
    Publish(PublishHeader, Vec<Entry>),
    Withdraw(WriteOptions, String),
}

impl PlannedWrite {
    pub(crate) async fn send(&self, clients: &Clients) -> Result<WriteResult, Status> {
        match self.clone() {
            Self::Define(options, definitions) => clients.define(options, definitions).await,
            Self::Ingest(header, batches) => clients.ingest(header, batches).await,
            Self::Publish(header, entries) => Ok(clients.publish(header, entries).await?.result.unwrap()),
            Self::Withdraw(options, edition) => Ok(clients.withdraw(options, RANKING, &edition).await?.result.unwrap()),
        }
    }

    pub(crate) fn request_id(&self) -> &str {
        let options = match self {
            Self::Define(options, _) | Self::Withdraw(options, _) => Some(options),
            Self::Ingest(header, _) => header.options.as_ref(),
            Self::Publish(header, _) => header.options.as_ref(),
        };
        options.map_or("", |options| &options.request_id)
    }
}

impl Author {
    pub(crate) fn new(dice: Dice, name: &'static str, figures_max: usize) -> Self {
        Self { dice, published: BTreeSet::new(), count: 0, name, figures_max }
    }

    pub(crate) fn next(&mut self) -> PlannedWrite {
        self.count += 1;
        let options = WriteOptions {
            request_id: format!("{}-{}", self.name, self.count),
            cause: if self.dice.once_in(4) { self.dice.below(6) as i32 } else { 0 },
            ..Default::default()
        };
        match self.dice.below(20) {
            0 | 1 => self.define(options),
            2..=5 => self.publish(options),
            6 if !self.published.is_empty() => {
                let editions: Vec<String> = self.published.iter().cloned().collect();
                let edition = self.dice.pick(&editions).clone();
                self.published.remove(&edition);
                PlannedWrite::Withdraw(options, edition)
            }
            7 | 8 => {
                let figures = self.figures_max / 2 + self.dice.below(self.figures_max / 2 + 1);
                self.ingest(options, figures)
            }
            _ => {
                let figures = 1 + self.dice.below(6);
                self.ingest(options, figures)
            }
        }
    }

    fn define(&mut self, options: WriteOptions) -> PlannedWrite {
        let number = 1 + self.dice.below(CLUSTERS);
        let name = format!("Cluster {number} ({})", self.dice.below(3));
        let mut renamed = cluster_entity(number);
        if let Some(definition::Item::Entity(entity)) = &mut renamed.item {
            entity.name = name;
        }
        PlannedWrite::Define(options, vec![renamed, indicator(VENTURE, ["Venture deals", "Deals"][self.dice.below(2)])])
    }

    fn publish(&mut self, options: WriteOptions) -> PlannedWrite {
        let id = (2018 + self.dice.below(8)).to_string();
        let mut clusters: Vec<usize> = (1..=CLUSTERS).collect();
        self.dice.shuffle(&mut clusters);
        clusters.truncate(1 + self.dice.below(CLUSTERS));
        let mut rows = entries(&clusters);
        let mut header = PublishHeader { options: Some(options), ..edition(&id) };
        if self.dice.once_in(3) {
            header = partial(header);
            rows.retain(|_| !self.dice.once_in(4));
            if rows.is_empty() {
                rows = entries(&clusters[..1]);
            }
            if self.dice.once_in(2) {
                rows[0].rank = None;
            }
        } else if rows.len() > 3 && self.dice.once_in(3) {
            rows[2].rank = rows[1].rank;
            rows[1].tied = true;
            rows[2].tied = true;
        }
        if self.dice.once_in(3) {
            header.edition.as_mut().unwrap().methodology = "three".into();
        }
        if !self.published.insert(id) {
            header = correction(header);
        }
        PlannedWrite::Publish(header, rows)
    }

    fn ingest(&mut self, options: WriteOptions, figures: usize) -> PlannedWrite {
        let day = format!("20{}-0{}-01", 20 + self.dice.below(6), 1 + self.dice.below(9));
        let whole = self.dice.once_in(12);
        let mode = if whole { IngestMode::Replace } else { IngestMode::Merge };
        let header = IngestHeader { options: Some(options), mode: mode.into(), ..released(&day) };
        let mut batches = Vec::new();
        let mut left = figures;
        let mut seen = BTreeSet::new();
        while left > 0 {
            let indicator = *self.dice.pick(&INDICATORS);
            let entity = *self.dice.pick(&ECONOMIES);
            let source = *self.dice.pick(&SOURCES);
            let sex = *self.dice.pick(&["", "", "F", "M"]);
            if !seen.insert((indicator, entity, source, sex)) {
                left -= 1;
                continue;
            }
            let mut sent = batch(indicator, entity, source, &[]);
            if !sex.is_empty() {
                sent.dimensions = vec![Dimension { id: "SEX".into(), value: sex.into() }];
            }
            let first = if figures > 20 { 1500 } else { 2015 + self.dice.below(6) };
            let count = if figures > 20 { left.min(400) } else { left.min(3) };
            for year in first..first + count {
                sent.points.push(self.point(&year.to_string(), whole));
            }
            left -= count;
            batches.push(sent);
        }
        PlannedWrite::Ingest(header, batches)
    }

    fn point(&mut self, period: &str, whole: bool) -> IngestPoint {
        let mut value = number(&format!("{}.{:02}", self.dice.below(4), self.dice.below(5)));
        match self.dice.below(12) {
            0 => value.multiplier_pow10 = 6,
            1 => value.status = ObservationStatus::Provisional.into(),
            2 => value.comment = "as printed in the annex".into(),
            3 => value = Value { missing: MissingReason::NotCollected.into(), ..Default::default() },
            4 if !whole => return IngestPoint { period: period.into(), value: None, withdrawn: true },
            _ => {}
        }
        IngestPoint { period: period.into(), value: Some(value), withdrawn: false }
    }
}
