//! Why an upstream request did not give what was asked for.

use crate::endpoint::Denied;
use http::StatusCode;
use std::time::Duration;

/// Why an upstream request did not give what was asked for. Its texts come from a closed set, but for
/// [`Failure::Api`], whose message the API server wrote: it is quoted before anyone reads it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    /// The guard refused the request; it was not sent.
    #[error("not permitted")]
    Denied(Denied),
    /// The guard did not know the shape of the request; it was not sent. A bug of k-mcp.
    #[error("k-mcp refused to send this request: {0}")]
    Guard(&'static str),
    /// No connection.
    #[error("unreachable: {0}")]
    Unreachable(&'static str),
    /// No answer in time.
    #[error("no answer in {}s", .0.as_secs_f32().ceil())]
    TimedOut(Duration),
    /// Too many requests of this endpoint to the cluster were in flight until the deadline.
    #[error("too many requests in flight to this cluster; try again")]
    Busy,
    /// The API server said no.
    #[error("{status}: {message}")]
    Api {
        /// HTTP status.
        status: StatusCode,
        /// `reason` of the Kubernetes Status, such as `NotFound`; empty where there is none.
        reason: String,
        /// `message` of the Kubernetes Status; empty where there is none.
        message: String,
        /// `Retry-After`, where the server gave one.
        retry_after: Option<Duration>,
    },
    /// An answer that is no answer.
    #[error("the server's answer could not be read: {0}")]
    Garbled(&'static str),
    /// An answer larger than what is accepted.
    #[error("the answer is larger than {0} MiB; narrow the question")]
    TooLarge(usize),
}

impl Failure {
    /// As a metric label: one of a closed set.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Denied(_) => "denied",
            Self::Guard(_) => "guard",
            Self::Unreachable(_) => "unreachable",
            Self::TimedOut(_) => "timeout",
            Self::Busy => "busy",
            Self::Api { .. } => "api",
            Self::Garbled(_) => "garbled",
            Self::TooLarge(_) => "too_large",
        }
    }

    /// Whether the API server answered with this status.
    pub fn is_status(&self, code: StatusCode) -> bool {
        matches!(self, Self::Api { status, .. } if *status == code)
    }
}
