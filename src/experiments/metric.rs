//! What an experiment compares its arms by.

use std::fmt;
use std::sync::Arc;

/// What is measured of an arm.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// The share of requests that ended with an error.
    ErrorRate,
    /// What a request costs, in dollars.
    CostUsd,
    /// The latency that 95 % of the requests stay below, in milliseconds.
    LatencyP95Ms,
    /// What callers report under this name.
    Feedback(Arc<str>),
}

/// Which way a metric is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

/// Metrics that the ledger itself has.
const MEASURED: [(&str, Metric); 3] =
    [("error_rate", Metric::ErrorRate), ("cost_usd", Metric::CostUsd), ("latency_p95_ms", Metric::LatencyP95Ms)];

/// Names that are reserved for what no part of this version measures.
const UNMEASURED: [&str; 2] = ["shadow_preference", "valid_json_rate"];

/// The share of the requests above the latency that is compared.
pub const SLOWEST: f64 = 0.05;

impl Metric {
    /// The metric of a name: one of the ledger's, or else one that callers report.
    ///
    /// # Errors
    /// What is wrong with the name.
    pub fn read(name: &str) -> Result<Self, String> {
        if let Some((_, metric)) = MEASURED.iter().find(|(known, _)| *known == name) {
            return Ok(metric.clone());
        }
        if UNMEASURED.contains(&name) {
            let known: Vec<&str> = MEASURED.iter().map(|(known, _)| *known).collect();
            return Err(format!(
                "`{name}` is not measured yet; use {}, or a metric that callers report",
                known.join(", ")
            ));
        }
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
            let shown: String = name.chars().take(80).collect();
            return Err(format!("`{shown}` is not a metric's name: use 1 to 64 of a-z, 0-9, _, . and -"));
        }
        Ok(Self::Feedback(name.into()))
    }

    /// The name by which requests and reports know it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Feedback(name) => name,
            other => MEASURED.iter().find(|(_, metric)| metric == other).map_or("", |(name, _)| name),
        }
    }

    /// Which way is good, unless the experiment says so itself; of what the ledger has, less always is.
    #[must_use]
    pub fn better(&self) -> Better {
        match self {
            Self::Feedback(_) => Better::Higher,
            Self::ErrorRate | Self::CostUsd | Self::LatencyP95Ms => Better::Lower,
        }
    }

    /// Whether callers report it.
    #[must_use]
    pub fn is_reported(&self) -> bool {
        matches!(self, Self::Feedback(_))
    }
}

impl Better {
    /// The word for it in requests.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Higher => "higher",
            Self::Lower => "lower",
        }
    }

    /// 1 where more is better, -1 where less is.
    #[must_use]
    pub fn sign(self) -> f64 {
        match self {
            Self::Higher => 1.0,
            Self::Lower => -1.0,
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_one_of_the_ledgers_or_one_that_callers_report() {
        for name in ["error_rate", "cost_usd", "latency_p95_ms", "resolved", "csat.v2-b"] {
            assert_eq!(Metric::read(name).unwrap().name(), name);
        }
        assert!(Metric::read("resolved").unwrap().is_reported() && !Metric::read("error_rate").unwrap().is_reported());
        for name in ["", "Resolved", "a b", &"a".repeat(65)] {
            assert!(Metric::read(name).unwrap_err().contains("not a metric's name"), "{name}");
        }
        assert!(Metric::read("shadow_preference").unwrap_err().contains("not measured yet"));
    }
}
