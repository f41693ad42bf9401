//! `k-mcp check`: what the API server and this server would say of McpEndpoint files, without either.
//!
//! In their order: the schema (unknown fields too, which an API server would silently drop), the CEL rules, and
//! [`compile`]'s problems. ConfigMaps in the same files are what the endpoints may refer to.

use crate::{
    api::{self, McpEndpoint},
    endpoint::{References, Settings, compile},
    reply::yaml,
};
use kube::core::cel::Validator;
use serde_json::{Map, Value};
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::Read as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::LazyLock,
};

/// A finding: where, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Path of the field.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Checks files and prints what is wrong.
///
/// # Errors
/// Never: what cannot be read is a finding too.
pub fn run(files: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let mut documents: Vec<(&Path, Value)> = Vec::new();
    let mut failed = false;
    for file in files {
        match read(file).and_then(|text| yaml::documents(&text)) {
            Ok(found) => documents.extend(found.into_iter().map(|d| (file.as_path(), d))),
            Err(why) => {
                failed = true;
                println!("{}: {why}", file.display());
            }
        }
    }
    let references = config_maps(documents.iter().map(|(_, document)| document));
    let mut checked = 0;
    for (file, document) in &documents {
        if document.get("kind").and_then(Value::as_str) != Some("McpEndpoint") {
            continue;
        }
        checked += 1;
        let name = document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("(no name)");
        let findings = findings(document, &references);
        if findings.is_empty() {
            println!("{}: McpEndpoint {name}: ok", file.display());
        }
        for Finding { field, message } in &findings {
            failed = true;
            println!("{}: McpEndpoint {name}: {field}: {message}", file.display());
        }
    }
    if checked == 0 && !failed {
        failed = true;
        println!("no McpEndpoint in these files");
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn read(file: &Path) -> Result<String, String> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map_err(|e| e.to_string())?;
    } else {
        text = std::fs::read_to_string(file).map_err(|e| e.to_string())?;
    }
    Ok(text)
}

fn config_maps<'a>(documents: impl Iterator<Item = &'a Value>) -> References {
    let mut references = References::default();
    for document in documents.filter(|d| d.get("kind").and_then(Value::as_str) == Some("ConfigMap")) {
        let name = document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        for (key, value) in document.get("data").and_then(Value::as_object).into_iter().flatten() {
            let value = value.as_str().unwrap_or_default().to_owned();
            references.config_maps.insert((name.to_owned(), key.clone()), value);
        }
    }
    references
}

/// Everything that is wrong with one McpEndpoint. Later steps are left out where an earlier one found the object to be
/// of another shape.
pub fn findings(document: &Value, references: &References) -> Vec<Finding> {
    if document.get("apiVersion").and_then(Value::as_str) != Some("k-mcp.dev/v1alpha1") {
        return vec![finding("apiVersion", "must be k-mcp.dev/v1alpha1")];
    }
    let mut found = Vec::new();
    let Some((schema, validator)) = &*SCHEMA else {
        return vec![finding("", "the CRD has no usable schema: a bug of k-mcp")];
    };
    found.extend(
        validator
            .iter_errors(document)
            .map(|error| Finding { field: field_path(error.instance_path().as_str()), message: error.to_string() }),
    );
    duplicates(schema, document, "", &mut found);
    if !found.is_empty() {
        return found;
    }
    let object: McpEndpoint = match serde_json::from_value(document.clone()) {
        Ok(object) => object,
        Err(error) => return vec![finding("spec", &error.to_string())],
    };
    // With the defaults in place, as the API server evaluates the rules.
    let defaulted = serde_json::to_value(&object).unwrap_or_default();
    if let Err(errors) = Validator::new().validate(schema, &defaulted, None) {
        found.extend(errors.into_vec().into_iter().map(|e| Finding { field: e.field_path, message: e.message }));
    }
    // The URL only has to be one here: what depends on it is the server's.
    let settings = Settings { public_url: "https://k-mcp.invalid".to_owned() };
    let problems = compile(&object, references, &settings).problems;
    found.extend(problems.into_iter().map(|p| Finding { field: p.field, message: p.message }));
    found
}

fn finding(field: &str, message: &str) -> Finding {
    Finding { field: field.to_owned(), message: message.to_owned() }
}

/// The schema and a validator of its strict form, made once for all documents.
static SCHEMA: LazyLock<Option<(Value, jsonschema::Validator)>> = LazyLock::new(|| {
    let schema = schema()?;
    let validator = jsonschema::validator_for(&strict(&schema)).ok()?;
    Some((schema, validator))
});

/// The schema of the CRD, with what every object has around its spec.
fn schema() -> Option<Value> {
    let crd = serde_json::to_value(api::crd()).ok()?;
    let mut schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema")?.clone();
    let properties = schema.get_mut("properties")?.as_object_mut()?;
    properties.insert("apiVersion".to_owned(), serde_json::json!({"type": "string"}));
    properties.insert("kind".to_owned(), serde_json::json!({"type": "string"}));
    let metadata = serde_json::json!({"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}, "additionalProperties": true});
    properties.insert("metadata".to_owned(), metadata);
    Some(schema)
}

/// The same schema, in which fields that it does not name are wrong and sets hold each entry once.
fn strict(schema: &Value) -> Value {
    match schema {
        Value::Object(map) => {
            let mut out: Map<String, Value> = map.iter().map(|(key, value)| (key.clone(), strict(value))).collect();
            if map.get("properties").is_some_and(Value::is_object) && !map.contains_key("additionalProperties") {
                out.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            if map.get("x-kubernetes-list-type").and_then(Value::as_str) == Some("set") {
                out.insert("uniqueItems".to_owned(), Value::Bool(true));
            }
            Value::Object(out)
        }
        Value::Array(list) => Value::Array(list.iter().map(strict).collect()),
        other => other.clone(),
    }
}

/// Entries of `map` lists that have the key of an earlier one.
fn duplicates(schema: &Value, value: &Value, path: &str, found: &mut Vec<Finding>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if let Some(schema) = schema.pointer(&format!("/properties/{}", key.replace('/', "~1"))) {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    duplicates(schema, value, &path, found);
                }
            }
        }
        Value::Array(list) => {
            let key = schema.pointer("/x-kubernetes-list-map-keys/0").and_then(Value::as_str);
            let mut seen = BTreeSet::new();
            for (i, entry) in list.iter().enumerate() {
                let path = format!("{path}[{i}]");
                if let Some(key) = key
                    && let Some(value) = entry.get(key).and_then(Value::as_str)
                    && !seen.insert(value)
                {
                    found.push(finding(&format!("{path}.{key}"), &format!("{value:?} stands here a second time")));
                }
                if let Some(items) = schema.get("items") {
                    duplicates(items, entry, &path, found);
                }
            }
        }
        _ => {}
    }
}

/// `/spec/rules/0/name` as `spec.rules[0].name`.
fn field_path(pointer: &str) -> String {
    let mut path = String::new();
    for segment in pointer.split('/').skip(1) {
        if segment.chars().all(|c| c.is_ascii_digit()) {
            let _ = write!(path, "[{segment}]");
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&segment.replace("~1", "/").replace("~0", "~"));
        }
    }
    path
}

#[cfg(test)]
mod tests;
