//! HTTP: Host and Origin, who calls, the MCP handler, the audit log; and the admin port.

mod admin;
mod audit;
mod hosts;
mod limits;
mod listener;
mod mcp;
mod metadata;
mod readiness;

pub use admin::router as admin_router;
pub use hosts::{Hosts, HostsError};
pub use listener::serve;
pub use readiness::{Pending, Readiness};

use crate::{
    auth::{Authenticator, Refusal},
    cluster::Clusters,
    endpoint::{Endpoint, Grant, LiveCatalog},
    metrics::Metrics,
    reply::sanitize::line,
    tools::Sealer,
};
use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{any, get},
};
use rmcp::transport::{
    StreamableHttpService,
    streamable_http_server::{StreamableHttpServerConfig, session::never::NeverSessionManager},
};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// Largest request body.
const MAX_BODY: usize = 1 << 20;

/// What requests need, shared by all of them.
pub struct Shared {
    /// The newest Catalog.
    pub live: LiveCatalog,
    /// Verifies tokens.
    pub authenticator: Authenticator,
    /// The way to clusters.
    pub clusters: Clusters,
    /// Seals cursors.
    pub sealer: Arc<Sealer>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Which names this server answers to.
    pub hosts: Hosts,
}

#[derive(Clone)]
struct App {
    shared: Arc<Shared>,
    mcp: StreamableHttpService<mcp::Handler, NeverSessionManager>,
}

/// The agents' side: `/mcp/<endpoint>`.
pub fn router(shared: Arc<Shared>, stop: CancellationToken) -> Router {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_cancellation_token(stop)
        .with_max_request_body_bytes(MAX_BODY)
        // `Hosts` has checked both before anything is done for the request.
        .disable_allowed_hosts()
        .disable_allowed_origins();
    let handler = mcp::Handler::new(shared.clone());
    let mcp = StreamableHttpService::new(move || Ok(handler.clone()), Arc::default(), config);
    let app = App { shared: shared.clone(), mcp };
    Router::new()
        .route("/mcp/{endpoint}", any(serve_mcp))
        .route(metadata::WELL_KNOWN, get(serve_metadata))
        .route(&format!("{}/{{*path}}", metadata::WELL_KNOWN), get(serve_metadata))
        .fallback(unknown_path)
        .layer(middleware::from_fn_with_state(shared, check_hosts))
        .with_state(app)
}

/// Before anything else: DNS rebinding ends here.
async fn check_hosts(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    if let Err(error) = shared.hosts.check(request.uri(), request.headers()) {
        shared.metrics.refused(error.label());
        audit::refused("", error.label());
        return problem(StatusCode::FORBIDDEN, &error.to_string());
    }
    next.run(request).await
}

async fn serve_mcp(State(app): State<App>, Path(name): Path<String>, mut request: Request) -> Response {
    let App { shared, mcp } = app;
    if request.method() != Method::POST {
        shared.metrics.refused("method");
        audit::refused(&name, "method");
        let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "this server is stateless: only POST is served");
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    let Some(endpoint) = shared.live.load().endpoint(&name) else {
        shared.metrics.refused("unknown_endpoint");
        audit::refused(&name, "unknown_endpoint");
        let name: String = name.chars().take(80).collect();
        return problem(StatusCode::NOT_FOUND, &format!("no McpEndpoint named {} is served here", line(&name)));
    };
    match shared.authenticator.authenticate(&endpoint, request.headers()).await {
        Ok(caller) => {
            request.headers_mut().remove(header::AUTHORIZATION); // nothing past this line sees it as text
            let grant = Arc::new(Grant::new(endpoint, caller));
            shared.metrics.failed_conditions(grant.failed_conditions());
            request.extensions_mut().insert(grant.clone());
            let response = mcp::GRANT.scope(grant, mcp.handle(request)).await.map(Body::new);
            if response.status().is_client_error() {
                shared.metrics.refused("protocol"); // no MCP message: no tool was called
                audit::refused(&name, "protocol");
            }
            response
        }
        Err(refusal) => {
            shared.metrics.refused(refusal.label());
            audit::refused(&name, refusal.label());
            refused(&endpoint, &refusal)
        }
    }
}

async fn unknown_path(State(app): State<App>) -> Response {
    app.shared.metrics.refused("unknown_path");
    audit::refused("", "unknown_path");
    problem(StatusCode::NOT_FOUND, "nothing is served here; endpoints are at /mcp/<name>")
}

/// Open to everyone, as RFC 9728 has it: it says where to get a token.
async fn serve_metadata(State(app): State<App>, request: Request) -> Response {
    let rest = request.uri().path().strip_prefix(metadata::WELL_KNOWN).unwrap_or_default();
    let endpoint = metadata::find(&app.shared.live.load(), rest);
    match endpoint.and_then(|endpoint| metadata::document(&endpoint)) {
        Some(document) => {
            let headers = [(header::CACHE_CONTROL, "no-store"), (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")];
            (headers, axum::Json(document)).into_response()
        }
        None => unknown_path(State(app)).await,
    }
}

/// RFC 6750 section 3, RFC 9728 section 5.1.
fn refused(endpoint: &Endpoint, refusal: &Refusal) -> Response {
    let text = refusal.to_string();
    if *refusal == Refusal::IssuerUnavailable {
        let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, &text);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        return response;
    }
    let quoted: String = text.chars().filter(|c| (' '..='~').contains(c) && !matches!(c, '"' | '\\')).collect();
    let metadata = metadata::url(endpoint).map_or_else(String::new, |url| format!(r#"resource_metadata="{url}", "#));
    let scope = endpoint.scopes.join(" ");
    let scope = if scope.is_empty() { scope } else { format!(r#"scope="{scope}", "#) };
    let challenge = format!(r#"Bearer {metadata}{scope}error="invalid_token", error_description="{quoted}""#);
    let mut response = problem(StatusCode::UNAUTHORIZED, &text);
    if let Ok(value) = HeaderValue::try_from(challenge) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    response
}

fn problem(status: StatusCode, text: &str) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let body = serde_json::json!({"error": text}).to_string();
    (status, headers, body).into_response()
}

/// How long requests in flight may take once the server is to stop.
pub const DRAIN: Duration = Duration::from_secs(25);
