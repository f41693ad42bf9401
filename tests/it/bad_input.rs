//! What is wrong is refused before anything is sent to a cluster, with a text that says what would be right, and with
//! an audit line.

use crate::support::{
    cluster::{CLUSTER_AUDIENCE, MIGHTY, shared},
    mcp::{Agent, Called, http, send},
    proxy::Proxy,
    scene::{ENDPOINT, Scene, make_config_map, make_namespace},
    spec::{cluster_at, jwt, listed, rule, spec},
};
use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use http::{Method, Request, header};
use http_body_util::Full;
use serde_json::{Value, json};
use std::time::Duration;

/// An endpoint with one cluster behind a proxy, and a caller who may list and get in two namespaces.
struct Stage {
    scene: Scene,
    proxy: Proxy,
    agent: Agent,
    namespaces: [String; 3],
}

impl Stage {
    async fn new(name: &str) -> Self {
        let scene = Scene::new(name).await;
        let proxy = Proxy::start(&shared().east).await;
        let namespaces = ["a", "b", "c"].map(|suffix| format!("{}-{suffix}", scene.namespace));
        for namespace in &namespaces {
            make_namespace(&scene.admin, namespace).await;
        }
        let east = cluster_at("east", &proxy.url, &proxy.ca, &["corp"], &[CLUSTER_AUDIENCE]);
        let rule = rule("all", "corp", &["east"], &["look"], listed(&[&namespaces[0], &namespaces[1]]));
        let mut spec = spec(&[jwt("corp", &shared().idp)], &[east], &[rule]);
        spec["toolSets"] = json!([{"name": "look", "tools": ["resource_list", "resource_get"]}]);
        scene.apply(&spec).await;
        let (token, _) = scene.user(&shared().idp, "ann");
        let agent = scene.agent(&token);
        // Discovery is loaded: what is refused from here on sends nothing at all.
        agent.call("resource_list", json!({"resource": "configmaps"})).await.ok();
        Self { scene, proxy, agent, namespaces }
    }

    /// Requests that the cluster has seen, but for discovery, which the name of an unknown kind may renew.
    fn upstream(&self) -> usize {
        self.proxy.seen().iter().filter(|r| !["/api", "/apis"].contains(&r.path.as_str())).count()
    }

    /// The audit line of what is done, which sends nothing upstream.
    async fn audited<T>(&self, what: &str, act: impl Future<Output = T>) -> (T, Value) {
        let (lines, requests) = (self.audited_so_far().await, self.upstream());
        let done = act.await;
        assert_eq!(self.upstream(), requests, "{what}: {:?}", self.proxy.seen().last());
        for _ in 0..100 {
            if let Some(line) = self.scene.kmcp.audit().get(lines) {
                return (done, line.clone());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what}: no audit line")
    }

    /// Audit lines, once none is on its way any more: an answer may be here before its line.
    async fn audited_so_far(&self) -> usize {
        let mut seen = self.scene.kmcp.audit().len();
        loop {
            tokio::time::sleep(Duration::from_millis(15)).await;
            match self.scene.kmcp.audit().len() {
                still if still == seen => return seen,
                more => seen = more,
            }
        }
    }

    fn token(&self, options: &[&str]) -> String {
        let audience = self.scene.audience();
        let usual = ["--sub", "ann", "--groups", MIGHTY, "--aud", &audience, "--aud", CLUSTER_AUDIENCE];
        shared().idp.token(&[&usual, options].concat())
    }
}

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#;

fn hs256(claims: &str, secret: &str) -> String {
    let input = format!("{}.{claims}", B64.encode(r#"{"alg":"HS256","typ":"JWT","kid":"k1"}"#));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), input.as_bytes());
    format!("{input}.{}", B64.encode(tag))
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_not_good_are_refused_with_the_reason() {
    let stage = Stage::new("bad-token").await;
    let good = stage.agent.token.clone();
    let parts: Vec<&str> = good.split('.').collect();
    let forged = |claims: Value| {
        let mut all: Value = serde_json::from_slice(&B64.decode(parts[1]).unwrap()).unwrap();
        claims.as_object().unwrap().iter().for_each(|(key, value)| all[key] = value.clone());
        format!("{}.{}.{}", parts[0], B64.encode(all.to_string()), parts[2])
    };
    let mut flipped = parts[2].to_owned().into_bytes();
    flipped[10] = if flipped[10] == b'A' { b'B' } else { b'A' };
    let flipped = format!("{}.{}.{}", parts[0], parts[1], String::from_utf8(flipped).unwrap());
    let none = format!("{}.{}.", B64.encode(r#"{"alg":"none"}"#), parts[1]);
    let audience = stage.scene.audience();
    let usual = |options: &[&str]| format!("Bearer {}", stage.token(options));
    let claims = |claims: &str| usual(&["--claims", claims]);
    let head = |header: &str| usual(&["--header", header]);
    let cases: Vec<(&str, String, &str, &str)> = vec![
        ("no header", String::new(), "send Authorization: Bearer TOKEN", "no_token"),
        ("another scheme", "Basic YTpi".to_owned(), "the scheme is not Bearer", "malformed_token"),
        ("no token", "Bearer".to_owned(), "no scheme", "malformed_token"),
        ("no JWT", "Bearer abc".to_owned(), "not a JWT", "malformed_token"),
        ("two parts", format!("Bearer {}.{}", parts[0], parts[1]), "not a JWT", "malformed_token"),
        ("four parts", format!("Bearer {good}.x"), "not a JWT", "malformed_token"),
        ("garbage", "Bearer !.!.!".to_owned(), "not a JWT", "malformed_token"),
        ("too long", format!("Bearer {}", "a".repeat(17 << 10)), "longer than 16 KiB", "malformed_token"),
        ("expired", usual(&["--ttl", "-1m"]), "has expired", "expired"),
        ("too long a life", usual(&["--ttl", "48h"]), "longer than the 86400 seconds", "lifetime"),
        ("not yet", claims(r#"{"nbf": 4000000000}"#), "not valid yet", "not_yet_valid"),
        ("other audience", claims(r#"{"aud": ["tc"]}"#), &audience, "wrong_audience"),
        ("no audience", claims(r#"{"aud": null}"#), "claim aud", "token_claim"),
        ("odd audience", claims(r#"{"aud": 7}"#), "claim aud", "token_claim"),
        ("no subject", claims(r#"{"sub": null}"#), "claim sub", "token_claim"),
        ("empty subject", claims(r#"{"sub": ""}"#), "claim sub", "token_claim"),
        ("no expiry", claims(r#"{"exp": null}"#), "claim exp", "token_claim"),
        ("odd expiry", claims(r#"{"exp": "never"}"#), "claim exp", "token_claim"),
        ("odd groups", claims(r#"{"groups": {"a": 1}}"#), "groups claim", "no_identity"),
        ("other issuer", usual(&["--iss", "https://evil.example"]), "issuer (iss)", "unknown_issuer"),
        ("alg none", head(r#"{"alg": "none"}"#), "alg none", "token_header"),
        ("alg none by hand", format!("Bearer {none}"), "alg none", "token_header"),
        ("alg NoNe", head(r#"{"alg": "NoNe"}"#), "alg none", "token_header"),
        ("HS256 said", head(r#"{"alg": "HS256"}"#), "symmetric", "token_header"),
        ("HS256 done", format!("Bearer {}", hs256(parts[1], &shared().idp.ca())), "symmetric", "token_header"),
        ("alg not allowed", head(r#"{"alg": "PS256"}"#), "signingAlgorithms", "token_header"),
        ("key of its own", head(r#"{"jku": "https://evil.example/k"}"#), "jku", "token_header"),
        ("crit", head(r#"{"crit": ["exp"]}"#), "crit", "token_header"),
        ("forged groups", format!("Bearer {}", forged(json!({"groups": ["admin"]}))), "not be verified", "unverified"),
        ("forged subject", format!("Bearer {}", forged(json!({"sub": "root"}))), "not be verified", "unverified"),
        ("flipped signature", format!("Bearer {flipped}"), "not be verified", "unverified"),
        ("unknown kid", head(r#"{"kid": "k99"}"#), "not be verified", "unverified"),
        ("another key's kid", head(r#"{"kid": "k1-ec"}"#), "signingAlgorithms", "token_header"),
    ];
    for (what, authorization, text, reason) in cases {
        let header = [("authorization", authorization.as_str())];
        let (reply, line) = stage.audited(what, stage.agent.post(LIST.to_owned(), &header)).await;
        assert_eq!(reply.status, 401, "{what}: {reply:?}");
        assert!(reply.body.contains(text), "{what}: {reply:?}");
        assert!(reply.header("www-authenticate").starts_with("Bearer "), "{what}: {reply:?}");
        assert_eq!((&line["outcome"], &line["reason"]), (&json!("refused"), &json!(reason)), "{what}: {line}");
        assert_eq!(line["endpoint"], ENDPOINT, "{what}: {line}");
    }

    let mut two = Request::post(&stage.agent.url).header("content-type", "application/json");
    for _ in 0..2 {
        two = two.header(header::AUTHORIZATION, format!("Bearer {good}"));
    }
    let two = two.body(Full::from(LIST)).unwrap();
    let (reply, line) = stage.audited("two headers", send(&http(), two)).await;
    assert_eq!(reply.status, 401);
    assert!(reply.body.contains("more than one Authorization header"), "{reply:?}");
    assert_eq!(line["reason"], "malformed_token");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_not_good_are_refused_with_the_reason() {
    let stage = Stage::new("bad-http").await;
    let token = format!("Bearer {}", stage.agent.token);
    let request = |method: Method, url: &str, more: &[(&str, &str)], body: String| {
        let mut request = Request::builder().method(method).uri(url).body(Full::from(body)).unwrap();
        let usual = [
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("authorization", token.as_str()),
        ];
        for (name, value) in usual.iter().chain(more) {
            request.headers_mut().insert(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        async move { send(&http(), request).await }
    };
    let url = stage.agent.url.as_str();
    let elsewhere = format!("{}/mcp/nothing", stage.scene.kmcp.url);
    let root = format!("{}/", stage.scene.kmcp.url);
    let up = format!("{}/mcp/..%2f{ENDPOINT}", stage.scene.kmcp.url);
    let list = || LIST.to_owned();
    let large = format!("{{\"x\":\"{}\"}}", "a".repeat(2 << 20));
    let post = Method::POST;
    let cases: Vec<(&str, Wrong, u16, &str)> = vec![
        ("unknown endpoint", (post.clone(), &elsewhere, &[], list()), 404, "no McpEndpoint named nothing"),
        ("no endpoint", (post.clone(), &root, &[], list()), 404, "endpoints are at /mcp/<name>"),
        ("a path for a name", (post.clone(), &up, &[], list()), 404, "no McpEndpoint named"),
        ("other Host", (post.clone(), url, &[("host", "evil.example")], list()), 403, "Host"),
        ("other Origin", (post.clone(), url, &[("origin", "https://evil.example")], list()), 403, "Origin"),
        ("null Origin", (post.clone(), url, &[("origin", "null")], list()), 403, "Origin"),
        ("too large", (post.clone(), url, &[], large), 413, "1048576 bytes"),
        ("GET", (Method::GET, url, &[], String::new()), 405, "only POST"),
        ("DELETE", (Method::DELETE, url, &[], String::new()), 405, "only POST"),
        ("PUT", (Method::PUT, url, &[], list()), 405, "only POST"),
        ("no JSON", (post.clone(), url, &[], "{not json".to_owned()), 415, "fail to deserialize"),
        ("no message", (post.clone(), url, &[], "{}".to_owned()), 415, "JSON-RPC"),
        ("other content", (post.clone(), url, &[("content-type", "text/plain")], list()), 415, "application/json"),
        ("accepts nothing", (post, url, &[("accept", "text/html")], list()), 406, "application/json"),
    ];
    let mut wrong = Vec::new();
    for (what, (method, url, more, body), status, text) in cases {
        let (lines, requests) = (stage.audited_so_far().await, stage.upstream());
        let reply = request(method, url, more, body).await;
        let refused = || stage.scene.kmcp.audit().get(lines).is_some_and(|line| line["outcome"] == "refused");
        for _ in 0..100 {
            if refused() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let audited = refused();
        if reply.status != status || !reply.body.contains(text) || !audited || stage.upstream() != requests {
            wrong.push(format!(
                "{what}: expected {status} {text:?}, audited: {audited}: {} {}",
                reply.status, reply.body
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(stage.agent.tools().await.len(), 2, "and a good one is served");
}

/// Method, URL, headers that differ, body.
type Wrong<'a> = (Method, &'a str, &'a [(&'a str, &'a str)], String);

#[tokio::test(flavor = "multi_thread")]
async fn arguments_that_are_not_good_are_refused_by_name() {
    let stage = Stage::new("bad-args").await;
    let [a, b, c] = &stage.namespaces;
    let with = |argument: &str, value: Value| {
        let mut call = json!({"resource": "configmaps", "namespace": a});
        call[argument] = value;
        call
    };
    let named = |name: &str| json!({"resource": "configmaps", "namespace": a, "name": name});
    let both = format!("{a},{c}");
    let mut cases: Vec<(&str, Value, &str, &str)> = vec![
        ("resource_list", json!({}), "resource: is needed", "invalid"),
        ("resource_get", json!({"resource": "configmaps"}), "name: is needed", "invalid"),
        ("resource_list", json!({"resource": 5}), "resource: must be a text", "invalid"),
        ("resource_list", with("namspace", json!("x")), "did you mean namespace?", "invalid"),
        ("resource_list", with("watch", json!(true)), "\"watch\" is unknown; the arguments are:", "invalid"),
        ("resource_list", with("limit", json!(0)), "limit: must be a whole number from 1 to 500", "invalid"),
        ("resource_list", with("limit", json!(100_000)), "limit: must be a whole number from 1 to 500", "invalid"),
        ("resource_list", with("limit", json!("many")), "limit: must be a whole number", "invalid"),
        ("resource_list", with("maxTokens", json!(1)), "maxTokens: must be a whole number from 200", "invalid"),
        ("resource_list", with("cursor", json!("c1.AAAA")), "cursor: is not of this list", "invalid"),
        ("resource_list", with("cursor", json!("../x")), "cursor: is not of this list", "invalid"),
        (
            "resource_list",
            with("cluster", json!("west")),
            "cluster: \"west\" is not one of yours; yours: east",
            "denied",
        ),
        ("resource_list", with("cluster", json!("east,north")), "yours: east", "denied"),
        ("resource_list", with("cluster", json!("east,../x")), "yours: east", "denied"),
        ("resource_list", with("namespace", json!(c)), "is not one of yours; yours:", "denied"),
        ("resource_list", with("namespace", json!(both)), "is not one of yours; yours:", "denied"),
        ("resource_list", with("namespace", json!("kube-system")), "is not one of yours", "denied"),
        ("resource_list", with("resource", json!("secrets")), "never available", "denied"),
        ("resource_list", json!({"resource": "nodes"}), "nodes have no namespace", "denied"),
        (
            "resource_list",
            with("resource", json!("nodes")),
            "namespace: nodes have no namespace; leave it out",
            "invalid",
        ),
        ("resource_list", with("resource", json!("confgmaps")), "did you mean configmaps?", "not_found"),
        ("resource_list", with("resource", json!("configmap/x")), "resource: names an object", "invalid"),
        ("resource_list", with("labelSelector", json!("a=b&watch=1")), "labelSelector: ", "invalid"),
        ("resource_list", with("labelSelector", json!("a in (b")), "write app=web", "invalid"),
        ("resource_list", with("fieldSelector", json!("metadata.name")), "write status.phase!=Running", "invalid"),
        (
            "resource_get",
            named(&(0..30).map(|n| format!("x{n}")).collect::<Vec<_>>().join(",")),
            "name: at most 20 objects",
            "invalid",
        ),
    ];
    let odd = ["../x", "x/../y", "x?y", "x#y", "x%2fy", "x%y", "x y", "x&y", "..", "."];
    for odd in odd {
        cases.push(("resource_get", named(odd), "name", "invalid"));
        // It may be read as a kind and a name: either is named.
        cases.push(("resource_get", with("resource", json!(format!("{odd}s"))), ": ", "invalid not_found"));
        cases.push(("resource_list", with("resource", json!(odd)), ": ", "invalid not_found"));
        cases.push(("resource_list", with("namespace", json!(odd)), "namespace: ", "invalid"));
        cases.push(("resource_list", with("cluster", json!(odd)), "cluster: ", "denied"));
        cases.push((
            "resource_list",
            with("labelSelector", json!(format!("app={odd}/"))),
            "labelSelector: ",
            "invalid",
        ));
        cases.push(("resource_list", with("fieldSelector", json!(format!("{odd}/=x"))), "fieldSelector: ", "invalid"));
        cases.push(("resource_list", with("cursor", json!(odd)), "cursor: ", "invalid"));
    }
    for argument in ["resource", "name", "namespace", "cluster"] {
        cases.push(("resource_get", with(argument, json!("x\ny")), "line break or another control", "invalid"));
        cases.push(("resource_get", with(argument, json!("x\u{0}")), "line break or another control", "invalid"));
        cases.push(("resource_get", with(argument, json!("x".repeat(5000))), "is longer than 4096", "invalid"));
    }
    for (tool, arguments, text, outcome) in cases {
        let what = format!("{tool} {:.200}", arguments.to_string());
        let (called, line) = stage.audited(&what, stage.agent.call(tool, arguments)).await;
        let error = called.error();
        assert!(error.contains(text), "{what}: {error}");
        assert!(error.len() < 700 && !error.contains(['\n', '\u{0}']), "{what}: {error:?}");
        assert!(outcome.split(' ').any(|o| line["outcome"] == o) && line["tool"] == tool, "{what}: {line}");
    }
    for tool in ["cluster_list", "diagnose", "resource_delete", "../resource_list", "resource_list\n", ""] {
        let (called, line) = stage.audited(tool, stage.agent.call(tool, json!({"resource": "configmaps"}))).await;
        assert!(
            matches!(&called, Called::Refused(-32602, text) if text.starts_with("unknown tool: ")),
            "{tool}: {called:?}"
        );
        assert_eq!(line["outcome"], "denied", "{line}");
    }
    let list = json!({"resource": "configmaps", "namespace": b});
    stage.agent.call("resource_list", list).await.ok();
}

/// Reads a list to its end; gives the rows of each page.
async fn pages(agent: &Agent, question: &Value) -> Vec<Vec<String>> {
    let (mut all, mut cursor) = (Vec::new(), None);
    while all.len() < 40 {
        let mut call = question.clone();
        if let Some(cursor) = &cursor {
            call["cursor"] = json!(cursor);
        }
        let text = agent.call("resource_list", call).await.ok();
        let rows = text.lines().filter(|line| line.contains("\tsetting-"));
        all.push(rows.map(|row| row.split('\t').take(2).collect::<Vec<_>>().join("/")).collect());
        match text.split("cursor: ").nth(1) {
            Some(next) => cursor = Some(next.trim().to_owned()),
            None => return all,
        }
    }
    panic!("no end: {all:?}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_pages_without_loss_or_repeat_and_serves_only_its_caller_and_question() {
    let stage = Stage::new("cursor").await;
    let [a, b, c] = &stage.namespaces;
    let mut expected = Vec::new();
    for (namespace, count) in [(a, 7), (b, 4)] {
        for number in 0..count {
            let name = format!("setting-{number}-{}", "long-name-".repeat(4) + "x");
            make_config_map(&stage.scene.admin, namespace, &name, json!({"n": number.to_string()})).await;
            expected.push(format!("{namespace}/{name}"));
        }
    }
    make_config_map(&stage.scene.admin, c, "setting-0", json!({})).await;
    let question = json!({"resource": "configmaps", "labelSelector": "app=it"});
    // by the limit; by the budget of tokens, which cuts pages of the API server; by both
    for (limit, tokens) in [(1, 4000), (3, 4000), (7, 4000), (500, 4000), (500, 260), (5, 260), (4, 200)] {
        let mut call = question.clone();
        (call["limit"], call["maxTokens"]) = (json!(limit), json!(tokens));
        let pages = pages(&stage.agent, &call).await;
        assert!(pages.iter().all(|page| page.len() <= limit), "{limit} {tokens}: {pages:?}");
        assert_eq!(pages.concat(), expected, "{limit} {tokens}");
    }

    let mut call = question.clone();
    call["limit"] = json!(3);
    let first = stage.agent.call("resource_list", call.clone()).await.ok();
    let cursor = first.split("cursor: ").nth(1).unwrap().trim().to_owned();
    call["cursor"] = json!(cursor);
    stage.agent.call("resource_list", call.clone()).await.ok();
    let refused = async |agent: &Agent, call: &Value| {
        let (called, _) = stage.audited("cursor", agent.call("resource_list", call.clone())).await;
        assert!(called.clone().error().starts_with("cursor: is not of this list"), "{call}: {called:?}");
    };
    let (other, _) = stage.scene.user(&shared().idp, "bob");
    refused(&stage.scene.agent(&other), &call).await;
    for (argument, value) in [
        ("resource", "deployments"),
        ("labelSelector", "app=else"),
        ("namespace", a.as_str()),
        ("fieldSelector", "a=b"),
    ] {
        let mut call = call.clone();
        call[argument] = json!(value);
        refused(&stage.agent, &call).await;
    }
    let mut tampered = cursor.clone().into_bytes();
    let middle = tampered.len() / 2;
    tampered[middle] = if tampered[middle] == b'A' { b'B' } else { b'A' };
    for bad in
        [String::from_utf8(tampered).unwrap(), cursor[..cursor.len() - 4].to_owned(), format!("c2{}", &cursor[2..])]
    {
        call["cursor"] = json!(bad);
        refused(&stage.agent, &call).await;
    }
}
