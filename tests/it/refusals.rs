//! Bad input: each is refused with a code, a reason and the field, and leaves nothing behind.

use std::time::Duration;

use almanac::proto::*;
use tonic::{Code, Status};

use crate::support::{
    Clients, DEADLINE, TestServer, assert_refused, fields, fixture::*, long, publication, reason, upload,
};

/// A world that holds something, and what it held before the refusals.
struct Untouched {
    server: TestServer,
    status: GetStoreStatusResponse,
    head: GetHeadResponse,
}

impl Untouched {
    async fn new() -> Self {
        let server = server_with_catalog().await;
        let figures = vec![batch(RD, "CHN", "bank", &[("2020", "2.40"), ("2021", "2.44")])];
        server.clients.ingest(released("2023-03-01"), figures).await.unwrap();
        server.clients.publish(edition("2022"), entries(&[1, 2, 3])).await.unwrap();
        let status = server.clients.status().await;
        let head = Self::head(&server.clients).await;
        Self { server, status, head }
    }

    async fn head(clients: &Clients) -> GetHeadResponse {
        clients.feed.clone().get_head(GetHeadRequest::default()).await.unwrap().into_inner()
    }

    fn clients(&self) -> &Clients {
        &self.server.clients
    }

    async fn check(&self, what: &str) {
        assert_eq!(Self::head(self.clients()).await, self.head, "{what}");
        assert_eq!(self.clients().status().await, self.status, "{what}");
    }

    /// Asserts the refusal, and that nothing of it remains.
    async fn refused<T: std::fmt::Debug>(
        &self,
        what: &str,
        result: Result<T, Status>,
        code: Code,
        why: &str,
        field: &str,
    ) -> Status {
        let status = match result {
            Err(status) => status,
            Ok(answer) => panic!("{what} should have been refused: {answer:?}"),
        };
        assert_eq!((status.code(), reason(&status).as_str()), (code, why), "{what}: {}", status.message());
        if !field.is_empty() {
            let named = fields(&status);
            assert!(named.iter().any(|name| name == field), "{what}: {named:?} should name {field}");
        }
        assert!(!status.message().is_empty());
        self.check(what).await;
        status
    }

    /// Still takes writes, and has lost nothing.
    async fn end(self) {
        let figures = vec![batch(RD, "JPN", "bank", &[("2020", "3.3")])];
        let next = self.clients().ingest(released("2023-03-02"), figures).await.unwrap();
        assert_eq!(next.revision, self.head.head + 1);
        self.server.end().await;
    }
}

fn with_value(value: Value) -> Vec<SeriesBatch> {
    let mut sent = batch(RD, "CHN", "bank", &[("2022", "1")]);
    sent.points[0].value = Some(value);
    vec![sent]
}

fn header_message(header: IngestHeader) -> IngestObservationsRequest {
    IngestObservationsRequest { part: Some(ingest_observations_request::Part::Header(header)) }
}

fn figures_message(series: Vec<SeriesBatch>) -> IngestObservationsRequest {
    let part = ingest_observations_request::Part::Observations(ObservationBatch { series });
    IngestObservationsRequest { part: Some(part) }
}

fn double(number: f64) -> Value {
    Value { number: Some(number), ..Default::default() }
}

#[tokio::test]
async fn unknown_ids_are_not_found_and_the_nearest_known_are_named() {
    let untouched = Untouched::new().await;
    let cases = [
        (batch("GB.XPD.RSDV.GD.SZ", "CHN", "bank", &[("2022", "1")]), "UNKNOWN_INDICATOR", "indicator", RD),
        (batch(RD, "Germny", "bank", &[("2022", "1")]), "UNKNOWN_ENTITY", "entity", "DEU"),
        (batch(RD, "CHN", "offise", &[("2022", "1")]), "UNKNOWN_SOURCE", "source", "office"),
    ];
    for (sent, code, field, near) in cases {
        let known = batch(RD, "CHN", "bank", &[("2022", "1")]);
        let result = untouched.clients().ingest(released("2024-01-01"), vec![known, sent]).await;
        let field = format!("series[1].{field}");
        let status = untouched.refused(code, result, Code::NotFound, code, &field).await;
        assert!(status.message().contains(near), "{} should name {near}", status.message());
    }
    let mut unknown = entries(&[1, 2]);
    unknown[1].entity = "cluster:1O".into();
    let result = untouched.clients().publish(edition("2023"), unknown).await;
    let status =
        untouched.refused("entry", result, Code::NotFound, "UNKNOWN_ENTITY", "entries[cluster:1O].entity").await;
    assert!(status.message().contains("cluster:10"), "{}", status.message());
    let mut abroad = entries(&[1, 2]);
    abroad[0].economies = vec!["CHI".into()];
    let result = untouched.clients().publish(edition("2023"), abroad).await;
    untouched.refused("economy", result, Code::NotFound, "UNKNOWN_ENTITY", "entries[cluster:01].economies").await;
    let mut header = edition("2023");
    header.edition.as_mut().unwrap().ranking = "cluster".into();
    let result = untouched.clients().publish(header, entries(&[1])).await;
    let status = untouched.refused("ranking", result, Code::NotFound, "UNKNOWN_RANKING", "").await;
    assert!(status.message().contains("clusters"));
    let mut header = edition("2023");
    header.edition.as_mut().unwrap().source = "offise".into();
    let result = untouched.clients().publish(header, entries(&[1])).await;
    untouched.refused("source", result, Code::NotFound, "UNKNOWN_SOURCE", "header.edition.source").await;
    let mut header = edition("2023");
    header.edition.as_mut().unwrap().methodology = "tow".into();
    let result = untouched.clients().publish(header, entries(&[1])).await;
    let status =
        untouched.refused("method", result, Code::NotFound, "UNKNOWN_METHODOLOGY", "header.edition.methodology").await;
    assert!(status.message().contains("two"));
    let result = untouched.clients().withdraw(WriteOptions::default(), RANKING, "2032").await;
    let status = untouched.refused("withdraw", result, Code::NotFound, "NO_EDITION", "").await;
    assert!(status.message().contains("2022"));
    untouched.end().await;
}

#[tokio::test]
async fn figures_that_are_none_are_refused() {
    let untouched = Untouched::new().await;
    let exact = |text: &str| number(text);
    let cases = [
        ("nan", double(f64::NAN), "number"),
        ("infinity", double(f64::INFINITY), "number"),
        ("minus infinity", double(f64::NEG_INFINITY), "number"),
        ("digits lost", Value { decimals: Some(1), ..double(2.345) }, "number"),
        ("decimals", Value { decimals: Some(31), ..double(2.0) }, "number"),
        ("comma", exact("2,5"), "exact"),
        ("words", exact("n/a"), "exact"),
        ("too large for a double", exact("1e999"), "exact"),
        ("a unicode minus", exact("\u{2212}1"), "exact"),
        ("a blank", exact(" 1"), "exact"),
        ("neither", Value::default(), "number"),
        ("both", Value { missing: MissingReason::Suppressed.into(), ..double(1.0) }, "missing"),
        ("an upper end without a range", Value { upper: Some(2.0), ..double(1.0) }, "upper"),
        ("a range without an upper end", Value { qualifier: Qualifier::Range.into(), ..double(1.0) }, "upper"),
        ("a range upside down", Value { qualifier: Qualifier::Range.into(), upper: Some(1.0), ..double(2.0) }, "upper"),
        (
            "a range upside down, by its text",
            Value { qualifier: Qualifier::Range.into(), upper: Some(1.0), ..exact("2") },
            "upper",
        ),
        (
            "a range to nowhere",
            Value { qualifier: Qualifier::Range.into(), upper: Some(f64::NAN), ..double(2.0) },
            "upper",
        ),
        ("a multiplier", Value { multiplier_pow10: 31, ..double(1.0) }, "multiplier_pow10"),
        ("a qualifier", Value { qualifier: 99, ..double(1.0) }, "qualifier"),
        ("a status", Value { status: 99, ..double(1.0) }, "status"),
        ("a reason", Value { missing: 99, ..Default::default() }, "missing"),
        ("a comment", Value { comment: "x".repeat(501), ..double(1.0) }, "comment"),
    ];
    for (what, value, field) in cases {
        let result = untouched.clients().ingest(released("2024-01-01"), with_value(value)).await;
        let field = format!("series[0].points[0].value.{field}");
        untouched.refused(what, result, Code::InvalidArgument, "FIELD", &field).await;
    }
    untouched.end().await;
}

#[tokio::test]
async fn ill_formed_periods_dates_and_ids_are_refused() {
    let untouched = Untouched::new().await;
    let periods =
        ["", "24", "2024-13", "2024-Q5", "2024-S0", "2024-02-30", "2023/2019", "2019/", "Change", "２０２４", "2024 "];
    for period in periods {
        let result =
            untouched.clients().ingest(released("2024-01-01"), vec![batch(RD, "CHN", "bank", &[(period, "1")])]).await;
        untouched.refused(period, result, Code::InvalidArgument, "FIELD", "series[0].points[0].period").await;
    }
    for day in ["", "2024", "2024-1-1", "2024-02-30", "01.02.2024", "0000-01-01", "2024-01-01T00:00:00Z"] {
        let result = untouched.clients().ingest(released(day), vec![batch(RD, "CHN", "bank", &[("2022", "1")])]).await;
        untouched.refused(day, result, Code::InvalidArgument, "FIELD", "header.released").await;
        let mut header = edition("2023");
        header.edition.as_mut().unwrap().released = day.into();
        let result = untouched.clients().publish(header, entries(&[1])).await;
        untouched.refused(day, result, Code::InvalidArgument, "FIELD", "header.edition.released").await;
    }
    for id in ["", "a b", "é", "a\n", &"x".repeat(129)] {
        let result =
            untouched.clients().ingest(released("2024-01-01"), vec![batch(id, "CHN", "bank", &[("2022", "1")])]).await;
        untouched.refused(id, result, Code::InvalidArgument, "FIELD", "series[0].indicator").await;
        let result = untouched.clients().withdraw(WriteOptions::default(), RANKING, id).await;
        untouched.refused(id, result, Code::InvalidArgument, "FIELD", "edition").await;
    }
    for (dimension, value) in [("SEX", ""), ("", "F"), ("SEX=", "F"), ("SEX", "F;G")] {
        let mut sent = batch(RD, "CHN", "bank", &[("2022", "1")]);
        sent.dimensions = vec![Dimension { id: dimension.into(), value: value.into() }];
        let result = untouched.clients().ingest(released("2024-01-01"), vec![sent]).await;
        untouched.refused(dimension, result, Code::InvalidArgument, "FIELD", "series[0].dimensions").await;
    }
    untouched.end().await;
}

#[tokio::test]
async fn a_figure_that_comes_twice_is_refused_however_it_is_spelled() {
    let untouched = Untouched::new().await;
    let cases = [
        vec![batch(RD, "CHN", "bank", &[("2022", "1"), ("2022", "1")])],
        vec![batch(RD, "CHN", "bank", &[("2022", "1")]), batch(RD, "CHN", "bank", &[("2022", "2")])],
        vec![batch(RD, "CHN", "bank", &[("2022", "1"), ("2022-01/2022-12", "2")])],
        vec![batch(RD, "CHN", "bank", &[("2020", "1"), ("2020", "2")])],
    ];
    for sent in cases {
        let what = format!("{sent:?}");
        let result = untouched.clients().ingest(released("2024-01-01"), sent).await;
        let status = untouched.refused(&what, result, Code::InvalidArgument, "FINDINGS", "").await;
        assert!(status.message().contains("DUPLICATE_KEY"), "{}", status.message());
    }
    // The same period of another series is another figure.
    let mut female = batch(RD, "CHN", "bank", &[("2022", "1")]);
    female.dimensions = vec![Dimension { id: "SEX".into(), value: "F".into() }];
    let both = vec![batch(RD, "CHN", "bank", &[("2022", "1")]), female];
    let header = IngestHeader { options: Some(validate()), ..released("2024-01-01") };
    assert!(untouched.clients().ingest(header, both).await.unwrap().findings.is_empty());
    untouched.end().await;
}

#[tokio::test]
async fn uploads_of_the_wrong_shape_are_refused() {
    let untouched = Untouched::new().await;
    let clients = untouched.clients();
    let figures = || vec![batch(RD, "CHN", "bank", &[("2022", "1")])];
    let batches = || figures_message(figures());
    let first = || header_message(released("2024-01-01"));
    let whole = |batches: &[SeriesBatch]| upload(released("2024-01-01"), Vec::new(), batches);
    let shapes = [
        ("no header", vec![batches()], "FIELD", "header"),
        ("a header late", vec![batches(), first()], "FIELD", "header"),
        ("two headers", vec![first(), batches(), first()], "FIELD", "header"),
        ("no figure", whole(&[]), "FINDINGS", "observations"),
        ("empty series", whole(&[batch(RD, "CHN", "bank", &[])]), "FINDINGS", "observations"),
    ];
    for (what, messages, why, field) in shapes {
        let result = clients.ingest_messages(messages).await;
        untouched.refused(what, result, Code::InvalidArgument, why, field).await;
    }
    let bad_points = [
        ("withdrawn with a value", IngestPoint { withdrawn: true, ..point("2022", "1") }, "withdrawn"),
        ("no value", IngestPoint { period: "2022".into(), value: None, withdrawn: false }, "value"),
    ];
    for (what, point, field) in bad_points {
        let mut sent = figures();
        sent[0].points.push(point);
        let result = clients.ingest(released("2024-01-01"), sent).await;
        let field = format!("series[0].points[1].{field}");
        untouched.refused(what, result, Code::InvalidArgument, "FIELD", &field).await;
    }
    let options = [
        ("a long request id", request(&"x".repeat(129)), "options.request_id"),
        ("a request id with a blank", request("a b"), "options.request_id"),
        ("a long note", WriteOptions { note: "x".repeat(1_001), ..Default::default() }, "options.note"),
        ("a digest", WriteOptions { document_sha256: "abc".into(), ..Default::default() }, "options.document_sha256"),
        ("a cause", WriteOptions { cause: 99, ..Default::default() }, "options.cause"),
    ];
    for (what, options, field) in options {
        let header = IngestHeader { options: Some(options.clone()), ..released("2024-01-01") };
        let result = clients.ingest(header, figures()).await;
        untouched.refused(what, result, Code::InvalidArgument, "FIELD", field).await;
        let result = clients.define(options.clone(), vec![economy("FRA", "France")]).await;
        untouched.refused(what, result, Code::InvalidArgument, "FIELD", field).await;
        let header = PublishHeader { options: Some(options.clone()), ..edition("2023") };
        let result = clients.publish(header, entries(&[1])).await;
        untouched.refused(what, result, Code::InvalidArgument, "FIELD", field).await;
        let result = clients.withdraw(options, RANKING, "2022").await;
        untouched.refused(what, result, Code::InvalidArgument, "FIELD", field).await;
    }
    let mode = IngestHeader { mode: 99, ..released("2024-01-01") };
    untouched
        .refused("mode", clients.ingest(mode, figures()).await, Code::InvalidArgument, "FIELD", "header.mode")
        .await;
    untouched.end().await;
}

type Change<'a> = &'a dyn Fn(&mut Edition);

#[tokio::test]
async fn tables_that_make_no_sense_are_refused() {
    let untouched = Untouched::new().await;
    let changed = |change: &dyn Fn(&mut Vec<Entry>)| {
        let mut all = entries(&[1, 2, 3, 4]);
        change(&mut all);
        all
    };
    let cases: Vec<(&str, Vec<Entry>, &str, &str)> = vec![
        ("EMPTY_EDITION", Vec::new(), "FINDINGS", "entries"),
        ("DUPLICATE_RANK", changed(&|all| all[2].rank = Some(2)), "FINDINGS", "entries[cluster:02].rank"),
        (
            "DUPLICATE_RANK",
            changed(&|all| (all[2].rank, all[2].tied) = (Some(2), true)),
            "FINDINGS",
            "entries[cluster:02].rank",
        ),
        ("RANK_GAP", changed(&|all| all[3].rank = Some(5)), "FINDINGS", "entries[cluster:04].rank"),
        (
            "RANK_GAP",
            changed(&|all| {
                all.remove(0);
            }),
            "FINDINGS",
            "entries[cluster:02].rank",
        ),
        ("MISSING_RANK", changed(&|all| all[3].rank = None), "FINDINGS", "entries[cluster:04].rank"),
        ("BAD_RANK", changed(&|all| all[0].rank = Some(0)), "FINDINGS", "entries[cluster:01].rank"),
        ("DUPLICATE_ENTITY", changed(&|all| all[3].entity = cluster(1)), "FINDINGS", "entries[cluster:01]"),
        (
            "not a finite number",
            changed(&|all| all[1].score = Some(double(f64::NAN))),
            "FIELD",
            "entries[1].score.number",
        ),
        ("longer than", changed(&|all| all[1].note = "x".repeat(501)), "FIELD", "entries[1].note"),
        (
            "more than",
            changed(&|all| all[1].components = vec![EntryComponent::default(); 301]),
            "FIELD",
            "entries[1].components",
        ),
        ("not an id", changed(&|all| all[1].entity = String::new()), "FIELD", "entries[1].entity"),
    ];
    for (what, sent, why, field) in cases {
        let result = untouched.clients().publish(edition("2023"), sent).await;
        let status = untouched.refused(what, result, Code::InvalidArgument, why, field).await;
        assert!(status.message().contains(what), "{}", status.message());
    }
    let headers: [(&str, Change<'_>, &str, &str); 8] = [
        ("listed", &|edition| edition.coverage.as_mut().unwrap().listed = 100, "FINDINGS", "header.edition.coverage"),
        ("about", &|edition| edition.basis = EditionBasis::Restated.into(), "FINDINGS", "header.edition.about"),
        ("revision", &|edition| edition.revision = 7, "FIELD", "header.edition"),
        (
            "complete_to",
            &|edition| edition.coverage.as_mut().unwrap().complete_to = 7,
            "FIELD",
            "header.edition.coverage.complete_to",
        ),
        ("status", &|edition| edition.status = EditionStatus::Corrected.into(), "FIELD", "header.edition.status"),
        ("withdrawn", &|edition| edition.status = EditionStatus::Withdrawn.into(), "FIELD", "header.edition.status"),
        ("basis", &|edition| edition.basis = 99, "FIELD", "header.edition.basis"),
        ("id", &|edition| edition.id = "a b".into(), "FIELD", "header.edition.id"),
    ];
    for (what, change, why, field) in headers {
        let mut header = edition("2023");
        change(header.edition.as_mut().unwrap());
        let result = untouched.clients().publish(header, entries(&[1, 2])).await;
        untouched.refused(what, result, Code::InvalidArgument, why, field).await;
    }
    let exists = untouched.clients().publish(edition("2022"), entries(&[3, 2, 1])).await;
    untouched.refused("exists", exists, Code::AlreadyExists, "EDITION_EXISTS", "").await;
    let absent = untouched.clients().publish(correction(edition("2023")), entries(&[1])).await;
    untouched.refused("absent", absent, Code::NotFound, "NO_EDITION", "").await;
    let header = PublishHeader { edition: None, ..edition("2023") };
    let result = untouched.clients().publish(header, entries(&[1])).await;
    untouched.refused("no edition", result, Code::InvalidArgument, "FIELD", "header.edition").await;
    let mut twice = publication(edition("2023"), Vec::new(), &entries(&[1]));
    twice.insert(1, twice[0].clone());
    let result = untouched.clients().publish_messages(twice).await;
    untouched.refused("two headers", result, Code::InvalidArgument, "FIELD", "header").await;
    let headless = publication(edition("2023"), Vec::new(), &entries(&[1])).split_off(1);
    let result = untouched.clients().publish_messages(headless).await;
    untouched.refused("no header", result, Code::InvalidArgument, "FIELD", "header").await;
    untouched.end().await;
}

#[tokio::test]
async fn ties_and_gaps_are_taken_where_they_are_declared() {
    let server = server_with_catalog().await;
    let mut tied = entries(&[1, 2, 3, 4]);
    (tied[1].tied, tied[2].tied, tied[2].rank) = (true, true, Some(2));
    server.clients.publish(edition("2022"), tied.clone()).await.unwrap();
    // After a tie the next rank may also go on by one.
    tied[3].rank = Some(3);
    server.clients.publish(edition("2023"), tied).await.unwrap();
    let some = vec![entry(1, 3), entry(2, 17), Entry { rank: None, ..entry(5, 1) }];
    let answer = server.clients.publish(partial(edition("2024")), some).await.unwrap();
    assert_eq!(answer.edition.unwrap().coverage.unwrap().complete_to, 0);
    server.end().await;
}

#[tokio::test]
async fn definitions_that_make_no_sense_are_refused() {
    use definition::Item;
    let untouched = Untouched::new().await;
    let define = |object| vec![Definition { item: Some(object) }];
    let entity = |change: &dyn Fn(&mut Entity)| {
        let mut entity =
            Entity { id: "FRA".into(), kind: EntityKind::Economy.into(), name: "France".into(), ..Default::default() };
        change(&mut entity);
        define(Item::Entity(entity))
    };
    let ranked = |change: &dyn Fn(&mut Ranking)| {
        let Some(Item::Ranking(mut given)) = ranking().item else { unreachable!() };
        change(&mut given);
        define(Item::Ranking(given))
    };
    let method = |change: &dyn Fn(&mut Methodology)| {
        let Some(Item::Methodology(mut given)) = methodology("new", &["pct", "pub"]).item else { unreachable!() };
        change(&mut given);
        define(Item::Methodology(given))
    };
    let to = |entity: &str, kind: RelationKind| EntityRelation {
        kind: kind.into(),
        entity: entity.into(),
        ..Default::default()
    };
    let component =
        |id: &str, parent: &str| MethodologyComponent { id: id.into(), parent: parent.into(), ..Default::default() };
    let invalid = Code::InvalidArgument;
    let cases: Vec<(&str, Vec<Definition>, Code, &str, &str)> = vec![
        ("none", vec![], invalid, "FIELD", "definitions"),
        ("no object", vec![Definition { item: None }], invalid, "FIELD", "definitions[0].item"),
        ("id", entity(&|entity| entity.id = "F R".into()), invalid, "FIELD", "definitions[0].entity.id"),
        ("kind", entity(&|entity| entity.kind = 0), invalid, "FIELD", "definitions[0].entity.kind"),
        ("kind", entity(&|entity| entity.kind = 99), invalid, "FIELD", "definitions[0].entity.kind"),
        (
            "relation",
            entity(&|entity| entity.relations = vec![to("DEU", RelationKind::Unspecified)]),
            invalid,
            "FIELD",
            "definitions[0].entity.relations.kind",
        ),
        (
            "unknown",
            entity(&|entity| entity.relations = vec![to("EUR", RelationKind::MemberOf)]),
            Code::NotFound,
            "UNKNOWN_ENTITY",
            "definitions[0]",
        ),
        ("name", entity(&|entity| entity.name = "x".repeat(501)), invalid, "FIELD", "definitions[0].entity.name"),
        (
            "codes",
            entity(&|entity| entity.codes = vec![EntityCode::default(); 501]),
            invalid,
            "FIELD",
            "definitions[0].entity.codes",
        ),
        ("twice", [entity(&|_| {}), entity(&|_| {})].concat(), invalid, "FINDINGS", "definitions[1]"),
        (
            "decimals",
            define(Item::Indicator(Indicator { id: "X".into(), default_decimals: 31, ..Default::default() })),
            invalid,
            "FIELD",
            "definitions[0].indicator.default_decimals",
        ),
        (
            "date",
            define(Item::Source(Source { id: "x".into(), published: "May 2024".into(), ..Default::default() })),
            invalid,
            "FIELD",
            "definitions[0].source.published",
        ),
        (
            "source",
            ranked(&|ranking| ranking.source = "nobody".into()),
            Code::NotFound,
            "UNKNOWN_SOURCE",
            "definitions[0]",
        ),
        ("method twice", [method(&|_| {}), method(&|_| {})].concat(), invalid, "FINDINGS", "definitions[1]"),
        (
            "parents first",
            method(&|method| method.components = vec![component("a", "b"), component("b", "")]),
            invalid,
            "FIELD",
            "definitions[0].methodology.components",
        ),
        (
            "component twice",
            method(&|method| method.components = vec![component("a", ""), component("a", "")]),
            invalid,
            "FIELD",
            "definitions[0].methodology.components",
        ),
        (
            "weight",
            method(&|method| method.components[0].weight = Some(f64::NAN)),
            invalid,
            "FIELD",
            "definitions[0].methodology.components.weight",
        ),
        (
            // Subscribers get what was before and what is after in one message.
            "too long for the feed",
            method(&|method| {
                method.components = (0..500)
                    .map(|id| MethodologyComponent { name: "x".repeat(3_000), ..component(&id.to_string(), "") })
                    .collect();
            }),
            invalid,
            "FIELD",
            "definitions[0].methodology",
        ),
    ];
    for (what, sent, code, why, field) in cases {
        let result = untouched.clients().define(WriteOptions::default(), sent).await;
        untouched.refused(what, result, code, why, field).await;
    }
    untouched.end().await;
}

#[tokio::test]
async fn one_error_among_many_figures_refuses_all_and_many_errors_are_counted() {
    let untouched = Untouched::new().await;
    let years: Vec<String> = (1000..3000).map(|year| year.to_string()).collect();
    let points: Vec<(&str, &str)> = years.iter().map(|year| (year.as_str(), "1.5")).collect();
    let mut sent: Vec<SeriesBatch> = ECONOMIES.iter().map(|entity| batch(PATENTS, entity, "bank", &points)).collect();
    sent.push(batch(VENTURE, "CHN", "bank", &[("2022", "1"), ("2022", "2")]));
    let result = untouched.clients().ingest(released("2024-01-01"), sent).await;
    untouched.refused("the last figure", result, Code::InvalidArgument, "FINDINGS", "").await;

    let unknown = (0..3_000).map(|number| batch(RD, &format!("nowhere-{number}"), "bank", &[("2022", "1")])).collect();
    let result = untouched.clients().ingest(released("2024-01-01"), unknown).await;
    let status = untouched.refused("3000 errors", result, Code::NotFound, "UNKNOWN_ENTITY", "").await;
    assert!(status.message().contains("2999 more"), "{}", status.message());
    assert!(fields(&status).len() <= 20 && status.details().len() < 8_000);
    untouched.end().await;
}

#[tokio::test]
async fn a_message_that_is_too_long_is_refused_and_the_server_lives_on() {
    let untouched = Untouched::new().await;
    let mut sent = batch(RD, "CHN", "bank", &[("2022", "1")]);
    sent.points[0].value.as_mut().unwrap().comment = "x".repeat(100 << 20);
    let result = untouched.clients().ingest(released("2024-01-01"), vec![sent]).await;
    let status = result.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{}", status.message());
    untouched.check("100 MiB").await;
    let result = untouched.clients().define(WriteOptions::default(), vec![economy("FRA", &"x".repeat(5 << 20))]).await;
    assert_eq!(result.unwrap_err().code(), Code::OutOfRange);
    untouched.check("5 MiB").await;
    untouched.end().await;
}

/// Messages that end in silence: the call stays open until somebody drops it.
fn endless(
    messages: tokio::sync::mpsc::Receiver<IngestObservationsRequest>,
) -> tokio_stream::wrappers::ReceiverStream<IngestObservationsRequest> {
    tokio_stream::wrappers::ReceiverStream::new(messages)
}

#[tokio::test]
async fn an_upload_that_is_dropped_half_way_leaves_nothing() {
    let mut untouched = Untouched::new().await;
    for round in 0..if long() { 50 } else { 5 } {
        let clients = Clients::connect(untouched.server.address()).await;
        let (sender, messages) = tokio::sync::mpsc::channel(1);
        let call =
            tokio::spawn(async move { clients.admin.clone().ingest_observations(endless(messages)).await.map(|_| ()) });
        let header = IngestHeader { options: Some(request(&format!("dropped-{round}"))), ..released("2024-01-01") };
        sender.send(header_message(header)).await.unwrap();
        let years: Vec<String> = (1000..4000).map(|year| year.to_string()).collect();
        let points: Vec<(&str, &str)> = years.iter().map(|year| (year.as_str(), "1.5")).collect();
        // Far more than the windows of HTTP/2 hold: that all of it was taken means that the server has read most.
        for number in 0..40 {
            let mut sent = batch(PATENTS, ECONOMIES[number % 6], "bank", &points);
            sent.dimensions = vec![Dimension { id: "N".into(), value: number.to_string() }];
            let message = figures_message(vec![sent]);
            tokio::time::timeout(DEADLINE, sender.send(message)).await.expect("the server reads").unwrap();
        }
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
        untouched.check("dropped").await;
    }
    // When the server has ended, every call it ever had has.
    untouched.server.restart().await;
    untouched.check("dropped, after a restart").await;
    untouched.end().await;
}

#[tokio::test]
async fn a_silent_upload_does_not_keep_the_server_from_stopping() {
    let mut server = server_with_catalog().await;
    let (sender, messages) = tokio::sync::mpsc::channel(1);
    let clients = server.clients.clone();
    let call =
        tokio::spawn(async move { clients.admin.clone().ingest_observations(endless(messages)).await.map(|_| ()) });
    sender.send(header_message(released("2024-01-01"))).await.unwrap();
    tokio::time::timeout(DEADLINE, server.stop()).await.expect("stops by itself");
    tokio::time::timeout(Duration::from_secs(10), call).await.expect("the call ends").unwrap().unwrap_err();
    server.restart().await;
    assert_eq!(server.clients.head().await, 1);
    server.end().await;
}

#[tokio::test]
async fn reads_of_the_wrong_shape_are_refused() {
    let untouched = Untouched::new().await;
    let clients = untouched.clients();
    let figure = GetFigureRequest { indicator: RD.into(), entity: "CHN".into(), ..Default::default() };
    let bad = GetFigureRequest { period: "2020-Q9".into(), ..figure.clone() };
    assert_refused(clients.statistics.clone().get_figure(bad).await, Code::InvalidArgument, "FIELD");
    let bad = GetFigureRequest { indicator: String::new(), ..figure };
    assert_refused(clients.statistics.clone().get_figure(bad).await, Code::InvalidArgument, "FIELD");
    let bad = CompareEditionsRequest { ranking: RANKING.into(), earlier_edition: "2022".into(), ..Default::default() };
    assert_refused(clients.rankings.clone().compare_editions(bad).await, Code::InvalidArgument, "FIELD");
    let bad = StreamSeriesRequest::default();
    assert_refused(clients.statistics.clone().stream_series(bad).await.map(|_| ()), Code::InvalidArgument, "FIELD");
    for bad in [-1, i32::MIN] {
        let bad = ListCommitsRequest { page_size: bad, ..Default::default() };
        assert_refused(clients.feed.clone().list_commits(bad).await, Code::InvalidArgument, "FIELD");
    }
    let bad = ListCommitsRequest { after_revision: 99, ..Default::default() };
    assert_refused(clients.feed.clone().list_commits(bad).await, Code::OutOfRange, "ABOVE_HEAD");
    let nonsense = prost_types::Timestamp { seconds: i64::MAX, nanos: -5 };
    let bad =
        ResolveRevisionRequest { at: Some(resolve_revision_request::At::Recorded(nonsense)), ..Default::default() };
    assert_refused(clients.feed.clone().resolve_revision(bad).await, Code::InvalidArgument, "FIELD");
    untouched.check("reads").await;
    untouched.end().await;
}
