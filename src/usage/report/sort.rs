//! The order of a report's rows.

use std::cmp::Ordering;

use super::dimension::Dimension;
use super::figures::{self, Figure};
use super::row::ReportRow;
use crate::types::did_you_mean;
use crate::usage::error::Error;

/// What rows are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Their groups, in the order of the report's dimensions.
    #[default]
    Groups,
    /// One group, by its place among the dimensions.
    Group(usize),
    /// A figure, by its name, the highest first. What is unknown stands last.
    Figure(&'static str),
}

impl Sort {
    /// Reads `group`, the name of one of `by`, or of a figure.
    ///
    /// # Errors
    /// [`Error::Parameter`] where it is none of these.
    pub(super) fn parse(name: &str, by: &[Dimension]) -> Result<Self, Error> {
        if name == "group" {
            return Ok(Self::Groups);
        }
        if let Some(place) = by.iter().position(|dimension| dimension.to_string() == name) {
            return Ok(Self::Group(place));
        }
        if let Some(Figure { name, .. }) = figures::named(name) {
            return Ok(Self::Figure(name));
        }
        let known: Vec<&str> = figures::names().collect();
        let shown: String = name.chars().take(80).collect();
        let near = did_you_mean(name, known.iter().copied());
        Err(Error::parameter(
            "sort",
            format!("`{shown}` is not group, a group of `by`, or one of {}{near}", known.join(", ")),
        ))
    }

    /// Sorts rows that stand in the order of their groups.
    pub(super) fn sort(self, rows: &mut [ReportRow]) {
        match self {
            Self::Groups => {}
            Self::Group(place) => rows.sort_by(|a, b| a.groups.get(place).cmp(&b.groups.get(place))),
            Self::Figure(name) => {
                let Some(figure) = figures::named(name) else { return };
                rows.sort_by(|a, b| highest_first((figure.of)(&a.totals).number(), (figure.of)(&b.totals).number()));
            }
        }
    }
}

fn highest_first(a: Option<f64>, b: Option<f64>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => b.total_cmp(&a),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NanoSum;
    use crate::usage::report::{Totals, Value};

    #[test]
    fn the_highest_comes_first_and_the_unknown_last() {
        let row = |name: &str, cost: Option<i128>| ReportRow {
            groups: vec![Value::Text(name.into())],
            totals: Totals { cost_usd: cost.map(NanoSum), ..Totals::default() },
        };
        let by = ["model".parse().unwrap()];
        let rows = [row("a", None), row("b", Some(5)), row("c", Some(0)), row("d", Some(7)), row("e", Some(5))];
        for (name, order) in
            [("cost", "dbeca"), ("cost_usd", "dbeca"), ("group", "abcde"), ("model", "abcde"), ("requests", "abcde")]
        {
            let mut sorted = rows.to_vec();
            Sort::parse(name, &by).unwrap().sort(&mut sorted);
            let found: String = sorted.iter().map(|row| row.groups[0].to_string()).collect();
            assert_eq!(found, order, "{name}");
        }
        for name in ["", "colour", "day", "Cost"] {
            assert!(Sort::parse(name, &by).is_err(), "{name}");
        }
    }
}
