//! API servers that die, freeze and come back. They are this file's own.

use crate::support::{
    cluster::{Cluster, apply, shared},
    eventually,
    mcp::{self, Called},
    scene::Scene,
    spec::{cluster, everywhere, jwt, rule, spec},
};
use serde_json::json;
use std::time::{Duration, Instant};

const TIMEOUT: u64 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_or_frozen_cluster_holds_up_nothing_but_itself() {
    let (sick, west) = (Cluster::start("sick", Some(&shared().idp)).unwrap(), &shared().west);
    let scene = Scene::new("faults").await;
    let all = rule("all", "corp", &["sick", "west"], &["inspect"], everywhere());
    let mut spec = spec(&[jwt("corp", &shared().idp)], &[cluster(&sick, &["corp"]), cluster(west, &["corp"])], &[all]);
    spec["limits"] = json!({"timeoutSeconds": TIMEOUT + 4});
    scene.apply(&spec).await;
    let (token, _) = scene.user(&shared().idp, "ann");
    let agent = scene.agent(&token);
    let list = |cluster: &str| json!({"resource": "namespaces", "cluster": cluster});
    let timed = async |tool: &str, arguments| {
        let begin = Instant::now();
        (agent.call(tool, arguments).await, begin.elapsed())
    };
    let both_work = async || {
        let works = async |cluster: &str| matches!(agent.call("resource_list", list(cluster)).await, Called::Ok(_));
        (works("sick").await && works("west").await).then_some(())
    };
    both_work().await.unwrap();

    sick.kill();
    let (called, took) = timed("resource_list", list("sick")).await;
    let error = called.error();
    assert!(
        error.starts_with("cluster sick: unreachable: ") && took < Duration::from_secs(TIMEOUT),
        "{error} {took:?}"
    );
    timed("resource_list", list("west")).await.0.ok();
    let (called, took) = timed("cluster_list", json!({})).await;
    let text = called.ok();
    assert!(text.starts_with("clusters: 1 of 2 reachable\n") && took < Duration::from_secs(6), "{text} {took:?}");
    assert!(text.contains("\nsick\tunreachable: "), "{text}");
    assert!(text.contains("\nwest\treachable\tv"), "{text}");

    sick.revive();
    eventually("the revived cluster answers", Duration::from_secs(10), both_work).await;

    sick.freeze();
    let begin = Instant::now();
    let (all, one, other) = tokio::join!(
        timed("cluster_list", json!({})),
        timed("resource_list", list("sick")),
        timed("resource_list", list("west"))
    );
    println!("with a frozen cluster: all {:?}, the frozen one {:?}, the other {:?}", all.1, one.1, other.1);
    let text = all.0.ok();
    assert!(text.contains("\nsick\tno answer in 5s\t"), "{text}");
    assert!(text.contains("\nwest\treachable\tv"), "{text}");
    assert!(all.1 < Duration::from_secs(6), "{:?}", all.1);
    let error = one.0.error();
    assert!(error.contains("sick") && error.contains("no answer"), "{error}");
    assert!(one.1 < Duration::from_secs(TIMEOUT + 5), "{:?}", one.1);
    other.0.ok();
    assert!(other.1 < Duration::from_secs(2), "{:?}", other.1);
    println!("frozen for {:?}", begin.elapsed());

    sick.thaw();
    eventually("the thawed cluster answers", Duration::from_secs(10), both_work).await;
    let starts = scene.kmcp.log().iter().filter(|line| line["message"] == "k-mcp starts").count();
    assert_eq!(starts, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_management_cluster_k_mcp_serves_what_it_knows() {
    let hub = Cluster::start("hub", Some(&shared().idp)).unwrap();
    hub.install_crd().unwrap();
    let scene = Scene::on(&hub, "hub").await;
    let with = |tools: &[&str]| {
        let all = rule("all", "corp", &["west"], &["own"], everywhere());
        let mut spec = spec(&[jwt("corp", &shared().idp)], &[cluster(&shared().west, &["corp"])], &[all]);
        spec["toolSets"] = json!([{"name": "own", "tools": tools}]);
        spec
    };
    scene.apply(&with(&["resource_list"])).await;
    let (token, _) = scene.user(&shared().idp, "ann");
    let agent = scene.agent(&token);
    agent.call("resource_list", json!({"resource": "namespaces"})).await.ok();

    hub.kill();
    tokio::time::sleep(Duration::from_secs(2)).await;
    agent.call("resource_list", json!({"resource": "namespaces"})).await.ok();
    let (other, _) = scene.user(&shared().idp, "bob");
    scene.agent(&other).call("resource_list", json!({"resource": "namespaces"})).await.ok();
    for page in ["livez", "readyz"] {
        assert_eq!(mcp::get(&format!("{}/{page}", scene.kmcp.admin)).await.status, 200, "{page}");
    }
    let why = |line: &serde_json::Value| line["why"] == "the API server does not answer";
    scene.kmcp.wait_for_line("what is wrong", why);

    hub.revive();
    apply(&scene.admin, &scene.endpoint(&with(&["resource_list", "resource_get"]))).await;
    let begin = Instant::now();
    eventually("an edit holds again", Duration::from_secs(40), async || (agent.tools().await.len() == 2).then_some(()))
        .await;
    println!("watching again {:?} after the edit", begin.elapsed());
}
