//! What happens in one simulated run, drawn from its seed.

use std::{
    collections::{BTreeMap, BTreeSet},
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
use turmoil::Sim;

use super::{
    network::{self, SERVER},
    subscriber::{self, Followed, Life},
};
use crate::{
    fixture::*,
    harness::{Clients, Dice, WholeCommit},
    promises::Truth,
    steward::{Deed, Steward},
};

const READERS: usize = 4;
/// Subscribers of each; the last one uses the client library.
const SUBSCRIBERS: usize = 5;
/// The first instant of the simulated clock, in microseconds: 2026-01-01.
const EPOCH: i64 = 1_767_225_600_000_000;
/// Simulated time that a story may take at the most.
const LASTING_MAX: Duration = Duration::from_secs(300);
const TICK: Duration = Duration::from_millis(5);

/// What was seen and done, to be judged.
#[derive(Debug, Default)]
pub(super) struct Story {
    /// Every commit, as listed soon after it was made.
    pub(super) truth: Vec<WholeCommit>,
    /// Everything up to this revision was listed.
    pub(super) told: u64,
    /// What writers were answered: request ids with the revision.
    pub(super) answered: BTreeMap<String, u64>,
    pub(super) lives: Vec<Life>,
    pub(super) followed: Vec<Followed>,
    /// The oldest revision that can be replayed at the end.
    pub(super) floor: u64,
    /// What can be replayed at the end, read again.
    pub(super) last: Vec<WholeCommit>,
    pub(super) happened: BTreeMap<&'static str, usize>,
    /// How long it took by its own clock.
    pub(super) lasted: Duration,
}

impl Story {
    pub(super) fn truth(&self) -> Truth {
        Truth::of(self.truth.clone(), self.told)
    }
}

/// What everybody in the world can reach.
#[derive(Clone)]
struct World {
    story: Arc<Mutex<Story>>,
    disk: MemoryDisk,
    /// What the clock of the server's machine is off by, in microseconds.
    clock_off: Arc<AtomicI64>,
    stop: Arc<Notify>,
    goal: Arc<watch::Sender<Option<u64>>>,
}

/// Plays the story of a seed.
pub(super) fn play(seed: u64) -> Result<Story, Box<dyn std::error::Error>> {
    let mut dice = Dice::seeded(seed);
    let world = World {
        story: Arc::default(),
        disk: MemoryDisk::default(),
        clock_off: Arc::default(),
        stop: Arc::default(),
        goal: Arc::new(watch::Sender::new(None)),
    };
    let mut sim = turmoil::Builder::new()
        .simulation_duration(LASTING_MAX)
        .tick_duration(TICK)
        .min_message_latency(Duration::from_micros(200))
        .max_message_latency(Duration::from_millis(1 + dice.below(12) as u64))
        .rng_seed(dice.next())
        .build();
    let config = config(&mut dice, &world);
    let of_server = world.clone();
    sim.host(SERVER, move || serve(of_server.clone(), config.clone()));
    let (of_writer, writing) = (world.clone(), dice.split());
    sim.client("writer", async move { caught(write(of_writer, writing)).await? });
    for number in 0..READERS {
        let (of_reader, reading) = (world.clone(), dice.split());
        sim.client(reader(number), read(of_reader, reading));
    }
    let mut fate = Fate { dice, world: &world, down: None, broken: None, silent: None };
    let mut steps = 0;
    while !sim.step()? {
        steps += 1;
        fate.step(&mut sim);
    }
    drop(sim);
    let mut story = std::mem::take(&mut *world.story.lock().unwrap());
    story.lasted = TICK * steps;
    Ok(story)
}

fn reader(number: usize) -> String {
    format!("reader-{number}")
}

fn config(dice: &mut Dice, world: &World) -> server::Config {
    let kept = if dice.once_in(2) { NonZeroU64::new(4 + dice.below(8) as u64) } else { None };
    let clock_off = world.clock_off.clone();
    let since = |elapsed: Duration| EPOCH + elapsed.as_micros() as i64;
    let clock = Clock::from_fn(move || {
        Instant(turmoil::sim_elapsed().map_or(EPOCH, since) + clock_off.load(Ordering::Relaxed))
    });
    let (waiting, slowest) = (Mutex::new(dice.split()), 1 + dice.below(4_000));
    let latency = Arc::new(move || Duration::from_micros(waiting.lock().unwrap().below(slowest) as u64));
    let subscription_max_age = if dice.once_in(3) { Duration::from_millis(300) } else { server::SUBSCRIPTION_MAX_AGE };
    server::Config {
        subscription_max_age,
        keep: Retention { revisions: kept, days: None },
        clock,
        offload: Offload::Simulated(latency),
        ..server::Config::new("")
    }
}

/// A panic, which has said what it is about, as an error: a panic within a simulated machine would end the process, and
/// nobody would learn of the seed.
async fn caught<T>(life: impl Future<Output = T>) -> Result<T, &'static str> {
    let mut life = std::pin::pin!(life);
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| life.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
        Err(_) => Poll::Ready(Err("an assertion above failed")),
    })
    .await
}

/// The server's machine: starts on what the disk holds.
async fn serve(world: World, config: server::Config) -> turmoil::Result {
    let almanac = match server::open_on(Engine::in_memory(world.disk.clone()), &config) {
        Ok(almanac) => almanac,
        // As the process would: it ends, and is started again, on another disk.
        Err(_) if world.disk.fails() => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let stop = world.stop.clone();
    server::serve_on(almanac, Box::pin(network::incoming().await?), async move { stop.notified().await }).await?;
    Ok(())
}

/// A steward who writes until all is written, whatever it takes.
async fn write(world: World, mut dice: Dice) -> turmoil::Result {
    let mut clients = network::clients();
    let figures_max = if dice.once_in(8) { 600 } else { 20 };
    let mut steward = Steward::new(dice.split(), "steward", figures_max).who_reverts();
    let mut taken: Vec<(Deed, u64)> = Vec::new();
    let writes = 8 + dice.below(14);
    let options = request("catalog");
    loop {
        match clients.define(options.clone(), catalog()).await {
            Ok(_) => break,
            Err(_) => wait(&mut dice, 100).await,
        }
        clients = network::clients();
    }
    tell(&world, &mut clients, &mut dice).await;
    for _ in 0..writes {
        wait(&mut dice, 60).await;
        let deed = steward.next(world.story.lock().unwrap().told);
        loop {
            match deed.send(&clients).await {
                Ok(result) => {
                    let mut story = world.story.lock().unwrap();
                    story.answered.insert(deed.request_id().to_owned(), result.revision);
                    *story.happened.entry(deed.kind()).or_default() += 1;
                    drop(story);
                    taken.push((deed, result.revision));
                    break;
                }
                // Made for a world in which an earlier act was refused: nothing is left of it.
                Err(status) if !may_help(&status) => break,
                Err(_) => {
                    wait(&mut dice, 100).await;
                    clients = network::clients();
                }
            }
        }
        tell(&world, &mut clients, &mut dice).await;
    }
    unlisted(&world, &mut clients, &mut dice, &taken).await;
    let head = world.story.lock().unwrap().told;
    world.goal.send_replace(Some(head));
    Ok(())
}

/// What was answered and is in no list changed only what may not be handed on: sent again, it is answered the same.
async fn unlisted(world: &World, clients: &mut Clients, dice: &mut Dice, taken: &[(Deed, u64)]) {
    let listed: BTreeSet<u64> = world.story.lock().unwrap().truth.iter().map(|one| one.commit.revision).collect();
    let mut hidden = BTreeSet::new();
    for (deed, revision) in taken.iter().filter(|(_, revision)| !listed.contains(revision)) {
        loop {
            match deed.send(clients).await {
                Ok(again) => {
                    assert_eq!((again.revision, again.replayed), (*revision, true), "{}", deed.request_id());
                    hidden.insert(*revision);
                    break;
                }
                Err(status) => assert!(may_help(&status), "an answered write is refused: {status:?}"),
            }
            wait(dice, 100).await;
            *clients = network::clients();
        }
    }
    let told = world.story.lock().unwrap().told;
    let all: Vec<u64> = listed.union(&hidden).copied().collect();
    assert_eq!(all, (1..=told).collect::<Vec<_>>(), "every revision was listed or is one that was answered");
    *world.story.lock().unwrap().happened.entry("commits of closed sources").or_default() += hidden.len();
}

/// Whether to try again may help.
fn may_help(status: &tonic::Status) -> bool {
    use tonic::Code::*;
    matches!(
        status.code(),
        Unavailable | Unknown | Internal | Cancelled | Aborted | DeadlineExceeded | ResourceExhausted
    )
}

async fn wait(dice: &mut Dice, milliseconds: usize) {
    tokio::time::sleep(Duration::from_millis(dice.below(milliseconds) as u64)).await;
}

/// Adds what was committed to the truth, before compaction may take it.
async fn tell(world: &World, clients: &mut Clients, dice: &mut Dice) {
    let known = world.story.lock().unwrap().told;
    loop {
        let head = clients.feed.get_head(GetHeadRequest::default()).await;
        let listed = match head {
            Ok(head) => {
                let listed = clients.try_commits(known, Vec::new()).await;
                listed.map(|commits| (head.into_inner().head, commits))
            }
            Err(status) => Err(status),
        };
        match listed {
            Ok((head, commits)) => {
                let mut story = world.story.lock().unwrap();
                story.told = head;
                for mut commit in commits {
                    let previous = story.truth.last().map_or(0, |last| last.commit.revision);
                    assert!(commit.commit.revision > previous.max(known), "revisions grow");
                    (commit.previous, story.told) = (previous, story.told.max(commit.commit.revision));
                    story.truth.push(commit);
                }
                return;
            }
            Err(status) if may_help(&status) => wait(dice, 100).await,
            Err(status) => panic!("listing commits after {known}: {status:?}"),
        }
        *clients = network::clients();
    }
}

/// A machine with some subscribers.
async fn read(world: World, mut dice: Dice) -> turmoil::Result {
    let mut living = Vec::new();
    for _ in 1..SUBSCRIBERS {
        living.push(tokio::spawn(caught(subscriber::live(dice.split(), world.goal.subscribe()))));
    }
    let following = tokio::spawn(caught(subscriber::follow(dice.split(), world.goal.subscribe())));
    for life in living {
        let lives = life.await??;
        world.story.lock().unwrap().lives.extend(lives);
    }
    let followed = following.await??;
    world.story.lock().unwrap().followed.extend(followed);
    let goal = world.goal.borrow().unwrap_or(0);
    // The last word of the store, after all that happened.
    loop {
        let mut clients = network::clients();
        let Ok(head) = clients.feed.get_head(GetHeadRequest::default()).await.map(tonic::Response::into_inner) else {
            wait(&mut dice, 100).await;
            continue;
        };
        assert_eq!(head.head, goal);
        match clients.try_commits(head.floor - 1, Vec::new()).await {
            Ok(last) => {
                let mut story = world.story.lock().unwrap();
                (story.floor, story.last) = (head.floor, last);
                return Ok(());
            }
            Err(_) => wait(&mut dice, 100).await,
        }
    }
}

/// What the world does to them.
struct Fate<'a> {
    dice: Dice,
    world: &'a World,
    /// Steps until the server is started again.
    down: Option<usize>,
    /// Steps until the machine with the failing disk is given another one.
    broken: Option<usize>,
    /// A reader whose network is silent, and steps until it is not.
    silent: Option<(usize, usize)>,
}

impl Fate<'_> {
    fn step(&mut self, sim: &mut Sim<'_>) {
        if let Some((number, left)) = self.silent {
            self.silent = left.checked_sub(1).map(|left| (number, left));
            if left == 0 && self.down.is_none() {
                sim.repair(reader(number), SERVER);
            }
        }
        if let Some(left) = self.broken {
            self.broken = left.checked_sub(1);
            if left == 0 {
                self.crash(sim);
            }
        }
        match self.down {
            Some(0) => self.start(sim),
            Some(left) => self.down = Some(left - 1),
            // It stopped politely.
            None if !sim.is_host_running(SERVER) => self.down = Some(self.dice.below(40)),
            None if self.dice.once_in(50) => self.strike(sim),
            None => {}
        }
    }

    fn strike(&mut self, sim: &mut Sim<'_>) {
        let what = match self.dice.below(10) {
            0..=2 => {
                self.crash(sim);
                "crash"
            }
            3 => {
                self.world.stop.notify_one();
                "polite stop"
            }
            4..=6 if self.silent.is_none() => {
                let number = self.dice.below(READERS);
                sim.partition(reader(number), SERVER);
                self.silent = Some((number, 1 + self.dice.below(240)));
                "silence"
            }
            7 => {
                // Only a power cut heals it, so one follows.
                self.world.disk.fail_after(self.dice.below(6) as u32);
                self.broken = Some(1 + self.dice.below(120));
                "failing disk"
            }
            8 => {
                let hours = self.dice.below(49) as i64 - 24;
                self.world.clock_off.store(hours * 3_600_000_000, Ordering::Relaxed);
                "clock jump"
            }
            _ => {
                self.crash(sim);
                self.start(sim);
                "crash and start at once"
            }
        };
        *self.world.story.lock().unwrap().happened.entry(what).or_default() += 1;
    }

    /// The server's machine is on the network, or it is not. (Off while tasks are ended: tokio ends them in an order of its
    /// own, and that order must not be seen.)
    fn network(&self, sim: &Sim<'_>, there: bool) {
        for host in (0..READERS).map(reader).chain(["writer".to_owned()]) {
            if there && self.silent.is_none_or(|(number, _)| reader(number) != host) {
                sim.repair(host, SERVER);
            } else {
                sim.partition(host, SERVER);
            }
        }
    }

    fn start(&mut self, sim: &mut Sim<'_>) {
        self.down = None;
        self.network(sim, false);
        sim.bounce(SERVER);
        self.network(sim, true);
    }

    /// A power cut: what was not synced is lost from some point on, and nobody is told.
    fn crash(&mut self, sim: &mut Sim<'_>) {
        self.network(sim, false);
        // One that is down already only gets its disk back.
        sim.crash(SERVER);
        let kept = self.dice.below(self.world.disk.unsynced() + 1);
        self.world.disk.cut_power(kept);
        self.down = Some(self.dice.below(100));
    }
}
