use super::*;
use crate::endpoint::{Tool, Trust, Verification};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const CA: &str = include_str!("../../../tests/fixtures/ca.crt");

fn object() -> Value {
    json!({
        "apiVersion": "k-mcp.dev/v1alpha1",
        "kind": "McpEndpoint",
        "metadata": {"name": "platform", "namespace": "k-mcp", "uid": "u1"},
        "spec": {
            "authentication": {"issuers": [
                {"name": "corp", "type": "JWT", "jwt": {
                    "issuer": "https://idp.example.com/realms/corp",
                    "certificateAuthority": {"configMap": {"name": "corp-ca"}},
                    "claimMappings": {"username": {"claim": "sub", "prefix": "corp:"}, "groups": {"claim": "groups", "prefix": "corp:"}},
                }},
                {"name": "eu-sa", "type": "SelfSubjectReview", "selfSubjectReview": {"cluster": "eu", "issuer": "https://eu.example"}},
            ]},
            "clusters": [
                {"name": "eu", "labels": {"env": "prod"}, "server": "https://eu.example:6443",
                 "credential": {"mode": "Forward", "forward": {"issuers": ["corp", "eu-sa"], "audiences": ["k8s"]}}},
                {"name": "us", "labels": {"env": "test"}, "server": "https://us.example:6443",
                 "credential": {"mode": "Forward", "forward": {"issuers": ["corp"], "audiences": ["k8s"]}}},
            ],
            "toolSets": [{"name": "look", "tools": ["resource_list"]}],
            "rules": [
                {"name": "sre", "subjects": {"issuers": ["corp"], "groups": ["corp:sre"]},
                 "allow": {"clusters": {"selector": {"matchLabels": {"env": "prod"}}}, "toolSets": ["inspect"],
                           "namespaces": {"mode": "All", "clusterScoped": "Allow"}}},
                {"name": "shop", "subjects": {"issuers": ["corp"], "users": ["corp:ann"]},
                 "allow": {"clusters": {"names": ["us"]}, "toolSets": ["look"], "namespaces": {"mode": "Listed", "names": ["shop"]}}},
            ],
        },
    })
}

fn references() -> References {
    let config_maps = BTreeMap::from([(("corp-ca".to_owned(), "ca.crt".to_owned()), CA.to_owned())]);
    References { config_maps, complete: true }
}

/// Compiles the sample with one value put at a JSON pointer (`Null` removes it).
fn with(pointer: &str, value: Value) -> Compiled {
    with_all(&[(pointer, value)])
}

fn with_all(changes: &[(&str, Value)]) -> Compiled {
    let mut object = object();
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        match object.pointer_mut(parent).unwrap() {
            Value::Object(map) if value.is_null() => {
                map.remove(key);
            }
            Value::Object(map) => {
                map.insert(key.to_owned(), value.clone());
            }
            Value::Array(list) => list[key.parse::<usize>().unwrap()] = value.clone(),
            other => panic!("{other}"),
        }
    }
    compile(
        &serde_json::from_value(object).unwrap(),
        &references(),
        &Settings { public_url: "https://mcp.example.com".to_owned() },
    )
}

#[test]
fn a_valid_endpoint_compiles_whole() {
    let compiled = with_all(&[]);
    assert_eq!(compiled.problems, []);
    let endpoint = compiled.endpoint.unwrap();
    assert_eq!(endpoint.url, "https://mcp.example.com/mcp/platform");
    assert_eq!(endpoint.audiences, ["https://mcp.example.com/mcp/platform"]);
    assert_eq!(endpoint.max_token_lifetime, Duration::from_hours(24));
    assert_eq!(endpoint.issuers.len(), 2);
    let Verification::Jwt(jwt) = &endpoint.issuers[0].verification else { panic!() };
    assert_eq!(jwt.discovery_url, "https://idp.example.com/realms/corp/.well-known/openid-configuration");
    assert_eq!(jwt.trust, Trust::pem(CA));
    assert_eq!(endpoint.rules[0].clusters, BTreeSet::from(["eu".to_owned()]));
    assert_eq!(endpoint.rules[0].tools.len(), 3);
    assert!(endpoint.rules[0].cluster_scoped);
    assert_eq!(endpoint.rules[1].tools, BTreeSet::from([Tool::ResourceList]));
    assert!(!endpoint.rules[1].cluster_scoped);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn an_invalid_part_drops_out_alone_and_names_its_field() {
    // (change, field of the problem, issuers, clusters, rules that are left)
    for (pointer, value, field, left) in [
        (
            "/spec/authentication/issuers/0/jwt/issuer",
            json!("http://idp.example.com"),
            "spec.authentication.issuers[0].jwt.issuer",
            (1, 2, 2),
        ),
        (
            "/spec/authentication/issuers/0/jwt/claimMappings/username",
            json!({"expression": "user.username"}),
            "spec.authentication.issuers[0].jwt.claimMappings.username.expression",
            (1, 2, 2),
        ),
        (
            "/spec/authentication/issuers/0/jwt/claimValidationRules",
            json!([{"expression": "claims.", "message": "m"}]),
            "spec.authentication.issuers[0].jwt.claimValidationRules[0].expression",
            (1, 2, 2),
        ),
        (
            "/spec/authentication/issuers/0/jwt/claimMappings/extra",
            json!([{"key": "a.b/c", "expression": "claims.c.matches('x')"}]),
            "spec.authentication.issuers[0].jwt.claimMappings.extra[0].expression",
            (1, 2, 2),
        ),
        (
            "/spec/authentication/issuers/0/jwt/claimMappings/username",
            json!({"expression": "claims.email"}),
            "spec.authentication.issuers[0].jwt.claimMappings.username.expression",
            (1, 2, 2),
        ),
        (
            "/spec/authentication/issuers/0/jwt/claimMappings/username",
            json!({"claim": "sub"}),
            "spec.authentication.issuers[0].jwt.claimMappings.username",
            (1, 2, 2),
        ),
        (
            "/spec/authentication/issuers/0/jwt/userValidationRules",
            json!([{"expression": "claims.sub == 'x'", "message": "m"}]),
            "spec.authentication.issuers[0].jwt.userValidationRules[0].expression",
            (1, 2, 2),
        ),
        (
            "/spec/authentication/issuers/1/selfSubjectReview/cluster",
            json!("nope"),
            "spec.authentication.issuers[1].selfSubjectReview.cluster",
            (1, 2, 2),
        ),
        (
            "/spec/authentication/issuers/1/selfSubjectReview/issuer",
            json!("https://idp.example.com/realms/corp"),
            "spec.authentication.issuers[1]",
            (1, 2, 2),
        ),
        (
            "/spec/authentication/issuers/1",
            json!({"name": "hub", "type": "TokenReview", "tokenReview": {"issuer": "https://hub"}}),
            "spec.authentication.issuers[1].type",
            (1, 2, 2),
        ),
        (
            "/spec/authentication/issuers/1",
            json!({"name": "hub", "type": "JWT"}),
            "spec.authentication.issuers[1]",
            (1, 2, 2),
        ),
        ("/spec/clusters/1/server", json!("https://user@us.example"), "spec.clusters[1].server", (2, 1, 2)),
        ("/spec/clusters/1/server", json!("https://us.example/?x=y"), "spec.clusters[1].server", (2, 1, 2)),
        ("/spec/clusters/1/name", json!("../us"), "spec.clusters[1].name", (2, 1, 2)),
        ("/spec/clusters/1/name", json!("eu"), "spec.clusters[1].name", (2, 1, 2)),
        ("/spec/clusters/1/credential", json!({"mode": "Exchange"}), "spec.clusters[1].credential.mode", (2, 1, 2)),
        ("/spec/clusters/1/credential", json!({"mode": "Impersonate"}), "spec.clusters[1].credential.mode", (2, 1, 2)),
        ("/spec/toolSets/0/tools/0", json!("rm_rf"), "spec.toolSets[0].tools[0]", (2, 2, 2)),
        ("/spec/toolSets/0/tools/0", json!("diagnose"), "spec.toolSets[0].tools[0]", (2, 2, 2)),
        ("/spec/toolSets/0/name", json!("inspect"), "spec.toolSets[0].name", (2, 2, 2)),
        ("/spec/rules/0/subjects/condition", json!("groups.exists()"), "spec.rules[0].subjects.condition", (2, 2, 1)),
        ("/spec/rules/0/subjects/groups", json!([]), "spec.rules[0].subjects", (2, 2, 1)),
        ("/spec/rules/0/subjects/anyUser", json!(true), "spec.rules[0].subjects", (2, 2, 1)),
        ("/spec/rules/0/subjects/issuers", json!(["nope"]), "spec.rules[0].subjects.issuers[0]", (2, 2, 1)),
        ("/spec/rules/0/allow/clusters", json!({"selector": {}}), "spec.rules[0].allow.clusters.selector", (2, 2, 1)),
        ("/spec/rules/0/allow/clusters", json!({}), "spec.rules[0].allow.clusters", (2, 2, 1)),
        (
            "/spec/rules/0/allow/clusters",
            json!({"names": ["nope"]}),
            "spec.rules[0].allow.clusters.names[0]",
            (2, 2, 2),
        ),
        ("/spec/rules/0/allow/toolSets", json!(["nope"]), "spec.rules[0].allow.toolSets[0]", (2, 2, 2)),
        ("/spec/rules/0/allow/toolSets", json!(["change"]), "spec.rules[0].allow.toolSets[0]", (2, 2, 2)),
        ("/spec/rules/1/allow/namespaces", json!({"mode": "Listed"}), "spec.rules[1].allow.namespaces", (2, 2, 1)),
        (
            "/spec/rules/1/allow/namespaces",
            json!({"mode": "All", "names": ["a"]}),
            "spec.rules[1].allow.namespaces",
            (2, 2, 1),
        ),
        (
            "/spec/rules/1/allow/namespaces",
            json!({"mode": "Listed", "names": ["../x"]}),
            "spec.rules[1].allow.namespaces.names[0]",
            (2, 2, 1),
        ),
        ("/spec/limits", json!({"maxLogLines": 50}), "spec.limits.maxLogLines", (2, 2, 2)),
        (
            "/spec/clusterProfiles",
            json!([{"name": "p", "selector": {"matchLabels": {"a": "b"}}, "accessProvider": "x", "allowedServerSuffixes": ["e"], "credential": {"mode": "Forward"}}]),
            "spec.clusterProfiles[0]",
            (2, 2, 2),
        ),
    ] {
        let compiled = with(pointer, value.clone());
        assert!(compiled.problems.iter().any(|p| p.field == field), "{pointer}={value}: {:?}", compiled.problems);
        assert!(compiled.problems.iter().all(|p| !p.fatal), "{pointer}={value}");
        let endpoint = compiled.endpoint.unwrap();
        assert_eq!((endpoint.issuers.len(), endpoint.clusters.len(), endpoint.rules.len()), left, "{pointer}={value}");
    }
}

#[test]
fn an_invalid_audience_restriction_or_limit_takes_the_endpoint_out() {
    for (pointer, value, field) in [
        ("/spec/authentication/audiences", json!([""]), "spec.authentication.audiences[0]"),
        ("/spec/authentication/maxTokenLifetime", json!("1s"), "spec.authentication.maxTokenLifetime"),
        ("/spec/authentication/maxTokenLifetime", json!("-24h"), "spec.authentication.maxTokenLifetime"),
        (
            "/spec/restrictedResources",
            json!([{"group": "", "resource": "Pods/../x"}]),
            "spec.restrictedResources[0].resource",
        ),
        ("/spec/limits", json!({"timeoutSeconds": 0}), "spec.limits.timeoutSeconds"),
        ("/spec/limits", json!({"maxOutputTokens": 1}), "spec.limits.maxOutputTokens"),
        ("/spec/authentication/scopesSupported", json!(["a b"]), "spec.authentication.scopesSupported[0]"),
        ("/spec/limits", json!({"requestsPerMinute": 0}), "spec.limits.requestsPerMinute"),
        ("/spec/limits", json!({"maxConcurrentCalls": 0}), "spec.limits.maxConcurrentCalls"),
        ("/metadata/name", json!("a.b"), "metadata.name"),
    ] {
        let compiled = with(pointer, value.clone());
        assert!(
            compiled.problems.iter().any(|p| p.field == field && p.fatal),
            "{pointer}={value}: {:?}",
            compiled.problems
        );
        assert_eq!(compiled.endpoint, None, "{pointer}={value}");
    }
}

#[test]
fn a_ca_that_does_not_resolve_trusts_nobody() {
    let other = json!({"configMap": {"name": "absent"}});
    for (pointer, value, field) in [
        ("/spec/clusters/0/certificateAuthority", other.clone(), "spec.clusters[0].certificateAuthority.configMap"),
        (
            "/spec/clusters/0/certificateAuthority",
            json!({"inline": "not a certificate"}),
            "spec.clusters[0].certificateAuthority.inline",
        ),
        ("/spec/clusters/0/certificateAuthority", json!({}), "spec.clusters[0].certificateAuthority"),
    ] {
        let compiled = with(pointer, value);
        assert_eq!(compiled.problems.iter().map(|p| p.field.as_str()).collect::<Vec<_>>(), [field]);
        assert_eq!(compiled.endpoint.unwrap().clusters["eu"].upstream.trust, Trust::Unresolved);
    }
    let compiled = with("/spec/authentication/issuers/0/jwt/certificateAuthority", other);
    let Verification::Jwt(jwt) = &compiled.endpoint.unwrap().issuers[0].verification else { panic!() };
    assert_eq!(jwt.trust, Trust::Unresolved);
}

#[test]
fn offline_an_absent_config_map_is_no_problem() {
    let object = serde_json::from_value(object()).unwrap();
    let settings = Settings { public_url: "https://mcp.example.com".to_owned() };
    assert_eq!(compile(&object, &References::default(), &settings).problems, []);
}

#[test]
fn the_digest_of_an_issuer_changes_with_how_its_tokens_are_read() {
    let digest = |compiled: Compiled| compiled.endpoint.unwrap().issuers[0].digest;
    let plain = digest(with_all(&[]));
    assert_eq!(plain, digest(with("/spec/limits", json!({"timeoutSeconds": 5}))));
    assert_ne!(plain, digest(with("/spec/authentication/issuers/0/jwt/claimMappings/username/prefix", json!("x:"))));
    assert_ne!(plain, digest(with("/spec/authentication/issuers/0/jwt/signingAlgorithms", json!(["ES256"]))));
    assert_ne!(
        plain,
        digest(with(
            "/spec/authentication/issuers/0/jwt/certificateAuthority",
            json!({"inline": CA.to_owned() + "\n"})
        ))
    );
}

#[test]
fn expressions_compile_into_issuers_and_rules() {
    let compiled = with_all(&[
        ("/spec/authentication/issuers/0/jwt/claimMappings/username", json!({"expression": "'corp:' + claims.sub"})),
        ("/spec/authentication/issuers/0/jwt/claimMappings/uid", json!({"claim": "sub"})),
        ("/spec/authentication/issuers/0/jwt/claimMappings/extra", json!([{"key": "a.b/c", "expression": "claims.c"}])),
        (
            "/spec/authentication/issuers/0/jwt/claimValidationRules",
            json!([{"expression": "claims.exp - claims.iat <= 3600", "message": "m"}]),
        ),
        (
            "/spec/authentication/issuers/0/jwt/userValidationRules",
            json!([{"expression": "user.username != 'corp:root'", "message": "m"}]),
        ),
        ("/spec/rules/0/subjects", json!({"issuers": ["corp"], "condition": "claims.acr == 'mfa'"})),
    ]);
    assert_eq!(compiled.problems, []);
    let endpoint = compiled.endpoint.unwrap();
    let Verification::Jwt(jwt) = &endpoint.issuers[0].verification else { panic!() };
    assert_eq!((jwt.extra.len(), jwt.claim_rules.len(), jwt.user_rules.len()), (1, 1, 1));
    assert!(endpoint.rules[0].subjects.condition.is_some());
}
