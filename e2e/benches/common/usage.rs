//! What a process costs: its CPU time and its memory, read from /proc.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// Ticks a second in /proc/PID/stat; fixed on Linux.
const TICKS: f64 = 100.0;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    pub(crate) rss_mib: f64,
}

impl Usage {
    pub(crate) fn of(pid: u32) -> Result<Usage> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the operator has ended")?;
        // The name, in parentheses, may hold spaces: count from its end. Fields 14 and 15 are user and system time.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks =
            |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
        let rss_mib = mib_of(pid, "VmRSS")?;
        Ok(Usage { cpu: Duration::from_secs_f64((ticks(11) + ticks(12)) / TICKS), rss_mib })
    }

    /// CPU since then; memory as it is now.
    pub(crate) fn since(self, earlier: &Usage) -> Usage {
        Usage { cpu: self.cpu.saturating_sub(earlier.cpu), ..self }
    }
}

/// What /proc/PID/status says of the process's memory: `VmRSS` now, `VmHWM` at most so far.
pub(crate) fn mib_of(pid: u32, field: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kib: f64 = line.with_context(|| field.to_owned())?.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}
