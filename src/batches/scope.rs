//! Which files and batches a request means, and which part of their list.

/// Which files and batches a request may reach.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// Those of one project.
    Project(&'a str),
    /// All: an admin looks.
    All,
}

/// Which part of a list is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The id before the first of the part.
    pub after: Option<&'a str>,
    /// How many at most.
    pub limit: u32,
    /// Whether the oldest come first.
    pub ascending: bool,
}

impl Scope<'_> {
    pub(super) fn holds(self, project: &str) -> bool {
        match self {
            Self::Project(own) => own == project,
            Self::All => true,
        }
    }

    /// The project, where there is one.
    pub(super) fn project(&self) -> Option<&str> {
        match self {
            Self::Project(own) => Some(own),
            Self::All => None,
        }
    }
}
