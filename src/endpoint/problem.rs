//! What a person can fix in an `McpEndpoint`.

use std::fmt;

/// Something in an `McpEndpoint` that is not in effect, and what would put it right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path of the field, such as `spec.rules[1].subjects`.
    pub field: String,
    /// Which kind of problem.
    pub reason: Reason,
    /// What is wrong and what would be right, for the author of the object.
    pub message: String,
    /// Whether the whole endpoint is out because of it. Otherwise only the named part is.
    pub fatal: bool,
}

/// Which kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The value cannot be used.
    Invalid,
    /// It names something that does not exist.
    NotFound,
    /// This version of k-mcp does not do it yet.
    NotYetSupported,
}

impl Reason {
    /// As in a condition.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "Invalid",
            Self::NotFound => "NotFound",
            Self::NotYetSupported => "NotYetSupported",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}
