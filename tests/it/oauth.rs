//! What an OAuth client sees: the challenge, and the metadata that it leads to (RFC 6750, RFC 9728).

use crate::support::{
    cluster::shared,
    mcp,
    scene::Scene,
    spec::{cluster, everywhere, jwt, rule, self_subject_review, spec},
};
use serde_json::json;

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_with_a_jwt_issuer_leads_to_its_authorization_server() {
    let scene = Scene::new("oauth").await;
    let (east, idp) = (&shared().east, &shared().idp);
    let rules = [rule("look", "corp", &["east"], &["inspect"], everywhere())];
    let mut endpoint =
        spec(&[jwt("corp", idp), self_subject_review("sa", east)], &[cluster(east, &["corp", "sa"])], &rules);
    endpoint["authentication"]["scopesSupported"] = json!(["openid", "groups"]);
    let status = scene.apply(&endpoint).await;
    assert!(!status.to_string().contains("PartiallyInvalid"), "{status}");

    let reply = scene.agent("").rpc("tools/list", json!({})).await;
    assert_eq!(reply.status, 401);
    let challenge = reply.header("www-authenticate");
    let metadata = format!(r#"resource_metadata="https://mcp.test{WELL_KNOWN}/mcp/it""#);
    assert!(challenge.contains(&metadata) && challenge.contains(r#"scope="openid groups""#), "{challenge}");
    for path in [format!("{WELL_KNOWN}/mcp/it"), WELL_KNOWN.to_owned()] {
        let reply = mcp::get(&format!("{}{path}", scene.kmcp.url)).await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        let document = reply.json();
        assert_eq!(document["resource"], scene.audience(), "{path}");
        assert_eq!(document["authorization_servers"], json!([idp.url()]), "{path}: a cluster is none");
    }
    for path in ["/mcp/other", "/mcp/it/x", "/../mcp/it", "/mcp/%2e%2e/it"] {
        let reply = mcp::get(&format!("{}{WELL_KNOWN}{path}", scene.kmcp.url)).await;
        assert_eq!(reply.status, 404, "{path}: {reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_without_one_sends_nobody_into_a_flow_that_cannot_end() {
    let scene = Scene::new("no-oauth").await;
    let east = &shared().east;
    let rules = [rule("look", "sa", &["east"], &["inspect"], everywhere())];
    scene.apply(&spec(&[self_subject_review("sa", east)], &[cluster(east, &["sa"])], &rules)).await;
    let reply = scene.agent("").rpc("tools/list", json!({})).await;
    let challenge = reply.header("www-authenticate");
    assert!(challenge.starts_with("Bearer error=") && !challenge.contains("resource_metadata"), "{challenge}");
    for path in [format!("{WELL_KNOWN}/mcp/it"), WELL_KNOWN.to_owned()] {
        assert_eq!(mcp::get(&format!("{}{path}", scene.kmcp.url)).await.status, 404, "{path}");
    }
}
