//! One simulated run, drawn from its seed: a server, a writer, readers, and faults.

use std::{
    collections::BTreeMap,
    num::NonZeroU64,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use almanac::{
    ledger::compact::Retention,
    model::time::{Clock, Instant},
    proto::*,
    server,
    store::{Engine, memory::MemoryDisk, offload::Offload},
};
use tokio::sync::{Notify, watch};

use super::{
    faults::FaultInjector,
    follower::{self, FollowerRecord},
    network::{self, SERVER},
    subscriber::{self, SubscriptionRecord},
    writer::write,
};
use crate::support::{Dice, WholeCommit, oracle::CommitLog};

pub(super) const READERS: usize = 4;

/// Subscribers of each; the last one uses the client library.
const SUBSCRIBERS: usize = 5;

/// The first instant of the simulated clock, in microseconds: 2026-01-01.
const EPOCH: i64 = 1_767_225_600_000_000;

/// Simulated time that a scenario may take at the most.
const DURATION_MAX: Duration = Duration::from_secs(300);

const TICK: Duration = Duration::from_millis(5);

/// What a run did and what its subscribers saw.
#[derive(Debug, Default)]
pub(super) struct Scenario {
    /// Every commit, as listed soon after it was made.
    pub(super) commits: Vec<WholeCommit>,
    /// Every commit up to this revision was listed.
    pub(super) listed: u64,
    /// The revision of each answered write, by request id.
    pub(super) answered: BTreeMap<String, u64>,
    pub(super) subscriptions: Vec<SubscriptionRecord>,
    pub(super) followers: Vec<FollowerRecord>,
    /// The oldest revision that can be replayed at the end.
    pub(super) floor: u64,
    /// The commits from the floor on, listed again at the end.
    pub(super) last: Vec<WholeCommit>,
    /// How often each kind of write and of fault happened.
    pub(super) happened: BTreeMap<&'static str, usize>,
    /// Simulated time.
    pub(super) duration: Duration,
}

impl Scenario {
    pub(super) fn log(&self) -> CommitLog {
        CommitLog::of(self.commits.clone(), self.listed)
    }
}

/// What all hosts of a run share.
#[derive(Clone)]
pub(super) struct Environment {
    pub(super) scenario: Arc<Mutex<Scenario>>,
    pub(super) disk: MemoryDisk,
    /// By how much the clock of the server is wrong, in microseconds.
    pub(super) clock_off: Arc<AtomicI64>,
    pub(super) stop: Arc<Notify>,
    /// The last revision, once all is written: subscribers read up to it.
    pub(super) goal: Arc<watch::Sender<Option<u64>>>,
}

/// Runs the scenario of a seed.
pub(super) fn run(seed: u64) -> Result<Scenario, Box<dyn std::error::Error>> {
    let mut dice = Dice::seeded(seed);
    let environment = Environment {
        scenario: Arc::default(),
        disk: MemoryDisk::default(),
        clock_off: Arc::default(),
        stop: Arc::default(),
        goal: Arc::new(watch::Sender::new(None)),
    };
    let mut sim = turmoil::Builder::new()
        .simulation_duration(DURATION_MAX)
        .tick_duration(TICK)
        .min_message_latency(Duration::from_micros(200))
        .max_message_latency(Duration::from_millis(1 + dice.below(12) as u64))
        .rng_seed(dice.next())
        .build();
    let config = config(&mut dice, &environment);
    let of_server = environment.clone();
    sim.host(SERVER, move || serve(of_server.clone(), config.clone()));
    let writing = write(environment.clone(), dice.split());
    sim.client("writer", async move { with_panics_as_errors(writing).await? });
    for number in 0..READERS {
        sim.client(reader(number), read(environment.clone(), dice.split()));
    }
    let mut faults = FaultInjector { dice, environment: &environment, down: None, broken: None, silent: None };
    let mut steps = 0;
    while !sim.step()? {
        steps += 1;
        faults.step(&mut sim);
    }
    drop(sim);
    let mut scenario = std::mem::take(&mut *environment.scenario.lock().unwrap());
    scenario.duration = TICK * steps;
    Ok(scenario)
}

pub(super) fn reader(number: usize) -> String {
    format!("reader-{number}")
}

fn config(dice: &mut Dice, environment: &Environment) -> server::Config {
    // More than are made at one time: the writer lists them before they are compacted away.
    let revisions = if dice.once_in(2) { NonZeroU64::new(8 + dice.below(8) as u64) } else { None };
    let clock_off = environment.clock_off.clone();
    let clock = Clock::from_fn(move || {
        let elapsed = turmoil::sim_elapsed().unwrap_or_default();
        Instant(EPOCH + elapsed.as_micros() as i64 + clock_off.load(Ordering::Relaxed))
    });
    let waiting = Mutex::new(dice.split());
    let slowest = 1 + dice.below(4_000);
    let latency = Arc::new(move || Duration::from_micros(waiting.lock().unwrap().below(slowest) as u64));
    let subscription_max_age = if dice.once_in(3) { Duration::from_millis(300) } else { server::SUBSCRIPTION_MAX_AGE };
    server::Config {
        subscription_max_age,
        retention: Retention { revisions, days: None },
        clock,
        offload: Offload::Simulated(latency),
        ..server::Config::new("")
    }
}

/// Turns a panic into an error. A panic within a simulated host would end the process, and its seed would not be printed.
/// The panic itself has printed its message.
async fn with_panics_as_errors<T>(task: impl Future<Output = T>) -> Result<T, &'static str> {
    let mut task = std::pin::pin!(task);
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
        Err(_) => Poll::Ready(Err("an assertion above failed")),
    })
    .await
}

/// The server's host: opens what the disk holds.
async fn serve(environment: Environment, config: server::Config) -> turmoil::Result {
    let almanac = match server::open_on(Engine::in_memory(environment.disk.clone()), &config) {
        Ok(almanac) => almanac,
        // The process would end here. It is started again when the disk works.
        Err(_) if environment.disk.fails() => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let stop = environment.stop.clone();
    server::serve_on(almanac, Box::pin(network::incoming().await?), async move { stop.notified().await }).await?;
    Ok(())
}

pub(super) async fn wait(dice: &mut Dice, milliseconds: usize) {
    tokio::time::sleep(Duration::from_millis(dice.below(milliseconds) as u64)).await;
}

/// A host with some subscribers.
async fn read(environment: Environment, mut dice: Dice) -> turmoil::Result {
    let mut subscribing = Vec::new();
    for _ in 1..SUBSCRIBERS {
        subscribing.push(tokio::spawn(with_panics_as_errors(subscriber::subscribe(
            dice.split(),
            environment.goal.subscribe(),
        ))));
    }
    let following = tokio::spawn(with_panics_as_errors(follower::follow(dice.split(), environment.goal.subscribe())));
    for subscriber in subscribing {
        let records = subscriber.await??;
        environment.scenario.lock().unwrap().subscriptions.extend(records);
    }
    let records = following.await??;
    environment.scenario.lock().unwrap().followers.extend(records);
    let goal = environment.goal.borrow().unwrap_or(0);
    // Lists the commits once more, after all that happened.
    loop {
        let mut clients = network::clients();
        let Ok(head) = clients.feed.get_head(GetHeadRequest::default()).await.map(tonic::Response::into_inner) else {
            wait(&mut dice, 100).await;
            continue;
        };
        assert_eq!(head.head, goal);
        match clients.try_commits(head.floor - 1, Vec::new()).await {
            Ok(last) => {
                let mut scenario = environment.scenario.lock().unwrap();
                scenario.floor = head.floor;
                scenario.last = last;
                return Ok(());
            }
            Err(_) => wait(&mut dice, 100).await,
        }
    }
}
