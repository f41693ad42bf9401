//! An edit of the McpEndpoint holds for the next call, and its status says what is in effect.

use crate::support::{
    SOON,
    cluster::{api_of, apply, shared},
    eventually,
    mcp::Called,
    scene::{ENDPOINT, Scene, make_config_map, make_namespace},
    spec::{cluster, everywhere, jwt, listed, rule, spec},
};
use kube::api::{DeleteParams, DynamicObject};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn condition<'s>(status: &'s Value, kind: &str) -> &'s Value {
    let all = status["conditions"].as_array().unwrap();
    all.iter().find(|c| c["type"] == kind).unwrap_or(&Value::Null)
}

/// The row of the endpoint as `kubectl get` prints it: column and cell.
async fn printed(scene: &Scene) -> Vec<(String, Value)> {
    let path = format!("/apis/k-mcp.dev/v1alpha1/namespaces/{}/mcpendpoints/{ENDPOINT}", scene.namespace);
    let request = http::Request::get(path).header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    let table: Value = scene.admin.request(request.body(Vec::new()).unwrap()).await.unwrap();
    let columns = table["columnDefinitions"].as_array().unwrap().iter();
    let cells = table["rows"][0]["cells"].as_array().unwrap().iter().cloned();
    columns.map(|c| c["name"].as_str().unwrap().to_owned()).zip(cells).collect()
}

fn cell<'r>(row: &'r [(String, Value)], column: &str) -> &'r Value {
    &row.iter().find(|(name, _)| name == column).unwrap_or_else(|| panic!("no column {column}: {row:?}")).1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrower_rule_denies_the_next_call_without_a_restart() {
    let scene = Scene::new("narrow").await;
    let (a, b) = (format!("{}-a", scene.namespace), format!("{}-b", scene.namespace));
    for namespace in [&a, &b] {
        make_namespace(&scene.admin, namespace).await;
    }
    let with = |namespaces: &[&str]| {
        let rule = rule("all", "corp", &["east"], &["inspect"], listed(namespaces));
        spec(&[jwt("corp", &shared().idp)], &[cluster(&shared().east, &["corp"])], &[rule])
    };
    scene.apply(&with(&[&a, &b])).await;
    let (token, user) = scene.user(&shared().idp, "ann");
    let agent = scene.agent(&token);
    let list = json!({"resource": "configmaps", "namespace": b});
    agent.call("resource_list", list.clone()).await.ok();

    // Not the status is waited for, which comes later, but the call that is denied.
    apply(&scene.admin, &scene.endpoint(&with(&[&a]))).await;
    let edited = Instant::now();
    let denied =
        eventually("the call is denied", SOON, async || match agent.call("resource_list", list.clone()).await {
            Called::Error(text) => Some(text),
            _ => None,
        });
    assert!(denied.await.contains("is not one of yours"));
    println!("denied {:?} after the edit", edited.elapsed());
    let before = shared().east.audit(&user).len();
    for _ in 0..5 {
        agent.call("resource_list", list.clone()).await.error();
    }
    agent.call("resource_list", json!({"resource": "configmaps", "namespace": a})).await.ok();
    assert_eq!(shared().east.audit(&user).len(), before + 1, "the denied calls were not made");
    let starts = scene.kmcp.log().iter().filter(|line| line["message"] == "k-mcp starts").count();
    assert_eq!(starts, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_hold_within_a_second() {
    let scene = Scene::new("edits").await;
    let with = |tools: &[&str]| {
        let rule = rule("all", "corp", &["east"], &["own"], everywhere());
        let mut spec = spec(&[jwt("corp", &shared().idp)], &[cluster(&shared().east, &["corp"])], &[rule]);
        spec["toolSets"] = json!([{"name": "own", "tools": tools}]);
        scene.endpoint(&spec)
    };
    let (wide, narrow) = (["cluster_list", "resource_list"], ["cluster_list"]);
    scene.apply(&with(&wide)["spec"]).await;
    let (token, _) = scene.user(&shared().idp, "ann");
    let agent = scene.agent(&token);
    assert_eq!(agent.tools().await, wide);

    let mut took: Vec<Duration> = Vec::new();
    for round in 0..50 {
        let tools = if round % 2 == 0 { &narrow[..] } else { &wide[..] };
        apply(&scene.admin, &with(tools)).await;
        let edited = Instant::now(); // when kubectl apply returns
        while agent.tools().await != tools {
            assert!(edited.elapsed() < SOON, "the edit is not seen");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        took.push(edited.elapsed());
    }
    took.sort();
    let (p50, p99, max) = (took[took.len() / 2], took[took.len() * 99 / 100], took[took.len() - 1]);
    println!("propagation of {} edits: p50 {p50:?}, p99 {p99:?}, max {max:?}", took.len());
    assert!(p99 < Duration::from_secs(1), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_rule_removes_only_its_own_access_and_the_status_says_so() {
    let scene = Scene::new("broken").await;
    let with = |condition: Option<&str>| {
        let inspect = rule("look", "corp", &["east"], &["list"], everywhere());
        let mut more = rule("more", "corp", &["east"], &["get"], everywhere());
        if let Some(condition) = condition {
            more["subjects"]["condition"] = json!(condition);
        }
        let mut spec = spec(&[jwt("corp", &shared().idp)], &[cluster(&shared().east, &["corp"])], &[inspect, more]);
        spec["toolSets"] =
            json!([{"name": "list", "tools": ["resource_list"]}, {"name": "get", "tools": ["resource_get"]}]);
        spec
    };
    let status = scene.apply(&with(None)).await;
    assert_eq!(condition(&status, "Ready")["status"], "True", "{status}");
    assert_eq!(condition(&status, "PartiallyInvalid"), &Value::Null, "{status}");
    let (token, _) = scene.user(&shared().idp, "ann");
    let agent = scene.agent(&token);
    assert_eq!(agent.tools().await, ["resource_list", "resource_get"]);
    let row = printed(&scene).await;
    assert_eq!(
        (cell(&row, "Ready"), cell(&row, "Problems"), cell(&row, "Tools")),
        (&json!("True"), &json!(0), &json!(2))
    );

    let status = scene.apply(&with(Some("claims.acr.matches('^mfa$')"))).await;
    assert_eq!(agent.tools().await, ["resource_list"]);
    agent.call("resource_list", json!({"resource": "namespaces"})).await.ok();
    let partially = condition(&status, "PartiallyInvalid");
    assert_eq!((&partially["status"], &partially["reason"]), (&json!("True"), &json!("Invalid")), "{status}");
    let message = partially["message"].as_str().unwrap();
    assert!(message.contains("spec.rules[1].subjects.condition"), "{message}");
    assert_eq!(condition(&status, "Accepted")["status"], "True", "{status}");
    let row = printed(&scene).await;
    let expected = [
        ("Name", json!(ENDPOINT)),
        ("Ready", json!("True")),
        ("URL", json!(scene.audience())),
        ("Clusters", json!("1/1")),
        ("Tools", json!(1)),
        ("Problems", json!(1)),
    ];
    for (column, value) in expected {
        assert_eq!(cell(&row, column), &value, "{column}: {row:?}");
    }

    scene.apply(&with(None)).await;
    assert_eq!(agent.tools().await, ["resource_list", "resource_get"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fatal_mistake_takes_the_endpoint_out_and_mending_it_brings_it_back() {
    let scene = Scene::new("fatal").await;
    let with = |lifetime: &str| {
        let rule = rule("all", "corp", &["east"], &["inspect"], everywhere());
        let mut spec = spec(&[jwt("corp", &shared().idp)], &[cluster(&shared().east, &["corp"])], &[rule]);
        spec["authentication"]["maxTokenLifetime"] = json!(lifetime);
        spec
    };
    scene.apply(&with("2h")).await;
    let (token, _) = scene.user(&shared().idp, "ann");
    let agent = scene.agent(&token);
    assert_eq!(agent.tools().await.len(), 3);

    let status = scene.apply(&with("1s")).await;
    let accepted = condition(&status, "Accepted");
    assert_eq!(accepted["status"], "False", "{status}");
    assert!(accepted["message"].as_str().unwrap().contains("spec.authentication.maxTokenLifetime"), "{status}");
    assert_eq!(condition(&status, "Ready")["status"], "False", "{status}");
    assert_eq!(status.get("url"), None, "{status}");
    assert_eq!(agent.rpc("tools/list", json!({})).await.status, 404);

    scene.apply(&with("2h")).await;
    assert_eq!(agent.tools().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_the_endpoint_ends_it() {
    let scene = Scene::new("delete").await;
    let rule = rule("all", "corp", &["east"], &["inspect"], everywhere());
    let spec = spec(&[jwt("corp", &shared().idp)], &[cluster(&shared().east, &["corp"])], &[rule]);
    scene.apply(&spec).await;
    let (token, _) = scene.user(&shared().idp, "ann");
    let agent = scene.agent(&token);
    assert_eq!(agent.tools().await.len(), 3);

    api_of(&scene.admin, &scene.endpoint(&spec)).delete(ENDPOINT, &DeleteParams::default()).await.unwrap();
    let gone = eventually("404", SOON, async || {
        let reply = agent.rpc("tools/list", json!({})).await;
        (reply.status == 404).then_some(reply)
    });
    assert!(gone.await.body.contains("no McpEndpoint named"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_configmap_that_appears_later_is_picked_up() {
    let scene = Scene::new("late-ca").await;
    let mut east = cluster(&shared().east, &["corp"]);
    east["certificateAuthority"] = json!({"configMap": {"name": "east-ca"}});
    let rule = rule("all", "corp", &["east"], &["inspect"], everywhere());
    let status = scene.apply(&spec(&[jwt("corp", &shared().idp)], &[east], &[rule])).await;
    let partially = condition(&status, "PartiallyInvalid");
    assert_eq!(partially["reason"], "NotFound", "{status}");
    let message = partially["message"].as_str().unwrap();
    assert!(message.contains("spec.clusters[0].certificateAuthority.configMap: ConfigMap \"east-ca\""), "{message}");

    let (token, user) = scene.user(&shared().idp, "ann");
    let agent = scene.agent(&token);
    let list = json!({"resource": "namespaces"});
    let error = agent.call("resource_list", list.clone()).await.error();
    assert!(error.contains("its certificate authority does not resolve"), "{error}");
    assert_eq!(shared().east.audit(&user), []);

    make_config_map(&scene.admin, &scene.namespace, "east-ca", json!({"ca.crt": shared().east.ca()})).await;
    eventually("the cluster is reached", SOON, async || {
        matches!(agent.call("resource_list", list.clone()).await, Called::Ok(_)).then_some(())
    })
    .await;
    let api = api_of(&scene.admin, &scene.endpoint(&json!({})));
    eventually("the problem is gone", SOON, async || {
        (condition(&api.get(ENDPOINT).await.unwrap().data["status"], "PartiallyInvalid") == &Value::Null).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_is_not_written_again_when_nothing_changes() {
    let scene = Scene::new("quiet").await;
    let rule = rule("all", "corp", &["east"], &["inspect"], everywhere());
    let spec = spec(&[jwt("corp", &shared().idp)], &[cluster(&shared().east, &["corp"])], &[rule]);
    scene.apply(&spec).await;
    let api = api_of(&scene.admin, &scene.endpoint(&spec));
    let version = async || api.get(ENDPOINT).await.map(|o: DynamicObject| o.metadata.resource_version).unwrap();
    let before = version().await;
    for round in 0..8 {
        // Each rebuilds the Catalog.
        make_config_map(&scene.admin, &scene.namespace, "noise", json!({"round": round.to_string()})).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    assert_eq!(version().await, before);
    let patches = shared().east.audit(&format!("system:serviceaccount:{}:k-mcp", scene.namespace));
    let patches = patches.iter().filter(|entry| entry.what.starts_with("patch ")).count();
    assert!(patches <= 2, "{patches} writes of one status");
}
