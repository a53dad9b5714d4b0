//! `CatalogService`: definitions by id, in lists, and by search.

use std::{collections::BTreeSet, sync::Arc};

use prost::Message;
use tonic::{Request, Response, Status};

use super::{App, ReadPoint, paging::ListPage, query_status};
use crate::{
    convert::{
        enums,
        field::{id, optional_id, text},
    },
    model::{
        catalog::{Definition, DefinitionKind, Entity, EntityKind, Indicator, Methodology, Ranking, Source},
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

#[derive(Debug, Clone)]
pub struct Catalog(pub Arc<App>);

/// An object of the catalog with a message of its own.
trait CatalogObject: Sized {
    type Message: for<'a> From<&'a Self> + Message + Default + 'static;

    const KIND: DefinitionKind;

    /// The object, if the definition is of its kind.
    fn of(definition: &Definition) -> Option<&Self>;
}

macro_rules! catalog_objects {
    ($($kind:ident)*) => {
        $(impl CatalogObject for $kind {
            type Message = proto::$kind;

            const KIND: DefinitionKind = DefinitionKind::$kind;

            fn of(definition: &Definition) -> Option<&Self> {
                match definition {
                    Definition::$kind(object) => Some(object),
                    _ => None,
                }
            }
        })*
    };
}

catalog_objects! { Indicator Entity Source Methodology Ranking }

/// A page of objects of one kind.
struct ObjectPage<M> {
    objects: Vec<M>,
    next_page_token: String,
    revision: u64,
}

impl Catalog {
    /// An object by id, and the revision it was read at.
    async fn get<T: CatalogObject>(&self, id_text: String, at: ReadPoint) -> Result<(Option<T::Message>, u64), Status> {
        // All ids have one form.
        id("id", &id_text, EntityId::new)?;
        let defined = id_text.clone();
        let is_defined =
            move |snapshot: &Snapshot| snapshot.catalog.definition(T::KIND, &defined, snapshot.revision()).is_some();
        let answer = self.0.read_in_memory(at, is_defined, move |snapshot| {
            let snapshot = snapshot.without_release_dates().map_err(query_status)?;
            let Some(definition) = snapshot.catalog.definition(T::KIND, &id_text, snapshot.revision()) else {
                return Err(query_status(snapshot.unknown(T::KIND, &id_text)));
            };
            Ok((T::of(definition).map(T::Message::from), snapshot.revision().0))
        });
        answer.await
    }

    /// A page of all objects of a kind that pass a filter. `filter` makes it, and may refuse the request.
    async fn list<T, F>(
        &self,
        page: ListPage<String>,
        at: ReadPoint,
        filter: impl FnOnce(&Snapshot) -> Result<F, Status> + Send + 'static,
    ) -> Result<ObjectPage<T::Message>, Status>
    where
        T: CatalogObject,
        F: Fn(&T) -> bool,
    {
        let answer = self.0.read(at.of_page(&page), move |snapshot| {
            let snapshot = snapshot.without_release_dates().map_err(query_status)?;
            let filter = filter(&snapshot)?;
            let after = page.position.as_deref().unwrap_or_default();
            let definitions = snapshot.catalog.definitions(T::KIND, after, snapshot.revision());
            let messages = definitions.filter_map(|definition| {
                let object = T::of(definition).filter(|object| filter(object))?;
                Some(Ok((T::Message::from(object), definition.id().to_owned())))
            });
            let (objects, next_page_token) = page.fill(snapshot.revision(), messages)?;
            Ok(ObjectPage { objects, next_page_token, revision: snapshot.revision().0 })
        });
        answer.await
    }

    async fn list_all<T: CatalogObject>(
        &self,
        page: ListPage<String>,
        at: ReadPoint,
    ) -> Result<ObjectPage<T::Message>, Status> {
        self.list(page, at, |_| Ok(|_: &T| true)).await
    }
}

#[tonic::async_trait]
impl CatalogService for Catalog {
    async fn get_indicator(
        &self,
        request: Request<proto::GetIndicatorRequest>,
    ) -> Result<Response<proto::GetIndicatorResponse>, Status> {
        let request = request.into_inner();
        let at = ReadPoint::requested(request.as_of, request.min_revision)?;
        let (indicator, revision) = self.get::<Indicator>(request.id, at).await?;
        Ok(Response::new(proto::GetIndicatorResponse { indicator, revision }))
    }

    async fn list_indicators(
        &self,
        request: Request<proto::ListIndicatorsRequest>,
    ) -> Result<Response<proto::ListIndicatorsResponse>, Status> {
        let mut request = request.into_inner();
        let page = self.0.page(&mut request, PAGE_DEFAULT, PAGE_MAX)?;
        let at = ReadPoint::requested(request.as_of, request.min_revision)?;
        let ObjectPage { objects, next_page_token, revision } = self.list_all::<Indicator>(page, at).await?;
        Ok(Response::new(proto::ListIndicatorsResponse { indicators: objects, next_page_token, revision }))
    }

    async fn get_entity(
        &self,
        request: Request<proto::GetEntityRequest>,
    ) -> Result<Response<proto::GetEntityResponse>, Status> {
        let request = request.into_inner();
        let at = ReadPoint::requested(request.as_of, request.min_revision)?;
        if request.code_scheme.is_empty() {
            let (entity, revision) = self.get::<Entity>(request.id, at).await?;
            return Ok(Response::new(proto::GetEntityResponse { entity, revision }));
        }
        let scheme = request.code_scheme;
        let code = request.id;
        let answer = self.0.read(at, move |snapshot| {
            let snapshot = snapshot.without_release_dates().map_err(query_status)?;
            let Some(entity) = entity_by_code(&snapshot, &scheme, &code) else {
                let near = schemes_with_code(&snapshot, &code);
                return Err(query_status(QueryError::UnknownCode { scheme, code, near }));
            };
            Ok(proto::GetEntityResponse { entity: Some(entity), revision: snapshot.revision().0 })
        });
        answer.await.map(Response::new)
    }

    async fn list_entities(
        &self,
        request: Request<proto::ListEntitiesRequest>,
    ) -> Result<Response<proto::ListEntitiesResponse>, Status> {
        let mut request = request.into_inner();
        let page = self.0.page(&mut request, PAGE_DEFAULT, PAGE_MAX)?;
        let kind: Option<EntityKind> = enums::optional("kind", request.kind)?;
        let lies_in = optional_id("lies_in", &request.lies_in, EntityId::new)?;
        let at = ReadPoint::requested(request.as_of, request.min_revision)?;
        let list = self.list(page, at, move |snapshot| {
            if let Some(economy) = &lies_in {
                snapshot.require(DefinitionKind::Entity, economy.as_str()).map_err(query_status)?;
            }
            Ok(move |entity: &Entity| {
                kind.is_none_or(|kind| entity.kind == kind)
                    && lies_in.as_ref().is_none_or(|economy| entity.lies_in().any(|other| other == economy))
            })
        });
        let ObjectPage { objects, next_page_token, revision } = list.await?;
        Ok(Response::new(proto::ListEntitiesResponse { entities: objects, next_page_token, revision }))
    }

    async fn get_source(
        &self,
        request: Request<proto::GetSourceRequest>,
    ) -> Result<Response<proto::GetSourceResponse>, Status> {
        let request = request.into_inner();
        let at = ReadPoint::requested(request.as_of, request.min_revision)?;
        let (source, revision) = self.get::<Source>(request.id, at).await?;
        Ok(Response::new(proto::GetSourceResponse { source, revision }))
    }

    async fn list_sources(
        &self,
        request: Request<proto::ListSourcesRequest>,
    ) -> Result<Response<proto::ListSourcesResponse>, Status> {
        let mut request = request.into_inner();
        let page = self.0.page(&mut request, PAGE_DEFAULT, PAGE_MAX)?;
        let at = ReadPoint::requested(request.as_of, request.min_revision)?;
        let ObjectPage { objects, next_page_token, revision } = self.list_all::<Source>(page, at).await?;
        Ok(Response::new(proto::ListSourcesResponse { sources: objects, next_page_token, revision }))
    }

    async fn get_ranking(
        &self,
        request: Request<proto::GetRankingRequest>,
    ) -> Result<Response<proto::GetRankingResponse>, Status> {
        let request = request.into_inner();
        let at = ReadPoint::requested(request.as_of, request.min_revision)?;
        let (ranking, revision) = self.get::<Ranking>(request.id, at).await?;
        Ok(Response::new(proto::GetRankingResponse { ranking, revision }))
    }

    async fn list_rankings(
        &self,
        request: Request<proto::ListRankingsRequest>,
    ) -> Result<Response<proto::ListRankingsResponse>, Status> {
        let mut request = request.into_inner();
        let page = self.0.page(&mut request, PAGE_DEFAULT, PAGE_MAX)?;
        let at = ReadPoint::requested(request.as_of, request.min_revision)?;
        let ObjectPage { objects, next_page_token, revision } = self.list_all::<Ranking>(page, at).await?;
        Ok(Response::new(proto::ListRankingsResponse { rankings: objects, next_page_token, revision }))
    }

    async fn get_methodology(
        &self,
        request: Request<proto::GetMethodologyRequest>,
    ) -> Result<Response<proto::GetMethodologyResponse>, Status> {
        let request = request.into_inner();
        let at = ReadPoint::requested(request.as_of, request.min_revision)?;
        let (methodology, revision) = self.get::<Methodology>(request.id, at).await?;
        Ok(Response::new(proto::GetMethodologyResponse { methodology, revision }))
    }

    async fn list_methodologies(
        &self,
        request: Request<proto::ListMethodologiesRequest>,
    ) -> Result<Response<proto::ListMethodologiesResponse>, Status> {
        let mut request = request.into_inner();
        let page = self.0.page(&mut request, PAGE_DEFAULT, PAGE_MAX)?;
        let ranking = optional_id("ranking", &request.ranking, RankingId::new)?;
        let at = ReadPoint::requested(request.as_of, request.min_revision)?;
        let list = self.list(page, at, move |snapshot| {
            let used = ranking.map(|ranking| snapshot.methodologies_of(&ranking)).transpose().map_err(query_status)?;
            Ok(move |methodology: &Methodology| used.as_ref().is_none_or(|used| used.contains(methodology.id.as_str())))
        });
        let ObjectPage { objects, next_page_token, revision } = list.await?;
        Ok(Response::new(proto::ListMethodologiesResponse { methodologies: objects, next_page_token, revision }))
    }

    async fn search_catalog(
        &self,
        request: Request<proto::SearchCatalogRequest>,
    ) -> Result<Response<proto::SearchCatalogResponse>, Status> {
        let mut request = request.into_inner();
        let page: ListPage<usize> = self.0.page(&mut request, SEARCH_DEFAULT, SEARCH_MAX)?;
        let query = text("query", request.query, QUERY_BYTES_MAX)?;
        let at = ReadPoint::requested(request.as_of, request.min_revision)?.of_page(&page);
        let answer = self.0.read(at, move |snapshot| {
            let snapshot = snapshot.without_release_dates().map_err(query_status)?;
            let hits = snapshot.search(&query);
            let first = page.first(hits.len())?;
            let messages = hits.into_iter().enumerate().skip(first).map(|(at, hit)| {
                let definition = Some(hit.definition.as_ref().into());
                Ok((proto::SearchHit { definition, matched: hit.matched }, at + 1))
            });
            let (hits, next_page_token) = page.fill(snapshot.revision(), messages)?;
            Ok(proto::SearchCatalogResponse { hits, next_page_token, revision: snapshot.revision().0 })
        });
        answer.await.map(Response::new)
    }
}

fn entities(snapshot: &Snapshot) -> impl Iterator<Item = &Entity> {
    let definitions = snapshot.catalog.definitions(DefinitionKind::Entity, "", snapshot.revision());
    definitions.filter_map(|definition| Entity::of(definition))
}

/// The schemes in which an entity has a code.
fn schemes_with_code(snapshot: &Snapshot, code: &str) -> Vec<String> {
    let mut schemes = BTreeSet::new();
    for entity in entities(snapshot) {
        for (scheme, value) in &entity.codes {
            if value == code {
                schemes.insert(scheme.clone());
            }
        }
    }
    schemes.into_iter().take(SCHEMES_MAX).collect()
}

fn entity_by_code(snapshot: &Snapshot, scheme: &str, code: &str) -> Option<proto::Entity> {
    let mut entities = entities(snapshot);
    let entity = entities.find(|entity| entity.codes.iter().any(|(s, value)| s == scheme && value == code));
    entity.map(proto::Entity::from)
}
