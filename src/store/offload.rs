//! Where work that may wait for the disk is done, so that nobody who asks for it holds up others.
//!
//! In a server that is a thread beside the async ones. In a simulation there is one thread and no time but its own: the
//! work is done there, between two waits that a seed draws, so that everything else may happen before and after it and the
//! same seed tells the same story again.

use std::{fmt, future::Future, sync::Arc, thread::JoinHandle, time::Duration};

use super::StoreError;

/// How long things take in a simulation.
pub type Latency = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Where work that may wait for the disk is done.
#[derive(Clone, Default)]
pub enum Offload {
    /// On threads beside the async ones.
    #[default]
    Threads,
    /// On the only thread there is, taking simulated time.
    Simulated(Latency),
}

impl Offload {
    /// Does a piece of work.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
        match self {
            // sled panics on damaged pages; that is a loss of data, not a mistake of who asked.
            Self::Threads => {
                tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::corrupt("reading the store panicked"))
            }
            Self::Simulated(latency) => {
                tokio::time::sleep(latency()).await;
                let done = work();
                tokio::time::sleep(latency()).await;
                Ok(done)
            }
        }
    }

    /// Starts a life of its own for something whose steps wait for the disk. A thread is to be joined at the end.
    pub fn start(
        &self,
        name: &str,
        life: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<Option<JoinHandle<()>>> {
        match self {
            Self::Threads => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
                let thread = std::thread::Builder::new().name(name.to_owned());
                thread.spawn(move || runtime.block_on(life)).map(Some)
            }
            Self::Simulated(_) => {
                tokio::spawn(life);
                Ok(None)
            }
        }
    }

    /// How long a step of such a life takes before it is done, where that is not for the disk to say.
    pub async fn step(&self) {
        if let Self::Simulated(latency) = self {
            tokio::time::sleep(latency()).await;
        }
    }
}

impl fmt::Debug for Offload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Threads => "Threads",
            Self::Simulated(_) => "Simulated",
        })
    }
}
