//! What leaves: redact, sanitize, budget, table, yaml.
//!
//! Pure functions over text and JSON, in the order in which a reply passes them: [`redact`] takes secrets out of what
//! the API server or a container wrote, [`table`] and [`yaml`] give it a short shape, [`sanitize`] makes text that a
//! workload wrote unable to speak in k-mcp's voice, [`budget`] bounds the result. This module sees nothing of ours.
//!
//! Redaction comes first, before any search, sort, comparison or cut, and on whole texts: a key cut in half, or split
//! into lines, is no longer recognisable. It is a safety net, not a promise.

pub mod budget;
pub mod redact;
pub mod sanitize;
pub mod shorten;
pub mod table;
pub mod yaml;

/// Compiles a pattern. The crate is built without Unicode tables: no `\w`, `\d`, `\s`, `\b`, and `(?i)` only as
/// `(?i-u:…)`.
#[expect(clippy::expect_used, reason = "the patterns are constants, and the tests compile every one")]
fn regex(pattern: &str) -> regex::Regex {
    regex::Regex::new(pattern).expect("a constant pattern")
}
