//! JWT verification and claim mapping. Pure: keys in, identity out.

use super::{Refusal, bearer::Unverified};
use crate::{
    api::SigningAlgorithm,
    endpoint::{Caller, ClaimSource, Issuer, JwtVerification, Token, ValidationRule, user_variable},
};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    jwk::{AlgorithmParameters, Jwk, JwkSet, PublicKeyUse},
};
use serde_json::{Map, Value};
use std::{collections::BTreeSet, sync::Arc};

/// Most groups that a token may carry.
const MAX_GROUPS: usize = 1000;
/// Most entries of an extra value.
const MAX_EXTRA: usize = 64;
/// Longest name, in bytes.
const MAX_NAME: usize = 1024;

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
/// Where a mapping gives no name, where the name would be one that Kubernetes reserves, or where a validation rule of
/// the issuer does not hold.
pub(super) fn caller(
    issuer: &Issuer,
    verification: &JwtVerification,
    unverified: &Unverified,
    claims: Map<String, Value>,
    token: Token,
) -> Result<Caller, Refusal> {
    let JwtVerification {
        username,
        groups,
        uid,
        extra,
        claim_rules,
        user_rules,
        discovery_url: _,
        trust: _,
        algorithms: _,
    } = verification;
    let claims = Value::Object(claims);
    let variables = [("claims", &claims)];
    hold(claim_rules, &variables)?;
    if matches!(username, ClaimSource::Claim { claim, .. } if claim == "email")
        && claims.get("email_verified") != Some(&Value::Bool(true))
    {
        return Err(Refusal::Identity("email is mapped, and email_verified is not true"));
    }
    let missing = Refusal::Identity("the user name is missing, empty or no text");
    let username = value(username, &claims).and_then(|v| name(&v)).ok_or(missing)?;
    let groups = match groups {
        None => BTreeSet::new(),
        Some(source) => {
            let wrong = Refusal::Identity("the groups claim is not a text or a list of up to 1000 non-empty texts");
            names(value_or_null(source, &claims)?, MAX_GROUPS).ok_or(wrong)?.into_iter().collect()
        }
    };
    if username.starts_with("system:") || groups.iter().any(|g| g.starts_with("system:")) {
        return Err(Refusal::Identity("names that begin with system: are reserved"));
    }
    let uid = match uid {
        None => None,
        Some(source) => {
            let missing = Refusal::Identity("the uid is missing, empty or no text");
            Some(value(source, &claims).and_then(|v| name(&v)).ok_or(missing)?)
        }
    };
    let mut extras = Map::new();
    for (key, expression) in extra {
        let wrong = Refusal::Identity("an extra value is not a text or a list of up to 64 non-empty texts");
        let list = expression.evaluate(&variables).ok().and_then(|value| names(value, MAX_EXTRA)).ok_or(wrong)?;
        extras.insert(key.clone(), Value::from(list));
    }
    let user = user_variable(&username, groups.iter().cloned(), uid.as_deref(), &extras);
    hold(user_rules, &[("user", &user)])?;
    Ok(Caller {
        issuer: issuer.name.clone(),
        subject: unverified.subject.clone(),
        username,
        groups,
        uid,
        extra: extras,
        claims: Some(Arc::new(claims)),
        audiences: unverified.audiences.clone(),
        expires: unverified.expires,
        only_cluster: None,
        token,
    })
}

/// A rule that fails to be evaluated does not hold.
fn hold(rules: &[ValidationRule], variables: &[(&'static str, &Value)]) -> Result<(), Refusal> {
    match rules.iter().find(|rule| rule.expression.holds(variables) != Ok(true)) {
        None => Ok(()),
        Some(ValidationRule { message, .. }) => Err(Refusal::Rule(message.clone())),
    }
}

/// The mapped value, with its prefix; none where the claim is not there or the expression fails.
fn value(source: &ClaimSource, claims: &Value) -> Option<Value> {
    match source {
        ClaimSource::Claim { claim, prefix } => Some(prefixed(claims.get(claim)?, prefix)),
        ClaimSource::Expression(expression) => expression.evaluate(&[("claims", claims)]).ok(),
    }
}

/// A missing claim is no groups; an expression that fails refuses the token.
fn value_or_null(source: &ClaimSource, claims: &Value) -> Result<Value, Refusal> {
    match (source, value(source, claims)) {
        (_, Some(value)) => Ok(value),
        (ClaimSource::Claim { .. }, None) => Ok(Value::Null),
        (ClaimSource::Expression(_), None) => Err(Refusal::Identity("the groups could not be computed")),
    }
}

/// The prefix before a text, or each text of a list; an empty text stays empty, and is refused as one.
fn prefixed(value: &Value, prefix: &str) -> Value {
    match value {
        Value::String(text) if !text.is_empty() => Value::String(format!("{prefix}{text}")),
        Value::Array(list) => Value::Array(list.iter().map(|v| prefixed(v, prefix)).collect()),
        other => other.clone(),
    }
}

fn name(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty() && text.len() <= MAX_NAME).map(str::to_owned)
}

/// A text or a list of texts, none of them empty; null is an empty list.
fn names(value: Value, most: usize) -> Option<Vec<String>> {
    let list = match value {
        Value::Null => Vec::new(),
        Value::Array(list) => list,
        one => vec![one],
    };
    if list.len() > most { None } else { list.iter().map(name).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{Digest, Expression, ExpressionScope as Scope, Trust, Verification};
    use serde_json::json;
    use std::time::{Duration, SystemTime};

    fn map(claims: &Value, prefix: &str, username: &str) -> Result<Caller, Refusal> {
        let verification = JwtVerification {
            discovery_url: String::new(),
            trust: Trust::System,
            algorithms: vec![SigningAlgorithm::RS256],
            username: ClaimSource::Claim { claim: username.to_owned(), prefix: prefix.to_owned() },
            groups: Some(ClaimSource::Claim { claim: "groups".to_owned(), prefix: prefix.to_owned() }),
            uid: None,
            extra: Vec::new(),
            claim_rules: Vec::new(),
            user_rules: Vec::new(),
        };
        map_by(&verification, claims)
    }

    fn map_by(verification: &JwtVerification, claims: &Value) -> Result<Caller, Refusal> {
        let issuer = Issuer {
            name: "corp".to_owned(),
            url: "https://idp".to_owned(),
            verification: Verification::Jwt(Box::new(verification.clone())),
            digest: Digest::of(["x"]),
        };
        let token = token(&json!({"iss": "https://idp", "sub": "ann", "aud": "mcp", "exp": 4_000_000_000_u64}));
        let unverified = Unverified::read(&token).unwrap();
        caller(&issuer, verification, &unverified, claims.as_object().unwrap().clone(), token)
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
    fn expressions_map_and_rules_refuse() {
        let compile = |source: &str, scope| Expression::compile(source, scope).unwrap();
        let rule =
            |source: &str, scope| vec![ValidationRule { expression: compile(source, scope), message: "no".to_owned() }];
        let verification = JwtVerification {
            discovery_url: String::new(),
            trust: Trust::System,
            algorithms: vec![SigningAlgorithm::RS256],
            username: ClaimSource::Expression(compile("'corp:' + claims.sub", Scope::Claims)),
            groups: Some(ClaimSource::Expression(compile("claims.roles.map(r, 'corp:' + r)", Scope::Claims))),
            uid: Some(ClaimSource::Claim { claim: "sub".to_owned(), prefix: String::new() }),
            extra: vec![("a.b/team".to_owned(), compile("claims.team", Scope::Claims))],
            claim_rules: rule("claims.acr == 'mfa'", Scope::Claims),
            user_rules: rule("user.username != 'corp:root' && 'shop' in user.extra['a.b/team']", Scope::User),
        };
        let good = json!({"sub": "ann", "roles": ["dev"], "team": "shop", "acr": "mfa"});
        let caller = map_by(&verification, &good).unwrap();
        assert_eq!(caller.username, "corp:ann");
        assert_eq!(caller.groups, BTreeSet::from(["corp:dev".to_owned()]));
        assert_eq!(caller.uid.as_deref(), Some("ann"));
        assert_eq!(caller.extra["a.b/team"], json!(["shop"]));
        for (name, value, expected) in [
            ("acr", json!("pwd"), "no"),
            ("acr", json!(null), "no"),
            ("sub", json!("root"), "no"),
            ("team", json!("cart"), "no"),
            ("sub", json!(5), "user name"),
            ("roles", json!("x"), "groups"),
            ("team", json!(5), "extra value"),
            ("roles", json!([""]), "x"),
        ] {
            let mut claims = good.clone();
            claims[name] = value.clone();
            match (map_by(&verification, &claims), expected) {
                (Ok(caller), "x") => assert!(caller.groups.contains("corp:"), "a prefix of one's own is one's own"),
                (Err(refusal), text) => assert!(refusal.to_string().contains(text), "{name}={value}: {refusal}"),
                (Ok(_), _) => panic!("{name}={value}"),
            }
        }
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
