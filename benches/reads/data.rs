//! What a store holds: indicators × entities, yearly series; and a few series whose last figure was revised often.
//!
//! All ids and figures are equally long, so answers are too.

use almanac::proto::{self, admin_service_client::AdminServiceClient, definition::Item};
use tonic::transport::Channel;

use crate::common::{
    Outcome,
    server::{self, AlmanacServer, connect, ingest},
};

pub(crate) const RANKING: &str = "ranking";
const SOURCE: &str = "source";
pub(crate) const ENTITIES: usize = 200;
pub(crate) const EDITIONS: usize = 20;
const ENTRIES: usize = 100;
pub(crate) const FIRST_YEAR: usize = 2000;
pub(crate) const YEARS: usize = 20;
/// The indicator whose series have many versions of their last year.
pub(crate) const REVISED: &str = "REVISED";
/// How many series it has.
pub(crate) const REVISED_SERIES: usize = 50;

/// The size of a store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Contents {
    pub(crate) indicators: usize,
    /// Versions of the last figure of each series of [`REVISED`].
    pub(crate) versions: usize,
}

impl Contents {
    pub(crate) fn series(self) -> usize {
        self.indicators * ENTITIES
    }
}

/// The id of an indicator.
pub(crate) fn indicator(number: usize) -> String {
    format!("IND.{number:03}")
}

/// The id of an entity.
pub(crate) fn entity(number: usize) -> String {
    format!("E{number:03}")
}

/// The id of an edition.
pub(crate) fn edition(number: usize) -> String {
    (FIRST_YEAR + number).to_string()
}

/// Loads the catalog, the figures in one commit, their revisions, and the editions.
pub(crate) async fn fill(server: &AlmanacServer, contents: Contents) -> Outcome<()> {
    let mut admin = AdminServiceClient::new(connect(&server.address).await?);
    server.define(catalog(contents.indicators)).await?;
    let mut batches: Vec<_> = (0..contents.indicators)
        .map(|of| {
            let series = (0..ENTITIES).map(|about| series(indicator(of), about, YEARS, of));
            proto::ObservationBatch { series: series.collect() }
        })
        .collect();
    let revised = (0..REVISED_SERIES).map(|about| series(REVISED.into(), about, YEARS, 0));
    batches.push(proto::ObservationBatch { series: revised.collect() });
    ingest(&mut admin, "2020-01-01", batches).await?;
    for version in 1..contents.versions {
        let revised = (0..REVISED_SERIES).map(|about| proto::SeriesBatch {
            points: vec![point(FIRST_YEAR + YEARS - 1, version * 37 + about)],
            ..series(REVISED.into(), about, 0, 0)
        });
        let batch = proto::ObservationBatch { series: revised.collect() };
        ingest(&mut admin, "2020-01-01", vec![batch]).await?;
    }
    for number in 0..EDITIONS {
        publish_edition(&mut admin, edition(number)).await?;
    }
    Ok(())
}

fn catalog(indicators: usize) -> Vec<Item> {
    let ranking = proto::Ranking {
        id: RANKING.into(),
        name: "Ranking".into(),
        subject: proto::EntityKind::Economy.into(),
        source: SOURCE.into(),
        ..Default::default()
    };
    let mut items = vec![server::source(SOURCE), Item::Ranking(ranking), server::indicator(REVISED.into())];
    items.extend((0..ENTITIES).map(|number| server::economy(entity(number))));
    items.extend((0..indicators).map(|number| server::indicator(indicator(number))));
    items
}

fn series(indicator: String, about: usize, years: usize, seed: usize) -> proto::SeriesBatch {
    proto::SeriesBatch {
        indicator,
        entity: entity(about),
        source: SOURCE.into(),
        points: (0..years).map(|year| point(FIRST_YEAR + year, seed * 31 + about * 7 + year)).collect(),
        dimensions: Vec::new(),
    }
}

fn point(year: usize, seed: usize) -> proto::IngestPoint {
    // Four digits, whatever the seed.
    let number = (1_000 + seed % 8_999) as f64 / 100.0;
    let value = proto::Value { number: Some(number), decimals: Some(2), ..Default::default() };
    proto::IngestPoint { period: year.to_string(), value: Some(value), withdrawn: false }
}

async fn publish_edition(admin: &mut AdminServiceClient<Channel>, id: String) -> Outcome<()> {
    let edition = proto::Edition { released: format!("{id}-01-01"), ranking: RANKING.into(), id, ..Default::default() };
    let header = proto::PublishHeader { edition: Some(edition), ..Default::default() };
    let entries = (0..ENTRIES).map(|at| proto::Entry {
        entity: entity(at),
        published_name: entity(at),
        rank: Some(at as u32 + 1),
        score: Some(proto::Value { number: Some(100.0 - at as f64), ..Default::default() }),
        ..Default::default()
    });
    let batch = proto::EntryBatch { entries: entries.collect() };
    let messages = almanac::convert::upload::edition(header, Vec::new(), vec![batch]);
    admin.publish_edition(tokio_stream::iter(messages)).await?;
    Ok(())
}
