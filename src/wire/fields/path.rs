//! Where a field stands within a request: a chain of names on the stack, written out only for a mistake.

use std::fmt;

/// The path of a field, such as `messages[3].content[0].text`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Path<'a> {
    outer: Option<&'a Path<'a>>,
    name: &'a str,
    index: Option<usize>,
}

impl<'a> Path<'a> {
    /// The path of the request itself.
    pub const ROOT: Self = Self { outer: None, name: "", index: None };

    /// The path of a top-level field.
    pub const fn of(name: &'a str) -> Self {
        Self { outer: None, name, index: None }
    }

    /// The path of the `n`th item of a top-level list.
    pub const fn of_item(name: &'a str, n: usize) -> Self {
        Self { outer: None, name, index: Some(n) }
    }

    /// The path of a field of what stands here.
    pub const fn field(&'a self, name: &'a str) -> Self {
        Self { outer: Some(self), name, index: None }
    }

    /// The path of the `n`th item of a list that is a field of what stands here.
    pub const fn item(&'a self, name: &'a str, n: usize) -> Self {
        Self { outer: Some(self), name, index: Some(n) }
    }

    /// The path of the `n`th item of the list that stands here.
    pub const fn nth(&'a self, n: usize) -> Self {
        Self { outer: Some(self), name: "", index: Some(n) }
    }

    fn is_root(&self) -> bool {
        self.name.is_empty() && self.index.is_none() && self.outer.is_none_or(Self::is_root)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(outer) = self.outer.filter(|outer| !outer.is_root()) {
            write!(f, "{outer}")?;
            if !self.name.is_empty() {
                f.write_str(".")?;
            }
        }
        f.write_str(self.name)?;
        self.index.map_or(Ok(()), |n| write!(f, "[{n}]"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_as_javascript_would() {
        let message = Path::of_item("messages", 3);
        let content = message.field("content");
        assert_eq!(content.nth(0).to_string(), "messages[3].content[0]");
        assert_eq!(message.item("content", 1).field("text").to_string(), "messages[3].content[1].text");
        assert_eq!(Path::ROOT.field("model").to_string(), "model");
        assert_eq!(Path::ROOT.item("tools", 0).to_string(), "tools[0]");
        assert_eq!(Path::of("").to_string(), "");
    }
}
