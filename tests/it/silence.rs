//! Silence: the server sends signs of life in time, and a follower takes a long silence for a dead connection.

use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use almanac::{
    client::{FollowError, FollowEvent, FollowStart, Follower},
    proto::{
        change::Detail,
        feed_service_client::FeedServiceClient,
        feed_service_server::{FeedService, FeedServiceServer},
        subscribe_request::Start,
        subscribe_response::Body as Message,
        *,
    },
    server,
    store::{Engine, memory::MemoryDisk, offload::Offload},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::DuplexStream,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::Instant,
};
use tokio_stream::{StreamExt, wrappers::UnboundedReceiverStream};
use tonic::{
    Code, Request, Response, Status,
    codegen::{Service, http::Uri},
    transport::{Channel, Endpoint, Server},
};
use tonic_types::{ErrorDetails, StatusExt};

use crate::support::{Clients, fixture::*, subscriptions::range};

const DUPLEX_BYTES: usize = 1 << 20;
const INTERVAL: Duration = Duration::from_millis(200);
/// The longest silence that the contract allows, with a margin for the network.
const SILENCE_MAX: Duration = Duration::from_millis(3 * 200);

/// A channel whose connections end in a queue.
fn connector() -> (Channel, mpsc::UnboundedReceiver<DuplexStream>) {
    let (sender, incoming) = mpsc::unbounded_channel();
    (Endpoint::from_static("http://almanac").connect_with_connector_lazy(Connector(sender)), incoming)
}

/// Sends the other end of each connection to the queue of its server.
#[derive(Debug, Clone)]
struct Connector(mpsc::UnboundedSender<DuplexStream>);

impl Service<Uri> for Connector {
    type Response = TokioIo<DuplexStream>;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (ours, theirs) = tokio::io::duplex(DUPLEX_BYTES);
        let sent = self.0.send(theirs).map_err(|_| io::Error::other("no server takes it"));
        std::future::ready(sent.map(|()| TokioIo::new(ours)))
    }
}

/// Runs the real server on a disk with a delay for every step, until it is stopped.
fn slow_server(disk: &MemoryDisk, latency: Duration) -> (Channel, oneshot::Sender<()>, JoinHandle<()>) {
    let (channel, incoming) = connector();
    let config = server::Config { offload: Offload::Simulated(Arc::new(move || latency)), ..server::Config::new("") };
    let almanac = server::open_on(Engine::in_memory(disk.clone()), &config).unwrap();
    let incoming = UnboundedReceiverStream::new(incoming).map(|stream| Ok((stream, None)));
    let (stop, stopped) = oneshot::channel();
    let stopped = async {
        let _ = stopped.await;
    };
    let serving = tokio::spawn(async { server::serve_on(almanac, Box::pin(incoming), stopped).await.unwrap() });
    (channel, stop, serving)
}

/// A commit of so many pages that reading it takes many intervals.
async fn long_commit(clients: &Clients) {
    let years: Vec<String> = (1000..4000).map(|year| year.to_string()).collect();
    let points: Vec<(&str, &str)> = years.iter().map(|year| (year.as_str(), "1.5")).collect();
    let mut sent = vec![batch(RD, "CHN", "bank", &points[..1])];
    sent.extend((0..8).map(|number| SeriesBatch {
        dimensions: vec![Dimension { id: "N".into(), value: number.to_string() }],
        ..batch(PATENTS, "CHN", "bank", &points)
    }));
    sent.push(batch(VENTURE, "CHN", "bank", &points[..1]));
    clients.ingest(released("2024-01-01"), sent).await.unwrap();
}

/// The messages of a stream up to a revision, and its longest silence.
async fn heard(clients: &Clients, filter: Filter, start: Start, until: u64) -> (Vec<Message>, Duration) {
    let request = SubscribeRequest {
        start: Some(start),
        filters: vec![filter],
        progress_interval: Some(INTERVAL.try_into().unwrap()),
        ..Default::default()
    };
    let mut stream = clients.feed.clone().subscribe(request).await.unwrap().into_inner();
    let mut messages = Vec::new();
    let mut last = Instant::now();
    let mut longest = Duration::ZERO;
    while crate::support::watch::covered(&messages) < until {
        messages.extend(stream.message().await.unwrap().unwrap().body);
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    (messages, longest)
}

fn lags(messages: &[Message]) -> usize {
    let behind = |one: &&Message| matches!(one, Message::Lag(lag) if lag.state() == LagState::CatchingUp);
    messages.iter().filter(behind).count()
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_reads_a_long_commit_sends_signs_of_life() {
    let disk = MemoryDisk::default();
    let (channel, stop, serving) = slow_server(&disk, Duration::from_millis(1));
    let clients = Clients::on(channel);
    clients.define(WriteOptions::default(), catalog()).await.unwrap();
    long_commit(&clients).await;
    stop.send(()).unwrap();
    serving.await.unwrap();
    let indicators = |ids: &[&str]| Filter {
        indicators: ids.iter().map(|id| (*id).to_owned()).collect(),
        kinds: vec![ChangeKind::Value.into()],
        ..Default::default()
    };
    let replay = range(2, 0);
    let state = Start::State(StartState {});
    // Nothing matches; the first change and the last, so that the silence is between two pages of a commit; and the state.
    let cases = [(&["NOBODY"][..], &replay, 0), (&[RD, VENTURE], &replay, 2), (&["NOBODY"], &state, 0)];
    for (ids, start, pages) in cases {
        // A new server reads commits from the disk until somebody has asked for them.
        let (channel, stop, serving) = slow_server(&disk, Duration::from_millis(25));
        let (messages, longest) = heard(&Clients::on(channel), indicators(ids), start.clone(), 2).await;
        let outline = crate::support::watch::outline(&messages);
        assert!(longest <= SILENCE_MAX, "silent for {longest:?}: {outline}");
        assert!(start == &state || lags(&messages) > 3, "{outline}");
        let found = messages.iter().filter(|one| matches!(one, Message::CommitPage(_))).count();
        assert_eq!(found, pages, "{outline}");
        let complete = messages.iter().any(|one| matches!(one, Message::SnapshotEnd(_)));
        assert_eq!(complete, start == &state, "{outline}");
        stop.send(()).unwrap();
        serving.await.unwrap();
    }
}

/// The answer of a scripted server to one call of `Subscribe`.
#[derive(Debug)]
enum ScriptedAnswer {
    Refuse(Status),
    /// No answer, not even headers.
    Nothing,
    /// These messages, and then silence.
    Say(Vec<Message>),
}

/// A scripted server, and the requests that it got.
#[derive(Debug, Clone, Default)]
struct ScriptedServer {
    answers: Arc<Mutex<VecDeque<ScriptedAnswer>>>,
    requests: Arc<Mutex<Vec<SubscribeRequest>>>,
}

impl ScriptedServer {
    /// A scripted server, and a follower of it.
    fn follower(answers: Vec<ScriptedAnswer>, from: FollowStart) -> (Self, Follower<Channel>) {
        let (channel, incoming) = connector();
        let scripted = Self { answers: Arc::new(Mutex::new(answers.into())), ..Self::default() };
        let service = FeedServiceServer::new(scripted.clone());
        let incoming = UnboundedReceiverStream::new(incoming).map(Ok::<_, io::Error>);
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        let follower = Follower::new(FeedServiceClient::new(channel), from, Vec::new());
        (scripted, follower.progress_every(INTERVAL).jitter(|| 1.0))
    }

    fn starts(&self) -> Vec<Option<Start>> {
        self.requests.lock().unwrap().iter().map(|request| request.start.clone()).collect()
    }
}

fn unused<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("not in the script"))
}

#[tonic::async_trait]
impl FeedService for ScriptedServer {
    type SubscribeStream = tokio_stream::wrappers::ReceiverStream<Result<SubscribeResponse, Status>>;

    async fn subscribe(&self, request: Request<SubscribeRequest>) -> Result<Response<Self::SubscribeStream>, Status> {
        self.requests.lock().unwrap().push(request.into_inner());
        let answer = self.answers.lock().unwrap().pop_front().expect("the script goes on");
        let messages = match answer {
            ScriptedAnswer::Refuse(status) => return Err(status),
            ScriptedAnswer::Nothing => std::future::pending().await,
            ScriptedAnswer::Say(messages) => messages,
        };
        let (sender, stream) = mpsc::channel(messages.len().max(1));
        for message in messages {
            sender.try_send(Ok(SubscribeResponse { body: Some(message) })).unwrap();
        }
        tokio::spawn(async move {
            let () = std::future::pending().await;
            drop(sender);
        });
        Ok(Response::new(stream.into()))
    }

    async fn list_commits(&self, _: Request<ListCommitsRequest>) -> Result<Response<ListCommitsResponse>, Status> {
        unused()
    }

    async fn get_head(&self, _: Request<GetHeadRequest>) -> Result<Response<GetHeadResponse>, Status> {
        unused()
    }

    async fn resolve_revision(
        &self,
        _: Request<ResolveRevisionRequest>,
    ) -> Result<Response<ResolveRevisionResponse>, Status> {
        unused()
    }

    async fn put_cursor(&self, _: Request<PutCursorRequest>) -> Result<Response<PutCursorResponse>, Status> {
        unused()
    }

    async fn get_cursor(&self, _: Request<GetCursorRequest>) -> Result<Response<GetCursorResponse>, Status> {
        unused()
    }

    async fn list_cursors(&self, _: Request<ListCursorsRequest>) -> Result<Response<ListCursorsResponse>, Status> {
        unused()
    }
}

fn opened(start_revision: u64) -> Message {
    let resume_token = format!("after {start_revision}");
    Message::Opened(Opened { start_revision, resume_token, ..Default::default() })
}

fn page(revision: u64, before: u64, changes: Vec<Change>) -> Message {
    Message::CommitPage(CommitPage {
        revision,
        prev_matching_revision: before,
        last_page: true,
        commit: Some(Commit { revision, ..Default::default() }),
        changes,
        resume_token: format!("after {revision}"),
        ..Default::default()
    })
}

fn known_change() -> Change {
    let detail = Some(Detail::Value(ValueChange::default()));
    Change { scope: ChangeScope::Entered.into(), detail, ..Default::default() }
}

fn resumed(revision: u64) -> Option<Start> {
    Some(Start::ResumeToken(format!("after {revision}")))
}

#[tokio::test(start_paused = true)]
async fn a_follower_takes_three_silent_intervals_for_a_dead_connection() {
    let script = vec![
        ScriptedAnswer::Say(vec![opened(3), page(4, 0, vec![known_change()])]),
        // No answer comes, not even headers.
        ScriptedAnswer::Nothing,
        ScriptedAnswer::Say(vec![opened(4), page(6, 4, vec![known_change()])]),
    ];
    let (scripted, mut follower) = ScriptedServer::follower(script, FollowStart::Range(4, None));
    assert!(matches!(follower.next().await.unwrap(), Some(FollowEvent::Opened(_))));
    assert!(matches!(follower.next().await.unwrap(), Some(FollowEvent::Changes(part)) if part.revision == 4));
    for dead in ["a stream", "a call"] {
        let begun = Instant::now();
        let event = follower.next().await.unwrap();
        assert!(matches!(&event, Some(FollowEvent::Reconnecting { .. })), "{dead}: {event:?}");
        assert!(begun.elapsed() >= SILENCE_MAX, "{dead} was given up after {:?}", begun.elapsed());
    }
    assert!(matches!(follower.next().await.unwrap(), Some(FollowEvent::Opened(_))));
    assert!(matches!(follower.next().await.unwrap(), Some(FollowEvent::Changes(part)) if part.revision == 6));
    assert_eq!(scripted.starts()[1..], [resumed(4), resumed(4)]);
}

fn status_of(domain: &str) -> Status {
    let details = ErrorDetails::with_error_info("FIELD", domain, HashMap::new());
    Status::with_error_details(Code::InvalidArgument, "no", details)
}

#[tokio::test(start_paused = true)]
async fn a_follower_takes_a_refusal_only_from_an_almanac() {
    let script = vec![
        ScriptedAnswer::Refuse(Status::invalid_argument("a frame was cut")),
        ScriptedAnswer::Refuse(status_of("proxy.example")),
        ScriptedAnswer::Refuse(Status::failed_precondition("somebody on the way")),
        ScriptedAnswer::Refuse(Status::out_of_range("a message that is too long")),
        ScriptedAnswer::Refuse(status_of("almanac")),
    ];
    let retried = script.len() - 1;
    let (scripted, mut follower) = ScriptedServer::follower(script, FollowStart::Now);
    for _ in 0..retried {
        assert!(matches!(follower.next().await.unwrap(), Some(FollowEvent::Reconnecting { .. })));
    }
    let refused = follower.next().await;
    assert!(
        matches!(&refused, Err(FollowError::Refused(status)) if status.code() == Code::InvalidArgument),
        "{refused:?}"
    );
    assert_eq!(scripted.starts().len(), retried + 1);
}

fn opened_with_state() -> Message {
    Message::Opened(Opened { start_revision: 4, ..Default::default() })
}

fn state_page(item: StateRow) -> Message {
    Message::SnapshotPage(SnapshotPage { revision: 4, rows: vec![item], ..Default::default() })
}

fn definition_change(before: Option<Definition>, after: Option<Definition>) -> Change {
    let detail = Some(Detail::Definition(DefinitionChange { before, after }));
    Change { detail, ..known_change() }
}

#[tokio::test(start_paused = true)]
async fn a_follower_stops_at_unknown_messages() {
    let nameless = Definition { item: None };
    let changes = [
        Change { detail: None, ..known_change() },
        Change { scope: 0, ..known_change() },
        Change { scope: 99, ..known_change() },
        definition_change(None, Some(nameless.clone())),
        definition_change(Some(nameless.clone()), None),
    ];
    let mut scripts: Vec<Vec<Message>> =
        changes.into_iter().map(|change| vec![opened(3), page(4, 0, vec![known_change(), change])]).collect();
    let row = StateRow { item: Some(state_row::Item::Definition(nameless)), ..Default::default() };
    scripts.push(vec![opened_with_state(), state_page(StateRow::default())]);
    scripts.push(vec![opened_with_state(), state_page(row)]);
    for script in scripts {
        let from = if matches!(script[1], Message::SnapshotPage(_)) {
            FollowStart::State
        } else {
            FollowStart::Range(4, None)
        };
        let what = format!("{:?}", script[1]);
        let (_, mut follower) = ScriptedServer::follower(vec![ScriptedAnswer::Say(script)], from);
        assert!(matches!(follower.next().await.unwrap(), Some(FollowEvent::Opened(_))));
        let unknown = follower.next().await;
        assert!(matches!(unknown, Err(FollowError::Unknown(_))), "{what}: {unknown:?}");
        let token = follower.token().unwrap_or_default();
        assert!(!token.contains('4'), "what is not known is not passed: {token}");
    }
}

/// Without a token, nothing comes before the first commit. If the first commit names one before it, a commit was lost.
#[tokio::test(start_paused = true)]
async fn a_follower_that_began_without_a_token_knows_the_whole_chain() {
    for (from, first, broken) in [
        (FollowStart::Range(4, None), 0, false),
        (FollowStart::Range(4, None), 2, true),
        (FollowStart::Now, 3, true),
        // Only the owner of the token knows which commit came before it.
        (FollowStart::Token("after 3".into()), 2, false),
    ] {
        let script = vec![ScriptedAnswer::Say(vec![opened(3), page(4, first, vec![known_change()])])];
        let (_, mut follower) = ScriptedServer::follower(script, from.clone());
        assert!(matches!(follower.next().await.unwrap(), Some(FollowEvent::Opened(_))));
        let came = follower.next().await;
        let chain = matches!(&came, Err(FollowError::Broken(promise)) if promise.promise == "Chained");
        assert_eq!(chain, broken, "{from:?} {first}: {came:?}");
    }
}
