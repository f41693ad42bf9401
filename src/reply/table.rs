//! Lists as the API server prints them: `meta.k8s.io/v1` Tables, as tab-separated text.
//!
//! Source: <https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables>.

use std::fmt;

use serde_json::Value;

use super::{redact::Redactor, sanitize};

/// What is shown for a cell without a value, as kubectl does.
const NONE: &str = "<none>";

/// One page of a list. Every string in it is redacted and fit to be shown, but the continue token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The names of the columns, as the API server spells them (`Name`, `Ready`).
    pub columns: Vec<String>,
    /// The objects of the page, in the API's order.
    pub rows: Vec<Row>,
    /// The API server's token for the next page, unchanged; never to be shown.
    pub continue_token: Option<String>,
    /// How many objects come after this page, where the API server says it.
    pub remaining: Option<u64>,
}

/// One object of a [`Table`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// The object's namespace, if it has one and the API server included its metadata.
    pub namespace: Option<String>,
    /// The object's name: of its metadata, else of the column that holds names.
    pub name: Option<String>,
    /// One cell per column.
    pub cells: Vec<String>,
}

/// A reply that is no Table: an API server that cannot make one for this kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotATable {
    /// The `kind` that came instead, empty if there was none.
    pub kind: String,
}

impl fmt::Display for NotATable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the API server answered with kind {}, not with a Table", sanitize::line(&self.kind))
    }
}

impl std::error::Error for NotATable {}

/// Reads a Table; keeps the columns of priority 0, those that `kubectl get` shows without `-o wide`.
///
/// # Errors
/// [`NotATable`] if `value` is of another kind or has no columns.
pub fn parse(value: &Value, redactor: &mut Redactor) -> Result<Table, NotATable> {
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
    let definitions = value.get("columnDefinitions").and_then(Value::as_array).filter(|_| kind == "Table");
    let definitions = definitions.ok_or_else(|| NotATable { kind: kind.to_owned() })?;
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let columns: Vec<Column> = definitions
        .iter()
        .enumerate()
        .filter(|(_, column)| column.get("priority").and_then(Value::as_i64).unwrap_or_default() == 0)
        .map(|(at, column)| Column { at, name: text(column, "name"), names: text(column, "format") == "name" })
        .collect();
    let rows = value.get("rows").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let rows = rows.iter().map(|row| parse_row(row, &columns, redactor)).collect();
    let metadata = value.get("metadata").unwrap_or(&Value::Null);
    Ok(Table {
        columns: columns.iter().map(|column| sanitize::cell(&redactor.text(&column.name))).collect(),
        rows,
        continue_token: Some(text(metadata, "continue")).filter(|token| !token.is_empty()),
        remaining: metadata.get("remainingItemCount").and_then(Value::as_u64),
    })
}

struct Column {
    /// Its place among the cells of a row.
    at: usize,
    name: String,
    /// Whether it holds the objects' names.
    names: bool,
}

fn parse_row(row: &Value, columns: &[Column], redactor: &mut Redactor) -> Row {
    let metadata = row.pointer("/object/metadata").unwrap_or(&Value::Null);
    let mut text =
        |value: Option<&Value>| Some(sanitize::cell(&redactor.text(value?.as_str()?))).filter(|text| !text.is_empty());
    let (namespace, name) = (text(metadata.get("namespace")), text(metadata.get("name")));
    let cells: Vec<String> = columns
        .iter()
        .map(|column| match row.get("cells").and_then(|cells| cells.get(column.at)) {
            None | Some(Value::Null) => NONE.to_owned(),
            Some(Value::String(text)) if text.is_empty() => NONE.to_owned(),
            // a column `Secret` holds the name of one
            Some(Value::String(text)) if column.name.eq_ignore_ascii_case("secret") && is_name(text) => text.clone(),
            Some(Value::String(text)) => {
                let text = redactor.field(&column.name, text);
                // A sentence is somebody's words, such as the message of an event: quoted, so that it reads as such.
                if text.matches(' ').count() >= PROSE {
                    sanitize::quoted(&sanitize::cell(&text))
                } else {
                    sanitize::cell(&text)
                }
            }
            Some(other) => {
                let mut other = Value::from_iter([(column.name.clone(), other.clone())]);
                redactor.object(&mut other);
                let other = other.get(&column.name).unwrap_or(&Value::Null);
                sanitize::cell(&other.as_str().map_or_else(|| other.to_string(), str::to_owned))
            }
        })
        .collect();
    let named = || {
        columns.iter().position(|column| column.names || column.name == "Name").and_then(|at| cells.get(at)).cloned()
    };
    Row { namespace, name: name.or_else(named), cells }
}

/// Blanks from which on a cell is a sentence.
const PROSE: usize = 3;

/// Whether this could be the name of an object (RFC 1123 subdomain).
fn is_name(text: &str) -> bool {
    text.len() <= 253 && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
}

/// The table as tab-separated lines below an upper-case header, each ended by `\n`.
///
/// `show_cluster` adds a first column with the cluster's name, `show_namespace` one with each object's namespace.
pub fn tsv(table: &Table, show_namespace: bool, show_cluster: Option<&str>) -> String {
    let mut out = String::new();
    let cluster = show_cluster.map(sanitize::cell);
    let mut write = |cluster: Option<&str>, namespace: &str, cells: &[String]| {
        let namespace = show_namespace.then_some(namespace);
        let leading = cluster.into_iter().chain(namespace);
        for (at, cell) in leading.chain(cells.iter().map(String::as_str)).enumerate() {
            if at > 0 {
                out.push('\t');
            }
            out.push_str(cell);
        }
        out.push('\n');
    };
    let header: Vec<String> = table.columns.iter().map(|column| column.to_uppercase()).collect();
    write(cluster.as_ref().map(|_| "CLUSTER"), "NAMESPACE", &header);
    for row in &table.rows {
        write(cluster.as_deref(), row.namespace.as_deref().unwrap_or(NONE), &row.cells);
    }
    out
}

/// The rows that are visibly not healthy and have a name, in order, judged by their printer columns alone.
///
/// Not healthy: READY `a/b` with a < b (but not of what has completed), or `False`; READY below DESIRED; a STATUS,
/// PHASE or health of one word that does not stand for health. Columns that say nothing about health leave a row out.
pub fn unhealthy(table: &Table) -> Vec<&Row> {
    let column = |name: &str| table.columns.iter().position(|column| column.eq_ignore_ascii_case(name));
    let (ready, desired, available) = (column("ready"), column("desired"), column("available"));
    let states: Vec<usize> = ["status", "phase", "health", "health status"].into_iter().filter_map(column).collect();
    let sick = |row: &&Row| {
        let cell =
            |at: Option<usize>| at.and_then(|at| row.cells.get(at)).map(String::as_str).filter(|cell| *cell != NONE);
        let mut states = states.iter().filter_map(|at| cell(Some(*at))).filter(|state| !state.contains(' ')).peekable();
        if states.peek().is_some_and(|state| matches!(*state, "Completed" | "Succeeded" | "Complete")) {
            return false;
        }
        let is_false = |cell: &str| cell.starts_with("False") || cell == "Unknown";
        let ready = cell(ready);
        let short = match (ready, cell(desired)) {
            (Some("True"), _) => return false,
            (Some(ready), Some(desired)) => less(ready, desired),
            (Some(ready), None) => is_false(ready) || ready.split_once('/').is_some_and(|(ready, of)| less(ready, of)),
            (None, _) => cell(available).is_some_and(is_false),
        };
        short || states.any(|state| !is_healthy(state))
    };
    table.rows.iter().filter(sick).filter(|row| row.name.is_some()).collect()
}

/// Whether both are numbers, the first the lower one.
fn less(a: &str, b: &str) -> bool {
    matches!((a.parse::<u64>(), b.parse::<u64>()), (Ok(a), Ok(b)) if a < b)
}

/// Whether a state of one word stands for health.
fn is_healthy(state: &str) -> bool {
    const HEALTHY: &[&str] = &[
        "active",
        "approved,issued",
        "available",
        "bound",
        "complete",
        "completed",
        "deployed",
        "established",
        "healthy",
        "ok",
        "ready",
        "reconciled",
        "running",
        "secretsynced",
        "succeeded",
        "synced",
        "true",
        "valid",
    ];
    HEALTHY.iter().any(|healthy| state.eq_ignore_ascii_case(healthy))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn table(columns: &[&str], rows: &[(&str, &[&str])]) -> Table {
        let definitions: Vec<_> =
            columns.iter().map(|name| json!({"name": name, "type": "string", "priority": 0})).collect();
        let rows: Vec<_> = rows
            .iter()
            .map(|(name, cells)| json!({"cells": cells, "object": {"metadata": {"name": name, "namespace": "shop"}}}))
            .collect();
        parse(&json!({"kind": "Table", "columnDefinitions": definitions, "rows": rows}), &mut Redactor::default())
            .unwrap()
    }

    #[test]
    fn a_table_becomes_columns_rows_and_a_cursor() {
        let value = json!({
            "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "1", "continue": "tok", "remainingItemCount": 6},
            "columnDefinitions": [{"name": "Name", "format": "name", "priority": 0}, {"name": "Ready", "priority": 0}, {"name": "Restarts"}, {"name": "IP", "priority": 1}, {"name": "Node", "priority": 0}],
            "rows": [{"cells": ["web-0", "1/1", 7, "10.0.0.1", null], "object": {"metadata": {"name": "web-0", "namespace": "shop"}}}, {"cells": ["web-1", "0/1"]}]});
        let table = parse(&value, &mut Redactor::default()).unwrap();
        assert_eq!(table.continue_token.as_deref(), Some("tok"));
        assert_eq!(table.remaining, Some(6));
        assert_eq!(
            table.rows[1],
            Row {
                namespace: None,
                name: Some("web-1".into()),
                cells: ["web-1", "0/1", "<none>", "<none>"].map(String::from).to_vec()
            }
        );
        assert_eq!(
            tsv(&table, false, None),
            "NAME\tREADY\tRESTARTS\tNODE\nweb-0\t1/1\t7\t<none>\nweb-1\t0/1\t<none>\t<none>\n"
        );
        assert_eq!(tsv(&table, true, Some("prod-eu")).lines().nth(1).unwrap(), "prod-eu\tshop\tweb-0\t1/1\t7\t<none>");
        assert!(tsv(&table, true, Some("prod-eu")).starts_with("CLUSTER\tNAMESPACE\tNAME\t"));
    }

    #[test]
    fn what_is_no_table_is_refused() {
        for value in [json!({"kind": "PodList", "items": []}), json!({"kind": "Table"}), json!(null), json!([])] {
            assert!(parse(&value, &mut Redactor::default()).is_err());
        }
        assert_eq!(
            NotATable { kind: "PodList".into() }.to_string(),
            "the API server answered with kind PodList, not with a Table"
        );
    }

    #[test]
    fn cells_are_redacted_by_shape_and_by_column_and_made_one_line() {
        let table = table(
            &["Name", "Password", "URL", "Message", "Secret", "Token"],
            &[("a", &["a", "hunter2", "postgres://u:p1@h/x", "a\tb\nc", "web-tls", "t1"])],
        );
        assert_eq!(
            table.rows[0].cells,
            ["a", "[redacted#1]", "postgres://u:[redacted#2]@h/x", r"a\tb\nc", "web-tls", "[redacted#3]"]
        );
        let value =
            json!({"kind": "Table", "columnDefinitions": [{"name": "Password"}], "rows": [{"cells": [12_345_678]}]});
        assert_eq!(parse(&value, &mut Redactor::default()).unwrap().rows[0].cells, ["[redacted#1]"]);
    }

    #[test]
    fn the_unhealthy_are_named() {
        let cases: &[(&[&str], &[&str], &[&str])] = &[
            (
                &["Name", "Ready", "Status"],
                &["1/1 Running", "0/1 Completed", "0/0 Running"],
                &[
                    "0/1 CrashLoopBackOff",
                    "0/1 Running",
                    "1/2 Running",
                    "1/1 Terminating",
                    "0/1 Pending",
                    "0/1 Init:0/2",
                ],
            ),
            (&["Name", "Ready", "Up-to-date"], &["3/3 3", "0/0 0"], &["2/3 3"]),
            (&["Name", "Desired", "Ready"], &["3 3", "0 0"], &["3 2"]),
            (
                &["Name", "Status"],
                &["Ready", "Bound", "Active", "Complete"],
                &["NotReady", "Ready,SchedulingDisabled", "Pending", "Lost", "Terminating", "Failed"],
            ),
            (&["Name", "Ready", "Status"], &["True Applied"], &["False ReconcileError", "Unknown Progressing"]),
            (&["Name", "Sync Status", "Health Status"], &["Synced Healthy", "OutOfSync Healthy"], &["Synced Degraded"]),
            (&["Name", "Available"], &["True", "3"], &["False"]),
            (&["Name", "Data"], &["0", "Broken"], &[]),
        ];
        for (columns, well, ill) in cases {
            for (cells, expected) in
                well.iter().map(|cells| (cells, false)).chain(ill.iter().map(|cells| (cells, true)))
            {
                let cells: Vec<&str> = ["x"].into_iter().chain(cells.split(' ')).collect();
                assert_eq!(unhealthy(&table(columns, &[("x", &cells)])).len() == 1, expected, "{columns:?} {cells:?}");
            }
        }
    }
}
