//! `RankingService`: editions, entries, comparisons, trajectories.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{
    App, ReadPoint,
    paging::{ListPage, placed},
    query_status,
    status::BadField,
};
use crate::{
    convert::{
        enums::ContractEnum,
        field::{id, ids, optional_id},
    },
    model::{
        catalog::DefinitionKind,
        edition::Entry,
        id::{EditionId, EntityId, RankingId},
    },
    proto::{self, ranking_service_server::RankingService},
    query::{Snapshot, editions::TrajectoryPoint},
};

const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1_000;
/// Moves on a page: most comparisons are one page.
const MOVES_DEFAULT: usize = 1_000;
const MOVES_MAX: usize = 10_000;
/// Points of trajectories on a page, by default and at the most.
const POINTS_MAX: usize = 10_000;
const TRAJECTORIES_MAX: usize = 100;

#[derive(Debug, Clone)]
pub struct Rankings(pub Arc<App>);

#[tonic::async_trait]
impl RankingService for Rankings {
    async fn list_editions(
        &self,
        request: Request<proto::ListEditionsRequest>,
    ) -> Result<Response<proto::ListEditionsResponse>, Status> {
        let mut request = request.into_inner();
        let page: ListPage<usize> = self.0.page(&mut request, PAGE_DEFAULT, PAGE_MAX)?;
        let ranking = id("ranking", &request.ranking, RankingId::new)?;
        let at = ReadPoint::requested(request.as_of, request.min_revision)?.of_page(&page);
        let answer = self.0.read(at, move |snapshot| {
            let editions = snapshot.editions(&ranking).map_err(query_status)?;
            let first = page.first(editions.len())?;
            let newest_first = editions.iter().rev().enumerate().skip(first);
            let messages = newest_first.map(|(at, edition)| Ok((proto::Edition::from(edition.as_ref()), at + 1)));
            let (editions, next_page_token) = page.fill(snapshot.revision(), messages)?;
            Ok(proto::ListEditionsResponse { editions, next_page_token, revision: snapshot.revision().0 })
        });
        answer.await.map(Response::new)
    }

    async fn get_edition(
        &self,
        request: Request<proto::GetEditionRequest>,
    ) -> Result<Response<proto::GetEditionResponse>, Status> {
        let request = request.into_inner();
        let ranking = id("ranking", &request.ranking, RankingId::new)?;
        let edition = optional_id("edition", &request.edition, EditionId::new)?;
        let at = ReadPoint::requested(request.as_of, request.min_revision)?;
        let answer = self.0.read(at, move |snapshot| {
            let edition = snapshot.edition(&ranking, edition.as_ref()).map_err(query_status)?;
            let edition = Some(edition.as_ref().into());
            Ok(proto::GetEditionResponse { edition, revision: snapshot.revision().0 })
        });
        answer.await.map(Response::new)
    }

    async fn list_entries(
        &self,
        request: Request<proto::ListEntriesRequest>,
    ) -> Result<Response<proto::ListEntriesResponse>, Status> {
        let mut request = request.into_inner();
        let page: ListPage<usize> = self.0.page(&mut request, PAGE_DEFAULT, PAGE_MAX)?;
        let ranking = id("ranking", &request.ranking, RankingId::new)?;
        let edition = optional_id("edition", &request.edition, EditionId::new)?;
        let economy = optional_id("economy", &request.economy, EntityId::new)?;
        let at = ReadPoint::requested(request.as_of, request.min_revision)?.of_page(&page);
        let short = page.size <= PAGE_DEFAULT;
        let cached = CachedTable { ranking: ranking.clone(), edition: edition.clone() };
        let answer = self.0.read_in_memory(
            at,
            |snapshot| short && cached.is_in(snapshot),
            move |snapshot| {
                let table = snapshot.table(&ranking, edition.as_ref()).map_err(query_status)?;
                if let Some(economy) = &economy {
                    snapshot.require(DefinitionKind::Entity, economy.as_str()).map_err(query_status)?;
                }
                let first = page.first(table.entries.len())?;
                let messages = table.entries.iter().enumerate().skip(first).filter_map(|(at, entry)| {
                    let listed = economy.as_ref().is_none_or(|economy| lies_in(entry, economy));
                    listed.then(|| Ok((proto::Entry::from(entry), at + 1)))
                });
                let (entries, next_page_token) = page.fill(snapshot.revision(), messages)?;
                let edition = Some((&table.edition).into());
                Ok(proto::ListEntriesResponse { edition, entries, next_page_token, revision: snapshot.revision().0 })
            },
        );
        answer.await.map(Response::new)
    }

    async fn compare_editions(
        &self,
        request: Request<proto::CompareEditionsRequest>,
    ) -> Result<Response<proto::CompareEditionsResponse>, Status> {
        let mut request = request.into_inner();
        let page: ListPage<usize> = self.0.page(&mut request, MOVES_DEFAULT, MOVES_MAX)?;
        let ranking = id("ranking", &request.ranking, RankingId::new)?;
        let from = id("earlier_edition", &request.earlier_edition, EditionId::new)?;
        let to = id("later_edition", &request.later_edition, EditionId::new)?;
        let at = ReadPoint::requested(request.as_of, request.min_revision)?.of_page(&page);
        let answer = self.0.read(at, move |snapshot| {
            let comparison = snapshot.compare(&ranking, &from, &to).map_err(query_status)?;
            let mut counts = Vec::new();
            for (movement, count) in comparison.counts() {
                counts.push(proto::MovementCount { movement: movement.number(), count });
            }
            let moves = comparison.moves_from(page.first(comparison.listed())?);
            let messages = moves.map(|(at, entry_move)| Ok((proto::EntryMove::from(&entry_move), at + 1)));
            let (moves, next_page_token) = page.fill(snapshot.revision(), messages)?;
            Ok(proto::CompareEditionsResponse {
                earlier: Some((&comparison.from.edition).into()),
                later: Some((&comparison.to.edition).into()),
                moves,
                counts,
                comparable: comparison.comparability.comparable,
                comparability_notes: comparison.comparability.notes,
                revision: snapshot.revision().0,
                next_page_token,
            })
        });
        answer.await.map(Response::new)
    }

    async fn get_trajectory(
        &self,
        request: Request<proto::GetTrajectoryRequest>,
    ) -> Result<Response<proto::GetTrajectoryResponse>, Status> {
        let mut request = request.into_inner();
        let page: ListPage<PointPosition> = self.0.page(&mut request, POINTS_MAX, POINTS_MAX)?;
        let ranking = id("ranking", &request.ranking, RankingId::new)?;
        if request.entities.is_empty() || request.entities.len() > TRAJECTORIES_MAX {
            return Err(BadField::new("entities", format!("name 1 to {TRAJECTORIES_MAX} entities")).into());
        }
        let entities: Vec<EntityId> = ids("entities", &request.entities, EntityId::new)?;
        let at = ReadPoint::requested(request.as_of, request.min_revision)?.of_page(&page);
        let answer = self.0.read(at, move |snapshot| trajectories(&snapshot, &page, &ranking, &entities));
        answer.await.map(Response::new)
    }
}

/// A table that may be in memory.
struct CachedTable {
    ranking: RankingId,
    /// `None`: the newest.
    edition: Option<EditionId>,
}

impl CachedTable {
    /// Whether it can be read without the disk.
    fn is_in(&self, snapshot: &Snapshot) -> bool {
        let edition = snapshot.edition(&self.ranking, self.edition.as_ref());
        edition.is_ok_and(|edition| snapshot.view().cached(edition).is_some())
    }
}

fn lies_in(entry: &Entry, economy: &EntityId) -> bool {
    entry.economies.contains(economy) || entry.entity == *economy
}

/// Where a list of trajectories goes on: the place of an entity in the request, and how many of its points were sent.
type PointPosition = (usize, usize);

fn trajectories(
    snapshot: &Snapshot,
    page: &ListPage<PointPosition>,
    ranking: &RankingId,
    entities: &[EntityId],
) -> Result<proto::GetTrajectoryResponse, Status> {
    let position = page.position.map(|at| placed((at.0 < entities.len()).then_some(at))).transpose()?;
    let (first, points_sent) = position.unwrap_or_default();
    for entity in entities {
        snapshot.require(DefinitionKind::Entity, entity.as_str()).map_err(query_status)?;
    }
    // Entities are read one by one, as far as the page has room.
    let parts = (first..entities.len()).flat_map(|at| {
        let points_sent = if at == first { points_sent } else { 0 };
        match snapshot.trajectory(ranking, &entities[at]) {
            Ok(points) => trajectory_parts(at, &entities[at], &points, points_sent).into_iter().map(Ok).collect(),
            Err(error) => vec![Err(query_status(error))],
        }
    });
    let mut places = Vec::new();
    let messages = parts.map(|part| {
        let TrajectoryPart { place, message, next } = part?;
        places.push(place);
        Ok((message, next))
    });
    let (parts, next_page_token) = page.fill(snapshot.revision(), messages)?;
    let trajectories = join_parts(&places, parts);
    Ok(proto::GetTrajectoryResponse { trajectories, next_page_token, revision: snapshot.revision().0 })
}

/// A point of a trajectory that is still to be sent, or a trajectory without points.
struct TrajectoryPart {
    /// Place of the entity in the request.
    place: usize,
    message: proto::Trajectory,
    /// Where the list goes on after it.
    next: PointPosition,
}

/// The points of one entity that are still to be sent. The position after the last one is the next entity, so that every
/// position lies behind the one before.
fn trajectory_parts(
    place: usize,
    entity: &EntityId,
    points: &[TrajectoryPoint],
    points_sent: usize,
) -> Vec<TrajectoryPart> {
    let entity = entity.to_string();
    // An entity without points is in the answer too.
    if points.is_empty() {
        let message = proto::Trajectory { entity, points: Vec::new() };
        return vec![TrajectoryPart { place, message, next: (place + 1, 0) }];
    }
    let mut parts = Vec::new();
    for (number, point) in points.iter().enumerate().skip(points_sent) {
        let next = if number + 1 == points.len() { (place + 1, 0) } else { (place, number + 1) };
        let message = proto::Trajectory { entity: entity.clone(), points: vec![point.into()] };
        parts.push(TrajectoryPart { place, message, next });
    }
    parts
}

/// Joins parts of the same place to one trajectory. A request may name an entity twice.
fn join_parts(places: &[usize], parts: Vec<proto::Trajectory>) -> Vec<proto::Trajectory> {
    let mut trajectories: Vec<proto::Trajectory> = Vec::new();
    let mut last_place = None;
    for (place, part) in places.iter().zip(parts) {
        match trajectories.last_mut() {
            Some(trajectory) if last_place == Some(place) => trajectory.points.extend(part.points),
            _ => trajectories.push(part),
        }
        last_place = Some(place);
    }
    trajectories
}
