//! CEL over tokens: conditions, mappings, validation rules, on real tokens of a real issuer.

use crate::support::{
    cluster::shared,
    mcp,
    scene::Scene,
    spec::{cluster, everywhere, jwt, rule, spec},
};
use serde_json::{Value, json};

/// A token of a user with further claims, cluster-admin as all users are.
fn token(scene: &Scene, name: &str, claims: &Value) -> String {
    let sub = format!("{name}-{}", scene.namespace);
    let (audience, claims) = (scene.audience(), claims.to_string());
    shared().idp.token(&["--sub", &sub, "--groups", "mighty", "--aud", &audience, "--aud", "tc", "--claims", &claims])
}

/// One issuer, changed by `edit`, and one rule, with a condition.
fn endpoint(condition: Option<&str>, edit: impl FnOnce(&mut Value)) -> Value {
    let mut issuer = jwt("corp", &shared().idp);
    edit(&mut issuer["jwt"]);
    let mut look = rule("look", "corp", &["east"], &["inspect"], everywhere());
    if let Some(condition) = condition {
        look["subjects"] = json!({"issuers": ["corp"], "condition": condition});
    }
    spec(&[issuer], &[cluster(&shared().east, &["corp"])], &[look])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_decides_by_the_claims_of_each_token_and_one_that_fails_matches_nothing() {
    let scene = Scene::new("condition").await;
    scene.apply(&endpoint(Some("claims.acr == 'mfa' && user.username.startsWith('oidc:')"), |_| ())).await;
    for (claims, tools) in [
        (json!({"acr": "mfa"}), 3),
        (json!({"acr": "pwd"}), 0),
        (json!({"acr": ["mfa"]}), 0),
        (json!({}), 0), // claims.acr is not there: the condition fails
    ] {
        let agent = scene.agent(&token(&scene, "ann", &claims));
        assert_eq!(agent.tools().await.len(), tools, "{claims}");
        let called = agent.call("cluster_list", json!({})).await;
        assert_eq!(called.text().starts_with("unknown tool"), tools == 0, "{claims}: {called:?}");
    }
    let metrics = mcp::get(&format!("{}/metrics", scene.kmcp.admin)).await.body;
    let failed = metrics.lines().find(|l| l.starts_with("kmcp_failed_rule_conditions_total")).unwrap();
    assert!(!failed.ends_with(" 0"), "{failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_map_names_and_groups() {
    let scene = Scene::new("mapping").await;
    let mut spec = endpoint(None, |jwt| {
        jwt["claimMappings"] = json!({
            "username": {"expression": "'oidc:' + claims.sub"},
            "groups": {"expression": "has(claims.roles) ? claims.roles.filter(r, r != 'intern').map(r, 'role:' + r) : []"},
            "extra": [{"key": "example.com/team", "expression": "has(claims.team) ? claims.team : ''"}],
        });
    });
    spec["rules"][0]["subjects"] =
        json!({"issuers": ["corp"], "groups": ["role:sre"], "condition": "'shop' in user.extra['example.com/team']"});
    scene.apply(&spec).await;
    for (claims, status, tools) in [
        (json!({"roles": ["sre", "intern"], "team": "shop"}), 200_u16, 3),
        (json!({"roles": ["sre"], "team": "cart"}), 200, 0),
        (json!({"roles": ["intern"], "team": "shop"}), 200, 0),
        (json!({"team": "shop"}), 200, 0),
        (json!({"roles": "sre", "team": "shop"}), 401, 0), // no list: the mapping fails, and the token with it
        (json!({"roles": ["sre"]}), 401, 0),               // an empty extra value is none
    ] {
        let agent = scene.agent(&token(&scene, "ann", &claims));
        let answer = agent.rpc("tools/list", json!({})).await;
        assert_eq!(answer.status, status, "{claims}: {}", answer.body);
        let listed: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        let count = listed.pointer("/result/tools").and_then(Value::as_array).map_or(0, Vec::len);
        assert_eq!(count, tools, "{claims}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn validation_rules_refuse_a_token_with_their_message() {
    let scene = Scene::new("validation").await;
    let rules = |jwt: &mut Value| {
        jwt["claimValidationRules"] = json!([{"expression": "claims.exp - claims.iat <= 7200", "message": "two hours at most"},
                   {"expression": "claims.region == 'eu'", "message": "only from the EU"}]);
        jwt["userValidationRules"] =
            json!([{"expression": "!user.username.contains('contractor')", "message": "no contractors"}]);
    };
    scene.apply(&endpoint(None, rules)).await;
    for (name, claims, expected) in [
        ("ann", json!({"region": "eu"}), None),
        ("ann", json!({"region": "us"}), Some("only from the EU")),
        ("ann", json!({}), Some("only from the EU")),
        ("ann", json!({"region": "eu", "iat": 1_600_000_000}), Some("lifetime")), // the endpoint's own bound comes first
        ("contractor", json!({"region": "eu"}), Some("no contractors")),
    ] {
        let agent = scene.agent(&token(&scene, name, &claims));
        let answer = agent.rpc("tools/list", json!({})).await;
        match expected {
            None => assert_eq!(answer.status, 200, "{claims}: {}", answer.body),
            Some(text) => assert!(answer.status == 401 && answer.body.contains(text), "{claims}: {}", answer.body),
        }
    }
}
