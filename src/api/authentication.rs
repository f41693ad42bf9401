//! `spec.authentication`: whose tokens are accepted.

use super::CertificateAuthority;
use kube::{KubeSchema, core::Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whose tokens are accepted. Every token is a JWT with `iss`, `sub`, `aud` and `exp`; which issuer is asked is
/// decided by `iss` alone, and it is asked only if `aud` and `exp` fit.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.issuers.all(i, self.issuers.exists_one(j, (has(i.jwt) ? i.jwt.issuer : has(i.tokenReview) ? i.tokenReview.issuer : has(i.selfSubjectReview) ? i.selfSubjectReview.issuer : i.name) == (has(j.jwt) ? j.jwt.issuer : has(j.tokenReview) ? j.tokenReview.issuer : has(j.selfSubjectReview) ? j.selfSubjectReview.issuer : j.name)))")
        .message("spec.authentication.issuers: two issuers have the same issuer URL; a token's iss must lead to exactly one"),
)]
pub struct Authentication {
    /// Audiences of which a token must hold one. Default: the endpoint's own URL (`status.url`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 512)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub audiences: Vec<String>,
    /// OAuth scopes to announce in the protected resource metadata (RFC 9728).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub scopes_supported: Vec<String>,
    /// Longest lifetime (`exp` less `iat`, or less now where `iat` is missing) that a token may have.
    #[serde(default = "default_max_token_lifetime")]
    pub max_token_lifetime: Duration,
    /// The issuers whose tokens are accepted.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub issuers: Vec<Issuer>,
}

fn default_max_token_lifetime() -> Duration {
    std::time::Duration::from_hours(24).into()
}

/// One issuer of tokens. `type` says how its tokens are verified, and which field holds the rest.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.type == 'JWT' ? (has(self.jwt) && !has(self.tokenReview) && !has(self.selfSubjectReview)) : true")
        .message("issuers[]: type JWT needs jwt, and neither tokenReview nor selfSubjectReview"),
    validation = Rule::new("self.type == 'TokenReview' ? (has(self.tokenReview) && !has(self.jwt) && !has(self.selfSubjectReview)) : true")
        .message("issuers[]: type TokenReview needs tokenReview, and neither jwt nor selfSubjectReview"),
    validation = Rule::new("self.type == 'SelfSubjectReview' ? (has(self.selfSubjectReview) && !has(self.jwt) && !has(self.tokenReview)) : true")
        .message("issuers[]: type SelfSubjectReview needs selfSubjectReview, and neither jwt nor tokenReview"),
)]
pub struct Issuer {
    /// Name that rules and credentials refer to.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// How tokens of this issuer are verified.
    #[serde(rename = "type")]
    pub type_: IssuerType,
    /// For type JWT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<Jwt>,
    /// For type TokenReview.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_review: Option<TokenReviewIssuer>,
    /// For type SelfSubjectReview.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_subject_review: Option<SelfSubjectReviewIssuer>,
}

/// How tokens of an issuer are verified.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssuerType {
    /// Locally, against the issuer's JWKS.
    #[serde(rename = "JWT")]
    Jwt,
    /// By the management cluster's TokenReview: its ServiceAccount tokens.
    TokenReview,
    /// By the cluster that issued them, asked with the token itself: k-mcp needs no privilege there.
    SelfSubjectReview,
}

/// An OpenID Connect issuer whose tokens are verified locally.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Jwt {
    /// Issuer URL, exactly as the tokens' `iss` claim has it.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("isURL(self) && url(self).getScheme() == 'https' && url(self).getHostname() != ''").message("jwt.issuer must be an https URL"))]
    pub issuer: String,
    /// Where the discovery document is, if not at `<issuer>/.well-known/openid-configuration`.
    #[serde(default, rename = "discoveryURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new("self == '' || (isURL(self) && url(self).getScheme() == 'https' && url(self).getHostname() != '')").message("jwt.discoveryURL must be an https URL"))]
    pub discovery_url: Option<String>,
    /// CA that the issuer's certificate must lead to. Default: the system's roots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_authority: Option<CertificateAuthority>,
    /// Signing algorithms that are accepted; asymmetric ones only.
    #[serde(default = "default_algorithms")]
    #[schemars(length(min = 1, max = 9))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub signing_algorithms: Vec<SigningAlgorithm>,
    /// How claims become a user name, groups, a uid and extra values.
    pub claim_mappings: ClaimMappings,
    /// CEL expressions over `claims` that must all be true, else the token is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub claim_validation_rules: Vec<ValidationRule>,
    /// CEL expressions over `user` that must all be true, else the token is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub user_validation_rules: Vec<ValidationRule>,
}

fn default_algorithms() -> Vec<SigningAlgorithm> {
    vec![SigningAlgorithm::RS256]
}

/// A JWS signing algorithm (RFC 7518 section 3.1, RFC 8037).
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the registered ones")]
pub enum SigningAlgorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

/// How claims become an identity.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ClaimMappings {
    /// The user name. Mapping `email` requires the claim `email_verified` to be true.
    pub username: PrefixedClaim,
    /// The groups: a claim that holds a string or a list of strings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<PrefixedClaim>,
    /// The uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<ClaimMapping>,
    /// Extra values, as in a Kubernetes user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["key".into()]))]
    pub extra: Vec<ExtraMapping>,
}

/// A claim with a prefix, or an expression.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.claim) != has(self.expression)").message("claim or expression must be set, and not both"),
    validation = Rule::new("has(self.claim) == has(self.prefix)").message("prefix must be set with claim (it may be empty), and only with it"),
)]
pub struct PrefixedClaim {
    /// Name of the claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub claim: Option<String>,
    /// Put before the claim's value, so that names of two issuers cannot meet. May be empty, but must be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub prefix: Option<String>,
    /// CEL over `claims`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub expression: Option<String>,
}

/// A claim or an expression.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.claim) != has(self.expression)").message("claim or expression must be set, and not both"))]
pub struct ClaimMapping {
    /// Name of the claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub claim: Option<String>,
    /// CEL over `claims`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub expression: Option<String>,
}

/// An extra value of the user.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ExtraMapping {
    /// Domain-prefixed key, lower case.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[-a-z0-9._~%!$&'()*+,;=:@/]+$")
    )]
    pub key: String,
    /// CEL over `claims` that gives a string or a list of strings.
    #[schemars(length(min = 1, max = 1024))]
    pub expression: String,
}

/// A CEL expression that must be true.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ValidationRule {
    /// CEL that gives a boolean; an error counts as false.
    #[schemars(length(min = 1, max = 1024))]
    pub expression: String,
    /// What the caller is told when it is false.
    #[schemars(length(min = 1, max = 256))]
    pub message: String,
}

/// Tokens that the management cluster verifies by TokenReview.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TokenReviewIssuer {
    /// The tokens' `iss` claim.
    #[schemars(length(min = 1, max = 512))]
    pub issuer: String,
}

/// Tokens that a member cluster verifies itself.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SelfSubjectReviewIssuer {
    /// The cluster of `spec.clusters` that is asked. Its callers reach only that cluster.
    #[schemars(length(min = 1, max = 63))]
    pub cluster: String,
    /// The tokens' `iss` claim.
    #[schemars(length(min = 1, max = 512))]
    pub issuer: String,
}
