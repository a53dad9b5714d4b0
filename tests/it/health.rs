//! Health and reflection, as load balancers and tools use them.

use std::{net::SocketAddr, time::Duration};

use almanac::{proto::GetStoreStatusRequest, server};
use tokio::sync::oneshot;
use tonic::{
    Streaming,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1alpha::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::support::{DEADLINE, TestServer, process::Process};

const SERVICES: [&str; 6] = [
    "",
    "almanac.v1.AdminService",
    "almanac.v1.CatalogService",
    "almanac.v1.FeedService",
    "almanac.v1.RankingService",
    "almanac.v1.StatisticsService",
];

async fn connect(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

async fn check(health: &mut HealthClient<Channel>, service: &str) -> ServingStatus {
    let answer = health.check(HealthCheckRequest { service: service.into() }).await.unwrap();
    answer.into_inner().status()
}

async fn watch(health: &mut HealthClient<Channel>, service: &str) -> Streaming<HealthCheckResponse> {
    health.watch(HealthCheckRequest { service: service.into() }).await.unwrap().into_inner()
}

async fn next(stream: &mut Streaming<HealthCheckResponse>) -> ServingStatus {
    let message = tokio::time::timeout(DEADLINE, stream.message()).await.expect("a status in time");
    message.unwrap().expect("the stream goes on").status()
}

#[tokio::test]
async fn health_sends_changes_only() {
    let server = TestServer::empty().await;
    let mut health = HealthClient::new(connect(server.address()).await);
    let mut stream = watch(&mut health, "").await;
    assert_eq!(next(&mut stream).await, ServingStatus::Serving);
    // Longer than the interval at which health checks itself.
    let again = tokio::time::timeout(Duration::from_millis(2_500), stream.message()).await;
    assert!(again.is_err(), "nothing changed, and health sent {again:?}");
    let stopping = tokio::spawn(server.end());
    assert_eq!(next(&mut stream).await, ServingStatus::NotServing);
    drop(stream);
    stopping.await.unwrap();
}

#[tokio::test]
async fn no_service_is_serving_before_the_server_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let config = server::Config::new(folder.path().join("data"));
    let opened = tokio::task::spawn_blocking(move || server::open(&config)).await.unwrap();
    let mut almanac = opened.unwrap();
    let switch = almanac.not_ready_until();
    let listener = server::listen("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server::serve(almanac, listener, async {
        let _ = stopped.await;
    }));

    let mut health = HealthClient::new(connect(address).await);
    for service in SERVICES {
        assert_eq!(check(&mut health, service).await, ServingStatus::NotServing, "{service}");
    }
    let mut streams = Vec::new();
    for service in SERVICES {
        let mut stream = watch(&mut health, service).await;
        assert_eq!(next(&mut stream).await, ServingStatus::NotServing, "{service}");
        streams.push(stream);
    }
    switch.ready();
    for stream in &mut streams {
        assert_eq!(next(stream).await, ServingStatus::Serving);
    }
    drop(streams);
    let _ = stop.send(());
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn with_sample_data_the_binary_is_ready_when_the_data_is_in() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_owned();
    let (loading, address) = oneshot::channel();
    let starting = std::thread::spawn(move || {
        let mut loading = Some(loading);
        Process::start_listening(&data, &["--sample-data"], &[], |line| {
            let found = line.strip_prefix("loading the sample data on http://");
            let address = found.and_then(|rest| rest.split_once(';')).map(|(address, _)| address.parse().unwrap());
            if let (Some(address), Some(loading)) = (address, loading.take_if(|_| address.is_some())) {
                let _: Result<(), SocketAddr> = loading.send(address);
            }
        })
    });
    let address = tokio::time::timeout(DEADLINE, address).await.unwrap().expect("it says that it loads");
    let mut health = HealthClient::new(connect(address).await);
    let mut stream = watch(&mut health, "almanac.v1.RankingService").await;
    while next(&mut stream).await != ServingStatus::Serving {}
    let mut admin = crate::support::Clients::connect(address).await.admin;
    let ready = admin.get_store_status(GetStoreStatusRequest {}).await.unwrap().into_inner();
    let process = tokio::task::spawn_blocking(move || starting.join().unwrap()).await.unwrap().unwrap();
    let greeted = process.clients().await.status().await;
    assert!(ready.editions > 0);
    assert_eq!((ready.head, ready.editions), (greeted.head, greeted.editions), "ready before the data was in");
    drop(stream);
    process.kill();
}

#[tokio::test]
async fn older_tools_list_the_services_by_reflection() {
    let server = TestServer::empty().await;
    let mut reflection = ServerReflectionClient::new(connect(server.address()).await);
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let request = ServerReflectionRequest { host: String::new(), message_request };
    let answers = reflection.server_reflection_info(tokio_stream::iter([request])).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}");
    };
    for service in SERVICES.iter().filter(|service| !service.is_empty()) {
        assert!(list.service.iter().any(|listed| listed.name == *service), "{service}");
    }
    server.end().await;
}
