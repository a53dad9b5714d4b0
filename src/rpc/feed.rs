//! `FeedService`, but for `Subscribe`, which [`super::subscribe`] serves.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tonic::{Request, Response, Status};

use super::{
    AUTHOR, App, ReadPoint,
    paging::ListPage,
    query_status,
    status::{self, BadField},
    store_status,
};
use crate::{
    convert::{
        commit::commit_page,
        feed::{filters_without, progress_interval, subscription_start},
        time,
    },
    feed::{
        FeedError,
        commit_list::{self, CommitList, CommitOffset},
        filter::Filters,
        hub::Hub,
        stream_registry::Connection,
        subscription::{Subscription, SubscriptionRequest},
        token::Position,
    },
    ledger::cursor::{CursorMove, CursorPosition},
    model::id::Revision,
    proto::{self, feed_service_server::FeedService},
    query::{AsOf, Snapshot},
    store::{StoreError, cursors::StoredCursor},
};

/// Changes on a page of `ListCommits`.
const PAGE_DEFAULT: usize = 1_000;
const PAGE_MAX: usize = 10_000;
/// Longest name of a stored cursor.
const CURSOR_NAME_BYTES_MAX: usize = 128;
/// Stored cursors on a page of `ListCursors`.
const CURSORS_DEFAULT: usize = 100;
const CURSORS_PAGE_MAX: usize = 1_000;

#[derive(Debug, Clone)]
pub struct Feed(pub Arc<App>);

/// Where a list of commits goes on. Page tokens carry the fields in this order.
#[derive(Debug, Serialize, Deserialize)]
struct ListPosition {
    revision: u64,
    last_match: u64,
    pages_listed: u32,
    ledger_page: u32,
    changes_listed: usize,
    /// [`Filters::left_out_hash`]: with other sources left out, the counts above would mean other changes.
    left_out: u64,
}

impl ListPosition {
    fn after(list: &CommitList, filters: &Filters) -> Self {
        Self {
            revision: list.position.revision.0,
            last_match: list.position.last_match.0,
            pages_listed: list.offset.pages,
            ledger_page: list.offset.ledger_page,
            changes_listed: list.offset.changes,
            left_out: filters.left_out_hash(),
        }
    }

    fn position(&self) -> Position {
        Position { revision: Revision(self.revision), last_match: Revision(self.last_match) }
    }

    fn offset(&self) -> CommitOffset {
        CommitOffset { pages: self.pages_listed, ledger_page: self.ledger_page, changes: self.changes_listed }
    }
}

/// Where a page of the list starts.
struct ListStart {
    position: Position,
    offset: CommitOffset,
}

impl ListStart {
    /// From the page token if there is one, else from the resume token or the revision in the request.
    async fn of(
        request: &proto::ListCommitsRequest,
        page: &ListPage<ListPosition>,
        hub: &Hub,
        filters: &Filters,
    ) -> Result<Self, Status> {
        if let Some(at) = &page.position {
            if at.left_out != filters.left_out_hash() {
                let message = "the sources that are left out changed; list again from the first page";
                return Err(status::of_page_token(message));
            }
            return Ok(Self { position: at.position(), offset: at.offset() });
        }
        let position = if request.resume_token.is_empty() {
            Position::at(Revision(request.after_revision))
        } else {
            hub.resume(&request.resume_token, filters).await.map_err(feed_status)?
        };
        Ok(Self { position, offset: CommitOffset::default() })
    }
}

/// The pages of commits on a page of the list. The last page of each commit has a token.
async fn commit_pages(list: &CommitList, hub: &Hub, filters: &Filters) -> Result<Vec<proto::CommitPage>, StoreError> {
    let mut messages = Vec::with_capacity(list.pages.len());
    for page in &list.pages {
        let revision = page.header.commit.revision;
        let token = if page.last {
            hub.token(Position { revision, last_match: revision }, filters.hash()).await?
        } else {
            String::new()
        };
        messages.push(commit_page(page, token, filters));
    }
    Ok(messages)
}

fn cursor_name(name: String) -> Result<String, BadField> {
    let is_printable = name.bytes().all(|byte| byte.is_ascii_graphic());
    match name.len() {
        1..=CURSOR_NAME_BYTES_MAX if is_printable => Ok(name),
        _ => Err(BadField::new(
            "name",
            format!("not 1 to {CURSOR_NAME_BYTES_MAX} printable ASCII characters without blanks"),
        )),
    }
}

fn cursor_message(name: String, cursor: StoredCursor) -> proto::Cursor {
    let stored = Some(cursor.stored.into());
    proto::Cursor { name, resume_token: cursor.token, revision: cursor.revision.0, stored, author: AUTHOR.to_owned() }
}

/// The commit with a revision; revision zero has none.
fn commit_message(snapshot: &Snapshot, revision: Revision) -> Result<Option<proto::Commit>, Status> {
    if revision == Revision::ZERO {
        return Ok(None);
    }
    let header = snapshot.reader.ledger().header(revision).map_err(query_status)?;
    Ok(header.as_ref().map(proto::Commit::from))
}

/// The status of an error of the feed.
fn feed_status(error: FeedError) -> Status {
    status::of_feed(&error)
}

impl Feed {
    /// Opens a subscription that is sent over a connection.
    pub(super) async fn open(
        &self,
        message: proto::SubscribeRequest,
        connection: Arc<Connection>,
    ) -> Result<Subscription, Status> {
        let licences = self.0.hub.licences();
        let request = SubscriptionRequest {
            start: subscription_start(message.start)?,
            filters: filters_without(message.filters, licences.left_out.as_ref().clone())?,
            licences_version: licences.version,
            conflate: message.conflate,
            progress_interval: progress_interval(message.progress_interval)?,
            max_age: self.0.subscription_max_age,
            connection,
        };
        Subscription::open(self.0.hub.clone(), request).await.map_err(feed_status)
    }
}

#[tonic::async_trait]
impl FeedService for Feed {
    type SubscribeStream = tokio_stream::Empty<Result<proto::SubscribeResponse, Status>>;

    /// Not reached: [`super::subscribe`] answers this path from shared bytes.
    async fn subscribe(&self, _: Request<proto::SubscribeRequest>) -> Result<Response<Self::SubscribeStream>, Status> {
        Err(status::of_server_fault("Subscribe has an endpoint of its own"))
    }

    async fn list_commits(
        &self,
        request: Request<proto::ListCommitsRequest>,
    ) -> Result<Response<proto::ListCommitsResponse>, Status> {
        let mut plain = request.into_inner();
        let page: ListPage<ListPosition> = self.0.page(&mut plain, PAGE_DEFAULT, PAGE_MAX)?;
        let hub = &self.0.hub;
        self.0.reach(Revision(plain.min_revision)).await?;
        let left_out = hub.licences().left_out.as_ref().clone();
        let group = hub.group(filters_without(std::mem::take(&mut plain.filters), left_out)?);
        let filters = &group.filters;
        let start = ListStart::of(&plain, &page, hub, filters).await?;
        let head = self.0.reader.head();
        if start.position.revision > head {
            return Err(feed_status(FeedError::AboveHead { asked: start.position.revision, head }));
        }
        let list =
            commit_list::list(hub, &group, start.position, start.offset, page.size).await.map_err(feed_status)?;
        let next_page_token =
            if list.more { page.next(list.head, &ListPosition::after(&list, filters)) } else { String::new() };
        Ok(Response::new(proto::ListCommitsResponse {
            commits: commit_pages(&list, hub, filters).await.map_err(store_status)?,
            next_page_token,
            resume_token: hub.token(list.position, filters.hash()).await.map_err(store_status)?,
            head: list.head.0,
            left_out_sources: filters.left_out().iter().cloned().collect(),
        }))
    }

    async fn get_head(
        &self,
        request: Request<proto::GetHeadRequest>,
    ) -> Result<Response<proto::GetHeadResponse>, Status> {
        let at = ReadPoint::head(request.into_inner().min_revision);
        let found = self.0.read(at, |snapshot| {
            let head = snapshot.revision();
            let commit = commit_message(&snapshot, head)?;
            let ledger = snapshot.reader.ledger();
            Ok(proto::GetHeadResponse {
                head: head.0,
                floor: ledger.floor().0,
                history_id: ledger.history().to_string(),
                commit,
            })
        });
        found.await.map(Response::new)
    }

    async fn resolve_revision(
        &self,
        request: Request<proto::ResolveRevisionRequest>,
    ) -> Result<Response<proto::ResolveRevisionResponse>, Status> {
        use proto::resolve_revision_request::At;
        let request = request.into_inner();
        let newest = ReadPoint::head(request.min_revision);
        let at = match request.at.ok_or_else(|| BadField::new("at", "must be given"))? {
            At::Recorded(timestamp) => AsOf::Recorded(time::instant("recorded", &timestamp)?),
            At::Released(day) => AsOf::Released(time::date("released", &day)?),
        };
        let found = self.0.read(newest, move |snapshot| {
            let reader = &snapshot.reader;
            let revision = match at {
                AsOf::Recorded(instant) => reader.revision_at(instant),
                AsOf::Released(day) => reader.revision_released_by(day),
                _ => Ok(snapshot.revision()),
            };
            let revision = revision.map_err(query_status)?;
            let commit = commit_message(&snapshot, revision)?;
            Ok(proto::ResolveRevisionResponse { revision: revision.0, commit })
        });
        found.await.map(Response::new)
    }

    async fn put_cursor(
        &self,
        request: Request<proto::PutCursorRequest>,
    ) -> Result<Response<proto::PutCursorResponse>, Status> {
        let proto::PutCursorRequest { name, resume_token: token, allow_rewind } = request.into_inner();
        let name = cursor_name(name)?;
        let to = if token.is_empty() {
            None
        } else {
            let content = self.0.hub.read_token(&token).await.map_err(feed_status)?;
            Some(CursorPosition { token, revision: content.position.revision, filters: content.filter_hash })
        };
        let author = AUTHOR.to_owned();
        let stored = self.0.move_cursor(CursorMove { author, name: name.clone(), to, allow_rewind }).await?;
        Ok(Response::new(proto::PutCursorResponse { cursor: stored.map(|stored| cursor_message(name, stored)) }))
    }

    async fn get_cursor(
        &self,
        request: Request<proto::GetCursorRequest>,
    ) -> Result<Response<proto::GetCursorResponse>, Status> {
        let name = cursor_name(request.into_inner().name)?;
        let stored = self.0.writer.cursor(AUTHOR, &name).ok_or_else(|| status::of_no_cursor(&name))?;
        Ok(Response::new(proto::GetCursorResponse { cursor: Some(cursor_message(name, stored)) }))
    }

    async fn list_cursors(
        &self,
        request: Request<proto::ListCursorsRequest>,
    ) -> Result<Response<proto::ListCursorsResponse>, Status> {
        let mut plain = request.into_inner();
        let page: ListPage<String> = self.0.page(&mut plain, CURSORS_DEFAULT, CURSORS_PAGE_MAX)?;
        let after = page.position.as_deref().unwrap_or_default();
        let cursors = self.0.writer.cursors_after(AUTHOR, after).into_iter();
        let messages = cursors.map(|(name, stored)| Ok((cursor_message(name.clone(), stored), name)));
        // Stored cursors are no facts: the pages of their list are not of one revision.
        let (cursors, next_page_token) = page.fill(Revision::ZERO, messages)?;
        Ok(Response::new(proto::ListCursorsResponse { cursors, next_page_token }))
    }
}
