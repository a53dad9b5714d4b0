//! The catalog: ids, codes, search, and what is near a name that is not found.

use almanac::proto::*;
use tonic::Code;
use tonic_types::StatusExt;

use super::editions::with_editions;
use crate::support::{assert_refused, at_released, at_revision, fixture::*};

fn near(status: &tonic::Status) -> String {
    status.get_details_error_info().unwrap().metadata["near"].clone()
}

#[tokio::test]
async fn a_misspelt_name_is_refused_with_similar_names() {
    let server = with_editions().await;
    let clients = &server.clients;
    let request = GetRankingRequest { id: "economies-of-the-world".into(), ..Default::default() };
    let ranking = assert_refused(clients.catalog.clone().get_ranking(request).await, Code::NotFound, "UNKNOWN_RANKING");
    assert_eq!(near(&ranking), RANKING, "all, however far");
    assert!(ranking.message().contains("; there are: clusters"), "{ranking}");
    let request = GetIndicatorRequest { id: "IP.PAT.RESF".into(), ..Default::default() };
    let status =
        assert_refused(clients.catalog.clone().get_indicator(request).await, Code::NotFound, "UNKNOWN_INDICATOR");
    assert_eq!(near(&status), format!("{PATENTS} {RD} {VENTURE}"), "the nearest first");
    let request = GetEditionRequest { ranking: RANKING.into(), edition: "1999".into(), ..Default::default() };
    let status = assert_refused(clients.rankings.clone().get_edition(request).await, Code::NotFound, "NO_EDITION");
    assert_eq!(near(&status), "2024 2023 2022 2021");
    let more = (0..21).map(|number| indicator(&format!("MORE.{number}"), "More")).collect();
    clients.define(WriteOptions::default(), more).await.unwrap();
    let request = GetIndicatorRequest { id: "IP.PAT.RESF".into(), ..Default::default() };
    let status =
        assert_refused(clients.catalog.clone().get_indicator(request).await, Code::NotFound, "UNKNOWN_INDICATOR");
    assert_eq!(near(&status), PATENTS, "of many only what is near");
    server.end().await;
}

fn search(query: &str) -> SearchCatalogRequest {
    SearchCatalogRequest { query: query.into(), ..Default::default() }
}

fn get_germany(as_of: Option<AsOf>) -> GetEntityRequest {
    GetEntityRequest { id: "DEU".into(), as_of, ..Default::default() }
}

fn name_of(found: tonic::Response<GetEntityResponse>) -> String {
    found.into_inner().entity.unwrap().name
}

#[tokio::test]
async fn the_catalog_is_found_by_id_by_code_and_by_words() {
    let server = server_with_catalog().await;
    let mut catalog = server.clients.catalog.clone();
    let hits = catalog.search_catalog(search("TURKIYE")).await.unwrap().into_inner().hits;
    assert_eq!(hits[0].matched, "Türkiye");
    let hits = catalog.search_catalog(search("innovation clus")).await.unwrap().into_inner().hits;
    assert!(matches!(hits[0].definition.as_ref().unwrap().item, Some(definition::Item::Ranking(_))));
    assert!(catalog.search_catalog(search("zebra")).await.unwrap().into_inner().hits.is_empty());
    let too_long = catalog.search_catalog(search(&"x".repeat(201))).await;
    assert_refused(too_long, Code::InvalidArgument, "FIELD");

    let by_code = GetEntityRequest { id: "DEU".into(), code_scheme: "iso3166-1-alpha3".into(), ..Default::default() };
    let found = catalog.get_entity(by_code).await.unwrap().into_inner().entity.unwrap();
    assert_eq!(found.name, "Germany");
    let near = catalog.get_entity(GetEntityRequest { id: "Deutschland".into(), ..Default::default() }).await;
    assert_refused(near, Code::NotFound, "UNKNOWN_ENTITY");
    let in_china = ListEntitiesRequest { lies_in: "CHN".into(), page_size: 1, ..Default::default() };
    let page = catalog.list_entities(in_china.clone()).await.unwrap().into_inner();
    assert_eq!((page.entities.len(), page.entities[0].kind()), (1, EntityKind::Cluster));
    assert!(!page.next_page_token.is_empty(), "clusters 5, 6 and 12 lie in CHN");

    // An old definition is still known.
    server.clients.define(WriteOptions::default(), vec![economy("DEU", "Federal Republic")]).await.unwrap();
    assert_eq!(name_of(catalog.get_entity(get_germany(None)).await.unwrap()), "Federal Republic");
    assert_eq!(name_of(catalog.get_entity(get_germany(at_revision(1))).await.unwrap()), "Germany");
    for bad in ["", "a b", &"x".repeat(129)] {
        let request = GetIndicatorRequest { id: bad.into(), ..Default::default() };
        assert_refused(catalog.get_indicator(request).await, Code::InvalidArgument, "FIELD");
    }
    server.end().await;
}

#[tokio::test]
async fn unsupported_calls_say_so() {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    let request = GetIndicatorRequest { id: RD.into(), as_of: at_released("2024-01-01"), ..Default::default() };
    let released = clients.catalog.clone().get_indicator(request).await;
    assert_refused(released, Code::Unimplemented, "NOT_SUPPORTED");
    let request =
        SearchCatalogRequest { query: "china".into(), as_of: at_released("2024-01-01"), ..Default::default() };
    assert_refused(clients.catalog.clone().search_catalog(request).await, Code::Unimplemented, "NOT_SUPPORTED");
    server.end().await;
}
