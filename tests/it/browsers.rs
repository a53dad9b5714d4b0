//! A page in a browser may read and never write.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::TestServer;

/// The server's answer to the preflight request of a browser.
async fn asked(server: &TestServer, path: &str) -> String {
    let mut connection = TcpStream::connect(server.address()).await.unwrap();
    let request = format!(
        "OPTIONS {path} HTTP/1.1\r\nhost: almanac\r\norigin: http://page.example\r\n\
         access-control-request-method: POST\r\naccess-control-request-headers: content-type,x-grpc-web\r\n\
         connection: close\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn pages_of_other_origins_may_read_and_not_write() {
    let server = TestServer::empty().await;
    let read = asked(&server, "/almanac.v1.RankingService/ListEntries").await;
    assert!(read.contains("access-control-allow-origin: http://page.example"), "{read}");
    for call in ["DefineCatalog", "IngestObservations", "PublishEdition", "WithdrawEdition"] {
        let write = asked(&server, &format!("/almanac.v1.AdminService/{call}")).await;
        assert!(write.starts_with("HTTP/1.1 200"), "{write}");
        assert!(!write.contains("access-control-allow-origin"), "{call}: {write}");
    }
    let cursor = asked(&server, "/almanac.v1.FeedService/PutCursor").await;
    assert!(!cursor.contains("access-control-allow-origin"), "a page must not move a client's cursor: {cursor}");
    let cursor = asked(&server, "/almanac.v1.FeedService/GetCursor").await;
    assert!(cursor.contains("access-control-allow-origin: http://page.example"), "{cursor}");
    server.end().await;
}
