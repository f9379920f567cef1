//! How hard a request looks, for the rules that read it and for explanations.

use super::rendering::Rendering;
use crate::routing::Complexity;

impl Rendering {
    /// The score of the whole conversation, and of the user's last words alone where the internal form cannot hold it.
    pub fn complexity(&self) -> Complexity {
        let internal = self.endpoint.is_answer().then(|| self.internal().as_ref().ok()).flatten();
        internal.map_or_else(|| Complexity::of_text(&self.text()), |(request, _)| Complexity::of(request))
    }
}
