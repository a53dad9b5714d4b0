//! `CatalogService`.

use std::{collections::BTreeSet, sync::Arc};

use prost::Message;
use tonic::{Request, Response, Status};

use super::{App, At, decode, encode, paging::ListPage, query_status};
use crate::{
    model::{
        catalog::{Definition, DefinitionKind, EntityKind},
        id::{EntityId, RankingId},
    },
    proto::{self, catalog_service_server::CatalogService},
    query::{QueryError, Snapshot},
};

const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1_000;
const SEARCH_DEFAULT: usize = 20;
const SEARCH_MAX: usize = 100;
const QUERY_BYTES_MAX: usize = 200;
/// Most schemes that an error names.
const SCHEMES_MAX: usize = 20;

/// The service.
#[derive(Debug, Clone)]
pub struct Catalog(pub Arc<App>);

impl Catalog {
    async fn get(&self, kind: DefinitionKind, id: String, at: At) -> Result<(Arc<Definition>, u64), Status> {
        // All ids have one form.
        decode::id("id", &id, EntityId::new)?;
        let wanted = id.clone();
        let at_hand = |snapshot: &Snapshot| snapshot.catalog.definition(kind, &wanted, snapshot.revision()).is_some();
        let found = self.0.read_at_hand(at, at_hand, move |snapshot| {
            let snapshot = snapshot.without_release_dates().map_err(query_status)?;
            let found = snapshot.catalog.definition(kind, &id, snapshot.revision()).cloned();
            let found = found.ok_or_else(|| query_status(snapshot.unknown(kind, &id)))?;
            Ok((found, snapshot.revision().0))
        });
        found.await
    }

    /// A page of what `encode` makes a message of. An entity that narrows the list must be known.
    async fn list<M: Message + Send + 'static>(
        &self,
        kind: DefinitionKind,
        page: ListPage<String>,
        at: At,
        narrowed_by: Option<EntityId>,
        encode: impl Fn(&Definition) -> Option<M> + Send + 'static,
    ) -> Result<(Vec<M>, String, u64), Status> {
        self.0
            .read(at.paged(&page), move |snapshot| {
                let snapshot = snapshot.without_release_dates().map_err(query_status)?;
                if let Some(entity) = &narrowed_by {
                    snapshot.require(DefinitionKind::Entity, entity.as_str()).map_err(query_status)?;
                }
                let after = page.position.as_deref().unwrap_or_default();
                let all = snapshot.catalog.definitions(kind, after, snapshot.revision());
                let messages = all.filter_map(|definition| Some(Ok((encode(definition)?, definition.id().to_owned()))));
                let (found, token) = page.fill(snapshot.revision(), messages)?;
                Ok((found, token, snapshot.revision().0))
            })
            .await
    }
}

/// The list methods differ in nothing but their messages.
macro_rules! list {
    ($self:ident, $request:ident, $kind:ident, $response:ident { $field:ident }, $encode:path) => {{
        let mut plain = $request.into_inner();
        let (size, token) = (std::mem::take(&mut plain.page_size), std::mem::take(&mut plain.page_token));
        let page = $self.0.page(&plain, size, &token, PAGE_DEFAULT, PAGE_MAX)?;
        let at = At::asked(plain.as_of, plain.min_revision)?;
        let encode = |definition: &Definition| match definition {
            Definition::$kind(object) => Some($encode(object)),
            _ => None,
        };
        let ($field, next_page_token, revision) = $self.list(DefinitionKind::$kind, page, at, None, encode).await?;
        Ok(Response::new(proto::$response { $field, next_page_token, revision }))
    }};
}

/// So do the get methods.
macro_rules! get {
    ($self:ident, $request:ident, $kind:ident, $response:ident { $field:ident }, $encode:path) => {{
        let request = $request.into_inner();
        let at = At::asked(request.as_of, request.min_revision)?;
        let (found, revision) = $self.get(DefinitionKind::$kind, request.id, at).await?;
        let $field = match found.as_ref() {
            Definition::$kind(object) => Some($encode(object)),
            _ => None,
        };
        Ok(Response::new(proto::$response { $field, revision }))
    }};
}

#[tonic::async_trait]
impl CatalogService for Catalog {
    async fn get_indicator(
        &self,
        request: Request<proto::GetIndicatorRequest>,
    ) -> Result<Response<proto::GetIndicatorResponse>, Status> {
        get!(self, request, Indicator, GetIndicatorResponse { indicator }, encode::indicator)
    }

    async fn list_indicators(
        &self,
        request: Request<proto::ListIndicatorsRequest>,
    ) -> Result<Response<proto::ListIndicatorsResponse>, Status> {
        list!(self, request, Indicator, ListIndicatorsResponse { indicators }, encode::indicator)
    }

    async fn get_entity(
        &self,
        request: Request<proto::GetEntityRequest>,
    ) -> Result<Response<proto::GetEntityResponse>, Status> {
        if request.get_ref().code_scheme.is_empty() {
            return get!(self, request, Entity, GetEntityResponse { entity }, encode::entity);
        }
        let request = request.into_inner();
        let scheme = request.code_scheme;
        let code = request.id;
        let found = self.0.read(At::asked(request.as_of, request.min_revision)?, move |snapshot| {
            let snapshot = snapshot.without_release_dates().map_err(query_status)?;
            let found = by_code(&snapshot, &scheme, &code);
            let entity = found.ok_or_else(|| {
                let near = schemes_of(&snapshot, &code);
                query_status(QueryError::UnknownCode { scheme, code, near })
            })?;
            Ok(proto::GetEntityResponse { entity: Some(entity), revision: snapshot.revision().0 })
        });
        found.await.map(Response::new)
    }

    async fn list_entities(
        &self,
        request: Request<proto::ListEntitiesRequest>,
    ) -> Result<Response<proto::ListEntitiesResponse>, Status> {
        let mut plain = request.into_inner();
        let (size, token) = (std::mem::take(&mut plain.page_size), std::mem::take(&mut plain.page_token));
        let page = self.0.page(&plain, size, &token, PAGE_DEFAULT, PAGE_MAX)?;
        let kind: Option<EntityKind> = match plain.kind {
            0 => None,
            kind => Some(decode::entity_kind("kind", kind)?),
        };
        let lies_in = decode::optional_id("lies_in", &plain.lies_in, EntityId::new)?;
        let narrowed_by = lies_in.clone();
        let encode = move |definition: &Definition| match definition {
            Definition::Entity(entity) => {
                let wanted = kind.is_none_or(|kind| entity.kind == kind)
                    && lies_in.as_ref().is_none_or(|lies_in| entity.lies_in().any(|economy| economy == lies_in));
                wanted.then(|| encode::entity(entity))
            }
            _ => None,
        };
        let at = At::asked(plain.as_of, plain.min_revision)?;
        let (entities, next_page_token, revision) =
            self.list(DefinitionKind::Entity, page, at, narrowed_by, encode).await?;
        Ok(Response::new(proto::ListEntitiesResponse { entities, next_page_token, revision }))
    }

    async fn get_source(
        &self,
        request: Request<proto::GetSourceRequest>,
    ) -> Result<Response<proto::GetSourceResponse>, Status> {
        get!(self, request, Source, GetSourceResponse { source }, encode::source)
    }

    async fn list_sources(
        &self,
        request: Request<proto::ListSourcesRequest>,
    ) -> Result<Response<proto::ListSourcesResponse>, Status> {
        list!(self, request, Source, ListSourcesResponse { sources }, encode::source)
    }

    async fn get_ranking(
        &self,
        request: Request<proto::GetRankingRequest>,
    ) -> Result<Response<proto::GetRankingResponse>, Status> {
        get!(self, request, Ranking, GetRankingResponse { ranking }, encode::ranking)
    }

    async fn list_rankings(
        &self,
        request: Request<proto::ListRankingsRequest>,
    ) -> Result<Response<proto::ListRankingsResponse>, Status> {
        list!(self, request, Ranking, ListRankingsResponse { rankings }, encode::ranking)
    }

    async fn get_methodology(
        &self,
        request: Request<proto::GetMethodologyRequest>,
    ) -> Result<Response<proto::GetMethodologyResponse>, Status> {
        get!(self, request, Methodology, GetMethodologyResponse { methodology }, encode::methodology)
    }

    async fn list_methodologies(
        &self,
        request: Request<proto::ListMethodologiesRequest>,
    ) -> Result<Response<proto::ListMethodologiesResponse>, Status> {
        let mut plain = request.into_inner();
        let size = std::mem::take(&mut plain.page_size);
        let token = std::mem::take(&mut plain.page_token);
        let page: ListPage<String> = self.0.page(&plain, size, &token, PAGE_DEFAULT, PAGE_MAX)?;
        let ranking = decode::optional_id("ranking", &plain.ranking, RankingId::new)?;
        let at = At::asked(plain.as_of, plain.min_revision)?.paged(&page);
        let found = self.0.read(at, move |snapshot| {
            let snapshot = snapshot.without_release_dates().map_err(query_status)?;
            let used = ranking.map(|ranking| snapshot.methodologies_of(&ranking)).transpose().map_err(query_status)?;
            let after = page.position.as_deref().unwrap_or_default();
            let all = snapshot.catalog.definitions(DefinitionKind::Methodology, after, snapshot.revision());
            let messages = all.filter_map(|definition| match definition.as_ref() {
                Definition::Methodology(methodology) => {
                    let id = methodology.id.as_str();
                    let wanted = used.as_ref().is_none_or(|used| used.contains(id));
                    wanted.then(|| Ok((encode::methodology(methodology), id.to_owned())))
                }
                _ => None,
            });
            let (methodologies, next_page_token) = page.fill(snapshot.revision(), messages)?;
            let revision = snapshot.revision().0;
            Ok(proto::ListMethodologiesResponse { methodologies, next_page_token, revision })
        });
        found.await.map(Response::new)
    }

    async fn search_catalog(
        &self,
        request: Request<proto::SearchCatalogRequest>,
    ) -> Result<Response<proto::SearchCatalogResponse>, Status> {
        let mut plain = request.into_inner();
        let (size, token) = (std::mem::take(&mut plain.page_size), std::mem::take(&mut plain.page_token));
        let page: ListPage<usize> = self.0.page(&plain, size, &token, SEARCH_DEFAULT, SEARCH_MAX)?;
        let query = decode::text("query", plain.query, QUERY_BYTES_MAX)?;
        let found = self.0.read(At::asked(plain.as_of, plain.min_revision)?.paged(&page), move |snapshot| {
            let snapshot = snapshot.without_release_dates().map_err(query_status)?;
            let hits = snapshot.search(&query);
            let from = page.first(hits.len())?;
            let messages = hits.into_iter().enumerate().skip(from).map(|(at, hit)| {
                let definition = Some(encode::definition(&hit.definition));
                Ok((proto::SearchHit { definition, matched: hit.matched }, at + 1))
            });
            let (hits, next_page_token) = page.fill(snapshot.revision(), messages)?;
            Ok(proto::SearchCatalogResponse { hits, next_page_token, revision: snapshot.revision().0 })
        });
        found.await.map(Response::new)
    }
}

/// The schemes in which an entity has a code.
fn schemes_of(snapshot: &Snapshot, code: &str) -> Vec<String> {
    let mut schemes = BTreeSet::new();
    for definition in snapshot.catalog.definitions(DefinitionKind::Entity, "", snapshot.revision()) {
        if let Definition::Entity(entity) = definition.as_ref() {
            let known = entity.codes.iter().filter(|(_, value)| value == code);
            schemes.extend(known.map(|(scheme, _)| scheme.clone()));
        }
    }
    schemes.into_iter().take(SCHEMES_MAX).collect()
}

fn by_code(snapshot: &Snapshot, scheme: &str, code: &str) -> Option<proto::Entity> {
    let mut all = snapshot.catalog.definitions(DefinitionKind::Entity, "", snapshot.revision());
    all.find_map(|definition| match definition.as_ref() {
        Definition::Entity(entity) => {
            let has = entity.codes.iter().any(|(known, value)| known == scheme && value == code);
            has.then(|| encode::entity(entity))
        }
        _ => None,
    })
}
