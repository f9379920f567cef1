//! Bodies of requests that are waited for: those of one project hold a share of the connections, and no more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::chat::{Code, Error};
use crate::types::QuickMap;

/// When to ask again where a project has its share.
const AGAIN: Duration = Duration::from_secs(1);

/// The bodies that are waited for, by project.
#[derive(Debug, Default)]
pub struct SlowBodies {
    projects: Mutex<QuickMap<Arc<str>, usize>>,
}

impl SlowBodies {
    /// Waits for a body of `project`'s, which may have half as many at once as there are `connections`.
    ///
    /// # Errors
    /// Where it has that many.
    pub fn wait(self: &Arc<Self>, project: &Arc<str>, connections: usize) -> Result<Waiting, Error> {
        let mut projects = self.lock();
        let count = projects.entry(project.clone()).or_default();
        if *count >= (connections / 2).max(1) {
            let message = "as many requests of this project wait for their bodies as one project may have";
            return Err(Error { retry_after: Some(AGAIN), ..Error::new(Code::Overloaded, message) });
        }
        *count += 1;
        Ok(Waiting { bodies: self.clone(), project: project.clone() })
    }

    /// A panic that held the lock leaves at worst a place that is taken.
    fn lock(&self) -> MutexGuard<'_, QuickMap<Arc<str>, usize>> {
        self.projects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body that is waited for, until this is dropped.
pub struct Waiting {
    bodies: Arc<SlowBodies>,
    project: Arc<str>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut projects = self.bodies.lock();
        if let Some(count) = projects.get_mut(&self.project) {
            *count -= 1;
            if *count == 0 {
                projects.remove(&self.project);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_has_its_share_of_waiting_bodies_and_leaves_the_rest_to_others() {
        let bodies = Arc::new(SlowBodies::default());
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let mut waiting: Vec<Waiting> = (0..2).map(|_| bodies.wait(&a, 4).ok().unwrap()).collect();
        let refused = bodies.wait(&a, 4).err().unwrap();
        assert_eq!((refused.status(), refused.retry_after), (503, Some(AGAIN)));
        assert!(bodies.wait(&b, 4).is_ok());
        waiting.pop();
        assert!(bodies.wait(&a, 4).is_ok());
        drop(waiting);
        assert!(bodies.lock().is_empty());
        assert!(bodies.wait(&a, 1).is_ok(), "one always may");
    }
}
