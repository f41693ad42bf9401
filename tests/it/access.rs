//! Who reaches what, judged by the API servers' audit logs. Every caller here is cluster-admin in the clusters: what is
//! not reached is not reached because of k-mcp.

use crate::support::{
    cluster::{Cluster, apply, service_account_token, shared},
    mcp::{Agent, BOTH, Called},
    scene::{Scene, make_config_map, make_mighty_account, make_namespace},
    spec::{cluster, jwt, listed, rule, self_subject_review, spec},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const NEVER: &str = "secrets are never available through k-mcp";

/// Two namespaces in a cluster, each with a ConfigMap, a Deployment, a CronJob and a Secret.
async fn furnish(member: &Cluster, namespaces: &[&str]) {
    let admin = member.admin().await;
    for namespace in namespaces {
        make_namespace(&admin, namespace).await;
        make_config_map(&admin, namespace, "settings", json!({"color": "blue"})).await;
        let meta = |name: &str| json!({"name": name, "namespace": namespace});
        let pod = json!({"spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "OnFailure"}});
        let mut web = pod.clone();
        web["metadata"] = json!({"labels": {"app": "web"}});
        web["spec"]["restartPolicy"] = json!("Always");
        let spec = json!({"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": web});
        apply(&admin, &json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta("web"), "spec": spec}))
            .await;
        let spec = json!({"schedule": "0 0 1 1 *", "suspend": true, "jobTemplate": {"spec": {"template": pod}}});
        apply(&admin, &json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": meta("nightly"), "spec": spec}))
            .await;
        let data = json!({"password": "hunter2"});
        apply(&admin, &json!({"apiVersion": "v1", "kind": "Secret", "metadata": meta("keys"), "stringData": data}))
            .await;
    }
}

/// What a call must end with.
enum Expected {
    /// An answer that holds this.
    Answers(&'static str),
    /// An error that holds this.
    Refuses(&'static str),
    /// No such tool.
    NoTool,
}
use Expected::{Answers, NoTool, Refuses};

async fn check(agent: &Agent, matrix: &[(&str, Value, Expected)]) {
    for (tool, arguments, expected) in matrix {
        for era in BOTH {
            let called = agent.speaking(era).call(tool, arguments.clone()).await;
            let fits = match (expected, &called) {
                (Answers(part), Called::Ok(text)) | (Refuses(part), Called::Error(text)) => text.contains(part),
                (NoTool, Called::Refused(-32602, text)) => text.starts_with("unknown tool: "),
                _ => false,
            };
            assert!(fits, "{tool} {arguments} {era:?}: {called:?}");
            assert!(!called.text().contains("hunter2"), "{tool} {arguments}: {called:?}");
        }
    }
}

/// What the audit log of a cluster says that a user did, once each, without discovery.
fn did(member: &Cluster, user: &str) -> BTreeSet<String> {
    let discovery = ["get /version", "get /api", "get /apis"];
    let all = member.audit(user).into_iter().map(|entry| entry.what);
    all.filter(|what| !discovery.contains(&what.as_str())).collect()
}

fn set(entries: &[String]) -> BTreeSet<String> {
    entries.iter().cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jwt_reaches_exactly_the_tools_kinds_and_namespaces_of_its_rules() {
    let (east, west) = (&shared().east, &shared().west);
    let scene = Scene::new("jwt").await;
    let (a, b) = (format!("{}-a", scene.namespace), format!("{}-b", scene.namespace));
    furnish(east, &[&a, &b]).await;
    furnish(west, &[&a, &b]).await;

    let wide = json!({"mode": "Listed", "names": [b], "clusterScoped": "Allow"});
    let mut spec = spec(
        &[jwt("corp", &shared().idp)],
        &[cluster(east, &["corp"]), cluster(west, &["corp"])],
        &[rule("one", "corp", &["east"], &["look"], listed(&[&a])), rule("two", "corp", &["west"], &["get"], wide)],
    );
    spec["toolSets"] = json!([{"name": "look", "tools": ["resource_list", "resource_get"]}, {"name": "get", "tools": ["resource_get"]}]);
    spec["restrictedResources"] = json!([{"group": "batch", "resource": "cronjobs"}]);
    scene.apply(&spec).await;
    let (token, user) = scene.user(&shared().idp, "ann");
    let agent = scene.agent(&token);

    for era in BOTH {
        assert_eq!(agent.speaking(era).tools().await, ["resource_list", "resource_get"], "{era:?}");
    }
    let list = |cluster: &str, namespace: &str, kind: &str| match namespace {
        "" => json!({"cluster": cluster, "resource": kind}),
        _ => json!({"cluster": cluster, "namespace": namespace, "resource": kind}),
    };
    let get = |cluster: &str, namespace: &str, object: &str| {
        let (resource, name) = object.split_once('/').unwrap();
        match namespace {
            "" => json!({"cluster": cluster, "resource": resource, "name": name}),
            _ => json!({"cluster": cluster, "namespace": namespace, "resource": resource, "name": name}),
        }
    };
    let mut matrix = vec![
        // the first rule: both tools, one namespace, of east
        ("resource_list", list("east", &a, "configmaps"), Answers("settings")),
        ("resource_list", list("east", "", "cm"), Answers("settings")),
        ("resource_list", list("east", "*", "deployments"), Answers("web")),
        ("resource_list", json!({"resource": "deployments"}), Answers("web")), // one cluster for this tool
        ("resource_get", get("east", &a, "deploy/web"), Answers("replicas: 0")),
        ("resource_get", get("east", "", "Deployment/web"), Answers("replicas: 0")),
        ("resource_list", list("east", &b, "configmaps"), Refuses("is not one of yours")),
        ("resource_list", list("east", &format!("{a},{b}"), "configmaps"), Refuses("is not one of yours")),
        ("resource_get", get("east", &b, "configmap/settings"), Refuses("is not one of yours")),
        ("resource_list", list("east", "", "namespaces"), Refuses("have no namespace")),
        ("resource_list", list("east", "", "clusterroles"), Refuses(NEVER)),
        ("resource_get", get("east", "", &format!("namespace/{a}")), Refuses("have no namespace")),
        // the second: one tool, the other namespace and kinds without one, of west
        ("resource_get", get("west", &b, "configmap/settings"), Answers("color: blue")),
        ("resource_get", get("west", "", &format!("namespace/{b}")), Answers("Namespace")),
        ("resource_get", get("west", "", &format!("namespace/{a}")), Answers("Namespace")),
        ("resource_get", get("west", &a, "configmap/settings"), Refuses("is not one of yours")),
        ("resource_list", list("west", &b, "configmaps"), Refuses("is not one of yours")),
        // never the product of the unions
        ("resource_get", get("east", &b, "deployment/web"), Refuses("is not one of yours")),
        ("resource_get", get("west", &a, "deployment/web"), Refuses("is not one of yours")),
        // another tool, another cluster
        ("cluster_list", json!({}), NoTool),
        ("diagnose", json!({}), NoTool),
        ("resource_apply", json!({}), NoTool),
        ("no_such_tool", json!({}), NoTool),
        ("resource_list", list("north", &a, "configmaps"), Refuses("is not one of yours")),
        (
            "resource_get",
            json!({"resource": "deployment/web", "namespace": a}),
            Refuses("cluster: say which: east, west"),
        ),
        // kinds that this endpoint restricts are as unknown as those that do not exist
        ("resource_list", list("east", &a, "cronjobs"), Refuses("no kind")),
        ("resource_list", list("east", &a, "cj"), Refuses("no kind")),
        ("resource_get", get("east", &a, "cronjob.v1.batch/nightly"), Refuses("no kind")),
        ("resource_list", list("east", &a, "nosuchkinds"), Refuses("no kind")),
    ];
    let restricted = [
        "secrets",
        "secret",
        "Secrets",
        "SECRET",
        "secrets.v1",
        "secret.v1.",
        "sa",
        "serviceaccounts",
        "ServiceAccount",
        "roles",
        "role",
        "rolebindings",
        "ClusterRoleBinding",
        "roles.rbac.authorization.k8s.io",
        "clusterroles.v1.rbac.authorization.k8s.io",
        "users.user.openshift.io",
    ];
    for kind in restricted {
        matrix.push(("resource_list", list("east", &a, kind), Refuses(NEVER)));
        matrix.push(("resource_get", get("east", &a, &format!("{kind}/keys")), Refuses(NEVER)));
    }
    check(&agent, &matrix).await;

    let expected =
        [format!("list configmaps {a}"), format!("list deployments.apps {a}"), format!("get deployments.apps {a}/web")];
    assert_eq!(did(east, &user), set(&expected));
    let expected =
        [format!("get configmaps {b}/settings"), format!("get namespaces {a}/{a}"), format!("get namespaces {b}/{b}")];
    assert_eq!(did(west, &user), set(&expected));
    for entry in east.audit(&user).iter().chain(&west.audit(&user)) {
        assert_eq!(entry.code, 200, "{entry:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_serviceaccount_token_reaches_exactly_the_cluster_that_vouches_for_it() {
    let (east, west) = (&shared().east, &shared().west);
    let scene = Scene::new("sa").await;
    let (a, b) = (format!("{}-a", scene.namespace), format!("{}-b", scene.namespace));
    furnish(east, &[&a, &b]).await;
    let admin = east.admin().await;
    make_mighty_account(&admin, &a, "agent").await;
    make_mighty_account(&admin, &a, "other").await;
    let user = format!("system:serviceaccount:{a}:agent");

    let mut one = rule("one", "east-sa", &["east", "west"], &["inspect"], listed(&[&a]));
    one["subjects"] = json!({"issuers": ["east-sa"], "users": [user]});
    let spec = spec(
        &[self_subject_review("east-sa", east)],
        &[cluster(east, &["east-sa"]), cluster(west, &["east-sa"])],
        &[one],
    );
    scene.apply(&spec).await;
    let (audience, issuer) = (scene.audience(), east.issuer());
    let token = service_account_token(&admin, &a, "agent", &[&audience, &issuer]).await;
    let agent = scene.agent(&token);

    for era in BOTH {
        let agent = agent.speaking(era);
        assert_eq!(agent.tools().await, ["cluster_list", "resource_list", "resource_get"], "{era:?}");
        let clusters = agent.call("cluster_list", json!({})).await.ok();
        assert!(clusters.starts_with("clusters: 1 of 1 reachable\n"), "{clusters}");
        assert!(clusters.contains("not reachable with this token: west: "), "{clusters}");
    }
    let on =
        |cluster: &str, namespace: &str| json!({"resource": "configmaps", "cluster": cluster, "namespace": namespace});
    let matrix = [
        ("resource_list", on("east", &a), Answers("settings")),
        ("resource_list", json!({"resource": "configmaps"}), Answers("settings")),
        ("resource_list", on("east", &b), Refuses("is not one of yours")),
        ("resource_list", on("west", &a), Refuses("is not one of yours")),
        ("resource_list", json!({"resource": "nodes"}), Refuses("have no namespace")),
        ("resource_get", json!({"resource": "sa/agent", "namespace": a}), Refuses(NEVER)),
        ("resource_get", json!({"resource": "secret/keys", "namespace": a}), Refuses(NEVER)),
        ("diagnose", json!({}), NoTool),
    ];
    check(&agent, &matrix).await;

    // another account of the same cluster is known, and granted nothing
    let other = service_account_token(&admin, &a, "other", &[&audience, &issuer]).await;
    let other = scene.agent(&other);
    assert_eq!(other.tools().await, Vec::<String>::new());
    assert!(matches!(other.call("resource_list", json!({"resource": "pods"})).await, Called::Refused(-32602, _)));

    let expected = [
        "create selfsubjectreviews.authentication.k8s.io".to_owned(),
        format!("list configmaps {a}"),
        format!("list pods {a}"), // counted by cluster_list
    ];
    assert_eq!(did(east, &user), set(&expected));
    assert_eq!(did(east, &format!("system:serviceaccount:{a}:other")), set(&expected[..1]));
    // One review is good for 60 s.
    let reviews = east.audit(&user).into_iter().filter(|entry| entry.what == expected[0]).count();
    assert_eq!(reviews, 1);
    assert_eq!(west.audit(&user), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_and_unknown_get_the_same_answer() {
    let (east, west) = (&shared().east, &shared().west);
    let scene = Scene::new("hidden").await;
    let (a, b) = (format!("{}-a", scene.namespace), format!("{}-b", scene.namespace));
    furnish(east, &[&a, &b]).await;
    let mut spec = spec(
        &[jwt("corp", &shared().idp)],
        &[cluster(east, &["corp"]), cluster(west, &["corp"])],
        &[
            rule("one", "corp", &["east"], &["look"], listed(&[&a])),
            json!({"name": "two", "subjects": {"issuers": ["corp"], "users": ["oidc:somebody-else"]}, "allow": {
                "clusters": {"names": ["west"]}, "toolSets": ["inspect"], "namespaces": {"mode": "All"}}}),
        ],
    );
    spec["toolSets"] = json!([{"name": "look", "tools": ["resource_list"]}]);
    spec["restrictedResources"] = json!([{"group": "batch", "resource": "cronjobs"}]);
    scene.apply(&spec).await;
    let (token, _) = scene.user(&shared().idp, "ann");
    let agent = scene.agent(&token);

    for era in BOTH {
        let agent = agent.speaking(era);
        let raw = async |tool: &str, arguments: Value, name: &str| {
            let mut reply = agent.rpc("tools/call", json!({"name": tool, "arguments": arguments})).await;
            assert!(reply.body.contains(name), "{reply:?}");
            reply.body = reply.body.replace(name, "X");
            for changing in ["date", "content-length"] {
                reply.headers.remove(changing);
            }
            reply
        };
        let in_cluster = |cluster: &str| json!({"resource": "pods", "cluster": cluster});
        assert_eq!(
            raw("resource_list", in_cluster("west"), "west").await,
            raw("resource_list", in_cluster("nowhere"), "nowhere").await,
            "{era:?}"
        );
        let in_namespace = |namespace: &str| json!({"resource": "pods", "namespace": namespace});
        assert_eq!(
            raw("resource_list", in_namespace(&b), &b).await,
            raw("resource_list", in_namespace("nowhere"), "nowhere").await,
            "{era:?}"
        );
        let kind = |kind: &str| json!({"resource": kind});
        assert_eq!(
            raw("resource_list", kind("cronjobs"), "cronjobs").await,
            raw("resource_list", kind("qqqqqqqq"), "qqqqqqqq").await,
            "{era:?}"
        );
        assert_eq!(
            raw("cluster_list", json!({}), "cluster_list").await,
            raw("nowhere_list", json!({}), "nowhere_list").await,
            "{era:?}"
        );
        assert_eq!(
            raw("diagnose", json!({"cluster": "east"}), "diagnose").await,
            raw("nothing", json!({"cluster": "east"}), "nothing").await,
            "{era:?}"
        );
        // Without the headers that a known tool's schema asks for, the answer is the same too.
        let bare = async |tool: &str| {
            let params = json!({"name": tool, "arguments": {"cluster": "east"}, "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {}}});
            let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string();
            let headers = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", tool)];
            let reply = agent.post(body, &headers).await;
            (reply.status, reply.body.replace(tool, "X"))
        };
        assert_eq!(bare("resource_get").await, bare("nothing").await);
        assert_eq!(bare("resource_list").await.0, 400, "a known one is checked");
    }
}
