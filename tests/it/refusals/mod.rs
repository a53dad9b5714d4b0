//! Bad input: each is refused with a code, a reason and the field, and leaves nothing behind.

mod definitions;
mod figures;
mod requests;
mod tables;

use almanac::proto::*;
use tonic::{Code, Status};

use crate::support::{Clients, TestServer, fields, fixture::*, reason};

/// A server with some data, and its status before the refusals.
struct UntouchedServer {
    server: TestServer,
    status: GetStoreStatusResponse,
    head: GetHeadResponse,
}

impl UntouchedServer {
    async fn new() -> Self {
        let server = server_with_catalog().await;
        let figures = vec![batch(RD, "CHN", "bank", &[("2020", "2.40"), ("2021", "2.44")])];
        server.clients.ingest(released("2023-03-01"), figures).await.unwrap();
        server.clients.publish(edition("2022"), entries(&[1, 2, 3])).await.unwrap();
        let status = server.clients.status().await;
        let head = Self::head(&server.clients).await;
        Self { server, status, head }
    }

    async fn head(clients: &Clients) -> GetHeadResponse {
        clients.feed.clone().get_head(GetHeadRequest::default()).await.unwrap().into_inner()
    }

    fn clients(&self) -> &Clients {
        &self.server.clients
    }

    async fn check(&self, what: &str) {
        assert_eq!(Self::head(self.clients()).await, self.head, "{what}");
        assert_eq!(self.clients().status().await, self.status, "{what}");
    }

    /// Asserts a refusal, and that it changed nothing. `why` is the reason; an empty `field`: any.
    async fn refused<T: std::fmt::Debug>(
        &self,
        what: &str,
        result: Result<T, Status>,
        code: Code,
        why: &str,
        field: &str,
    ) -> Status {
        let status = match result {
            Err(status) => status,
            Ok(answer) => panic!("{what} should have been refused: {answer:?}"),
        };
        assert_eq!((status.code(), reason(&status).as_str()), (code, why), "{what}: {}", status.message());
        if !field.is_empty() {
            let refused = fields(&status);
            assert!(refused.iter().any(|name| name == field), "{what}: {refused:?} should have {field}");
        }
        assert!(!status.message().is_empty());
        self.check(what).await;
        status
    }

    /// Stops the server, after a write that shows that it has lost nothing.
    async fn end(self) {
        let figures = vec![batch(RD, "JPN", "bank", &[("2020", "3.3")])];
        let next = self.clients().ingest(released("2023-03-02"), figures).await.unwrap();
        assert_eq!(next.revision, self.head.head + 1);
        self.server.end().await;
    }
}

fn double(number: f64) -> Value {
    Value { number: Some(number), ..Default::default() }
}
