//! Compressed messages of the feed: the same messages, fewer bytes.

use std::{
    io::Read,
    pin::{Pin, pin},
};

use almanac::proto::{subscribe_request::Start, subscribe_response::Body as Message, *};
use flate2::bufread::GzDecoder;
use http_body::Body as _;
use prost::Message as _;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tonic::{
    body::Body,
    client::GrpcService,
    codec::CompressionEncoding,
    transport::{Channel, Endpoint},
};

use crate::support::{
    Clients, Dice, TestServer,
    author::Author,
    fixture::*,
    subscriptions::{range, state},
    watch::Watch,
};

/// The server does not compress shorter pages, in bytes.
const PLAIN_BYTES_MAX: usize = 1_024;

fn with_name(name: &str, filter: Filter) -> Filter {
    Filter { name: name.into(), ..filter }
}

/// A server with commits of every kind, some of many pages and some almost empty.
async fn busy_world(dice: &mut Dice) -> TestServer {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let years: Vec<String> = (1000..2500).map(|year| year.to_string()).collect();
    let points: Vec<(&str, &str)> = years.iter().map(|year| (year.as_str(), "1.25")).collect();
    clients.ingest(released("2015-01-01"), vec![batch(RD, "CHN", "bank", &points)]).await.unwrap();
    clients.publish(edition("2016"), entries(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])).await.unwrap();
    clients.publish(edition("2017"), entries(&[6, 5, 4, 3, 2, 1])).await.unwrap();
    clients.ingest(released("2015-01-01"), vec![batch(RD, "CHN", "bank", &points[..1])]).await.unwrap();
    let mut author = Author::new(dice.clone(), "steward", 900);
    for _ in 0..10 {
        author.next().send(clients).await.unwrap();
    }
    server
}

/// The messages that do not depend on the moment: all but progress and lag.
async fn seen(clients: &Clients, start: Start, filters: Vec<Filter>, head: u64) -> Vec<Message> {
    let mut watch = Watch::open(clients, start, filters).await.unwrap();
    watch.until_covers(head).await;
    let messages = watch.leave().await.messages;
    let lasting = |message: &Message| !matches!(message, Message::Progress(_) | Message::Lag(_));
    messages.into_iter().filter(lasting).collect()
}

#[tokio::test]
async fn a_client_with_gzip_gets_the_same_messages() {
    let mut dice = Dice::new("who_takes_gzip");
    let server = busy_world(&mut dice).await;
    let plain = server.clients.clone();
    let feed = plain.feed.clone().accept_compressed(CompressionEncoding::Gzip);
    let gzip = Clients { feed, ..plain.clone() };
    let head = plain.head().await;
    let filters = [
        Vec::new(),
        vec![Filter { indicators: vec![RD.into()], ..Default::default() }],
        vec![
            with_name("chinese", Filter { entities: vec!["CHN".into()], ..Default::default() }),
            with_name("first", Filter { rank_at_most: 1, ..Default::default() }),
        ],
    ];
    for filters in filters {
        for start in [state(), range(1, 0), range(3, 0)] {
            // Each form comes first once: the server then makes the other one from it.
            let first = seen(&gzip, start.clone(), filters.clone(), head).await;
            let second = seen(&plain, start.clone(), filters.clone(), head).await;
            let third = seen(&gzip, start.clone(), filters.clone(), head).await;
            assert!(first.len() > 1);
            assert!(first == second && second == third, "{start:?} {filters:?}");
        }
    }
    server.end().await;
}

/// An answer as bytes: whether each message is compressed, and the message.
struct Raw {
    encoding: Option<String>,
    messages: Vec<(bool, Vec<u8>)>,
}

async fn raw(server: &TestServer, request: &SubscribeRequest, accept: Option<&str>) -> Raw {
    let mut channel = Endpoint::from_shared(format!("http://{}", server.address())).unwrap().connect().await.unwrap();
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(request.encoded_len()).unwrap().to_be_bytes());
    framed.extend(request.encode_to_vec());
    let mut asked = http::Request::post(format!("http://{}/almanac.v1.FeedService/Subscribe", server.address()))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(accept) = accept {
        asked = asked.header("grpc-accept-encoding", accept);
    }
    std::future::poll_fn(|cx| GrpcService::<Body>::poll_ready(&mut channel, cx)).await.unwrap();
    let asked = asked.body(Body::new(Whole(Some(framed.into())))).unwrap();
    let answer = <Channel as GrpcService<Body>>::call(&mut channel, asked).await.unwrap();
    let encoding = answer.headers().get("grpc-encoding").map(|value| value.to_str().unwrap().to_owned());
    let mut body = pin!(answer.into_body());
    let mut bytes = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        match frame.unwrap().into_data() {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(trailers) => assert_eq!(trailers.into_trailers().unwrap()["grpc-status"], "0"),
        }
    }
    Raw { encoding, messages: messages(&bytes) }
}

/// A body of one frame.
struct Whole(Option<bytes::Bytes>);

impl http_body::Body for Whole {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        std::task::Poll::Ready(self.0.take().map(|bytes| Ok(http_body::Frame::data(bytes))))
    }
}

fn messages(mut bytes: &[u8]) -> Vec<(bool, Vec<u8>)> {
    let mut all = Vec::new();
    while let [flag, a, b, c, d, rest @ ..] = bytes {
        let (message, rest) = rest.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        all.push((*flag == 1, message.to_vec()));
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half a message");
    all
}

/// Decodes the only member of a gzip stream, and checks that nothing follows.
fn unzipped(member: &[u8]) -> Vec<u8> {
    let mut decoder = GzDecoder::new(member);
    let mut plain = Vec::new();
    decoder.read_to_end(&mut plain).unwrap();
    assert!(decoder.into_inner().is_empty());
    plain
}

#[tokio::test]
async fn pages_are_compressed_on_request_and_small_messages_never() {
    let mut dice = Dice::new("pages_are_compressed");
    let server = busy_world(&mut dice).await;
    let head = server.clients.head().await;
    let request = SubscribeRequest { start: Some(range(1, head)), ..Default::default() };
    let plain = raw(&server, &request, None).await;
    let other = raw(&server, &request, Some("identity,deflate")).await;
    let gzip = raw(&server, &request, Some("identity,deflate,gzip")).await;
    assert_eq!((plain.encoding, other.encoding, gzip.encoding.as_deref()), (None, None, Some("gzip")));
    assert!(plain.messages.iter().all(|(compressed, _)| !compressed));
    assert!(plain.messages == other.messages);

    let mut sent = 0;

    let mut uncompressed = 0;
    assert_eq!(plain.messages.len(), gzip.messages.len());
    let mut pages = 0;
    for ((compressed, message), (_, expected)) in gzip.messages.iter().zip(&plain.messages) {
        let of_commit = SubscribeResponse::decode(expected.as_slice()).unwrap().body;
        let of_commit = matches!(of_commit, Some(Message::CommitPage(_)));
        if *compressed {
            assert!(of_commit);
            assert_eq!(&unzipped(message), expected);
            assert!(message.len() < expected.len());
            pages += 1;
        } else {
            assert_eq!(message, expected);
            assert!(!of_commit || expected.len() < 2 * PLAIN_BYTES_MAX, "{} bytes are not compressed", expected.len());
        }
        sent += message.len();
        uncompressed += expected.len();
    }
    println!("{pages} of {} messages are compressed: {sent} bytes for {uncompressed}", gzip.messages.len());
    assert!(pages > 3);
    server.end().await;
}

#[tokio::test]
async fn a_browser_without_compression_gets_plain_messages() {
    let mut dice = Dice::new("a_browser");
    let server = busy_world(&mut dice).await;
    let head = server.clients.head().await;
    let request = SubscribeRequest { start: Some(range(1, head)), ..Default::default() };
    let expected = raw(&server, &request, None).await;
    let mut connection = TcpStream::connect(server.address()).await.unwrap();
    let ask = format!(
        "POST /almanac.v1.FeedService/Subscribe HTTP/1.1\r\nhost: almanac\r\norigin: http://page.example\r\n\
         content-type: application/grpc-web+proto\r\nx-grpc-web: 1\r\naccept-encoding: gzip, deflate, br\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        5 + request.encoded_len()
    );
    let mut asked = ask.into_bytes();
    asked.push(0);
    asked.extend_from_slice(&u32::try_from(request.encoded_len()).unwrap().to_be_bytes());
    asked.extend(request.encode_to_vec());
    connection.write_all(&asked).await.unwrap();
    let mut answer = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut connection, &mut answer).await.unwrap();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && !head.contains("grpc-encoding"), "{head}");
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    let mut all = messages(&unchunked(&answer[end + 4..]));
    // In gRPC-Web, the trailers are the last message.
    let (_, trailers) = all.pop().unwrap();
    assert!(String::from_utf8(trailers).unwrap().contains("grpc-status:0"));
    assert!(all == expected.messages);
    server.end().await;
}

fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let line = bytes.windows(2).position(|two| two == b"\r\n").unwrap();
        let len = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).unwrap(), 16).unwrap();
        if len == 0 {
            return whole;
        }
        whole.extend_from_slice(&bytes[line + 2..line + 2 + len]);
        bytes = &bytes[line + 2 + len + 2..];
    }
}
