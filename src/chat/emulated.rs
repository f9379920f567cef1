//! Fields of a request that a target has no exact form for.

/// Names of what was emulated or left out in one call, which the caller reads in `x-fulcrum-emulated`: request fields
/// (`response_format`), or what stands for one (`system_position`). Nothing else may be lost in translation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Emulated(Vec<&'static str>);

impl Emulated {
    /// Adds a name, unless it is there already.
    pub fn note(&mut self, name: &'static str) {
        if !self.0.contains(&name) {
            self.0.push(name);
        }
    }

    /// Whether nothing was emulated.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, in the order in which they were noted.
    #[must_use]
    pub fn names(&self) -> &[&'static str] {
        &self.0
    }
}
