//! Figures, periods and ids that are refused.

use almanac::proto::*;
use tonic::Code;

use super::{UntouchedServer, double};
use crate::support::fixture::*;

#[tokio::test]
async fn unknown_ids_are_not_found_and_the_nearest_known_are_named() {
    let untouched = UntouchedServer::new().await;
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
async fn values_that_are_no_figures_are_refused() {
    let untouched = UntouchedServer::new().await;
    let cases = [
        ("nan", double(f64::NAN), "number"),
        ("infinity", double(f64::INFINITY), "number"),
        ("minus infinity", double(f64::NEG_INFINITY), "number"),
        ("digits lost", Value { decimals: Some(1), ..double(2.345) }, "number"),
        ("decimals", Value { decimals: Some(31), ..double(2.0) }, "number"),
        ("comma", number("2,5"), "exact"),
        ("words", number("n/a"), "exact"),
        ("too large for a double", number("1e999"), "exact"),
        ("a unicode minus", number("\u{2212}1"), "exact"),
        ("a blank", number(" 1"), "exact"),
        ("neither", Value::default(), "number"),
        ("both", Value { missing: MissingReason::Suppressed.into(), ..double(1.0) }, "missing"),
        ("an upper end without a range", Value { upper: Some(2.0), ..double(1.0) }, "upper"),
        ("a range without an upper end", Value { qualifier: Qualifier::Range.into(), ..double(1.0) }, "upper"),
        ("a range upside down", Value { qualifier: Qualifier::Range.into(), upper: Some(1.0), ..double(2.0) }, "upper"),
        (
            "a range upside down, by its text",
            Value { qualifier: Qualifier::Range.into(), upper: Some(1.0), ..number("2") },
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
    let untouched = UntouchedServer::new().await;
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
    let untouched = UntouchedServer::new().await;
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

fn with_value(value: Value) -> Vec<SeriesBatch> {
    let mut sent = batch(RD, "CHN", "bank", &[("2022", "1")]);
    sent.points[0].value = Some(value);
    vec![sent]
}
