//! Errors of tools: texts that the model can act on.

use crate::{
    cluster::Failure,
    endpoint::{Denied, NEVER_AVAILABLE, Restriction},
    reply::{
        redact::Redactor,
        sanitize::{line, quoted},
    },
};
use http::StatusCode;

/// How a call ended, for metrics and the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It answered.
    Ok,
    /// An argument cannot be used.
    Invalid,
    /// The Grant, or the cluster's RBAC, says no.
    Denied,
    /// What was asked for does not exist.
    NotFound,
    /// The cluster did not answer as it should.
    Failed,
    /// The caller has had its share.
    Limited,
}

impl Outcome {
    /// As a metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Invalid => "invalid",
            Self::Denied => "denied",
            Self::NotFound => "not_found",
            Self::Failed => "failed",
            Self::Limited => "limited",
        }
    }
}

/// A call that gave no answer, and what would.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ToolError {
    /// Which kind.
    pub outcome: Outcome,
    /// For the model.
    pub text: String,
}

impl ToolError {
    /// An argument cannot be used.
    pub fn invalid(argument: &str, text: impl std::fmt::Display) -> Self {
        Self { outcome: Outcome::Invalid, text: format!("{argument}: {text}") }
    }

    /// The Grant says no.
    pub fn denied(text: impl Into<String>) -> Self {
        Self { outcome: Outcome::Denied, text: text.into() }
    }

    /// It does not exist.
    pub fn not_found(text: impl Into<String>) -> Self {
        Self { outcome: Outcome::NotFound, text: text.into() }
    }

    /// It should have worked.
    pub fn failed(text: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failed, text: text.into() }
    }

    /// A restricted kind: one fixed sentence, on every cluster.
    pub fn never_available() -> Self {
        Self::denied(NEVER_AVAILABLE)
    }

    /// An upstream request failed.
    pub fn upstream(cluster: &str, failure: &Failure) -> Self {
        let cluster = line(cluster);
        let outcome = match failure {
            Failure::Denied(_) => Outcome::Denied,
            Failure::Api { status, .. } if *status == StatusCode::NOT_FOUND => Outcome::NotFound,
            Failure::Api { status, .. } if [StatusCode::FORBIDDEN, StatusCode::UNAUTHORIZED].contains(status) => {
                Outcome::Denied
            }
            _ => Outcome::Failed,
        };
        let text = match failure {
            Failure::Denied(denied) => denied_text(*denied).to_owned(),
            Failure::Api { status, message, retry_after, .. } => match *status {
                StatusCode::UNAUTHORIZED => format!(
                    "cluster {cluster} does not accept this token (401); its issuer or audience is not one that it trusts"
                ),
                StatusCode::TOO_MANY_REQUESTS => format!(
                    "cluster {cluster} asks to slow down; try again in {}s",
                    retry_after.map_or(5, |d| d.as_secs().max(1))
                ),
                StatusCode::GONE => {
                    format!("cluster {cluster} no longer holds that page; start again without cursor")
                }
                code => format!(
                    "cluster {cluster} answered {}: {}",
                    code.as_u16(),
                    quoted(&Redactor::default().text(message))
                ),
            },
            other => format!("cluster {cluster}: {other}"),
        };
        Self { outcome, text }
    }
}

fn denied_text(denied: Denied) -> &'static str {
    match denied {
        Denied::Tool => "this tool may not be used in that cluster",
        Denied::Namespace => "that namespace is not one that you may use here",
        Denied::AllNamespaces => "only some namespaces are granted here; name one",
        Denied::ClusterScoped => "kinds without a namespace are not granted here",
        Denied::Restricted(Restriction::BuiltIn) => NEVER_AVAILABLE,
        Denied::Restricted(Restriction::Endpoint) => "no such kind here",
    }
}
