//! JWT verification and claim mapping. Pure: keys in, identity out.

use super::{Refusal, bearer::Unverified};
use crate::{
    api::SigningAlgorithm,
    endpoint::{Caller, ClaimSource, Issuer, JwtVerification, Token},
};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    jwk::{AlgorithmParameters, Jwk, JwkSet, PublicKeyUse},
};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Most groups that a token may carry.
const MAX_GROUPS: usize = 1000;

/// The keys of a JWKS (RFC 7517) that this program can use; those of other types are left out, not fatal.
pub(super) fn read_keys(body: &[u8]) -> Option<JwkSet> {
    let document: Value = serde_json::from_slice(body).ok()?;
    let keys = document.get("keys")?.as_array()?;
    let keys: Vec<Jwk> = keys
        .iter()
        .filter_map(|key| serde_json::from_value::<Jwk>(key.clone()).ok())
        .filter(|key| !matches!(key.algorithm, AlgorithmParameters::OctetKey(_)) && DecodingKey::from_jwk(key).is_ok())
        .filter(|key| key.common.public_key_use.as_ref().is_none_or(|u| *u == PublicKeyUse::Signature))
        .collect();
    Some(JwkSet { keys })
}

/// The key that a token names; one without a name needs an issuer with exactly one key.
pub(super) fn find_key<'k>(keys: &'k JwkSet, key_id: Option<&str>) -> Option<&'k Jwk> {
    match (key_id, keys.keys.as_slice()) {
        (Some(id), _) => keys.find(id),
        (None, [only]) => Some(only),
        (None, _) => None,
    }
}

/// Verifies signature, issuer, audience and times, and gives the claims.
///
/// # Errors
/// Where any of them does not verify.
pub(super) fn verify(
    token: &Token,
    key: &Jwk,
    issuer: &str,
    verification: &JwtVerification,
    audiences: &[String],
) -> Result<Map<String, Value>, Refusal> {
    let head = jsonwebtoken::decode_header(token.expose()).map_err(|_| Refusal::Unverified)?;
    let allowed = verification.algorithms.iter().any(|a| algorithm(*a) == head.alg);
    let keys_own = key.common.key_algorithm.is_none_or(|a| a.to_string() == format!("{:?}", head.alg));
    if !allowed || !keys_own {
        return Err(Refusal::Header("its algorithm is not one of the issuer's signingAlgorithms"));
    }
    let mut rules = Validation::new(head.alg);
    rules.set_issuer(&[issuer]);
    rules.set_audience(audiences);
    rules.set_required_spec_claims(&["iss", "sub", "aud", "exp"]);
    rules.validate_nbf = true;
    rules.leeway = 30;
    let decoding = DecodingKey::from_jwk(key).map_err(|_| Refusal::Unverified)?;
    jsonwebtoken::decode::<Map<String, Value>>(token.expose(), &decoding, &rules)
        .map(|data| data.claims)
        .map_err(|_| Refusal::Unverified)
}

fn algorithm(name: SigningAlgorithm) -> Algorithm {
    match name {
        SigningAlgorithm::RS256 => Algorithm::RS256,
        SigningAlgorithm::RS384 => Algorithm::RS384,
        SigningAlgorithm::RS512 => Algorithm::RS512,
        SigningAlgorithm::PS256 => Algorithm::PS256,
        SigningAlgorithm::PS384 => Algorithm::PS384,
        SigningAlgorithm::PS512 => Algorithm::PS512,
        SigningAlgorithm::ES256 => Algorithm::ES256,
        SigningAlgorithm::ES384 => Algorithm::ES384,
        SigningAlgorithm::EdDSA => Algorithm::EdDSA,
    }
}

/// Who verified claims are.
///
/// # Errors
/// Where a mapped claim is missing or no text, or where a name would be one that Kubernetes reserves.
pub(super) fn caller(
    issuer: &Issuer,
    verification: &JwtVerification,
    unverified: &Unverified,
    claims: &Map<String, Value>,
    token: Token,
) -> Result<Caller, Refusal> {
    let JwtVerification { username, groups, uid, discovery_url: _, trust: _, algorithms: _ } = verification;
    if username.claim == "email" && claims.get("email_verified") != Some(&Value::Bool(true)) {
        return Err(Refusal::Identity("email is mapped, and email_verified is not true"));
    }
    let name = text(claims, &username.claim).ok_or(Refusal::Identity("the user name claim is missing or empty"))?;
    let username = format!("{}{name}", username.prefix);
    let groups = match groups {
        None => BTreeSet::new(),
        Some(source) => group_names(claims, source)?,
    };
    if username.starts_with("system:") || groups.iter().any(|g| g.starts_with("system:")) {
        return Err(Refusal::Identity("names that begin with system: are reserved"));
    }
    let uid = match uid {
        None => None,
        Some(claim) => Some(text(claims, claim).ok_or(Refusal::Identity("the uid claim is missing or empty"))?),
    };
    Ok(Caller {
        issuer: issuer.name.clone(),
        subject: unverified.subject.clone(),
        username,
        groups,
        uid,
        audiences: unverified.audiences.clone(),
        expires: unverified.expires,
        only_cluster: None,
        token,
    })
}

fn text(claims: &Map<String, Value>, name: &str) -> Option<String> {
    claims.get(name)?.as_str().filter(|t| !t.is_empty() && t.len() <= 1024).map(str::to_owned)
}

/// A missing claim is no groups; a claim of another type refuses the token, and so does an empty name.
fn group_names(claims: &Map<String, Value>, source: &ClaimSource) -> Result<BTreeSet<String>, Refusal> {
    let wrong = Refusal::Identity("the groups claim is not a text or a list of texts");
    let list: Vec<&str> = match claims.get(&source.claim) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().map(Value::as_str).collect::<Option<_>>().ok_or(wrong.clone())?,
        Some(_) => return Err(wrong),
    };
    if list.len() > MAX_GROUPS {
        return Err(Refusal::Identity("more than 1000 groups"));
    }
    if list.iter().any(|g| g.is_empty() || g.len() > 1024) {
        return Err(Refusal::Identity("a group name is empty or too long"));
    }
    Ok(list.into_iter().map(|g| format!("{}{g}", source.prefix)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{Digest, Trust, Verification};
    use serde_json::json;
    use std::time::{Duration, SystemTime};

    fn map(claims: &Value, prefix: &str, username: &str) -> Result<Caller, Refusal> {
        let verification = JwtVerification {
            discovery_url: String::new(),
            trust: Trust::System,
            algorithms: vec![SigningAlgorithm::RS256],
            username: ClaimSource { claim: username.to_owned(), prefix: prefix.to_owned() },
            groups: Some(ClaimSource { claim: "groups".to_owned(), prefix: prefix.to_owned() }),
            uid: None,
        };
        let issuer = Issuer {
            name: "corp".to_owned(),
            url: "https://idp".to_owned(),
            verification: Verification::Jwt(verification.clone()),
            digest: Digest::of(["x"]),
        };
        let token = token(&json!({"iss": "https://idp", "sub": "ann", "aud": "mcp", "exp": 4_000_000_000_u64}));
        let unverified = Unverified::read(&token).unwrap();
        caller(&issuer, &verification, &unverified, claims.as_object().unwrap(), token)
    }

    fn token(claims: &Value) -> Token {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as B64};
        Token::new(&format!("{}.{}.c2ln", B64.encode(r#"{"alg":"RS256"}"#), B64.encode(claims.to_string())))
    }

    #[test]
    fn claims_become_prefixed_names() {
        let caller = map(&json!({"sub": "ann", "groups": ["dev", "ops"]}), "corp:", "sub").unwrap();
        assert_eq!(caller.username, "corp:ann");
        assert_eq!(caller.groups, BTreeSet::from(["corp:dev".to_owned(), "corp:ops".to_owned()]));
        assert!(caller.expires > SystemTime::now() + Duration::from_mins(1));
        let one = map(&json!({"sub": "ann", "groups": "dev"}), "", "sub").unwrap();
        assert_eq!(one.groups, BTreeSet::from(["dev".to_owned()]));
        assert_eq!(map(&json!({"sub": "ann"}), "", "sub").unwrap().groups, BTreeSet::new());
    }

    #[test]
    fn claims_that_give_no_acceptable_identity_are_refused() {
        for (claims, prefix, username) in [
            (json!({"sub": ""}), "", "sub"),
            (json!({"sub": 7}), "", "sub"),
            (json!({}), "corp:", "sub"),
            (json!({"sub": "system:admin"}), "", "sub"),
            (json!({"sub": "admin"}), "system:", "sub"),
            (json!({"sub": "ann", "groups": ["system:masters"]}), "", "sub"),
            (json!({"sub": "ann", "groups": [""]}), "corp:", "sub"),
            (json!({"sub": "ann", "groups": {"a": 1}}), "corp:", "sub"),
            (json!({"sub": "ann", "groups": [1]}), "corp:", "sub"),
            (json!({"sub": "ann", "groups": 1}), "corp:", "sub"),
            (json!({"email": "a@b.c"}), "", "email"),
            (json!({"email": "a@b.c", "email_verified": "true"}), "", "email"),
            (json!({"email": "a@b.c", "email_verified": false}), "", "email"),
        ] {
            assert!(matches!(map(&claims, prefix, username), Err(Refusal::Identity(_))), "{claims}");
        }
        assert!(map(&json!({"email": "a@b.c", "email_verified": true}), "", "email").is_ok());
        assert!(map(&json!({"sub": "ann", "groups": ["system:masters"]}), "corp:", "sub").is_ok());
    }

    #[test]
    fn a_key_set_keeps_the_keys_that_can_be_used() {
        let body = json!({"keys": [
            {"kty": "RSA", "kid": "a", "use": "sig", "alg": "RS256", "n": "AQAB", "e": "AQAB"},
            {"kty": "RSA", "kid": "b", "use": "enc", "n": "AQAB", "e": "AQAB"},
            {"kty": "unheard-of", "kid": "c"},
            {"kty": "EC", "kid": "d", "crv": "P-256", "x": "AA", "y": "AA"},
        ]})
        .to_string();
        let keys = read_keys(body.as_bytes()).unwrap();
        assert!(find_key(&keys, Some("a")).is_some());
        assert!(find_key(&keys, Some("b")).is_none());
        assert!(find_key(&keys, Some("c")).is_none());
        assert!(find_key(&keys, Some("d")).is_some());
        assert!(find_key(&keys, None).is_none(), "two keys, and the token does not say which");
        assert!(read_keys(b"{}").is_none());
        assert!(read_keys(b"<html>").is_none());
    }
}
