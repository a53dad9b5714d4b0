//! Starting and stopping servers, and speaking to them.
//!
//! A server in process has a runtime of its own, so that stopping it lets go of everything it held, as the end of a
//! process does.

use std::{net::SocketAddr, path::PathBuf, thread::JoinHandle, time::Duration};

use almanac::{
    convert,
    proto::{
        admin_service_client::AdminServiceClient, catalog_service_client::CatalogServiceClient,
        feed_service_client::FeedServiceClient, ranking_service_client::RankingServiceClient,
        statistics_service_client::StatisticsServiceClient, *,
    },
    server,
};
use tokio::sync::oneshot;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt;

/// How long a condition may take to come true.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// What a client takes in one message here; the server promises to stay well below.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// A server in this process.
pub(crate) struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(config: server::Config) -> Result<Self, String> {
        let (stop, stopped) = oneshot::channel();
        let (started, start) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            let almanac = match server::open(&config) {
                Ok(almanac) => almanac,
                Err(error) => {
                    let _ = started.send(Err(error.to_string()));
                    return;
                }
            };
            runtime.block_on(async {
                let listener = server::listen("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
                let _ = started.send(Ok(listener.local_addr().unwrap()));
                let stopped = async {
                    let _ = stopped.await;
                };
                server::serve(almanac, listener, stopped).await.unwrap();
            });
            runtime.shutdown_timeout(Duration::from_secs(10));
        });
        let address = start.await.map_err(|_| "the server's thread ended".to_owned())??;
        Ok(Self { address, stop, thread })
    }

    /// Asks it to stop and waits until it did.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        tokio::task::spawn_blocking(move || self.thread.join().unwrap()).await.unwrap();
    }
}

/// The five services of one server.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    pub(crate) catalog: CatalogServiceClient<Channel>,
    pub(crate) statistics: StatisticsServiceClient<Channel>,
    pub(crate) rankings: RankingServiceClient<Channel>,
    pub(crate) feed: FeedServiceClient<Channel>,
    pub(crate) admin: AdminServiceClient<Channel>,
}

impl Clients {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).await.unwrap()
    }

    pub(crate) async fn try_connect(address: SocketAddr) -> Result<Self, tonic::transport::Error> {
        Ok(Self::on(Endpoint::from_shared(format!("http://{address}"))?.connect().await?))
    }

    pub(crate) fn on(channel: Channel) -> Self {
        Self {
            catalog: CatalogServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX),
            statistics: StatisticsServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX),
            rankings: RankingServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX),
            feed: FeedServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX),
            admin: AdminServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX),
        }
    }

    pub(crate) async fn define(
        &self,
        options: WriteOptions,
        definitions: Vec<Definition>,
    ) -> Result<WriteResult, Status> {
        let request = DefineCatalogRequest { options: Some(options), definitions };
        Ok(self.admin.clone().define_catalog(request).await?.into_inner().result.unwrap())
    }

    /// Uploads figures, a few batches a message.
    pub(crate) async fn ingest(&self, header: IngestHeader, batches: Vec<SeriesBatch>) -> Result<WriteResult, Status> {
        self.ingest_messages(upload(header, Vec::new(), &batches)).await
    }

    pub(crate) async fn ingest_messages(
        &self,
        messages: Vec<IngestObservationsRequest>,
    ) -> Result<WriteResult, Status> {
        let answer = self.admin.clone().ingest_observations(tokio_stream::iter(messages)).await?;
        Ok(answer.into_inner().result.unwrap())
    }

    pub(crate) async fn publish(
        &self,
        header: PublishHeader,
        entries: Vec<Entry>,
    ) -> Result<PublishEditionResponse, Status> {
        self.publish_messages(publication(header, Vec::new(), &entries)).await
    }

    pub(crate) async fn publish_messages(
        &self,
        messages: Vec<PublishEditionRequest>,
    ) -> Result<PublishEditionResponse, Status> {
        Ok(self.admin.clone().publish_edition(tokio_stream::iter(messages)).await?.into_inner())
    }

    pub(crate) async fn withdraw(
        &self,
        options: WriteOptions,
        ranking: &str,
        edition: &str,
    ) -> Result<WithdrawEditionResponse, Status> {
        let request = WithdrawEditionRequest {
            options: Some(options),
            ranking: ranking.into(),
            edition: edition.into(),
            ..Default::default()
        };
        Ok(self.admin.clone().withdraw_edition(request).await?.into_inner())
    }

    pub(crate) async fn head(&self) -> u64 {
        self.feed.clone().get_head(GetHeadRequest::default()).await.unwrap().into_inner().head
    }

    /// What the store holds, without what changes by itself (bytes on disk, open subscriptions).
    pub(crate) async fn status(&self) -> GetStoreStatusResponse {
        let found = self.admin.clone().get_store_status(GetStoreStatusRequest {}).await.unwrap().into_inner();
        GetStoreStatusResponse { disk_bytes: 0, subscribers: 0, ..found }
    }

    /// The figures of a selection, all pages.
    pub(crate) async fn observations(&self, selection: SeriesSelection, as_of: Option<AsOf>) -> Vec<Observation> {
        let mut request = QueryObservationsRequest { selection: Some(selection), as_of, ..Default::default() };
        let mut all = Vec::new();
        loop {
            let page = self.statistics.clone().query_observations(request.clone()).await.unwrap().into_inner();
            all.extend(page.observations);
            if page.next_page_token.is_empty() {
                return all;
            }
            request.page_token = page.next_page_token;
        }
    }

    /// The ids of all indicators there were.
    pub(crate) async fn catalog_ids(&self, as_of: Option<AsOf>) -> Vec<String> {
        let mut request = ListIndicatorsRequest { page_size: 1_000, as_of, ..Default::default() };
        let mut ids = Vec::new();
        loop {
            let page = self.catalog.clone().list_indicators(request.clone()).await.unwrap().into_inner();
            ids.extend(page.indicators.into_iter().map(|indicator| indicator.id));
            if page.next_page_token.is_empty() {
                return ids;
            }
            request.page_token = page.next_page_token;
        }
    }

    /// The entries of an edition, all pages.
    pub(crate) async fn entries(
        &self,
        ranking: &str,
        edition: &str,
        as_of: Option<AsOf>,
    ) -> Result<Vec<Entry>, Status> {
        let mut request =
            ListEntriesRequest { ranking: ranking.into(), edition: edition.into(), as_of, ..Default::default() };
        let mut all = Vec::new();
        loop {
            let page = self.rankings.clone().list_entries(request.clone()).await?.into_inner();
            all.extend(page.entries);
            if page.next_page_token.is_empty() {
                return Ok(all);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Every commit after a revision that matches, with its pages joined.
    pub(crate) async fn commits(&self, after: u64, filters: Vec<Filter>) -> Vec<WholeCommit> {
        self.try_commits(after, filters).await.unwrap()
    }

    pub(crate) async fn try_commits(&self, after: u64, filters: Vec<Filter>) -> Result<Vec<WholeCommit>, Status> {
        let mut request = ListCommitsRequest { after_revision: after, filters, ..Default::default() };
        let mut pages = Vec::new();
        loop {
            let answer = self.feed.clone().list_commits(request.clone()).await?.into_inner();
            pages.extend(answer.commits);
            if answer.next_page_token.is_empty() {
                return Ok(join(&pages));
            }
            request.page_token = answer.next_page_token;
        }
    }
}

/// A commit with all its pages.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WholeCommit {
    pub(crate) commit: Commit,
    pub(crate) previous: u64,
    pub(crate) changes: Vec<Change>,
}

/// The messages of an upload of figures, a few batches each.
pub(crate) fn upload(
    header: IngestHeader,
    definitions: Vec<Definition>,
    batches: &[SeriesBatch],
) -> Vec<IngestObservationsRequest> {
    let batches = batches.chunks(50).map(|series| ObservationBatch { series: series.to_vec() });
    convert::upload::figures(header, one_batch(definitions), batches.collect())
}

/// The messages of a publication, some entries each.
pub(crate) fn publication(
    header: PublishHeader,
    definitions: Vec<Definition>,
    entries: &[Entry],
) -> Vec<PublishEditionRequest> {
    let batches = entries.chunks(40).map(|entries| EntryBatch { entries: entries.to_vec() });
    convert::upload::edition(header, one_batch(definitions), batches.collect())
}

fn one_batch(definitions: Vec<Definition>) -> Vec<DefinitionBatch> {
    if definitions.is_empty() { Vec::new() } else { vec![DefinitionBatch { definitions }] }
}

/// Joins pages to commits; one without its last page is left out, as a client would.
pub(crate) fn join(pages: &[CommitPage]) -> Vec<WholeCommit> {
    let mut all = Vec::new();
    let mut open: Option<WholeCommit> = None;
    for page in pages {
        if page.page == 0 {
            let commit = page.commit.clone().expect("page 0 tells about the commit");
            assert_eq!(commit.revision, page.revision);
            open = Some(WholeCommit { commit, previous: page.prev_matching_revision, changes: Vec::new() });
        }
        let whole = open.as_mut().expect("a commit starts with page 0");
        assert_eq!(whole.commit.revision, page.revision, "the pages of a commit come together");
        whole.changes.extend(page.changes.iter().cloned());
        if page.last_page {
            all.extend(open.take());
        }
    }
    all
}

/// A folder, a server on it, and clients of that.
pub(crate) struct World {
    folder: tempfile::TempDir,
    config: server::Config,
    server: Option<Server>,
    address: Option<SocketAddr>,
    pub(crate) clients: Clients,
}

impl World {
    /// An empty store.
    pub(crate) async fn empty() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl Fn(&mut server::Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = server::Config::new(folder.path().join("data"));
        change(&mut config);
        let server = Server::start(config.clone()).await.unwrap();
        let address = server.address;
        let clients = Clients::connect(address).await;
        Self { folder, config, server: Some(server), address: Some(address), clients }
    }

    /// Files of the test itself go here.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address.unwrap()
    }

    pub(crate) async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }

    /// The same with other settings from now on.
    pub(crate) async fn restart_with(&mut self, change: impl Fn(&mut server::Config)) {
        change(&mut self.config);
        self.restart().await;
    }

    /// Stops the server, waits until it is gone, and starts another like it on the same folder.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        let server = Server::start(self.config.clone()).await.unwrap();
        self.clients = Clients::connect(server.address).await;
        self.address = Some(server.address);
        self.server = Some(server);
    }

    /// Ends the world; says that everything ended as it should.
    pub(crate) async fn end(mut self) {
        self.stop().await;
        let blobs = self.data().join("store").join("blobs");
        if let Ok(found) = std::fs::read_dir(&blobs) {
            assert_eq!(found.count(), 0, "values so long that they are never synced");
        }
    }
}

/// The reason in a status.
pub(crate) fn reason(status: &Status) -> String {
    status.get_details_error_info().map_or_else(String::new, |info| info.reason)
}

/// The fields that a status complains of.
pub(crate) fn fields(status: &Status) -> Vec<String> {
    let bad = status.get_details_bad_request();
    bad.into_iter().flat_map(|bad| bad.field_violations).map(|violation| violation.field).collect()
}

/// Asserts a refusal by code and reason.
#[track_caller]
pub(crate) fn assert_refused<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, why: &str) -> Status {
    let status = result.expect_err("should have been refused");
    assert_eq!((status.code(), reason(&status).as_str()), (code, why), "{}", status.message());
    status
}

/// A point of history by revision.
pub(crate) fn at_revision(revision: u64) -> Option<AsOf> {
    Some(AsOf { at: Some(as_of::At::Revision(revision)) })
}

/// A point of history by release date.
pub(crate) fn at_released(day: &str) -> Option<AsOf> {
    Some(AsOf { at: Some(as_of::At::Released(day.into())) })
}

/// A point of history by our own clock.
pub(crate) fn at_recorded(instant: prost_types::Timestamp) -> Option<AsOf> {
    Some(AsOf { at: Some(as_of::At::Recorded(instant)) })
}

/// The published text of a figure.
pub(crate) fn text(value: &Value) -> String {
    if !value.exact.is_empty() {
        return value.exact.clone();
    }
    match value.number {
        Some(number) => format!("{number:.*}", value.decimals.unwrap() as usize),
        None => "missing".into(),
    }
}

/// Random numbers by a seed, the same on every machine (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// With the seed of the environment, or one of its own name; a fresh one in the long mode. Says which.
    pub(crate) fn new(what: &str) -> Self {
        let given = std::env::var("ALMANAC_TEST_SEED").ok();
        let own = || what.bytes().fold(7, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
        let fresh = || if long() { getrandom::u64().unwrap() } else { own() };
        let seed = given.map_or_else(fresh, |seed| seed.parse().expect("a number"));
        println!("{what}: ALMANAC_TEST_SEED={seed}");
        Self(seed)
    }

    /// With this seed, without a word.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Dice of their own for somebody else, who throws when he likes.
    pub(crate) fn split(&mut self) -> Self {
        Self(self.next())
    }

    /// Evenly from 0 to 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        self.next() as f64 / u64::MAX as f64
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below this.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// True once in so many throws.
    pub(crate) fn once_in(&mut self, throws: usize) -> bool {
        self.below(throws) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

/// Whether tests may take their time.
pub(crate) fn long() -> bool {
    std::env::var("ALMANAC_TEST_LONG").is_ok_and(|value| value == "1")
}
