//! `spec.clusters` and `spec.clusterProfiles`: what can be reached, and as whom.

use super::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One cluster.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.server) != has(self.profileRef)").message("clusters[]: server or profileRef must be set, and not both"),
    validation = Rule::new("!has(self.profileRef) || (!has(self.certificateAuthority) && !has(self.tlsServerName))")
        .message("clusters[]: certificateAuthority and tlsServerName come from the profile where profileRef is set"),
)]
pub struct Cluster {
    /// Name that rules and agents use.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Labels that rules select by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub labels: BTreeMap<String, String>,
    /// URL of the API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new("isURL(self) && url(self).getScheme() == 'https' && url(self).getHostname() != '' && url(self).getQuery().size() == 0").message("clusters[].server must be an https URL without a query"))]
    pub server: Option<String>,
    /// A ClusterProfile that says where the cluster is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_ref: Option<ProfileRef>,
    /// CA that the server's certificate must lead to. Default: the system's roots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_authority: Option<CertificateAuthority>,
    /// Name to ask for and to verify, where it is not the URL's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub tls_server_name: Option<String>,
    /// As whom the cluster is called.
    pub credential: Credential,
    /// Bounds of the calls to this cluster, per replica.
    #[serde(default)]
    pub limits: ClusterLimits,
}

/// Bounds of the calls to one cluster, per replica.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterLimits {
    /// Requests in flight at once.
    #[schemars(range(min = 1, max = 1000))]
    pub max_concurrent_requests: u32,
}

impl Default for ClusterLimits {
    fn default() -> Self {
        Self { max_concurrent_requests: 32 }
    }
}

/// Where a CA certificate comes from.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.configMap) != has(self.inline)").message("certificateAuthority: configMap or inline must be set, and not both"))]
pub struct CertificateAuthority {
    /// A ConfigMap of the endpoint's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapKeyRef>,
    /// PEM certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub inline: Option<String>,
}

/// A key of a ConfigMap in the endpoint's namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKeyRef {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key that holds PEM certificates.
    #[serde(default = "default_ca_key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

fn default_ca_key() -> String {
    "ca.crt".to_owned()
}

/// As whom a cluster is called. No mode ever falls back to another.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.mode == 'Forward' ? (has(self.forward) && !has(self.exchange) && !has(self.impersonate)) : true").message("credential: mode Forward needs forward, and neither exchange nor impersonate"),
    validation = Rule::new("self.mode == 'Exchange' ? (has(self.exchange) && !has(self.forward) && !has(self.impersonate)) : true").message("credential: mode Exchange needs exchange, and neither forward nor impersonate"),
    validation = Rule::new("self.mode == 'Impersonate' ? (has(self.impersonate) && !has(self.forward) && !has(self.exchange)) : true").message("credential: mode Impersonate needs impersonate, and neither forward nor exchange"),
)]
pub struct Credential {
    /// Which of the three.
    pub mode: CredentialMode,
    /// For mode Forward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward: Option<Forward>,
    /// For mode Exchange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    /// For mode Impersonate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impersonate: Option<Impersonate>,
}

/// As whom a cluster is called.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialMode {
    /// With the caller's own token.
    Forward,
    /// With a token that the caller's was exchanged for (RFC 8693).
    Exchange,
    /// With k-mcp's projected token and impersonation headers.
    Impersonate,
}

/// The caller's token is sent, if it fits both lists.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Forward {
    /// Issuers whose tokens may be sent to this cluster.
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub issuers: Vec<String>,
    /// Audiences of the cluster, of which the token must hold one.
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 512)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub audiences: Vec<String>,
}

/// The caller's token is exchanged (RFC 8693) at a token endpoint that was declared for the identity at install.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Exchange {
    /// Identity, lent at install, that authenticates k-mcp to the token endpoint.
    #[schemars(length(min = 1, max = 63))]
    pub identity: String,
    /// Token endpoint; its origin must be one that the identity was lent for.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("isURL(self) && url(self).getScheme() == 'https' && url(self).getHostname() != ''").message("exchange.tokenEndpoint must be an https URL"))]
    pub token_endpoint: String,
    /// Audience to ask for.
    #[schemars(length(min = 1, max = 512))]
    pub audience: String,
    /// Scopes to ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub scopes: Vec<String>,
}

/// k-mcp's own projected token is sent with impersonation headers.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Impersonate {
    /// Identity, lent at install, that impersonates.
    #[schemars(length(min = 1, max = 63))]
    pub identity: String,
}

/// A ClusterProfile (`multicluster.x-k8s.io`) of the endpoint's namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ProfileRef {
    /// Name of the ClusterProfile.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Which of its access providers to use.
    #[schemars(length(min = 1, max = 253))]
    pub access_provider: String,
    /// Suffixes of which the server's host must have one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub allowed_server_suffixes: Vec<String>,
}

/// A live set of clusters from ClusterProfiles of the endpoint's namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ClusterProfileSet {
    /// Name of the set.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Which ClusterProfiles belong to it.
    pub selector: LabelSelector,
    /// Which of their access providers to use.
    #[schemars(length(min = 1, max = 253))]
    pub access_provider: String,
    /// Suffixes of which each server's host must have one.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 253)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub allowed_server_suffixes: Vec<String>,
    /// Labels that every cluster of the set gets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub labels: BTreeMap<String, String>,
    /// Labels of the ClusterProfile that its cluster takes over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 317)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub labels_from: Vec<String>,
    /// As whom its clusters are called.
    pub credential: Credential,
}
