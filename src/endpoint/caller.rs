//! A verified identity.

use serde_json::{Map, Value};
use std::{collections::BTreeSet, fmt, sync::Arc, time::SystemTime};

/// Who calls, as an issuer of the endpoint vouched for. Only [`crate::auth`] makes one, after verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Name of the issuer that vouched.
    pub issuer: String,
    /// The `sub` claim.
    pub subject: String,
    /// User name, as mapped.
    pub username: String,
    /// Groups, as mapped.
    pub groups: BTreeSet<String>,
    /// Unique id, where there is one.
    pub uid: Option<String>,
    /// Extra values, as mapped: lists of texts.
    pub extra: Map<String, Value>,
    /// The verified claims, where the issuer is of type JWT; an object.
    pub claims: Option<Arc<Value>>,
    /// The `aud` claim.
    pub audiences: BTreeSet<String>,
    /// The `exp` claim.
    pub expires: SystemTime,
    /// Where a cluster vouched (`SelfSubjectReview`): the only one that this caller reaches.
    pub only_cluster: Option<String>,
    /// What was presented.
    pub token: Token,
}

/// A bearer token. Its text is shown by no `Debug` and no `Display`; only the credential of a cluster reads it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<str>);

impl Token {
    /// Wraps a token.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The token itself: for the `Authorization` header of a request to a cluster or a review, and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_in_its_debug_text() {
        assert_eq!(format!("{:?}", Token::new("eyJhbGciOi")), "Token(…)");
    }
}
