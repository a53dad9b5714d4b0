//! A server on a disk in memory that counts the operations of its store.
//!
//! Invariant: nothing is timed, so the counts are exact.

use almanac::{
    server::{self, Config},
    store::{
        Engine,
        memory::{MemoryDisk, OperationCounts},
    },
};
use tokio::{sync::oneshot, task::JoinHandle};

use super::Clients;

pub(crate) struct CountedServer {
    disk: MemoryDisk,
    pub(crate) clients: Clients,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl CountedServer {
    /// A server with an empty store.
    pub(crate) async fn start() -> Self {
        let disk = MemoryDisk::default();
        let almanac = server::open_on(Engine::in_memory(disk.clone()), &Config::new("")).unwrap();
        let listener = server::listen("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
        let clients = Clients::connect(listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let stopped = async {
            let _ = stopped.await;
        };
        let serving = tokio::spawn(async { server::serve(almanac, listener, stopped).await.unwrap() });
        Self { disk, clients: clients.await, stop, serving }
    }

    /// What a call costs, with its answer.
    pub(crate) async fn cost<T>(&self, call: impl Future<Output = T>) -> (T, OperationCounts) {
        let before = self.disk.counts();
        let answer = call.await;
        let after = self.disk.counts();
        let counts = OperationCounts {
            gets: after.gets - before.gets,
            seeks: after.seeks - before.seeks,
            items: after.items - before.items,
            puts: after.puts - before.puts,
            syncs: after.syncs - before.syncs,
        };
        (answer, counts)
    }

    pub(crate) async fn end(self) {
        let _ = self.stop.send(());
        drop(self.clients);
        self.serving.await.unwrap();
    }
}
