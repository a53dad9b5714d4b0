//! Reads: waiting for a revision, lists of series and methodologies, figures by policy, group and dimension.

mod figures;
mod lists;
mod waiting;

use almanac::proto::{definition::Item, *};

use crate::support::{TestServer, fixture::*};

const GROUP: &str = "group:asia";

fn dimension(id: &str, value: &str) -> Dimension {
    Dimension { id: id.into(), value: value.into() }
}

fn with_dimensions(mut sent: SeriesBatch, dimensions: &[(&str, &str)]) -> SeriesBatch {
    sent.dimensions = dimensions.iter().map(|(id, value)| dimension(id, value)).collect();
    sent
}

fn member(id: &str, name: &str, valid_to: &str) -> Definition {
    let mut definition = economy(id, name);
    if let Some(Item::Entity(entity)) = &mut definition.item {
        entity.relations.push(EntityRelation {
            kind: RelationKind::MemberOf.into(),
            entity: GROUP.into(),
            valid_to: valid_to.into(),
            ..Default::default()
        });
    }
    definition
}

/// China and Japan of a group; Japan only until 2021.
fn group() -> Vec<Definition> {
    let kind = EntityKind::RegionGroup.into();
    let asia = Entity { id: GROUP.into(), kind, name: "Asia".into(), ..Default::default() };
    vec![
        Definition { item: Some(Item::Entity(asia)) },
        member("CHN", "China", ""),
        member("JPN", "Japan", "2021-12-31"),
    ]
}

/// Sources that disagree, dimensions, a closed source, and a release that confirms another.
async fn with_figures() -> TestServer {
    let server = server_with_catalog().await;
    let clients = &server.clients;
    clients.define(WriteOptions::default(), group()).await.unwrap();
    let first = vec![
        batch(RD, "CHN", "bank", &[("2019", "2.2"), ("2020", "2.4")]),
        batch(RD, "JPN", "bank", &[("2020", "3.3")]),
        batch(RD, "DEU", "bank", &[("2020", "3.1")]),
        with_dimensions(batch(RD, "CHN", "bank", &[("2020", "1.1")]), &[("SEX", "F")]),
        with_dimensions(batch(RD, "CHN", "bank", &[("2020", "1.3")]), &[("SEX", "M"), ("AGE", "Y")]),
        batch(RD, "CHN", "closed", &[("2020", "9.9")]),
        batch(PATENTS, "CHN", "office", &[("2020", "7")]),
    ];
    clients.ingest(released("2022-03-01"), first).await.unwrap();
    let second = vec![batch(RD, "CHN", "office", &[("2020", "2.5"), ("2021", "2.6")])];
    clients.ingest(released("2023-03-01"), second).await.unwrap();
    let confirming = one_figure("2.4");
    clients.ingest(released("2024-03-01"), confirming).await.unwrap();
    server
}
