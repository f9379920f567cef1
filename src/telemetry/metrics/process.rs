//! What the system says of this process, under the names that all of Prometheus's clients use. Linux's `/proc` has it; elsewhere
//! there is none of it.

use std::fs::{read_dir, read_to_string};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::names::{PROCESS_CPU, PROCESS_FDS, PROCESS_MEMORY, PROCESS_MOST_FDS, PROCESS_START};

/// How many of `/proc`'s ticks make a second: the same for programs on every machine that Linux runs on today, whatever the
/// kernel's own clock.
const TICKS: f64 = 100.0;

/// The process's gauges.
#[derive(Debug, Default)]
pub(super) struct Process {
    memory: Gauge<i64, AtomicI64>,
    fds: Gauge<i64, AtomicI64>,
    most_fds: Gauge<i64, AtomicI64>,
    start: Gauge<f64, AtomicU64>,
    cpu: Counter<f64, AtomicU64>,
}

/// What `/proc` says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Seen {
    memory: i64,
    most_fds: i64,
    start: f64,
    cpu: f64,
}

impl Process {
    /// Registers the gauges where the system has them.
    pub(super) fn register(registry: &mut Registry) -> Option<Self> {
        look()?;
        let process = Self::default();
        PROCESS_MEMORY.register(registry, process.memory.clone());
        PROCESS_FDS.register(registry, process.fds.clone());
        PROCESS_MOST_FDS.register(registry, process.most_fds.clone());
        PROCESS_START.register(registry, process.start.clone());
        PROCESS_CPU.register(registry, process.cpu.clone());
        Some(process)
    }

    /// Reads them anew.
    pub(super) fn refresh(&self) {
        let Some(Seen { memory, most_fds, start, cpu }) = look() else { return };
        self.memory.set(memory);
        self.most_fds.set(most_fds);
        self.start.set(start);
        self.cpu.inner().store(cpu.to_bits(), Ordering::Relaxed);
        if let Ok(open) = read_dir("/proc/self/fd") {
            // One of them is this folder.
            self.fds.set(i64::try_from(open.count()).unwrap_or(i64::MAX).saturating_sub(1));
        }
    }
}

fn look() -> Option<Seen> {
    let file = |name: &str| read_to_string(name).ok();
    seen(&file("/proc/self/stat")?, &file("/proc/self/status")?, &file("/proc/self/limits")?, &file("/proc/stat")?)
}

/// Reads `/proc/self/stat`, `/proc/self/status`, `/proc/self/limits` and `/proc/stat`.
fn seen(stat: &str, status: &str, limits: &str, system: &str) -> Option<Seen> {
    // The second field, the program's name in brackets, may hold blanks and brackets.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let ticks = |field: usize| Some(fields.get(field - 3)?.parse::<f64>().ok()? / TICKS);
    let word = |text: &str, name: &str| -> Option<String> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_ascii_whitespace().next()?.to_owned())
    };
    let memory: i64 = word(status, "VmRSS:")?.parse().ok()?;
    let booted: f64 = word(system, "btime")?.parse().ok()?;
    Some(Seen {
        memory: memory.saturating_mul(1_024),
        most_fds: word(limits, "Max open files").and_then(|most| most.parse().ok()).unwrap_or(-1),
        start: booted + ticks(22)?,
        cpu: ticks(14)? + ticks(15)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_read_whatever_the_program_is_called() {
        let stat = "7 (ful) (crum) S 1 7 7 0 -1 4194560 9 0 0 0 250 50 0 0 20 0 9 0 12345 1 2 3";
        let limits = "Limit  Soft Limit  Hard Limit\nMax open files            1024   4096   files\n";
        let system = "cpu  1 2\nbtime 1700000000\n";
        let found = seen(stat, "Name:\tx\nVmRSS:\t    2048 kB\n", limits, system);
        let wanted = Seen { memory: 2_048 * 1_024, most_fds: 1_024, start: 1_700_000_123.45, cpu: 3.0 };
        assert_eq!(found, Some(wanted));
        assert_eq!(seen("7 (x", "", "", ""), None);
    }
}
