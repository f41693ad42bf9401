//! k-mcp: the Kubernetes MCP server. An `McpEndpoint` decides which clusters, tools and namespaces each bearer token
//! reaches.
//!
//! The way of a request: [`server`] (Host, Origin, body) → [`auth`] (token → Caller) → [`endpoint`] (Caller → Grant) →
//! [`tools`] → [`cluster`] (handle → guard → credential → pool) → API server; and back through [`reply`] (redact,
//! sanitize, budget).
//!
//! The way of a change: `kubectl apply` → [`controller`] → [`endpoint::compile`] → [`endpoint::Catalog`] → [`server`].
//!
//! Dependencies point one way; `tests/it/structure.rs` holds the list and checks it.

pub mod api;
pub mod app;
pub mod auth;
pub mod cli;
pub mod cluster;
pub mod controller;
pub mod endpoint;
pub mod metrics;
pub mod reply;
pub mod server;
pub mod telemetry;
pub mod tools;
