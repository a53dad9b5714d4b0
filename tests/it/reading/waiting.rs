//! Every read waits for the revision that it names.

use std::{collections::BTreeMap, time::Duration};

use almanac::proto::*;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::with_figures;
use crate::{
    strict::{call, connect},
    support::{TestServer, fixture::*, reason},
};

/// Calls without `min_revision`: cursors belong to clients and not to the history.
const WITHOUT_MIN_REVISION: [&str; 3] = ["PutCursor", "GetCursor", "ListCursors"];

/// A valid request of each method that reads, without `min_revision`.
fn requests() -> BTreeMap<&'static str, Vec<u8>> {
    let ranking = || RANKING.to_owned();
    let edition = || "2023".to_owned();
    let selection = || Some(select(&[RD]));
    let at = Some(resolve_revision_request::At::Released("2030-01-01".into()));
    let figure = GetFigureRequest { indicator: RD.into(), entity: "CHN".into(), ..Default::default() };
    let versions = ListVersionsRequest { indicator: RD.into(), entity: "CHN".into(), ..Default::default() };
    let compared = CompareEditionsRequest {
        ranking: ranking(),
        earlier_edition: "2022".into(),
        later_edition: edition(),
        ..Default::default()
    };
    let trajectory = GetTrajectoryRequest { ranking: ranking(), entities: vec![cluster(1)], ..Default::default() };
    let entries = ListEntriesRequest { ranking: ranking(), edition: edition(), ..Default::default() };
    let one_edition = GetEditionRequest { ranking: ranking(), edition: edition(), ..Default::default() };
    let editions = ListEditionsRequest { ranking: ranking(), ..Default::default() };
    BTreeMap::from([
        ("GetIndicator", GetIndicatorRequest { id: RD.into(), ..Default::default() }.encode_to_vec()),
        ("ListIndicators", Vec::new()),
        ("GetEntity", GetEntityRequest { id: "CHN".into(), ..Default::default() }.encode_to_vec()),
        ("ListEntities", Vec::new()),
        ("GetSource", GetSourceRequest { id: "bank".into(), ..Default::default() }.encode_to_vec()),
        ("ListSources", Vec::new()),
        ("GetRanking", GetRankingRequest { id: ranking(), ..Default::default() }.encode_to_vec()),
        ("ListRankings", Vec::new()),
        ("GetMethodology", GetMethodologyRequest { id: "two".into(), ..Default::default() }.encode_to_vec()),
        ("ListMethodologies", Vec::new()),
        ("SearchCatalog", SearchCatalogRequest { query: "china".into(), ..Default::default() }.encode_to_vec()),
        ("ListEditions", editions.encode_to_vec()),
        ("GetEdition", one_edition.encode_to_vec()),
        ("ListEntries", entries.encode_to_vec()),
        ("CompareEditions", compared.encode_to_vec()),
        ("GetTrajectory", trajectory.encode_to_vec()),
        ("GetFigure", figure.encode_to_vec()),
        (
            "QueryObservations",
            QueryObservationsRequest { selection: selection(), ..Default::default() }.encode_to_vec(),
        ),
        ("StreamSeries", StreamSeriesRequest { selection: selection(), ..Default::default() }.encode_to_vec()),
        ("ListSeries", Vec::new()),
        ("ListVersions", versions.encode_to_vec()),
        ("ListCommits", Vec::new()),
        ("GetHead", Vec::new()),
        ("ResolveRevision", ResolveRevisionRequest { at, ..Default::default() }.encode_to_vec()),
    ])
}

/// The methods that read: all but those of `AdminService`, and those that subscribe or keep cursors.
fn reading_methods() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let services: Vec<_> = pool.services().filter(|service| service.name() != "AdminService").collect();
    let methods = services.iter().flat_map(|service| service.methods().collect::<Vec<_>>());
    methods.filter(|method| method.name() != "Subscribe" && !WITHOUT_MIN_REVISION.contains(&method.name())).collect()
}

/// Calls every method that reads with this `min_revision`, all at one time.
async fn read_all(server: &TestServer, min_revision: u64) -> Vec<(MethodDescriptor, Result<DynamicMessage, Status>)> {
    let channel = connect(server).await;
    let requests = requests();
    let mut calls = Vec::new();
    for method in reading_methods() {
        let field = method.input().get_field_by_name("min_revision");
        let field = field.unwrap_or_else(|| panic!("{} has no min_revision", method.full_name()));
        let mut request =
            requests.get(method.name()).unwrap_or_else(|| panic!("no request of {}", method.name())).clone();
        encode_key(field.number(), WireType::Varint, &mut request);
        encode_varint(min_revision, &mut request);
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let channel = channel.clone();
        let call = tokio::spawn(async move { call(&channel, &path, vec![request]).await });
        calls.push((method, call));
    }
    let mut answers = Vec::new();
    for (method, call) in calls {
        let answer = call.await.unwrap();
        let answer = answer.map(|bytes| DynamicMessage::decode(method.output(), &bytes.unwrap()[..]).unwrap());
        answers.push((method, answer));
    }
    answers
}

#[tokio::test]
async fn every_read_waits_for_the_revision_that_it_needs() {
    let server = with_figures().await;
    let clients = server.clients.clone();
    clients.publish(edition("2022"), entries(&[1, 2])).await.unwrap();
    clients.publish(edition("2023"), entries(&[2, 1])).await.unwrap();
    let next = clients.head().await + 1;
    let writing = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        clients.ingest(released("2025-03-01"), vec![batch(RD, "USA", "bank", &[("2020", "3.5")])]).await.unwrap()
    });
    let answers = read_all(&server, next).await;
    assert_eq!(writing.await.unwrap().revision, next);
    for (method, answer) in answers {
        let answer = answer.unwrap_or_else(|status| panic!("{}: {status:?}", method.name()));
        for field in ["revision", "head"] {
            if let Some(answered) = answer.get_field_by_name(field) {
                assert_eq!(answered.as_u64(), Some(next), "{}", method.name());
            }
        }
    }
    for (method, answer) in read_all(&server, next + 1_000).await {
        let status = answer.expect_err(method.name());
        let refusal = (status.code(), reason(&status));
        assert_eq!(refusal, (Code::Unavailable, "NOT_YET_THERE".to_owned()), "{}: {status:?}", method.name());
        assert!(status.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()), "{}", method.name());
        assert_eq!(status.get_details_error_info().unwrap().metadata["head"], next.to_string(), "{}", method.name());
    }
    server.end().await;
}
