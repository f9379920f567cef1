//! The load: loops that wait for their answer, and a clock that does not.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::Result;
use crate::client::{Conn, Reply};

/// The results of a run of requests. Times are stored one by one, since their number is bounded.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) calls: usize,
    pub(crate) errors: usize,
    pub(crate) took: Duration,
    /// To the body's last byte, ascending.
    pub(crate) latency: Vec<Duration>,
    /// To the body's first byte, ascending.
    pub(crate) first: Vec<Duration>,
    /// Events of streams.
    pub(crate) events: usize,
    /// From a chunk's sending to its arrival, ascending, where the upstream sent the time.
    pub(crate) delays: Vec<Duration>,
    /// How late the open loop's own clock was, at the 99th percentile.
    pub(crate) clock_late: Duration,
}

impl Outcome {
    fn sorted(mut self, took: Duration) -> Self {
        self.took = took;
        self.latency.sort_unstable();
        self.first.sort_unstable();
        self.delays.sort_unstable();
        self
    }

    fn add(&mut self, reply: &Result<Reply>, seen: &Seen) {
        match reply {
            Ok(reply) if reply.status == 200 => {
                self.calls += 1;
                self.latency.push(reply.last);
                self.first.push(reply.first);
                self.events += seen.events;
                self.delays.extend_from_slice(&seen.delays);
            }
            _ => self.errors += 1,
        }
    }
}

/// The value below which `share` of the sorted `times` lie; zero of none.
pub(crate) fn percentile(times: &[Duration], share: f64) -> Duration {
    if times.is_empty() {
        return Duration::ZERO;
    }
    let last = times.len() - 1;
    let at = (0..=last).find(|at| *at as f64 >= share * last as f64).unwrap_or(last);
    times[at]
}

/// What a reader saw of one body.
#[derive(Default)]
struct Seen {
    events: usize,
    newline: bool,
    delays: Vec<Duration>,
}

impl Seen {
    /// Counts empty lines, which end events, and reads the times in ` t=…;`.
    fn read(&mut self, piece: &[u8]) {
        for byte in piece {
            match byte {
                b'\n' if self.newline => {
                    self.events += 1;
                    self.newline = false;
                }
                b'\n' => self.newline = true,
                b'\r' => {}
                _ => self.newline = false,
            }
        }
        let mut rest = piece;
        while let Some(at) = memchr::memmem::find(rest, b" t=") {
            rest = &rest[at + 3..];
            let end = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
            let sent = std::str::from_utf8(&rest[..end]).ok().and_then(|digits| digits.parse::<i128>().ok());
            let sent = sent.filter(|sent| *sent > 0);
            let delay = sent.map(|sent| jiff::Timestamp::now().as_nanosecond() - sent);
            self.delays.extend(delay.and_then(|delay| u64::try_from(delay).ok()).map(Duration::from_nanos));
        }
    }
}

/// `calls` requests over `concurrency` connections, each sent when the answer before it is there. `events` says
/// whether the bodies are streams to be read.
pub(crate) async fn closed(
    address: SocketAddr,
    request: &[u8],
    (concurrency, calls): (usize, usize),
    events: bool,
) -> Outcome {
    let left = Cell::new(calls);
    let all = RefCell::new(Outcome::default());
    let start = Instant::now();
    let workers = (0..concurrency).map(|_| async {
        let mut conn = Conn::new(address);
        while left.get() > 0 {
            left.set(left.get() - 1);
            let mut seen = Seen::default();
            let reply = conn
                .call(request, &mut |piece| {
                    if events {
                        seen.read(piece);
                    }
                })
                .await;
            all.borrow_mut().add(&reply, &seen);
        }
    });
    join_all(workers).await;
    all.into_inner().sorted(start.elapsed())
}

/// `calls` requests, `rate` a second, whether or not the ones before have been answered. Idle connections are used
/// again; where there is none, a new one is opened.
pub(crate) async fn open(address: SocketAddr, request: &[u8], (rate, calls): (u32, usize)) -> Outcome {
    let (sender, mut ticks) = mpsc::unbounded_channel();
    // The runtime's own timers are exact to a millisecond only.
    let clock = std::thread::spawn(move || {
        let start = Instant::now();
        for i in 0..calls {
            let due = start + Duration::from_secs(1) * u32::try_from(i).unwrap_or(u32::MAX) / rate;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if sender.send(due).is_err() {
                return;
            }
        }
    });
    let all = Rc::new(RefCell::new(Outcome::default()));
    let idle: Rc<RefCell<Vec<Conn>>> = Rc::default();
    let request: Rc<[u8]> = request.into();
    let start = Instant::now();
    let mut late = Vec::with_capacity(calls);
    let tasks = LocalSet::new();
    let send_all = async {
        while let Some(due) = ticks.recv().await {
            late.push(due.elapsed());
            let (all, idle, request) = (Rc::clone(&all), Rc::clone(&idle), Rc::clone(&request));
            tokio::task::spawn_local(async move {
                let pooled = idle.borrow_mut().pop();
                let mut conn = pooled.unwrap_or_else(|| Conn::new(address));
                let reply = conn.call(&request, &mut |_| {}).await;
                all.borrow_mut().add(&reply, &Seen::default());
                idle.borrow_mut().push(conn);
            });
        }
    };
    tasks.run_until(send_all).await;
    tasks.await;
    let took = start.elapsed();
    // The clock ended when its channel did.
    clock.join().ok();
    late.sort_unstable();
    let mut outcome = all.take().sorted(took);
    outcome.clock_late = percentile(&late, 0.99);
    outcome
}
