//! What health says of the services, as `grpc.health.v1` defines it.
//!
//! Invariants: a service is SERVING only when the server is ready, that is once the data that it was to begin with is in.
//! `Watch` hears of changes only.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::ledger::Writer;

/// How often health looks whether writes are taken.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// The whole server, and then its services.
const SERVICES: [&str; 6] = [
    "",
    ADMIN,
    "almanac.v1.CatalogService",
    "almanac.v1.FeedService",
    "almanac.v1.RankingService",
    "almanac.v1.StatisticsService",
];
const ADMIN: &str = "almanac.v1.AdminService";

/// Says when a server is ready. One that is dropped before it said so leaves the server not ready.
#[derive(Debug)]
pub struct ReadySwitch(pub(super) watch::Sender<bool>);

impl ReadySwitch {
    /// From now on health says SERVING.
    pub fn ready(self) {
        self.0.send_replace(true);
    }
}

/// What the state of the services depends on.
#[derive(Debug, Clone, Copy)]
struct Condition {
    ready: bool,
    takes_writes: bool,
    stopping: bool,
}

impl Condition {
    fn status(self, service: &str) -> ServingStatus {
        // After a failed flush reads are served on; the whole server and its writes are not well.
        let writes = service.is_empty() || service == ADMIN;
        match self.ready && !self.stopping && (self.takes_writes || !writes) {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        }
    }
}

/// Keeps health true.
pub(super) struct HealthKeeper {
    reporter: HealthReporter,
    writer: Arc<Writer>,
    ready: watch::Receiver<bool>,
    stopping: watch::Receiver<bool>,
    told: [Option<ServingStatus>; SERVICES.len()],
}

impl HealthKeeper {
    /// Says how things stand before anybody can ask.
    pub(super) async fn start(
        reporter: HealthReporter,
        writer: Arc<Writer>,
        ready: watch::Receiver<bool>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let mut keeper = Self { reporter, writer, ready, stopping, told: Default::default() };
        keeper.tell().await;
        keeper
    }

    /// Tells those that changed: tonic-health wakes its watchers whenever it is told, changed or not.
    async fn tell(&mut self) -> Condition {
        let condition = Condition {
            ready: *self.ready.borrow_and_update(),
            takes_writes: self.writer.refusal().is_none(),
            stopping: *self.stopping.borrow_and_update(),
        };
        for (service, told) in SERVICES.iter().zip(&mut self.told) {
            let status = condition.status(service);
            if *told != Some(status) {
                self.reporter.set_service_status(service, status).await;
                *told = Some(status);
            }
        }
        condition
    }

    /// Until the server stops.
    pub(super) async fn run(mut self) {
        while !self.tell().await.stopping {
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
