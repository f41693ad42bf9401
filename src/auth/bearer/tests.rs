use super::*;
use crate::endpoint::{Digest, Verification, fixtures};
use http::HeaderValue;
use serde_json::json;
use std::sync::Arc;

const NOW: u64 = 1_800_000_000;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn token(head: &Value, claims: &Value) -> Token {
    let encode = |v: &Value| URL_SAFE_NO_PAD.encode(v.to_string());
    Token::new(&format!("{}.{}.c2ln", encode(head), encode(claims)))
}

fn claims() -> Value {
    json!({"iss": "https://idp", "sub": "ann", "aud": ["mcp", "k8s"], "exp": NOW + 600, "iat": NOW - 10})
}

fn changed(name: &str, value: Value) -> Value {
    let mut claims = claims();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

fn endpoint() -> Endpoint {
    let issuer = Issuer {
        name: "corp".to_owned(),
        url: "https://idp".to_owned(),
        verification: Verification::SelfSubjectReview { cluster: "a".to_owned() },
        digest: Digest::of(["x"]),
    };
    Endpoint {
        max_token_lifetime: Duration::from_hours(1),
        issuers: vec![Arc::new(issuer)],
        ..fixtures::endpoint(Vec::new())
    }
}

#[test]
fn only_one_bearer_token_is_taken_from_the_headers() {
    for (values, expected) in [
        (vec!["Bearer a.b.c"], Ok(Token::new("a.b.c"))),
        (vec!["bearer a.b.c"], Ok(Token::new("a.b.c"))),
        (vec![], Err(Refusal::Missing)),
        (vec!["Bearer "], Err(Refusal::Missing)),
        (vec!["Bearer"], Err(Refusal::Malformed("no scheme"))),
        (vec!["Basic YTpi"], Err(Refusal::Malformed("the scheme is not Bearer"))),
        (vec!["Bearer a.b.c", "Bearer d.e.f"], Err(Refusal::Malformed("more than one Authorization header"))),
    ] {
        let mut headers = HeaderMap::new();
        for value in &values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
        }
        assert_eq!(presented(&headers), expected, "{values:?}");
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, format!("Bearer {}", "a".repeat(17 << 10)).parse().unwrap());
    assert_eq!(presented(&headers), Err(Refusal::Malformed("longer than 16 KiB")));
}

#[test]
fn a_token_that_brings_its_own_trust_is_refused() {
    for head in [
        json!({"alg": "none"}),
        json!({"alg": "NoNe"}),
        json!({"alg": "HS256"}),
        json!({}),
        json!({"alg": "RS256", "crit": ["exp"]}),
        json!({"alg": "RS256", "jku": "https://evil"}),
        json!({"alg": "RS256", "x5u": "https://evil"}),
        json!({"alg": "RS256", "x5c": ["MII"]}),
        json!({"alg": "RS256", "jwk": {}}),
    ] {
        assert!(matches!(Unverified::read(&token(&head, &claims())), Err(Refusal::Header(_))), "{head}");
    }
}

#[test]
fn what_is_no_jwt_is_refused() {
    for text in ["x", "a.b", "a.b.c.d", "e30.e30.", "....", "e30.W10.x", "%%.%%.%%", "\u{e4}.b.c"] {
        let read = Unverified::read(&Token::new(text));
        assert!(matches!(read, Err(Refusal::Malformed(_) | Refusal::Header(_))), "{text}: {read:?}");
    }
}

#[test]
fn required_claims_must_be_there_with_their_type() {
    let head = json!({"alg": "RS256", "kid": "k1"});
    for (name, value) in [
        ("iss", json!(null)),
        ("iss", json!(["https://idp"])),
        ("sub", json!(null)),
        ("sub", json!("")),
        ("sub", json!(7)),
        ("aud", json!(null)),
        ("aud", json!([1])),
        ("aud", json!({})),
        ("exp", json!(null)),
        ("exp", json!("1800000600")),
        ("exp", json!(-5)),
        ("exp", json!(1e300)),
        ("nbf", json!("x")),
        ("iat", json!([])),
    ] {
        let read = Unverified::read(&token(&head, &changed(name, value.clone())));
        assert!(matches!(read, Err(Refusal::Claim(claim)) if claim == name), "{name}={value}: {read:?}");
    }
}

#[test]
fn an_issuer_is_asked_only_when_issuer_audience_and_times_fit() {
    let head = json!({"alg": "RS256"});
    for (name, value, expected) in [
        ("sub", json!("ann"), None),
        ("aud", json!("mcp"), None),
        ("nbf", json!(NOW + 10), None),
        ("iss", json!("https://idp/"), Some(Refusal::Issuer)),
        ("iss", json!("https://evil"), Some(Refusal::Issuer)),
        ("aud", json!("k8s"), Some(Refusal::Audience("mcp".to_owned()))),
        ("aud", json!([]), Some(Refusal::Audience("mcp".to_owned()))),
        ("exp", json!(NOW), Some(Refusal::Expired)),
        ("exp", json!(NOW - 1), Some(Refusal::Expired)),
        ("exp", json!(NOW + 7200), Some(Refusal::Lifetime(3600))),
        ("nbf", json!(NOW + 300), Some(Refusal::NotYet)),
        ("iat", json!(NOW + 300), Some(Refusal::NotYet)),
    ] {
        let unverified = Unverified::read(&token(&head, &changed(name, value.clone()))).unwrap();
        let endpoint = endpoint();
        assert_eq!(unverified.check(&endpoint, now()).err(), expected, "{name}={value}");
    }
}
