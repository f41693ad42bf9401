//! Parts of McpEndpoints.

use super::cluster::{CLUSTER_AUDIENCE, Cluster, Issuer};
use serde_json::{Value, json};

/// An issuer whose tokens are verified by its keys. Names get the prefix that the clusters give them too.
pub fn jwt(name: &str, issuer: &Issuer) -> Value {
    json!({"name": name, "type": "JWT", "jwt": {
        "issuer": issuer.url(),
        "certificateAuthority": {"inline": issuer.ca()},
        "signingAlgorithms": ["RS256", "ES256"],
        "claimMappings": {
            "username": {"claim": "sub", "prefix": "oidc:"},
            "groups": {"claim": "groups", "prefix": "oidc:"},
        },
    }})
}

/// ServiceAccount tokens of a cluster, which vouches for them itself.
pub fn self_subject_review(name: &str, cluster: &Cluster) -> Value {
    json!({"name": name, "type": "SelfSubjectReview",
           "selfSubjectReview": {"cluster": cluster.name, "issuer": cluster.issuer()}})
}

/// A cluster that gets the tokens of some issuers.
pub fn cluster(cluster: &Cluster, issuers: &[&str]) -> Value {
    cluster_at(&cluster.name, &cluster.url(), &cluster.ca(), issuers, &[CLUSTER_AUDIENCE, &cluster.issuer()])
}

pub fn cluster_at(name: &str, url: &str, ca: &str, issuers: &[&str], audiences: &[&str]) -> Value {
    json!({"name": name, "server": url, "labels": {"name": name}, "certificateAuthority": {"inline": ca},
           "credential": {"mode": "Forward", "forward": {"issuers": issuers, "audiences": audiences}}})
}

/// A rule for every caller of an issuer.
pub fn rule(name: &str, issuer: &str, clusters: &[&str], tools: &[&str], namespaces: Value) -> Value {
    json!({"name": name, "subjects": {"issuers": [issuer], "anyUser": true},
           "allow": {"clusters": {"names": clusters}, "toolSets": tools, "namespaces": namespaces}})
}

pub fn everywhere() -> Value {
    json!({"mode": "All", "clusterScoped": "Allow"})
}

pub fn listed(names: &[&str]) -> Value {
    json!({"mode": "Listed", "names": names})
}

/// A spec of these parts.
pub fn spec(issuers: &[Value], clusters: &[Value], rules: &[Value]) -> Value {
    json!({"authentication": {"issuers": issuers}, "clusters": clusters, "rules": rules})
}
