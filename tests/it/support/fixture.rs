//! The small catalog that most tests use: some sources, indicators, economies, clusters and a ranking.

use almanac::proto::{definition::Item, *};

use crate::support::{Clients, TestServer};

pub(crate) const RD: &str = "GB.XPD.RSDV.GD.ZS";
pub(crate) const PATENTS: &str = "IP.PAT.RESD";
pub(crate) const VENTURE: &str = "VC.DEALS";
pub(crate) const INDICATORS: [&str; 3] = [RD, PATENTS, VENTURE];
pub(crate) const ECONOMIES: [&str; 6] = ["CHN", "USA", "JPN", "KOR", "DEU", "TUR"];
/// The most trusted first. The licence of the last forbids redistribution.
pub(crate) const SOURCES: [&str; 4] = ["bank", "office", "press", "closed"];
pub(crate) const CLUSTERS: usize = 12;
pub(crate) const RANKING: &str = "clusters";

pub(crate) fn cluster(number: usize) -> String {
    format!("cluster:{number:02}")
}

fn define(item: Item) -> Definition {
    Definition { item: Some(item) }
}

pub(crate) fn indicator(id: &str, name: &str) -> Definition {
    let unit = "% of GDP".into();
    define(Item::Indicator(Indicator { id: id.into(), name: name.into(), unit, ..Default::default() }))
}

pub(crate) fn source(id: &str, precedence: u32) -> Definition {
    let redistribution = if id == "closed" { Redistribution::Forbidden } else { Redistribution::Allowed }.into();
    let producer = format!("The {id}");
    define(Item::Source(Source { id: id.into(), producer, precedence, redistribution, ..Default::default() }))
}

pub(crate) fn economy(id: &str, name: &str) -> Definition {
    let codes = vec![EntityCode { scheme: "iso3166-1-alpha3".into(), value: id.into() }];
    let kind = EntityKind::Economy.into();
    define(Item::Entity(Entity { id: id.into(), kind, name: name.into(), codes, ..Default::default() }))
}

fn lies_in(entity: &str) -> EntityRelation {
    EntityRelation { kind: RelationKind::LiesIn.into(), entity: entity.into(), ..Default::default() }
}

pub(crate) fn cluster_entity(number: usize) -> Definition {
    define(Item::Entity(Entity {
        id: cluster(number),
        kind: EntityKind::Cluster.into(),
        name: format!("Cluster {number}"),
        relations: economies_of(number).iter().map(|economy| lies_in(economy)).collect(),
        ..Default::default()
    }))
}

/// The economies of a cluster; some lie in two.
pub(crate) fn economies_of(number: usize) -> Vec<String> {
    let first = ECONOMIES[number % ECONOMIES.len()].to_owned();
    if number.is_multiple_of(5) {
        vec![first, ECONOMIES[(number + 1) % ECONOMIES.len()].to_owned()]
    } else {
        vec![first]
    }
}

fn component(id: &str) -> MethodologyComponent {
    MethodologyComponent { id: id.into(), name: id.into(), ..Default::default() }
}

pub(crate) fn methodology(id: &str, components: &[&str]) -> Definition {
    let components = components.iter().map(|id| component(id)).collect();
    define(Item::Methodology(Methodology { id: id.into(), components, ..Default::default() }))
}

pub(crate) fn ranking() -> Definition {
    define(Item::Ranking(Ranking {
        id: RANKING.into(),
        name: "Innovation clusters".into(),
        subject: EntityKind::Cluster.into(),
        source: "office".into(),
        ..Default::default()
    }))
}

pub(crate) fn catalog() -> Vec<Definition> {
    let names = ["China", "United States", "Japan", "Korea", "Germany", "Türkiye"];
    let mut all = vec![source("bank", 10), source("office", 20), source("press", 500), source("closed", 900)];
    all.extend([indicator(RD, "R&D expenditure"), indicator(PATENTS, "Patents"), indicator(VENTURE, "Venture deals")]);
    all.extend(ECONOMIES.iter().zip(names).map(|(id, name)| economy(id, name)));
    all.extend((1..=CLUSTERS).map(cluster_entity));
    all.push(methodology("two", &["pct", "pub"]));
    all.push(methodology("three", &["pct", "pub", "vc"]));
    all.push(ranking());
    all
}

/// Like [`catalog`], but every source allows redistribution: for tests that count every change in the feed.
pub(crate) fn open_catalog() -> Vec<Definition> {
    let mut all = catalog();
    for definition in &mut all {
        if let Some(Item::Source(source)) = &mut definition.item {
            source.redistribution = Redistribution::Allowed.into();
        }
    }
    all
}

/// A server with the catalog in revision 1.
pub(crate) async fn server_with_catalog() -> TestServer {
    let server = TestServer::empty().await;
    server.clients.define(WriteOptions::default(), catalog()).await.unwrap();
    server
}

pub(crate) fn number(text: &str) -> Value {
    Value { exact: text.into(), ..Default::default() }
}

pub(crate) fn point(period: &str, text: &str) -> IngestPoint {
    IngestPoint { period: period.into(), value: Some(number(text)), withdrawn: false }
}

pub(crate) fn batch(indicator: &str, entity: &str, source: &str, points: &[(&str, &str)]) -> SeriesBatch {
    SeriesBatch {
        indicator: indicator.into(),
        entity: entity.into(),
        source: source.into(),
        dimensions: Vec::new(),
        points: points.iter().map(|(period, text)| point(period, text)).collect(),
    }
}

/// The expenditure of China in 2020 by the bank: one figure.
pub(crate) fn one_figure(value: &str) -> Vec<SeriesBatch> {
    vec![batch(RD, "CHN", "bank", &[("2020", value)])]
}

pub(crate) fn released(day: &str) -> IngestHeader {
    IngestHeader { released: day.into(), ..Default::default() }
}

pub(crate) fn request(id: &str) -> WriteOptions {
    WriteOptions { request_id: id.into(), ..Default::default() }
}

pub(crate) fn validate() -> WriteOptions {
    WriteOptions { validate_only: true, ..Default::default() }
}

/// An entry, with the economies of its cluster.
pub(crate) fn entry(number_of: usize, rank: u32) -> Entry {
    Entry {
        entity: cluster(number_of),
        published_name: format!("Cluster {number_of}"),
        economies: economies_of(number_of),
        rank: Some(rank),
        score: Some(number(&format!("{}.{}", 100 - rank, number_of % 10))),
        ..Default::default()
    }
}

/// Entries of clusters in this order, with ranks from 1.
pub(crate) fn entries(clusters: &[usize]) -> Vec<Entry> {
    clusters.iter().zip(1..).map(|(cluster, rank)| entry(*cluster, rank)).collect()
}

pub(crate) fn edition(id: &str) -> PublishHeader {
    PublishHeader {
        options: None,
        edition: Some(Edition {
            ranking: RANKING.into(),
            id: id.into(),
            released: format!("{}-09-01", id.get(..4).unwrap_or("2024")),
            methodology: "two".into(),
            coverage: Some(Coverage { kind: CoverageKind::Top.into(), ..Default::default() }),
            ..Default::default()
        }),
        correction: false,
    }
}

pub(crate) fn partial(mut header: PublishHeader) -> PublishHeader {
    let edition = header.edition.as_mut().unwrap();
    edition.coverage = Some(Coverage { kind: CoverageKind::Partial.into(), listed: 100, ..Default::default() });
    header
}

pub(crate) fn correction(header: PublishHeader) -> PublishHeader {
    PublishHeader { correction: true, ..header }
}

pub(crate) fn select(indicators: &[&str]) -> SeriesSelection {
    SeriesSelection { indicators: indicators.iter().map(|id| (*id).to_owned()).collect(), ..Default::default() }
}

/// A figure, by the default policy.
pub(crate) async fn figure(
    clients: &Clients,
    indicator: &str,
    entity: &str,
    period: &str,
    as_of: Option<AsOf>,
) -> Result<GetFigureResponse, tonic::Status> {
    let request = GetFigureRequest {
        indicator: indicator.into(),
        entity: entity.into(),
        period: period.into(),
        as_of,
        ..Default::default()
    };
    clients.statistics.clone().get_figure(request).await.map(tonic::Response::into_inner)
}
