//! A server as a process of its own, so that its memory and its processor time can be read.

use std::process::Child;

use super::Outcome;

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn stats(&self) -> ProcessStats {
        ProcessStats(self.0.id())
    }
}

/// Reads what the system knows about the process with this id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProcessStats(u32);

impl ProcessStats {
    /// Of this process.
    pub(crate) fn own() -> Self {
        Self(std::process::id())
    }

    /// Resident memory, in kB.
    pub(crate) fn resident(&self) -> Outcome<u64> {
        self.status("VmRSS:")
    }

    /// Sets the peak of memory back to the memory of now.
    pub(crate) fn forget_peak(&self) -> Outcome<()> {
        Ok(std::fs::write(format!("/proc/{}/clear_refs", self.0), "5")?)
    }

    /// Most resident memory since [`ProcessStats::forget_peak`], in kB.
    pub(crate) fn peak(&self) -> Outcome<u64> {
        self.status("VmHWM:")
    }

    fn status(&self, what: &str) -> Outcome<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let line = status.lines().find_map(|line| line.strip_prefix(what)).ok_or("no such figure of a process")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// Processor time since the start of the process, in seconds.
    pub(crate) fn processor(&self) -> Outcome<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0))?;
        // After the name, which is in parentheses: the 12th field is the user's ticks, the 13th the system's.
        let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let ticks: f64 = fields.skip(11).take(2).filter_map(|text| text.parse::<f64>().ok()).sum();
        // A tick is a hundredth of a second on every Linux we know.
        Ok(ticks / 100.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
