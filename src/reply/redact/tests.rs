use serde_json::json;

use super::*;

fn text(text: &str) -> String {
    Redactor::default().text(text).into_owned()
}

fn object(mut value: Value) -> Value {
    Redactor::default().object(&mut value);
    value
}

#[test]
fn a_value_behind_a_telling_name_is_redacted_in_any_syntax() {
    let cases = [
        ("DB_PASSWORD=hunter2", "DB_PASSWORD=[redacted#1]"),
        ("export DB_PASSWORD='correct horse' X=1", "export DB_PASSWORD='[redacted#1]' X=1"),
        ("db.password = correct horse", "db.password = [redacted#1]"),
        ("password: correct horse battery", "password: [redacted#1]"),
        ("  - token: abc # old", "  - token: [redacted#1] # old"),
        ("a: 1\npassword: |\n  one\n  two\nb: 2\n", "a: 1\npassword: |\n  [redacted#1]\nb: 2\n"),
        (r#"{"user":"u","password":"a\"b","n":1}"#, r#"{"user":"u","password":"[redacted#1]","n":1}"#),
        (r#"msg="{\"password\":\"p,1\",\"a\":1}""#, r#"msg="{\"password\":\"[redacted#1]\",\"a\":1}""#),
        (r#""env":"A=1\nDB_PASSWORD=correct\nB=2""#, r#""env":"A=1\nDB_PASSWORD=[redacted#1]\nB=2""#),
        (r"a\ntoken: correct\nb: 1", r"a\ntoken: [redacted#1]\nb: 1"),
        ("level=info password=correct user=u", "level=info password=[redacted#1] user=u"),
        ("INFO connect {user=u, password=p,w, db=x}", "INFO connect {user=u, password=[redacted#1], db=x}"),
        (
            "\u{1b}[36mpassword\u{1b}[0m=hunter2 \u{1b}[36muser\u{1b}[0m=x",
            "\u{1b}[36mpassword\u{1b}[0m=[redacted#1] \u{1b}[36muser\u{1b}[0m=x",
        ),
        ("Server=db;User Id=sa;Password=p1;Encrypt=true", "Server=db;User Id=sa;Password=[redacted#1];Encrypt=true"),
        (
            "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=Zm9vYmFy+/==;EndpointSuffix=x",
            "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=[redacted#1];EndpointSuffix=x",
        ),
        ("jdbc:mysql://db/x?user=u&password=p1&ssl=true", "jdbc:mysql://db/x?user=u&password=[redacted#1]&ssl=true"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "aws_secret_access_key = [redacted#1]"),
        (
            "- name: DB_PASSWORD\n  value: hunter2\n- name: A\n  value: b",
            "- name: DB_PASSWORD\n  value: [redacted#1]\n- name: A\n  value: b",
        ),
        (r#"[{"name":"API_TOKEN","value":"t1"}]"#, r#"[{"name":"API_TOKEN","value":"[redacted#1]"}]"#),
        ("{Name:DB_PASSWORD Value:hunter2 ValueFrom:nil}", "{Name:DB_PASSWORD Value:[redacted#1] ValueFrom:nil}"),
        ("run --token abc1 --password=x1 --user u", "run --token [redacted#2] --password=[redacted#1] --user u"),
        (r#"["--token","abc"]"#, r#"["--token","[redacted#1]"]"#),
        (r#"\"--token\",\"abc\",\"-v\""#, r#"\"--token\",\"[redacted#1]\",\"-v\""#),
        ("- --token\n- abc\n- -v", "- --token\n- [redacted#1]\n- -v"),
        ("login failed with password: hunter2, retry", "login failed with password: [redacted#1], retry"),
        ("requirepass foobared", "requirepass [redacted#1]"),
        ("tokens: [a1, b2]", "tokens: [redacted#1]"),
        ("cfg['secret_key'] = 'x1'", "cfg['secret_key'] = '[redacted#1]'"),
        ("+ password: new1\n- password: old1", "+ password: [redacted#1]\n- password: [redacted#2]"),
    ];
    for (input, expected) in cases {
        assert_eq!(text(input), expected, "{input}");
    }
}

#[test]
fn what_a_diagnosis_needs_stays_readable() {
    let cases = [
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "registry.example.com:5000/team/token-service@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "checksum/secret: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "uid: 6f1c8a5e-3f0a-4a9b-8f7e-2f0a6c1d9b3e, resourceVersion: \"123456789\", pod-template-hash: 6d4f9c7b8",
        "commit 4b825dc642cb6eb9a060e54bf8d69288fbee4904",
        "aGVsbG8gd29ybGQ= eyJhIjoxfQ==",
        "MountVolume.SetUp failed for volume \"tls\" : secret \"web-tls\" not found",
        "couldn't find key DB_PASSWORD in Secret shop/db",
        "secrets \"db\" is forbidden: User \"corp:ann\" cannot get resource \"secrets\" in API group \"\"",
        "failed to fetch token: 401 Unauthorized",
        "error: invalid token: expired; unable to read secret: permission denied",
        "password authentication failed for user \"app\"",
        "unknown flag: --token-file; --token is required",
        "secretName: web-tls\nsecretKeyRef:\n  name: db\n  key: password\nserviceAccountToken:\n  path: token\n  expirationSeconds: 3607",
        "TOKENIZER_PATH=/models/tok AUTHOR=ann SECRETS_DIR=/var/secrets MAX_TOKENS=4096 AUTH_ENABLED=true",
        "DB_PASSWORD=$(VAULT_DB) API_TOKEN=${TOKEN:-} password: {{ .Values.password }}",
        "--tls-private-key-file=/etc/tls/tls.key --client-key=/etc/k8s/client.key --token-ttl 30m",
        "authentication: oidc, auth: basic, auth-mode=RBAC",
        "pull access denied, repository does not exist or may require authorization: server message: insufficient_scope",
        "if (token == null) throw; std::token::Parser; token := getToken(ctx)",
        "image: ghcr.io/org/app:1.9.0 disk-0123456789abcdef0123456789abcdef0123 task-sk-1",
        "https://user@example.com/x http://web.shop.svc:8080/a@b",
    ];
    for input in cases {
        assert_eq!(text(input), input);
    }
}

#[test]
fn equal_secrets_get_equal_numbers_within_one_reply() {
    let mut redactor = Redactor::default();
    assert_eq!(redactor.text("password=a1 token=b1"), "password=[redacted#1] token=[redacted#2]");
    assert_eq!(redactor.field("DB_PASSWORD", "a1"), "[redacted#1]");
    assert_eq!(redactor.text("secret: \"b1\" x"), "secret: \"[redacted#2]\" x");
    assert_eq!(redactor.count(), 2);
    assert!(!format!("{redactor:?}").contains("a1"));
}

#[test]
fn an_environment_is_redacted_by_name_anywhere() {
    let env = json!([{"name": "DB_PASSWORD", "value": "hunter2"}, {"name": "LOG", "value": "debug"}, {"name": "TOKEN_FILE", "value": "/run/token"},
        {"name": "API_TOKEN", "valueFrom": {"secretKeyRef": {"name": "api", "key": "token"}}}, {"value": "x1", "name": "apiKey"}, {"name": "PASSWORD_SET", "value": "hunter2"}]);
    let clean = json!([{"name": "DB_PASSWORD", "value": "[redacted#1]"}, {"name": "LOG", "value": "debug"}, {"name": "TOKEN_FILE", "value": "/run/token"},
        {"name": "API_TOKEN", "valueFrom": {"secretKeyRef": {"name": "api", "key": "token"}}}, {"value": "[redacted#2]", "name": "apiKey"}, {"name": "PASSWORD_SET", "value": "[redacted#1]"}]);
    for place in ["containers", "initContainers", "ephemeralContainers"] {
        let pod = |env: &Value| json!({"kind": "List", "items": [{"spec": {"template": {"spec": {place: [{"name": "app", "env": env}]}}}}]});
        assert_eq!(object(pod(&env)), pod(&clean));
    }
}

#[test]
fn everything_in_a_secret_is_redacted() {
    let cases = [
        (
            json!({"kind": "Secret", "type": "Opaque", "data": {"a": "YQ==", "b": ""}, "stringData": {"c": "true"}}),
            json!({"kind": "Secret", "type": "Opaque", "data": {"a": "[redacted#1]", "b": ""}, "stringData": {"c": "[redacted#2]"}}),
        ),
        (
            json!({"kind": "SecretList", "items": [{"data": {"a": "YQ=="}}]}),
            json!({"kind": "SecretList", "items": [{"data": {"a": "[redacted#1]"}}]}),
        ),
        (
            json!({"kind": "ConfigMap", "data": {"m.yaml": "apiVersion: v1\nkind: Secret\ndata:\n  a: YQ==\n"}}),
            json!({"kind": "ConfigMap", "data": {"m.yaml": "apiVersion: v1\nkind: Secret\ndata:\n  a: '[redacted#1]'\n"}}),
        ),
        (
            json!({"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{\"kind\":\"Secret\",\"data\":{\"a\":\"YQ==\"}}\n"}}}),
            json!({"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{\"kind\":\"Secret\",\"data\":{\"a\":\"[redacted#1]\"}}"}}}),
        ),
        (json!({"a": "kind: Secret\n\tdata: : :"}), json!({"a": "[redacted#1]"})),
    ];
    for (input, expected) in cases {
        assert_eq!(object(input), expected);
    }
}

#[test]
fn a_secret_in_any_field_of_an_object_is_redacted() {
    let cases = [
        (
            json!({"data": {"password": "p1", "app.env": "A=1\nDB_PASSWORD=p1\n", "c.json": "{\"db\":{\"password\":\"p1\"}}"}}),
            json!({"data": {"password": "[redacted#1]", "app.env": "A=1\nDB_PASSWORD=[redacted#1]\n", "c.json": "{\"db\":{\"password\":\"[redacted#1]\"}}"}}),
        ),
        (
            json!({"spec": {"adminPassword": "p1", "tokens": ["t1"], "pin": {"token": {"value": "t1"}}, "credentials": {"user": "u", "password": 1234}}}),
            json!({"spec": {"adminPassword": "[redacted#1]", "tokens": ["[redacted#2]"], "pin": {"token": {"value": "[redacted#2]"}}, "credentials": {"user": "u", "password": "[redacted#3]"}}}),
        ),
        (
            json!({"args": ["--token", "t1", "--password=p1", "-p", "x", "--token-file", "/f", "--password", "--verbose"]}),
            json!({"args": ["--token", "[redacted#1]", "--password=[redacted#2]", "-p", "x", "--token-file", "/f", "--password", "--verbose"]}),
        ),
        (
            json!({"command": ["sh", "-c", "mysql --password=p1 -e 'x'"]}),
            json!({"command": ["sh", "-c", "mysql --password=[redacted#1] -e 'x'"]}),
        ),
        (
            json!({"data": {"DATABASE_DSN": "postgres://u:p1@h/db", "dsn": "opaque1", "conn": "u"}}),
            json!({"data": {"DATABASE_DSN": "postgres://u:[redacted#1]@h/db", "dsn": "[redacted#2]", "conn": "u"}}),
        ),
        (json!({"auths": {"r.io": {"auth": "dXNlcjpwYXNz"}}}), json!({"auths": {"r.io": {"auth": "[redacted#1]"}}})),
        (
            json!({"a": "{\"password\":\"p1\",\"password\":\"\"}"}),
            json!({"a": "{\"password\":\"[redacted#1]\",\"password\":\"\"}"}),
        ),
        (
            json!({"message": "dial postgres://u:p1@h: refused"}),
            json!({"message": "dial postgres://u:[redacted#1]@h: refused"}),
        ),
    ];
    for (input, expected) in cases {
        assert_eq!(object(input.clone()), expected, "{input}");
    }
}

#[test]
fn references_to_secrets_stay_readable() {
    let input = json!({"spec": {
        "imagePullSecrets": [{"name": "pull"}], "automountServiceAccountToken": true, "secrets": ["etcd-certs"],
        "tokenSecretRef": {"name": "api", "key": "token"}, "secretRef": {"name": "db"}, "secretStoreRef": {"name": "vault", "kind": "SecretStore"},
        "tls": [{"secretName": "web-tls"}], "auth": {"existingSecret": "db", "mode": "oidc"}, "data": [{"secretKey": "password", "remoteRef": {"key": "prod/db"}}],
        "volumes": [{"name": "v", "secret": {"secretName": "db", "items": [{"key": "password", "path": "password"}]}},
                    {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"audience": "x", "expirationSeconds": 3607, "path": "token"}}]}}],
        "limits": {"maxOutputTokens": 4000, "outputTokensPerMinute": 200_000, "maxTokenLifetime": "24h"},
        "tolerations": [{"key": "node.kubernetes.io/not-ready", "value": "x"}], "passwordPolicy": {"minLength": 12}}});
    assert_eq!(object(input.clone()), input);
}

/// A small deterministic generator, so that a failure can be repeated.
fn random(seed: &mut u64, below: usize) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*seed >> 33).unwrap() % below
}

const FRAGMENTS: &[&str] = &[
    "password",
    "DB_TOKEN",
    "auth",
    "secretKey",
    "--token",
    "name: API_KEY",
    "value",
    "dsn",
    "key",
    "kind: Secret",
    "data",
    "=",
    ": ",
    ":",
    " = ",
    "\n",
    "\n  ",
    " ",
    "  ",
    ", ",
    ",",
    ";",
    "&",
    "\"",
    "'",
    "\\\"",
    "\\n",
    "\\",
    "|",
    ">",
    "[",
    "]",
    "{",
    "}",
    "{{",
    "}}",
    "(",
    ")",
    "<",
    "</",
    "#",
    "[redacted#1]",
    "[redacted#",
    "hunter2",
    "correct",
    "true",
    "401",
    "/etc/x",
    "$(X)",
    "Bearer ",
    "Basic ",
    "dXNlcjpwYXNz",
    "postgres://u:p1@h/x",
    "://",
    "@",
    "u:p",
    "eyJhbGciOiJSUzI1NiJ9.",
    "eyJzdWIiOiJ4In0.",
    "c2lnbmF0dXJl",
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "-----BEGIN PRIVATE KEY-----",
    "-----END PRIVATE KEY-----",
    "MIIEvQIBADANBgkqhkiG9w0B",
    "\u{1b}[36m",
    "\u{1b}[0m",
    "- ",
    "é",
    "\u{200b}",
    "😀",
    "login u password x",
    "-u a:b",
    "cookie: ",
    "user=u",
    "login",
    "**",
];

#[test]
fn redacting_twice_is_redacting_once() {
    let mut seed = 7;
    for round in 0..5_000 {
        let len = 1 + random(&mut seed, 12);
        let input: String = (0..len).map(|_| FRAGMENTS[random(&mut seed, FRAGMENTS.len())]).collect();
        let mut redactor = Redactor::default();
        let once = redactor.text(&input).into_owned();
        assert_eq!(redactor.text(&once), once, "same redactor, round {round}: {input:?}");
        let mut once = json!({"a": input.clone(), "password": input.clone(), "args": [input.clone(), input.clone()], "dsn": input.clone(), "auth": input.clone()});
        redactor.object(&mut once);
        let mut twice = once.clone();
        redactor.object(&mut twice);
        assert_eq!(twice, once, "object, round {round}: {input:?}");
    }
}

/// A few KiB of aliases can stand for gigabytes: such a text is redacted whole, and never expanded.
#[test]
fn a_secret_with_aliases_is_not_expanded() {
    let ones = vec!["1"; 5000].join(",");
    let aliases = vec!["*a"; 5000].join(",");
    for text in [
        format!("kind: Secret\na: &a [{ones}]\nb: [{aliases}]\n"),
        format!("kind: Secret\na: &a {{x: [{ones}]}}\nb:\n- *a\n"),
        format!("---\nkind: Secret\ndata: {{<<: *a, c: [{aliases}]}}\n"),
    ] {
        let mut object = serde_json::json!({"kind": "ConfigMap", "data": {"bomb": text}});
        let begun = std::time::Instant::now();
        Redactor::default().object(&mut object);
        assert_eq!(object["data"]["bomb"], "[redacted#1]");
        assert!(begun.elapsed().as_secs() < 2, "{:?}", begun.elapsed());
    }
}

#[test]
fn time_grows_with_the_length_only() {
    let hostile = [
        "token=",
        "a://b:AKIAIOSFODNN7EXAMPLE",
        "eyJaaaaaaaaaa",
        "password=\"",
        "-----BEGIN PRIVATE KEY-----\n",
        "-----END PRIVATE KEY-----\n",
        "--token ",
        "{{token=",
        "name: token ",
        "password: |\n",
        "secret=[",
        "auth=[",
        "token=[1,",
        "token=/a",
        "Bearer ",
        "\\",
        "token=(",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
        "auth: ",
        "dsn=",
        "{\"a\":",
        "[",
        "password='",
        "token=a,",
        " ",
        "<token>",
        "login ",
        "://a:",
        "--token\n",
        "<password>",
        "key: password, ",
        "name: token value: x\n",
        "AKIAIOSFODNN7EXAMPLE ",
    ];
    for unit in hostile {
        let time = |len: usize| {
            let input = unit.repeat(len / unit.len());
            let mut best = std::time::Duration::MAX;
            for _ in 0..2 {
                let start = std::time::Instant::now();
                let mut value = json!({ "a": input });
                Redactor::default().object(&mut value);
                best = best.min(start.elapsed());
            }
            best
        };
        let (short, long) = (time(5_000), time(40_000));
        assert!(
            long < short * 30 + std::time::Duration::from_millis(50),
            "{unit:?}: {short:?} for 5 kB, {long:?} for 40 kB"
        );
    }
}
