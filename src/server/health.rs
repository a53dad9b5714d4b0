//! The state of every service, as `grpc.health.v1` defines it.
//!
//! Invariants: a service is `SERVING` only after the server is ready, that is, after the data that it starts with is loaded.
//! `Watch` sends only changes.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::ledger::Writer;

/// How often health asks the writer whether it accepts writes.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// The whole server (the empty name), and its services.
const SERVICES: [&str; 6] = [
    "",
    ADMIN,
    "almanac.v1.CatalogService",
    "almanac.v1.FeedService",
    "almanac.v1.RankingService",
    "almanac.v1.StatisticsService",
];
const ADMIN: &str = "almanac.v1.AdminService";

/// Makes a server ready. If it is dropped before, the server stays not ready.
#[derive(Debug)]
pub struct ReadySwitch(pub(super) watch::Sender<bool>);

impl ReadySwitch {
    /// Health says `SERVING` from now on.
    pub fn ready(self) {
        self.0.send_replace(true);
    }
}

/// What the state of the services depends on.
#[derive(Debug, Clone, Copy)]
struct Condition {
    ready: bool,
    accepts_writes: bool,
    stopping: bool,
}

impl Condition {
    fn status(self, service: &str) -> ServingStatus {
        // After a failed flush the server still answers reads; the server as a whole and its writes are not healthy.
        let needs_writes = service.is_empty() || service == ADMIN;
        if self.ready && !self.stopping && (self.accepts_writes || !needs_writes) {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        }
    }
}

/// Keeps the answers of `grpc.health.v1` up to date.
pub(super) struct HealthKeeper {
    reporter: HealthReporter,
    writer: Arc<Writer>,
    ready: watch::Receiver<bool>,
    stopping: watch::Receiver<bool>,
    /// The last status of each service.
    reported: [Option<ServingStatus>; SERVICES.len()],
}

impl HealthKeeper {
    /// Sets the state of all services, before a client can ask for it.
    pub(super) async fn start(
        reporter: HealthReporter,
        writer: Arc<Writer>,
        ready: watch::Receiver<bool>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let mut keeper = Self { reporter, writer, ready, stopping, reported: Default::default() };
        keeper.report().await;
        keeper
    }

    /// Reports what changed: tonic-health wakes its watchers at every report, whether something changed or not.
    async fn report(&mut self) -> Condition {
        let condition = Condition {
            ready: *self.ready.borrow_and_update(),
            accepts_writes: self.writer.refusal().is_none(),
            stopping: *self.stopping.borrow_and_update(),
        };
        for (service, reported) in SERVICES.iter().zip(&mut self.reported) {
            let status = condition.status(service);
            if *reported != Some(status) {
                self.reporter.set_service_status(service, status).await;
                *reported = Some(status);
            }
        }
        condition
    }

    /// Reports changes until the server stops.
    pub(super) async fn run(mut self) {
        while !self.report().await.stopping {
            let waits_for_data = !*self.ready.borrow();
            tokio::select! {
                biased;
                _ = self.stopping.changed() => {}
                Ok(()) = self.ready.changed(), if waits_for_data => {}
                () = tokio::time::sleep(HEALTH_INTERVAL) => {}
            }
        }
    }
}
