//! `FeedService`.

use std::{collections::BTreeSet, ops::RangeInclusive, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tonic::{Request, Response, Status};

use super::{
    AUTHOR, App, ReadPoint,
    paging::ListPage,
    query_status,
    status::{self, BadField},
};
use crate::{
    convert::{self, digest::Version},
    feed::{
        FeedError,
        filter::{FILTER_IDS_MAX, FILTERS_MAX, Filter, Filters, Kind},
        history::{self, Given},
        stream_registry::{Connection, RECONNECT_AFTER},
        subscription::{GoodbyeReason, Subscription, SubscriptionEvent, SubscriptionRequest, SubscriptionStart},
        token::Position,
    },
    ledger::cursor::{CursorMove, CursorPosition},
    model::id::Revision,
    proto::{self, feed_service_server::FeedService, subscribe_response::Body as Message},
    query::{AsOf, Snapshot},
    store::cursors::StoredCursor,
};

const PAGE_DEFAULT: usize = 1_000;
const PAGE_MAX: usize = 10_000;
const PROGRESS_DEFAULT: Duration = Duration::from_secs(5);
/// How often a client may want to hear that all is well. The longest lets it notice a silent connection within a minute.
const PROGRESS_INTERVALS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(20);
/// Longest name of a cursor.
const CURSOR_NAME_BYTES_MAX: usize = 128;
/// StoredCursors on a page of their list.
const CURSORS_DEFAULT: usize = 100;
const CURSORS_PAGE_MAX: usize = 1_000;
/// The shortest wait before a client comes back: a client that takes zero for unset would not wait at all.
const RECONNECT_AT_ONCE: Duration = Duration::from_millis(1);
/// Clients of a server that goes away come back spread over this time.
const RECONNECT_SPREAD: Duration = Duration::from_secs(10);

/// The service.
#[derive(Debug, Clone)]
pub struct Feed(pub Arc<App>);

/// Where a list of commits goes on.
#[derive(Debug, Serialize, Deserialize)]
struct ListPosition {
    revision: u64,
    last_match: u64,
    parts_given: u32,
    ledger_page: u32,
    changes_given: usize,
    /// Which sources were left out: others would make other numbers of what was given.
    left_out: u64,
}

fn filters(given: Vec<proto::Filter>, left_out: BTreeSet<String>) -> Result<Filters, Status> {
    if given.len() > FILTERS_MAX {
        return Err(BadField::new("filters", format!("more than {FILTERS_MAX}")).into());
    }
    let several = given.len() > 1;
    let mut names = BTreeSet::new();
    let mut filters = Vec::new();
    for (at, given) in given.into_iter().enumerate() {
        let named = !several || (!given.name.is_empty() && names.insert(given.name.clone()));
        if !named {
            return Err(BadField::new(format!("filters[{at}].name"), "several filters need names of their own").into());
        }
        filters.push(filter(given).map_err(|bad| bad.under(&format!("filters[{at}]")))?);
    }
    Ok(Filters::without(filters, left_out))
}

fn filter(given: proto::Filter) -> Result<Filter, BadField> {
    let ids = |field: &str, ids: Vec<String>| -> Result<BTreeSet<String>, BadField> {
        if ids.len() > FILTER_IDS_MAX {
            return Err(BadField::new(field, format!("more than {FILTER_IDS_MAX}")));
        }
        ids.into_iter()
            .map(|id| Ok(convert::field::id(field, &id, crate::model::id::EntityId::new)?.to_string()))
            .collect()
    };
    convert::field::check_list("kinds", &given.kinds)?;
    convert::field::check_list("causes", &given.causes)?;
    let kinds = given.kinds.into_iter().map(|kind| match proto::ChangeKind::try_from(kind) {
        Ok(proto::ChangeKind::Value) => Ok(Kind::Value),
        Ok(proto::ChangeKind::Entry) => Ok(Kind::Entry),
        Ok(proto::ChangeKind::Edition) => Ok(Kind::Edition),
        Ok(proto::ChangeKind::Definition) => Ok(Kind::Definition),
        _ => Err(BadField::new("kinds", format!("{kind} is not a kind of change"))),
    });
    let causes = given.causes.into_iter().map(|cause| {
        convert::enums::optional("causes", cause)?.ok_or_else(|| BadField::new("causes", "unspecified is not a cause"))
    });
    Ok(Filter {
        kinds: kinds.collect::<Result<_, _>>()?,
        causes: causes.collect::<Result<_, _>>()?,
        name: convert::field::text("name", given.name, 128)?,
        rankings: ids("rankings", given.rankings)?,
        indicators: ids("indicators", given.indicators)?,
        entities: ids("entities", given.entities)?,
        sources: ids("sources", given.sources)?,
        rank_at_most: given.rank_at_most,
        min_places: given.min_places,
        dimensions: convert::figure::dimension_filter("dimensions", given.dimensions)?,
    })
}

fn start(given: Option<proto::subscribe_request::Start>) -> Result<SubscriptionStart, Status> {
    use proto::subscribe_request::Start as Given;
    Ok(match given.ok_or_else(|| BadField::new("start", "must be given"))? {
        Given::State(_) => SubscriptionStart::State(AsOf::Head),
        Given::Now(_) => SubscriptionStart::Now,
        Given::ResumeToken(token) => SubscriptionStart::Token(token),
        Given::Range(range) => {
            let proto::StartRange { first_revision, last_revision } = range;
            if first_revision == 0 {
                return Err(BadField::new("range.first_revision", "revisions start at 1").into());
            }
            if last_revision != 0 && last_revision < first_revision {
                return Err(BadField::new("range.last_revision", "below first_revision").into());
            }
            SubscriptionStart::Range(Revision(first_revision), (last_revision != 0).then_some(Revision(last_revision)))
        }
        Given::AsKnownAt(as_of) => match convert::as_of::as_of(Some(as_of))? {
            AsOf::Head => return Err(BadField::new("as_known_at", "must name a point of history").into()),
            as_of => SubscriptionStart::State(as_of),
        },
    })
}

fn progress_interval(given: Option<prost_types::Duration>) -> Result<Duration, BadField> {
    match given {
        None => Ok(PROGRESS_DEFAULT),
        Some(given) => Ok(convert::time::duration("progress_interval", &given, &PROGRESS_INTERVALS)?),
    }
}

/// A cursor's name, checked.
fn cursor_name(name: String) -> Result<String, BadField> {
    let printable = name.bytes().all(|byte| byte.is_ascii_graphic());
    match name.len() {
        1..=CURSOR_NAME_BYTES_MAX if printable => Ok(name),
        _ => Err(BadField::new(
            "name",
            format!("not 1 to {CURSOR_NAME_BYTES_MAX} printable ASCII characters without blanks"),
        )),
    }
}

fn cursor(name: String, cursor: StoredCursor) -> proto::Cursor {
    let stored = Some(cursor.stored.into());
    proto::Cursor { name, resume_token: cursor.token, revision: cursor.revision.0, stored, author: AUTHOR.to_owned() }
}

impl Feed {
    /// Opens a subscription, to be sent over a connection.
    pub(super) async fn open(
        &self,
        request: proto::SubscribeRequest,
        connection: Arc<Connection>,
    ) -> Result<Subscription, Status> {
        let licences = self.0.hub.licences();
        let wanted = SubscriptionRequest {
            start: start(request.start)?,
            filters: filters(request.filters, licences.left_out.as_ref().clone())?,
            licences: licences.version,
            conflate: request.conflate,
            progress_interval: progress_interval(request.progress_interval)?,
            max_age: self.0.subscription_max_age,
            connection,
        };
        Subscription::open(self.0.hub.clone(), wanted).await.map_err(|error| status::of_feed(&error))
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
        let group = hub.group(filters(plain.filters, hub.licences().left_out.as_ref().clone())?);
        let filters = &group.filters;
        let (from, given) = match &page.position {
            Some(at) if at.left_out != filters.left_out_hash() => {
                return Err(status::of_page_token(
                    "the sources that are left out changed; list again from the first page",
                ));
            }
            Some(at) => {
                let place = Position { revision: Revision(at.revision), last_match: Revision(at.last_match) };
                let given = Given { parts: at.parts_given, ledger_page: at.ledger_page, changes: at.changes_given };
                (place, given)
            }
            None if plain.resume_token.is_empty() => {
                (Position { revision: Revision(plain.after_revision), last_match: Revision::ZERO }, Given::default())
            }
            None => {
                let claimed = hub.claimed(&plain.resume_token).await.map_err(|error| status::of_feed(&error))?;
                let (place, filter_hash) = claimed;
                if filter_hash != filters.hash() {
                    return Err(status::of_feed(&FeedError::TokenOtherFilter));
                }
                (place, Given::default())
            }
        };
        let head = self.0.reader.head();
        if from.revision > head {
            let error = FeedError::AboveHead { asked: from.revision, head };
            return Err(status::of_feed(&error));
        }
        let listed = history::list(hub, &group, from, given, page.size).await;
        let list = listed.map_err(|error| status::of_feed(&error))?;
        let failed = |error| status::of_store(&error);
        let mut commits = Vec::with_capacity(list.parts.len());
        for part in &list.parts {
            let revision = part.header.commit.revision;
            let token = match part.last {
                true => hub.token(Position { revision, last_match: revision }, filters.hash()).await.map_err(failed)?,
                false => String::new(),
            };
            commits.push(convert::commit::commit_page(part, token, filters));
        }
        let position = ListPosition {
            revision: list.place.revision.0,
            last_match: list.place.last_match.0,
            parts_given: list.given.parts,
            ledger_page: list.given.ledger_page,
            changes_given: list.given.changes,
            left_out: filters.left_out_hash(),
        };
        Ok(Response::new(proto::ListCommitsResponse {
            commits,
            next_page_token: if list.more { page.next(list.head, &position) } else { String::new() },
            resume_token: hub.token(list.place, filters.hash()).await.map_err(failed)?,
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
            let commit = commit(&snapshot, head)?;
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
            At::Recorded(timestamp) => AsOf::Recorded(convert::time::instant("recorded", &timestamp)?),
            At::Released(day) => AsOf::Released(convert::time::date("released", &day)?),
        };
        let found = self.0.read(newest, move |snapshot| {
            let reader = &snapshot.reader;
            let revision = match at {
                AsOf::Recorded(instant) => reader.revision_at(instant),
                AsOf::Released(day) => reader.revision_released_by(day),
                _ => Ok(snapshot.revision()),
            };
            let revision = revision.map_err(query_status)?;
            let commit = commit(&snapshot, revision)?;
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
        let to = match token.is_empty() {
            true => None,
            false => {
                let claimed = self.0.hub.claimed(&token).await;
                let (Position { revision, .. }, filters) = claimed.map_err(|error| status::of_feed(&error))?;
                Some(CursorPosition { token, revision, filters })
            }
        };
        let author = AUTHOR.to_owned();
        let kept = self.0.move_cursor(CursorMove { author, name: name.clone(), to, allow_rewind }).await?;
        Ok(Response::new(proto::PutCursorResponse { cursor: kept.map(|kept| cursor(name, kept)) }))
    }

    async fn get_cursor(
        &self,
        request: Request<proto::GetCursorRequest>,
    ) -> Result<Response<proto::GetCursorResponse>, Status> {
        let name = cursor_name(request.into_inner().name)?;
        let kept = self.0.writer.cursor(AUTHOR, &name).ok_or_else(|| status::of_no_cursor(&name))?;
        Ok(Response::new(proto::GetCursorResponse { cursor: Some(cursor(name, kept)) }))
    }

    async fn list_cursors(
        &self,
        request: Request<proto::ListCursorsRequest>,
    ) -> Result<Response<proto::ListCursorsResponse>, Status> {
        let mut plain = request.into_inner();
        let page: ListPage<String> = self.0.page(&mut plain, CURSORS_DEFAULT, CURSORS_PAGE_MAX)?;
        let after = page.position.as_deref().unwrap_or_default();
        let cursors = self.0.writer.cursors_after(AUTHOR, after).into_iter();
        let messages = cursors.map(|(name, stored)| Ok((cursor(name.clone(), stored), name)));
        // StoredCursors are no facts: the pages of their list are not of one revision.
        let (cursors, next_page_token) = page.fill(Revision::ZERO, messages)?;
        Ok(Response::new(proto::ListCursorsResponse { cursors, next_page_token }))
    }
}

/// About a commit; none is revision zero.
fn commit(snapshot: &Snapshot, revision: Revision) -> Result<Option<proto::Commit>, Status> {
    let header = match revision {
        Revision::ZERO => None,
        revision => snapshot.reader.ledger().header(revision).map_err(query_status)?,
    };
    Ok(header.as_ref().map(proto::Commit::from))
}

/// The digest of the state that a stream sends, as far as it was sent.
#[derive(Debug)]
pub(super) struct StateDigest {
    version: Version,
    sum: u64,
}

impl StateDigest {
    /// Of the version that a request names.
    pub(super) fn asked(number: u32) -> Result<Self, Status> {
        let version = Version::numbered(number).ok_or_else(|| status::of_digest_version(number))?;
        Ok(Self { version, sum: 0 })
    }

    fn add(&mut self, rows: &[proto::StateRow]) {
        self.sum = rows.iter().map(|row| self.version.of_row(row)).fold(self.sum, u64::wrapping_add);
    }
}

/// A message of the stream. `None`: pages of changes are made of bytes that streams share, by [`super::subscribe`].
pub(super) fn message(
    event: SubscriptionEvent,
    subscription: &Subscription,
    digest: &mut StateDigest,
) -> Option<Message> {
    let names = |matched: Vec<usize>| -> Vec<String> {
        let names = matched.into_iter().map(|at| subscription.filter_name(at).to_owned());
        names.filter(|name| !name.is_empty()).collect()
    };
    Some(match event {
        SubscriptionEvent::Commit(..) | SubscriptionEvent::Fold(..) => return None,
        SubscriptionEvent::Opened { history, head, floor, start, token, left_out } => Message::Opened(proto::Opened {
            history_id: history.to_string(),
            head: head.0,
            floor: floor.0,
            start_revision: start.0,
            resume_token: token,
            left_out_sources: left_out,
        }),
        SubscriptionEvent::State { revision, page, rows } => {
            let rows = rows.into_iter().map(|(row, matched)| convert::state::state_row(&row, names(matched)));
            let rows: Vec<proto::StateRow> = rows.collect();
            digest.add(&rows);
            Message::SnapshotPage(proto::SnapshotPage { revision: revision.0, page, rows })
        }
        SubscriptionEvent::StateEnd { revision, rows, token } => Message::SnapshotEnd(proto::SnapshotEnd {
            revision: revision.0,
            row_count: rows,
            digest: digest.sum,
            resume_token: token,
            digest_version: digest.version.number(),
        }),
        SubscriptionEvent::Progress(revision, token) => {
            Message::Progress(proto::Progress { revision: revision.0, resume_token: token })
        }
        SubscriptionEvent::Lag(behind, head) => {
            let state = if behind { proto::LagState::CatchingUp } else { proto::LagState::Live };
            Message::Lag(proto::Lag { state: state.into(), head: head.0 })
        }
        SubscriptionEvent::Goodbye(reason, token) => {
            let after = match reason {
                GoodbyeReason::Shutdown | GoodbyeReason::LicencesChanged => {
                    RECONNECT_AT_ONCE + RECONNECT_SPREAD.mul_f64(subscription.turn())
                }
                GoodbyeReason::RangeComplete | GoodbyeReason::MaxAge => RECONNECT_AT_ONCE,
                GoodbyeReason::ConnectionStalled => RECONNECT_AFTER,
            };
            let reason = match reason {
                GoodbyeReason::Shutdown => proto::GoodbyeReason::Shutdown,
                GoodbyeReason::RangeComplete => proto::GoodbyeReason::RangeComplete,
                GoodbyeReason::MaxAge => proto::GoodbyeReason::MaxAge,
                GoodbyeReason::ConnectionStalled => proto::GoodbyeReason::ConnectionStalled,
                GoodbyeReason::LicencesChanged => proto::GoodbyeReason::LicencesChanged,
            };
            let reconnect_after = prost_types::Duration::try_from(after).ok();
            Message::Goodbye(proto::Goodbye { reason: reason.into(), resume_token: token, reconnect_after })
        }
    })
}
