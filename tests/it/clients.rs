//! MCP clients that nobody here wrote, installed by `make clients`: each lists the tools and calls one.

use crate::support::{
    cluster::{run_dir, shared},
    mcp::{BOTH, Era},
    scene::{Scene, make_config_map, make_namespace},
    spec::{cluster, jwt, listed, rule, spec},
};
use serde_json::{Value, json};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

const TOOLS: [&str; 3] = ["cluster_list", "resource_list", "resource_get"];

/// A file that an installed client has.
fn installed(file: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(file);
    assert!(file.exists(), "no {}: run `make clients` (half a minute, once)", file.display());
    file
}

/// An endpoint with one ConfigMap to see, and an agent of it.
struct Stage {
    scene: Scene,
    url: String,
    token: String,
    /// Of a call that has an answer, with both of the arguments that are mirrored into headers.
    arguments: Value,
}

impl Stage {
    async fn set(name: &str) -> Self {
        let scene = Scene::new(name).await;
        let namespace = format!("{}-a", scene.namespace);
        make_namespace(&scene.admin, &namespace).await;
        make_config_map(&scene.admin, &namespace, "settings", json!({"color": "blue"})).await;
        let rule = rule("one", "corp", &["east"], &["inspect"], listed(&[&namespace]));
        scene.apply(&spec(&[jwt("corp", &shared().idp)], &[cluster(&shared().east, &["corp"])], &[rule])).await;
        let (token, _) = scene.user(&shared().idp, "ann");
        let url = scene.agent(&token).url;
        Self {
            scene,
            url,
            token,
            arguments: json!({"resource": "configmaps", "labelSelector": "app=it", "cluster": "east", "namespace": namespace}),
        }
    }

    /// Runs a client with nothing of this process's environment but the PATH, for a minute at most.
    fn run(&self, program: &Path, arguments: &[&str]) -> Output {
        let home = run_dir().join(format!("home-{}", self.scene.namespace));
        fs::create_dir_all(&home).unwrap();
        let path = format!("{}:{}", installed("node_modules/.bin").display(), env::var("PATH").unwrap());
        let mut command = Command::new("timeout");
        command.arg("60").arg(program).args(arguments).env_clear();
        command.env("PATH", path).env("HOME", home).env("URL", &self.url).env("TOKEN", &self.token);
        command.output().unwrap()
    }

    /// The answer to the call, as an agent gets it.
    fn check_text(&self, text: &str) {
        let first = format!("configmaps {} @east: 1\n", self.arguments["namespace"].as_str().unwrap());
        assert!(text.starts_with(&first) && text.contains("\nsettings\t"), "{text}");
    }

    /// What one of the SDKs reports, which all of them have to.
    fn sdk(&self, program: &str, script: &str, mode: &str) -> Value {
        let script = installed(script).display().to_string();
        let arguments = self.arguments.to_string();
        let output = self.run(&installed(program), &[&script, mode, "resource_list", &arguments]);
        let report = read(&output);
        println!("{} {mode}: {}", report["client"], report["protocol"]);
        assert_eq!(report["tools"], json!(TOOLS), "{report}");
        assert_eq!(report["server"]["name"], "k-mcp", "{report}");
        assert!(report["instructions"].as_str().unwrap().contains("east"), "{report}");
        self.check_text(report["text"].as_str().unwrap());
        assert!(report["error"].as_str().unwrap().starts_with("arguments: \"zzz\" is unknown"), "{report}");
        assert_eq!(report["unknownTool"]["code"], -32602, "{report}");
        report
    }

    /// In the legacy era nothing of the arguments is in the headers.
    fn check_legacy(report: &Value) {
        assert_eq!(report["protocol"], "2025-11-25", "{report}");
        assert_eq!(report["sent"], json!({"mcp-protocol-version": "2025-11-25"}), "{report}");
    }

    /// In the newest one gateways can route by headers, and a header that says another thing than the body is refused.
    fn check_modern(&self, report: &Value) {
        assert_eq!(report["protocol"], "2026-07-28", "{report}");
        let sent = json!({
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tools/call",
            "mcp-name": "resource_list",
            "mcp-param-cluster": self.arguments["cluster"],
            "mcp-param-namespace": self.arguments["namespace"],
        });
        assert_eq!(report["sent"], sent, "{report}");
        assert_eq!(report["mismatch"]["code"], -32020, "{report}");
        let calls = self.scene.kmcp.audit().into_iter().filter(|line| line["tool"] == "resource_list").count();
        assert_eq!(calls, 2, "the good one and the bad one, and not the refused one: {}", self.scene.kmcp.text());
    }
}

/// Standard output of a client that has succeeded.
fn read(output: &Output) -> Value {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}\n{err}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inspector_lists_tools_and_calls_one_in_strict_mode() {
    let stage = Stage::set("inspector").await;
    let header = format!("Authorization: Bearer {}", stage.token);
    let inspector = installed("node_modules/.bin/mcp-inspector");
    for era in BOTH {
        let era = if era == Era::Legacy { "legacy" } else { "modern" };
        let ask = |more: &[&str]| {
            let server = ["--cli", &stage.url, "--transport", "http", "--header", &header, "--stored-auth-only"];
            stage.run(&inspector, &[&server[..], &["--protocol-era", era, "--format", "json"], more].concat())
        };
        let output = ask(&["--method", "tools/list", "--strict"]);
        let listed = read(&output);
        let tools = listed["result"]["tools"].as_array().unwrap().iter();
        assert_eq!(tools.map(|tool| tool["name"].as_str().unwrap()).collect::<Vec<_>>(), TOOLS, "{era}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{era}: it finds something to improve");

        let arguments = stage.arguments.to_string();
        let call = ["--method", "tools/call", "--tool-name", "resource_list", "--tool-args-json"];
        let called = read(&ask(&[&call[..], &[&arguments]].concat()));
        assert_eq!(called["result"]["isError"], false, "{era}: {called}");
        stage.check_text(called["result"]["content"][0]["text"].as_str().unwrap());

        let output = ask(&[&call[..], &[r#"{"resource": "secrets"}"#]].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("secrets are never available through k-mcp"), "{era}: {text}");
        assert!(!output.status.success(), "{era}: an error is taken for an answer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_typescript_sdk_works() {
    let stage = Stage::set("ts-v1").await;
    Stage::check_legacy(&stage.sdk("node_modules/.bin/node", "sdk.mjs", "v1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_typescript_sdk_works_in_the_legacy_era() {
    let stage = Stage::set("ts-legacy").await;
    Stage::check_legacy(&stage.sdk("node_modules/.bin/node", "sdk.mjs", "legacy"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_typescript_sdk_negotiates_2026_07_28() {
    let stage = Stage::set("ts-auto").await;
    stage.check_modern(&stage.sdk("node_modules/.bin/node", "sdk.mjs", "auto"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_sdk_works_in_the_legacy_era() {
    let stage = Stage::set("py-legacy").await;
    Stage::check_legacy(&stage.sdk(".venv/bin/python", "sdk.py", "legacy"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_sdk_negotiates_2026_07_28() {
    let stage = Stage::set("py-auto").await;
    stage.check_modern(&stage.sdk(".venv/bin/python", "sdk.py", "auto"));
}
