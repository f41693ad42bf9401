//! What tests of several modules start from: one endpoint, one cluster, one caller. Fields are changed by struct update.

use super::{Caller, Cluster, Credential, Endpoint, Limits, Rule, Token, Trust, Upstream};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

pub(crate) fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&n| n.to_owned()).collect()
}

/// Clusters `a` and `b`, audience `mcp`, issuer `corp` (which each test describes itself where it is asked).
pub(crate) fn endpoint(rules: Vec<Rule>) -> Endpoint {
    Endpoint {
        name: "e".to_owned(),
        uid: "u".to_owned(),
        url: "https://mcp.example/mcp/e".to_owned(),
        audiences: vec!["mcp".to_owned()],
        scopes: Vec::new(),
        max_token_lifetime: Duration::from_hours(24),
        issuers: Vec::new(),
        clusters: ["a", "b"].map(|name| (name.to_owned(), Arc::new(cluster(name)))).into(),
        rules,
        restricted: Vec::new(),
        limits: Limits::default(),
    }
}

/// Takes tokens of `corp` with the audience `k8s`.
pub(crate) fn cluster(name: &str) -> Cluster {
    Cluster {
        name: name.to_owned(),
        labels: BTreeMap::new(),
        upstream: Upstream {
            server: "https://k.example".parse().unwrap(),
            trust: Trust::System,
            tls_server_name: None,
        },
        credential: Credential::Forward { issuers: set(&["corp"]), audiences: set(&["k8s"]) },
        max_concurrent_requests: 1,
    }
}

/// `corp:<name>`, verified by `corp`, with the audiences of the endpoint and its clusters.
pub(crate) fn caller(name: &str, groups: &[&str]) -> Caller {
    Caller {
        issuer: "corp".to_owned(),
        subject: name.to_owned(),
        username: format!("corp:{name}"),
        groups: set(groups),
        uid: None,
        extra: serde_json::Map::new(),
        claims: None,
        audiences: set(&["mcp", "k8s"]),
        expires: SystemTime::now() + Duration::from_mins(10),
        only_cluster: None,
        token: Token::new("t"),
    }
}
