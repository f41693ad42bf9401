//! `spec.rules`: who may reach what.

use super::GroupResource;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One rule: whoever matches `subjects` may use the product of what `allow` names.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Name, for messages and the audit log.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Who.
    pub subjects: Subjects,
    /// What.
    pub allow: Allow,
}

/// Who a rule is for. Its fields are ANDed, the entries of each ORed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.users) && self.users.size() > 0) || (has(self.groups) && self.groups.size() > 0) || has(self.condition) || (has(self.anyUser) && self.anyUser)")
        .message("subjects must name users, groups, a condition, or anyUser: true"),
    validation = Rule::new("!(has(self.anyUser) && self.anyUser) || ((!has(self.users) || self.users.size() == 0) && (!has(self.groups) || self.groups.size() == 0))")
        .message("subjects: anyUser: true cannot be combined with users or groups"),
)]
pub struct Subjects {
    /// Issuers that must have verified the caller.
    #[schemars(length(min = 1, max = 8), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub issuers: Vec<String>,
    /// User names, as mapped (with prefix).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 512)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub users: Vec<String>,
    /// Groups, as mapped (with prefix).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 512)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub groups: Vec<String>,
    /// CEL over `user`, `issuer` and (JWT only) `claims`; an error matches nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub condition: Option<String>,
    /// Every caller of these issuers.
    #[serde(default, skip_serializing_if = "is_false")]
    pub any_user: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_false(b: &bool) -> bool {
    !*b
}

/// What a rule allows: the product of clusters, tool sets and namespaces.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Allow {
    /// In which clusters.
    pub clusters: Clusters,
    /// Which tools: `inspect`, `diagnosis`, `change` or names of `spec.toolSets`.
    #[schemars(length(min = 1, max = 35), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub tool_sets: Vec<String>,
    /// In which namespaces.
    pub namespaces: Namespaces,
    /// What the `change` tools may write beyond the built-in list, and how strictly.
    #[serde(default)]
    pub writes: Writes,
}

/// Clusters, by name or by label.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.names) != has(self.selector)").message("allow.clusters: names or selector must be set, and not both"))]
pub struct Clusters {
    /// Names of clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub names: Option<Vec<String>>,
    /// Labels of clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// A label selector; an empty one is refused.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.matchLabels) && self.matchLabels.size() > 0) || (has(self.matchExpressions) && self.matchExpressions.size() > 0)").message("selector must not be empty: name the labels that are meant"))]
pub struct LabelSelector {
    /// Labels and their values; all must match.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub match_labels: BTreeMap<String, String>,
    /// Requirements; all must match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub match_expressions: Vec<LabelSelectorRequirement>,
}

/// A requirement on one label.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.operator in ['In', 'NotIn'] ? (has(self.values) && self.values.size() > 0) : (!has(self.values) || self.values.size() == 0)").message("matchExpressions[]: In and NotIn need values, Exists and DoesNotExist take none"))]
pub struct LabelSelectorRequirement {
    /// The label.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// How it relates to the values.
    pub operator: LabelSelectorOperator,
    /// The values, for `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 63)))]
    pub values: Vec<String>,
}

/// How a label relates to the values of a requirement.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelSelectorOperator {
    /// The label has one of the values.
    In,
    /// The label is absent, or has none of the values.
    NotIn,
    /// The label is present.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

/// Namespaces that a rule allows.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.mode == 'Listed' ? (has(self.names) && self.names.size() > 0) : (!has(self.names) || self.names.size() == 0)")
        .message("namespaces: mode Listed needs names, mode All takes none"),
)]
pub struct Namespaces {
    /// `All`: every namespace. `Listed`: those of `names`.
    pub mode: NamespaceMode,
    /// The namespaces, for mode Listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub names: Vec<String>,
    /// Whether kinds without a namespace (Nodes, Namespaces, PersistentVolumes, …) may be read.
    #[serde(default)]
    pub cluster_scoped: ClusterScoped,
}

/// Which namespaces.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceMode {
    /// Every namespace.
    All,
    /// The listed ones.
    Listed,
}

/// Whether kinds without a namespace may be read.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClusterScoped {
    /// They may not.
    #[default]
    Deny,
    /// They may.
    Allow,
}

/// What the `change` tools may write.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Writes {
    /// Kinds that may be written beyond the built-in list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub kinds: Vec<GroupResource>,
    /// `Restricted`: a write may not add privileges, Secret references, host access or another ServiceAccount to a
    /// pod template. `Unrestricted`: the cluster's own admission decides.
    #[serde(default)]
    pub pod_templates: PodTemplates,
}

/// How strictly pod templates are checked.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PodTemplates {
    /// Nothing may be added that widens what the pod may do.
    #[default]
    Restricted,
    /// The cluster's own admission decides.
    Unrestricted,
}
