//! What an `McpEndpoint` means once it is valid. Pure: values in, values out, no I/O and no clock of its own.
//!
//! [`compile()`] turns wire objects into [`Endpoint`]s and [`Problem`]s; a [`Catalog`] is the snapshot of all of them;
//! [`policy`] decides what a [`Caller`] may do at an [`Endpoint`], as a [`Grant`].

mod caller;
mod catalog;
mod compile;
mod expression;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod policy;
mod problem;
mod restricted;
mod selector;
mod tool;

pub use caller::{Caller, Token};
pub use catalog::{Catalog, LiveCatalog};
pub use compile::{Compiled, References, Settings, compile};
pub use expression::{EvaluationError, Expression, Scope as ExpressionScope, user_variable};
pub use policy::{Denied, Grant, NamespaceScope, Scope};
pub use problem::{Problem, Reason};
pub use restricted::{NEVER_AVAILABLE, Restriction, restriction, restriction_by_name};
pub use selector::Selector;
pub use tool::{Tool, ToolSet};

use crate::api;
use aws_lc_rs::digest;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

/// A compiled `McpEndpoint`: only its valid parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// `metadata.name`, the last segment of the URL.
    pub name: String,
    /// `metadata.uid`: caches are keyed by it, so that a recreated endpoint starts anew.
    pub uid: String,
    /// Where agents connect.
    pub url: String,
    /// Audiences of which a token must hold one.
    pub audiences: Vec<String>,
    /// OAuth scopes to announce.
    pub scopes: Vec<String>,
    /// Longest lifetime that a token may have.
    pub max_token_lifetime: Duration,
    /// Issuers whose tokens are accepted.
    pub issuers: Vec<Arc<Issuer>>,
    /// Clusters by name.
    pub clusters: BTreeMap<String, Arc<Cluster>>,
    /// Rules, in the order of the object.
    pub rules: Vec<Rule>,
    /// Kinds that this endpoint adds to the restricted ones.
    pub restricted: Vec<GroupResource>,
    /// Bounds of a call.
    pub limits: Limits,
}

/// Bounds of calls at an endpoint, per replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Tokens (estimated) that a reply may have.
    pub max_output_tokens: usize,
    /// How long a call may take.
    pub timeout: Duration,
    /// Calls per minute and caller.
    pub requests_per_minute: NonZeroU32,
    /// Calls of one caller at the same time.
    pub max_concurrent_calls: NonZeroU32,
    /// Tokens (estimated) of replies per minute and caller.
    pub output_tokens_per_minute: NonZeroU32,
}

/// A resource of an API group; `*` for all of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupResource {
    /// API group, empty for the core group.
    pub group: String,
    /// Plural name, or `*`.
    pub resource: String,
}

/// An issuer of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// Name that rules use.
    pub name: String,
    /// The tokens' `iss`.
    pub url: String,
    /// How its tokens are verified.
    pub verification: Verification,
    /// SHA-256 over everything that decides how its tokens are read: part of every cache key.
    pub digest: Digest,
}

/// How an issuer's tokens are verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verification {
    /// Locally, against a JWKS.
    Jwt(Box<JwtVerification>),
    /// By the named cluster, asked with the token.
    SelfSubjectReview {
        /// The cluster.
        cluster: String,
    },
}

/// What local verification needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtVerification {
    /// URL of the discovery document.
    pub discovery_url: String,
    /// Who vouches for the issuer's certificate.
    pub trust: Trust,
    /// Accepted algorithms, by their registered names.
    pub algorithms: Vec<api::SigningAlgorithm>,
    /// Where the user name comes from.
    pub username: ClaimSource,
    /// Where the groups come from.
    pub groups: Option<ClaimSource>,
    /// Where the uid comes from.
    pub uid: Option<ClaimSource>,
    /// Extra values, by key.
    pub extra: Vec<(String, Expression)>,
    /// What must hold of the claims, else the token is refused with the message.
    pub claim_rules: Vec<ValidationRule>,
    /// What must hold of the user, else the token is refused with the message.
    pub user_rules: Vec<ValidationRule>,
}

/// Where a part of an identity comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimSource {
    /// A claim, with a prefix, perhaps empty, before its value.
    Claim {
        /// Name of the claim.
        claim: String,
        /// Prefix.
        prefix: String,
    },
    /// An expression over the claims.
    Expression(Expression),
}

/// What must hold, and what the caller is told where it does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidationRule {
    /// The condition.
    pub expression: Expression,
    /// For the caller.
    pub message: String,
}

/// Who vouches for a server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// The system's roots.
    System,
    /// These PEM certificates, and no others.
    Pem {
        /// The certificates.
        pem: Arc<str>,
        /// SHA-256 of the text.
        digest: Digest,
    },
    /// What was named does not resolve: nothing is trusted.
    Unresolved,
}

impl Trust {
    /// Trust in the certificates of a PEM text.
    pub fn pem(pem: &str) -> Self {
        Self::Pem { pem: pem.into(), digest: Digest::of([pem]) }
    }
}

/// A cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Name that rules and agents use.
    pub name: String,
    /// Labels that rules select by.
    pub labels: BTreeMap<String, String>,
    /// Where it is.
    pub upstream: Upstream,
    /// As whom it is called.
    pub credential: Credential,
    /// Requests in flight at once.
    pub max_concurrent_requests: usize,
}

/// Where a server is and how it proves that it is it. Connections and discovery are shared by this, never by a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Scheme, host, port and path prefix.
    pub server: url::Url,
    /// Who vouches for its certificate.
    pub trust: Trust,
    /// Name to verify, where it is not the URL's host.
    pub tls_server_name: Option<String>,
}

/// As whom a cluster is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// With the caller's token.
    Forward {
        /// Issuers whose tokens may be sent.
        issuers: BTreeSet<String>,
        /// Audiences of which the token must hold one.
        audiences: BTreeSet<String>,
    },
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Name, for the audit log.
    pub name: String,
    /// Who.
    pub subjects: Subjects,
    /// Names of the clusters, already selected.
    pub clusters: BTreeSet<String>,
    /// Tools, already expanded.
    pub tools: BTreeSet<Tool>,
    /// Namespaces.
    pub namespaces: NamespaceScope,
    /// Whether kinds without a namespace are allowed.
    pub cluster_scoped: bool,
}

/// Who a rule is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subjects {
    /// Issuers, one of which verified the caller.
    pub issuers: BTreeSet<String>,
    /// User names; `None` where the rule names none.
    pub users: Option<BTreeSet<String>>,
    /// Groups; `None` where the rule names none.
    pub groups: Option<BTreeSet<String>>,
    /// What must hold of the caller.
    pub condition: Option<Expression>,
}

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Default for Limits {
    /// Those of an McpEndpoint that names none.
    fn default() -> Self {
        let api::Limits {
            max_output_tokens,
            requests_per_minute,
            max_concurrent_calls,
            output_tokens_per_minute,
            timeout_seconds,
            max_log_lines: _,
        } = api::Limits::default();
        let positive = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        Self {
            max_output_tokens: usize::try_from(max_output_tokens).unwrap_or(usize::MAX),
            timeout: Duration::from_secs(u64::from(timeout_seconds)),
            requests_per_minute: positive(requests_per_minute),
            max_concurrent_calls: positive(max_concurrent_calls),
            output_tokens_per_minute: positive(output_tokens_per_minute),
        }
    }
}

impl Digest {
    /// Of some texts, with their lengths, so that no two sequences collide by concatenation.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut out = [0; 32];
        out.copy_from_slice(context.finish().as_ref());
        Self(out)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|b| write!(f, "{b:02x}"))
    }
}
