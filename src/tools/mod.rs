//! What agents call: one tool, one file, and the registry of all.
//!
//! A tool reads its arguments, goes to clusters through [`Handle`]s that the caller's Grant mints, and answers with
//! one text. It sees no HTTP, no token and no wire type of the `McpEndpoint`.

mod access;
mod arguments;
mod cluster_list;
mod cursor;
mod error;
mod resource_get;
mod resource_list;
mod selectors;

pub use arguments::{Argument, Arguments, given, schema};
pub use cursor::Sealer;
pub use error::{Outcome, ToolError};

use crate::{
    cluster::{Clusters, Handle},
    endpoint::{Grant, Tool},
};
use aws_lc_rs::rand;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures::future::BoxFuture;
use serde_json::{Map, Value};
use std::sync::Arc;
use tokio::time::Instant;

/// What a tool is to its callers.
#[derive(Debug, Clone, Copy)]
pub struct Definition {
    /// Which tool.
    pub tool: Tool,
    /// Title, for people.
    pub title: &'static str,
    /// When to use it, for the model.
    pub description: &'static str,
    /// Arguments, in the order of the schema.
    pub arguments: &'static [Argument],
}

/// One call: who, until when, and the ways out.
#[derive(Clone)]
pub struct Context {
    /// What the caller may do.
    pub grant: Arc<Grant>,
    /// The way to clusters.
    pub clusters: Clusters,
    /// When the call must have answered.
    pub deadline: Instant,
    /// Seals cursors.
    pub sealer: Arc<Sealer>,
}

impl Context {
    /// The way to a cluster for a tool; `None` where the Grant does not allow it.
    fn handle(&self, tool: Tool, cluster: &str) -> Option<Handle> {
        self.clusters.handle(&self.grant, tool, cluster, self.deadline)
    }

    /// Tokens that the reply may have: what the caller asks for, at most what the endpoint allows.
    fn max_tokens(&self, arguments: &Arguments) -> usize {
        let limit = self.grant.endpoint().limits.max_output_tokens;
        arguments.integer(&arguments::MAX_TOKENS).and_then(|n| usize::try_from(n).ok()).map_or(limit, |n| n.min(limit))
    }

    /// What to do about a reply that was cut.
    fn how_to_see_more(&self, arguments: &Arguments) -> String {
        let limit = self.grant.endpoint().limits.max_output_tokens;
        if self.max_tokens(arguments) < limit {
            "a larger maxTokens shows more".to_owned()
        } else {
            format!("this endpoint allows {limit} tokens in a reply")
        }
    }
}

/// Runs what computes over answers of clusters, redaction above all, where it holds up no other call.
fn offload<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

/// Random letters and digits for a fence: nothing that a workload wrote can know them.
fn nonce() -> Result<String, ToolError> {
    let mut bytes = [0; 9];
    rand::fill(&mut bytes).map_err(|_| ToolError::failed("the system gives no random bytes"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

type Run = for<'a> fn(&'a Context, &'a Arguments) -> BoxFuture<'a, Result<String, ToolError>>;

/// Every tool that this version has, in the order of lists.
const REGISTRY: &[(Definition, Run)] = &[
    (cluster_list::DEFINITION, |context, _| Box::pin(cluster_list::run(context))),
    (resource_list::DEFINITION, |context, arguments| Box::pin(resource_list::run(context, arguments))),
    (resource_get::DEFINITION, |context, arguments| Box::pin(resource_get::run(context, arguments))),
];

/// The definition of a tool, if this version has it.
pub fn definition(tool: Tool) -> Option<&'static Definition> {
    REGISTRY.iter().map(|(definition, _)| definition).find(|d| d.tool == tool)
}

/// Calls a tool. Whether the caller may use it at all has been decided; what it reaches is decided at each request.
///
/// # Errors
/// With a text that says what would work.
pub async fn call(context: &Context, tool: Tool, arguments: Map<String, Value>) -> Result<String, ToolError> {
    let (definition, run) =
        REGISTRY.iter().find(|(d, _)| d.tool == tool).ok_or_else(|| ToolError::denied("no such tool"))?;
    let arguments = Arguments::parse(definition.arguments, arguments)?;
    run(context, &arguments).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_holds_each_available_tool_once_and_in_order() {
        let registered: Vec<Tool> = REGISTRY.iter().map(|(d, _)| d.tool).collect();
        let available: Vec<Tool> = Tool::ALL.into_iter().filter(|t| t.is_available()).collect();
        assert_eq!(registered, available);
    }

    /// A union with null, or anything but a plain string, under `x-mcp-header` makes conforming clients drop the tool.
    #[test]
    fn every_schema_is_one_that_strict_clients_take() {
        for (definition, _) in REGISTRY {
            let schema = schema(definition.arguments);
            assert_eq!(schema["type"], "object");
            assert_eq!(schema["additionalProperties"], false);
            for (name, property) in schema["properties"].as_object().unwrap() {
                let kind = property["type"].as_str().unwrap_or_else(|| panic!("{name}: {property}"));
                assert!(["string", "integer", "boolean"].contains(&kind), "{name}: {property}");
                let header = property.get("x-mcp-header");
                assert_eq!(header.is_some(), ["cluster", "namespace"].contains(&name.as_str()), "{name}");
                assert!(header.is_none() || kind == "string", "{name}");
                assert!(!property["description"].as_str().unwrap().is_empty(), "{name}");
            }
        }
    }

    /// A change of what agents see is a change of this file, to be read in review. `make generate` writes it.
    #[test]
    fn the_schemas_are_those_of_the_golden_file() {
        let all: Vec<Value> = REGISTRY
            .iter()
            .map(|(d, _)| {
                serde_json::json!({"name": d.tool.name(), "title": d.title, "description": d.description,
                                   "inputSchema": schema(d.arguments)})
            })
            .collect();
        let text = serde_json::to_string_pretty(&all).unwrap() + "\n";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/tools.json");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), text, "run `make generate` and look at the difference");
    }
}
