//! What a request asks of the cache: `cache-control` (RFC 9111 §5.2.1) and `x-fulcrum-cache`.

use std::time::Duration;

/// How far one request uses the cache. The default reads and stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Directive {
    /// A stored answer may serve, and a running call be joined.
    pub read: bool,
    /// The answer may be stored, and others may join it.
    pub store: bool,
    /// A stored answer must not be older.
    pub max_age: Option<Duration>,
    /// Only a stored answer; no provider is called.
    pub only: bool,
}

impl Default for Directive {
    fn default() -> Self {
        Self { read: true, store: true, max_age: None, only: false }
    }
}

/// A value of `x-fulcrum-cache` that means nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`x-fulcrum-cache` must be bypass, refresh or only.")]
pub struct BadDirective;

impl Directive {
    /// Reads both headers. What `cache-control` says beyond `no-cache`, `no-store`, `max-age` and `only-if-cached`
    /// is ignored, as the RFC has it; an unreadable `max-age` is 0. Of two that disagree the stricter holds, but
    /// `x-fulcrum-cache: only` reads in spite of `no-cache`, since neither an answer nor a call would be left.
    ///
    /// # Errors
    /// [`BadDirective`] where `x-fulcrum-cache` is none of its three values.
    pub fn parse(cache_control: Option<&str>, fulcrum: Option<&str>) -> Result<Self, BadDirective> {
        let mut directive = Self::default();
        for part in cache_control.unwrap_or_default().split(',') {
            directive.control(part.trim());
        }
        let Some(asked) = fulcrum else {
            return Ok(directive);
        };
        match asked.trim().to_ascii_lowercase().as_str() {
            "bypass" => Ok(Self { read: false, store: false, ..directive }),
            "refresh" => Ok(Self { read: false, ..directive }),
            "only" => Ok(Self { read: true, only: true, ..directive }),
            _ => Err(BadDirective),
        }
    }

    /// Whether the request neither reads nor stores.
    #[must_use]
    pub fn is_bypass(&self) -> bool {
        !self.read && !self.store
    }

    fn control(&mut self, part: &str) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-cache" => self.read = false,
            "no-store" => self.store = false,
            "only-if-cached" => self.only = true,
            "max-age" => {
                let age = seconds(value.trim().trim_matches('"'));
                self.max_age = Some(self.max_age.map_or(age, |other| other.min(age)));
            }
            _ => {}
        }
    }
}

/// Delta-seconds; more than fit are as many as the RFC's own bound, what is none is 0.
fn seconds(text: &str) -> Duration {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Duration::ZERO;
    }
    Duration::from_secs(text.parse::<u64>().unwrap_or(u64::MAX).min(1 << 31))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(control: &str, fulcrum: &str) -> String {
        let fulcrum = (!fulcrum.is_empty()).then_some(fulcrum);
        let Ok(directive) = Directive::parse(Some(control), fulcrum) else {
            return "bad".into();
        };
        let Directive { read, store, only, max_age } = directive;
        let flags = [(read, "read "), (store, "store "), (only, "only ")];
        let flags: String = flags.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        format!("{flags}{}", max_age.map_or(String::new(), |age| age.as_secs().to_string())).trim().to_owned()
    }

    #[test]
    fn headers_mean_what_they_say() {
        for (control, fulcrum, meaning) in [
            ("", "", "read store"),
            ("no-cache", "", "store"),
            ("No-Store", "", "read"),
            ("no-cache, no-store", "", ""),
            ("max-age=60", "", "read store 60"),
            (" Max-Age = \"60\" , private", "", "read store 60"),
            ("max-age=60, max-age=5", "", "read store 5"),
            ("max-age=soon", "", "read store 0"),
            ("max-age=-1", "", "read store 0"),
            ("max-age", "", "read store 0"),
            ("max-age=99999999999999999999999", "", "read store 2147483648"),
            ("only-if-cached", "", "read store only"),
            ("public, x=y, ,=", "", "read store"),
            ("", "bypass", ""),
            ("", " Refresh ", "store"),
            ("max-age=9", "only", "read store only 9"),
            ("no-cache", "only", "read store only"),
            ("no-store", "refresh", ""),
            ("", "off", "bad"),
        ] {
            assert_eq!(read(control, fulcrum), meaning, "{control} / {fulcrum}");
        }
        assert!(Directive::parse(None, Some("bypass")).unwrap().is_bypass());
        assert_eq!(Directive::parse(None, None), Ok(Directive::default()));
    }

    proptest! {
        #[test]
        fn no_header_is_too_odd(control in "\\PC{0,40}") {
            prop_assert!(Directive::parse(Some(&control), None).is_ok());
        }
    }
}
