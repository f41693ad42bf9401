//! Arguments: spelled the same in every tool, each defined once, unknown ones refused with the nearest name.

use super::ToolError;
use crate::reply::sanitize::quoted;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Longest text of an argument.
const MAX_TEXT: usize = 4096;

/// An argument of tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argument {
    /// Its name, camelCase.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// What it means, for the model.
    pub description: &'static str,
    /// Whether a call needs it.
    pub required: bool,
    /// The header that clients mirror it to (`x-mcp-header`), so that gateways can route and audit.
    pub header: Option<&'static str>,
}

/// What an argument holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// A whole number within bounds.
    Integer {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
}

const fn text(name: &'static str, description: &'static str) -> Argument {
    Argument { name, kind: Kind::Text, description, required: false, header: None }
}

impl Argument {
    const fn needed(self) -> Self {
        Self { required: true, ..self }
    }

    /// Whether a name is this argument's: snake_case and any case do, but not where clients mirror it to a header, which
    /// gateways read by the exact name.
    fn is_spelled(&self, name: &str) -> bool {
        self.name == name || (self.header.is_none() && self.name.to_ascii_lowercase() == plain(name))
    }

    const fn mirrored(self, header: &'static str) -> Self {
        Self { header: Some(header), ..self }
    }
}

pub(super) const CLUSTER: Argument =
    text("cluster", "Name of the cluster; may be left out where you have one").mirrored("Cluster");
pub(super) const CLUSTERS: Argument =
    text("cluster", "Name of the cluster, a,b or *; may be left out where you have one").mirrored("Cluster");
pub(super) const NAMESPACE: Argument =
    text("namespace", "Name, a,b or *; left out: every namespace granted").mirrored("Namespace");
pub(super) const RESOURCE: Argument =
    text("resource", "Kind, plural or short name (pods, deploy, certificates.cert-manager.io), or kind/name").needed();
pub(super) const KIND: Argument =
    text("resource", "Kind, plural or short name: pods, deploy, certificates.cert-manager.io").needed();
pub(super) const NAME: Argument = text("name", "Name of the object, or several: a,b");
pub(super) const LABEL_SELECTOR: Argument = text("labelSelector", "As in kubectl -l: app=web,tier!=db");
pub(super) const FIELD_SELECTOR: Argument = text("fieldSelector", "As in kubectl: status.phase!=Running");
pub(super) const LIMIT: Argument =
    Argument { kind: Kind::Integer { min: 1, max: 500 }, ..text("limit", "Objects at most, 1 to 500; default 50") };
pub(super) const CURSOR: Argument = text("cursor", "Where an earlier reply stopped, with the same other arguments");
pub(super) const MAX_TOKENS: Argument =
    Argument { kind: Kind::Integer { min: 200, max: 100_000 }, ..text("maxTokens", "Tokens that the reply may have") };

/// A name without case and underscores.
fn plain(name: &str) -> String {
    name.replace('_', "").to_ascii_lowercase()
}

/// What a caller gave for an argument, however it is spelled: for the audit log, which sees calls that were refused too.
pub fn given<'a>(arguments: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    let spelled = arguments.iter().filter(|(given, _)| plain(given) == name);
    spelled.filter_map(|(_, value)| value.as_str()).find(|text| !text.is_empty())
}

/// The JSON Schema of some arguments. Plain types only: a union with null makes strict clients drop the tool.
pub fn schema(arguments: &[Argument]) -> Map<String, Value> {
    let mut properties = Map::new();
    for Argument { name, kind, description, required: _, header } in arguments {
        let mut property = Map::new();
        match kind {
            Kind::Text => property.extend([("type".to_owned(), Value::from("string"))]),
            Kind::Integer { min, max } => property.extend([
                ("type".to_owned(), Value::from("integer")),
                ("minimum".to_owned(), Value::from(*min)),
                ("maximum".to_owned(), Value::from(*max)),
            ]),
        }
        property.insert("description".to_owned(), Value::from(*description));
        property.extend(header.map(|header| ("x-mcp-header".to_owned(), Value::from(header))));
        properties.insert((*name).to_owned(), Value::Object(property));
    }
    let required: Vec<&str> = arguments.iter().filter(|a| a.required).map(|a| a.name).collect();
    let mut schema = Map::new();
    schema.insert("type".to_owned(), Value::from("object"));
    schema.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        schema.insert("required".to_owned(), Value::from(required));
    }
    schema.insert("additionalProperties".to_owned(), Value::Bool(false));
    schema
}

/// Checked arguments of one call.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Arguments(BTreeMap<&'static str, Value>);

impl Arguments {
    /// Checks names, types and bounds. A snake_case spelling is taken for the camelCase one; an empty text and a null
    /// for nothing, which is how many models leave an argument out.
    ///
    /// # Errors
    /// Naming the argument, and the nearest one where there is none of that name.
    pub fn parse(known: &[Argument], given: Map<String, Value>) -> Result<Self, ToolError> {
        let mut parsed = BTreeMap::new();
        for (name, value) in given {
            let Some(argument) = known.iter().find(|a| a.is_spelled(&name)) else {
                return Err(unknown(known, &name));
            };
            let value = match (argument.kind, value) {
                (_, Value::Null) => continue,
                (_, Value::String(text)) if text.is_empty() => continue,
                (Kind::Text, Value::String(text)) => check_text(argument, &text)?,
                (Kind::Integer { min, max }, Value::Number(n)) => check_integer(argument, n.as_i64(), min, max)?,
                (Kind::Integer { min, max }, Value::String(text)) => {
                    check_integer(argument, text.trim().parse().ok(), min, max)?
                }
                (Kind::Text, _) => return Err(ToolError::invalid(argument.name, "must be a text")),
                (Kind::Integer { .. }, _) => return Err(ToolError::invalid(argument.name, "must be a whole number")),
            };
            if parsed.insert(argument.name, value).is_some() {
                return Err(ToolError::invalid(argument.name, "given twice"));
            }
        }
        match known.iter().find(|a| a.required && !parsed.contains_key(a.name)) {
            // `name: deployment/checkout` says both.
            Some(missing) if missing.name == RESOURCE.name && names_kind(&parsed) => Ok(Self(parsed)),
            Some(missing) => Err(ToolError::invalid(missing.name, format!("is needed. {}", missing.description))),
            None => Ok(Self(parsed)),
        }
    }

    /// A text argument.
    pub(super) fn text(&self, argument: &Argument) -> Option<&str> {
        self.0.get(argument.name)?.as_str()
    }

    /// An integer argument.
    pub(super) fn integer(&self, argument: &Argument) -> Option<i64> {
        self.0.get(argument.name)?.as_i64()
    }

    /// Everything but some arguments, as one text: two calls with the same text ask the same question.
    pub(super) fn question(&self, but: &[&Argument]) -> String {
        let rest: Vec<(&&str, &Value)> = self.0.iter().filter(|(n, _)| !but.iter().any(|a| a.name == **n)).collect();
        format!("{rest:?}")
    }
}

fn names_kind(parsed: &BTreeMap<&'static str, Value>) -> bool {
    parsed.get(NAME.name).and_then(Value::as_str).is_some_and(|name| name.contains('/'))
}

fn unknown(known: &[Argument], name: &str) -> ToolError {
    let best = known
        .iter()
        .map(|a| (strsim::jaro_winkler(&a.name.to_ascii_lowercase(), &name.to_ascii_lowercase()), a.name))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    // What kubectl or other servers call it.
    let alias = match name.to_ascii_lowercase().as_str() {
        "selector" | "labels" | "l" => Some(LABEL_SELECTOR.name),
        "kind" | "type" | "resourcetype" => Some(RESOURCE.name),
        "context" | "clustername" => Some(CLUSTER.name),
        "ns" => Some(NAMESPACE.name),
        "continue" | "pagetoken" => Some(CURSOR.name),
        _ => None,
    };
    let best = match alias.and_then(|alias| known.iter().find(|a| a.name == alias)) {
        Some(meant) => Some((1.0, meant.name)),
        None => best,
    };
    let name: String = name.chars().take(64).collect();
    match best {
        _ if name == NAME.name => ToolError::invalid(NAME.name, "this lists a kind; resource_get reads one object"),
        Some((score, near)) if score > 0.75 => {
            ToolError::invalid("arguments", format!("{} is unknown; did you mean {near}?", quoted(&name)))
        }
        _ => {
            let all: Vec<&str> = known.iter().map(|a| a.name).collect();
            let all = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
            ToolError::invalid("arguments", format!("{} is unknown; the arguments are: {all}", quoted(&name)))
        }
    }
}

fn check_text(argument: &Argument, text: &str) -> Result<Value, ToolError> {
    if text.len() > MAX_TEXT {
        return Err(ToolError::invalid(argument.name, format!("is longer than {MAX_TEXT} bytes")));
    }
    if text.chars().any(char::is_control) {
        return Err(ToolError::invalid(argument.name, "holds a line break or another control character"));
    }
    Ok(Value::String(text.trim().to_owned()))
}

fn check_integer(argument: &Argument, value: Option<i64>, min: i64, max: i64) -> Result<Value, ToolError> {
    match value {
        Some(n) if (min..=max).contains(&n) => Ok(Value::from(n)),
        _ => Err(ToolError::invalid(argument.name, format!("must be a whole number from {min} to {max}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const KNOWN: &[Argument] = &[CLUSTER, NAMESPACE, RESOURCE, NAME, LABEL_SELECTOR, LIMIT];

    fn parse(given: &Value) -> Result<Arguments, String> {
        Arguments::parse(KNOWN, given.as_object().unwrap().clone()).map_err(|e| e.text)
    }

    #[test]
    fn arguments_are_taken_as_models_write_them() {
        for given in [
            json!({"resource": "pods", "labelSelector": "a=b", "limit": 5}),
            json!({"resource": "pods", "label_selector": "a=b", "limit": "5"}),
            json!({"resource": " pods ", "labelselector": "a=b", "limit": 5, "namespace": null, "cluster": ""}),
        ] {
            let parsed = parse(&given).unwrap();
            assert_eq!(parsed.text(&RESOURCE), Some("pods"), "{given}");
            assert_eq!(parsed.text(&LABEL_SELECTOR), Some("a=b"), "{given}");
            assert_eq!(parsed.integer(&LIMIT), Some(5), "{given}");
            assert_eq!(parsed.text(&NAMESPACE), None, "{given}");
        }
    }

    #[test]
    fn an_argument_that_gateways_read_has_one_spelling() {
        for given in [json!({"resource": "pods", "Cluster": "a"}), json!({"resource": "pods", "name_space": "a"})] {
            assert!(parse(&given).unwrap_err().contains("did you mean"), "{given}");
        }
    }

    #[test]
    fn the_audit_log_finds_an_argument_however_it_is_spelled() {
        let arguments = json!({"": 1, "reSource": "", "Res_ource": "pods", "name": 7});
        let arguments = arguments.as_object().unwrap();
        assert_eq!(given(arguments, "resource"), Some("pods"));
        assert_eq!(given(arguments, "name"), None);
    }

    #[test]
    fn what_cannot_be_used_is_named_with_what_can() {
        for (given, expected) in [
            (
                json!({"resource": "pods", "namspace": "x"}),
                "arguments: \"namspace\" is unknown; did you mean namespace?",
            ),
            (json!({"resource": "pods", "zzz": "x"}), "the arguments are: cluster, namespace"),
            (json!({"resource": "pods", "a\nb": "x"}), "is unknown"),
            (json!({}), "resource: is needed"),
            (json!({"resource": 5}), "resource: must be a text"),
            (json!({"resource": ["pods"]}), "resource: must be a text"),
            (json!({"resource": "pods\nx"}), "resource: holds a line break"),
            (json!({"resource": "p".repeat(5000)}), "resource: is longer than"),
            (json!({"resource": "pods", "limit": 0}), "limit: must be a whole number from 1 to 500"),
            (json!({"resource": "pods", "limit": 1.5}), "limit: must be a whole number"),
            (json!({"resource": "pods", "limit": "many"}), "limit: must be a whole number"),
            (json!({"resource": "pods", "limit": true}), "limit: must be a whole number"),
            (json!({"resource": "pods", "labelSelector": "a", "label_selector": "b"}), "labelSelector: given twice"),
        ] {
            let error = parse(&given).unwrap_err();
            assert!(error.contains(expected), "{given}: {error}");
            assert!(!error.contains('\n'), "{given}: {error}");
        }
    }

    #[test]
    fn a_name_that_holds_the_kind_needs_no_resource() {
        assert!(parse(&json!({"name": "deployment/web"})).is_ok());
        assert!(parse(&json!({"name": "web"})).is_err());
    }
}
