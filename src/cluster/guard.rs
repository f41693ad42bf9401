//! What may leave. Every request made for a caller passes here after it was built, so what is read is the final
//! method, path, query and headers, not what someone meant to send.
//!
//! It is an allow-list. This version of k-mcp reads: GET of the API's root documents, of a resource's list and of one
//! object; and the POST of a `SelfSubjectReview`, which is made before there is a Grant.

use super::{Failure, Resource};
use crate::endpoint::{Denied, Grant, Tool};
use http::{Method, header, request::Parts};
use percent_encoding::percent_decode_str;

/// What a request is for: the guard lets through what fits it, and nothing else.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose<'a> {
    /// `/version` and the discovery documents.
    Root,
    /// One resource, as a list or an object.
    Read(&'a Resource),
}

const LIST_QUERY: [&str; 5] = ["limit", "continue", "labelSelector", "fieldSelector", "includeObject"];
const OBJECT_QUERY: [&str; 0] = [];
const REVIEW_PATH: [&str; 4] = ["apis", "authentication.k8s.io", "v1", "selfsubjectreviews"];

/// Checks a request that is made for a caller with a tool.
///
/// # Errors
/// [`Failure::Denied`] where the Grant does not allow it, [`Failure::Guard`] where no tool should have built it.
pub(super) fn check(
    grant: &Grant,
    tool: Tool,
    cluster: &str,
    prefix: &str,
    purpose: Purpose<'_>,
    parts: &Parts,
) -> Result<(), Failure> {
    if parts.method != Method::GET {
        return Err(Failure::Guard("method"));
    }
    check_headers(parts)?;
    let path = segments(parts, prefix)?;
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match purpose {
        Purpose::Root => {
            grant.scope(tool, cluster).ok_or(Failure::Denied(Denied::Tool))?;
            check_query(parts, &[])?;
            match path.as_slice() {
                ["version" | "api" | "apis"] => Ok(()),
                _ => Err(Failure::Guard("path")),
            }
        }
        Purpose::Read(resource) => {
            let target = Target::parse(&path).ok_or(Failure::Guard("path"))?;
            if target.group != resource.group
                || target.version != resource.version
                || target.resource != resource.plural
            {
                return Err(Failure::Guard("resource"));
            }
            check_query(parts, if target.name.is_some() { &OBJECT_QUERY } else { &LIST_QUERY })?;
            // A path without a namespace means every namespace at once, or a kind without one: one object of a
            // namespaced kind is never asked for like that.
            if resource.namespaced && target.namespace.is_none() && target.name.is_some() {
                return Err(Failure::Guard("namespace"));
            }
            grant
                .check(tool, cluster, target.group, target.resource, resource.namespaced, target.namespace)
                .map_err(Failure::Denied)
        }
    }
}

/// Checks the request that asks a cluster whose a token is.
///
/// # Errors
/// [`Failure::Guard`] where it is any other request.
pub(super) fn check_review(prefix: &str, parts: &Parts) -> Result<(), Failure> {
    let path = segments(parts, prefix)?;
    if parts.method != Method::POST || path != REVIEW_PATH || parts.uri.query().is_some() {
        return Err(Failure::Guard("review"));
    }
    check_headers(parts)
}

/// Nobody but the credential may say who calls, and nothing may ask for another protocol.
fn check_headers(parts: &Parts) -> Result<(), Failure> {
    let allowed = [header::ACCEPT, header::USER_AGENT, header::CONTENT_TYPE];
    if parts.headers.keys().all(|name| allowed.contains(name)) { Ok(()) } else { Err(Failure::Guard("header")) }
}

fn check_query(parts: &Parts, allowed: &[&str]) -> Result<(), Failure> {
    let Some(query) = parts.uri.query() else { return Ok(()) };
    let mut seen: Vec<&str> = Vec::new();
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').ok_or(Failure::Guard("query"))?;
        let fits = match key {
            "limit" => value.parse::<u32>().is_ok_and(|n| (1..=1000).contains(&n)),
            "includeObject" => matches!(value, "None" | "Metadata"),
            _ => !value.is_empty(),
        };
        if !allowed.contains(&key) || seen.contains(&key) || !fits {
            return Err(Failure::Guard("query"));
        }
        seen.push(key);
    }
    Ok(())
}

/// The decoded segments of the path below the server's prefix. A segment that would be another path to anyone who
/// decodes it once more is refused.
fn segments(parts: &Parts, prefix: &str) -> Result<Vec<String>, Failure> {
    let path = parts.uri.path().strip_prefix(prefix).ok_or(Failure::Guard("prefix"))?;
    let path = path.strip_prefix('/').ok_or(Failure::Guard("path"))?;
    path.split('/')
        .map(|raw| {
            let segment = percent_decode_str(raw).decode_utf8().map_err(|_| Failure::Guard("path"))?;
            let bad = segment.is_empty()
                || segment == "."
                || segment == ".."
                || segment.len() > 253
                || segment.chars().any(|c| matches!(c, '/' | '\\' | '%' | '?' | '#') || c.is_control());
            if bad { Err(Failure::Guard("path")) } else { Ok(segment.into_owned()) }
        })
        .collect()
}

/// What a path of the Kubernetes API means.
struct Target<'a> {
    group: &'a str,
    version: &'a str,
    namespace: Option<&'a str>,
    resource: &'a str,
    name: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Reads `/api/v1/…` and `/apis/<group>/<version>/…`: lists and objects, no subresource. `watch` and `proxy` as a
    /// first segment are old spellings of verbs.
    fn parse(path: &[&'a str]) -> Option<Self> {
        let (group, version, rest) = match path {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let (namespace, resource, name) = match rest {
            // The old spellings of verbs, and what hangs below one Namespace object and is no list in it.
            ["watch" | "proxy", ..] | ["namespaces", _, "status" | "finalize"] => return None,
            ["namespaces", namespace, resource] => (Some(*namespace), *resource, None),
            ["namespaces", namespace, resource, name] => (Some(*namespace), *resource, Some(*name)),
            [resource] => (None, *resource, None),
            [resource, name] => (None, *resource, Some(*name)),
            _ => return None,
        };
        Some(Self { group, version, namespace, resource, name })
    }
}

#[cfg(test)]
mod tests;
