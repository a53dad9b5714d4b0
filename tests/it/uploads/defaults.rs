//! An upload is the same whether it spells a default out or not: a retry gets the first answer.

use almanac::proto::{
    ingest_observations_request::Part as IngestPart, publish_edition_request::Part as PublishPart, *,
};
use tonic::{Code, Status};

use super::france;
use crate::support::{fixture::*, publication, reason, upload};

/// Sends an upload, then others with its request id. Those in `same` are replays, those in `other` are refused.
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

/// Messages with a new end, which counts them.
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

fn header() -> IngestHeader {
    IngestHeader { options: Some(request("figures")), ..released("2024-01-01") }
}

fn definitions() -> Vec<Definition> {
    vec![france(), source("insee", 30)]
}

fn plain(number: f64) -> Value {
    Value { number: Some(number), ..Default::default() }
}

/// A number with its defaults spelt out.
fn spelt(number: f64, decimals: u32) -> Value {
    Value {
        decimals: Some(decimals),
        qualifier: Qualifier::Exact.into(),
        status: ObservationStatus::Normal.into(),
        ..plain(number)
    }
}

fn series_of(values: [Value; 2]) -> SeriesBatch {
    let mut series = batch(RD, "FRA", "bank", &[("2020", "1"), ("2021", "1")]);
    for (point, value) in series.points.iter_mut().zip(values) {
        point.value = Some(value);
    }
    series
}

fn values() -> SeriesBatch {
    series_of([plain(2.5), plain(3.0)])
}

/// The same series in two batches.
fn in_two() -> [SeriesBatch; 2] {
    let mut first = values();
    let second = SeriesBatch { points: first.points.split_off(1), ..first.clone() };
    [first, second]
}

type Uploads<M> = Vec<(&'static str, Vec<M>)>;

fn same_uploads() -> Uploads<IngestObservationsRequest> {
    let [first, second] = in_two();
    vec![
        ("the same again", upload(header(), definitions(), &[values()])),
        (
            "the mode spelt out",
            upload(IngestHeader { mode: IngestMode::Merge.into(), ..header() }, definitions(), &[values()]),
        ),
        ("values spelt out", upload(header(), definitions(), &[series_of([spelt(2.5, 1), spelt(3.0, 0)])])),
        ("values as text", upload(header(), definitions(), &[series_of([number("2.5"), number("3")])])),
        ("the precedence of a source spelt out", upload(header(), vec![france(), source("insee", 30)], &[values()])),
        ("two batches of a series", upload(header(), definitions(), &[first.clone(), second.clone()])),
        (
            "a message for each",
            counted(vec![
                ingest_message(IngestPart::Header(header())),
                ingest_message(IngestPart::Definitions(DefinitionBatch { definitions: vec![france()] })),
                ingest_message(IngestPart::Observations(ObservationBatch { series: vec![first] })),
                ingest_message(IngestPart::Definitions(DefinitionBatch { definitions: vec![source("insee", 30)] })),
                ingest_message(IngestPart::Observations(ObservationBatch { series: vec![second] })),
            ]),
        ),
        (
            "definitions last",
            counted(vec![
                ingest_message(IngestPart::Header(header())),
                ingest_message(IngestPart::Observations(ObservationBatch { series: vec![values()] })),
                ingest_message(IngestPart::Definitions(DefinitionBatch { definitions: definitions() })),
            ]),
        ),
    ]
}

fn other_uploads() -> Uploads<IngestObservationsRequest> {
    let other_series = SeriesBatch { entity: "DEU".into(), ..values() };
    vec![
        ("another digit", upload(header(), definitions(), &[series_of([plain(2.5), spelt(3.0, 1)])])),
        ("another number", upload(header(), definitions(), &[series_of([plain(2.4), plain(3.0)])])),
        ("fewer figures", upload(header(), definitions(), &in_two()[..1])),
        ("another series", upload(header(), definitions(), &[other_series])),
        ("another day", upload(IngestHeader { released: "2024-01-02".into(), ..header() }, definitions(), &[values()])),
        (
            "a whole release",
            upload(IngestHeader { mode: IngestMode::Replace.into(), ..header() }, definitions(), &[values()]),
        ),
        ("fewer definitions", upload(header(), vec![france()], &[values()])),
        ("another definition", upload(header(), vec![economy("FRA", "La France"), source("insee", 30)], &[values()])),
    ]
}

#[tokio::test]
async fn an_upload_of_figures_is_the_same_with_its_defaults_spelt_out() {
    let server = server_with_catalog().await;
    let first = upload(header(), definitions(), &[values()]);
    let send = async |messages| Ok((server.clients.ingest_messages(messages).await?, ()));
    assert_same(first, same_uploads(), other_uploads(), send).await;
    assert_eq!(server.clients.head().await, 2);
    server.end().await;
}

fn new_ranking() -> Definition {
    let Some(definition::Item::Ranking(ranking)) = ranking().item else { unreachable!() };
    Definition { item: Some(definition::Item::Ranking(Ranking { id: "new".into(), ..ranking })) }
}

/// The header of an edition of the new ranking, with a change.
fn edition_header(change: fn(&mut Edition)) -> PublishHeader {
    let mut header = PublishHeader { options: Some(request("edition")), ..edition("2023") };
    let edition = header.edition.as_mut().unwrap();
    edition.ranking = "new".into();
    edition.coverage = None;
    change(edition);
    header
}

fn publication_with(change: fn(&mut Edition)) -> Vec<PublishEditionRequest> {
    publication(edition_header(change), vec![new_ranking()], &entries(&[1, 2, 3]))
}

/// The entries in two messages instead of one.
fn publication_in_two_batches() -> Vec<PublishEditionRequest> {
    let mut messages = publication_with(|_| {});
    let Some(PublishPart::Entries(batch)) = messages[2].part.take() else { unreachable!() };
    let (left, right) = batch.entries.split_at(1);
    messages.truncate(2);
    for part in [
        PublishPart::Entries(EntryBatch { entries: left.to_vec() }),
        PublishPart::Entries(EntryBatch { entries: right.to_vec() }),
        PublishPart::End(UploadEnd { messages: 3, rows: 3 }),
    ] {
        messages.push(PublishEditionRequest { part: Some(part) });
    }
    messages
}

fn same_publications() -> Uploads<PublishEditionRequest> {
    vec![
        ("the same again", publication_with(|_| {})),
        ("the source of the ranking", publication_with(|edition| edition.source = "office".into())),
        (
            "the coverage",
            publication_with(|edition| {
                let kind = CoverageKind::Top.into();
                edition.coverage = Some(Coverage { kind, listed: 3, ..Default::default() });
            }),
        ),
        (
            "status and basis",
            publication_with(|edition| {
                edition.status = EditionStatus::Published.into();
                edition.basis = EditionBasis::AsPublished.into();
            }),
        ),
        ("two batches", publication_in_two_batches()),
    ]
}

fn other_publications() -> Uploads<PublishEditionRequest> {
    let header = edition_header(|_| {});
    let ranking = vec![new_ranking()];
    let rows = entries(&[1, 2, 3]);
    let mut noted = rows.clone();
    noted[2].note = "as corrected by hand".into();
    vec![
        ("another source", publication_with(|edition| edition.source = "press".into())),
        ("another title", publication_with(|edition| edition.title = "Clusters".into())),
        ("another methodology", publication_with(|edition| edition.methodology = "three".into())),
        (
            "another coverage",
            publication_with(|edition| {
                let kind = CoverageKind::All.into();
                edition.coverage = Some(Coverage { kind, ..Default::default() });
            }),
        ),
        ("another note", publication(header.clone(), ranking.clone(), &noted)),
        ("fewer entries", publication(header.clone(), ranking.clone(), &rows[..2])),
        ("a correction", publication(correction(header), ranking, &rows)),
    ]
}

#[tokio::test]
async fn an_edition_is_the_same_with_its_defaults_spelt_out() {
    let server = server_with_catalog().await;
    let send = async |messages| {
        let answer = server.clients.publish_messages(messages).await?;
        Ok((answer.result.unwrap(), answer.edition))
    };
    assert_same(publication_with(|_| {}), same_publications(), other_publications(), send).await;
    assert_eq!(server.clients.head().await, 2);
    server.end().await;
}
