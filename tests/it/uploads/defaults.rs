//! An upload is the same whether it spells a default out or not: a retry gets the first answer.

use almanac::proto::{
    ingest_observations_request::Part as IngestPart, publish_edition_request::Part as PublishPart, *,
};
use tonic::{Code, Status};

use super::france;
use crate::support::{fixture::*, publication, reason, upload};

/// Sends an upload under one request id, then others: each is a replay, or refused.
async fn assert_same<M: Clone, A: std::fmt::Debug>(
    first: Vec<M>,
    same: Vec<(&str, Vec<M>)>,
    other: Vec<(&str, Vec<M>)>,
    send: impl AsyncFn(Vec<M>) -> Result<(WriteResult, A), Status>,
) {
    let (written, _) = send(first).await.unwrap();
    assert!(!written.replayed);
    for (what, messages) in same {
        let (again, _) = send(messages).await.unwrap_or_else(|status| panic!("{what}: {status:?}"));
        assert_eq!((again.replayed, again.revision), (true, written.revision), "{what}");
    }
    for (what, messages) in other {
        let status = send(messages).await.expect_err(what);
        assert_eq!((status.code(), reason(&status).as_str()), (Code::AlreadyExists, "REQUEST_REUSED"), "{what}");
    }
}

fn ingest_message(part: IngestPart) -> IngestObservationsRequest {
    IngestObservationsRequest { part: Some(part) }
}

/// Messages with their end counted anew.
fn counted(mut messages: Vec<IngestObservationsRequest>) -> Vec<IngestObservationsRequest> {
    messages.retain(|message| !matches!(message.part, Some(IngestPart::End(_))));
    let rows = messages.iter().filter_map(|message| match &message.part {
        Some(IngestPart::Observations(batch)) => Some(&batch.series),
        _ => None,
    });
    let rows = rows.flatten().map(|series| series.points.len() as u64).sum();
    let end = UploadEnd { messages: messages.len() as u64 - 1, rows };
    messages.push(ingest_message(IngestPart::End(end)));
    messages
}

#[tokio::test]
async fn an_upload_of_figures_is_the_same_whatever_it_leaves_to_its_defaults() {
    let server = server_with_catalog().await;
    let header = || IngestHeader { options: Some(request("figures")), ..released("2024-01-01") };
    let plain = |number: f64| Value { number: Some(number), ..Default::default() };
    let value_of = |values: [Value; 2]| {
        let mut sent = batch(RD, "FRA", "bank", &[("2020", "1"), ("2021", "1")]);
        for (point, value) in sent.points.iter_mut().zip(values) {
            point.value = Some(value);
        }
        sent
    };
    let values = || value_of([plain(2.5), plain(3.0)]);
    let definitions = || vec![france(), source("insee", 30)];
    let first = || upload(header(), definitions(), &[values()]);

    let spelt = |number: f64, decimals| Value {
        decimals: Some(decimals),
        qualifier: Qualifier::Exact.into(),
        status: ObservationStatus::Normal.into(),
        ..plain(number)
    };
    let mut in_two = values();
    let later = SeriesBatch { points: in_two.points.split_off(1), ..in_two.clone() };
    let one_message = |series| ingest_message(IngestPart::Observations(ObservationBatch { series }));
    let one_definition =
        |definition| ingest_message(IngestPart::Definitions(DefinitionBatch { definitions: vec![definition] }));
    let first_header = || ingest_message(IngestPart::Header(header()));
    let same = vec![
        ("the same again", first()),
        (
            "the mode spelt out",
            upload(IngestHeader { mode: IngestMode::Merge.into(), ..header() }, definitions(), &[values()]),
        ),
        ("values spelt out", upload(header(), definitions(), &[value_of([spelt(2.5, 1), spelt(3.0, 0)])])),
        ("values as text", upload(header(), definitions(), &[value_of([number("2.5"), number("3")])])),
        ("the precedence of a source spelt out", upload(header(), vec![france(), source("insee", 30)], &[values()])),
        ("two batches of a series", upload(header(), definitions(), &[in_two.clone(), later.clone()])),
        (
            "a message for each",
            counted(vec![
                first_header(),
                one_definition(france()),
                one_message(vec![in_two.clone()]),
                one_definition(source("insee", 30)),
                one_message(vec![later.clone()]),
            ]),
        ),
        (
            "definitions last",
            counted(vec![
                first_header(),
                one_message(vec![values()]),
                ingest_message(IngestPart::Definitions(DefinitionBatch { definitions: definitions() })),
            ]),
        ),
    ];
    let mut other_series = values();
    other_series.entity = "DEU".into();
    let other = vec![
        ("another digit", upload(header(), definitions(), &[value_of([plain(2.5), spelt(3.0, 1)])])),
        ("another number", upload(header(), definitions(), &[value_of([plain(2.4), plain(3.0)])])),
        ("fewer figures", upload(header(), definitions(), &[in_two])),
        ("another series", upload(header(), definitions(), &[other_series])),
        ("another day", upload(IngestHeader { released: "2024-01-02".into(), ..header() }, definitions(), &[values()])),
        (
            "a whole release",
            upload(IngestHeader { mode: IngestMode::Replace.into(), ..header() }, definitions(), &[values()]),
        ),
        ("fewer definitions", upload(header(), vec![france()], &[values()])),
        ("another definition", upload(header(), vec![economy("FRA", "La France"), source("insee", 30)], &[values()])),
    ];
    assert_same(first(), same, other, async |messages| Ok((server.clients.ingest_messages(messages).await?, ()))).await;
    assert_eq!(server.clients.head().await, 2);
    server.end().await;
}

#[tokio::test]
async fn an_edition_is_the_same_whatever_it_leaves_to_its_defaults() {
    let server = server_with_catalog().await;
    let new_ranking = || {
        let definition = ranking();
        let Some(definition::Item::Ranking(ranking)) = definition.item else { unreachable!() };
        Definition { item: Some(definition::Item::Ranking(Ranking { id: "new".into(), ..ranking })) }
    };
    let header = |change: fn(&mut Edition)| {
        let mut header = PublishHeader { options: Some(request("edition")), ..edition("2023") };
        let edition = header.edition.as_mut().unwrap();
        edition.ranking = "new".into();
        edition.coverage = None;
        change(edition);
        header
    };
    let rows = || entries(&[1, 2, 3]);
    let sent = |change: fn(&mut Edition)| publication(header(change), vec![new_ranking()], &rows());
    let mut split = sent(|_| {});
    let Some(PublishPart::Entries(batch)) = split[2].part.take() else { unreachable!() };
    let message = |part| PublishEditionRequest { part: Some(part) };
    let (left, right) = batch.entries.split_at(1);
    split.splice(
        2..,
        [
            message(PublishPart::Entries(EntryBatch { entries: left.to_vec() })),
            message(PublishPart::Entries(EntryBatch { entries: right.to_vec() })),
            message(PublishPart::End(UploadEnd { messages: 3, rows: 3 })),
        ],
    );
    let same = vec![
        ("the same again", sent(|_| {})),
        ("the source of the ranking", sent(|edition| edition.source = "office".into())),
        (
            "the coverage",
            sent(|edition| {
                let kind = CoverageKind::Top.into();
                edition.coverage = Some(Coverage { kind, listed: 3, ..Default::default() });
            }),
        ),
        (
            "status and basis",
            sent(|edition| {
                edition.status = EditionStatus::Published.into();
                edition.basis = EditionBasis::AsPublished.into();
            }),
        ),
        ("two batches", split),
    ];
    let mut moved = rows();
    moved[2].note = "as corrected by hand".into();
    let other = vec![
        ("another source", sent(|edition| edition.source = "press".into())),
        ("another title", sent(|edition| edition.title = "Clusters".into())),
        ("another methodology", sent(|edition| edition.methodology = "three".into())),
        (
            "another coverage",
            sent(|edition| {
                let kind = CoverageKind::All.into();
                edition.coverage = Some(Coverage { kind, ..Default::default() });
            }),
        ),
        ("another note", publication(header(|_| {}), vec![new_ranking()], &moved)),
        ("fewer entries", publication(header(|_| {}), vec![new_ranking()], &rows()[..2])),
        ("a correction", publication(correction(header(|_| {})), vec![new_ranking()], &rows())),
    ];
    let send = async |messages| {
        let answer = server.clients.publish_messages(messages).await?;
        Ok((answer.result.unwrap(), answer.edition))
    };
    assert_same(sent(|_| {}), same, other, send).await;
    assert_eq!(server.clients.head().await, 2);
    server.end().await;
}
