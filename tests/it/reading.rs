//! Reads of the new kinds: waiting for a revision, lists of series and methodologies, figures by policy, groups, dimensions.

use std::{collections::BTreeMap, time::Duration};

use almanac::proto::{definition::Item, *};
use prost::{
    Message,
    encoding::{WireType, encode_key, encode_varint},
};
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{
    strict::{call, connect},
    support::{Clients, TestServer, assert_refused, at_released, at_revision, fields, fixture::*, reason, text},
};

/// Cursors belong to their clients, and not to the history that revisions count.
const WITHOUT_MIN_REVISION: [&str; 3] = ["PutCursor", "GetCursor", "ListCursors"];
const GROUP: &str = "group:asia";

/// A dimension.
fn dimension(id: &str, value: &str) -> Dimension {
    Dimension { id: id.into(), value: value.into() }
}

fn with_dimensions(mut sent: SeriesBatch, dimensions: &[(&str, &str)]) -> SeriesBatch {
    sent.dimensions = dimensions.iter().map(|(id, value)| dimension(id, value)).collect();
    sent
}

/// China and Japan of a group; Japan only until 2021.
fn group() -> Vec<Definition> {
    let member = |id: &str, name: &str, valid_to: &str| {
        let mut definition = economy(id, name);
        if let Some(Item::Entity(entity)) = &mut definition.item {
            entity.relations.push(EntityRelation {
                kind: RelationKind::MemberOf.into(),
                entity: GROUP.into(),
                valid_to: valid_to.into(),
                ..Default::default()
            });
        }
        definition
    };
    let kind = EntityKind::RegionGroup.into();
    let asia = Entity { id: GROUP.into(), kind, name: "Asia".into(), ..Default::default() };
    vec![
        Definition { item: Some(Item::Entity(asia)) },
        member("CHN", "China", ""),
        member("JPN", "Japan", "2021-12-31"),
    ]
}

/// Sources that disagree, dimensions, a closed source, and a release that confirms another.
async fn with_figures() -> TestServer {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    clients.define(WriteOptions::default(), group()).await.unwrap();
    let first = vec![
        batch(RD, "CHN", "bank", &[("2019", "2.2"), ("2020", "2.4")]),
        batch(RD, "JPN", "bank", &[("2020", "3.3")]),
        batch(RD, "DEU", "bank", &[("2020", "3.1")]),
        with_dimensions(batch(RD, "CHN", "bank", &[("2020", "1.1")]), &[("SEX", "F")]),
        with_dimensions(batch(RD, "CHN", "bank", &[("2020", "1.3")]), &[("SEX", "M"), ("AGE", "Y")]),
        batch(RD, "CHN", "closed", &[("2020", "9.9")]),
        batch(PATENTS, "CHN", "office", &[("2020", "7")]),
    ];
    clients.ingest(released("2022-03-01"), first).await.unwrap();
    let second = vec![batch(RD, "CHN", "office", &[("2020", "2.5"), ("2021", "2.6")])];
    clients.ingest(released("2023-03-01"), second).await.unwrap();
    let confirming = vec![batch(RD, "CHN", "bank", &[("2020", "2.4")])];
    clients.ingest(released("2024-03-01"), confirming).await.unwrap();
    server
}

/// A valid request of each method that reads, without `min_revision`.
fn requests() -> BTreeMap<&'static str, Vec<u8>> {
    let ranking = || RANKING.to_owned();
    let edition = || "2023".to_owned();
    let selection = || Some(select(&[RD]));
    let at = Some(resolve_revision_request::At::Released("2030-01-01".into()));
    let figure = GetFigureRequest { indicator: RD.into(), entity: "CHN".into(), ..Default::default() };
    let versions = ListVersionsRequest { indicator: RD.into(), entity: "CHN".into(), ..Default::default() };
    let compared = CompareEditionsRequest {
        ranking: ranking(),
        earlier_edition: "2022".into(),
        later_edition: edition(),
        ..Default::default()
    };
    let trajectory = GetTrajectoryRequest { ranking: ranking(), entities: vec![cluster(1)], ..Default::default() };
    let entries = ListEntriesRequest { ranking: ranking(), edition: edition(), ..Default::default() };
    let one_edition = GetEditionRequest { ranking: ranking(), edition: edition(), ..Default::default() };
    let editions = ListEditionsRequest { ranking: ranking(), ..Default::default() };
    BTreeMap::from([
        ("GetIndicator", GetIndicatorRequest { id: RD.into(), ..Default::default() }.encode_to_vec()),
        ("ListIndicators", Vec::new()),
        ("GetEntity", GetEntityRequest { id: "CHN".into(), ..Default::default() }.encode_to_vec()),
        ("ListEntities", Vec::new()),
        ("GetSource", GetSourceRequest { id: "bank".into(), ..Default::default() }.encode_to_vec()),
        ("ListSources", Vec::new()),
        ("GetRanking", GetRankingRequest { id: ranking(), ..Default::default() }.encode_to_vec()),
        ("ListRankings", Vec::new()),
        ("GetMethodology", GetMethodologyRequest { id: "two".into(), ..Default::default() }.encode_to_vec()),
        ("ListMethodologies", Vec::new()),
        ("SearchCatalog", SearchCatalogRequest { query: "china".into(), ..Default::default() }.encode_to_vec()),
        ("ListEditions", editions.encode_to_vec()),
        ("GetEdition", one_edition.encode_to_vec()),
        ("ListEntries", entries.encode_to_vec()),
        ("CompareEditions", compared.encode_to_vec()),
        ("GetTrajectory", trajectory.encode_to_vec()),
        ("GetFigure", figure.encode_to_vec()),
        (
            "QueryObservations",
            QueryObservationsRequest { selection: selection(), ..Default::default() }.encode_to_vec(),
        ),
        ("StreamSeries", StreamSeriesRequest { selection: selection(), ..Default::default() }.encode_to_vec()),
        ("ListSeries", Vec::new()),
        ("ListVersions", versions.encode_to_vec()),
        ("ListCommits", Vec::new()),
        ("GetHead", Vec::new()),
        ("ResolveRevision", ResolveRevisionRequest { at, ..Default::default() }.encode_to_vec()),
    ])
}

/// The methods that read: all but those of `AdminService`, and those that subscribe or keep cursors.
fn reading_methods() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let services: Vec<_> = pool.services().filter(|service| service.name() != "AdminService").collect();
    let methods = services.iter().flat_map(|service| service.methods().collect::<Vec<_>>());
    methods.filter(|method| method.name() != "Subscribe" && !WITHOUT_MIN_REVISION.contains(&method.name())).collect()
}

/// Calls every method that reads with this `min_revision`, all at one time.
async fn read_all(server: &TestServer, min_revision: u64) -> Vec<(MethodDescriptor, Result<DynamicMessage, Status>)> {
    let channel = connect(server).await;
    let requests = requests();
    let mut calls = Vec::new();
    for method in reading_methods() {
        let field = method.input().get_field_by_name("min_revision");
        let field = field.unwrap_or_else(|| panic!("{} has no min_revision", method.full_name()));
        let mut request =
            requests.get(method.name()).unwrap_or_else(|| panic!("no request of {}", method.name())).clone();
        encode_key(field.number(), WireType::Varint, &mut request);
        encode_varint(min_revision, &mut request);
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let channel = channel.clone();
        let call = tokio::spawn(async move { call(&channel, &path, vec![request]).await });
        calls.push((method, call));
    }
    let mut answers = Vec::new();
    for (method, call) in calls {
        let answer = call.await.unwrap();
        let answer = answer.map(|bytes| DynamicMessage::decode(method.output(), &bytes.unwrap()[..]).unwrap());
        answers.push((method, answer));
    }
    answers
}

#[tokio::test]
async fn every_read_waits_for_the_revision_that_it_needs() {
    let server = with_figures().await;
    let clients = server.clients.clone();
    clients.publish(edition("2022"), entries(&[1, 2])).await.unwrap();
    clients.publish(edition("2023"), entries(&[2, 1])).await.unwrap();
    let next = clients.head().await + 1;
    let writing = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        clients.ingest(released("2025-03-01"), vec![batch(RD, "USA", "bank", &[("2020", "3.5")])]).await.unwrap()
    });
    let answers = read_all(&server, next).await;
    assert_eq!(writing.await.unwrap().revision, next);
    for (method, answer) in answers {
        let answer = answer.unwrap_or_else(|status| panic!("{}: {status:?}", method.name()));
        for field in ["revision", "head"] {
            if let Some(told) = answer.get_field_by_name(field) {
                assert_eq!(told.as_u64(), Some(next), "{}", method.name());
            }
        }
    }
    for (method, answer) in read_all(&server, next + 1_000).await {
        let status = answer.expect_err(method.name());
        let told = (status.code(), reason(&status));
        assert_eq!(told, (Code::Unavailable, "NOT_YET_THERE".to_owned()), "{}: {status:?}", method.name());
        assert!(status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()), "{}", method.name());
        assert_eq!(status.get_details_error_info().unwrap().metadata["head"], next.to_string(), "{}", method.name());
    }
    server.end().await;
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

    let get = |id: &str| GetMethodologyRequest { id: id.into(), ..Default::default() };
    let two = catalog.get_methodology(get("two")).await.unwrap().into_inner().methodology.unwrap();
    let components: Vec<&str> = two.components.iter().map(|component| component.id.as_str()).collect();
    assert_eq!(components, ["pct", "pub"]);
    let status = assert_refused(catalog.get_methodology(get("tow")).await, Code::NotFound, "UNKNOWN_METHODOLOGY");
    assert!(status.get_details_error_info().unwrap().metadata["near"].contains("two"));
    server.end().await;
}

/// (entity, source, dimensions, first, latest, figures, released) of each series.
type Summary = (String, String, String, String, String, u64, String);

async fn series(clients: &Clients, selection: Option<SeriesSelection>, as_of: Option<AsOf>) -> Vec<Summary> {
    let request = ListSeriesRequest { selection, as_of, ..Default::default() };
    let page = clients.statistics.clone().list_series(request).await.unwrap().into_inner();
    assert_eq!(page.next_page_token, "");
    let plain = |one: SeriesSummary| {
        let dimensions: Vec<String> = one.dimensions.iter().map(|d| format!("{}={}", d.id, d.value)).collect();
        (one.entity, one.source, dimensions.join(" "), one.first_period, one.latest_period, one.figures, one.released)
    };
    page.series.into_iter().map(plain).collect()
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
    let mut told = series(clients, Some(of_china.clone()), None).await;
    told.sort();
    let mut sorted = expected.to_vec();
    sorted.sort();
    assert_eq!(told, sorted);
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

async fn query(clients: &Clients, selection: SeriesSelection, policy: &str) -> QueryObservationsResponse {
    let request = QueryObservationsRequest { selection: Some(selection), policy: policy.into(), ..Default::default() };
    clients.statistics.clone().query_observations(request).await.unwrap().into_inner()
}

fn rows(answer: &QueryObservationsResponse) -> Vec<(&str, &str, &str, String)> {
    let row = |row: &'_ Observation| text(row.value.as_ref().unwrap());
    answer.observations.iter().map(|one| (&one.entity[..], &one.source[..], &one.period[..], row(one))).collect()
}

/// Rows as they are expected.
fn expect(
    rows: &[(&'static str, &'static str, &'static str, &str)],
) -> Vec<(&'static str, &'static str, &'static str, String)> {
    rows.iter().map(|(entity, source, period, value)| (*entity, *source, *period, (*value).to_owned())).collect()
}

#[tokio::test]
async fn a_policy_answers_one_row_a_figure() {
    let server = with_figures().await;
    let clients = &server.clients;
    let of_china = || SeriesSelection { entities: vec!["CHN".into()], ..select(&[RD]) };
    let answer = query(clients, of_china(), "default@1").await;
    let expected = [
        ("CHN", "bank", "2019", "2.2"),
        ("CHN", "bank", "2020", "2.4"),
        ("CHN", "office", "2021", "2.6"),
        ("CHN", "bank", "2020", "1.3"),
        ("CHN", "bank", "2020", "1.1"),
    ];
    assert_eq!(rows(&answer), expect(&expected), "the bank before the office, by dimensions");
    assert_eq!(answer.left_out_sources, ["closed"]);
    // The bank's figure was confirmed after the office's came.
    let answer = query(clients, of_china(), "newest@1").await;
    assert_eq!(rows(&answer)[1], ("CHN", "bank", "2020", "2.4".to_owned()));
    assert_eq!(answer.observations[1].released, "2022-03-01");
    assert_eq!(answer.observations[1].last_released, "2024-03-01");
    assert_eq!(answer.observations[2].last_released, "2023-03-01");
    let narrow = SeriesSelection { latest_periods: 1, ..of_china() };
    let answer = query(clients, narrow.clone(), "default@1").await;
    assert_eq!(
        rows(&answer),
        expect(&[("CHN", "office", "2021", "2.6"), ("CHN", "bank", "2020", "1.3"), ("CHN", "bank", "2020", "1.1")]),
        "the newest of each figure, whoever has it"
    );
    let answer = query(clients, narrow, "").await;
    let mut told = rows(&answer);
    told.sort();
    let mut expected = expect(&[
        ("CHN", "bank", "2020", "1.1"),
        ("CHN", "bank", "2020", "1.3"),
        ("CHN", "bank", "2020", "2.4"),
        ("CHN", "office", "2021", "2.6"),
    ]);
    expected.sort();
    assert_eq!(told, expected, "the newest of each series");
    let request =
        QueryObservationsRequest { selection: Some(of_china()), policy: "best@1".into(), ..Default::default() };
    assert_refused(clients.statistics.clone().query_observations(request).await, Code::InvalidArgument, "POLICY");
    server.end().await;
}

#[tokio::test]
async fn members_of_a_group_are_those_of_the_day_asked_for() {
    let server = with_figures().await;
    let clients = &server.clients;
    let members = |on_date: &str| SeriesSelection {
        members_of: Some(GroupMembers { group: GROUP.into(), on_date: on_date.into() }),
        sources: vec!["bank".into()],
        period_from: "2020".into(),
        dimensions: Vec::new(),
        ..select(&[RD])
    };
    let entities = async |selection: SeriesSelection, as_of: Option<AsOf>| -> Vec<String> {
        let found = clients.observations(selection, as_of).await;
        let plain = found.into_iter().filter(|one| one.dimensions.is_empty());
        plain.map(|one| one.entity).collect()
    };
    assert_eq!(entities(members("2021-12-31"), None).await, ["CHN", "JPN"]);
    assert_eq!(entities(members("2022-01-01"), None).await, ["CHN"]);
    assert_eq!(entities(members(""), None).await, ["CHN"], "as it stands today");
    let unknown = SeriesSelection {
        members_of: Some(GroupMembers { group: "group:asai".into(), ..Default::default() }),
        ..select(&[RD])
    };
    let request = QueryObservationsRequest { selection: Some(unknown), ..Default::default() };
    let refused = clients.statistics.clone().query_observations(request).await;
    assert_refused(refused, Code::NotFound, "UNKNOWN_ENTITY");
    server.end().await;
}

#[tokio::test]
async fn dimensions_narrow_figures_and_versions() {
    let server = with_figures().await;
    let clients = &server.clients;
    let selection = |dimensions: &[(&str, &str)]| SeriesSelection {
        dimensions: dimensions.iter().map(|(id, value)| dimension(id, value)).collect(),
        ..select(&[RD])
    };
    let values = async |dimensions: &[(&str, &str)]| -> Vec<String> {
        let mut all: Vec<String> = clients
            .observations(selection(dimensions), None)
            .await
            .iter()
            .map(|row| text(row.value.as_ref().unwrap()))
            .collect();
        all.sort();
        all
    };
    assert_eq!(values(&[("SEX", "F")]).await, ["1.1"]);
    assert_eq!(values(&[("SEX", "F"), ("SEX", "M")]).await, ["1.1", "1.3"]);
    assert_eq!(values(&[("SEX", "M"), ("AGE", "Y")]).await, ["1.3"]);
    assert_eq!(values(&[("SEX", "F"), ("AGE", "Y")]).await, [""; 0]);

    let versions = async |dimensions: Vec<Dimension>| -> Vec<String> {
        let request = ListVersionsRequest {
            indicator: RD.into(),
            entity: "CHN".into(),
            period: "2020".into(),
            source: "bank".into(),
            dimensions,
            ..Default::default()
        };
        let page = clients.statistics.clone().list_versions(request).await.unwrap().into_inner();
        page.versions.iter().map(|row| text(row.value.as_ref().unwrap())).collect()
    };
    assert_eq!(versions(vec![dimension("SEX", "F")]).await, ["1.1"]);
    assert_eq!(versions(vec![dimension("AGE", "Y")]).await, ["1.3"]);
    assert_eq!(versions(vec![dimension("AGE", "O")]).await, [""; 0]);
    let bad = QueryObservationsRequest { selection: Some(selection(&[("SE X", "F")])), ..Default::default() };
    let status =
        assert_refused(clients.statistics.clone().query_observations(bad).await, Code::InvalidArgument, "FIELD");
    assert_eq!(fields(&status), ["selection.dimensions"]);
    server.end().await;
}

#[tokio::test]
async fn a_figure_says_which_release_said_it_last() {
    let server = with_figures().await;
    let clients = &server.clients;
    let told = async |as_of: Option<AsOf>| {
        let selected = figure(clients, RD, "CHN", "2020", as_of).await.unwrap().selected.unwrap();
        (selected.released, selected.last_released)
    };
    let day = str::to_owned;
    assert_eq!(told(None).await, (day("2022-03-01"), day("2024-03-01")));
    assert_eq!(told(at_revision(3)).await, (day("2022-03-01"), day("2022-03-01")));
    assert_eq!(told(at_released("2024-02-29")).await, (day("2022-03-01"), day("2022-03-01")));
    server.end().await;
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
    let versions = |indicator: &str, entity: &str, source: &str| ListVersionsRequest {
        indicator: indicator.into(),
        entity: entity.into(),
        source: source.into(),
        ..Default::default()
    };
    for (request, code) in [
        (versions("RD", "CHN", ""), "UNKNOWN_INDICATOR"),
        (versions(RD, "CNH", ""), "UNKNOWN_ENTITY"),
        (versions(RD, "CHN", "offise"), "UNKNOWN_SOURCE"),
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

/// What a message of a bulk answer may be at most: it is closed at 64 KiB, and a point is at most about 700 bytes.
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
        // Half of them is more than a message of the upload takes at once.
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
    let told: Vec<String> =
        parts.iter().flat_map(|part| &part.points).map(|point| text(point.value.as_ref().unwrap())).collect();
    assert_eq!(told, (0..8_000).map(|day| format!("{day}.5")).collect::<Vec<_>>(), "in period order, each once");
    server.end().await;
}
