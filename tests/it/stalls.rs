//! Stalled subscribers: the server ends their streams after a while, with a token, and no commit is lost.

use std::time::Duration;

use almanac::proto::{
    feed_service_client::FeedServiceClient, subscribe_request::Start, subscribe_response::Body as Message, *,
};
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};
use tonic::{
    Streaming,
    transport::{Channel, Endpoint},
};

use crate::support::{
    Clients, DEADLINE, TestServer, WholeCommit, fixture::*, join, subscriptions::range, watch::Watch,
};

/// The flow-control window of a stream, in bytes: the default of HTTP/2.
const STREAM_WINDOW: u32 = 65_535;
/// The window of a connection, in bytes: large, so that one stream does not stop the others.
const CONNECTION_WINDOW: u32 = 4 << 20;

async fn stalling_world(limit: Duration) -> TestServer {
    let server = TestServer::with(|config| config.subscription_stall_limit = limit).await;
    server.clients.define(WriteOptions::default(), catalog()).await.unwrap();
    server
}

/// A new connection with small windows.
async fn connection(server: &TestServer) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.address())).unwrap();
    let endpoint = endpoint.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
    endpoint.connect().await.unwrap()
}

fn from(revision: u64) -> Start {
    range(revision, 0)
}

/// A stream without progress messages in the time of the test.
async fn subscribe(connection: &Channel, start: Start) -> Streaming<SubscribeResponse> {
    let progress_interval = Some(prost_types::Duration { seconds: 20, nanos: 0 });
    let request = SubscribeRequest { start: Some(start), progress_interval, ..Default::default() };
    FeedServiceClient::new(connection.clone()).subscribe(request).await.unwrap().into_inner()
}

/// A commit longer than a window.
async fn commit(clients: &Clients, number: usize) -> u64 {
    commit_years(clients, number, 200).await
}

async fn commit_years(clients: &Clients, number: usize, years: i32) -> u64 {
    let points = || (1000..1000 + years).map(|year| point(&year.to_string(), &format!("{number}.25"))).collect();
    let batches =
        ECONOMIES.iter().map(|economy| SeriesBatch { points: points(), ..batch(RD, economy, "bank", &[]) }).collect();
    clients.ingest(released("2024-01-01"), batches).await.unwrap().revision
}

async fn subscribers(clients: &Clients) -> u64 {
    let status = clients.admin.clone().get_store_status(GetStoreStatusRequest {}).await.unwrap();
    status.into_inner().subscribers
}

async fn until_subscribers(clients: &Clients, expected: u64) {
    let fewer = async {
        while subscribers(clients).await != expected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, fewer).await.expect("a stalled stream is ended");
}

/// The messages of a stream, and its last token.
#[derive(Debug, Default)]
struct StreamRecord {
    pages: Vec<CommitPage>,
    token: String,
    covers: u64,
}

impl StreamRecord {
    fn take(&mut self, message: Message) {
        match message {
            Message::Opened(opened) => (self.token, self.covers) = (opened.resume_token, opened.start_revision),
            Message::CommitPage(page) => {
                if page.last_page {
                    (self.token, self.covers) = (page.resume_token.clone(), page.revision);
                }
                self.pages.push(page);
            }
            Message::Goodbye(goodbye) => self.token = goodbye.resume_token,
            _ => {}
        }
    }

    /// Reads until the stream covers a revision, or fails; returns the error.
    async fn until(&mut self, stream: &mut Streaming<SubscribeResponse>, revision: u64) -> Option<tonic::Status> {
        while self.covers < revision {
            let next = tokio::time::timeout(DEADLINE, stream.message()).await.expect("a message, or the end");
            match next {
                Ok(Some(message)) => self.take(message.body.unwrap()),
                Ok(None) => return Some(tonic::Status::ok("the stream ended")),
                Err(status) => return Some(status),
            }
        }
        None
    }

    /// The complete commits. An incomplete one is dropped, as a client does.
    fn commits(mut self) -> Vec<WholeCommit> {
        self.pages.retain(|page| page.revision <= self.covers);
        join(&self.pages)
    }
}

#[tokio::test]
async fn a_stalled_client_is_given_up_and_nobody_loses_anything() {
    let server = stalling_world(Duration::from_secs(1)).await;
    let clients = &server.clients;
    let shared = connection(&server).await;
    let mut frozen = subscribe(&shared, from(2)).await;
    let mut record = StreamRecord::default();
    record.take(frozen.message().await.unwrap().unwrap().body.unwrap());
    // Two streams that are read: on the connection of the stalled one, and on a connection of its own.
    let beside = Clients { feed: FeedServiceClient::new(shared.clone()), ..clients.clone() };
    let mut sibling = Watch::open(&beside, from(2), Vec::new()).await.unwrap();
    let mut bystander = Watch::open(clients, from(2), Vec::new()).await.unwrap();
    assert_eq!(subscribers(clients).await, 3);

    let mut head = 0;
    for number in 0..3 {
        head = commit(clients, number).await;
    }
    sibling.until_covers(head).await;
    until_subscribers(clients, 1).await;

    let sibling = sibling.ended().await.expect("it ends politely");
    let goodbye = sibling.goodbye().expect("a goodbye comes last").clone();
    assert_eq!(goodbye.reason(), GoodbyeReason::ConnectionStalled);
    assert!(goodbye.reconnect_after.unwrap().seconds > 0, "not back to the same connection");

    let missed = commit(clients, 3).await;
    let expected = clients.commits(1, Vec::new()).await;
    bystander.until_covers(missed).await;
    assert_eq!(bystander.leave().await.commits(), expected, "other connections go on");
    // Its own channel makes a new connection by itself.
    let mut resumed = Watch::open(&beside, Start::ResumeToken(goodbye.resume_token), Vec::new()).await.unwrap();
    resumed.until_covers(missed).await;
    let mut both = sibling.commits();
    both.extend(resumed.leave().await.commits());
    assert_eq!(both, expected, "the sibling missed nothing");

    // The stalled client reads again: what was sent, then the end, then the rest by its last token.
    let why = record.until(&mut frozen, missed).await.expect("the stream is over");
    assert_ne!(why.code(), tonic::Code::Ok, "{why:?}");
    assert!(record.covers < missed);
    let mut resumed = subscribe(&shared, Start::ResumeToken(record.token.clone())).await;
    let mut rest = StreamRecord::default();
    assert!(rest.until(&mut resumed, missed).await.is_none());
    let mut both = record.commits();
    both.extend(rest.commits());
    assert_eq!(both, expected, "the frozen one missed nothing");
    drop(resumed);
    server.end().await;
}

#[tokio::test]
async fn slow_and_idle_readers_are_not_given_up() {
    let limit = Duration::from_secs(3);
    let server = stalling_world(limit).await;
    let clients = &server.clients;
    let mut head = 1;
    for number in 0..20 {
        head = commit(clients, number).await;
    }
    let idle_connection = connection(&server).await;
    let mut idle = subscribe(&idle_connection, Start::Now(StartNow {})).await;
    let slow_connection = connection(&server).await;
    let mut slow = subscribe(&slow_connection, from(2)).await;
    let begun = std::time::Instant::now();
    let mut seen = StreamRecord::default();
    // Much more than a window waits to be sent, for much longer than the limit.
    while begun.elapsed() < 2 * limit {
        assert!(seen.covers < head, "there is always something to read");
        seen.take(slow.message().await.expect("a slow reader stays").unwrap().body.unwrap());
        tokio::time::sleep(limit / 20).await;
    }
    assert_eq!(subscribers(clients).await, 2);
    assert!(seen.until(&mut slow, head).await.is_none());
    assert_eq!(seen.commits(), clients.commits(1, Vec::new()).await);
    let news = commit(clients, 20).await;
    assert!(StreamRecord::default().until(&mut idle, news).await.is_none(), "an idle stream gets the next commit");
    drop((slow, idle));
    server.end().await;
}

/// HTTP/1.1 has no windows: here the buffers of the socket are full.
#[tokio::test]
async fn a_stalled_browser_is_given_up() {
    let server = stalling_world(Duration::from_secs(1)).await;
    let clients = &server.clients;
    // More than the buffers of two sockets.
    for number in 0..8 {
        commit_years(clients, number, 3_000).await;
    }
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let mut browser = socket.connect(server.address()).await.unwrap();
    let request = SubscribeRequest { start: Some(from(1)), ..Default::default() };
    let length = u32::try_from(request.encoded_len()).unwrap();
    let head = format!(
        "POST /almanac.v1.FeedService/Subscribe HTTP/1.1\r\nhost: almanac\r\n\
         content-type: application/grpc-web+proto\r\ncontent-length: {}\r\n\r\n",
        5 + length
    );
    let mut asked = head.into_bytes();
    asked.push(0);
    asked.extend_from_slice(&length.to_be_bytes());
    asked.extend(request.encode_to_vec());
    browser.write_all(&asked).await.unwrap();
    let mut some = [0; 1_000];
    browser.read_exact(&mut some).await.unwrap();
    assert!(some.starts_with(b"HTTP/1.1 200"));
    assert_eq!(subscribers(clients).await, 1);
    until_subscribers(clients, 0).await;
    server.end().await;
}
