//! The audit log: one line per call, denied ones too, under the log target `audit`. Every value that a caller chose is
//! bounded and without control characters, whatever the log format.

use crate::{
    endpoint::{Grant, Tool},
    reply::sanitize::line,
    tools::{Outcome, given},
};
use serde_json::{Map, Value};
use std::time::Duration;

/// Longest value of a caller.
const MAX: usize = 512;

/// A tool was called.
pub(super) fn called(grant: &Grant, tool: &str, arguments: &Map<String, Value>, outcome: Outcome, took: Duration) {
    let caller = grant.caller();
    let argument = |name: &str| given(arguments, name).map(bounded).unwrap_or_default();
    tracing::info!(
        target: "audit",
        endpoint = grant.endpoint().name,
        issuer = caller.issuer,
        user = bounded(&caller.username),
        subject = bounded(&caller.subject),
        tool = bounded(tool),
        cluster = cluster(grant, tool, &argument("cluster")),
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

/// The cluster that was asked, where the caller left it out because there is one.
fn cluster(grant: &Grant, tool: &str, named: &str) -> String {
    let mut granted = tool.parse::<Tool>().ok().into_iter().flat_map(|tool| grant.clusters(tool));
    match (named, granted.next(), granted.next()) {
        ("", Some(only), None) => only.name.clone(),
        _ => named.to_owned(),
    }
}

fn bounded(text: &str) -> String {
    let cut: String = text.chars().take(MAX).collect();
    let rest = text.len() - cut.len();
    if rest == 0 { line(&cut) } else { format!("{} and {rest} bytes more", line(&cut)) }
}
