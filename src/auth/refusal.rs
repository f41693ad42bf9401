//! Why a token is refused.

/// Why nobody is taken for the bearer of a token. The text is for whoever configures the client; it repeats nothing of
/// the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No `Authorization` header.
    #[error("no token: send Authorization: Bearer TOKEN")]
    Missing,
    /// Not one bearer token.
    #[error("not a bearer token: {0}")]
    Malformed(&'static str),
    /// `alg` is none or symmetric, or the header tries to bring its own key.
    #[error("the token's header is not acceptable: {0}")]
    Header(&'static str),
    /// A required claim is missing or has the wrong type.
    #[error("the token's claim {0} is missing or has the wrong type")]
    Claim(&'static str),
    /// No issuer of this endpoint has that `iss`.
    #[error("the token's issuer (iss) is not one of this endpoint")]
    Issuer,
    /// `aud` holds none of the endpoint's.
    #[error("the token's audience (aud) must hold one of: {0}")]
    Audience(String),
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` or `iat` lies in the future.
    #[error("the token is not valid yet")]
    NotYet,
    /// It lives longer than the endpoint allows.
    #[error("the token's lifetime is longer than the {0} seconds that this endpoint allows")]
    Lifetime(u64),
    /// Signature, key or the issuer's own word.
    #[error("the token could not be verified")]
    Unverified,
    /// The claims verify but give no acceptable identity.
    #[error("the token's claims give no identity here: {0}")]
    Identity(&'static str),
    /// A validation rule of the issuer says no; the text is its author's.
    #[error("the token is refused: {0}")]
    Rule(String),
    /// Whoever could verify it does not answer.
    #[error("the issuer that verifies this token does not answer; try again")]
    IssuerUnavailable,
}

impl Refusal {
    /// As a metric label and audit reason: one of a closed set.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Missing => "no_token",
            Self::Malformed(_) => "malformed_token",
            Self::Header(_) => "token_header",
            Self::Claim(_) => "token_claim",
            Self::Issuer => "unknown_issuer",
            Self::Audience(_) => "wrong_audience",
            Self::Expired => "expired",
            Self::NotYet => "not_yet_valid",
            Self::Lifetime(_) => "lifetime",
            Self::Unverified => "unverified",
            Self::Identity(_) => "no_identity",
            Self::Rule(_) => "validation_rule",
            Self::IssuerUnavailable => "issuer_unavailable",
        }
    }
}
