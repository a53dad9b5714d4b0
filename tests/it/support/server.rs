//! Servers in this process.
//!
//! Each server has a runtime of its own, so that stopping it releases everything it held, as the end of a process does.

use std::{net::SocketAddr, path::PathBuf, thread::JoinHandle, time::Duration};

use almanac::server;
use tokio::sync::oneshot;

use super::clients::Clients;

/// A running server.
pub(crate) struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(config: server::Config) -> Result<Self, String> {
        let (stop, stopping) = oneshot::channel();
        let (report, started) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            let almanac = match server::open(&config) {
                Ok(almanac) => almanac,
                Err(error) => {
                    let _ = report.send(Err(error.to_string()));
                    return;
                }
            };
            runtime.block_on(async {
                let listener = server::listen("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
                let _ = report.send(Ok(listener.local_addr().unwrap()));
                let stopped = async {
                    let _ = stopping.await;
                };
                server::serve(almanac, listener, stopped).await.unwrap();
            });
            runtime.shutdown_timeout(Duration::from_secs(10));
        });
        let address = started.await.map_err(|_| "the server's thread ended".to_owned())??;
        Ok(Self { address, stop, thread })
    }

    /// Asks the server to stop, and waits for its end.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        tokio::task::spawn_blocking(move || self.thread.join().unwrap()).await.unwrap();
    }
}

/// A server on a temporary folder, with clients. It can be stopped and started again.
pub(crate) struct TestServer {
    folder: tempfile::TempDir,
    config: server::Config,
    server: Option<Server>,
    address: Option<SocketAddr>,
    pub(crate) clients: Clients,
}

impl TestServer {
    /// On an empty store.
    pub(crate) async fn empty() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl Fn(&mut server::Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = server::Config::new(folder.path().join("data"));
        change(&mut config);
        let server = Server::start(config.clone()).await.unwrap();
        let address = server.address;
        let clients = Clients::connect(address).await;
        Self { folder, config, server: Some(server), address: Some(address), clients }
    }

    /// The folder for files of the test; the data are in a folder in it.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address.unwrap()
    }

    pub(crate) async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }

    /// Restarts with other settings, which stay.
    pub(crate) async fn restart_with(&mut self, change: impl Fn(&mut server::Config)) {
        change(&mut self.config);
        self.restart().await;
    }

    /// Stops the server, and starts another one with the same settings on the same folder.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        let server = Server::start(self.config.clone()).await.unwrap();
        self.clients = Clients::connect(server.address).await;
        self.address = Some(server.address);
        self.server = Some(server);
    }

    /// Stops the server, and checks what it leaves on the disk.
    pub(crate) async fn end(mut self) {
        self.stop().await;
        let blobs = self.data().join("store").join("blobs");
        if let Ok(found) = std::fs::read_dir(&blobs) {
            assert_eq!(found.count(), 0, "values so long that they are never synced");
        }
    }
}
