use super::*;
use crate::endpoint::{
    NamespaceScope, Restriction, Rule, Subjects,
    fixtures::{caller, endpoint, set},
};
use http::Request;
use std::{collections::BTreeSet, sync::Arc};

/// A grant of `resource_list` and `resource_get` in cluster `a`.
fn grant(namespaces: NamespaceScope, cluster_scoped: bool) -> Grant {
    let rule = Rule {
        name: "r".to_owned(),
        subjects: Subjects { issuers: set(&["corp"]), users: None, groups: None, condition: None },
        clusters: set(&["a"]),
        tools: BTreeSet::from([Tool::ResourceList, Tool::ResourceGet]),
        namespaces,
        cluster_scoped,
    };
    Grant::new(Arc::new(endpoint(vec![rule])), Arc::new(caller("ann", &[])))
}

fn resource(group: &str, plural: &str, namespaced: bool) -> Resource {
    Resource {
        group: group.to_owned(),
        version: "v1".to_owned(),
        plural: plural.to_owned(),
        namespaced,
        ..Resource::default()
    }
}

fn parts(method: &str, path: &str) -> Parts {
    Request::builder().method(method).uri(format!("https://a.example{path}")).body(()).unwrap().into_parts().0
}

fn read(grant: &Grant, resource: &Resource, method: &str, path: &str) -> Result<(), Failure> {
    check(grant, Tool::ResourceGet, "a", "", Purpose::Read(resource), &parts(method, path))
}

#[test]
fn reads_of_the_granted_scope_pass() {
    let shop = grant(NamespaceScope::Listed(set(&["shop"])), false);
    let all = grant(NamespaceScope::All, true);
    let pods = resource("", "pods", true);
    let deployments = resource("apps", "deployments", true);
    let nodes = resource("", "nodes", false);
    let namespaces = resource("", "namespaces", false);
    for (grant, resource, path) in [
        (&shop, &pods, "/api/v1/namespaces/shop/pods"),
        (&shop, &pods, "/api/v1/namespaces/shop/pods/web-0"),
        (&shop, &pods, "/api/v1/namespaces/shop/pods?limit=50&continue=abc&labelSelector=a%3Db&includeObject=None"),
        (&shop, &deployments, "/apis/apps/v1/namespaces/shop/deployments/web"),
        (&all, &pods, "/api/v1/pods?fieldSelector=metadata.name%3Dx"),
        (&all, &nodes, "/api/v1/nodes/worker-3"),
        (&all, &namespaces, "/api/v1/namespaces"),
        (&all, &namespaces, "/api/v1/namespaces/shop"),
    ] {
        assert!(read(grant, resource, "GET", path).is_ok(), "{path}");
    }
}

#[test]
fn what_the_grant_does_not_allow_is_denied() {
    let shop = grant(NamespaceScope::Listed(set(&["shop"])), false);
    let pods = resource("", "pods", true);
    let nodes = resource("", "nodes", false);
    let secrets = resource("", "secrets", true);
    let roles = resource("rbac.authorization.k8s.io", "roles", true);
    for (resource, path, expected) in [
        (&pods, "/api/v1/namespaces/kube-system/pods", Denied::Namespace),
        (&pods, "/api/v1/namespaces/kube-system/pods/x", Denied::Namespace),
        (&pods, "/api/v1/pods", Denied::AllNamespaces),
        (&nodes, "/api/v1/nodes", Denied::ClusterScoped),
        (&nodes, "/api/v1/nodes/x", Denied::ClusterScoped),
        (&secrets, "/api/v1/namespaces/shop/secrets", Denied::Restricted(Restriction::BuiltIn)),
        (&secrets, "/api/v1/namespaces/shop/secrets/db", Denied::Restricted(Restriction::BuiltIn)),
        (&roles, "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/roles", Denied::Restricted(Restriction::BuiltIn)),
    ] {
        match read(&shop, resource, "GET", path) {
            Err(Failure::Denied(denied)) => assert_eq!(denied, expected, "{path}"),
            other => panic!("{path}: {other:?}"),
        }
    }
    let denied =
        check(&shop, Tool::Diagnose, "a", "", Purpose::Read(&pods), &parts("GET", "/api/v1/namespaces/shop/pods"));
    assert!(matches!(denied, Err(Failure::Denied(Denied::Tool))), "another tool");
    let denied =
        check(&shop, Tool::ResourceGet, "b", "", Purpose::Read(&pods), &parts("GET", "/api/v1/namespaces/shop/pods"));
    assert!(matches!(denied, Err(Failure::Denied(Denied::Tool))), "another cluster");
    let denied = check(&shop, Tool::Diagnose, "a", "", Purpose::Root, &parts("GET", "/version"));
    assert!(matches!(denied, Err(Failure::Denied(Denied::Tool))), "another tool at the root");
}

#[test]
fn every_other_shape_is_refused() {
    let all = grant(NamespaceScope::All, true);
    let pods = resource("", "pods", true);
    let namespaces = resource("", "namespaces", false);
    for method in ["POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "get"] {
        assert!(read(&all, &pods, method, "/api/v1/namespaces/shop/pods/x").is_err(), "{method}");
    }
    for path in [
        "/api/v1/namespaces/shop/pods/x/log",
        "/api/v1/namespaces/shop/pods/x/exec",
        "/api/v1/namespaces/shop/pods/x/proxy/y",
        "/api/v1/namespaces/shop/pods/x/",
        "/api/v1/namespaces/shop//pods",
        "/api/v1/namespaces//pods",
        "/api/v1/namespaces/shop/pods/..",
        "/api/v1/namespaces/shop/pods/%2e%2e",
        "/api/v1/namespaces/shop/pods/..%2Fsecrets",
        "/api/v1/namespaces/shop/pods/%2f",
        "/api/v1/namespaces/shop/pods/%252f",
        "/api/v1/namespaces/shop/pods/a%5Cb",
        "/api/v1/namespaces/shop/pods/a%3Fb",
        "/api/v1/namespaces/shop/pods/a%23b",
        "/api/v1/namespaces/shop/pods/a%0Ab",
        "/api/v1/namespaces/shop/pods/a%00",
        "/api/v1/namespaces/shop/pods/%ff",
        "/api/v1/watch/pods",
        "/api/v1/proxy/pods",
        "/api/v1/pods/web-0",
        "/api/v2/namespaces/shop/pods",
        "/api/v1/namespaces/shop/services",
        "/apis/apps/v1/namespaces/shop/pods",
        "/apis/apps/v1",
        "/metrics",
        "/openapi/v3",
        "/",
        "",
    ] {
        assert!(matches!(read(&all, &pods, "GET", path), Err(Failure::Guard(_))), "{path}");
    }
    for path in ["/api/v1/namespaces/shop/status", "/api/v1/namespaces/shop/finalize"] {
        assert!(read(&all, &namespaces, "GET", path).is_err(), "{path}");
    }
    for query in [
        "watch=true",
        "watch",
        "limit=0",
        "limit=100000",
        "limit=x",
        "limit=5&limit=6",
        "labelSelector=",
        "includeObject=Object",
        "resourceVersion=0",
        "timeoutSeconds=9",
        "dryRun=All",
        "follow=true",
        "pretty=true",
    ] {
        let path = format!("/api/v1/namespaces/shop/pods?{query}");
        assert!(matches!(read(&all, &pods, "GET", &path), Err(Failure::Guard(_))), "{query}");
        let path = format!("/api/v1/namespaces/shop/pods/x?{query}");
        assert!(matches!(read(&all, &pods, "GET", &path), Err(Failure::Guard(_))), "object {query}");
    }
}

#[test]
fn only_the_roots_pass_as_roots() {
    let all = grant(NamespaceScope::All, true);
    for (path, expected) in [
        ("/version", true),
        ("/api", true),
        ("/apis", true),
        ("/apis/apps/v1", false),
        ("/version?x=y", false),
        ("/metrics", false),
        ("/logs", false),
        ("/api/v1/pods", false),
    ] {
        let result = check(&all, Tool::ResourceList, "a", "", Purpose::Root, &parts("GET", path));
        assert_eq!(result.is_ok(), expected, "{path}");
    }
}

#[test]
fn headers_that_say_who_calls_are_refused() {
    let all = grant(NamespaceScope::All, true);
    let pods = resource("", "pods", true);
    for name in ["authorization", "impersonate-user", "impersonate-group", "x-remote-user", "upgrade", "cookie", "host"]
    {
        let mut parts = parts("GET", "/api/v1/namespaces/shop/pods");
        parts.headers.insert(http::HeaderName::from_static(name), http::HeaderValue::from_static("x"));
        let result = check(&all, Tool::ResourceGet, "a", "", Purpose::Read(&pods), &parts);
        assert!(matches!(result, Err(Failure::Guard("header"))), "{name}");
    }
}

#[test]
fn a_server_below_a_path_is_guarded_below_that_path() {
    let all = grant(NamespaceScope::All, true);
    let pods = resource("", "pods", true);
    for (path, expected) in [
        ("/k8s/clusters/c-1/api/v1/pods", true),
        ("/api/v1/pods", false),
        ("/k8s/clusters/c-12/api/v1/pods", false),
        ("/k8s/clusters/c-1/../c-2/api/v1/pods", false),
    ] {
        let result =
            check(&all, Tool::ResourceGet, "a", "/k8s/clusters/c-1", Purpose::Read(&pods), &parts("GET", path));
        assert_eq!(result.is_ok(), expected, "{path}");
    }
}

#[test]
fn a_review_is_exactly_one_request() {
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    for (method, path, expected) in [
        ("POST", path.to_owned(), true),
        ("GET", path.to_owned(), false),
        ("POST", format!("{path}?dryRun=All"), false),
        ("POST", format!("{path}/x"), false),
        ("POST", "/apis/authentication.k8s.io/v1/tokenreviews".to_owned(), false),
        ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews".to_owned(), false),
    ] {
        assert_eq!(check_review("", &parts(method, &path)).is_ok(), expected, "{method} {path}");
    }
}
