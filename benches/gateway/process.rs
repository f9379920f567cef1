//! Child processes: started, watched through `/proc`, and ended with all that they started.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;

/// A process and its descendants; ended when dropped.
pub(crate) struct Process {
    child: Child,
}

/// What a tree of processes has used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    /// CPU time, user and system.
    pub(crate) cpu: Duration,
    /// Resident memory now, in KiB.
    pub(crate) resident: u64,
}

impl Process {
    /// Starts `command`; what it prints goes to `log`.
    pub(crate) fn start(command: &mut Command, log: &std::path::Path) -> Result<Self> {
        let (out, err) = (fs::File::create(log)?, fs::File::options().append(true).open(log)?);
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        let name = command.get_program().to_string_lossy().into_owned();
        Ok(Self { child: child.map_err(|error| format!("{name}: {error}"))? })
    }

    /// Starts `command` and reads the first line that it prints.
    pub(crate) fn start_and_read(command: &mut Command) -> Result<(Self, String)> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().ok_or("no standard output")?;
        let process = Self { child };
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        Ok((process, line.trim().to_owned()))
    }

    /// What the tree has used so far.
    pub(crate) fn used(&self) -> Used {
        let mut used = Used::default();
        for pid in self.tree() {
            used.cpu += cpu(pid);
            used.resident += resident(pid);
        }
        used
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to stop, and waits; after ten seconds it is killed.
    pub(crate) fn stop(mut self) {
        self.end(Duration::from_secs(10));
    }

    fn tree(&self) -> Vec<u32> {
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            if let Some(parent) = stat(pid).and_then(|fields| fields.get(1)?.parse().ok()) {
                children.entry(parent).or_default().push(pid);
            }
        }
        let mut tree = vec![self.child.id()];
        let mut at = 0;
        while let Some(pid) = tree.get(at) {
            tree.extend(children.get(pid).into_iter().flatten());
            at += 1;
        }
        tree
    }

    fn end(&mut self, patience: Duration) {
        let tree = self.tree();
        signal("-TERM", &tree[..1]);
        let deadline = Instant::now() + patience;
        while self.runs() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        if self.runs() {
            signal("-KILL", &tree);
        }
        // It is gone, or cannot be ended by us.
        self.child.wait().ok();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.runs() {
            self.end(Duration::from_secs(5));
        }
    }
}

fn signal(name: &str, pids: &[u32]) {
    let pids = pids.iter().map(u32::to_string);
    Command::new("kill").arg(name).args(pids).stderr(Stdio::null()).status().ok();
}

/// The fields of `/proc/PID/stat` from the third on: a name in brackets comes before.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split(' ').map(str::to_owned).collect())
}

/// Its own time and that of children it has waited for, in ticks of a hundredth of a second.
fn cpu(pid: u32) -> Duration {
    let fields = stat(pid).unwrap_or_default();
    let ticks: u64 = (11..15).filter_map(|i| fields.get(i)?.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn resident(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
