//! `RankingService`.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{
    App, At, decode, encode,
    paging::{ListPage, placed},
    query_status,
    status::BadField,
};
use crate::{
    model::{
        catalog::DefinitionKind,
        id::{EditionId, EntityId, RankingId},
    },
    proto::{self, ranking_service_server::RankingService},
    query::{Snapshot, editions::TrajectoryPoint},
};

const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1_000;
/// Moves: most comparisons are one page.
const MOVES_DEFAULT: usize = 1_000;
const MOVES_MAX: usize = 10_000;
/// Points of trajectories.
const POINTS_MAX: usize = 10_000;
const TRAJECTORIES_MAX: usize = 100;

/// The service.
#[derive(Debug, Clone)]
pub struct Rankings(pub Arc<App>);

#[tonic::async_trait]
impl RankingService for Rankings {
    async fn list_editions(
        &self,
        request: Request<proto::ListEditionsRequest>,
    ) -> Result<Response<proto::ListEditionsResponse>, Status> {
        let mut plain = request.into_inner();
        let (size, token) = (std::mem::take(&mut plain.page_size), std::mem::take(&mut plain.page_token));
        let page: ListPage<usize> = self.0.page(&plain, size, &token, PAGE_DEFAULT, PAGE_MAX)?;
        let ranking = decode::id("ranking", &plain.ranking, RankingId::new)?;
        let found = self.0.read(At::asked(plain.as_of, plain.min_revision)?.paged(&page), move |snapshot| {
            let editions = snapshot.editions(&ranking).map_err(query_status)?;
            let from = page.first(editions.len())?;
            let newest_first = editions.iter().rev().enumerate().skip(from);
            let (editions, next_page_token) = page
                .fill(snapshot.revision(), newest_first.map(|(at, edition)| Ok((encode::edition(edition), at + 1))))?;
            Ok(proto::ListEditionsResponse { editions, next_page_token, revision: snapshot.revision().0 })
        });
        found.await.map(Response::new)
    }

    async fn get_edition(
        &self,
        request: Request<proto::GetEditionRequest>,
    ) -> Result<Response<proto::GetEditionResponse>, Status> {
        let request = request.into_inner();
        let ranking = decode::id("ranking", &request.ranking, RankingId::new)?;
        let edition = decode::optional_id("edition", &request.edition, EditionId::new)?;
        let found = self.0.read(At::asked(request.as_of, request.min_revision)?, move |snapshot| {
            let found = snapshot.edition(&ranking, edition.as_ref()).map_err(query_status)?;
            Ok(proto::GetEditionResponse { edition: Some(encode::edition(found)), revision: snapshot.revision().0 })
        });
        found.await.map(Response::new)
    }

    async fn list_entries(
        &self,
        request: Request<proto::ListEntriesRequest>,
    ) -> Result<Response<proto::ListEntriesResponse>, Status> {
        let mut plain = request.into_inner();
        let (size, token) = (std::mem::take(&mut plain.page_size), std::mem::take(&mut plain.page_token));
        let page: ListPage<usize> = self.0.page(&plain, size, &token, PAGE_DEFAULT, PAGE_MAX)?;
        let ranking = decode::id("ranking", &plain.ranking, RankingId::new)?;
        let edition = decode::optional_id("edition", &plain.edition, EditionId::new)?;
        let economy = decode::optional_id("economy", &plain.economy, EntityId::new)?;
        let (of, named, short) = (ranking.clone(), edition.clone(), page.size <= PAGE_DEFAULT);
        let at_hand = |snapshot: &Snapshot| {
            let standing = snapshot.edition(&of, named.as_ref());
            short && standing.is_ok_and(|edition| snapshot.view().cached(edition).is_some())
        };
        let found =
            self.0.read_at_hand(At::asked(plain.as_of, plain.min_revision)?.paged(&page), at_hand, move |snapshot| {
                let table = snapshot.table(&ranking, edition.as_ref()).map_err(query_status)?;
                if let Some(economy) = &economy {
                    snapshot.require(DefinitionKind::Entity, economy.as_str()).map_err(query_status)?;
                }
                let from = page.first(table.entries.len())?;
                let wanted = table.entries.iter().enumerate().skip(from).filter(|(_, entry)| {
                    economy.as_ref().is_none_or(|economy| entry.economies.contains(economy) || entry.entity == *economy)
                });
                let (entries, next_page_token) =
                    page.fill(snapshot.revision(), wanted.map(|(at, entry)| Ok((encode::entry(entry), at + 1))))?;
                Ok(proto::ListEntriesResponse {
                    edition: Some(encode::edition(&table.edition)),
                    entries,
                    next_page_token,
                    revision: snapshot.revision().0,
                })
            });
        found.await.map(Response::new)
    }

    async fn compare_editions(
        &self,
        request: Request<proto::CompareEditionsRequest>,
    ) -> Result<Response<proto::CompareEditionsResponse>, Status> {
        let mut plain = request.into_inner();
        let (size, token) = (std::mem::take(&mut plain.page_size), std::mem::take(&mut plain.page_token));
        let page: ListPage<usize> = self.0.page(&plain, size, &token, MOVES_DEFAULT, MOVES_MAX)?;
        let ranking = decode::id("ranking", &plain.ranking, RankingId::new)?;
        let from = decode::id("earlier_edition", &plain.earlier_edition, EditionId::new)?;
        let to = decode::id("later_edition", &plain.later_edition, EditionId::new)?;
        let found = self.0.read(At::asked(plain.as_of, plain.min_revision)?.paged(&page), move |snapshot| {
            let found = snapshot.compare(&ranking, &from, &to).map_err(query_status)?;
            let moves = found.moves_from(page.first(found.listed())?);
            let (moves, next_page_token) =
                page.fill(snapshot.revision(), moves.map(|(at, moved)| Ok((encode::entry_move(&moved), at + 1))))?;
            let count = |(movement, count)| proto::MovementCount { movement: encode::movement(movement), count };
            Ok(proto::CompareEditionsResponse {
                earlier: Some(encode::edition(&found.from.edition)),
                later: Some(encode::edition(&found.to.edition)),
                moves,
                counts: found.counts().into_iter().map(count).collect(),
                comparable: found.comparability.comparable,
                comparability_notes: found.comparability.notes,
                revision: snapshot.revision().0,
                next_page_token,
            })
        });
        found.await.map(Response::new)
    }

    async fn get_trajectory(
        &self,
        request: Request<proto::GetTrajectoryRequest>,
    ) -> Result<Response<proto::GetTrajectoryResponse>, Status> {
        let mut plain = request.into_inner();
        let (size, token) = (std::mem::take(&mut plain.page_size), std::mem::take(&mut plain.page_token));
        let page: ListPage<PointPosition> = self.0.page(&plain, size, &token, POINTS_MAX, POINTS_MAX)?;
        let ranking = decode::id("ranking", &plain.ranking, RankingId::new)?;
        if plain.entities.is_empty() || plain.entities.len() > TRAJECTORIES_MAX {
            return Err(BadField::new("entities", format!("name 1 to {TRAJECTORIES_MAX} entities")).into());
        }
        let entities = plain.entities.iter().map(|id| decode::id("entities", id, EntityId::new));
        let entities = entities.collect::<Result<Vec<_>, _>>()?;
        let found = self.0.read(At::asked(plain.as_of, plain.min_revision)?.paged(&page), move |snapshot| {
            let place = page.position.map(|at| placed((at.0 < entities.len()).then_some(at))).transpose()?;
            let (first, told) = place.unwrap_or_default();
            for entity in &entities {
                snapshot.require(DefinitionKind::Entity, entity.as_str()).map_err(query_status)?;
            }
            let parts = entities.iter().enumerate().skip(first).flat_map(|(at, entity)| {
                let told = if at == first { told } else { 0 };
                match snapshot.trajectory(&ranking, entity) {
                    Ok(points) => trajectory_parts(at, entity, &points, told).into_iter().map(Ok).collect(),
                    Err(error) => vec![Err(query_status(error))],
                }
            });
            let mut of = Vec::new();
            let each = parts.map(|part| {
                let (at, part, position) = part?;
                of.push(at);
                Ok((part, position))
            });
            let (parts, next_page_token) = page.fill(snapshot.revision(), each)?;
            let mut trajectories: Vec<proto::Trajectory> = Vec::new();
            let mut last = None;
            for (at, part) in of.into_iter().zip(parts) {
                match trajectories.last_mut() {
                    Some(trajectory) if last == Some(at) => trajectory.points.extend(part.points),
                    _ => trajectories.push(part),
                }
                last = Some(at);
            }
            Ok(proto::GetTrajectoryResponse { trajectories, next_page_token, revision: snapshot.revision().0 })
        });
        found.await.map(Response::new)
    }
}

/// Which entity of the request is next, and how many of its points were told already.
type PointPosition = (usize, usize);

/// The points of one entity that are still to be told, each a message with the entity's number and the position behind it.
/// The last one leads to the next entity, so that every position lies behind the one before.
fn trajectory_parts(
    at: usize,
    entity: &EntityId,
    points: &[TrajectoryPoint],
    told: usize,
) -> Vec<(usize, proto::Trajectory, PointPosition)> {
    let part = |points| proto::Trajectory { entity: entity.to_string(), points };
    // An entity without points is told all the same.
    if points.is_empty() {
        return vec![(at, part(Vec::new()), (at + 1, 0))];
    }
    let mut parts = Vec::new();
    for (number, point) in points.iter().enumerate().skip(told) {
        let next = if number + 1 == points.len() { (at + 1, 0) } else { (at, number + 1) };
        parts.push((at, part(vec![encode::trajectory_point(point)]), next));
    }
    parts
}
