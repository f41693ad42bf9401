//! The audit log: one line per call, denied ones too, under the log target `audit`. Every value that a caller chose is
//! bounded and without control characters, whatever the log format.

use crate::{endpoint::Grant, reply::sanitize::line, tools::Outcome};
use serde_json::{Map, Value};
use std::time::Duration;

/// Longest value of a caller.
const MAX: usize = 128;

/// A tool was called.
pub(super) fn called(grant: &Grant, tool: &str, arguments: &Map<String, Value>, outcome: Outcome, took: Duration) {
    let caller = grant.caller();
    let argument = |name: &str| arguments.get(name).and_then(Value::as_str).map(bounded).unwrap_or_default();
    tracing::info!(
        target: "audit",
        endpoint = grant.endpoint().name,
        issuer = caller.issuer,
        user = bounded(&caller.username),
        subject = bounded(&caller.subject),
        tool = bounded(tool),
        cluster = argument("cluster"),
        namespace = argument("namespace"),
        resource = argument("resource"),
        name = argument("name"),
        outcome = outcome.as_str(),
        milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "call"
    );
}

/// A request was refused before anybody was known.
pub(super) fn refused(endpoint: &str, reason: &'static str) {
    tracing::info!(target: "audit", endpoint = bounded(endpoint), outcome = "refused", reason, "request");
}

fn bounded(text: &str) -> String {
    line(&text.chars().take(MAX).collect::<String>())
}
