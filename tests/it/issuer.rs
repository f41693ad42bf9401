//! Issuers of tokens that rotate, lie or go away.

use crate::support::{
    SOON,
    cluster::{CLUSTER_AUDIENCE, Issuer, service_account_token, shared},
    eventually,
    mcp::{self, Agent, Reply},
    scene::{Scene, make_mighty_account},
    spec::{cluster, everywhere, jwt, rule, self_subject_review, spec},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use serde_json::{Value, json};
use std::time::Duration;

/// An endpoint whose tokens come from an issuer of its own; no cluster trusts it, and none is needed.
async fn scene_with(name: &str, issuer: &Issuer) -> Scene {
    let scene = Scene::new(name).await;
    let all = rule("all", "corp", &["east"], &["inspect"], everywhere());
    scene.apply(&spec(&[jwt("corp", issuer)], &[cluster(&shared().east, &["corp"])], &[all])).await;
    scene
}

async fn list(agent: &Agent) -> Reply {
    agent.rpc("tools/list", json!({})).await
}

/// The token with another key id: no key of the issuer can have signed it.
fn with_kid(token: &str, kid: &str) -> String {
    let (_, rest) = token.split_once('.').unwrap();
    format!("{}.{rest}", B64.encode(json!({"alg": "RS256", "kid": kid}).to_string()))
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_once_and_for_unknown_ones_at_a_bounded_rate() {
    let idp = Issuer::start("idp-rate");
    let scene = scene_with("rate", &idp).await;
    assert_eq!(idp.fetched("/jwks"), 0, "nothing is fetched before a token asks for it");
    let tokens: Vec<String> = (0..5).map(|i| scene.user(&idp, &format!("user{i}")).0).collect();
    for token in tokens.iter().cycle().take(20) {
        assert_eq!(list(&scene.agent(token)).await.status, 200);
    }
    assert_eq!((idp.fetched("/.well-known/openid-configuration"), idp.fetched("/jwks")), (1, 1));

    for burst in 0..2 {
        if burst > 0 {
            tokio::time::sleep(Duration::from_millis(10_500)).await; // from then on an unknown key fetches again: once
        }
        let bogus = |i: i32| scene.agent(&with_kid(&tokens[0], &format!("bogus{i}")));
        let agents: Vec<Agent> = (0..50).map(bogus).collect();
        let replies = futures::future::join_all(agents.iter().map(list)).await;
        assert!(replies.iter().all(|reply| reply.status == 401), "{replies:?}");
        let fetched = idp.fetched("/jwks");
        assert!(fetched <= 2 + burst, "{fetched} fetches of the keys");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_is_picked_up_and_a_withdrawn_one_ends() {
    let (gentle, hard) = (Issuer::start("idp-gentle"), Issuer::start("idp-hard"));
    let scene = Scene::new("rotate").await;
    let rules = ["gentle", "hard"].map(|name| rule(name, name, &["east"], &["inspect"], everywhere()));
    let issuers = [jwt("gentle", &gentle), jwt("hard", &hard)];
    scene.apply(&spec(&issuers, &[cluster(&shared().east, &["gentle", "hard"])], &rules)).await;
    let rotated = async |idp: &Issuer, keep, old| {
        let (seen, unseen) = (scene.user(idp, "ann").0, scene.user(idp, "bob").0);
        assert_eq!(list(&scene.agent(&seen)).await.status, 200);
        idp.rotate(keep);
        let new = scene.agent(&scene.user(idp, "eve").0);
        eventually("the new key is known", SOON, async || (list(&new).await.status == 200).then_some(())).await;
        assert_eq!(list(&scene.agent(&unseen)).await.status, old, "signed with the old key, {keep} kept");
        assert!(idp.fetched("/jwks") <= 3, "{}", idp.fetched("/jwks"));
    };
    tokio::join!(rotated(&gentle, 1, 200), rotated(&hard, 0, 401));
}

/// The keys are known, and the issuer goes away: whoever asks with an unknown key must not take the known ones away
/// from all others.
#[tokio::test(flavor = "multi_thread")]
async fn known_keys_outlive_an_outage_of_their_issuer() {
    let idp = Issuer::start("idp-outage");
    let scene = scene_with("outage", &idp).await;
    let (ann, bob, eve) = (scene.user(&idp, "ann").0, scene.user(&idp, "bob").0, scene.user(&idp, "eve").0);
    assert_eq!(list(&scene.agent(&ann)).await.status, 200);
    idp.stop();
    assert_eq!(list(&scene.agent(&bob)).await.status, 200, "a caller that was not seen before");
    tokio::time::sleep(Duration::from_millis(10_500)).await; // from then on an unknown key fetches again
    let unknown = list(&scene.agent(&with_kid(&ann, "bogus"))).await.status;
    assert!(unknown == 401 || unknown == 503, "{unknown}");
    let reply = list(&scene.agent(&eve)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_down_fails_its_own_tokens_only() {
    let idp = Issuer::start("idp-down");
    idp.stop();
    let east = &shared().east;
    let scene = Scene::new("down").await;
    let spec = spec(
        &[jwt("corp", &idp), jwt("good", &shared().idp), self_subject_review("sa", east)],
        &[cluster(east, &["corp", "good", "sa"])],
        &[
            rule("one", "corp", &["east"], &["inspect"], everywhere()),
            rule("two", "sa", &["east"], &["inspect"], everywhere()),
            rule("three", "good", &["east"], &["inspect"], everywhere()),
        ],
    );
    scene.apply(&spec).await;
    let lost = scene.agent(&scene.user(&idp, "ann").0);
    let reply = list(&lost).await;
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(reply.header("retry-after").parse::<u32>().is_ok_and(|s| s > 0), "{reply:?}");
    assert!(reply.body.contains("the issuer that verifies this token does not answer"), "{reply:?}");

    make_mighty_account(&scene.admin, &scene.namespace, "agent").await;
    let (audience, issuer) = (scene.audience(), east.issuer());
    let account = service_account_token(&scene.admin, &scene.namespace, "agent", &[&audience, &issuer]).await;
    for token in [account, scene.user(&shared().idp, "ann").0] {
        scene.agent(&token).call("resource_list", json!({"resource": "namespaces"})).await.ok();
    }

    idp.serve();
    eventually("the issuer is asked again", SOON, async || (list(&lost).await.status == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_that_is_about_another_issuer_is_refused() {
    let idp = Issuer::start("idp-other");
    let scene = Scene::new("other").await;
    let mut issuer = jwt("corp", &idp);
    issuer["jwt"]["issuer"] = json!("https://somebody.example");
    issuer["jwt"]["discoveryURL"] = json!(format!("{}/.well-known/openid-configuration", idp.url()));
    let all = rule("all", "corp", &["east"], &["inspect"], everywhere());
    scene.apply(&spec(&[issuer], &[cluster(&shared().east, &["corp"])], &[all])).await;
    let audience = scene.audience();
    let token = idp.token(&["--iss", "https://somebody.example", "--aud", &audience, "--aud", CLUSTER_AUDIENCE]);
    let reply = list(&scene.agent(&token)).await;
    assert_eq!(reply.status, 503, "{reply:?}");
    scene.kmcp.wait_for_line("the reason", |line: &Value| {
        line["why"].as_str().is_some_and(|why| why == "its discovery document is about another issuer")
    });
    assert_eq!((idp.fetched("/.well-known/openid-configuration"), idp.fetched("/jwks")), (1, 0));
}

/// An API server closes the connection on which a token was refused: no call may share it.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_nobody_vouches_for_break_no_call() {
    let scene = Scene::new("forged").await;
    let east = &shared().east;
    let issuers = [jwt("corp", &shared().idp), self_subject_review("sa", east)];
    let clusters = [cluster(east, &["corp", "sa"])];
    let rules = [rule("all", "corp", &["east"], &["inspect"], everywhere())];
    let mut endpoint = spec(&issuers, &clusters, &rules);
    endpoint["limits"] = json!({"requestsPerMinute": 10_000});
    scene.apply(&endpoint).await;
    let agent = scene.agent(&scene.user(&shared().idp, "ann").0);
    agent.call("resource_list", json!({"resource": "namespaces"})).await.ok();

    let forged = |n: u32| {
        let head = B64.encode(json!({"alg": "RS256", "kid": "x"}).to_string());
        let claims = json!({"iss": east.issuer(), "sub": "mallory", "aud": [scene.audience(), east.issuer()],
                            "exp": now() + 600, "jti": n.to_string()});
        format!("{head}.{}.c2lnbmF0dXJl", B64.encode(claims.to_string()))
    };
    let forgers = (0..8).map(async |worker| {
        for n in 0..25 {
            let reply = list(&scene.agent(&forged(worker * 100 + n))).await;
            assert!(reply.status == 401 || reply.status == 503, "{reply:?}");
        }
    });
    let good = async {
        for _ in 0..60 {
            agent.call("resource_list", json!({"resource": "namespaces"})).await.ok();
        }
    };
    futures::join!(futures::future::join_all(forgers), good);

    // The same forged token is not asked about again at once.
    let same = forged(1_000_000);
    let mut asked = Vec::new();
    for _ in 0..10 {
        assert_eq!(list(&scene.agent(&same)).await.status, 401);
        let page = mcp::get(&format!("{}/metrics", scene.kmcp.admin)).await.body;
        let line =
            page.lines().find(|l| l.starts_with("kmcp_upstream_request_seconds_count{outcome=\"api\"}")).unwrap();
        asked.push(line.rsplit(' ').next().unwrap().parse::<u32>().unwrap());
    }
    assert!(asked[0] > 100 && asked.iter().all(|n| *n == asked[0]), "{asked:?}");
}

fn now() -> i64 {
    k8s_openapi::jiff::Timestamp::now().as_second()
}
