//! Lists of methodologies, series and versions.

use almanac::proto::*;
use prost::Message;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{dimension, with_figures};
use crate::support::{Clients, assert_refused, at_revision, fixture::*, text};

fn get_methodology(id: &str) -> GetMethodologyRequest {
    GetMethodologyRequest { id: id.into(), ..Default::default() }
}

#[tokio::test]
async fn methodologies_are_got_and_listed_and_those_of_a_ranking_apart() {
    let server = server_with_catalog().await;
    let mut catalog = server.clients.catalog.clone();
    server.clients.publish(edition("2022"), entries(&[1])).await.unwrap();
    let ids = async |ranking: &str, as_of| {
        let request = ListMethodologiesRequest { ranking: ranking.into(), as_of, ..Default::default() };
        let page = server.clients.catalog.clone().list_methodologies(request).await?.into_inner();
        Ok::<_, Status>(page.methodologies.into_iter().map(|one| one.id).collect::<Vec<_>>())
    };
    assert_eq!(ids("", None).await.unwrap(), ["three", "two"]);
    assert_eq!(ids(RANKING, None).await.unwrap(), ["two"]);
    assert_eq!(ids(RANKING, at_revision(1)).await.unwrap(), [""; 0], "no edition names one yet");
    assert_refused(ids("cluster", None).await, Code::NotFound, "UNKNOWN_RANKING");

    let two = catalog.get_methodology(get_methodology("two")).await.unwrap().into_inner().methodology.unwrap();
    let components: Vec<&str> = two.components.iter().map(|component| component.id.as_str()).collect();
    assert_eq!(components, ["pct", "pub"]);
    let status =
        assert_refused(catalog.get_methodology(get_methodology("tow")).await, Code::NotFound, "UNKNOWN_METHODOLOGY");
    assert!(status.get_details_error_info().unwrap().metadata["near"].contains("two"));
    server.end().await;
}

fn summary(one: SeriesSummary) -> Summary {
    let dimensions: Vec<String> = one.dimensions.iter().map(|d| format!("{}={}", d.id, d.value)).collect();
    (one.entity, one.source, dimensions.join(" "), one.first_period, one.latest_period, one.figures, one.released)
}

/// (entity, source, dimensions, first, latest, figures, released) of each series.
type Summary = (String, String, String, String, String, u64, String);

async fn series(clients: &Clients, selection: Option<SeriesSelection>, as_of: Option<AsOf>) -> Vec<Summary> {
    let request = ListSeriesRequest { selection, as_of, ..Default::default() };
    let page = clients.statistics.clone().list_series(request).await.unwrap().into_inner();
    assert_eq!(page.next_page_token, "");
    page.series.into_iter().map(summary).collect()
}

#[tokio::test]
async fn series_are_listed_without_their_figures() {
    let server = with_figures().await;
    let clients = &server.clients;
    let one = |entity: &str, source: &str, dimensions: &str, periods: (&str, &str), figures, released: &str| {
        let text = str::to_owned;
        (text(entity), text(source), text(dimensions), text(periods.0), text(periods.1), figures, text(released))
    };
    let all = series(clients, None, None).await;
    assert_eq!(all.len(), 8, "of all indicators and sources: {all:?}");
    let of_china = SeriesSelection { entities: vec!["CHN".into()], ..select(&[RD]) };
    let expected = [
        one("CHN", "bank", "", ("2019", "2020"), 2, "2024-03-01"),
        one("CHN", "bank", "SEX=F", ("2020", "2020"), 1, "2022-03-01"),
        one("CHN", "bank", "AGE=Y SEX=M", ("2020", "2020"), 1, "2022-03-01"),
        one("CHN", "closed", "", ("2020", "2020"), 1, "2022-03-01"),
        one("CHN", "office", "", ("2020", "2021"), 2, "2023-03-01"),
    ];
    let mut found = series(clients, Some(of_china.clone()), None).await;
    found.sort();
    let mut sorted = expected.to_vec();
    sorted.sort();
    assert_eq!(found, sorted);
    let women = SeriesSelection { dimensions: vec![dimension("SEX", "F")], ..select(&[RD]) };
    assert_eq!(series(clients, Some(women), None).await, [expected[1].clone()]);
    let either = SeriesSelection { dimensions: vec![dimension("SEX", "F"), dimension("SEX", "M")], ..select(&[]) };
    assert_eq!(series(clients, Some(either), None).await.len(), 2);
    let then = series(clients, Some(of_china), at_revision(3)).await;
    assert_eq!(then.len(), 4, "before the office's");
    for selection in [
        SeriesSelection { period_from: "2020".into(), ..select(&[RD]) },
        SeriesSelection { period_to: "2020".into(), ..select(&[RD]) },
        SeriesSelection { latest_periods: 1, ..select(&[RD]) },
    ] {
        let request = ListSeriesRequest { selection: Some(selection), ..Default::default() };
        assert_refused(clients.statistics.clone().list_series(request).await, Code::InvalidArgument, "FIELD");
    }
    server.end().await;
}

fn versions_of(indicator: &str, entity: &str, source: &str) -> ListVersionsRequest {
    ListVersionsRequest {
        indicator: indicator.into(),
        entity: entity.into(),
        source: source.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn names_that_narrow_a_list_must_be_known() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    clients.publish(edition("2022"), entries(&[1])).await.unwrap();
    let request = ListEntitiesRequest { lies_in: "CNH".into(), ..Default::default() };
    let refused = clients.catalog.clone().list_entities(request).await;
    let status = assert_refused(refused, Code::NotFound, "UNKNOWN_ENTITY");
    assert!(status.get_details_error_info().unwrap().metadata["near"].contains("CHN"), "{status:?}");
    let request = ListEntriesRequest { ranking: RANKING.into(), economy: "CNH".into(), ..Default::default() };
    let refused = clients.rankings.clone().list_entries(request).await;
    assert_refused(refused, Code::NotFound, "UNKNOWN_ENTITY");
    for (request, code) in [
        (versions_of("RD", "CHN", ""), "UNKNOWN_INDICATOR"),
        (versions_of(RD, "CNH", ""), "UNKNOWN_ENTITY"),
        (versions_of(RD, "CHN", "offise"), "UNKNOWN_SOURCE"),
    ] {
        assert_refused(clients.statistics.clone().list_versions(request).await, Code::NotFound, code);
    }
    let request = ListSeriesRequest {
        selection: Some(SeriesSelection { entities: vec!["CNH".into()], ..Default::default() }),
        ..Default::default()
    };
    assert_refused(clients.statistics.clone().list_series(request).await, Code::NotFound, "UNKNOWN_ENTITY");
    let request = GetTrajectoryRequest { ranking: "cluster".into(), entities: vec![cluster(1)], ..Default::default() };
    assert_refused(clients.rankings.clone().get_trajectory(request).await, Code::NotFound, "UNKNOWN_RANKING");
    let request = ListEditionsRequest { ranking: "cluster".into(), ..Default::default() };
    assert_refused(clients.rankings.clone().list_editions(request).await, Code::NotFound, "UNKNOWN_RANKING");
    server.end().await;
}

/// The longest message of a bulk answer, in bytes: it ends at 64 KiB, and a point is at most about 700 bytes.
const BULK_MESSAGE_BYTES: usize = 200 << 10;

#[tokio::test]
async fn a_series_longer_than_a_message_comes_in_several() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let remark = "x".repeat(500);
    for first in [0, 4_000] {
        let points: Vec<IngestPoint> = (first..first + 4_000)
            .map(|day: i64| {
                let date = jiff::civil::date(2000, 1, 1).checked_add(jiff::Span::new().days(day)).unwrap();
                let value = Value { comment: remark.clone(), ..number(&format!("{day}.5")) };
                IngestPoint { period: date.to_string(), value: Some(value), withdrawn: false }
            })
            .collect();
        // Half of the points are more than one message of an upload may have.
        let batches: Vec<SeriesBatch> = points
            .chunks(20)
            .map(|points| SeriesBatch { points: points.to_vec(), ..batch(RD, "CHN", "bank", &[]) })
            .collect();
        clients.ingest(released("2024-01-01"), batches).await.unwrap();
    }
    clients.ingest(released("2024-01-01"), vec![batch(RD, "USA", "bank", &[("2020", "1")])]).await.unwrap();
    let request = StreamSeriesRequest { selection: Some(select(&[RD])), ..Default::default() };
    let mut stream = clients.statistics.clone().stream_series(request).await.unwrap().into_inner();
    let mut parts: Vec<Series> = Vec::new();
    let mut bytes = 0;
    while let Some(message) = stream.message().await.unwrap() {
        let length = message.encoded_len();
        assert!(length < BULK_MESSAGE_BYTES, "{length} bytes");
        bytes += length;
        parts.extend(message.series);
    }
    assert!(bytes > 4 << 20, "longer than a client of default limits takes: {bytes} bytes");
    let usa = parts.pop().unwrap();
    assert_eq!((usa.entity.as_str(), usa.points.len()), ("USA", 1));
    assert!(parts.len() > 20, "{} parts", parts.len());
    assert!(parts.iter().all(|part| (&part.indicator[..], &part.entity[..], &part.source[..]) == (RD, "CHN", "bank")));
    let found: Vec<String> =
        parts.iter().flat_map(|part| &part.points).map(|point| text(point.value.as_ref().unwrap())).collect();
    assert_eq!(found, (0..8_000).map(|day| format!("{day}.5")).collect::<Vec<_>>(), "in period order, each once");
    server.end().await;
}
