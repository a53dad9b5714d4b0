//! Faults of a simulated run: crashes, stops, silent networks, a failing disk, a clock that jumps.

use std::sync::atomic::Ordering;

use turmoil::Sim;

use super::{
    network::SERVER,
    scenario::{Environment, READERS, reader},
};
use crate::support::Dice;

/// Crashes, stops and disturbs hosts.
pub(super) struct FaultInjector<'a> {
    pub(super) dice: Dice,
    pub(super) environment: &'a Environment,
    /// Steps until the server starts again.
    pub(super) down: Option<usize>,
    /// Steps until the power of the host with the failing disk is cut.
    pub(super) broken: Option<usize>,
    /// A reader whose network is silent, and the steps until it works again.
    pub(super) silent: Option<(usize, usize)>,
}

impl FaultInjector<'_> {
    pub(super) fn step(&mut self, sim: &mut Sim<'_>) {
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
            // It stopped by itself.
            None if !sim.is_host_running(SERVER) => self.down = Some(self.dice.below(40)),
            None if self.dice.once_in(50) => self.inject(sim),
            None => {}
        }
    }

    fn inject(&mut self, sim: &mut Sim<'_>) {
        let what = match self.dice.below(10) {
            0..=2 => {
                self.crash(sim);
                "crash"
            }
            3 => {
                self.environment.stop.notify_one();
                "polite stop"
            }
            4..=6 if self.silent.is_none() => {
                let number = self.dice.below(READERS);
                sim.partition(reader(number), SERVER);
                self.silent = Some((number, 1 + self.dice.below(240)));
                "silence"
            }
            7 => {
                // Only a power cut heals the disk, so one follows.
                self.environment.disk.fail_after(self.dice.below(6) as u32);
                self.broken = Some(1 + self.dice.below(120));
                "failing disk"
            }
            8 => {
                let hours = self.dice.below(49) as i64 - 24;
                self.environment.clock_off.store(hours * 3_600_000_000, Ordering::Relaxed);
                "clock jump"
            }
            _ => {
                self.crash(sim);
                self.start(sim);
                "crash and start at once"
            }
        };
        *self.environment.scenario.lock().unwrap().happened.entry(what).or_default() += 1;
    }

    /// Connects the server's host, or cuts it off. It is cut off while its tasks end: tokio ends them in an order of its own,
    /// which must have no effect on others.
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

    /// A power cut: what was not synced is lost from some point on.
    fn crash(&mut self, sim: &mut Sim<'_>) {
        self.network(sim, false);
        // If the server is down already, only its disk comes back.
        sim.crash(SERVER);
        let kept = self.dice.below(self.environment.disk.unsynced() + 1);
        self.environment.disk.cut_power(kept);
        self.down = Some(self.dice.below(100));
    }
}
