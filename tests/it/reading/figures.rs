//! Figures by policy, group and dimension.

use almanac::proto::*;
use tonic::Code;

use super::{GROUP, dimension, with_figures};
use crate::support::{Clients, assert_refused, at_released, at_revision, fields, fixture::*, text};

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

fn of_china() -> SeriesSelection {
    SeriesSelection { entities: vec!["CHN".into()], ..select(&[RD]) }
}

#[tokio::test]
async fn a_policy_answers_one_row_a_figure() {
    let server = with_figures().await;
    let clients = &server.clients;
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
    // A later release than the office's confirmed the bank's figure.
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
        "the newest of each figure, from any source"
    );
    let answer = query(clients, narrow, "").await;
    let mut found = rows(&answer);
    found.sort();
    let mut expected = expect(&[
        ("CHN", "bank", "2020", "1.1"),
        ("CHN", "bank", "2020", "1.3"),
        ("CHN", "bank", "2020", "2.4"),
        ("CHN", "office", "2021", "2.6"),
    ]);
    expected.sort();
    assert_eq!(found, expected, "the newest of each series");
    let request =
        QueryObservationsRequest { selection: Some(of_china()), policy: "best@1".into(), ..Default::default() };
    assert_refused(clients.statistics.clone().query_observations(request).await, Code::InvalidArgument, "POLICY");
    server.end().await;
}

fn members_on(on_date: &str) -> SeriesSelection {
    SeriesSelection {
        members_of: Some(GroupMembers { group: GROUP.into(), on_date: on_date.into() }),
        sources: vec!["bank".into()],
        period_from: "2020".into(),
        dimensions: Vec::new(),
        ..select(&[RD])
    }
}

#[tokio::test]
async fn members_of_a_group_are_those_of_the_day_asked_for() {
    let server = with_figures().await;
    let clients = &server.clients;
    let entities = async |selection: SeriesSelection, as_of: Option<AsOf>| -> Vec<String> {
        let found = clients.observations(selection, as_of).await;
        let plain = found.into_iter().filter(|one| one.dimensions.is_empty());
        plain.map(|one| one.entity).collect()
    };
    assert_eq!(entities(members_on("2021-12-31"), None).await, ["CHN", "JPN"]);
    assert_eq!(entities(members_on("2022-01-01"), None).await, ["CHN"]);
    assert_eq!(entities(members_on(""), None).await, ["CHN"], "the members of today");
    let unknown = SeriesSelection {
        members_of: Some(GroupMembers { group: "group:asai".into(), ..Default::default() }),
        ..select(&[RD])
    };
    let request = QueryObservationsRequest { selection: Some(unknown), ..Default::default() };
    let refused = clients.statistics.clone().query_observations(request).await;
    assert_refused(refused, Code::NotFound, "UNKNOWN_ENTITY");
    server.end().await;
}

fn selection_of(dimensions: &[(&str, &str)]) -> SeriesSelection {
    SeriesSelection { dimensions: dimensions.iter().map(|(id, value)| dimension(id, value)).collect(), ..select(&[RD]) }
}

#[tokio::test]
async fn dimensions_narrow_figures_and_versions() {
    let server = with_figures().await;
    let clients = &server.clients;
    let values = async |dimensions: &[(&str, &str)]| -> Vec<String> {
        let mut all: Vec<String> = clients
            .observations(selection_of(dimensions), None)
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
    let bad = QueryObservationsRequest { selection: Some(selection_of(&[("SE X", "F")])), ..Default::default() };
    let status =
        assert_refused(clients.statistics.clone().query_observations(bad).await, Code::InvalidArgument, "FIELD");
    assert_eq!(fields(&status), ["selection.dimensions"]);
    server.end().await;
}

#[tokio::test]
async fn a_figure_names_the_release_that_confirmed_it_last() {
    let server = with_figures().await;
    let clients = &server.clients;
    let releases = async |as_of: Option<AsOf>| {
        let selected = figure(clients, RD, "CHN", "2020", as_of).await.unwrap().selected.unwrap();
        (selected.released, selected.last_released)
    };
    let day = str::to_owned;
    assert_eq!(releases(None).await, (day("2022-03-01"), day("2024-03-01")));
    assert_eq!(releases(at_revision(3)).await, (day("2022-03-01"), day("2022-03-01")));
    assert_eq!(releases(at_released("2024-02-29")).await, (day("2022-03-01"), day("2022-03-01")));
    server.end().await;
}
