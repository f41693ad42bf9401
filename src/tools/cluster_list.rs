//! `cluster_list`: where this token reaches, and what it may do there.

use super::{Context, Definition, ToolError};
use crate::{
    cluster::{Failure, Handle, ListQuery, Resource},
    endpoint::{NamespaceScope, Scope, Tool},
    reply::sanitize::{cell, line},
};
use futures::future::join_all;
use http::StatusCode;
use serde_json::Value;
use std::{fmt::Write as _, time::Duration};
use tokio::time::{Instant, timeout_at};

/// How long one cluster may take before it counts as not answering.
const PATIENCE: Duration = Duration::from_secs(5);
/// Namespaces that a row names.
const NAMED: usize = 12;
const TOOL: Tool = Tool::ClusterList;

pub(super) const DEFINITION: Definition = Definition {
    tool: TOOL,
    title: "List clusters",
    description: "Start here when you do not know which clusters, namespaces or tools this token reaches. One row per \
        cluster: health, version, node and pod counts, and what you may do there.",
    arguments: &[],
};

pub(super) async fn run(context: &Context) -> Result<String, ToolError> {
    let names: Vec<String> = context.grant.clusters(TOOL).map(|c| c.name.clone()).collect();
    let rows = join_all(names.iter().filter_map(|name| context.handle(TOOL, name)).map(|h| row(context, h))).await;
    let reachable = rows.iter().filter(|row| row.reachable).count();
    let mut out = format!("clusters: {reachable} of {} reachable\n", rows.len());
    out.push_str("CLUSTER\tSTATE\tVERSION\tNODES\tPODS\tYOU MAY USE\n");
    for row in &rows {
        let _ = writeln!(out, "{}", row.cells.join("\t"));
    }
    for (name, why) in context.grant.refused_clusters() {
        let _ = writeln!(out, "not reachable with this token: {}: {}", line(name), line(why));
    }
    Ok(out)
}

struct Row {
    reachable: bool,
    cells: Vec<String>,
}

async fn row(context: &Context, handle: Handle) -> Row {
    let patience = (Instant::now() + PATIENCE).min(context.deadline);
    let facts = async { tokio::join!(handle.version(), count(&handle, "nodes", false), count(&handle, "pods", true)) };
    let (version, nodes, pods) =
        timeout_at(patience, facts).await.unwrap_or((Err(Failure::TimedOut(PATIENCE)), None, None));
    let (state, version, reachable) = match version {
        Ok(version) => ("reachable".to_owned(), cell(&version), true),
        Err(Failure::Api { status, .. }) if status == StatusCode::UNAUTHORIZED => {
            ("does not accept this token (401)".to_owned(), String::new(), false)
        }
        Err(Failure::Api { status, .. }) => {
            (format!("no Kubernetes API at its server URL (answers {})", status.as_u16()), String::new(), false)
        }
        Err(failure) => (cell(&failure.to_string()), String::new(), false),
    };
    let shown = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let name = handle.cluster().to_owned();
    let access = access(context, &name);
    Row { reachable, cells: vec![name, state, version, shown(nodes), shown(pods), access] }
}

/// How many objects there are of a core kind, by a list of one: what is not granted or not answered is not counted.
async fn count(handle: &Handle, plural: &str, namespaced: bool) -> Option<u64> {
    let resource = Resource { version: "v1".to_owned(), plural: plural.to_owned(), namespaced, ..Resource::default() };
    let places: Vec<Option<&str>> = match (namespaced, handle.namespaces()) {
        (false, _) if !handle.reaches_cluster_scoped() => return None,
        (false, _) | (true, NamespaceScope::All) => vec![None],
        (true, NamespaceScope::Listed(names)) => names.iter().map(|n| Some(n.as_str())).collect(),
    };
    let counts = join_all(places.into_iter().map(async |place| {
        let query = ListQuery { limit: Some(1), ..ListQuery::default() };
        let table = handle.table(&resource, place, query).await.ok()?;
        let first = table.get("rows").and_then(Value::as_array).map_or(0, Vec::len);
        let rest = table.pointer("/metadata/remainingItemCount").and_then(Value::as_u64).unwrap_or(0);
        Some(rest.saturating_add(first as u64))
    }));
    counts.await.into_iter().try_fold(0, |sum: u64, count| Some(sum.saturating_add(count?)))
}

/// What the caller may do in a cluster: tools that share a scope stand together.
fn access(context: &Context, cluster: &str) -> String {
    let mut groups: Vec<(&Scope, Vec<&str>)> = Vec::new();
    for tool in context.grant.tools() {
        let Some(scope) = context.grant.scope(tool, cluster) else { continue };
        match groups.iter_mut().find(|(known, _)| *known == scope) {
            Some((_, tools)) => tools.push(tool.name()),
            None => groups.push((scope, vec![tool.name()])),
        }
    }
    let texts: Vec<String> = groups
        .into_iter()
        .map(|(Scope { namespaces, cluster_scoped }, tools)| {
            let mut place = match namespaces {
                NamespaceScope::All => "all namespaces".to_owned(),
                NamespaceScope::Listed(names) if names.len() <= NAMED => {
                    format!("namespaces {}", names.iter().map(String::as_str).collect::<Vec<_>>().join(","))
                }
                NamespaceScope::Listed(names) => {
                    let some: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
                    format!("namespaces {} and {} more", some.join(","), names.len() - NAMED)
                }
            };
            if *cluster_scoped {
                place.push_str(" and kinds without one");
            }
            format!("{} in {place}", tools.join(","))
        })
        .collect();
    texts.join("; ")
}
