//! What a target cannot do as it was asked, and what was done instead.

/// Names of what was emulated or left to chance in one call, told to the caller in `x-fulcrum-emulated`: request fields
/// (`response_format`), or what stands for one (`system_position`). Nothing else may be lost in translation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Emulated(Vec<&'static str>);

impl Emulated {
    /// Notes one, once.
    pub fn note(&mut self, name: &'static str) {
        if !self.0.contains(&name) {
            self.0.push(name);
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in the order in which they were noted.
    #[must_use]
    pub fn names(&self) -> &[&'static str] {
        &self.0
    }
}
