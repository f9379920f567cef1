//! What a configuration takes of its environment.

/// Looks up a variable of the environment.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What is done with the secrets that a configuration refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// They are read, as `serve` and `check` need them.
    Read,
    /// They are not looked at: a command that calls no provider works where they are out of its reach.
    Leave,
}
