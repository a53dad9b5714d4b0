//! Uploads: what a stream of messages must be to be written, what it may carry, and what makes two of them the same.

use almanac::proto::{
    ingest_observations_request::Part as IngestPart, publish_edition_request::Part as PublishPart, *,
};
use h2::Reason as Reset;
use prost::Message;
use tonic::{Code, Status};

use crate::{
    strict::{call, connect},
    support::{Clients, TestServer, assert_refused, fields, fixture::*, publication, reason, upload},
};

const INGEST: &str = "/almanac.v1.AdminService/IngestObservations";
const PUBLISH: &str = "/almanac.v1.AdminService/PublishEdition";

/// Every code of HTTP/2 with which a stream can be reset.
const RESETS: [Reset; 14] = [
    Reset::NO_ERROR,
    Reset::PROTOCOL_ERROR,
    Reset::INTERNAL_ERROR,
    Reset::FLOW_CONTROL_ERROR,
    Reset::SETTINGS_TIMEOUT,
    Reset::STREAM_CLOSED,
    Reset::FRAME_SIZE_ERROR,
    Reset::REFUSED_STREAM,
    Reset::CANCEL,
    Reset::COMPRESSION_ERROR,
    Reset::CONNECT_ERROR,
    Reset::ENHANCE_YOUR_CALM,
    Reset::INADEQUATE_SECURITY,
    Reset::HTTP_1_1_REQUIRED,
];

/// A whole upload of one kind, as messages.
struct Whole {
    path: &'static str,
    messages: Vec<Vec<u8>>,
    /// An end with counts of its own.
    end: fn(u64, u64) -> Vec<u8>,
    /// Messages between header and end, and rows.
    counts: (u64, u64),
}

impl Whole {
    fn header(&self) -> &Vec<u8> {
        &self.messages[0]
    }

    /// What stands between header and end.
    fn body(&self) -> &[Vec<u8>] {
        &self.messages[1..self.messages.len() - 1]
    }

    fn last(&self) -> &Vec<u8> {
        self.messages.last().unwrap()
    }
}

fn france() -> Definition {
    economy("FRA", "France")
}

fn encoded(messages: &[impl Message]) -> Vec<Vec<u8>> {
    messages.iter().map(Message::encode_to_vec).collect()
}

fn figures() -> Vec<IngestObservationsRequest> {
    let batches: Vec<SeriesBatch> =
        (0..120).map(|number| batch(RD, "FRA", "bank", &[(&(1900 + number).to_string(), "1.5")])).collect();
    upload(released("2024-01-01"), vec![france()], &batches)
}

fn table() -> Vec<PublishEditionRequest> {
    publication(edition("2023"), vec![france()], &entries(&[1, 2, 3]))
}

fn uploads() -> [Whole; 2] {
    let ingest_end = |messages, rows| {
        let part = IngestPart::End(UploadEnd { messages, rows });
        IngestObservationsRequest { part: Some(part) }.encode_to_vec()
    };
    let publish_end = |messages, rows| {
        let part = PublishPart::End(UploadEnd { messages, rows });
        PublishEditionRequest { part: Some(part) }.encode_to_vec()
    };
    [
        Whole { path: INGEST, messages: encoded(&figures()), end: ingest_end, counts: (4, 120) },
        Whole { path: PUBLISH, messages: encoded(&table()), end: publish_end, counts: (2, 3) },
    ]
}

async fn assert_untouched(clients: &Clients, what: &str) {
    assert_eq!(clients.head().await, 1, "{what}");
}

#[tokio::test]
async fn an_upload_without_its_end_writes_nothing_wherever_it_stops() {
    let server = server_with_catalog().await;
    let channel = connect(&server).await;
    for whole in uploads() {
        for length in 0..whole.messages.len() {
            let what = format!("{} after {length} messages", whole.path);
            let refused = call(&channel, whole.path, whole.messages[..length].to_vec()).await;
            let status = refused.expect_err(&what);
            let told = (status.code(), reason(&status));
            assert_eq!(told, (Code::Aborted, "UPLOAD_INCOMPLETE".to_owned()), "{what}: {status:?}");
            assert_untouched(&server.clients, &what).await;
        }
    }
    for whole in uploads() {
        call(&channel, whole.path, whole.messages.clone()).await.unwrap();
    }
    assert_eq!(server.clients.head().await, 3, "whole they are written");
    server.end().await;
}

#[tokio::test]
async fn an_end_that_counts_other_than_what_came_writes_nothing() {
    let server = server_with_catalog().await;
    let channel = connect(&server).await;
    for whole in uploads() {
        let (messages, rows) = whole.counts;
        for (messages, rows) in
            [(0, 0), (messages - 1, rows), (messages + 1, rows), (messages, rows - 1), (messages, rows + 1)]
        {
            let what = format!("{} of {messages} and {rows}", whole.path);
            let mut sent = whole.messages.clone();
            *sent.last_mut().unwrap() = (whole.end)(messages, rows);
            let refused = call(&channel, whole.path, sent).await;
            assert_refused(refused, Code::Aborted, "UPLOAD_INCOMPLETE");
            assert_untouched(&server.clients, &what).await;
        }
        // A message that is lost on the way is missed.
        let mut sent = whole.messages.clone();
        sent.remove(2);
        assert_refused(call(&channel, whole.path, sent).await, Code::Aborted, "UPLOAD_INCOMPLETE");
        assert_untouched(&server.clients, whole.path).await;
    }
    server.end().await;
}

#[tokio::test]
async fn an_upload_of_another_order_is_refused() {
    let server = server_with_catalog().await;
    let channel = connect(&server).await;
    for whole in uploads() {
        let header = vec![whole.header().clone()];
        let body = whole.body().to_vec();
        let end = vec![whole.last().clone()];
        let empty = vec![Vec::new()];
        let cases = [
            ("a batch after the end", vec![header.clone(), body.clone(), end.clone(), body.clone()], "end"),
            ("two ends", vec![header.clone(), body.clone(), end.clone(), end.clone()], "end"),
            ("two headers", vec![header.clone(), header.clone(), body.clone(), end.clone()], "header"),
            ("a header late", vec![body.clone(), header.clone(), end.clone()], "header"),
            ("no header", vec![body.clone(), end.clone()], "header"),
            ("only an end", vec![end.clone()], "header"),
            ("an empty first message", vec![empty.clone(), header.clone(), body.clone(), end.clone()], "header"),
            ("an empty message", vec![header.clone(), empty.clone(), body.clone(), end.clone()], "part"),
        ];
        for (what, parts, field) in cases {
            let status = call(&channel, whole.path, parts.concat()).await.expect_err(what);
            assert_eq!(
                (status.code(), reason(&status).as_str()),
                (Code::InvalidArgument, "FIELD"),
                "{what}: {status:?}"
            );
            assert_eq!(fields(&status), [field], "{what}");
            assert_untouched(&server.clients, what).await;
        }
    }
    server.end().await;
}

/// A connection of HTTP/2 on which calls can be reset.
struct Raw {
    sender: h2::client::SendRequest<bytes::Bytes>,
    authority: String,
}

impl Raw {
    async fn connect(server: &TestServer) -> Self {
        let socket = tokio::net::TcpStream::connect(server.address()).await.unwrap();
        let (sender, connection) = h2::client::handshake(socket).await.unwrap();
        tokio::spawn(connection);
        Self { sender: sender.ready().await.unwrap(), authority: server.address().to_string() }
    }

    async fn open(&mut self, path: &str) -> (h2::client::ResponseFuture, h2::SendStream<bytes::Bytes>) {
        let request = http::Request::post(format!("http://{}{path}", self.authority))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap();
        self.sender = self.sender.clone().ready().await.unwrap();
        self.sender.send_request(request, false).unwrap()
    }

    /// Waits for an answer of the server, so that all that was sent before has left this side.
    async fn round_trip(&mut self) {
        let (answer, mut stream) = self.open("/almanac.v1.FeedService/GetHead").await;
        stream.send_data(frame(&[]), true).unwrap();
        assert_eq!(answer.await.unwrap().status(), 200);
    }
}

fn frame(message: &[u8]) -> bytes::Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, message].concat().into()
}

#[tokio::test]
async fn an_upload_that_is_reset_writes_nothing_whatever_the_code() {
    let mut server = server_with_catalog().await;
    for whole in uploads() {
        for code in RESETS {
            // Before the end, whatever came so far.
            for length in 0..whole.messages.len() {
                let mut raw = Raw::connect(&server).await;
                let (_answer, mut stream) = raw.open(whole.path).await;
                for message in &whole.messages[..length] {
                    stream.send_data(frame(message), false).unwrap();
                }
                raw.round_trip().await;
                stream.send_reset(code);
                raw.round_trip().await;
                assert_untouched(&server.clients, &format!("{} reset with {code:?} after {length}", whole.path)).await;
            }
        }
    }
    // When the server has ended, every call it ever had has.
    server.restart().await;
    assert_untouched(&server.clients, "after a restart").await;
    server.end().await;
}

/// The digest of all that a store holds, as a subscriber would see it.
async fn holds(clients: &Clients) -> (GetHeadResponse, GetStoreStatusResponse) {
    let head = clients.feed.clone().get_head(GetHeadRequest::default()).await.unwrap().into_inner();
    (head, clients.status().await)
}

fn kinds(changes: &[Change]) -> Vec<&'static str> {
    let kind = |change: &Change| match change.detail.as_ref().unwrap() {
        change::Detail::Value(_) => "figure",
        change::Detail::Entry(_) => "entry",
        change::Detail::Edition(_) => "edition",
        change::Detail::Definition(_) => "definition",
    };
    changes.iter().map(kind).collect()
}

fn dry(options: &mut Option<WriteOptions>) {
    *options = Some(validate());
}

#[tokio::test]
async fn definitions_and_figures_are_one_commit_one_dry_run_and_one_refusal() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let sent = |day: &str, definitions: Vec<Definition>| {
        upload(released(day), definitions, &[batch(RD, "FRA", "insee", &[("2020", "2.3"), ("2021", "2.2")])])
    };
    let needed = || vec![france(), source("insee", 30)];
    let before = holds(clients).await;

    let refused = clients.ingest_messages(sent("2024-01-01", vec![france()])).await;
    assert_refused(refused, Code::NotFound, "UNKNOWN_SOURCE");
    let refused = clients.ingest_messages(sent("2999-01-01", needed())).await;
    assert_refused(refused, Code::InvalidArgument, "FINDINGS");
    assert_eq!(holds(clients).await, before, "a refusal leaves nothing in the catalog");

    let mut header = released("2024-01-01");
    dry(&mut header.options);
    let mut messages = sent("2024-01-01", needed());
    messages[0].part = Some(IngestPart::Header(header));
    let checked = clients.ingest_messages(messages).await.unwrap();
    assert_eq!(kinds(&checked.difference), ["definition", "definition", "figure", "figure"]);
    assert_eq!(holds(clients).await, before, "a dry run writes nothing");

    let written = clients.ingest_messages(sent("2024-01-01", needed())).await.unwrap();
    assert_eq!((written.revision, written.counts), (2, checked.counts));
    let counts = written.counts.unwrap();
    assert_eq!((counts.added, counts.definitions_added), (2, 2));
    let commits = clients.commits(1, Vec::new()).await;
    assert_eq!(commits.len(), 1, "nothing of what was refused is in the feed");
    assert_eq!(kinds(&commits[0].changes), ["definition", "definition", "figure", "figure"]);
    server.end().await;
}

#[tokio::test]
async fn definitions_and_an_edition_are_one_commit_one_dry_run_and_one_refusal() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let new = || vec![methodology("four", &["pct", "pub", "vc", "tm"]), france()];
    let header = || {
        let mut header = edition("2023");
        header.edition.as_mut().unwrap().methodology = "four".into();
        header
    };
    let rows = || {
        let mut rows = entries(&[1, 2]);
        rows[0].economies = vec!["FRA".into()];
        rows
    };
    let before = holds(clients).await;

    let refused = clients.publish_messages(publication(header(), vec![france()], &rows())).await;
    assert_refused(refused, Code::NotFound, "UNKNOWN_METHODOLOGY");
    let mut twice = rows();
    twice[1] = twice[0].clone();
    let refused = clients.publish_messages(publication(header(), new(), &twice)).await;
    assert_refused(refused, Code::InvalidArgument, "FINDINGS");
    assert_eq!(holds(clients).await, before, "a refusal leaves nothing in the catalog");

    let mut checked = header();
    dry(&mut checked.options);
    let checked = clients.publish_messages(publication(checked, new(), &rows())).await.unwrap().result.unwrap();
    let expected = ["definition", "definition", "edition", "entry", "entry"];
    assert_eq!(kinds(&checked.difference), expected);
    assert_eq!(holds(clients).await, before, "a dry run writes nothing");

    let written = clients.publish_messages(publication(header(), new(), &rows())).await.unwrap().result.unwrap();
    assert_eq!((written.revision, written.counts), (2, checked.counts));
    let counts = written.counts.unwrap();
    assert_eq!((counts.added, counts.definitions_added), (2, 2));
    let commits = clients.commits(1, Vec::new()).await;
    assert_eq!(commits.len(), 1, "nothing of what was refused is in the feed");
    assert_eq!(kinds(&commits[0].changes), expected);
    server.end().await;
}

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
