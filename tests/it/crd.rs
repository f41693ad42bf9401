//! What the API server says of an McpEndpoint, by the CRD, and what `k-mcp check` says of the same object offline.

use crate::support::cluster::{api_of, run_dir, shared};
use kube::{Client, api::PostParams};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, process::Command};

const CRD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/crds/mcpendpoints.yaml");
const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/samples");

/// Every field that goes with Forward, each at least once.
fn forward() -> Value {
    let pem = include_str!("../fixtures/ca.crt");
    let claim = |claim: &str| json!({"claim": claim, "prefix": "corp:"});
    let credential = json!({"mode": "Forward", "forward": {"issuers": ["corp"], "audiences": ["kubernetes"]}});
    let labels = json!({"matchLabels": {"env": "prod"},
        "matchExpressions": [{"key": "region", "operator": "In", "values": ["eu", "us"]}, {"key": "old", "operator": "DoesNotExist"}]});
    json!({
        "apiVersion": "k-mcp.dev/v1alpha1", "kind": "McpEndpoint",
        "metadata": {"name": "forward", "namespace": "default"},
        "spec": {
            "authentication": {
                "audiences": ["https://mcp.example.com/mcp/platform"],
                "scopesSupported": ["openid"],
                "maxTokenLifetime": "12h",
                "issuers": [
                    {"name": "corp", "type": "JWT", "jwt": {
                        "issuer": "https://idp.example.com/realms/corp",
                        "discoveryURL": "https://idp.example.com/elsewhere",
                        "certificateAuthority": {"configMap": {"name": "corp-ca", "key": "ca.crt"}},
                        "signingAlgorithms": ["RS256", "ES384", "EdDSA"],
                        "claimMappings": {
                            "username": claim("sub"), "groups": claim("groups"), "uid": {"claim": "sub"},
                            "extra": [{"key": "k-mcp.dev/team", "expression": "claims.team"}],
                        },
                        "claimValidationRules": [{"expression": "claims.exp - claims.iat <= 3600", "message": "too long"}],
                        "userValidationRules": [{"expression": "user.username != ''", "message": "no name"}],
                    }},
                    {"name": "expressive", "type": "JWT", "jwt": {
                        "issuer": "https://other.example.com", "discoveryURL": "",
                        "certificateAuthority": {"inline": pem},
                        "claimMappings": {"username": {"expression": "claims.sub"}, "groups": {"expression": "claims.g"},
                                          "uid": {"expression": "claims.sub"}},
                    }},
                    {"name": "hub", "type": "TokenReview", "tokenReview": {"issuer": "https://kubernetes.default.svc"}},
                    {"name": "eu-sa", "type": "SelfSubjectReview", "selfSubjectReview": {"cluster": "eu", "issuer": "https://eu"}},
                ],
            },
            "clusters": [
                {"name": "eu", "labels": {"env": "prod", "region": "eu"}, "server": "https://eu.example.com:6443/k8s",
                 "certificateAuthority": {"inline": pem}, "tlsServerName": "api.internal",
                 "credential": credential, "limits": {"maxConcurrentRequests": 8}},
                {"name": "us", "server": "https://us.example.com", "credential": credential},
                {"name": "hub", "credential": credential, "profileRef": {"name": "hub", "accessProvider": "google",
                                                                         "allowedServerSuffixes": [".example.com"]}},
            ],
            "clusterProfiles": [{"name": "fleet", "selector": labels, "accessProvider": "google",
                                 "allowedServerSuffixes": [".example.com"], "labels": {"env": "prod"},
                                 "labelsFrom": ["region"], "credential": credential}],
            "toolSets": [{"name": "triage", "tools": ["cluster_list", "resource_list"]}],
            "rules": [
                {"name": "sre", "subjects": {"issuers": ["corp"], "users": ["corp:ann"], "groups": ["corp:sre"],
                                             "condition": "claims.acr == 'mfa'"},
                 "allow": {"clusters": {"selector": labels}, "toolSets": ["inspect", "diagnosis", "change"],
                           "namespaces": {"mode": "All", "clusterScoped": "Allow"},
                           "writes": {"kinds": [{"group": "example.com", "resource": "widgets"}], "podTemplates": "Unrestricted"}}},
                {"name": "team", "subjects": {"issuers": ["corp", "eu-sa"], "anyUser": true},
                 "allow": {"clusters": {"names": ["eu", "us"]}, "toolSets": ["triage"],
                           "namespaces": {"mode": "Listed", "names": ["shop", "shop-canary"], "clusterScoped": "Deny"}}},
            ],
            "restrictedResources": [{"group": "external-secrets.io", "resource": "*"}],
            "writes": {"confirmation": "Plan"},
            "limits": {"maxOutputTokens": 4000, "requestsPerMinute": 300, "maxConcurrentCalls": 16,
                       "outputTokensPerMinute": 200_000, "timeoutSeconds": 30, "maxLogLines": 2000},
        },
    })
}

/// The two credentials that do not go with Forward.
fn exchange() -> Value {
    let mut object = forward();
    object["metadata"]["name"] = json!("exchange");
    let exchange = json!({"identity": "hub", "tokenEndpoint": "https://sts.example.com/token", "audience": "eu", "scopes": ["k8s"]});
    let spec = &mut object["spec"];
    spec["clusters"][0]["credential"] = json!({"mode": "Exchange", "exchange": exchange});
    spec["clusters"][1]["credential"] = json!({"mode": "Impersonate", "impersonate": {"identity": "hub"}});
    spec["clusters"][2]["credential"] = json!({"mode": "Impersonate", "impersonate": {"identity": "hub"}});
    spec["clusterProfiles"][0]["credential"] = json!({"mode": "Exchange", "exchange": exchange});
    object
}

/// What is in effect in this version, all of it.
fn plain() -> Value {
    let mut object = forward();
    object["metadata"]["name"] = json!("plain");
    let spec = object["spec"].as_object_mut().unwrap();
    spec.remove("clusterProfiles");
    let authentication = spec["authentication"].as_object_mut().unwrap();
    let issuers = authentication["issuers"].as_array().unwrap();
    authentication["issuers"] = json!([issuers[0], issuers[3]]);
    spec["clusters"].as_array_mut().unwrap().pop();
    spec["rules"][0]["allow"].as_object_mut().unwrap().remove("writes");
    spec["rules"][0]["allow"]["toolSets"] = json!(["inspect"]);
    object
}

/// An object that is broken in one place.
#[derive(Debug)]
struct Broken {
    what: String,
    object: Value,
    /// What the API server's message holds.
    api: String,
    /// What a line of `k-mcp check` holds.
    check: String,
}

/// Sets a value in a copy of an object.
fn with(object: &Value, pointer: &str, value: Value) -> Value {
    let mut object = object.clone();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match object.pointer_mut(parent).unwrap_or_else(|| panic!("{parent}")) {
        Value::Object(map) => {
            map.insert(key.to_owned(), value);
        }
        Value::Array(list) => match key.parse::<usize>() {
            Ok(i) => list[i] = value,
            Err(_) => list.push(value),
        },
        other => panic!("{pointer}: {other}"),
    }
    object
}

fn without(object: &Value, pointer: &str) -> Value {
    let mut object = object.clone();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key);
    object
}

/// `/spec/rules/0/name` as `spec.rules[0].name`.
fn field(pointer: &str) -> String {
    pointer.split('/').skip(1).fold(String::new(), |path, segment| match segment.parse::<usize>() {
        Ok(i) => format!("{path}[{i}]"),
        Err(_) if path.is_empty() => segment.to_owned(),
        Err(_) => format!("{path}.{segment}"),
    })
}

/// So many entries that differ from each other.
fn many(count: u64, first: &Value) -> Value {
    let make = |i: u64| match first {
        Value::Object(_) if first.get("name").is_some() => with(first, "/name", json!(format!("n{i}"))),
        Value::Object(_) if first.get("key").is_some() => with(first, "/key", json!(format!("k.dev/n{i}"))),
        Value::String(_) => json!(format!("n{i}")),
        other => other.clone(),
    };
    (0..count).map(make).collect()
}

/// Breaks each bound of the schema once, where the object has a value.
fn break_bounds(schema: &Value, object: &Value, pointer: &str, broken: &mut Vec<Broken>) {
    let Some(value) = object.pointer(pointer) else { return };
    let here = field(pointer);
    let mut add = |what: &str, object: Value, api: &str, check: &str| {
        let what = format!("{here}: {what}");
        broken.push(Broken { what, object, api: api.to_owned(), check: check.to_owned() });
    };
    let mut set = |what: &str, value: Value| add(what, with(object, pointer, value), &here, &here);
    let number = |name: &str| schema.get(name).and_then(Value::as_u64);
    if let Some(max) = number("maxLength") {
        set("maxLength", json!("a".repeat(usize::try_from(max).unwrap() + 1)));
    }
    if number("minLength").is_some() {
        set("minLength", json!(""));
    }
    if schema.get("pattern").is_some() {
        set("pattern", json!("Not_a Name"));
    }
    if schema.get("enum").is_some() {
        set("enum", json!("Nothing"));
    }
    if let Some(min) = number("minimum") {
        set("minimum", json!(min - 1));
    }
    if let Some(max) = number("maximum") {
        set("maximum", json!(max + 1));
    }
    if number("minItems").is_some() {
        set("minItems", json!([]));
    }
    if let Some(max) = number("maxItems") {
        set("maxItems", many(max + 1, &value[0]));
    }
    if let Some(max) = number("maxProperties") {
        set("maxProperties", (0..=max).map(|i| (format!("n{i}"), json!("x"))).collect::<Map<_, _>>().into());
    }
    match value {
        Value::String(_) => set("type", json!({"a": 1})),
        Value::Number(_) => set("type", json!("many")),
        Value::Bool(_) => set("type", json!("yes")),
        Value::Array(_) | Value::Object(_) => set("type", json!("one")),
        Value::Null => unreachable!(),
    }
    if schema.get("x-kubernetes-list-type").is_some_and(|t| t == "map" || t == "set") {
        let last = value.as_array().unwrap().len();
        let twice = with(object, &format!("{pointer}/-"), value[0].clone());
        add("twice", twice, &format!("{here}[{last}]: Duplicate value"), &here);
    }
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        let name = name.as_str().unwrap();
        let object = without(object, &format!("{pointer}/{name}"));
        add(
            &format!("without {name}"),
            object,
            &format!("{here}.{name}: Required value"),
            &format!("\"{name}\" is a required"),
        );
    }
    for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        break_bounds(schema, object, &format!("{pointer}/{name}"), broken);
    }
    if let (Some(items), Value::Array(list)) = (schema.get("items"), value) {
        for i in 0..list.len() {
            break_bounds(items, object, &format!("{pointer}/{i}"), broken);
        }
    }
}

/// Breaks each CEL rule.
#[allow(clippy::too_many_lines, reason = "a table")]
fn break_rules() -> Vec<Broken> {
    let (forward, exchange) = (forward(), exchange());
    let mut broken = Vec::new();
    let mut add = |object: Value, message: &str| {
        let what = format!("#{} {message}", broken.len());
        broken.push(Broken { what, object, api: message.to_owned(), check: message.to_owned() });
    };
    let issuer = "/spec/authentication/issuers/0";
    let mapping = format!("{issuer}/jwt/claimMappings");
    let mut set = |pointer: &str, value: Value, message: &str| add(with(&forward, pointer, value), message);

    set("/metadata/name", json!("n".repeat(64)), "metadata.name must have at most 63 characters");
    let ca = "certificateAuthority: configMap or inline must be set, and not both";
    set("/spec/clusters/0/certificateAuthority/configMap", json!({"name": "x"}), ca);
    set("/spec/clusters/0/certificateAuthority", json!({}), ca);
    set(&format!("{issuer}/jwt/certificateAuthority"), json!({}), ca);
    let claim = "claim or expression must be set, and not both";
    set(&format!("{mapping}/username/expression"), json!("claims.sub"), claim);
    set(&format!("{mapping}/username"), json!({}), claim);
    set(&format!("{mapping}/groups"), json!({}), claim);
    set(&format!("{mapping}/uid"), json!({}), claim);
    set(&format!("{mapping}/uid/expression"), json!("claims.sub"), claim);
    let prefix = "prefix must be set with claim (it may be empty), and only with it";
    set(&format!("{mapping}/username"), json!({"claim": "sub"}), prefix);
    set(&format!("{mapping}/groups"), json!({"expression": "x", "prefix": ""}), prefix);
    for url in ["http://idp.example.com", "idp.example.com", "https://"] {
        set(&format!("{issuer}/jwt/issuer"), json!(url), "jwt.issuer must be an https URL");
        set(&format!("{issuer}/jwt/discoveryURL"), json!(url), "jwt.discoveryURL must be an https URL");
        set("/spec/clusters/0/server", json!(url), "clusters[].server must be an https URL without a query");
    }
    set("/spec/clusters/0/server", json!("https://a?b=c"), "clusters[].server must be an https URL without a query");
    for (kind, right) in [("JWT", "jwt"), ("TokenReview", "tokenReview"), ("SelfSubjectReview", "selfSubjectReview")] {
        let message = format!("issuers[]: type {kind} needs {right}, and neither ");
        let at = if kind == "JWT" { 2 } else { 0 };
        set(&format!("/spec/authentication/issuers/{at}/type"), json!(kind), &message);
    }
    set(&format!("{issuer}/tokenReview"), json!({"issuer": "x"}), "issuers[]: type JWT needs jwt, and neither ");
    set(
        "/spec/authentication/issuers/2/tokenReview/issuer",
        json!("https://eu"),
        "two issuers have the same issuer URL",
    );
    let cluster = "spec.authentication.issuers[].selfSubjectReview.cluster must name one of spec.clusters";
    set("/spec/authentication/issuers/3/selfSubjectReview/cluster", json!("asia"), cluster);
    set(
        "/spec/clusters/0/profileRef",
        json!({"name": "x", "accessProvider": "y"}),
        "clusters[]: server or profileRef must be set",
    );
    set("/spec/clusters/2/server", json!("https://x"), "clusters[]: server or profileRef must be set, and not both");
    let profile = "clusters[]: certificateAuthority and tlsServerName come from the profile";
    set("/spec/clusters/2/tlsServerName", json!("x"), profile);
    set("/spec/clusters/2/certificateAuthority", json!({"inline": "x"}), profile);
    let forward_mode = "credential: mode Forward needs forward, and neither exchange nor impersonate";
    set("/spec/clusters/0/credential", json!({"mode": "Forward"}), forward_mode);
    set("/spec/clusters/0/credential/impersonate", json!({"identity": "x"}), forward_mode);
    set("/spec/clusterProfiles/0/credential", json!({"mode": "Forward"}), forward_mode);
    let impersonate = json!({"mode": "Impersonate", "impersonate": {"identity": "x"}});
    set("/spec/clusters/0/credential", impersonate, "either all clusters use credential.mode Forward or none does");
    let issuers = "spec.clusters[].credential.forward.issuers must name issuers of spec.authentication.issuers";
    set("/spec/clusters/0/credential/forward/issuers", json!(["nobody"]), issuers);
    for selector in ["/spec/rules/0/allow/clusters/selector", "/spec/clusterProfiles/0/selector"] {
        set(selector, json!({}), "selector must not be empty");
        let expressions = "matchExpressions[]: In and NotIn need values, Exists and DoesNotExist take none";
        let requirement = |operator: &str, values: Value| json!({"key": "k", "operator": operator, "values": values});
        set(&format!("{selector}/matchExpressions"), json!([requirement("In", json!([]))]), expressions);
        set(&format!("{selector}/matchExpressions"), json!([requirement("Exists", json!(["v"]))]), expressions);
    }
    let names = "allow.clusters: names or selector must be set, and not both";
    set("/spec/rules/0/allow/clusters/names", json!(["eu"]), names);
    set("/spec/rules/0/allow/clusters", json!({}), names);
    let mode = "namespaces: mode Listed needs names, mode All takes none";
    set("/spec/rules/0/allow/namespaces/names", json!(["x"]), mode);
    set("/spec/rules/1/allow/namespaces/names", json!([]), mode);
    set(
        "/spec/rules/0/subjects",
        json!({"issuers": ["corp"]}),
        "subjects must name users, groups, a condition, or anyUser",
    );
    set("/spec/rules/0/subjects", json!({"issuers": ["corp"], "anyUser": false}), "subjects must name users, groups");
    set(
        "/spec/rules/0/subjects/anyUser",
        json!(true),
        "subjects: anyUser: true cannot be combined with users or groups",
    );
    set("/spec/rules/0/subjects/issuers", json!(["nobody"]), "spec.rules[].subjects.issuers must name issuers");
    set(
        "/spec/rules/0/allow/toolSets",
        json!(["everything"]),
        "spec.rules[].allow.toolSets must name inspect, diagnosis",
    );
    for built_in in ["inspect", "diagnosis", "change"] {
        set(
            "/spec/toolSets/0/name",
            json!(built_in),
            "inspect, diagnosis and change are built in and cannot be redefined",
        );
    }
    let no_profiles = without(&forward, "/spec/clusterProfiles");
    let names = "spec.rules[].allow.clusters.names must name clusters of spec.clusters";
    add(with(&no_profiles, "/spec/rules/1/allow/clusters/names", json!(["asia"])), names);
    let token_endpoint = "exchange.tokenEndpoint must be an https URL";
    add(with(&exchange, "/spec/clusters/0/credential/exchange/tokenEndpoint", json!("http://x")), token_endpoint);
    add(
        with(&exchange, "/spec/clusters/0/credential", json!({"mode": "Exchange"})),
        "credential: mode Exchange needs exchange",
    );
    add(
        with(&exchange, "/spec/clusters/0/credential/mode", json!("Impersonate")),
        "credential: mode Impersonate needs impersonate",
    );
    broken
}

/// The schema of `spec`, and the messages of all CEL rules.
fn schema() -> (Value, Vec<String>) {
    fn messages(schema: &Value, found: &mut Vec<String>) {
        match schema {
            Value::Object(map) => {
                for rule in map.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
                    found.push(rule["message"].as_str().unwrap_or_else(|| panic!("no message: {rule}")).to_owned());
                }
                map.values().for_each(|value| messages(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| messages(value, found)),
            _ => {}
        }
    }
    let crd: Value = serde_yaml::from_str(&fs::read_to_string(CRD).unwrap()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut found = Vec::new();
    messages(schema, &mut found);
    found.sort();
    found.dedup();
    (schema["properties"]["spec"].clone(), found)
}

/// What the API server says to a creation that is not stored.
async fn dry_run(admin: &Client, object: &Value) -> Result<(), String> {
    let parameters = PostParams { dry_run: true, field_manager: None };
    let api = api_of(admin, object);
    match api.create(&parameters, &serde_json::from_value(object.clone()).unwrap()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) => Err(status.message.clone()),
        Err(error) => panic!("{error}"),
    }
}

/// Runs `k-mcp check` once over all objects; gives its exit code and the lines about each, by position.
fn check(file: &str, objects: &[&Value]) -> (Option<i32>, BTreeMap<usize, String>) {
    let mut text = String::new();
    for (number, object) in objects.iter().enumerate() {
        let mut object = (*object).clone();
        let name = object["metadata"]["name"].as_str().unwrap();
        object["metadata"]["name"] = json!(format!("c{number}-{name}"));
        writeln!(text, "---\n{object}").unwrap();
    }
    let path = run_dir().join(file);
    fs::write(&path, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_k-mcp")).arg("check").arg(&path).output().unwrap();
    let mut said: BTreeMap<usize, String> = BTreeMap::new();
    let mut current = 0;
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        if let Some(number) = line.split(": McpEndpoint c").nth(1).and_then(|rest| rest.split('-').next()?.parse().ok())
        {
            current = number;
        }
        writeln!(said.entry(current).or_default(), "{line}").unwrap();
    }
    (output.status.code(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_valid_sample_of_every_feature_is_accepted() {
    let admin = shared().east.admin().await;
    for object in [forward(), exchange(), plain()] {
        assert_eq!(dry_run(&admin, &object).await, Ok(()), "{object:#}");
    }
    let (code, said) = check("plain.yaml", &[&plain()]);
    let said = said.values().next().unwrap();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.ends_with(": ok\n"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_rule_and_bound_is_enforced_by_the_api_server_and_by_check() {
    let admin = shared().east.admin().await;
    let (schema, messages) = schema();
    let rules = break_rules();
    let untried: Vec<&String> = messages.iter().filter(|m| !rules.iter().any(|b| m.contains(&b.api))).collect();
    assert!(untried.is_empty(), "CEL rules that nothing here breaks: {untried:#?}");

    let mut all = rules;
    break_bounds(&schema, &forward(), "/spec", &mut all);
    let mut more = Vec::new();
    break_bounds(&schema, &exchange(), "/spec", &mut more);
    let known = |b: &Broken| all.iter().any(|known| known.what == b.what);
    let more: Vec<Broken> = more.into_iter().filter(|b| !known(b)).collect();
    all.extend(more);
    println!("{} broken objects", all.len());

    let (code, said) = check("broken.yaml", &all.iter().map(|b| &b.object).collect::<Vec<_>>());
    assert_eq!(code, Some(1));
    let mut wrong = Vec::new();
    for (number, Broken { what, object, api, check }) in all.iter().enumerate() {
        match dry_run(&admin, object).await {
            Ok(()) => wrong.push(format!("{what}: the API server accepts it")),
            Err(message) if !message.contains(api) => wrong.push(format!("{what}: not {api:?}: {message:.300}")),
            Err(_) => {}
        }
        match said.get(&number) {
            Some(said) if said.contains(check) => {}
            said => {
                wrong.push(format!("{what}: check does not say {check:?}: {:.300}", said.map_or("", String::as_str)));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}

#[test]
fn check_finds_unknown_fields_everywhere() {
    fn walk(schema: &Value, value: &Value, pointer: &str, found: &mut Vec<String>) {
        if let (Some(properties), Value::Object(map)) = (schema.get("properties"), value) {
            found.push(pointer.to_owned());
            map.iter().for_each(|(name, value)| walk(&properties[name], value, &format!("{pointer}/{name}"), found));
        }
        if let (Some(items), Value::Array(list)) = (schema.get("items"), value) {
            list.iter().enumerate().for_each(|(i, value)| walk(items, value, &format!("{pointer}/{i}"), found));
        }
    }
    let forward = forward();
    let mut places = Vec::new();
    walk(&schema().0, &forward["spec"], "/spec", &mut places);
    assert!(places.len() > 40, "{places:?}");
    let objects: Vec<Value> =
        places.iter().map(|place| with(&forward, &format!("{place}/surprise"), json!("x"))).collect();
    let (code, said) = check("unknown.yaml", &objects.iter().collect::<Vec<_>>());
    assert_eq!(code, Some(1));
    for (number, place) in places.iter().enumerate() {
        let said = &said[&number];
        assert!(said.contains(&field(place)) && said.contains("surprise"), "{place}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_samples_are_valid() {
    let Ok(files) = fs::read_dir(SAMPLES) else { return };
    let admin = shared().east.admin().await;
    for file in files.map(|f| f.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "yaml")) {
        let output = Command::new(env!("CARGO_BIN_EXE_k-mcp")).arg("check").arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}: {said}", file.display());
        for mut object in documents(&file) {
            if object["kind"] == "McpEndpoint" {
                object["metadata"]["namespace"] = json!("default");
                assert_eq!(dry_run(&admin, &object).await, Ok(()), "{}", file.display());
            }
        }
    }
}

fn documents(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    text.split("\n---").filter_map(|part| serde_yaml::from_str::<Option<Value>>(part).unwrap()).collect()
}
