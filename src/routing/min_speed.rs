//! How fast a stream must come before anything of it goes down.

use std::time::Duration;

use serde::Serialize;

/// A stream that wrote less than this in the window since its content began is given up for the next target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MinSpeed {
    /// Characters a second.
    pub chars_per_second: u32,
    /// How long a stream is looked at.
    #[serde(rename = "window_seconds", serialize_with = "seconds")]
    pub window: Duration,
}

impl MinSpeed {
    /// The characters of the whole window.
    #[must_use]
    pub fn chars(&self) -> usize {
        let chars = u128::from(self.chars_per_second) * self.window.as_millis();
        usize::try_from(chars.div_ceil(1_000)).unwrap_or(usize::MAX)
    }
}

fn seconds<S: serde::Serializer>(window: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(window.as_secs_f64())
}
