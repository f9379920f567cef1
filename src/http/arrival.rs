//! How a body comes: not too slowly, and while it is waited for it counts for its project.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::app::App;
use crate::chat::{Code, Error};
use crate::gateway::Waiting;

/// In each such time a body brings [`LEAST`], but for the first.
const WINDOW: Duration = Duration::from_secs(10);

/// The fewest bytes of a window.
const LEAST: usize = 1 << 10;

/// A body that arrives.
pub struct Arrival<'a> {
    /// Whose it is; `None` where that has no share.
    owner: Option<(&'a App, &'a Arc<str>)>,
    limit: Duration,
    /// Once it is waited for.
    waited: Option<(Pace, Option<Waiting>)>,
}

impl<'a> Arrival<'a> {
    /// A body of a project's, all of which must come within `limit`.
    pub fn of(app: &'a App, project: &'a Arc<str>, limit: Duration) -> Self {
        Self { owner: Some((app, project)), limit, waited: None }
    }

    /// A body of whom it counts for nobody.
    pub fn of_nobody(limit: Duration) -> Self {
        Self { owner: None, limit, waited: None }
    }

    /// Notes that bytes came.
    pub fn note(&mut self, bytes: usize) {
        if let Some((pace, _)) = &mut self.waited {
            pace.came += bytes;
        }
    }

    /// What comes next.
    ///
    /// # Errors
    /// `overloaded` where it must be waited for and its project has its share, `request_timeout` where it is too slow.
    pub async fn next<T>(&mut self, coming: impl Future<Output = T>) -> Result<T, Error> {
        let mut coming = pin!(coming);
        if self.waited.is_none()
            && let Poll::Ready(came) = poll_fn(|context| Poll::Ready(coming.as_mut().poll(context))).await
        {
            return Ok(came);
        }
        let (pace, _) = match &mut self.waited {
            Some(waited) => waited,
            none => {
                let place = self.owner.map(|(app, project)| app.wait_for_body(project)).transpose()?;
                none.insert((Pace::new(Instant::now(), self.limit), place))
            }
        };
        pace.next(coming).await
    }
}

/// How fast a body comes.
struct Pace {
    /// When all of it must be there.
    limit: Instant,
    /// When the window ends, and what came in it.
    ends: Instant,
    came: usize,
    is_first: bool,
}

impl Pace {
    fn new(now: Instant, limit: Duration) -> Self {
        Self { limit: now + limit, ends: now + WINDOW, came: 0, is_first: true }
    }

    async fn next<T>(&mut self, coming: impl Future<Output = T>) -> Result<T, Error> {
        let mut coming = pin!(coming);
        loop {
            if let Ok(came) = timeout_at(self.due(), coming.as_mut()).await {
                return Ok(came);
            }
            self.look(Instant::now())?;
        }
    }

    /// When to look at it.
    fn due(&self) -> Instant {
        self.ends.min(self.limit)
    }

    /// Looks whether the body came fast enough up to `now`, and begins the next window.
    fn look(&mut self, now: Instant) -> Result<(), Error> {
        let late = |message: &str| Err(Error::new(Code::RequestTimeout, message));
        if now >= self.limit {
            return late("the body did not arrive in time");
        }
        if !self.is_first && self.came < LEAST {
            return late("the body comes too slowly: less than 1 KiB came in 10 seconds");
        }
        (self.ends, self.came, self.is_first) = (now + WINDOW, 0, false);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_body_that_stalls_or_trickles_ends_and_a_slow_one_has_its_whole_time() {
        for (bytes_a_second, lasts) in [(0, 20), (1, 20), (102, 20), (103, 60), (1 << 20, 60)] {
            let begun = Instant::now();
            let mut pace = Pace::new(begun, MINUTE);
            let mut now = begun;
            let error = loop {
                let due = pace.due();
                pace.came += bytes_a_second * usize::try_from((due - now).as_secs()).unwrap();
                now = due;
                if let Err(error) = pace.look(now) {
                    break error;
                }
            };
            assert_eq!((error.status(), (now - begun).as_secs()), (408, lasts), "{bytes_a_second} bytes a second");
        }
    }

    #[tokio::test]
    async fn what_is_there_is_not_waited_for() {
        let mut arrival = Arrival::of_nobody(MINUTE);
        assert_eq!(arrival.next(std::future::ready(7)).await, Ok(7));
        assert!(arrival.waited.is_none());
    }
}
