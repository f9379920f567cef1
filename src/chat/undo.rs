//! What a translation did to a request that its answer has to take back.

use super::{AnswerTool, ToolNames};

/// What a translation did to a request that its answer has to take back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undo {
    /// The tool by which the model answers, where it is not asked for the wanted form itself.
    pub answer_tool: Option<AnswerTool>,
    /// The names of tools that were changed.
    pub names: ToolNames,
    /// Whether the gateway itself asked for log-probabilities, which its caller does not get. They stand in whole answers only.
    pub logprobs: bool,
}

impl Undo {
    /// Whether nothing is to be taken back for which an answer must be translated.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.answer_tool.is_none() && self.names.is_empty()
    }
}
