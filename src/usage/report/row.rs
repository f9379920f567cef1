//! One row of a report.

use super::fold::Totals;
use super::value::Value;

/// One row of a report.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportRow {
    /// The values of the groups, in the order of the report's dimensions.
    pub groups: Vec<Value>,
    /// What was added up.
    pub totals: Totals,
}
