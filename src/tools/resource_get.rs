//! `resource_get`: objects, without what only machines read.

use super::{
    Arguments, Context, Definition, ToolError,
    access::{self, Namespaces},
    arguments::{CLUSTER, MAX_TOKENS, NAME, NAMESPACE, RESOURCE},
};
use crate::{
    cluster::{Failure, Handle, ListQuery, Resource},
    endpoint::Tool,
    reply::{budget, redact::Redactor, sanitize, shorten, table, yaml},
};
use futures::future::join_all;
use http::StatusCode;
use serde_json::Value;
use std::fmt::Write as _;

const TOOL: Tool = Tool::ResourceGet;
/// Objects that one call reads.
const MAX_NAMES: usize = 20;
/// Names times namespaces that one call looks for.
const MAX_READS: usize = 128;
/// Tokens that the lines around the objects may need.
const FRAME: usize = 120;
/// Longest texts of an object that is too large, one step after the other.
const TEXTS: [usize; 3] = [4096, 1024, 256];
/// Names that are looked through for a near miss.
const NEAR: u32 = 500;

pub(super) const DEFINITION: Definition = Definition {
    tool: TOOL,
    title: "Read objects",
    description: "Read one or several objects of a kind as YAML, without managed fields, defaults and secret values. \
        Without a namespace the only match in yours is taken.",
    arguments: &[RESOURCE, NAME, CLUSTER, NAMESPACE, MAX_TOKENS],
};

pub(super) async fn run(context: &Context, arguments: &Arguments) -> Result<String, ToolError> {
    let (kind, names) = access::target(arguments)?;
    if names.is_empty() {
        return Err(ToolError::invalid(NAME.name, "is needed; resource_list shows which there are"));
    }
    if names.len() > MAX_NAMES {
        return Err(ToolError::invalid(NAME.name, format!("at most {MAX_NAMES} objects in a call")));
    }
    let handle = access::cluster(context, TOOL, arguments)?;
    let resource = access::resolve(context, &handle, &kind).await?;
    let namespaces = access::namespaces(&handle, &resource, arguments)?;
    if let Namespaces::Each(places) = &namespaces
        && places.len() * names.len() > MAX_READS
    {
        let text = format!("{} names in {} namespaces are too many to look for; name fewer", names.len(), places.len());
        return Err(ToolError::invalid(NAME.name, text));
    }

    let found = join_all(names.iter().map(|name| object(&handle, &resource, &namespaces, name))).await;
    super::offload(|| render(context, arguments, &handle, &resource, &names, found))
}

/// The objects as YAML, each in its fence, and what could not be read.
fn render(
    context: &Context,
    arguments: &Arguments,
    handle: &Handle,
    resource: &Resource,
    names: &[String],
    found: Vec<Result<Found, ToolError>>,
) -> Result<String, ToolError> {
    let mut redactor = Redactor::default();
    let budget = context.max_tokens(arguments).saturating_sub(FRAME) / names.len();
    let nonce = super::nonce()?;
    let (mut out, mut errors) = (String::new(), Vec::new());
    for (name, found) in names.iter().zip(found) {
        match found {
            Err(error) => errors.push(error),
            Ok((namespace, mut object)) => {
                redactor.object(&mut object);
                yaml::clean(&mut object);
                let (text, omitted) = budget::fit_lines(&fitting(object, budget), budget);
                let place = namespace.map_or_else(String::new, |n| format!("{}/", sanitize::line(&n)));
                let _ = writeln!(out, "# {} {place}{name} @{}", resource.qualified(), handle.cluster());
                out.push_str(&sanitize::fence(&text, &nonce));
                if omitted > 0 {
                    let _ = writeln!(out, "omitted: {omitted} lines ({})", context.how_to_see_more(arguments));
                }
            }
        }
    }
    match errors.first() {
        Some(first) if out.is_empty() => return Err(first.clone()),
        _ => errors.iter().for_each(|error| {
            let _ = writeln!(out, "not read: {}", error.text);
        }),
    }
    if redactor.count() > 0 {
        out.push_str("[redacted#N]: secret values, never shown; equal numbers are equal values\n");
    }
    Ok(out)
}

/// An object as YAML; where it is too large, its longest texts lose their ends first.
fn fitting(mut object: Value, budget: usize) -> String {
    shorten::sizes(&mut object);
    let mut text = yaml::to_yaml(&object);
    for longest in TEXTS {
        if budget::tokens(&text) <= budget {
            break;
        }
        shorten::shorten(&mut object, longest);
        text = yaml::to_yaml(&object);
    }
    text
}

type Found = (Option<String>, Value);

/// One object, in the one namespace where it is.
async fn object(handle: &Handle, resource: &Resource, namespaces: &Namespaces, name: &str) -> Result<Found, ToolError> {
    let failed = |failure: Failure| ToolError::upstream(handle.cluster(), &failure);
    let candidates: Vec<Option<String>> = match namespaces {
        Namespaces::Whole if !resource.namespaced => vec![None],
        Namespaces::Each(names) => names.iter().cloned().map(Some).collect(),
        Namespaces::Whole => namespaces_of(handle, resource, name).await?.into_iter().map(Some).collect(),
    };
    let tried = join_all(candidates.iter().map(|ns| handle.get(resource, ns.as_deref(), name))).await;
    let (mut found, mut failure) = (Vec::new(), None);
    for (namespace, result) in candidates.into_iter().zip(tried) {
        match result {
            Ok(object) => found.push((namespace, object)),
            Err(f) if f.is_status(StatusCode::NOT_FOUND) => {}
            Err(f) => failure = Some(f),
        }
    }
    match (found.len(), failure) {
        (0, Some(failure)) => Err(failed(failure)),
        (0, None) => Err(not_found(handle, resource, namespaces, name).await),
        (1, _) => found.pop().ok_or_else(|| ToolError::not_found("")),
        (_, _) => {
            let all: Vec<String> = found.into_iter().filter_map(|(namespace, _)| namespace).collect();
            let text = format!("{} {name} is in several: {}; say which", resource.singular, all.join(", "));
            Err(ToolError::invalid(NAMESPACE.name, text))
        }
    }
}

/// Where objects of a name are, among all namespaces: one request.
async fn namespaces_of(handle: &Handle, resource: &Resource, name: &str) -> Result<Vec<String>, ToolError> {
    let query = ListQuery {
        field_selector: Some(format!("metadata.name={name}")),
        limit: Some(50),
        row_metadata: true,
        ..ListQuery::default()
    };
    let answer = handle.table(resource, None, query).await.map_err(|f| ToolError::upstream(handle.cluster(), &f))?;
    let rows = table::parse(&answer, &mut Redactor::default()).map(|t| t.rows).unwrap_or_default();
    Ok(rows.into_iter().filter_map(|row| row.namespace).collect())
}

/// Says that there is none, and which names are near.
async fn not_found(handle: &Handle, resource: &Resource, namespaces: &Namespaces, name: &str) -> ToolError {
    let place = match namespaces {
        Namespaces::Whole if resource.namespaced => " in any namespace".to_owned(),
        Namespaces::Whole => String::new(),
        Namespaces::Each(names) => format!(" in {}", names.join(", ")),
    };
    let place_to_look = match namespaces {
        Namespaces::Each(names) if names.len() == 1 => names.first().map(String::as_str),
        _ => None,
    };
    let mut near: Vec<(f64, String)> = Vec::new();
    if place_to_look.is_some() || *namespaces == Namespaces::Whole {
        let query = ListQuery { limit: Some(NEAR), row_metadata: true, ..ListQuery::default() };
        if let Ok(answer) = handle.table(resource, place_to_look, query).await {
            let rows = table::parse(&answer, &mut Redactor::default()).map(|t| t.rows).unwrap_or_default();
            near.extend(rows.into_iter().filter_map(|row| {
                let other = row.name?;
                let score = strsim::jaro_winkler(name, &other);
                (score > 0.8 || other.starts_with(name)).then_some((score, other))
            }));
        }
    }
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    let near: Vec<String> = near.into_iter().take(5).map(|(_, name)| name).collect();
    let near = if near.is_empty() { String::new() } else { format!("; near: {}", near.join(", ")) };
    ToolError::not_found(format!("no {} {name}{place} on {}{near}", resource.singular, handle.cluster()))
}
