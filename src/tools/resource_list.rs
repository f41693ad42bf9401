//! `resource_list`: any kind, by the API server's own printer columns.

use super::{
    Arguments, Context, Definition, ToolError,
    access::{self, Namespaces},
    arguments::{CLUSTER, CURSOR, FIELD_SELECTOR, LABEL_SELECTOR, LIMIT, MAX_TOKENS, NAMESPACE, RESOURCE},
    cursor::Position,
    selectors,
};
use crate::{
    cluster::{Failure, Handle, ListQuery, Resource},
    endpoint::Tool,
    reply::{
        budget,
        redact::Redactor,
        table::{self, Row, Table},
    },
};
use std::fmt::Write as _;

const TOOL: Tool = Tool::ResourceList;
const DEFAULT_LIMIT: usize = 50;
/// Tokens that the lines around the table may need.
const FRAME: usize = 120;
/// Unhealthy rows that the first line names.
const NAMED: usize = 8;

pub(super) const DEFINITION: Definition = Definition {
    tool: TOOL,
    title: "List resources",
    description: "See which objects of a kind exist and their state, custom resources too: one row each, by the API \
        server's own columns. The first line counts, and names what is not healthy.",
    arguments: &[RESOURCE, CLUSTER, NAMESPACE, LABEL_SELECTOR, FIELD_SELECTOR, LIMIT, CURSOR, MAX_TOKENS],
};

pub(super) async fn run(context: &Context, arguments: &Arguments) -> Result<String, ToolError> {
    let (kind, names) = access::target(arguments)?;
    if !names.is_empty() {
        return Err(ToolError::invalid(RESOURCE.name, "names an object; resource_get reads one, this lists a kind"));
    }
    let selection = selection(arguments)?;
    let handle = access::cluster(context, TOOL, arguments)?;
    let question = arguments.question(&[&CURSOR, &LIMIT, &MAX_TOKENS]);
    let start = match arguments.text(&CURSOR) {
        None => Position::default(),
        Some(cursor) => context.sealer.open(&context.grant, &question, &CURSOR, cursor)?,
    };
    let resource = access::resolve(context, &handle, &kind).await?;
    let namespaces = access::namespaces(&handle, &resource, arguments)?;
    let limit = arguments.integer(&LIMIT).and_then(|n| usize::try_from(n).ok()).unwrap_or(DEFAULT_LIMIT);

    let mut redactor = Redactor::default();
    let pages = collect(&handle, &resource, &namespaces, &selection, start, limit, &mut redactor).await?;
    let max_tokens = context.max_tokens(arguments).saturating_sub(FRAME);
    render(&handle, &resource, &namespaces, pages, max_tokens, |position| {
        context.sealer.seal(&context.grant, &question, position)
    })
}

fn selection(arguments: &Arguments) -> Result<ListQuery, ToolError> {
    let labels = arguments.text(&LABEL_SELECTOR).map(|s| selectors::label_selector(&LABEL_SELECTOR, s)).transpose()?;
    let fields = arguments.text(&FIELD_SELECTOR).map(|s| selectors::field_selector(&FIELD_SELECTOR, s)).transpose()?;
    Ok(ListQuery { label_selector: labels, field_selector: fields, ..ListQuery::default() })
}

/// What was read, and where it stopped.
struct Pages {
    columns: Vec<String>,
    rows: Vec<(Position, Row)>,
    next: Option<Position>,
    /// Objects beyond, where the API server said how many.
    remaining: Option<u64>,
    /// Namespaces that could not be read, with the reason.
    refused: Vec<(String, ToolError)>,
}

/// Reads page by page, namespace by namespace, until the limit is reached.
async fn collect(
    handle: &Handle,
    resource: &Resource,
    namespaces: &Namespaces,
    selection: &ListQuery,
    start: Position,
    limit: usize,
    redactor: &mut Redactor,
) -> Result<Pages, ToolError> {
    let places: Vec<Option<&str>> = match namespaces {
        Namespaces::Whole => vec![None],
        Namespaces::Each(names) => names.iter().map(|n| Some(n.as_str())).collect(),
    };
    let mut pages =
        Pages { columns: Vec::new(), rows: Vec::new(), next: None, remaining: Some(0), refused: Vec::new() };
    let mut at = start;
    while let Some(place) = places.get(at.namespace) {
        let wanted = limit - pages.rows.len();
        let query = ListQuery {
            limit: u32::try_from(wanted + at.offset).ok().map(|n| n.min(1000)),
            continue_token: at.page.clone(),
            row_metadata: resource.namespaced && (place.is_none() || places.len() > 1),
            ..selection.clone()
        };
        let table = match handle.table(resource, *place, query).await {
            Ok(table) => read(handle, &table, redactor)?,
            Err(failure) => {
                let error = ToolError::upstream(handle.cluster(), &failure);
                match place {
                    Some(place) if places.len() > 1 && !matches!(failure, Failure::Unreachable(_)) => {
                        pages.refused.push(((*place).to_owned(), error));
                        at = Position { namespace: at.namespace + 1, ..Position::default() };
                        continue;
                    }
                    _ => return Err(error),
                }
            }
        };
        let Table { columns, rows, continue_token, remaining } = table;
        if pages.columns.is_empty() {
            pages.columns = columns;
        }
        for (offset, mut row) in rows.into_iter().enumerate().skip(at.offset) {
            if row.namespace.is_none() {
                row.namespace = place.map(str::to_owned);
            }
            pages.rows.push((Position { offset, ..at.clone() }, row));
        }
        pages.remaining = match (&continue_token, remaining) {
            (Some(_), None) => None,
            (_, remaining) => pages.remaining.map(|n| n + remaining.unwrap_or(0)),
        };
        at = match continue_token {
            Some(token) => Position { namespace: at.namespace, page: Some(token), offset: 0 },
            None => Position { namespace: at.namespace + 1, ..Position::default() },
        };
        if pages.rows.len() >= limit {
            break;
        }
    }
    if at.namespace < places.len() {
        if at.page.is_none() {
            pages.remaining = None; // whole namespaces are left, uncounted
        }
        pages.next = Some(at);
    }
    match (pages.columns.is_empty(), pages.refused.first()) {
        (true, Some((_, error))) => Err(error.clone()),
        _ => Ok(pages),
    }
}

fn read(handle: &Handle, table: &serde_json::Value, redactor: &mut Redactor) -> Result<Table, ToolError> {
    table::parse(table, redactor)
        .map_err(|_| ToolError::failed(format!("cluster {}: the answer is no table", handle.cluster())))
}

/// Rows that fit, under a line that counts them.
fn render(
    handle: &Handle,
    resource: &Resource,
    namespaces: &Namespaces,
    pages: Pages,
    max_tokens: usize,
    seal: impl Fn(&Position) -> Result<String, ToolError>,
) -> Result<String, ToolError> {
    let Pages { columns, rows, next, remaining, refused } = pages;
    let (positions, rows): (Vec<Position>, Vec<Row>) = rows.into_iter().unzip();
    let several = resource.namespaced && !matches!(namespaces, Namespaces::Each(names) if names.len() == 1);
    let mut page = Table { columns, rows, continue_token: None, remaining: None };
    let text = table::tsv(&page, several, None);
    let (text, omitted) = budget::fit_lines(&text, max_tokens);
    let shown = page.rows.len().saturating_sub(omitted);
    let next = positions.get(shown).cloned().or(next);
    page.rows.truncate(shown);

    let place = match namespaces {
        Namespaces::Whole if resource.namespaced => " *".to_owned(),
        Namespaces::Whole => String::new(),
        Namespaces::Each(names) => format!(" {}", names.join(",")),
    };
    let total = remaining.map(|n| shown as u64 + omitted as u64 + n);
    let count = match (&next, total) {
        (None, _) => shown.to_string(),
        (Some(_), Some(total)) => format!("{shown} of {total}"),
        (Some(_), None) => format!("{shown}, and more"),
    };
    let mut out = format!("{}{place} @{}: {count}", resource.qualified(), handle.cluster());
    let unhealthy = table::unhealthy(&page);
    if !unhealthy.is_empty() {
        let named: Vec<&str> = unhealthy.iter().take(NAMED).copied().collect();
        let rest = unhealthy.len() - named.len();
        let rest = if rest == 0 { String::new() } else { format!(" and {rest} more") };
        let _ = write!(out, "; not ready {}: {}{rest}", unhealthy.len(), named.join(", "));
    }
    out.push('\n');
    if shown > 0 {
        out.push_str(&text);
        if !text.ends_with('\n') {
            out.push('\n');
        }
    }
    for (namespace, error) in &refused {
        let _ = writeln!(out, "not read: {namespace}: {}", error.text);
    }
    if let Some(next) = next {
        let more = total.map_or_else(|| "more".to_owned(), |total| format!("more: {}", total - shown as u64));
        let _ = writeln!(out, "{more}   cursor: {}", seal(&next)?);
    }
    Ok(out)
}
