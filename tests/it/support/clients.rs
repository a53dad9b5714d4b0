//! Clients of the five services, with the calls that tests make most.

use std::net::SocketAddr;

use almanac::{
    convert,
    proto::{
        admin_service_client::AdminServiceClient, catalog_service_client::CatalogServiceClient,
        feed_service_client::FeedServiceClient, ranking_service_client::RankingServiceClient,
        statistics_service_client::StatisticsServiceClient, *,
    },
};
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

/// The longest message that the clients accept, in bytes: the default of most libraries. The server promises shorter ones.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Clients of the five services of one server.
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

    /// Uploads figures in several messages.
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

    /// The status of the store, without the fields that change by themselves: bytes on disk, open subscriptions,
    /// the use of memory.
    pub(crate) async fn status(&self) -> GetStoreStatusResponse {
        let found = self.admin.clone().get_store_status(GetStoreStatusRequest {}).await.unwrap().into_inner();
        GetStoreStatusResponse { disk_bytes: 0, subscribers: 0, block_cache: None, ..found }
    }

    /// All pages of the figures of a selection.
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

    /// The ids of all indicators at a point of history.
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

    /// All pages of the entries of an edition.
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

    /// Every matching commit after a revision, with its pages joined.
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

/// A commit, with the changes of all its pages.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WholeCommit {
    pub(crate) commit: Commit,
    /// The matching revision before it; 0: none.
    pub(crate) previous: u64,
    pub(crate) changes: Vec<Change>,
}

/// The messages of an upload of figures, 50 series in each.
pub(crate) fn upload(
    header: IngestHeader,
    definitions: Vec<Definition>,
    batches: &[SeriesBatch],
) -> Vec<IngestObservationsRequest> {
    let batches = batches.chunks(50).map(|series| ObservationBatch { series: series.to_vec() });
    convert::upload::figures(header, one_batch(definitions), batches.collect())
}

/// The messages of a publication, 40 entries in each.
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

/// Joins pages to commits. Leaves out a commit without its last page, as a client would.
pub(crate) fn join(pages: &[CommitPage]) -> Vec<WholeCommit> {
    let mut all = Vec::new();
    let mut open: Option<WholeCommit> = None;
    for page in pages {
        if page.page == 0 {
            let commit = page.commit.clone().expect("page 0 has the commit");
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
