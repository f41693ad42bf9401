use super::*;
use serde_json::json;

fn sample() -> Value {
    json!({
        "apiVersion": "k-mcp.dev/v1alpha1",
        "kind": "McpEndpoint",
        "metadata": {"name": "platform", "namespace": "k-mcp", "labels": {"a": "b"}},
        "spec": {
            "authentication": {"issuers": [{"name": "corp", "type": "JWT", "jwt": {
                "issuer": "https://idp.example.com",
                "claimMappings": {"username": {"claim": "sub", "prefix": "corp:"}},
            }}]},
            "clusters": [{"name": "eu", "server": "https://eu.example:6443",
                "credential": {"mode": "Forward", "forward": {"issuers": ["corp"], "audiences": ["k8s"]}}}],
            "rules": [{"name": "all", "subjects": {"issuers": ["corp"], "anyUser": true},
                "allow": {"clusters": {"names": ["eu"]}, "toolSets": ["inspect"], "namespaces": {"mode": "All"}}}],
        },
    })
}

fn with(pointer: &str, value: Value) -> Vec<Finding> {
    let mut object = sample();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match object.pointer_mut(parent).unwrap() {
        Value::Object(map) => {
            map.insert(key.to_owned(), value);
        }
        Value::Array(list) => list.push(value),
        other => panic!("{other}"),
    }
    findings(&object, &References::default())
}

#[test]
fn a_valid_endpoint_has_no_findings() {
    assert_eq!(findings(&sample(), &References::default()), []);
}

#[test]
fn each_kind_of_mistake_names_its_field() {
    for (pointer, value, field, message) in [
        // schema
        ("/apiVersion", json!("k-mcp.dev/v1"), "apiVersion", "v1alpha1"),
        ("/spec/ruels", json!([]), "spec", "ruels"),
        ("/spec/rules/0/allow/namespace", json!({}), "spec.rules[0].allow", "namespace"),
        ("/spec/rules/0/allow/namespaces/mode", json!("Some"), "spec.rules[0].allow.namespaces.mode", "Some"),
        ("/spec/authentication/issuers/0/name", json!("Corp_1"), "spec.authentication.issuers[0].name", "Corp_1"),
        ("/spec/limits", json!({"timeoutSeconds": 0}), "spec.limits.timeoutSeconds", "minimum"),
        ("/spec/authentication/issuers", json!([]), "spec.authentication.issuers", "less than 1"),
        ("/spec/rules/-", sample()["spec"]["rules"][0].clone(), "spec.rules[1].name", "second time"),
        ("/spec/rules/0/allow/toolSets", json!(["inspect", "inspect"]), "spec.rules[0].allow.toolSets", "unique"),
        ("/spec/clusters/0/server", json!(null), "spec.clusters[0].server", "null"),
        // CEL
        ("/spec/clusters/0/server", json!("http://eu.example"), "spec.clusters[0].server", "https"),
        (
            "/spec/clusters/0/profileRef",
            json!({"name": "x", "accessProvider": "y"}),
            "spec.clusters[0]",
            "server or profileRef",
        ),
        ("/spec/rules/0/subjects/issuers", json!(["other"]), "spec", "subjects.issuers must name issuers"),
        ("/spec/rules/0/allow/clusters", json!({"names": ["us"]}), "spec", "must name clusters"),
        ("/spec/rules/0/allow/toolSets", json!(["nope"]), "spec", "toolSets must name"),
        // compile
        ("/spec/toolSets", json!([{"name": "x", "tools": ["rm_rf"]}]), "spec.toolSets[0].tools[0]", "is not a tool"),
        (
            "/spec/rules/0/subjects",
            json!({"issuers": ["corp"], "condition": "claims.a.matches('x')"}),
            "spec.rules[0].subjects.condition",
            "may not call matches",
        ),
        (
            "/spec/clusters/0/certificateAuthority",
            json!({"inline": "x"}),
            "spec.clusters[0].certificateAuthority.inline",
            "PEM",
        ),
    ] {
        let found = with(pointer, value.clone());
        let fits = |f: &Finding| f.field.trim_end_matches('.').starts_with(field) && f.message.contains(message);
        assert!(found.iter().any(fits), "{pointer}={value}: {found:#?}");
    }
}
