//! One caller in a loop does not take the endpoint from the others.

use crate::support::{
    cluster::shared,
    mcp::Called,
    scene::Scene,
    spec::{cluster, everywhere, jwt, rule, spec},
};
use serde_json::{Value, json};

async fn with_limits(name: &str, limits: Value) -> Scene {
    let scene = Scene::new(name).await;
    let look = rule("look", "corp", &["east"], &["inspect"], everywhere());
    let mut spec = spec(&[jwt("corp", &shared().idp)], &[cluster(&shared().east, &["corp"])], &[look]);
    spec["limits"] = limits;
    let status = scene.apply(&spec).await;
    assert!(!status.to_string().contains("PartiallyInvalid"), "{status}");
    scene
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_beyond_a_minutes_worth_are_told_when_to_come_back_and_others_are_not() {
    let scene = with_limits("requests", json!({"requestsPerMinute": 5})).await;
    let (greedy, other) = (scene.user(&shared().idp, "greedy").0, scene.user(&shared().idp, "other").0);
    let agent = scene.agent(&greedy);
    for n in 0..5 {
        agent.call("cluster_list", json!({})).await.ok();
        assert!(n < 5);
    }
    let called = agent.call("cluster_list", json!({})).await;
    assert!(
        matches!(&called, Called::Error(text) if text.contains("5 a minute") && text.contains("try again in")),
        "{called:?}"
    );
    // Another token of the same person shares what is left; another person has all.
    let again = scene.agent(&scene.user(&shared().idp, "greedy").0).call("cluster_list", json!({})).await;
    assert!(matches!(&again, Called::Error(_)), "{again:?}");
    scene.agent(&other).call("cluster_list", json!({})).await.ok();
    // What is bad is counted too, and lists of tools are not.
    assert_eq!(agent.tools().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn output_beyond_a_minutes_worth_is_not_sent() {
    let scene = with_limits("output", json!({"outputTokensPerMinute": 1000})).await;
    let agent = scene.agent(&scene.user(&shared().idp, "ann").0);
    let question = json!({"resource": "customresourcedefinition", "name": "mcpendpoints.k-mcp.dev", "maxTokens": 700});
    agent.call("resource_get", question.clone()).await.ok();
    let called = agent.call("resource_get", question).await;
    assert!(matches!(&called, Called::Error(text) if text.contains("1000 tokens a minute")), "{called:?}");
}
