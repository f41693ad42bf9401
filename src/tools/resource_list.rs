//! `resource_list`: any kind, by the API server's own printer columns.

use super::{
    Arguments, Context, Definition, ToolError,
    access::{self, Namespaces},
    arguments::{CLUSTERS, CURSOR, FIELD_SELECTOR, KIND, LABEL_SELECTOR, LIMIT, MAX_TOKENS, NAMESPACE, RESOURCE},
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
use futures::future::join_all;
use serde_json::Value;
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
    arguments: &[KIND, CLUSTERS, NAMESPACE, LABEL_SELECTOR, FIELD_SELECTOR, LIMIT, CURSOR, MAX_TOKENS],
};

pub(super) async fn run(context: &Context, arguments: &Arguments) -> Result<String, ToolError> {
    let (kind, names) = access::target(arguments)?;
    if !names.is_empty() {
        return Err(ToolError::invalid(RESOURCE.name, "names an object; resource_get reads one, this lists a kind"));
    }
    let selection = selection(arguments)?;
    let handles = access::clusters(context, TOOL, arguments)?;
    let question = arguments.question(&[&CURSOR, &LIMIT, &MAX_TOKENS]);
    let start = match arguments.text(&CURSOR) {
        None => Position::default(),
        Some(cursor) => context.sealer.open(&context.grant, &question, &CURSOR, cursor)?,
    };
    let limit = arguments.integer(&LIMIT).and_then(|n| usize::try_from(n).ok()).unwrap_or(DEFAULT_LIMIT);

    let left = handles.iter().filter(|h| start.cluster.as_deref().is_none_or(|first| h.cluster() >= first));
    let fetched = join_all(left.map(async |handle| {
        let begun = start.cluster.as_deref().is_none_or(|first| first == handle.cluster());
        let start = if begun { start.clone() } else { Position::default() };
        (handle, fetch(context, handle, &kind, arguments, &selection, start, limit).await)
    }))
    .await;
    let max_tokens = context.max_tokens(arguments).saturating_sub(FRAME);
    super::offload(|| {
        let mut listing = Listing::new(handles.len() > 1, start.shown);
        let mut redactor = Redactor::default();
        for (handle, fetched) in fetched {
            match fetched.and_then(|fetched| listing.add(handle, fetched, &mut redactor)) {
                Ok(()) => {}
                Err(error) if handles.len() == 1 => return Err(error),
                Err(error) => listing.missing.push((handle.cluster().to_owned(), error)),
            }
        }
        listing.render(&kind, limit, max_tokens, |position| context.sealer.seal(&context.grant, &question, position))
    })
}

fn selection(arguments: &Arguments) -> Result<ListQuery, ToolError> {
    let labels = arguments.text(&LABEL_SELECTOR).map(|s| selectors::label_selector(&LABEL_SELECTOR, s)).transpose()?;
    let fields = arguments.text(&FIELD_SELECTOR).map(|s| selectors::field_selector(&FIELD_SELECTOR, s)).transpose()?;
    Ok(ListQuery { label_selector: labels, field_selector: fields, ..ListQuery::default() })
}

/// What one cluster answered, and where it stopped.
struct Fetched {
    resource: Resource,
    namespaces: Namespaces,
    /// Each page with where it begins, and the namespace it is of.
    pages: Vec<(Position, Option<String>, Value)>,
    next: Option<Position>,
    /// Objects beyond, where the API server said how many.
    remaining: Option<u64>,
    /// Namespaces that could not be read, with the reason.
    refused: Vec<(String, ToolError)>,
}

/// Reads a cluster page by page, namespace by namespace, until the limit is reached.
async fn fetch(
    context: &Context,
    handle: &Handle,
    kind: &str,
    arguments: &Arguments,
    selection: &ListQuery,
    start: Position,
    limit: usize,
) -> Result<Fetched, ToolError> {
    let resource = access::resolve(context, handle, kind).await?;
    let namespaces = access::namespaces(handle, &resource, arguments)?;
    let places: Vec<Option<&str>> = match &namespaces {
        Namespaces::Whole => vec![None],
        Namespaces::Each(names) => names.iter().map(|n| Some(n.as_str())).collect(),
    };
    let (mut pages, mut refused, mut rows, mut remaining) = (Vec::new(), Vec::new(), 0, Some(0));
    // Namespaces stand in the order of their names. One that is gone is left out.
    let mut index = places.iter().position(|p| p.is_none() || *p >= start.namespace.as_deref()).unwrap_or(places.len());
    let beginning = |index: usize| Position {
        cluster: Some(handle.cluster().to_owned()),
        namespace: places.get(index).copied().flatten().map(str::to_owned),
        shown: start.shown,
        ..Position::default()
    };
    let mut at = beginning(index);
    if at.namespace == start.namespace {
        at = Position { cluster: at.cluster, ..start.clone() };
    }
    while let Some(place) = places.get(index) {
        let query = ListQuery {
            limit: u32::try_from(limit - rows + at.offset).ok().map(|n| n.min(1000)),
            continue_token: at.page.clone(),
            row_metadata: resource.namespaced && (place.is_none() || places.len() > 1),
            ..selection.clone()
        };
        let table = match handle.table(&resource, *place, query).await {
            Ok(table) => table,
            Err(failure) => {
                let error = ToolError::upstream(handle.cluster(), &failure);
                match place {
                    Some(place) if places.len() > 1 && !matches!(failure, Failure::Unreachable(_)) => {
                        refused.push(((*place).to_owned(), error));
                        index += 1;
                        at = beginning(index);
                        continue;
                    }
                    _ => return Err(error),
                }
            }
        };
        let token = table.pointer("/metadata/continue").and_then(Value::as_str).filter(|t| !t.is_empty());
        let beyond = table.pointer("/metadata/remainingItemCount").and_then(Value::as_u64);
        remaining = match (token, beyond) {
            (Some(_), None) => None,
            (_, beyond) => remaining.map(|n: u64| n.saturating_add(beyond.unwrap_or(0))),
        };
        let next = if let Some(token) = token {
            Position { page: Some(token.to_owned()), offset: 0, ..at.clone() }
        } else {
            index += 1;
            beginning(index)
        };
        if table.get("rows").and_then(Value::as_array).is_some_and(Vec::is_empty)
            && let Some(place) = place
            && !access::namespace_exists(handle, place).await
        {
            refused.push(((*place).to_owned(), access::no_namespace(handle, place)));
        }
        rows += table.get("rows").and_then(Value::as_array).map_or(0, Vec::len).saturating_sub(at.offset);
        pages.push((at, place.map(str::to_owned), table));
        at = next;
        if rows >= limit {
            break;
        }
    }
    let next = (index < places.len()).then_some(at);
    if next.as_ref().is_some_and(|next| next.page.is_none() || index + 1 < places.len()) {
        remaining = None; // whole namespaces are left, uncounted
    }
    match refused.first() {
        Some((_, error)) if pages.is_empty() || (rows == 0 && refused.len() == places.len()) => Err(error.clone()),
        _ => Ok(Fetched { resource, namespaces, pages, next, remaining, refused }),
    }
}

/// What all clusters answered, as one table.
struct Listing {
    /// Whether several clusters were asked, which then have a column.
    several: bool,
    /// Rows that earlier pages have shown.
    before: usize,
    /// Whether several namespaces were asked in any cluster, which then have a column.
    namespaces: bool,
    /// Clusters that answered.
    clusters: Vec<String>,
    what: Option<(Resource, Namespaces)>,
    columns: Vec<String>,
    rows: Vec<(Position, Row)>,
    next: Option<Position>,
    remaining: Option<u64>,
    refused: Vec<(String, ToolError)>,
    missing: Vec<(String, ToolError)>,
}

impl Listing {
    fn new(several: bool, before: usize) -> Self {
        Self {
            several,
            before,
            namespaces: false,
            clusters: Vec::new(),
            what: None,
            columns: Vec::new(),
            rows: Vec::new(),
            next: None,
            remaining: Some(0),
            refused: Vec::new(),
            missing: Vec::new(),
        }
    }

    fn add(&mut self, handle: &Handle, fetched: Fetched, redactor: &mut Redactor) -> Result<(), ToolError> {
        let Fetched { resource, namespaces, pages, next, remaining, refused } = fetched;
        self.clusters.push(handle.cluster().to_owned());
        self.namespaces |= resource.namespaced && !matches!(&namespaces, Namespaces::Each(names) if names.len() == 1);
        self.what.get_or_insert((resource, namespaces));
        let place =
            |namespace: String| if self.several { format!("{} {namespace}", handle.cluster()) } else { namespace };
        self.refused.extend(refused.into_iter().map(|(namespace, error)| (place(namespace), error)));
        self.remaining = self.remaining.zip(remaining).map(|(mine, more)| mine.saturating_add(more));
        // Where an earlier cluster has more, the next page goes on there; this one is only counted.
        let later = self.next.is_some();
        for (at, namespace, page) in pages {
            let Table { columns, rows, continue_token: _, remaining: _ } = table::parse(&page, redactor)
                .map_err(|_| ToolError::failed(format!("cluster {}: the answer is no table", handle.cluster())))?;
            if later {
                let shown = rows.len().saturating_sub(at.offset) as u64;
                self.remaining = self.remaining.map(|n| n.saturating_add(shown));
                continue;
            }
            let places = self.places(columns);
            for (offset, mut row) in rows.into_iter().enumerate().skip(at.offset) {
                row.namespace = row.namespace.or_else(|| namespace.clone());
                row.cells = arranged(&places, self.columns.len(), row.cells);
                self.rows.push((Position { offset, ..at.clone() }, row));
            }
        }
        self.next = self.next.take().or(next);
        Ok(())
    }

    /// Where each column of a table stands among all columns: a version of a kind may have others elsewhere.
    fn places(&mut self, columns: Vec<String>) -> Vec<usize> {
        let place = |column: String| {
            self.columns.iter().position(|known| *known == column).unwrap_or_else(|| {
                self.columns.push(column);
                self.columns.len() - 1
            })
        };
        columns.into_iter().map(place).collect()
    }

    /// Rows that fit, under a line that counts them.
    fn render(
        self,
        kind: &str,
        limit: usize,
        max_tokens: usize,
        seal: impl Fn(&Position) -> Result<String, ToolError>,
    ) -> Result<String, ToolError> {
        let Self {
            several,
            before,
            namespaces: place,
            clusters,
            what,
            columns,
            rows,
            next,
            remaining,
            refused,
            missing,
        } = self;
        let Some((resource, namespaces)) = what else {
            let all: Vec<String> = missing.into_iter().map(|(_, error)| error.text).collect();
            return Err(ToolError::failed(format!("{kind}: no cluster answered: {}", all.join("; "))));
        };
        let count = rows.len();
        let (positions, rows): (Vec<Position>, Vec<Row>) = rows.into_iter().unzip();
        let mut page = Table { columns, rows, continue_token: None, remaining: None };
        page.rows.truncate(limit);
        let text = if several { with_clusters(&page, &positions, place) } else { table::tsv(&page, place, None) };
        let (text, omitted) = budget::fit_lines(&text, max_tokens);
        let shown = page.rows.len().saturating_sub(omitted);
        page.rows.truncate(shown);
        let next = positions.get(shown).cloned().or(next).map(|next| Position { shown: before + shown, ..next });

        let total = remaining.map(|n| n.saturating_add((before + count) as u64));
        let mut out = format!("{}{} @{}: ", resource.qualified(), place_of(&resource, &namespaces), clusters.join(","));
        let _ = match (&next, total) {
            (None, _) if before == 0 => write!(out, "{shown}"),
            (None, _) => write!(out, "{}-{} of {}", before + 1, before + shown, before + shown),
            (Some(_), Some(total)) if before == 0 => write!(out, "{shown} of {total}"),
            (Some(_), Some(total)) => write!(out, "{}-{} of {total}", before + 1, before + shown),
            (Some(_), None) if before == 0 => write!(out, "{shown}, and more"),
            (Some(_), None) => write!(out, "{}-{}, and more", before + 1, before + shown),
        };
        let unhealthy: Vec<String> = table::unhealthy(&page).into_iter().map(|row| full_name(row, place)).collect();
        if !unhealthy.is_empty() {
            let named = unhealthy.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
            let rest = unhealthy.len().saturating_sub(NAMED);
            let rest = if rest == 0 { String::new() } else { format!(" and {rest} more") };
            let _ = write!(out, "; not ready {}: {named}{rest}", unhealthy.len());
        }
        if before > 0 || next.is_some() {
            out.push_str("; health of this page only");
        }
        out.push('\n');
        if shown > 0 {
            out.push_str(&text);
            if !text.ends_with('\n') {
                out.push('\n');
            }
        }
        for (place, error) in refused.iter().chain(&missing) {
            let _ = writeln!(out, "not read: {place}: {}", error.text);
        }
        if let Some(next) = next {
            let more = total.map_or_else(
                || "more".to_owned(),
                |total| format!("more: {}", total.saturating_sub((before + shown) as u64)),
            );
            let _ = writeln!(out, "{more}   cursor: {}", seal(&next)?);
        }
        Ok(out)
    }
}

/// The name of a row, with its namespace where several are listed.
fn full_name(row: &Row, namespaces: bool) -> String {
    let name = row.name.clone().unwrap_or_default();
    match &row.namespace {
        Some(namespace) if namespaces => format!("{namespace}/{name}"),
        _ => name,
    }
}

/// Cells where their columns stand; `-` where a cluster has no such column.
fn arranged(places: &[usize], columns: usize, cells: Vec<String>) -> Vec<String> {
    let mut arranged = vec!["-".to_owned(); columns];
    for (place, cell) in places.iter().zip(cells) {
        if let Some(there) = arranged.get_mut(*place) {
            *there = cell;
        }
    }
    arranged
}

/// The table with columns for the cluster and, where `namespaces`, the namespace before all others.
fn with_clusters(page: &Table, positions: &[Position], namespaces: bool) -> String {
    let mut columns = vec!["Cluster".to_owned()];
    columns.extend(namespaces.then(|| "Namespace".to_owned()));
    columns.extend(page.columns.iter().cloned());
    let rows = page.rows.iter().zip(positions).map(|(row, at)| {
        let mut cells = vec![at.cluster.clone().unwrap_or_default()];
        cells.extend(namespaces.then(|| row.namespace.clone().unwrap_or_default()));
        cells.extend(row.cells.iter().cloned());
        cells.resize(columns.len(), "-".to_owned()); // columns that a later cluster added
        Row { cells, ..row.clone() }
    });
    let rows = rows.collect();
    table::tsv(&Table { columns, rows, continue_token: None, remaining: None }, false, None)
}

fn place_of(resource: &Resource, namespaces: &Namespaces) -> String {
    match namespaces {
        Namespaces::Whole if resource.namespaced => " *".to_owned(),
        Namespaces::Whole => String::new(),
        Namespaces::Each(names) => format!(" {}", names.join(",")),
    }
}
