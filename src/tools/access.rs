//! From what an agent wrote to what it may reach: the cluster, the kind, the namespaces. What is not granted and what
//! does not exist get the same answer, followed by what is granted.

use super::{
    Arguments, Context, ToolError,
    arguments::{CLUSTER, NAME, NAMESPACE, RESOURCE},
};
use crate::{
    cluster::{Failure, Handle, Resource, Unknown},
    endpoint::{NamespaceScope, Restriction, Tool, restriction, restriction_by_name},
    reply::sanitize::quoted,
};
use http::StatusCode;
use std::{collections::BTreeSet, time::Duration};
use tokio::time::Instant;

/// How long one of several clusters may take.
const PATIENCE: Duration = Duration::from_secs(8);
/// Namespaces that one call names.
const MAX_NAMESPACES: usize = 64;
/// Names that an error lists before it only counts the rest.
const LISTED: usize = 12;

/// Namespaces to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Namespaces {
    /// The kind has none, or every one is asked at once.
    Whole,
    /// These, one after the other.
    Each(Vec<String>),
}

/// The clusters of a call of a tool that fans out: a name, `a,b` or `*`, in the order of their names. Each has a deadline
/// of its own, so that one that does not answer leaves time to say so.
pub(super) fn clusters(context: &Context, tool: Tool, arguments: &Arguments) -> Result<Vec<Handle>, ToolError> {
    let granted: Vec<&str> = context.grant.clusters(tool).map(|c| c.name.as_str()).collect();
    let mut asked: Vec<&str> = match arguments.text(&CLUSTER) {
        Some("*") => granted,
        Some(several) if several.contains(',') => several.split(',').map(str::trim).collect(),
        None if granted.len() > 1 => {
            return Err(ToolError::invalid(CLUSTER.name, format!("say which: {}, or * for all", names(&granted))));
        }
        _ => return Ok(vec![cluster(context, tool, arguments)?]),
    };
    if asked.is_empty() {
        return Err(ToolError::denied("cluster: none is yours"));
    }
    asked.sort_unstable();
    asked.dedup();
    let context = Context { deadline: context.deadline.min(Instant::now() + PATIENCE), ..context.clone() };
    asked.into_iter().map(|name| handle(&context, tool, name)).collect()
}

/// The one cluster of a call.
pub(super) fn cluster(context: &Context, tool: Tool, arguments: &Arguments) -> Result<Handle, ToolError> {
    let granted: Vec<&str> = context.grant.clusters(tool).map(|c| c.name.as_str()).collect();
    let name = match (arguments.text(&CLUSTER), granted.as_slice()) {
        (None, [only]) => *only,
        (None, _) => return Err(ToolError::invalid(CLUSTER.name, format!("say which: {}", names(&granted)))),
        (Some(several), _) if several == "*" || several.contains(',') => {
            let text = format!("this tool asks one cluster in a call; yours: {}", names(&granted));
            return Err(ToolError::invalid(CLUSTER.name, text));
        }
        (Some(one), _) => one,
    };
    handle(context, tool, name)
}

/// A cluster that is hidden and one that does not exist get the same answer.
fn handle(context: &Context, tool: Tool, name: &str) -> Result<Handle, ToolError> {
    context.handle(tool, name).ok_or_else(|| {
        let granted: Vec<&str> = context.grant.clusters(tool).map(|c| c.name.as_str()).collect();
        let why = context.grant.refused_clusters().get(name).map_or_else(String::new, |why| format!(" ({why})"));
        ToolError::denied(format!(
            "cluster: {} is not one of yours{why}; yours: {}",
            quoted(&short(name)),
            names(&granted)
        ))
    })
}

/// The kind and the names that a call asks for. `deployment/checkout` in either argument says both.
pub(super) fn target(arguments: &Arguments) -> Result<(String, Vec<String>), ToolError> {
    let (resource, name) = (arguments.text(&RESOURCE), arguments.text(&NAME));
    let qualified;
    let (kind, named) = match (resource, name) {
        (Some(resource), name) => match (resource.split_once('/'), name) {
            // apps/v1/Deployment
            (Some((group, rest)), name) if rest.contains('/') => {
                let (version, kind) = rest.split_once('/').unwrap_or((rest, ""));
                qualified = format!("{kind}.{version}.{group}");
                (qualified.as_str(), name)
            }
            (None, name) => match name.and_then(|n| n.split_once('/')) {
                Some((kind, inner)) if alike(kind, resource) => (resource, Some(inner)),
                Some(_) => return Err(ToolError::invalid(NAME.name, "names another kind than resource; give it once")),
                None => (resource, name),
            },
            (Some((kind, inner)), None) => (kind, Some(inner)),
            (Some((kind, inner)), Some(name)) if inner == name => (kind, Some(inner)),
            (Some(_), Some(_)) => {
                return Err(ToolError::invalid(RESOURCE.name, "names another object than name; give it once"));
            }
        },
        (None, Some(name)) => match name.split_once('/') {
            Some((kind, inner)) => (kind, Some(inner)),
            None => return Err(ToolError::invalid(RESOURCE.name, "is needed")),
        },
        (None, None) => return Err(ToolError::invalid(RESOURCE.name, "is needed")),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let starts = kind.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    if !starts || kind.len() > 253 || kind.contains("..") || !kind.chars().all(plain) {
        let text = format!(
            "{} is not the name of a kind; write pods, deploy or certificates.cert-manager.io",
            quoted(&short(kind))
        );
        return Err(ToolError::invalid(RESOURCE.name, text));
    }
    let mut names: Vec<String> = named.map(|n| n.split(',').map(|n| n.trim().to_owned()).collect()).unwrap_or_default();
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    for name in &names {
        check_name(name)?;
    }
    Ok((kind.to_owned(), names))
}

/// `pod` and `pods`: one kind, as people write it.
fn alike(a: &str, b: &str) -> bool {
    let (a, b) = (a.to_ascii_lowercase(), b.to_ascii_lowercase());
    !a.is_empty() && (a.starts_with(&b) || b.starts_with(&a))
}

fn check_name(name: &str) -> Result<(), ToolError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '_');
    if name.is_empty() || name.len() > 253 || name == "." || name == ".." || !name.chars().all(plain) {
        let text = format!("{} cannot be the name of an object", quoted(&short(name)));
        return Err(ToolError::invalid(NAME.name, text));
    }
    Ok(())
}

/// Finds a kind that may be read.
pub(super) async fn resolve(context: &Context, handle: &Handle, kind: &str) -> Result<Resource, ToolError> {
    if restriction_by_name(kind).is_some() {
        return Err(ToolError::never_available());
    }
    let failed = |f: Failure| ToolError::upstream(handle.cluster(), &f);
    let found = handle.resolve(kind).await.map_err(failed)?;
    let restricted = |r: &Resource| restriction(&context.grant.endpoint().restricted, &r.group, &r.plural);
    match found.as_ref().map(restricted) {
        Ok(Some(Restriction::BuiltIn)) => return Err(ToolError::never_available()),
        Ok(Some(Restriction::Endpoint)) | Err(Unknown) => {}
        Ok(None) => return found.map_err(|Unknown| ToolError::never_available()),
    }
    // A kind that the endpoint restricts and one that does not exist get the same answer.
    let lower = kind.to_ascii_lowercase();
    let name = lower.split('.').next().unwrap_or_default();
    let near = handle.discovery().await.map_err(failed)?.near(name, |r| restricted(r).is_none());
    let near = if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(", ")) };
    Err(ToolError::not_found(format!("resource: no kind {} on {}{near}", quoted(&short(kind)), handle.cluster())))
}

/// The namespaces that a call asks for, within those that are granted.
pub(super) fn namespaces(handle: &Handle, resource: &Resource, arguments: &Arguments) -> Result<Namespaces, ToolError> {
    let asked = arguments.text(&NAMESPACE);
    if !resource.namespaced {
        return match asked {
            Some(name) if name != "*" => {
                Err(ToolError::invalid(NAMESPACE.name, format!("{} have no namespace; leave it out", resource.plural)))
            }
            _ if handle.reaches_cluster_scoped() => Ok(Namespaces::Whole),
            _ => Err(ToolError::denied(format!(
                "{} have no namespace, and kinds without one are not granted to you on {}",
                resource.plural,
                handle.cluster()
            ))),
        };
    }
    let granted = handle.namespaces();
    match (asked, granted) {
        (None | Some("*"), NamespaceScope::All) => Ok(Namespaces::Whole),
        (None | Some("*"), NamespaceScope::Listed(names)) => Ok(Namespaces::Each(names.iter().cloned().collect())),
        (Some(asked), granted) => {
            let each: BTreeSet<String> = asked.split(',').map(|n| n.trim().to_owned()).collect();
            if each.len() > MAX_NAMESPACES {
                let text = format!("at most {MAX_NAMESPACES} names in a call; * is all of yours");
                return Err(ToolError::invalid(NAMESPACE.name, text));
            }
            for name in &each {
                check_namespace(name, granted)?;
            }
            Ok(Namespaces::Each(each.into_iter().collect()))
        }
    }
}

/// Whether a namespace exists, as far as this caller may know: an empty list does not tell. Where it may not read
/// Namespaces, it is taken to exist.
pub(super) async fn namespace_exists(handle: &Handle, namespace: &str) -> bool {
    if !handle.reaches_cluster_scoped() {
        return true;
    }
    let namespaces = Resource { version: "v1".to_owned(), plural: "namespaces".to_owned(), ..Resource::default() };
    !matches!(handle.get(&namespaces, None, namespace).await, Err(failure) if failure.is_status(StatusCode::NOT_FOUND))
}

/// The answer for a namespace that does not exist.
pub(super) fn no_namespace(handle: &Handle, namespace: &str) -> ToolError {
    ToolError::not_found(format!("namespace: there is no {namespace} on {}", handle.cluster()))
}

fn check_namespace(name: &str, granted: &NamespaceScope) -> Result<(), ToolError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 63 || !name.chars().all(plain) {
        return Err(ToolError::invalid(
            NAMESPACE.name,
            format!("{} cannot be the name of a namespace", quoted(&short(name))),
        ));
    }
    match granted {
        granted if granted.contains(name) => Ok(()),
        NamespaceScope::All => Ok(()),
        NamespaceScope::Listed(yours) => {
            let yours: Vec<&str> = yours.iter().map(String::as_str).collect();
            Err(ToolError::denied(format!("namespace: {name} is not one of yours; yours: {}", names(&yours))))
        }
    }
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

fn names(all: &[&str]) -> String {
    match all {
        [] => "none".to_owned(),
        all if all.len() <= LISTED => all.join(", "),
        all => format!(
            "{} and {} more",
            all.iter().take(LISTED).copied().collect::<Vec<_>>().join(", "),
            all.len() - LISTED
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn parse(given: &Value) -> Result<(String, Vec<String>), String> {
        let arguments = Arguments::parse(&[RESOURCE, NAME], given.as_object().unwrap().clone()).map_err(|e| e.text)?;
        target(&arguments).map_err(|e| e.text)
    }

    #[test]
    fn kind_and_name_may_stand_in_either_argument() {
        for (given, kind, names) in [
            (json!({"resource": "pods"}), "pods", vec![]),
            (json!({"resource": "pods", "name": "a, b"}), "pods", vec!["a", "b"]),
            (json!({"resource": "deployment/web"}), "deployment", vec!["web"]),
            (json!({"resource": "deployment/web", "name": "web"}), "deployment", vec!["web"]),
            (json!({"resource": "deployment", "name": "deployment/web"}), "deployment", vec!["web"]),
            (json!({"resource": "pods", "name": "Pod/web"}), "pods", vec!["web"]),
            (json!({"name": "deployment/web"}), "deployment", vec!["web"]),
            (json!({"resource": "apps/v1/Deployment", "name": "web"}), "Deployment.v1.apps", vec!["web"]),
        ] {
            assert_eq!(
                parse(&given).unwrap(),
                (kind.to_owned(), names.into_iter().map(str::to_owned).collect()),
                "{given}"
            );
        }
    }

    #[test]
    fn what_would_change_a_path_is_no_kind_and_no_name() {
        for given in [
            json!({"resource": "../secrets"}),
            json!({"resource": "pods?watch=1"}),
            json!({"resource": "pods#x"}),
            json!({"resource": "pods%2f"}),
            json!({"resource": "-l app"}),
            json!({"resource": "pods", "name": "a/../b"}),
            json!({"resource": "pods", "name": "../b"}),
            json!({"resource": "pods", "name": "secret/b"}),
            json!({"resource": "pods", "name": ".."}),
            json!({"resource": "pods", "name": "a?b"}),
            json!({"resource": "pods", "name": "a%2fb"}),
            json!({"resource": "pods", "name": "a#b"}),
            json!({"resource": "pods", "name": "a,,b"}),
            json!({"resource": "pods/a/../log"}),
            json!({"resource": "pods/a", "name": "b"}),
        ] {
            assert!(parse(&given).is_err(), "{given}");
        }
    }
}
