//! What a cluster serves, and what it only says it serves.

use crate::support::{
    SOON,
    cluster::{api_of, apply, shared},
    eventually,
    mcp::Called,
    scene::Scene,
    spec::{cluster, everywhere, jwt, listed, rule, spec},
};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

async fn scene(name: &str) -> (Scene, String) {
    let scene = Scene::new(name).await;
    let look = rule("look", "corp", &["west"], &["inspect"], everywhere());
    scene.apply(&spec(&[jwt("corp", &shared().idp)], &[cluster(&shared().west, &["corp"])], &[look])).await;
    let token = scene.user(&shared().idp, "ann").0;
    (scene, token)
}

fn crd(group: &str, scope: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("gizmos.{group}")},
        "spec": {
            "group": group, "scope": scope,
            "names": {"kind": "Gizmo", "plural": "gizmos", "singular": "gizmo", "shortNames": ["gz"]},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                "additionalPrinterColumns": [{"name": "Phase", "type": "string", "jsonPath": ".status.phase"}]}],
        },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_apiservice_hides_no_other_kind() {
    let admin = shared().west.admin().await;
    let broken = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1beta1.broken.example.com"},
        "spec": {"group": "broken.example.com", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
                 "insecureSkipTLSVerify": true, "service": {"name": "nowhere", "namespace": "default"}},
    });
    apply(&admin, &broken).await;
    let (scene, token) = scene("apiservice").await;
    let agent = scene.agent(&token);
    for kind in ["pods", "deploy", "apiservices", "customresourcedefinitions"] {
        agent.call("resource_list", json!({"resource": kind})).await.ok();
    }
    let text = agent.call("resource_list", json!({"resource": "apiservices", "limit": 500})).await.ok();
    let line = text.lines().find(|l| l.starts_with("v1beta1.broken.example.com")).unwrap();
    assert!(line.contains("False"), "{line}");
    let missing = agent.call("resource_list", json!({"resource": "things.broken.example.com"})).await;
    assert!(matches!(&missing, Called::Error(text) if text.contains("no kind")), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_appears_is_found_by_each_of_its_names_and_by_its_own_columns() {
    let (scene, token) = scene("appears").await;
    let agent = scene.agent(&token);
    let near = agent.call("resource_list", json!({"resource": "deploymnets"})).await.error();
    assert!(near.contains("did you mean deployments.apps?"), "{near}");

    let group = format!("{}.example.com", scene.namespace);
    let admin = shared().west.admin().await;
    apply(&admin, &crd(&group, "Namespaced")).await;
    let gizmo = json!({"apiVersion": format!("{group}/v1"), "kind": "Gizmo",
                       "metadata": {"name": "one", "namespace": "default"}, "status": {"phase": "Broken"}});
    // The CRD is established a little later, and a name that was not found is looked up anew at most every 10 seconds.
    let listed = eventually("the new kind is served", SOON.max(std::time::Duration::from_secs(25)), async || {
        let kubectl = serde_json::to_string(&gizmo).unwrap();
        let file = std::env::temp_dir().join(format!("gizmo-{group}.json"));
        std::fs::write(&file, kubectl).unwrap();
        let _ = shared().west.kubectl(&["apply", "-f", &file.display().to_string()]);
        match agent.call("resource_list", json!({"resource": format!("gizmos.{group}")})).await {
            Called::Ok(text) if text.contains("one\t") => Some(text),
            _ => None,
        }
    })
    .await;
    assert!(listed.contains("not ready 1: default/one") && listed.contains("\tPHASE"), "{listed}");
    for name in [format!("gz.{group}"), format!("Gizmo.{group}"), format!("gizmo.v1.{group}")] {
        let text = agent.call("resource_get", json!({"resource": name, "name": "one"})).await.ok();
        assert!(text.contains("phase: Broken"), "{name}: {text}");
    }
}

/// Discovery is some minutes old: a list that it takes for one of a kind without a namespace may be of every namespace.
#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_has_moved_into_namespaces_is_not_listed_over_all_of_them() {
    let west = &shared().west;
    let scene = Scene::new("moved").await;
    let mut some = listed(&["default"]);
    some["clusterScoped"] = json!("Allow");
    let look = rule("look", "corp", &["west"], &["inspect"], some);
    scene.apply(&spec(&[jwt("corp", &shared().idp)], &[cluster(west, &["corp"])], &[look])).await;
    let agent = scene.agent(&scene.user(&shared().idp, "ann").0);
    let (group, admin) = (format!("{}.example.com", scene.namespace), west.admin().await);
    let name = format!("gizmos.{group}");
    let question = json!({"resource": name});
    apply(&admin, &crd(&group, "Cluster")).await;
    let long = std::time::Duration::from_secs(25);
    eventually("the kind without a namespace is served", long, async || {
        matches!(agent.call("resource_list", question.clone()).await, Called::Ok(_)).then_some(())
    })
    .await;

    west.kubectl(&["delete", "crd", &name, "--wait"]).unwrap();
    apply(&admin, &crd(&group, "Namespaced")).await;
    let hidden = json!({"apiVersion": format!("{group}/v1"), "kind": "Gizmo",
                        "metadata": {"name": "hidden", "namespace": "kube-system"}});
    let (api, params) = (api_of(&admin, &hidden), PatchParams::apply("it"));
    eventually("the kind is served in namespaces", long, async || {
        api.patch("hidden", &params, &Patch::Apply(&hidden)).await.ok()
    })
    .await;
    let stale = agent.call("resource_list", question.clone()).await;
    assert!(!stale.text().contains("hidden"), "{stale:?}");
    assert!(matches!(&stale, Called::Error(text) if text.contains("only some namespaces are granted")), "{stale:?}");
    let fresh = agent.call("resource_list", question).await.ok();
    assert!(fresh.contains("default @west: 0"), "{fresh}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_the_endpoint_restricts_is_answered_like_one_that_does_not_exist() {
    let scene = Scene::new("restricts").await;
    let look = rule("look", "corp", &["west"], &["inspect"], everywhere());
    let mut spec = spec(&[jwt("corp", &shared().idp)], &[cluster(&shared().west, &["corp"])], &[look]);
    spec["restrictedResources"] = json!([{"group": "apps", "resource": "deployments"}]);
    scene.apply(&spec).await;
    let agent = scene.agent(&scene.user(&shared().idp, "ann").0);
    let mut answers = Vec::new();
    for kind in ["deployments", "deploymentz"] {
        let text = agent.call("resource_list", json!({"resource": kind})).await.error();
        answers.push(text.replace(kind, "KIND"));
    }
    assert_eq!(answers[0], answers[1]);
    assert!(!answers[0].contains("deployments"), "{answers:?}");
}
