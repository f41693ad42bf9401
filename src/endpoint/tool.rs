//! The tools by name: what rules, grants and metrics speak of. What a tool does is in [`crate::tools`].

use std::{fmt, str::FromStr};

/// A tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is documented where it is implemented")]
pub enum Tool {
    ClusterList,
    ResourceList,
    ResourceGet,
    ResourceExplain,
    EventList,
    LogSearch,
    UsageList,
    AccessCheck,
    Diagnose,
    ChangeList,
    TopologyGet,
    ResourceCompare,
    ResourceApply,
    WorkloadRollout,
}

/// A built-in set of tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolSet {
    /// Looking at objects, events, logs and use.
    Inspect,
    /// Finding causes.
    Diagnosis,
    /// Writing.
    Change,
}

impl Tool {
    /// Every tool, in the order in which lists show them.
    pub const ALL: [Self; 14] = [
        Self::ClusterList,
        Self::ResourceList,
        Self::ResourceGet,
        Self::ResourceExplain,
        Self::EventList,
        Self::LogSearch,
        Self::UsageList,
        Self::AccessCheck,
        Self::Diagnose,
        Self::ChangeList,
        Self::TopologyGet,
        Self::ResourceCompare,
        Self::ResourceApply,
        Self::WorkloadRollout,
    ];

    /// The name that agents call.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClusterList => "cluster_list",
            Self::ResourceList => "resource_list",
            Self::ResourceGet => "resource_get",
            Self::ResourceExplain => "resource_explain",
            Self::EventList => "event_list",
            Self::LogSearch => "log_search",
            Self::UsageList => "usage_list",
            Self::AccessCheck => "access_check",
            Self::Diagnose => "diagnose",
            Self::ChangeList => "change_list",
            Self::TopologyGet => "topology_get",
            Self::ResourceCompare => "resource_compare",
            Self::ResourceApply => "resource_apply",
            Self::WorkloadRollout => "workload_rollout",
        }
    }

    /// The built-in set that holds it.
    pub fn set(self) -> ToolSet {
        match self {
            Self::ClusterList
            | Self::ResourceList
            | Self::ResourceGet
            | Self::ResourceExplain
            | Self::EventList
            | Self::LogSearch
            | Self::UsageList
            | Self::AccessCheck => ToolSet::Inspect,
            Self::Diagnose | Self::ChangeList | Self::TopologyGet | Self::ResourceCompare => ToolSet::Diagnosis,
            Self::ResourceApply | Self::WorkloadRollout => ToolSet::Change,
        }
    }

    /// Whether this version of k-mcp has it. What is not there yet may stand in an `McpEndpoint`, and is reported.
    pub fn is_available(self) -> bool {
        matches!(self, Self::ClusterList | Self::ResourceList | Self::ResourceGet)
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Tool {
    type Err = ();

    fn from_str(s: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|t| t.name() == s).ok_or(())
    }
}

impl FromStr for ToolSet {
    type Err = ();

    fn from_str(s: &str) -> Result<Self, ()> {
        match s {
            "inspect" => Ok(Self::Inspect),
            "diagnosis" => Ok(Self::Diagnosis),
            "change" => Ok(Self::Change),
            _ => Err(()),
        }
    }
}
