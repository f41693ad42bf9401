//! What a cluster sees of k-mcp, by a recording reverse proxy in front of a real API server.

use crate::support::{
    cluster::{CLUSTER_AUDIENCE, service_account_token, shared},
    proxy::{Proxy, Recorded},
    scene::{Scene, make_config_map, make_mighty_account},
    spec::{cluster_at, everywhere, jwt, rule, self_subject_review, spec},
};
use serde_json::json;
use std::collections::BTreeSet;

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_resource_get_is_exactly_one_upstream_request_on_an_existing_connection() {
    let scene = Scene::new("warm").await;
    let proxy = Proxy::start(&shared().east).await;
    make_config_map(&scene.admin, &scene.namespace, "settings", json!({"color": "blue"})).await;
    let east = cluster_at("east", &proxy.url, &proxy.ca, &["corp"], &[CLUSTER_AUDIENCE]);
    let all = rule("all", "corp", &["east"], &["inspect"], everywhere());
    scene.apply(&spec(&[jwt("corp", &shared().idp)], &[east], &[all])).await;
    let (token, _) = scene.user(&shared().idp, "ann");
    let agent = scene.agent(&token);
    let get = json!({"resource": "configmap", "name": "settings", "namespace": scene.namespace});
    assert!(agent.call("resource_get", get.clone()).await.ok().contains("color: blue"));
    let cold = proxy.seen();
    let paths: BTreeSet<&str> = cold.iter().map(|r| r.path.as_str()).collect();
    let object = format!("/api/v1/namespaces/{}/configmaps/settings", scene.namespace);
    assert_eq!(paths, BTreeSet::from(["/api", "/apis", &object]), "{cold:#?}");
    assert_eq!(cold.len(), 3, "{cold:#?}");
    assert!(cold.iter().all(|r| r.version == http::Version::HTTP_2), "{cold:#?}");

    // Another caller, other connections to k-mcp: what is pooled belongs to nobody.
    let (other, _) = scene.user(&shared().idp, "bob");
    for token in [&token, &other, &token] {
        let before = proxy.seen().len();
        scene.agent(token).call("resource_get", get.clone()).await.ok();
        let seen = proxy.seen();
        let [Recorded { connection, version, method, path, query }] = &seen[before..] else {
            panic!("not one request: {:#?}", &seen[before..])
        };
        assert!(cold.iter().any(|r| r.connection == *connection), "a new connection: {seen:#?}");
        assert_eq!(*version, http::Version::HTTP_2);
        assert_eq!((method.as_str(), path.as_str(), query.as_str()), ("GET", object.as_str(), ""));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_served_sends_only_gets_and_the_self_review_post() {
    let scene = Scene::new("sends").await;
    let east = &shared().east;
    let proxy = Proxy::start(east).await;
    make_config_map(&scene.admin, &scene.namespace, "settings", json!({"color": "blue"})).await;
    make_mighty_account(&scene.admin, &scene.namespace, "agent").await;
    let audiences = [CLUSTER_AUDIENCE, &east.issuer()];
    let member = cluster_at("east", &proxy.url, &proxy.ca, &["corp", "sa"], &audiences);
    let everything = ["inspect", "diagnosis", "change"];
    let mut spec = spec(
        &[jwt("corp", &shared().idp), self_subject_review("sa", east)],
        &[member],
        &[
            rule("one", "corp", &["east"], &everything, everywhere()),
            rule("two", "sa", &["east"], &everything, everywhere()),
        ],
    );
    spec["limits"] = json!({"requestsPerMinute": 100_000, "outputTokensPerMinute": 100_000_000});
    scene.apply(&spec).await;
    let (token, _) = scene.user(&shared().idp, "ann");
    let account =
        service_account_token(&scene.admin, &scene.namespace, "agent", &[&scene.audience(), &east.issuer()]).await;

    let bad = [
        "../../../api/v1/secrets",
        "..",
        ".",
        "%2e%2e",
        "a/b",
        "a%2fb",
        "a?watch=true",
        "a#b",
        "a&b=c",
        "-o",
        "--raw=/",
        "a b",
        "a\nb",
        "a\u{0}b",
        "",
        "*",
        "a,b",
        "\u{202e}",
        "settings",
    ];
    let mut calls = vec![json!({}), json!({"nonsense": 1}), json!({"resource": 7}), json!({"cluster": "*"})];
    for kind in
        ["configmaps", "namespace", "secrets", "pods/log", "pods/exec", "nodes/proxy", "services/proxy", "nosuch"]
    {
        calls.push(json!({"resource": kind}));
        calls.push(json!({"resource": kind, "name": "settings"}));
        calls.push(json!({"resource": kind, "name": "settings", "namespace": scene.namespace}));
    }
    for text in bad {
        for argument in
            ["resource", "name", "namespace", "cluster", "labelSelector", "fieldSelector", "cursor", "limit"]
        {
            let mut call = json!({"resource": "configmaps", "name": "settings", "namespace": scene.namespace});
            call[argument] = json!(text);
            calls.push(call.clone());
            call.as_object_mut().unwrap().remove("name");
            call[argument] = json!(text);
            calls.push(call);
        }
    }
    for token in [&token, &account] {
        let agent = scene.agent(token);
        let tools = agent.tools().await;
        assert!(tools.len() >= 3, "{tools:?}");
        for tool in &tools {
            for call in &calls {
                agent.call(tool, call.clone()).await;
            }
        }
        for tool in ["resource_apply", "workload_rollout", "resource_delete", "pod_exec"] {
            let arguments = json!({"resource": "configmap", "name": "settings", "namespace": scene.namespace});
            agent.call(tool, arguments).await;
        }
    }

    let seen = proxy.seen();
    assert!(seen.len() > 20, "{}", seen.len());
    for r in &seen {
        let review = r.method == "POST" && r.path == "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        assert!(r.method == "GET" || review, "{r:?}");
        let segments: Vec<&str> = r.path.split('/').skip(1).collect();
        let resource = match segments.as_slice() {
            ["api" | "apis" | "version"] => "",
            ["apis", "authentication.k8s.io", "v1", "selfsubjectreviews"] => "selfsubjectreviews",
            // Nothing below an object: no log, exec, proxy, status.
            ["api", "v1", rest @ ..] | ["apis", _, _, rest @ ..] => match rest {
                [resource] | [resource, _] | ["namespaces", _, resource] | ["namespaces", _, resource, _] => resource,
                _ => panic!("{r:?}"),
            },
            _ => panic!("{r:?}"),
        };
        assert!(!["secrets", "serviceaccounts", "status", "watch", "proxy"].contains(&resource), "{r:?}");
        assert!(segments.iter().all(|s| !s.is_empty() && *s != "." && *s != ".." && !s.contains('%')), "{r:?}");
        let keys: Vec<&str> = r.query.split('&').filter_map(|pair| pair.split('=').next()).collect();
        let known = ["", "limit", "continue", "labelSelector", "fieldSelector", "includeObject"];
        assert!(keys.iter().all(|key| known.contains(key)), "{r:?}");
    }
    let reviews = seen.iter().filter(|r| r.method == "POST").count();
    assert_eq!(reviews, 1, "one review is good for 60 s");
}
