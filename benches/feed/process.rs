//! A server as a process of its own, so that its memory can be read; ended by its own id.

use std::process::Child;

use crate::Outcome;

/// A process that ends with this.
#[derive(Debug)]
pub(crate) struct Process(pub(crate) Child);

impl Process {
    /// Its figures.
    pub(crate) fn figures(&self) -> Figures {
        Figures(self.0.id())
    }
}

/// What the system says of a process, by its id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures(u32);

impl Figures {
    /// Memory it has now, in kB.
    pub(crate) fn resident(&self) -> Outcome<u64> {
        self.status("VmRSS:")
    }

    /// Starts a new count of the most memory it had.
    pub(crate) fn forget_peak(&self) -> Outcome<()> {
        Ok(std::fs::write(format!("/proc/{}/clear_refs", self.0), "5")?)
    }

    /// The most memory it had since then, in kB.
    pub(crate) fn peak(&self) -> Outcome<u64> {
        self.status("VmHWM:")
    }

    fn status(&self, what: &str) -> Outcome<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let line = status.lines().find_map(|line| line.strip_prefix(what)).ok_or("no such figure of a process")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// Processor time it took so far, in seconds.
    pub(crate) fn processor(&self) -> Outcome<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0))?;
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
        // Hundredths of a second, on every Linux we know.
        Ok((ticks(11) + ticks(12)) / 100.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
