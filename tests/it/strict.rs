//! Unknown fields and enum values are refused, wherever in a request they are. A page token is refused by every history but
//! its own.

use std::collections::BTreeSet;

use almanac::proto::{definition::Item, *};
use prost::{
    Message,
    encoding::{WireType, encode_key, encode_varint},
};
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::{Channel, Endpoint},
};

use crate::support::{Clients, TestServer, assert_refused, fields, fixture::*, reason, upload};

/// No message has this field.
const UNKNOWN_NUMBER: u32 = 100_000;
/// No enum has this value.
const UNKNOWN_VALUE: i32 = 99;

/// Sends and receives messages as bytes.
#[derive(Debug, Clone, Copy)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for RawCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put_slice(buffer, &item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let length = bytes::Buf::remaining(buffer);
        Ok(Some(bytes::Buf::copy_to_bytes(buffer, length).to_vec()))
    }
}

/// Calls any method with these messages, and waits for its first answer.
pub(crate) async fn call(channel: &Channel, path: &str, messages: Vec<Vec<u8>>) -> Result<Option<Vec<u8>>, Status> {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let request = Request::new(tokio_stream::iter(messages));
    client.streaming(request, path.parse().unwrap(), RawCodec).await?.into_inner().message().await
}

pub(crate) async fn connect(server: &TestServer) -> Channel {
    Endpoint::from_shared(format!("http://{}", server.address())).unwrap().connect().await.unwrap()
}

/// Every method of the contract: its path, and its request.
pub(crate) fn methods() -> Vec<(String, MessageDescriptor)> {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let services = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    let path = |service: &str, method: &str| format!("/{service}/{method}");
    services.map(|method| (path(method.parent_service().full_name(), method.name()), method.input())).collect()
}

/// The paths from a message to every message inside it, itself first.
fn ways_down(message: &MessageDescriptor) -> Vec<Vec<FieldDescriptor>> {
    let mut found = vec![Vec::new()];
    let mut at = 0;
    while at < found.len() {
        let way = found[at].clone();
        for field in end_of(message, &way).fields() {
            if matches!(field.kind(), Kind::Message(_)) && !way.contains(&field) {
                found.push([way.clone(), vec![field]].concat());
            }
        }
        at += 1;
    }
    found
}

/// The message at a path.
fn end_of(message: &MessageDescriptor, way: &[FieldDescriptor]) -> MessageDescriptor {
    match way.last().map(FieldDescriptor::kind) {
        Some(Kind::Message(inner)) => inner,
        _ => message.clone(),
    }
}

/// An unknown field, inside messages that have no other field.
fn unknown_field(way: &[FieldDescriptor]) -> Vec<u8> {
    let mut content = Vec::new();
    encode_key(UNKNOWN_NUMBER, WireType::Varint, &mut content);
    encode_varint(1, &mut content);
    for field in way.iter().rev() {
        let mut outer = Vec::new();
        encode_key(field.number(), WireType::LengthDelimited, &mut outer);
        encode_varint(content.len() as u64, &mut outer);
        outer.extend(content);
        content = outer;
    }
    content
}

#[tokio::test]
async fn an_unknown_field_anywhere_in_any_request_is_refused() {
    let server = server_with_catalog().await;
    let channel = connect(&server).await;
    let mut seen = BTreeSet::new();
    for (path, request) in methods() {
        for way in ways_down(&request) {
            let names: Vec<&str> = way.iter().map(FieldDescriptor::name).collect();
            let place = [names, vec!["100000"]].concat().join(".");
            let status = call(&channel, &path, vec![unknown_field(&way)]).await.expect_err(&place);
            assert_eq!(
                (status.code(), reason(&status).as_str()),
                (Code::InvalidArgument, "UNKNOWN_FIELD"),
                "{path} {place}: {status:?}"
            );
            assert_eq!(fields(&status), [place], "{path}");
            let message = end_of(&request, &way);
            assert!(status.message().contains("field 100000"), "{status:?}");
            assert!(status.message().contains(message.full_name()), "{status:?}");
            seen.insert(message.full_name().to_owned());
        }
    }
    for name in ["Filter", "WriteOptions", "SeriesSelection", "AsOf", "SubscribeRequest", "Value", "Entry"] {
        assert!(seen.contains(&format!("almanac.v1.{name}")), "{name} is in no request");
    }
    assert_eq!(server.clients.head().await, 1);
    server.end().await;
}

#[tokio::test]
async fn an_upload_with_an_unknown_field_late_leaves_nothing() {
    let server = server_with_catalog().await;
    let channel = connect(&server).await;
    let sent = upload(released("2024-01-01"), Vec::new(), &[batch(RD, "CHN", "bank", &[("2020", "1")])]);
    let mut messages: Vec<Vec<u8>> = sent.iter().map(Message::encode_to_vec).collect();
    messages.insert(messages.len() - 1, unknown_field(&[]));
    let refused = call(&channel, "/almanac.v1.AdminService/IngestObservations", messages).await;
    assert_refused(refused, Code::InvalidArgument, "UNKNOWN_FIELD");
    assert_eq!(server.clients.head().await, 1);
    server.end().await;
}

#[tokio::test]
async fn bytes_that_are_no_message_are_refused() {
    let server = server_with_catalog().await;
    let channel = connect(&server).await;
    for path in ["/almanac.v1.StatisticsService/GetFigure", "/almanac.v1.FeedService/Subscribe"] {
        let refused = call(&channel, path, vec![vec![0x0a, 0x05]]).await;
        assert_refused(refused, Code::InvalidArgument, "MALFORMED_REQUEST");
    }
    server.end().await;
}

#[tokio::test]
async fn a_browser_is_refused_an_unknown_field_too() {
    let server = server_with_catalog().await;
    for path in ["/almanac.v1.StatisticsService/GetFigure", "/almanac.v1.FeedService/Subscribe"] {
        let message = unknown_field(&[]);
        let mut body = vec![0, 0, 0, 0, message.len() as u8];
        body.extend(message);
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: almanac\r\ncontent-type: application/grpc-web+proto\r\nx-grpc-web: 1\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        let mut connection = TcpStream::connect(server.address()).await.unwrap();
        connection.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer).replace(' ', "");
        assert!(answer.contains("grpc-status:3"), "{path}: {answer}");
    }
    server.end().await;
}

fn entity(change: impl FnOnce(&mut Entity)) -> Vec<Definition> {
    let mut entity = Entity {
        id: "new".into(),
        kind: EntityKind::Cluster.into(),
        name: "New".into(),
        relations: vec![EntityRelation {
            kind: RelationKind::LiesIn.into(),
            entity: "CHN".into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    change(&mut entity);
    vec![Definition { item: Some(Item::Entity(entity)) }]
}

fn indicator_with(change: impl FnOnce(&mut Indicator)) -> Vec<Definition> {
    let mut definition = indicator("new", "New");
    if let Some(Item::Indicator(indicator)) = &mut definition.item {
        change(indicator);
    }
    vec![definition]
}

fn ranking_with(change: impl FnOnce(&mut Ranking)) -> Vec<Definition> {
    let mut definition = ranking();
    if let Some(Item::Ranking(ranking)) = &mut definition.item {
        change(ranking);
    }
    vec![definition]
}

fn methodology_with(change: impl FnOnce(&mut Methodology)) -> Vec<Definition> {
    let mut definition = methodology("two", &["pct", "pub"]);
    if let Some(Item::Methodology(methodology)) = &mut definition.item {
        change(methodology);
    }
    vec![definition]
}

fn source_with(change: impl FnOnce(&mut Source)) -> Vec<Definition> {
    let mut definition = source("new", 10);
    if let Some(Item::Source(source)) = &mut definition.item {
        change(source);
    }
    vec![definition]
}

fn figure_with(change: impl FnOnce(&mut Value)) -> Vec<SeriesBatch> {
    let mut sent = batch(RD, "CHN", "bank", &[("2022", "1")]);
    change(sent.points[0].value.as_mut().unwrap());
    vec![sent]
}

fn edition_with(change: impl FnOnce(&mut Edition)) -> PublishHeader {
    let mut header = edition("2022");
    change(header.edition.as_mut().unwrap());
    header
}

/// An enum of a request, a field that its refusal names, and the refusal.
type EnumCase = (&'static str, &'static str, Option<Status>);

async fn enums_of_definitions(clients: &Clients) -> Vec<EnumCase> {
    let definitions = [
        ("Indicator.direction", "indicator.direction", indicator_with(|indicator| indicator.direction = UNKNOWN_VALUE)),
        ("Indicator.frequency", "indicator.frequency", indicator_with(|indicator| indicator.frequency = UNKNOWN_VALUE)),
        ("Indicator.timing", "indicator.timing", indicator_with(|indicator| indicator.timing = UNKNOWN_VALUE)),
        ("Entity.kind", "entity.kind", entity(|entity| entity.kind = UNKNOWN_VALUE)),
        ("EntityRelation.kind", "relations.kind", entity(|entity| entity.relations[0].kind = UNKNOWN_VALUE)),
        ("Source.redistribution", "redistribution", source_with(|source| source.redistribution = UNKNOWN_VALUE)),
        ("Ranking.subject", "ranking.subject", ranking_with(|ranking| ranking.subject = UNKNOWN_VALUE)),
        ("Methodology.aggregation", "aggregation", methodology_with(|method| method.aggregation = UNKNOWN_VALUE)),
        (
            "MethodologyComponent.direction",
            "direction",
            methodology_with(|method| method.components[0].direction = UNKNOWN_VALUE),
        ),
        (
            "MethodologyComponent.aggregation",
            "aggregation",
            methodology_with(|method| method.components[0].aggregation = UNKNOWN_VALUE),
        ),
    ];
    let mut cases = Vec::new();
    for (name, field, definitions) in definitions {
        cases.push((name, field, clients.define(WriteOptions::default(), definitions).await.err()));
    }
    let options = WriteOptions { cause: UNKNOWN_VALUE, ..Default::default() };
    let refused = clients.define(options, vec![indicator("new", "New")]).await.err();
    cases.push(("WriteOptions.cause", "options.cause", refused));
    cases
}

async fn enums_of_uploads(clients: &Clients) -> Vec<EnumCase> {
    let figures = [
        ("Value.missing", "value.missing", figure_with(|value| value.missing = UNKNOWN_VALUE)),
        ("Value.status", "value.status", figure_with(|value| value.status = UNKNOWN_VALUE)),
        ("Value.qualifier", "value.qualifier", figure_with(|value| value.qualifier = UNKNOWN_VALUE)),
    ];
    let mut cases = Vec::new();
    for (name, field, figures) in figures {
        cases.push((name, field, clients.ingest(released("2024-01-01"), figures).await.err()));
    }
    let header = IngestHeader { mode: UNKNOWN_VALUE, ..released("2024-01-01") };
    let refused = clients.ingest(header, figure_with(|_| {})).await.err();
    cases.push(("IngestHeader.mode", "header.mode", refused));
    let coverage = Coverage { kind: UNKNOWN_VALUE, ..Default::default() };
    let editions = [
        ("Edition.status", "edition.status", edition_with(|edition| edition.status = UNKNOWN_VALUE)),
        ("Edition.basis", "edition.basis", edition_with(|edition| edition.basis = UNKNOWN_VALUE)),
        ("Coverage.kind", "coverage.kind", edition_with(move |edition| edition.coverage = Some(coverage))),
    ];
    for (name, field, header) in editions {
        cases.push((name, field, clients.publish(header, entries(&[1])).await.err()));
    }
    cases
}

async fn enums_of_reads(clients: &Clients) -> Vec<EnumCase> {
    let request = ListEntitiesRequest { kind: UNKNOWN_VALUE, ..Default::default() };
    let refused = clients.catalog.clone().list_entities(request).await.err();
    let mut cases = vec![("ListEntitiesRequest.kind", "kind", refused)];
    let filters = [
        ("Filter.kinds", "filters[0].kinds", Filter { kinds: vec![UNKNOWN_VALUE], ..Default::default() }),
        ("Filter.causes", "filters[0].causes", Filter { causes: vec![UNKNOWN_VALUE], ..Default::default() }),
    ];
    for (name, field, filter) in filters {
        cases.push((name, field, clients.try_commits(0, vec![filter]).await.err()));
    }
    cases
}

/// The full names of all enum fields in requests.
fn all_enums() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (_, request) in methods() {
        for way in ways_down(&request) {
            let message = end_of(&request, &way);
            let enums = message.fields().filter(|field| matches!(field.kind(), Kind::Enum(_)));
            all.extend(enums.map(|field| field.full_name().to_owned()));
        }
    }
    all
}

#[tokio::test]
async fn an_unknown_value_of_any_enum_of_a_request_is_refused() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let mut cases = enums_of_definitions(clients).await;
    cases.extend(enums_of_uploads(clients).await);
    cases.extend(enums_of_reads(clients).await);
    let mut covered = BTreeSet::new();
    for (name, field, status) in cases {
        let status = status.unwrap_or_else(|| panic!("{name} is accepted"));
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "FIELD"), "{name}: {status:?}");
        assert!(fields(&status).iter().any(|refused| refused.ends_with(field)), "{name}: {status:?}");
        covered.insert(format!("almanac.v1.{name}"));
    }
    assert_eq!(covered, all_enums(), "every enum of a request has a case here, and no other");
    assert_eq!(clients.head().await, 1);
    server.end().await;
}

#[tokio::test]
async fn twenty_five_wrong_periods_are_counted() {
    let server = server_with_catalog().await;
    let points: Vec<(String, &str)> = (0..25).map(|number| (format!("year {number}"), "1")).collect();
    let points: Vec<(&str, &str)> = points.iter().map(|(period, value)| (period.as_str(), *value)).collect();
    let batches = vec![batch(RD, "CHN", "bank", &points[..5]), batch(RD, "USA", "bank", &points[5..])];
    let refused = server.clients.ingest(released("2024-01-01"), batches).await;
    let status = assert_refused(refused, Code::InvalidArgument, "FIELD");
    assert_eq!(fields(&status).len(), 20);
    assert_eq!(fields(&status)[5], "series[1].points[0].period");
    assert!(status.message().ends_with("(and 24 more)"), "{}", status.message());

    let wrong = (0..25).flat_map(|_| indicator_with(|indicator| indicator.id = "two words".into())).collect();
    let refused = server.clients.define(WriteOptions::default(), wrong).await;
    let status = assert_refused(refused, Code::InvalidArgument, "FIELD");
    assert_eq!(fields(&status).len(), 20);
    assert!(status.message().ends_with("(and 24 more)"), "{}", status.message());
    server.end().await;
}

#[tokio::test]
async fn a_page_token_of_another_history_or_method_is_refused() {
    let ours = server_with_catalog().await;
    let theirs = server_with_catalog().await;
    let request = ListIndicatorsRequest { page_size: 1, ..Default::default() };
    let first = ours.clients.catalog.clone().list_indicators(request.clone()).await.unwrap().into_inner();
    let page_token = first.next_page_token;
    let next = ListIndicatorsRequest { page_token: page_token.clone(), ..request };

    let foreign = theirs.clients.catalog.clone().list_indicators(next.clone()).await;
    let status = assert_refused(foreign, Code::InvalidArgument, "PAGE_TOKEN");
    assert_eq!(fields(&status), ["page_token"]);
    let other_method = ListSourcesRequest { page_token, page_size: 1, ..Default::default() };
    let refused = ours.clients.catalog.clone().list_sources(other_method).await;
    assert_eq!(fields(&assert_refused(refused, Code::InvalidArgument, "PAGE_TOKEN")), ["page_token"]);
    let second = ours.clients.catalog.clone().list_indicators(next).await.unwrap().into_inner();
    assert_eq!(second.indicators.len(), 1);
    ours.end().await;
    theirs.end().await;
}
