//! Uploads that end early, are reset, or come in another order.

use almanac::proto::{
    ingest_observations_request::Part as IngestPart, publish_edition_request::Part as PublishPart, *,
};
use h2::Reason as Reset;
use prost::Message;
use tonic::Code;

use super::france;
use crate::{
    strict::{call, connect},
    support::{Clients, TestServer, assert_refused, fields, fixture::*, publication, reason, upload},
};

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
struct WholeUpload {
    path: &'static str,
    messages: Vec<Vec<u8>>,
    /// An end with counts of its own.
    end: fn(u64, u64) -> Vec<u8>,
    /// Messages between header and end, and rows.
    counts: (u64, u64),
}

impl WholeUpload {
    fn header(&self) -> &Vec<u8> {
        &self.messages[0]
    }

    /// The messages between header and end.
    fn body(&self) -> &[Vec<u8>] {
        &self.messages[1..self.messages.len() - 1]
    }

    fn last(&self) -> &Vec<u8> {
        self.messages.last().unwrap()
    }
}

fn figures() -> Vec<IngestObservationsRequest> {
    let batches: Vec<SeriesBatch> =
        (0..120).map(|number| batch(RD, "FRA", "bank", &[(&(1900 + number).to_string(), "1.5")])).collect();
    upload(released("2024-01-01"), vec![france()], &batches)
}

fn table() -> Vec<PublishEditionRequest> {
    publication(edition("2023"), vec![france()], &entries(&[1, 2, 3]))
}

fn publish_end(messages: u64, rows: u64) -> Vec<u8> {
    let part = PublishPart::End(UploadEnd { messages, rows });
    PublishEditionRequest { part: Some(part) }.encode_to_vec()
}

fn ingest_end(messages: u64, rows: u64) -> Vec<u8> {
    let part = IngestPart::End(UploadEnd { messages, rows });
    IngestObservationsRequest { part: Some(part) }.encode_to_vec()
}

fn uploads() -> [WholeUpload; 2] {
    [
        WholeUpload { path: INGEST, messages: encoded(&figures()), end: ingest_end, counts: (4, 120) },
        WholeUpload { path: PUBLISH, messages: encoded(&table()), end: publish_end, counts: (2, 3) },
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
            let refusal = (status.code(), reason(&status));
            assert_eq!(refusal, (Code::Aborted, "UPLOAD_INCOMPLETE".to_owned()), "{what}: {status:?}");
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
        // The server notices a message that was lost.
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

/// An HTTP/2 connection on which calls can be reset.
struct RawConnection {
    sender: h2::client::SendRequest<bytes::Bytes>,
    authority: String,
}

impl RawConnection {
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

    /// Waits for an answer to a ping, so that the server has everything that was sent before.
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
            // Before the end of the upload.
            for length in 0..whole.messages.len() {
                let mut raw = RawConnection::connect(&server).await;
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
    // When the server has ended, so has every call.
    server.restart().await;
    assert_untouched(&server.clients, "after a restart").await;
    server.end().await;
}

fn encoded(messages: &[impl Message]) -> Vec<Vec<u8>> {
    messages.iter().map(Message::encode_to_vec).collect()
}

const INGEST: &str = "/almanac.v1.AdminService/IngestObservations";

const PUBLISH: &str = "/almanac.v1.AdminService/PublishEdition";
