//! Where work that may wait for the disk is done, so that it does not hold up async tasks.
//!
//! In a server it is done on threads beside the async ones. In a simulation there is one thread, and time passes only as
//! the simulation says: the work is done there, between two waits that the seed draws. Other tasks may run before and
//! after it, and the same seed repeats the same run.
//!
//! Invariant: this is the only place in the store that is async.

use std::{fmt, future::Future, thread::JoinHandle};
#[cfg(feature = "fault-injection")]
use std::{sync::Arc, time::Duration};

use super::StoreError;

/// Draws how long one piece of work takes in a simulation.
#[cfg(feature = "fault-injection")]
pub type Latency = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Where work that may wait for the disk is done.
#[derive(Clone, Default)]
pub enum Offload {
    /// On threads beside the async ones.
    #[default]
    Threads,
    /// On the only thread of a simulation, taking simulated time.
    #[cfg(feature = "fault-injection")]
    Simulated(Latency),
}

impl Offload {
    /// Runs `work` and answers what it returns.
    ///
    /// # Errors
    /// `work` panicked.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
        match self {
            // sled panics on damaged pages: that is a loss of data, not a mistake of the caller.
            Self::Threads => {
                tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::corrupt("reading the store panicked"))
            }
            #[cfg(feature = "fault-injection")]
            Self::Simulated(latency) => {
                tokio::time::sleep(latency()).await;
                let answer = work();
                tokio::time::sleep(latency()).await;
                Ok(answer)
            }
        }
    }

    /// Starts a task whose steps wait for the disk. If it has a thread, the caller joins it at the end.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        &self,
        name: &str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<Option<JoinHandle<()>>> {
        match self {
            Self::Threads => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
                let thread = std::thread::Builder::new().name(name.to_owned());
                thread.spawn(move || runtime.block_on(task)).map(Some)
            }
            #[cfg(feature = "fault-injection")]
            Self::Simulated(_) => {
                tokio::spawn(task);
                Ok(None)
            }
        }
    }

    /// Waits as long as one step of such a task takes in a simulation; elsewhere not at all.
    #[cfg_attr(not(feature = "fault-injection"), allow(clippy::unused_async))]
    pub async fn step(&self) {
        #[cfg(feature = "fault-injection")]
        if let Self::Simulated(latency) = self {
            tokio::time::sleep(latency()).await;
        }
    }
}

impl fmt::Debug for Offload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Threads => "Threads",
            #[cfg(feature = "fault-injection")]
            Self::Simulated(_) => "Simulated",
        })
    }
}
