//! Findings of the planner: a table of cases, with one for every code.

use std::collections::BTreeSet;

use almanac::proto::{definition::Item, *};
use tonic::{Code, Status};

use crate::support::{Clients, fields, fixture::*, publication, reason, upload};

/// The source files that make findings.
const PLANNER: [&str; 5] = [
    include_str!("../../src/ledger/plan.rs"),
    include_str!("../../src/ledger/plan/definitions.rs"),
    include_str!("../../src/ledger/plan/editions.rs"),
    include_str!("../../src/ledger/plan/figures.rs"),
    include_str!("../../src/ledger/plan/table_checks.rs"),
];

/// A write of any kind.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant)] // few, and short-lived
enum Write {
    Define(Vec<Definition>),
    Ingest(IngestHeader, Vec<SeriesBatch>),
    Publish(PublishHeader, Vec<Entry>),
    /// Of edition 2022, on this day.
    Withdraw(&'static str),
}

impl Write {
    async fn send(&self, clients: &Clients, options: WriteOptions) -> Result<WriteResult, Status> {
        match self.clone() {
            Self::Define(definitions) => clients.define(options, definitions).await,
            Self::Ingest(header, batches) => {
                let options = Some(options);
                clients.ingest_messages(upload(IngestHeader { options, ..header }, Vec::new(), &batches)).await
            }
            Self::Publish(header, rows) => {
                let options = Some(options);
                let messages = publication(PublishHeader { options, ..header }, Vec::new(), &rows);
                Ok(clients.publish_messages(messages).await?.result.unwrap())
            }
            Self::Withdraw(day) => {
                let request = WithdrawEditionRequest {
                    options: Some(options),
                    ranking: RANKING.into(),
                    edition: "2022".into(),
                    withdrawn: day.into(),
                };
                Ok(clients.admin.clone().withdraw_edition(request).await?.into_inner().result.unwrap())
            }
        }
    }
}

struct Case {
    code: &'static str,
    severity: FindingSeverity,
    location: &'static str,
    write: Write,
}

fn error(code: &'static str, location: &'static str, write: Write) -> Case {
    Case { code, severity: FindingSeverity::Error, location, write }
}

fn warning(code: &'static str, location: &'static str, write: Write) -> Case {
    Case { code, severity: FindingSeverity::Warning, location, write }
}

/// Edition 2023 of four clusters, with a change.
fn rows(change: impl FnOnce(&mut Vec<Entry>)) -> Write {
    let mut rows = entries(&[1, 2, 3, 4]);
    change(&mut rows);
    Write::Publish(edition("2023"), rows)
}

fn about(change: impl FnOnce(&mut Edition)) -> Write {
    let mut header = edition("2023");
    change(header.edition.as_mut().unwrap());
    Write::Publish(header, entries(&[1, 2, 3, 4]))
}

fn covered(kind: CoverageKind, listed: u32, universe: u32) -> Write {
    about(|edition| edition.coverage = Some(Coverage { kind: kind.into(), listed, universe, ..Default::default() }))
}

fn some_ranks(change: impl FnOnce(&mut Coverage, &mut Vec<Entry>)) -> Write {
    let mut header = partial(edition("2023"));
    let mut rows = entries(&[1, 2, 3, 4]);
    change(header.edition.as_mut().unwrap().coverage.as_mut().unwrap(), &mut rows);
    Write::Publish(header, rows)
}

fn figures(indicator: &str, entity: &str, source: &str, points: &[(&str, &str)]) -> Write {
    Write::Ingest(released("2024-01-01"), vec![batch(indicator, entity, source, points)])
}

fn coded(id: &str, codes: &[&str]) -> Definition {
    let codes = codes.iter().map(|code| EntityCode { scheme: "iso3166-1-alpha3".into(), value: (*code).into() });
    let kind = EntityKind::Economy.into();
    let entity = Entity { id: id.into(), kind, name: id.into(), codes: codes.collect(), ..Default::default() };
    Definition { item: Some(Item::Entity(entity)) }
}

fn ranking_of(source: &str) -> Definition {
    let subject = EntityKind::Cluster.into();
    Definition {
        item: Some(Item::Ranking(Ranking { id: "new".into(), subject, source: source.into(), ..Default::default() })),
    }
}

fn component(id: &str, rank: Option<u32>) -> EntryComponent {
    EntryComponent { id: id.into(), rank, ..Default::default() }
}

fn claim(rank: u32) -> Vec<RankClaim> {
    vec![RankClaim { rank, claimed_by: "somebody".into(), ..Default::default() }]
}

fn replacing(indicator: &str, source: &str) -> Write {
    let header = IngestHeader {
        mode: IngestMode::Replace.into(),
        replaced_indicators: vec![indicator.into()],
        replaced_source: source.into(),
        ..released("2024-01-01")
    };
    Write::Ingest(header, Vec::new())
}

fn cluster_in(entity: &str) -> Definition {
    let mut definition = cluster_entity(1);
    if let Some(Item::Entity(cluster)) = &mut definition.item {
        cluster.relations[0].entity = entity.into();
    }
    definition
}

fn definition_cases() -> Vec<Case> {
    vec![
        error("DUPLICATE_DEFINITION", "definitions[1]", Write::Define(vec![source("x", 1), source("x", 1)])),
        error("DUPLICATE_CODE", "definitions[0]", Write::Define(vec![coded("BRD", &["DEU"])])),
        error("DUPLICATE_CODE", "definitions[1]", Write::Define(vec![coded("A", &["AAA"]), coded("B", &["AAA"])])),
        error("DUPLICATE_CODE", "definitions[0]", Write::Define(vec![coded("A", &["AAA", "AAA"])])),
        error("UNKNOWN_ENTITY", "definitions[0]", Write::Define(vec![cluster_in("CNH")])),
        error("UNKNOWN_SOURCE", "definitions[0]", Write::Define(vec![ranking_of("offise")])),
        warning("METHODOLOGY_IN_USE", "definitions[0]", Write::Define(vec![methodology("two", &["pct"])])),
    ]
}

fn figure_cases() -> Vec<Case> {
    let empty = Write::Ingest(released("2024-01-01"), Vec::new());
    let future = Write::Ingest(released("2999-01-01"), vec![batch(RD, "CHN", "bank", &[("2022", "1")])]);
    vec![
        error("EMPTY_UPLOAD", "observations", empty),
        error("FUTURE_RELEASE", "header.released", future),
        error("UNKNOWN_INDICATOR", "series[0].indicator", figures("GB", "CHN", "bank", &[("2022", "1")])),
        error("UNKNOWN_ENTITY", "series[0].entity", figures(RD, "CNH", "bank", &[("2022", "1")])),
        error("UNKNOWN_SOURCE", "series[0].source", figures(RD, "CHN", "offise", &[("2022", "1")])),
        error("UNKNOWN_INDICATOR", "header.replaced_indicators", replacing("GB", "bank")),
        error("UNKNOWN_SOURCE", "header.replaced_source", replacing(RD, "offise")),
        error(
            "DUPLICATE_KEY",
            "GB.XPD.RSDV.GD.ZS CHN bank 2022",
            figures(RD, "CHN", "bank", &[("2022", "1"), ("2022", "2")]),
        ),
        warning("PERIOD_REWRITTEN", "series.points.period", figures(RD, "CHN", "bank", &[("2019-Q1/2019-Q3", "1")])),
    ]
}

fn corrected(header: PublishHeader) -> Write {
    Write::Publish(correction(header), entries(&[1, 2, 3]))
}

fn edition_cases() -> Vec<Case> {
    let mut older = edition("2022");
    older.edition.as_mut().unwrap().released = "2022-08-01".into();
    let mut restated = edition("2023");
    restated.edition.as_mut().unwrap().basis = EditionBasis::Restated.into();
    vec![
        error("FUTURE_RELEASE", "header.edition.released", about(|edition| edition.released = "2999-01-01".into())),
        error("UNKNOWN_METHODOLOGY", "header.edition.methodology", about(|edition| edition.methodology = "tow".into())),
        error("UNKNOWN_SOURCE", "header.edition.source", about(|edition| edition.source = "offise".into())),
        error("MISSING_ABOUT", "header.edition.about", Write::Publish(restated, entries(&[1]))),
        error("EMPTY_EDITION", "entries", rows(Vec::clear)),
        warning("OLDER_RELEASE", "header.edition.released", corrected(older)),
        error("WITHDRAWN_BEFORE_RELEASE", "withdrawn", Write::Withdraw("2022-08-31")),
        error("FUTURE_RELEASE", "withdrawn", Write::Withdraw("2999-01-01")),
        error("COVERAGE_MISMATCH", "header.edition.coverage", covered(CoverageKind::Top, 100, 0)),
        error("COVERAGE_MISMATCH", "header.edition.coverage.listed", covered(CoverageKind::All, 3, 0)),
        error("COVERAGE_MISMATCH", "header.edition.coverage.universe", covered(CoverageKind::Top, 4, 3)),
        error("COVERAGE_MISMATCH", "header.edition.coverage.universe", covered(CoverageKind::Partial, 100, 99)),
        error("COVERAGE_MISMATCH", "header.edition.coverage.listed", some_ranks(|coverage, _| coverage.listed = 3)),
        error(
            "RANK_ABOVE_LISTED",
            "entries[cluster:04].rank",
            some_ranks(|coverage, rows| (coverage.listed, rows[3].rank) = (10, Some(50))),
        ),
    ]
}

fn entry_cases() -> Vec<Case> {
    vec![
        error("DUPLICATE_ENTITY", "entries[cluster:01]", rows(|rows| rows[3].entity = cluster(1))),
        error("UNKNOWN_ENTITY", "entries[cluster:1O].entity", rows(|rows| rows[3].entity = "cluster:1O".into())),
        error("UNKNOWN_ENTITY", "entries[cluster:01].economies", rows(|rows| rows[0].economies = vec!["CHI".into()])),
        error("NOT_AN_ECONOMY", "entries[cluster:01].economies", rows(|rows| rows[0].economies = vec![cluster(2)])),
        error(
            "DUPLICATE_ECONOMY",
            "entries[cluster:01].economies",
            rows(|rows| rows[0].economies = vec!["CHN".into(), "CHN".into()]),
        ),
        error(
            "DUPLICATE_COMPONENT",
            "entries[cluster:01].components[pct]",
            rows(|rows| rows[0].components = vec![component("pct", None), component("pct", Some(1))]),
        ),
        error(
            "BAD_RANK",
            "entries[cluster:01].components[pct].rank",
            rows(|rows| rows[0].components = vec![component("pct", Some(0))]),
        ),
        error("BAD_RANK", "entries[cluster:01].previous", rows(|rows| rows[0].previous = claim(0))),
        error("BAD_RANK", "entries[cluster:01].disputed", rows(|rows| rows[0].disputed = claim(0))),
        error("BAD_RANK", "entries[cluster:01].rank", rows(|rows| rows[0].rank = Some(0))),
        error("DUPLICATE_RANK", "entries[cluster:02].rank", rows(|rows| rows[2].rank = Some(2))),
        error("RANK_GAP", "entries[cluster:04].rank", rows(|rows| rows[3].rank = Some(5))),
        error("MISSING_RANK", "entries[cluster:04].rank", rows(|rows| rows[3].rank = None)),
        warning("LONELY_TIE", "entries[cluster:03].rank", rows(|rows| rows[2].tied = true)),
        warning("SCORE_ORDER", "entries[cluster:02].score", rows(|rows| rows[1].score = Some(number("99.9")))),
    ]
}

fn is_code(text: &&str) -> bool {
    text.contains('_') && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') && text.len() > 4
}

/// The codes in the source of the planner: string literals in capitals.
fn codes_there_are() -> BTreeSet<&'static str> {
    PLANNER.iter().flat_map(|source| source.split('"').skip(1).step_by(2)).filter(is_code).collect()
}

#[tokio::test]
async fn a_dry_run_reports_every_finding_and_errors_refuse_the_write() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    clients.publish(edition("2022"), entries(&[1, 2, 3])).await.unwrap();
    let status = clients.status().await;
    let cases = [definition_cases(), figure_cases(), edition_cases(), entry_cases()].into_iter().flatten();
    let mut covered = BTreeSet::new();
    for Case { code, severity, location, write } in cases {
        let dry = write.send(clients, validate()).await.unwrap_or_else(|status| panic!("{code}: {status:?}"));
        let reported: Vec<(&str, FindingSeverity, &str)> =
            dry.findings.iter().map(|finding| (&finding.code[..], finding.severity(), &finding.location[..])).collect();
        assert!(reported.contains(&(code, severity, location)), "{code} {location}: {reported:?}");
        let refused = dry.findings.iter().any(|finding| finding.severity() == FindingSeverity::Error);
        assert_eq!(refused, severity == FindingSeverity::Error, "{code}: {reported:?}");
        if refused {
            assert_eq!(dry.difference, [], "{code}: what is refused changes nothing");
            let status = write.send(clients, WriteOptions::default()).await.expect_err(code);
            let unknown = dry.findings.iter().all(|finding| finding.code.starts_with("UNKNOWN_"));
            let expected = if unknown { (Code::NotFound, code) } else { (Code::InvalidArgument, "FINDINGS") };
            assert_eq!((status.code(), reason(&status).as_str()), expected, "{code}: {status:?}");
            assert!(fields(&status).iter().any(|field| field == location), "{code}: {status:?}");
        }
        covered.insert(code);
    }
    assert_eq!(clients.status().await, status, "nothing was written");
    assert_eq!(covered, codes_there_are(), "every code has a case here");
    server.end().await;
}

/// A write with a warning is committed, and its answer has the warning.
#[tokio::test]
async fn periods_that_are_answered_in_another_form_are_counted() {
    let server = server_with_catalog().await;
    let points = [("2019-Q1/2019-Q3", "1"), ("2020", "2"), ("2021-01/2021-12", "3")];
    let sent = vec![batch(RD, "CHN", "bank", &points)];
    let answer = server.clients.ingest(released("2024-01-01"), sent).await.unwrap();
    assert_eq!(answer.findings.len(), 1, "once for all of them: {:?}", answer.findings);
    let message = &answer.findings[0].message;
    for part in ["`2019-Q1/2019-Q3`", "`2019-01/2019-09`", "and 1 more"] {
        assert!(message.contains(part), "{message}");
    }
    let periods = server.clients.observations(select(&[RD]), None).await.into_iter().map(|figure| figure.period);
    assert_eq!(periods.collect::<Vec<_>>(), ["2019-01/2019-09", "2020", "2021"]);
    server.end().await;
}

#[tokio::test]
async fn a_write_without_a_fault_has_no_findings() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let writes = [
        Write::Define(vec![coded("FRA", &["FRA"])]),
        figures(RD, "CHN", "bank", &[("2022", "1")]),
        rows(|_| {}),
        covered(CoverageKind::All, 0, 4),
        some_ranks(|coverage, rows| (coverage.listed, rows[3].rank) = (10, Some(10))),
    ];
    for write in writes {
        let dry = write.send(clients, validate()).await.unwrap();
        assert_eq!(dry.findings, [], "{write:?}");
    }
    server.end().await;
}
