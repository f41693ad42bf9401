//! Starting, being ready, stopping; and what the admin port says.

use crate::support::{
    SOON,
    cluster::{CLUSTER_AUDIENCE, Cluster, shared},
    eventually,
    mcp::{self, Called},
    proxy::Proxy,
    scene::{Scene, make_config_map},
    spec::{cluster, cluster_at, everywhere, jwt, rule, spec},
};
use serde_json::json;
use std::{net::TcpStream, time::Duration};

#[tokio::test(flavor = "multi_thread")]
async fn readiness_names_what_is_missing_until_the_crd_is_there() {
    let fresh = Cluster::start("fresh", Some(&shared().idp)).unwrap();
    let scene = Scene::unready(&fresh, "fresh").await;
    let page = async |name: &str| mcp::get(&format!("{}/{name}", scene.kmcp.admin)).await;
    scene.kmcp.wait_for_line("the reason", |line| {
        line["why"].as_str().is_some_and(|why| why.contains("kubectl apply -f crds/"))
    });
    let ready = page("readyz").await;
    assert_eq!((ready.status.as_u16(), ready.body.as_str()), (503, "waiting for: catalog\n"));
    assert_eq!(page("livez").await.status, 200);

    fresh.install_crd().unwrap();
    eventually("ready", Duration::from_secs(40), async || (page("readyz").await.status == 200).then_some(())).await;
    assert_eq!(page("readyz").await.body, "ok\n");
    let all = rule("all", "corp", &["fresh"], &["inspect"], everywhere());
    scene.apply(&spec(&[jwt("corp", &shared().idp)], &[cluster(&fresh, &["corp"])], &[all])).await;
    let (token, _) = scene.user(&shared().idp, "ann");
    scene.agent(&token).call("resource_list", json!({"resource": "namespaces"})).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_flight_is_answered_after_sigterm_and_a_new_one_is_not() {
    let mut scene = Scene::new("drain").await;
    let proxy = Proxy::start(&shared().east).await;
    let east = cluster_at("east", &proxy.url, &proxy.ca, &["corp"], &[CLUSTER_AUDIENCE]);
    let all = rule("all", "corp", &["east"], &["inspect"], everywhere());
    scene.apply(&spec(&[jwt("corp", &shared().idp)], &[east], &[all])).await;
    let (token, _) = scene.user(&shared().idp, "ann");
    let agent = scene.agent(&token);
    let list = json!({"resource": "namespaces"});
    agent.call("resource_list", list.clone()).await.ok();

    proxy.hold(true);
    let before = proxy.seen().len();
    let slow: Vec<_> = mcp::BOTH
        .map(|era| {
            let (agent, list) = (agent.speaking(era), list.clone());
            tokio::spawn(async move { agent.call("resource_list", list).await })
        })
        .into();
    eventually("the calls are in flight", SOON, async || (proxy.seen().len() == before + 2).then_some(())).await;
    scene.kmcp.terminate();
    scene.kmcp.wait_for_line("it stops", |line| line["message"].as_str().is_some_and(|m| m.starts_with("k-mcp stops")));
    let address = scene.kmcp.url.trim_start_matches("http://").to_owned();
    eventually("new connections are refused", SOON, async || TcpStream::connect(&address).is_err().then_some(())).await;
    let ready = mcp::get(&format!("{}/readyz", scene.kmcp.admin)).await;
    assert_eq!((ready.status.as_u16(), ready.body.as_str()), (503, "waiting for: stop\n"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.kmcp.ended(), None, "a call is in flight");

    proxy.hold(false);
    for call in slow {
        let called = call.await.unwrap();
        assert!(matches!(&called, Called::Ok(text) if text.contains("kube-system")), "{called:?}");
    }
    let end = std::time::Instant::now() + Duration::from_secs(10);
    let status = loop {
        if let Some(status) = scene.kmcp.ended() {
            break status;
        }
        assert!(std::time::Instant::now() < end, "it does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_say_nothing_that_a_caller_chose() {
    let scene = Scene::new("metrics").await;
    make_config_map(&scene.admin, &scene.namespace, "settings", json!({"color": "blue"})).await;
    let all = rule("all", "corp", &["east"], &["inspect"], everywhere());
    scene.apply(&spec(&[jwt("corp", &shared().idp)], &[cluster(&shared().east, &["corp"])], &[all])).await;
    let (token, user) = scene.user(&shared().idp, "ann");
    let agent = scene.agent(&token);
    let canary = "canary-q7";
    let get = json!({"resource": "configmap", "name": "settings", "namespace": scene.namespace});
    agent.call("resource_get", get).await.ok();
    for argument in ["resource", "name", "namespace", "cluster", "cursor", "labelSelector", canary] {
        let mut call = json!({"resource": "configmaps"});
        call[argument] = json!(canary);
        agent.call("resource_list", call.clone()).await;
        agent.call(canary, call).await;
    }
    let mut wrong = scene.agent(&format!("{token}x"));
    wrong.rpc("tools/list", json!({})).await;
    wrong.url = wrong.url.replace("/mcp/", &format!("/mcp/{canary}-"));
    wrong.rpc("tools/list", json!({})).await;

    let page = mcp::get(&format!("{}/metrics", scene.kmcp.admin)).await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("text/plain"), "{page:?}");
    for counted in [
        "kmcp_tool_calls_total{outcome=\"ok\",tool=\"resource_get\"} 1",
        "kmcp_tool_calls_total{outcome=\"denied\",tool=\"unknown\"} 7",
        "kmcp_refused_requests_total{reason=\"unknown_endpoint\"} 1",
        "kmcp_endpoints 1",
        "kmcp_upstream_request_seconds_count{outcome=\"ok\"}",
        "kmcp_output_tokens_total{tool=\"resource_get\"}",
    ] {
        assert!(page.body.contains(counted), "no {counted} in:\n{}", page.body);
    }
    for secret in [canary, "ann", &user, &token[..20], &scene.namespace, "settings", "configmap", "https://"] {
        assert!(!page.body.contains(secret), "{secret} in:\n{}", page.body);
    }
    for line in page.body.lines().filter(|line| !line.starts_with('#')) {
        assert!(line.starts_with("kmcp_"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_bring_no_request_are_closed() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let scene = Scene::new("silent").await;
    let ports = [("agents'", &scene.kmcp.url), ("admin", &scene.kmcp.admin)];
    let mut all = Vec::new();
    for (port, base) in ports {
        for head in ["", "GET / HT", "POST /mcp/it HTTP/1.1\r\nHost: localhost\r\n"] {
            let mut stream = tokio::net::TcpStream::connect(base.trim_start_matches("http://")).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            all.push((port, head, stream));
        }
    }
    for (port, head, mut stream) in all {
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(std::time::Duration::from_secs(15), stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "{port}: {head:?} is still open");
    }
}
