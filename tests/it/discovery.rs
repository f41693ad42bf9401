//! What a cluster serves, and what it only says it serves.

use crate::support::{
    SOON,
    cluster::{apply, shared},
    eventually,
    mcp::Called,
    scene::Scene,
    spec::{cluster, everywhere, jwt, rule, spec},
};
use serde_json::{Value, json};

async fn scene(name: &str) -> (Scene, String) {
    let scene = Scene::new(name).await;
    let look = rule("look", "corp", &["west"], &["inspect"], everywhere());
    scene.apply(&spec(&[jwt("corp", &shared().idp)], &[cluster(&shared().west, &["corp"])], &[look])).await;
    let token = scene.user(&shared().idp, "ann").0;
    (scene, token)
}

fn crd(group: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("gizmos.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced",
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
    apply(&admin, &crd(&group)).await;
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
