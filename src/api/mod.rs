//! The wire types of the `McpEndpoint` custom resource. No logic: what an endpoint *means* is decided by
//! [`crate::endpoint`], and nothing past it sees these types.

mod authentication;
mod cluster;
mod rule;
mod status;

pub use authentication::{
    Authentication, ClaimMapping, ClaimMappings, ExtraMapping, Issuer, IssuerType, Jwt, PrefixedClaim,
    SelfSubjectReviewIssuer, SigningAlgorithm, TokenReviewIssuer, ValidationRule,
};
pub use cluster::{
    CertificateAuthority, Cluster, ClusterLimits, ClusterProfileSet, ConfigMapKeyRef, Credential, CredentialMode,
    Exchange, Forward, Impersonate, ProfileRef,
};
pub use rule::{
    Allow, ClusterScoped, Clusters, LabelSelector, LabelSelectorOperator, LabelSelectorRequirement, NamespaceMode,
    Namespaces, PodTemplates, Rule, Subjects, Writes,
};
pub use status::{ClusterStatus, McpEndpointStatus, Summary};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt as _, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What an `McpEndpoint` asks for: who may call (`authentication`), what can be reached (`clusters`), and who may
/// reach what (`rules`).
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "k-mcp.dev",
    version = "v1alpha1",
    kind = "McpEndpoint",
    namespaced,
    status = "McpEndpointStatus",
    shortname = "mcpep",
    category = "k-mcp",
    derive = "PartialEq",
    doc = "McpEndpoint is one MCP endpoint: a URL whose bearer tokens reach the clusters, tools and namespaces that its rules allow, and nothing else. Who may write McpEndpoints, or the ConfigMaps and ClusterProfiles they name, is trusted with every token that its endpoints accept.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status", description = "Whether the endpoint answers calls"),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.url", description = "Where agents connect"),
    printcolumn(name = "Clusters", type_ = "string", json_path = ".status.summary.clusters", description = "Clusters in use of clusters declared"),
    printcolumn(name = "Tools", type_ = "integer", json_path = ".status.summary.tools", description = "Tools that the rules allow to anyone"),
    printcolumn(name = "Problems", type_ = "integer", json_path = ".status.summary.problems", description = "Parts that are not in effect; see the conditions"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 63").message("metadata.name must have at most 63 characters: it is a segment of the URL"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.clusters) || self.clusters.all(c, c.credential.mode == 'Forward') || self.clusters.all(c, c.credential.mode != 'Forward')")
        .message("spec.clusters: either all clusters use credential.mode Forward or none does: a Forward cluster sees tokens that it could replay here"),
    validation = Rule::new("!has(self.clusters) || self.clusters.all(c, !has(c.credential.forward) || c.credential.forward.issuers.all(n, self.authentication.issuers.exists(i, i.name == n)))")
        .message("spec.clusters[].credential.forward.issuers must name issuers of spec.authentication.issuers"),
    validation = Rule::new("self.authentication.issuers.all(i, !has(i.selfSubjectReview) || (has(self.clusters) && self.clusters.exists(c, c.name == i.selfSubjectReview.cluster)))")
        .message("spec.authentication.issuers[].selfSubjectReview.cluster must name one of spec.clusters"),
    validation = Rule::new("!has(self.rules) || self.rules.all(r, r.subjects.issuers.all(n, self.authentication.issuers.exists(i, i.name == n)))")
        .message("spec.rules[].subjects.issuers must name issuers of spec.authentication.issuers"),
    validation = Rule::new("!has(self.rules) || (has(self.clusterProfiles) && self.clusterProfiles.size() > 0) || self.rules.all(r, !has(r.allow.clusters.names) || r.allow.clusters.names.all(n, has(self.clusters) && self.clusters.exists(c, c.name == n)))")
        .message("spec.rules[].allow.clusters.names must name clusters of spec.clusters"),
    validation = Rule::new("!has(self.rules) || self.rules.all(r, r.allow.toolSets.all(n, n in ['inspect', 'diagnosis', 'change'] || (has(self.toolSets) && self.toolSets.exists(t, t.name == n))))")
        .message("spec.rules[].allow.toolSets must name inspect, diagnosis, change or one of spec.toolSets"),
)]
pub struct McpEndpointSpec {
    /// Who may call: the issuers whose tokens are accepted here.
    pub authentication: Authentication,
    /// The clusters that calls can reach. Each is named here; no other host is ever sent a token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub clusters: Vec<Cluster>,
    /// Live sets of clusters from SIG-Multicluster ClusterProfiles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub cluster_profiles: Vec<ClusterProfileSet>,
    /// Named sets of tools, beside the built-in `inspect`, `diagnosis` and `change`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub tool_sets: Vec<ToolSet>,
    /// Who may reach what. Rules add up and only ever allow: no rule, no access. Access is the union of each rule's
    /// (clusters × tools × namespaces) product, never the product of the unions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub rules: Vec<rule::Rule>,
    /// Kinds that no call may read or write here, beside the built-in list (Secrets, ServiceAccounts, RBAC and their
    /// OpenShift equivalents), which this never shortens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub restricted_resources: Vec<GroupResource>,
    /// How writes are confirmed.
    #[serde(default)]
    pub writes: WritePolicy,
    /// Bounds of every call, per replica.
    #[serde(default)]
    pub limits: Limits,
}

/// A named set of tools.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(self.name in ['inspect', 'diagnosis', 'change'])")
        .message("toolSets[].name: inspect, diagnosis and change are built in and cannot be redefined")
        .field_path(".name"),
)]
pub struct ToolSet {
    /// Name that rules refer to.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Tools of the set, such as `resource_list`.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub tools: Vec<String>,
}

/// A resource of an API group.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct GroupResource {
    /// API group; empty for the core group.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub group: String,
    /// Plural name of the resource, or `*` for the whole group.
    #[schemars(length(min = 1, max = 63))]
    pub resource: String,
}

/// How writes are confirmed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct WritePolicy {
    /// `Elicit`: a person must answer the client's question before anything is written. `Plan`: the same call,
    /// repeated with the plan that the first one returned, writes.
    #[serde(default)]
    pub confirmation: Confirmation,
}

/// How a write is confirmed.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Confirmation {
    /// A person must answer.
    #[default]
    Elicit,
    /// The agent repeats the call with the plan.
    Plan,
}

/// Bounds of every call, per replica.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// Tokens (estimated as cl100k) that one reply may have.
    #[schemars(range(min = 500, max = 100_000))]
    pub max_output_tokens: u32,
    /// Calls per minute and caller.
    #[schemars(range(min = 1, max = 100_000))]
    pub requests_per_minute: u32,
    /// Calls of one caller at the same time.
    #[schemars(range(min = 1, max = 1000))]
    pub max_concurrent_calls: u32,
    /// Tokens of replies per minute and caller.
    #[schemars(range(min = 1000, max = 100_000_000))]
    pub output_tokens_per_minute: u32,
    /// Seconds that a call may take.
    #[schemars(range(min = 1, max = 300))]
    pub timeout_seconds: u32,
    /// Log lines that one call may read per container.
    #[schemars(range(min = 10, max = 100_000))]
    pub max_log_lines: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_output_tokens: 4000,
            requests_per_minute: 300,
            max_concurrent_calls: 16,
            output_tokens_per_minute: 200_000,
            timeout_seconds: 30,
            max_log_lines: 2000,
        }
    }
}

/// The `CustomResourceDefinition` of `McpEndpoint`, as `k-mcp crd` prints it and `crds/` holds it.
///
/// Two things of the derived schema are taken out: `nullable` (Kubernetes API types know no `null`, and one would
/// satisfy `has()` in the CEL rules) and the integer formats that the API server does not know.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = McpEndpoint::crd();
    for version in &mut crd.spec.versions {
        let Some(schema) = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut()) else { continue };
        let Ok(mut value) = serde_json::to_value(&*schema) else { continue };
        tidy(&mut value);
        if let Ok(strict) = serde_json::from_value(value) {
            *schema = strict;
        }
    }
    crd
}

fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("nullable") == Some(&Value::Bool(true)) {
                map.remove("nullable");
            }
            if map.get("format").and_then(Value::as_str).is_some_and(|f| f.starts_with("uint")) {
                map.remove("format");
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(list) => list.iter_mut().for_each(tidy),
        _ => {}
    }
}
