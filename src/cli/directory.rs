//! All names of the server's catalog, to find what a file refers to.

use std::collections::BTreeSet;

use super::{error::CliError, session::Session};
use crate::{
    intake::names::{CatalogItem, Directory},
    model::catalog::EntityKind,
    proto,
};

/// Items in one page of a list.
const PAGE_SIZE: i32 = 1_000;

/// Fetches every entity and indicator, as they were at a revision; `None` is now.
pub async fn load(session: &Session, revision: Option<u64>) -> Result<Directory, CliError> {
    let as_of = revision.map(|revision| proto::AsOf { at: Some(proto::as_of::At::Revision(revision)) });
    let mut directory = Directory::default();
    let mut request = proto::ListEntitiesRequest { page_size: PAGE_SIZE, as_of: as_of.clone(), ..Default::default() };
    loop {
        let page = session.catalog().list_entities(request.clone()).await?.into_inner();
        for entity in &page.entities {
            add_entity(&mut directory, entity);
        }
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let mut request = proto::ListIndicatorsRequest { page_size: PAGE_SIZE, as_of, ..Default::default() };
    loop {
        let page = session.catalog().list_indicators(request.clone()).await?.into_inner();
        for indicator in &page.indicators {
            let item = CatalogItem { id: indicator.id.clone(), kind: None, lies_in: Vec::new() };
            directory.indicators.add(item, [], [indicator.name.as_str()]);
        }
        if page.next_page_token.is_empty() {
            return Ok(directory);
        }
        request.page_token = page.next_page_token;
    }
}

fn add_entity(directory: &mut Directory, entity: &proto::Entity) {
    let lies_in = entity.relations.iter().filter(|relation| relation.kind() == proto::RelationKind::LiesIn);
    let lies_in = lies_in.map(|relation| relation.entity.clone()).collect();
    let item = CatalogItem { id: entity.id.clone(), kind: kind(entity.kind()), lies_in };
    let codes = entity.codes.iter().map(|code| (code.scheme.as_str(), code.value.as_str()));
    let mut names = vec![entity.name.as_str()];
    names.extend(entity.names.iter().map(|name| name.text.as_str()));
    directory.entities.add(item, codes, names);
}

/// A kind of the contract; `None`: unspecified.
pub fn kind(kind: proto::EntityKind) -> Option<EntityKind> {
    kind.into()
}

/// Fetches the ids of all sources.
pub async fn sources(session: &Session) -> Result<BTreeSet<String>, CliError> {
    let mut ids = BTreeSet::new();
    let mut request = proto::ListSourcesRequest { page_size: PAGE_SIZE, ..Default::default() };
    loop {
        let page = session.catalog().list_sources(request.clone()).await?.into_inner();
        ids.extend(page.sources.into_iter().map(|source| source.id));
        if page.next_page_token.is_empty() {
            return Ok(ids);
        }
        request.page_token = page.next_page_token;
    }
}
