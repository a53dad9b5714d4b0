//! Properties of any input, against plain models: pages join to the unpaged answer, and text comes back unchanged.

use std::collections::{BTreeMap, BTreeSet};

use almanac::proto::*;
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use crate::support::{
    Clients, Dice, TestServer, at_revision, author::Author, fixture::*, join, long, subscriptions::ids, text,
};

/// Runs a property with a seed that is printed and can be set.
fn check<S: Strategy>(what: &str, cases: u32, strategy: &S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let mut dice = Dice::new(what);
    let mut seed = [0; 32];
    seed.chunks_mut(8).for_each(|part| part.copy_from_slice(&dice.next().to_le_bytes()));
    let cases = if long() { cases * 10 } else { cases };
    // The seed is enough to repeat a failure: no file is written.
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    TestRunner::new_with_rng(config, rng).run(strategy, property).unwrap();
}

/// A server with many random writes.
struct FilledServer {
    server: TestServer,
    runtime: tokio::runtime::Runtime,
}

impl FilledServer {
    fn new(what: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let server = runtime.block_on(async {
            let server = server_with_catalog().await;
            let mut author = Author::new(Dice::new(what), "steward", 400);
            for _ in 0..30 {
                author.next().send(&server.clients).await.unwrap();
            }
            server.clients.publish(edition("2017"), entries(&[7, 3, 1, 2, 9, 4, 5, 8, 6, 10, 11, 12])).await.unwrap();
            server
        });
        Self { server, runtime }
    }

    fn block<T>(&self, call: impl AsyncFnOnce(Clients) -> T) -> T {
        self.runtime.block_on(call(self.server.clients.clone()))
    }

    fn end(self) {
        self.runtime.block_on(self.server.end());
    }
}

/// Page sizes, used in turn.
fn sizes(most: i32) -> impl Strategy<Value = Vec<i32>> {
    prop::collection::vec(prop_oneof![Just(0), 1..=3i32, 1..=most], 1..6)
}

#[test]
fn pages_of_entries_are_the_table_in_pieces() {
    let full = FilledServer::new("entries");
    let whole = full.block(async |clients| clients.entries(RANKING, "2017", None).await.unwrap());
    assert_eq!(whole.len(), CLUSTERS);
    check("pages of entries", 24, &sizes(15), |sizes| {
        let paged = full.block(async |clients| {
            let mut request =
                ListEntriesRequest { ranking: RANKING.into(), edition: "2017".into(), ..Default::default() };
            let mut all = Vec::new();
            for size in sizes.iter().cycle() {
                request.page_size = *size;
                let page = clients.rankings.clone().list_entries(request.clone()).await.unwrap().into_inner();
                assert!(*size == 0 || page.entries.len() <= *size as usize);
                all.extend(page.entries);
                request.page_token = page.next_page_token;
                if request.page_token.is_empty() {
                    break;
                }
            }
            all
        });
        prop_assert_eq!(paged, whole.clone());
        Ok(())
    });
    full.end();
}

/// Series, period, value and revision of a figure.
type FigureRow = ((String, String, String, Vec<Dimension>), String, Option<Value>, u64);

/// All figures by the bulk call, which has no pages.
async fn figures_in_bulk(clients: &Clients, selection: SeriesSelection, revision: u64) -> Vec<FigureRow> {
    let request =
        StreamSeriesRequest { selection: Some(selection), as_of: at_revision(revision), ..Default::default() };
    let mut stream = clients.statistics.clone().stream_series(request).await.unwrap().into_inner();
    let mut rows = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        for series in message.series {
            let key = (series.indicator, series.entity, series.source, series.dimensions);
            rows.extend(
                series.points.into_iter().map(|point| (key.clone(), point.period, point.value, point.revision)),
            );
        }
    }
    rows
}

/// All figures by pages of these sizes in turn.
async fn figures_in_pages(
    clients: &Clients,
    selection: SeriesSelection,
    revision: u64,
    sizes: &[i32],
) -> Vec<FigureRow> {
    let mut request =
        QueryObservationsRequest { selection: Some(selection), as_of: at_revision(revision), ..Default::default() };
    let mut rows = Vec::new();
    for size in sizes.iter().cycle() {
        // Small pages of many figures take too long: the rest comes on one page.
        request.page_size = if rows.len() > 60 { 10_000 } else { *size };
        let page = clients.statistics.clone().query_observations(request.clone()).await.unwrap().into_inner();
        assert!(request.page_size == 0 || page.observations.len() <= request.page_size as usize);
        assert_eq!(page.revision, revision);
        rows.extend(
            page.observations.into_iter().map(|row| {
                ((row.indicator, row.entity, row.source, row.dimensions), row.period, row.value, row.revision)
            }),
        );
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return rows;
        }
    }
    rows
}

#[test]
fn pages_of_figures_are_the_panel_in_pieces_at_any_revision() {
    let full = FilledServer::new("figures");
    let head = full.block(async |clients| clients.head().await);
    let some = |ids: &'static [&'static str]| prop::sample::subsequence(ids, 0..=ids.len());
    let strategy = (sizes(900), 1..=head, some(&INDICATORS), some(&ECONOMIES), some(&["bank", "office", "press"]));
    check("pages of figures", 40, &strategy, |(sizes, revision, indicators, entities, sources)| {
        let indicators = if indicators.is_empty() { INDICATORS.to_vec() } else { indicators };
        let selection = SeriesSelection {
            entities: ids(&entities),
            sources: ids(&sources),
            period_from: if revision % 2 == 0 { "2016".into() } else { String::new() },
            ..select(&indicators)
        };
        let whole = full.block(async |clients| figures_in_bulk(&clients, selection.clone(), revision).await);
        let paged = full.block(async |clients| figures_in_pages(&clients, selection.clone(), revision, &sizes).await);
        prop_assert_eq!(paged, whole);
        Ok(())
    });
    full.end();
}

#[test]
fn pages_of_commits_are_history_in_pieces_with_any_filter() {
    let full = FilledServer::new("commits");
    let head = full.block(async |clients| clients.head().await);
    let filter = prop_oneof![
        Just(Vec::new()),
        prop::sample::select(&ECONOMIES[..])
            .prop_map(|id| vec![Filter { entities: vec![id.into()], ..Default::default() }]),
        (1..5u32).prop_map(|rank| vec![Filter { rank_at_most: rank, ..Default::default() }]),
        prop::sample::select(&["GB.*", "IP*", "*"][..])
            .prop_map(|id| vec![Filter { indicators: vec![id.into()], ..Default::default() }]),
    ];
    check("pages of commits", 24, &(sizes(700), 0..=head, filter), |(sizes, after, filters)| {
        let (whole, paged) = full.block(async |clients| {
            let whole = clients.commits(after, filters.clone()).await;
            let mut request = ListCommitsRequest { after_revision: after, filters, ..Default::default() };
            let mut pages = Vec::new();
            let mut calls = 0;
            for size in sizes.iter().cycle() {
                // Small pages of many changes take too long, so larger pages come between them.
                calls += 1;
                request.page_size = if calls % 7 == 0 { 500 } else { *size };
                let answer = clients.feed.clone().list_commits(request.clone()).await.unwrap().into_inner();
                pages.extend(answer.commits);
                request.page_token = answer.next_page_token;
                if request.page_token.is_empty() {
                    break;
                }
            }
            (whole, join(&pages))
        });
        prop_assert_eq!(paged, whole);
        Ok(())
    });
    full.end();
}

/// Numbers as publishers print them.
fn printed() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?(0|[1-9][0-9]{0,11})(\\.[0-9]{1,8})?",
        "-?[1-9][0-9]{15,24}(\\.[0-9]{1,6})?",
        "[0-9]\\.[0-9]{1,3}[eE][+-]?[0-9]{1,2}",
        "0{1,3}[0-9]{1,5}",
        "-?0\\.0{1,9}",
    ]
}

#[test]
fn figures_come_back_digit_by_digit() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime.block_on(server_with_catalog());
    let strategy = prop::collection::vec((printed(), -30..=30i32, 0..=7i32, 1..=4i32, "[ -~äöü]{0,40}"), 1..60);
    let round = std::cell::Cell::new(0);
    check("figures", 20, &strategy, |figures| {
        round.set(round.get() + 1);
        let round = round.get();
        let mut sent = batch(RD, "CHN", "bank", &[]);
        sent.dimensions = vec![Dimension { id: "ROUND".into(), value: round.to_string() }];
        for (at, (printed, multiplier, status, qualifier, comment)) in figures.iter().enumerate() {
            let value = Value {
                multiplier_pow10: *multiplier,
                status: *status,
                qualifier: *qualifier,
                comment: comment.clone(),
                ..number(printed)
            };
            sent.points.push(IngestPoint { period: (1900 + at).to_string(), value: Some(value), withdrawn: false });
        }
        let found: Vec<Observation> = runtime.block_on(async {
            server.clients.ingest(released("2024-01-01"), vec![sent.clone()]).await.unwrap();
            let all = server.clients.observations(select(&[RD]), None).await;
            all.into_iter().filter(|row| row.dimensions == sent.dimensions).collect()
        });
        prop_assert_eq!(found.len(), figures.len());
        for (row, (printed, multiplier, status, qualifier, comment)) in found.iter().zip(&figures) {
            let value = row.value.as_ref().unwrap();
            prop_assert_eq!(&text(value), printed);
            prop_assert_eq!(value.number, Some(printed.parse::<f64>().unwrap()));
            prop_assert_eq!((value.multiplier_pow10, value.qualifier), (*multiplier, *qualifier));
            prop_assert_eq!(value.status, (*status).max(ObservationStatus::Normal.into()));
            prop_assert_eq!(&value.comment, comment);
        }
        // An answer may be sent as an upload, and changes nothing.
        let again = sent
            .points
            .iter()
            .zip(&found)
            .map(|(point, row)| IngestPoint { value: row.value.clone(), ..point.clone() });
        let again = SeriesBatch { points: again.collect(), ..sent.clone() };
        let result = runtime.block_on(server.clients.ingest(released("2024-01-01"), vec![again])).unwrap();
        prop_assert_eq!(result.counts.unwrap().unchanged, figures.len() as u64);
        Ok(())
    });
    runtime.block_on(server.end());
}

/// Periods of every kind: a span of days, and texts for it.
fn period() -> impl Strategy<Value = (String, String)> {
    let year = 1..=9998i32;
    prop_oneof![
        year.clone().prop_map(|year| (format!("{year:04}"), format!("{year:04}-01/{year:04}-12"))),
        (year.clone(), 0..2).prop_map(|(year, half)| {
            (format!("{year:04}-S{}", half + 1), format!("{year:04}-{:02}/{year:04}-{:02}", half * 6 + 1, half * 6 + 6))
        }),
        (year.clone(), 0..4).prop_map(|(year, quarter)| {
            let long = format!("{year:04}-{:02}/{year:04}-{:02}", quarter * 3 + 1, quarter * 3 + 3);
            (format!("{year:04}-Q{}", quarter + 1), long)
        }),
        (year.clone(), 1..=12).prop_map(|(year, month)| {
            let text = format!("{year:04}-{month:02}");
            (text.clone(), format!("{text}/{text}"))
        }),
        (year.clone(), 1..=12, 1..=28).prop_map(|(year, month, day)| {
            let text = format!("{year:04}-{month:02}-{day:02}");
            (text.clone(), format!("{text}/{text}"))
        }),
        (year, 1..=60i32).prop_map(|(year, more)| {
            let last = (year + more).min(9999);
            (format!("{year:04}/{last:04}"), format!("{year:04}-Q1/{last:04}-Q4"))
        }),
    ]
}

fn first_day(text: &str) -> String {
    let first = text.split('/').next().unwrap();
    let (year, rest) = first.split_at(4);
    let month = match rest.get(1..).unwrap_or("01") {
        "S2" | "Q3" => "07",
        "Q2" => "04",
        "Q4" => "10",
        "S1" | "Q1" => "01",
        day => day,
    };
    format!("{year}-{month}-01").chars().take(10).collect()
}

#[test]
fn periods_come_back_in_order_in_their_shortest_form_however_they_are_spelled() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime.block_on(server_with_catalog());
    let round = std::cell::Cell::new(0);
    check("periods", 20, &prop::collection::vec((period(), any::<bool>()), 1..50), |periods| {
        round.set(round.get() + 1);
        let round = round.get();
        let unique: BTreeMap<&String, &String> = periods
            .iter()
            .map(|((short, long), spelled_out)| (short, if *spelled_out { long } else { short }))
            .collect();
        let mut sent = batch(RD, "CHN", "bank", &[]);
        sent.dimensions = vec![Dimension { id: "ROUND".into(), value: round.to_string() }];
        sent.points = unique.values().map(|text| point(text, "1")).collect();
        let found: Vec<String> = runtime.block_on(async {
            server.clients.ingest(released("2024-01-01"), vec![sent.clone()]).await.unwrap();
            let all = server.clients.observations(select(&[RD]), None).await;
            all.into_iter().filter(|row| row.dimensions == sent.dimensions).map(|row| row.period).collect()
        });
        let expected: BTreeSet<&String> = unique.keys().copied().collect();
        prop_assert_eq!(found.iter().collect::<BTreeSet<_>>(), expected);
        // Sorted by first day, as the model computes it.
        let days: Vec<String> = found.iter().map(|text| first_day(text)).collect();
        prop_assert!(days.windows(2).all(|pair| pair[0] <= pair[1]), "{:?}", found);
        Ok(())
    });
    runtime.block_on(server.end());
}
