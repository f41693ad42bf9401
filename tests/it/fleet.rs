//! Several clusters in one call: each answers for itself.

use crate::support::{
    cluster::{Cluster, shared},
    mcp::Called,
    scene::{Scene, make_config_map, make_namespace},
    spec::{cluster, cluster_at, everywhere, jwt, listed, rule, spec},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Rows below the header, as cells.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let table = text
        .lines()
        .skip_while(|l| !l.starts_with("CLUSTER\t") && !l.starts_with("NAMESPACE\t") && !l.starts_with("NAME\t"));
    table.skip(1).take_while(|l| l.contains('\t')).map(|l| l.split('\t').collect()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_over_clusters_is_one_table_and_pages_without_loss_or_repeat() {
    let (east, west) = (&shared().east, &shared().west);
    let scene = Scene::new("fleet").await;
    let namespace = format!("{}-a", scene.namespace);
    for (member, count) in [(east, 4), (west, 5)] {
        let admin = member.admin().await;
        make_namespace(&admin, &namespace).await;
        for n in 0..count {
            make_config_map(&admin, &namespace, &format!("{}-{n}", member.name), json!({"n": n.to_string()})).await;
        }
    }
    let clusters = [cluster(east, &["corp"]), cluster(west, &["corp"])];
    let rules = [rule("all", "corp", &["east", "west"], &["inspect"], listed(&[&namespace]))];
    scene.apply(&spec(&[jwt("corp", &shared().idp)], &clusters, &rules)).await;
    let agent = scene.agent(&scene.user(&shared().idp, "ann").0);

    let expected: BTreeSet<String> =
        (0..4).map(|n| format!("east east-{n}")).chain((0..5).map(|n| format!("west west-{n}"))).collect();
    let (labels, question) = ("app=it", |cluster: &str| json!({"resource": "configmaps", "cluster": cluster}));
    for cluster in ["*", "east,west", "west, east"] {
        let mut arguments = question(cluster);
        arguments["labelSelector"] = json!(labels);
        let text = agent.call("resource_list", arguments).await.ok();
        let found: BTreeSet<String> = rows(&text).iter().map(|row| format!("{} {}", row[0], row[1])).collect();
        assert_eq!(found, expected, "{cluster}: {text}");
        assert!(text.contains("CLUSTER\tNAME\t"), "{text}");
    }
    for limit in [1, 3, 4, 5] {
        let (mut found, mut cursor) = (Vec::new(), Value::Null);
        for _ in 0..20 {
            let arguments =
                json!({"resource": "cm", "cluster": "*", "labelSelector": labels, "limit": limit, "cursor": cursor});
            let text = agent.call("resource_list", arguments).await.ok();
            let page = rows(&text);
            assert!(page.len() <= limit, "{text}");
            found.extend(page.iter().map(|row| format!("{} {}", row[0], row[1])));
            match text.lines().find_map(|l| l.split_once("cursor: ")) {
                Some((_, next)) => cursor = json!(next),
                None => break,
            }
        }
        assert_eq!(found.len(), expected.len(), "limit {limit}: {found:?}");
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected, "limit {limit}");
    }

    let hidden = agent.call("resource_list", question("east,north")).await;
    assert!(
        matches!(&hidden, Called::Error(text) if text.contains("\"north\" is not one of yours; yours: east, west")),
        "{hidden:?}"
    );
    let one = agent.call("resource_get", json!({"resource": "cm", "name": "east-0", "cluster": "*"})).await;
    assert!(matches!(&one, Called::Error(text) if text.contains("one cluster in a call")), "{one:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_and_a_frozen_cluster_hold_up_nobody_and_are_named() {
    let frozen = Cluster::start("fleet-frozen", Some(&shared().idp)).unwrap();
    let scene = Scene::new("outage").await;
    let audiences = ["tc"];
    let dead = cluster_at("dead", "https://127.0.0.1:1", &frozen.ca(), &["corp"], &audiences);
    let clusters = [dead, cluster(&shared().east, &["corp"]), cluster(&frozen, &["corp"])];
    let names = ["dead", "east", "fleet-frozen"];
    let rules = [rule("all", "corp", &names, &["inspect"], everywhere())];
    scene.apply(&spec(&[jwt("corp", &shared().idp)], &clusters, &rules)).await;
    let agent = scene.agent(&scene.user(&shared().idp, "ann").0);
    frozen.freeze();
    let begun = std::time::Instant::now();
    let text = agent.call("resource_list", json!({"resource": "namespaces", "cluster": "*"})).await.ok();
    assert!(begun.elapsed().as_secs() < 12, "{:?}", begun.elapsed());
    assert!(rows(&text).iter().any(|row| row[0] == "east" && row[1] == "kube-system"), "{text}");
    assert!(text.contains("not read: dead: cluster dead: unreachable: no connection"), "{text}");
    assert!(text.contains("not read: fleet-frozen: cluster fleet-frozen: no answer in"), "{text}");
    frozen.thaw();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_is_given_only_where_everything_was_counted() {
    let east = &shared().east;
    let scene = Scene::new("counts").await;
    let (a, b) = (format!("{}-a", scene.namespace), format!("{}-b", scene.namespace));
    for namespace in [&a, &b] {
        make_namespace(&scene.admin, namespace).await;
        for n in 0..3 {
            make_config_map(&scene.admin, namespace, &format!("c{n}"), json!({"n": "1"})).await;
        }
    }
    let rules = [rule("all", "corp", &["east"], &["inspect"], everywhere())];
    scene.apply(&spec(&[jwt("corp", &shared().idp)], &[cluster(east, &["corp"])], &rules)).await;
    let agent = scene.agent(&scene.user(&shared().idp, "ann").0);
    let place = format!("{a},{b}");
    // Each namespace has kube-root-ca.crt beside the three.
    let (mut heads, mut cursor) = (Vec::new(), Value::Null);
    for _ in 0..4 {
        let arguments = json!({"resource": "cm", "namespace": place, "limit": 3, "cursor": cursor});
        let text = agent.call("resource_list", arguments).await.ok();
        heads.push(text.lines().next().unwrap().rsplit_once("@east: ").unwrap().1.to_owned());
        match text.lines().find_map(|l| l.split_once("cursor: ")) {
            Some((_, next)) => cursor = json!(next),
            None => break,
        }
    }
    let page = "; health of this page only";
    assert_eq!(heads, [format!("3, and more{page}"), format!("4-6 of 8{page}"), format!("7-8 of 8{page}")]);

    let nowhere = agent.call("resource_list", json!({"resource": "cm", "namespace": "nowhere"})).await;
    assert!(matches!(&nowhere, Called::Error(text) if text.contains("there is no nowhere on east")), "{nowhere:?}");
    let empty = agent.call("resource_list", json!({"resource": "pods", "namespace": a})).await.ok();
    assert!(empty.contains("@east: 0"), "{empty}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_trusted_is_said_to_be_one() {
    let (east, west) = (&shared().east, &shared().west);
    let scene = Scene::new("trust").await;
    let odd = cluster_at("odd", &east.url(), &west.ca(), &["corp"], &["tc"]);
    let mut renamed = cluster_at("renamed", &east.url(), &east.ca(), &["corp"], &["tc"]);
    renamed["tlsServerName"] = json!("api.other.example");
    let rules = [rule("all", "corp", &["odd", "renamed"], &["inspect"], everywhere())];
    scene.apply(&spec(&[jwt("corp", &shared().idp)], &[odd, renamed], &rules)).await;
    let agent = scene.agent(&scene.user(&shared().idp, "ann").0);
    let text = agent.call("cluster_list", json!({})).await.ok();
    assert!(text.starts_with("clusters: 0 of 2 reachable"), "{text}");
    assert!(text.contains("its certificate is not from the given authority"), "{text}");
    assert!(text.contains("its certificate is for another name"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_goes_on_where_it_was_when_the_rule_has_changed_meanwhile() {
    let east = &shared().east;
    let scene = Scene::new("edited").await;
    let names = ["a", "b", "c"].map(|n| format!("{}-{n}", scene.namespace));
    for namespace in &names {
        make_namespace(&scene.admin, namespace).await;
        for n in 0..3 {
            make_config_map(&scene.admin, namespace, &format!("c{n}"), json!({"n": "1"})).await;
        }
    }
    let listing = |names: &[&str]| {
        let rules = [rule("all", "corp", &["east"], &["inspect"], listed(names))];
        spec(&[jwt("corp", &shared().idp)], &[cluster(east, &["corp"])], &rules)
    };
    scene.apply(&listing(&[&names[1], &names[2]])).await;
    let agent = scene.agent(&scene.user(&shared().idp, "ann").0);
    let mut question = json!({"resource": "cm", "labelSelector": "app=it", "limit": 2});
    let first = agent.call("resource_list", question.clone()).await.ok();
    question["cursor"] = json!(first.split_once("cursor: ").unwrap().1.trim());
    question["limit"] = json!(50);
    for (granted, expected) in [
        (vec![&names[0], &names[1], &names[2]], vec![(1, "c2"), (2, "c0"), (2, "c1"), (2, "c2")]),
        (vec![&names[2]], vec![(2, "c0"), (2, "c1"), (2, "c2")]),
        (vec![&names[0]], vec![]),
    ] {
        scene.apply(&listing(&granted.iter().map(|n| n.as_str()).collect::<Vec<_>>())).await;
        let text = agent.call("resource_list", question.clone()).await.ok();
        // One namespace alone has no column; then its name is in the first line.
        let found: Vec<String> = rows(&text).iter().map(|row| row[..row.len() - 2].join(" ")).collect();
        let alone = granted.len() == 1;
        let expected: Vec<String> = expected
            .iter()
            .map(|(n, name)| if alone { (*name).to_owned() } else { format!("{} {name}", names[*n]) })
            .collect();
        assert_eq!(found, expected, "{granted:?}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_looks_for_so_many_names_in_so_many_namespaces_and_no_more() {
    let scene = Scene::new("bounds").await;
    let rules = [rule("all", "corp", &["east"], &["inspect"], everywhere())];
    scene.apply(&spec(&[jwt("corp", &shared().idp)], &[cluster(&shared().east, &["corp"])], &rules)).await;
    let agent = scene.agent(&scene.user(&shared().idp, "ann").0);
    let many = |letter: &str, count: u32| (0..count).map(|n| format!("{letter}{n}")).collect::<Vec<_>>().join(",");
    for (names, namespaces, expected) in [
        (many("x", 20), many("n", 10), "20 names in 10 namespaces are too many"),
        (many("x", 2), many("n", 65), "at most 64 names in a call"),
        (["x"; 500].join(","), ["n"; 500].join(","), "no configmap x in n on east"), // each is looked for once
    ] {
        let question = json!({"resource": "cm", "name": names, "namespace": namespaces});
        let text = agent.call("resource_get", question).await.error();
        assert!(text.contains(expected), "{text}");
    }
}
