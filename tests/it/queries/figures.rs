//! Figures: which source answers, at which point of history, and every version.

use almanac::proto::*;
use tonic::Code;
use tonic_types::StatusExt;

use crate::support::{
    Clients, TestServer, assert_refused, at_recorded, at_released, at_revision, fields, fixture::*, reason, text,
};

/// Three sources for one figure, in three commits.
async fn with_figures() -> TestServer {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let years = &[("2019", "2.24"), ("2020", "2.41"), ("2021", "2.43")];
    clients.ingest(released("2022-03-01"), vec![batch(RD, "CHN", "office", years)]).await.unwrap();
    let years = &[("2020", "2.40"), ("2021", "2.44")];
    clients.ingest(released("2023-03-01"), vec![batch(RD, "CHN", "bank", years)]).await.unwrap();
    let mut about = batch(RD, "CHN", "press", &[("2021", "2.5")]);
    about.points[0].value.as_mut().unwrap().qualifier = Qualifier::AtLeast.into();
    clients.ingest(released("2024-03-01"), vec![about, batch(RD, "CHN", "closed", &[("2021", "2.9")])]).await.unwrap();
    server
}

fn expected(source: &str, text: &str) -> (String, String) {
    (source.to_owned(), text.to_owned())
}

fn source_and_text(figure: &Observation) -> (String, String) {
    (figure.source.clone(), text(figure.value.as_ref().unwrap()))
}

#[tokio::test]
async fn a_figure_names_who_answers_and_what_the_others_say() {
    let server = with_figures().await;
    let clients = &server.clients;
    let found = figure(clients, RD, "CHN", "2021", None).await.unwrap();
    assert_eq!(source_and_text(found.selected.as_ref().unwrap()), expected("bank", "2.44"));
    let others: Vec<_> = found.alternatives.iter().map(source_and_text).collect();
    assert_eq!(others, [expected("office", "2.43"), expected("press", "2.5"), expected("closed", "2.9")]);
    assert_eq!((found.policy.as_str(), found.unit.as_str(), found.revision), ("default@1", "% of GDP", 4));
    let disagreement = found.disagreement.unwrap();
    assert_eq!((disagreement.min, disagreement.max), (2.43, 2.9));
    assert_eq!((disagreement.compared, disagreement.not_comparable), (3, 1), "a bound is not compared");
    assert!((disagreement.relative_spread - 0.47 / 2.9).abs() < 1e-9);

    let request = GetFigureRequest {
        indicator: RD.into(),
        entity: "CHN".into(),
        period: "2021".into(),
        policy: "newest@1".into(),
        ..Default::default()
    };
    let mut statistics = clients.statistics.clone();
    let newest = statistics.get_figure(request.clone()).await.unwrap().into_inner();
    assert_eq!(newest.selected.unwrap().source, "press");
    let only = GetFigureRequest { source: "office".into(), policy: String::new(), ..request.clone() };
    let only = statistics.get_figure(only).await.unwrap().into_inner();
    assert_eq!((only.selected.unwrap().source.as_str(), only.alternatives.len()), ("office", 0));
    assert_eq!(only.disagreement, None);
    let policy = GetFigureRequest { policy: "best@7".into(), ..request.clone() };
    assert_refused(statistics.get_figure(policy).await, Code::InvalidArgument, "POLICY");
    let latest = GetFigureRequest { period: String::new(), source: "bank".into(), ..request.clone() };
    assert_eq!(statistics.get_figure(latest).await.unwrap().into_inner().selected.unwrap().period, "2021");
    let none = GetFigureRequest { period: "1960".into(), ..request };
    let status = assert_refused(statistics.get_figure(none).await, Code::NotFound, "NO_FIGURE");
    assert!(status.message().contains("2019") && status.message().contains("2021"), "{}", status.message());
    server.end().await;
}

#[tokio::test]
async fn as_of_answers_by_revision_by_our_clock_and_by_release_date() {
    let server = with_figures().await;
    let clients = &server.clients;
    let answer = async |as_of| {
        let found = figure(clients, RD, "CHN", "2020", as_of).await?;
        Ok::<_, tonic::Status>((text(found.selected.unwrap().value.as_ref().unwrap()), found.revision))
    };
    assert_eq!(answer(at_revision(2)).await.unwrap(), ("2.41".to_owned(), 2));
    assert_eq!(answer(at_revision(3)).await.unwrap(), ("2.40".to_owned(), 3));
    assert_refused(answer(at_revision(1)).await, Code::NotFound, "NO_FIGURE");
    assert_refused(answer(at_revision(0)).await, Code::NotFound, "UNKNOWN_INDICATOR");
    assert_refused(answer(at_revision(99)).await, Code::OutOfRange, "ABOVE_HEAD");
    assert_eq!(answer(at_released("2022-12-31")).await.unwrap(), ("2.41".to_owned(), 4));
    assert_eq!(answer(at_released("2023-03-01")).await.unwrap(), ("2.40".to_owned(), 4));
    assert_refused(answer(at_released("2022-02-28")).await, Code::NotFound, "NO_FIGURE");

    let commits = clients.commits(0, Vec::new()).await;
    for commit in &commits[1..] {
        let recorded = commit.commit.recorded.unwrap();
        let (_, revision) = answer(at_recorded(recorded)).await.unwrap();
        assert!(revision >= commit.commit.revision);
        let mut feed = clients.feed.clone();
        let at = resolve_revision_request::At::Recorded(recorded);
        let resolved = feed
            .resolve_revision(ResolveRevisionRequest { at: Some(at), ..Default::default() })
            .await
            .unwrap()
            .into_inner();
        assert_eq!(resolved.revision, revision);
        assert_eq!(resolved.commit.unwrap().recorded, Some(recorded));
    }
    let long_ago = prost_types::Timestamp { seconds: 1_000_000, nanos: 0 };
    assert_refused(answer(at_recorded(long_ago)).await, Code::NotFound, "UNKNOWN_INDICATOR");
    server.end().await;
}

#[tokio::test]
async fn a_date_resolves_to_a_revision() {
    let server = with_figures().await;
    let resolve = async |day: &str| {
        let at = resolve_revision_request::At::Released(day.into());
        let request = ResolveRevisionRequest { at: Some(at), ..Default::default() };
        server.clients.feed.clone().resolve_revision(request).await.map(|found| found.into_inner().revision)
    };
    assert_eq!(resolve("2022-01-01").await.unwrap(), 0);
    assert_eq!(resolve("2022-03-01").await.unwrap(), 2);
    assert_eq!(resolve("2023-12-31").await.unwrap(), 3);
    assert_eq!(resolve("2030-01-01").await.unwrap(), 4);
    assert_refused(resolve("2030-13-01").await, Code::InvalidArgument, "FIELD");
    let nothing = server.clients.feed.clone().resolve_revision(ResolveRevisionRequest::default()).await;
    assert_refused(nothing, Code::InvalidArgument, "FIELD");
    server.end().await;
}

/// (indicator, entity, source, period, value).
type FigureRow = (String, String, String, String, Value);

/// The figures of whole series at a revision, and the sources left out.
async fn stream_series(clients: &Clients, selection: SeriesSelection, revision: u64) -> (Vec<FigureRow>, Vec<String>) {
    let request = StreamSeriesRequest { selection: Some(selection), ..Default::default() };
    let mut stream = clients.statistics.clone().stream_series(request).await.unwrap().into_inner();
    let mut rows = Vec::new();
    let mut left_out = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        assert_eq!(message.revision, revision);
        left_out.extend(message.left_out_sources);
        for series in message.series {
            for point in series.points {
                let value = point.value.unwrap();
                rows.push((
                    series.indicator.clone(),
                    series.entity.clone(),
                    series.source.clone(),
                    point.period,
                    value,
                ));
            }
        }
    }
    (rows, left_out)
}

fn query(selection: SeriesSelection) -> QueryObservationsRequest {
    QueryObservationsRequest { selection: Some(selection), ..Default::default() }
}

#[tokio::test]
async fn observations_are_a_panel_and_whole_series_stream_the_same() {
    let server = with_figures().await;
    let clients = &server.clients;
    let more = vec![
        batch(RD, "USA", "bank", &[("2020", "3.47"), ("2021", "3.48")]),
        batch(PATENTS, "CHN", "office", &[("2020", "1344817"), ("2021-Q1", "400000")]),
    ];
    clients.ingest(released("2024-04-01"), more).await.unwrap();
    let all = clients.observations(select(&[RD, PATENTS]), None).await;
    assert!(all.iter().all(|row| row.source != "closed"), "its licence forbids bulk");
    assert_eq!(all.len(), 3 + 2 + 1 + 2 + 2);
    let narrow = SeriesSelection {
        entities: vec!["CHN".into()],
        sources: vec!["bank".into(), "office".into()],
        period_from: "2020".into(),
        period_to: "2020".into(),
        ..select(&[RD])
    };
    let found = clients.observations(narrow.clone(), None).await;
    let plain: Vec<_> = found.iter().map(|row| (row.source.as_str(), row.period.as_str())).collect();
    assert_eq!(plain, [("office", "2020"), ("bank", "2020")], "by when each was first defined");
    assert_eq!(clients.observations(narrow, at_revision(2)).await.len(), 1);

    let (streamed, left_out) = stream_series(clients, select(&[RD, PATENTS]), 5).await;
    assert_eq!(left_out, ["closed"]);
    let rows = all.into_iter().map(|row| (row.indicator, row.entity, row.source, row.period, row.value.unwrap()));
    assert_eq!(streamed, rows.collect::<Vec<_>>());

    let mut statistics = clients.statistics.clone();
    let closed = SeriesSelection { sources: vec!["closed".into()], ..select(&[RD]) };
    let refused = statistics.query_observations(query(closed)).await;
    assert_refused(refused, Code::PermissionDenied, "LICENCE");
    assert_refused(statistics.query_observations(query(select(&[]))).await, Code::InvalidArgument, "FIELD");
    let unknown = statistics.query_observations(query(select(&["IP.PAT.RESF"]))).await;
    let status = assert_refused(unknown, Code::NotFound, "UNKNOWN_INDICATOR");
    assert!(status.message().contains(PATENTS), "{}", status.message());
    let bad = SeriesSelection { period_from: "2020-13".into(), ..select(&[RD]) };
    let bad = statistics.query_observations(query(bad)).await;
    assert_eq!(fields(&assert_refused(bad, Code::InvalidArgument, "FIELD")), ["selection.period_from"]);
    server.end().await;
}

#[tokio::test]
async fn names_that_have_no_figures_yet_answer_nothing() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    clients.ingest(released("2022-03-01"), one_figure("1")).await.unwrap();
    let source = SeriesSelection { sources: vec!["press".into()], ..select(&[RD]) };
    let entity = SeriesSelection { entities: vec!["TUR".into()], ..select(&[RD]) };
    for selection in [source, entity, select(&[VENTURE])] {
        assert_eq!(clients.observations(selection.clone(), None).await, []);
        let request = StreamSeriesRequest { selection: Some(selection), ..Default::default() };
        let mut stream = clients.statistics.clone().stream_series(request).await.unwrap().into_inner();
        while let Some(message) = stream.message().await.unwrap() {
            assert_eq!((message.series, message.left_out_sources), (vec![], vec![]));
        }
    }
    let request = ListVersionsRequest {
        indicator: RD.into(),
        entity: "CHN".into(),
        source: "press".into(),
        ..Default::default()
    };
    let versions = clients.statistics.clone().list_versions(request).await.unwrap().into_inner().versions;
    assert_eq!(versions, []);
    server.end().await;
}

fn dimension(id: &str, value: &str) -> Dimension {
    Dimension { id: id.into(), value: value.into() }
}

#[tokio::test]
async fn other_dimensions_are_named() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let mut by_sex = batch(RD, "CHN", "bank", &[("2020", "1")]);
    by_sex.dimensions = vec![dimension("SEX", "F")];
    let mut by_age = batch(RD, "CHN", "office", &[("2020", "1")]);
    by_age.dimensions = vec![dimension("SEX", "F"), dimension("AGE", "Y")];
    clients.ingest(released("2022-03-01"), vec![by_sex, by_age]).await.unwrap();
    let status = figure(clients, RD, "CHN", "2020", None).await;
    let status = assert_refused(status, Code::NotFound, "NO_FIGURE");
    assert_eq!(status.get_details_error_info().unwrap().metadata["near"], "AGE=Y;SEX=F SEX=F");
    assert!(
        status.message().contains("without dimensions; there are figures with AGE=Y;SEX=F, with SEX=F"),
        "{status}"
    );
    let before = figure(clients, RD, "CHN", "2020", at_revision(1)).await;
    assert_eq!(
        assert_refused(before, Code::NotFound, "NO_FIGURE").get_details_error_info().unwrap().metadata["near"],
        ""
    );
    server.end().await;
}

#[tokio::test]
async fn series_on_the_command_line_name_the_sources_left_out() {
    let server = with_figures().await;
    let run = |arguments: Vec<&'static str>| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_almanac"));
        command.arg("--server").arg(format!("http://{}", server.address())).args(["series", RD, "CHN"]).args(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap())
    };
    for (arguments, rows) in [
        (vec![], 6),
        (vec!["--source", "closed"], 0),
        (vec!["--source", "closed", "--source", "bank"], 2),
        (vec!["--source", "bank"], 2),
    ] {
        let done = run(arguments.clone()).await.unwrap();
        let out = String::from_utf8_lossy(&done.stdout);
        let stderr = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{arguments:?}: {stderr}");
        assert_eq!(out.lines().filter(|line| line.starts_with("CHN")).count(), rows, "{arguments:?}: {out}");
        assert_eq!(stderr.contains("left out: closed"), arguments != ["--source", "bank"], "{arguments:?}: {stderr}");
    }
    server.end().await;
}

#[tokio::test]
async fn every_version_of_a_figure_is_listed_with_its_cause_and_commit() {
    let server = with_figures().await;
    let clients = &server.clients;
    let header = IngestHeader {
        options: Some(WriteOptions { cause: Cause::Correction.into(), ..Default::default() }),
        ..released("2023-06-01")
    };
    clients.ingest(header, one_figure("2.39")).await.unwrap();
    let mut withdrawal = batch(RD, "CHN", "bank", &[]);
    withdrawal.points = vec![IngestPoint { period: "2020".into(), value: None, withdrawn: true }];
    clients.ingest(released("2023-07-01"), vec![withdrawal]).await.unwrap();

    let mut request = ListVersionsRequest {
        indicator: RD.into(),
        entity: "CHN".into(),
        period: "2020".into(),
        source: "bank".into(),
        page_size: 2,
        ..Default::default()
    };
    let mut statistics = clients.statistics.clone();
    let mut found = Vec::new();
    loop {
        let page = statistics.list_versions(request.clone()).await.unwrap().into_inner();
        found.extend(page.versions);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let plain: Vec<_> = found
        .iter()
        .map(|row| (row.released.as_str(), row.revision, row.value.as_ref().map(text), row.cause(), row.withdrawn))
        .collect();
    assert_eq!(
        plain,
        [
            ("2023-03-01", 3, Some("2.40".into()), Cause::FirstRelease, false),
            ("2023-06-01", 5, Some("2.39".into()), Cause::Correction, false),
            ("2023-07-01", 6, None, Cause::Withdrawal, true),
        ]
    );
    request.page_token = String::new();
    request.as_of = at_revision(5);
    assert_eq!(statistics.list_versions(request).await.unwrap().into_inner().versions.len(), 2);
    let now = figure(clients, RD, "CHN", "2020", None).await.unwrap();
    assert_eq!(now.selected.unwrap().source, "office", "a withdrawn figure does not answer");
    let status = figure(clients, RD, "CHN", "1990", None).await.unwrap_err();
    assert_eq!(reason(&status), "NO_FIGURE");
    server.end().await;
}
