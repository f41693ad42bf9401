//! Real API servers and a real OpenID issuer, by tests/cluster. They end with this process, however it ends.

use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{
    Api, Client, Config,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;
use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{LazyLock, Mutex, OnceLock},
    thread,
    time::{Duration, Instant},
};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/cluster");
const BINARY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/bin/tc");
const CRDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/crds");

/// Everyone of this group is cluster-admin in every cluster, so that only k-mcp stands between its members and what
/// the tests must not reach.
pub const MIGHTY: &str = "mighty";
/// The audience that every cluster accepts of the issuer that it trusts.
pub const CLUSTER_AUDIENCE: &str = "tc";

/// State of this run; that of runs whose process has ended is removed.
static RUN: LazyLock<PathBuf> = LazyLock::new(|| {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for old in fs::read_dir(all).into_iter().flatten().flatten() {
        let pid = old.file_name().to_string_lossy().strip_prefix("it-").map(str::to_owned);
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir_all(old.path());
        }
    }
    let run = all.join(format!("it-{}", std::process::id()));
    fs::create_dir_all(&run).unwrap();
    run
});

/// A folder of this run.
pub fn run_dir() -> &'static Path {
    &RUN
}

fn script(arguments: &[&str]) -> Command {
    let mut command = Command::new(SCRIPT);
    command.args(arguments).env("TC_RUN", &*RUN).stdin(Stdio::null());
    command
}

/// Runs tests/cluster/cluster. Its output goes through a file: what it leaves running would keep a pipe open.
fn run(arguments: &[&str]) -> Result<String, String> {
    static COUNT: Mutex<u32> = Mutex::new(0);
    if !Path::new(BINARY).exists() {
        return Err("tests/cluster/bin/tc is missing: run `make cluster` (5 to 20 minutes, once)".to_owned());
    }
    let number = {
        let mut count = COUNT.lock().unwrap();
        *count += 1;
        *count
    };
    let path = RUN.join(format!("out-{number}"));
    let file = fs::File::create(&path).map_err(|e| e.to_string())?;
    let status = script(arguments)
        .stdout(file.try_clone().map_err(|e| e.to_string())?)
        .stderr(file)
        .status()
        .map_err(|e| format!("{SCRIPT}: {e}"))?;
    let text = fs::read_to_string(&path).unwrap_or_default();
    let _ = fs::remove_file(&path);
    if status.success() { Ok(text) } else { Err(format!("cluster {}: {text}", arguments.join(" "))) }
}

/// Like [`run`], for what has to work.
fn must(arguments: &[&str]) -> String {
    run(arguments).unwrap_or_else(|why| panic!("{why}"))
}

/// What all tests of a run share.
pub struct Shared {
    /// The management cluster, with the CRD, and a member.
    pub east: Cluster,
    /// Another member.
    pub west: Cluster,
    /// Trusted by both.
    pub idp: Issuer,
}

/// Starts two clusters and their issuer, once.
pub fn shared() -> &'static Shared {
    static SHARED: OnceLock<Result<Shared, String>> = OnceLock::new();
    let start = || {
        run(&["list"])?;
        let idp = Issuer::start("idp");
        let (east, west) = thread::scope(|scope| {
            let east = scope.spawn(|| {
                let east = Cluster::start("east", Some(&idp))?;
                east.install_crd()?;
                Ok::<_, String>(east)
            });
            let west = Cluster::start("west", Some(&idp));
            (east.join().unwrap(), west)
        });
        Ok(Shared { east: east?, west: west?, idp })
    };
    SHARED.get_or_init(start).as_ref().unwrap_or_else(|why| panic!("{why}"))
}

/// One API server with its etcd.
#[derive(Debug, Clone)]
pub struct Cluster {
    pub name: String,
    dir: PathBuf,
}

impl Cluster {
    /// Starts a control plane that trusts an issuer, whose group [`MIGHTY`] may do everything.
    pub fn start(name: &str, issuer: Option<&Issuer>) -> Result<Self, String> {
        let owner = std::process::id().to_string();
        let auth = issuer.map(|issuer| issuer.path("authentication.yaml"));
        let mut arguments = vec!["up", "bare", name, "--owner", &owner];
        if let Some(auth) = &auth {
            arguments.extend(["--auth", auth]);
        }
        run(&arguments)?;
        let cluster = Self { name: name.to_owned(), dir: RUN.join(name) };
        let group = format!("--group=oidc:{MIGHTY}");
        cluster.kubectl(&["create", "clusterrolebinding", MIGHTY, "--clusterrole=cluster-admin", &group])?;
        Ok(cluster)
    }

    /// Installs the CRD and waits for it; what the API server warns of is an error.
    pub fn install_crd(&self) -> Result<(), String> {
        let said = self.kubectl(&["apply", "-f", CRDS])?;
        if said.contains("Warning") {
            return Err(format!("the API server warns of the CRD: {said}"));
        }
        self.kubectl(&["wait", "--for=condition=Established", "--timeout=20s", "crd/mcpendpoints.k-mcp.dev"])?;
        Ok(())
    }

    /// Standard output and standard error of kubectl.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        run(&[&["kubectl", &self.name], arguments].concat())
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(name)).unwrap_or_else(|e| panic!("{}: {name}: {e}", self.name))
    }

    pub fn url(&self) -> String {
        self.file("url").trim().to_owned()
    }

    pub fn ca(&self) -> String {
        self.file("pki/ca.crt")
    }

    pub fn ca_file(&self) -> PathBuf {
        self.dir.join("pki/ca.crt")
    }

    /// Issuer of its ServiceAccount tokens, which is also their audience.
    pub fn issuer(&self) -> String {
        format!("https://{}.tc.local", self.name)
    }

    /// A client that may do everything.
    pub async fn admin(&self) -> Client {
        super::kmcp::install_tls();
        let file = Kubeconfig::read_from(self.dir.join("admin.kubeconfig")).unwrap();
        Client::try_from(Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap()).unwrap()
    }

    pub fn freeze(&self) {
        must(&["freeze", &self.name, "kube-apiserver"]);
    }

    pub fn thaw(&self) {
        must(&["thaw", &self.name, "kube-apiserver"]);
    }

    pub fn kill(&self) {
        must(&["kill", &self.name, "kube-apiserver"]);
    }

    pub fn revive(&self) {
        must(&["revive", &self.name, "kube-apiserver"]);
    }

    /// What the API server has answered to a user, in order.
    pub fn audit(&self, user: &str) -> Vec<Audited> {
        self.file("log/audit.log")
            .lines()
            .filter(|line| line.contains(user))
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|event| event["stage"] == "ResponseComplete" && event["user"]["username"] == user)
            .map(|event| Audited::read(&event))
            .collect()
    }
}

/// A request as the API server's audit log has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Audited {
    /// `get /version`, `list configmaps a`, `get deployments.apps a/web`, `create selfsubjectreviews.authentication.k8s.io`.
    pub what: String,
    /// HTTP status of the answer.
    pub code: u64,
}

impl Audited {
    fn read(event: &Value) -> Self {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (resource, group, sub) =
            (text("/objectRef/resource"), text("/objectRef/apiGroup"), text("/objectRef/subresource"));
        let what = if resource.is_empty() {
            text("/requestURI")
        } else {
            let place = [text("/objectRef/namespace"), text("/objectRef/name")].join("/");
            let sub = if sub.is_empty() { sub } else { format!("/{sub}") };
            let group = if group.is_empty() { group } else { format!(".{group}") };
            format!("{resource}{sub}{group} {}", place.trim_matches('/')).trim_end().to_owned()
        };
        let code = event.pointer("/responseStatus/code").and_then(Value::as_u64).unwrap_or_default();
        Self { what: format!("{} {what}", text("/verb")), code }
    }
}

/// A client's Api of an object's kind, in its namespace.
pub fn api_of(client: &Client, object: &Value) -> Api<DynamicObject> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = text("/apiVersion").split_once('/').unwrap_or(("", text("/apiVersion")));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("/kind")));
    match text("/metadata/namespace") {
        "" => Api::all_with(client.clone(), &resource),
        namespace => Api::namespaced_with(client.clone(), namespace, &resource),
    }
}

/// Applies an object server-side.
pub async fn apply(client: &Client, object: &Value) -> DynamicObject {
    let name = object["metadata"]["name"].as_str().unwrap();
    let params = PatchParams::apply("it").force();
    let applied = api_of(client, object).patch(name, &params, &Patch::Apply(object)).await;
    applied.unwrap_or_else(|e| panic!("apply {object}: {e}"))
}

/// A token of a ServiceAccount, by TokenRequest; no audiences: the API server's own.
pub async fn service_account_token(client: &Client, namespace: &str, name: &str, audiences: &[&str]) -> String {
    let audiences = audiences.iter().map(|&a| a.to_owned()).collect();
    let request = TokenRequest {
        spec: TokenRequestSpec { audiences, expiration_seconds: Some(3600), ..TokenRequestSpec::default() },
        ..TokenRequest::default()
    };
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let issued = api.create_token_request(name, &PostParams::default(), &request).await.unwrap();
    issued.status.unwrap().token
}

/// An OpenID Connect issuer.
pub struct Issuer {
    dir: PathBuf,
    server: Mutex<Option<Child>>,
}

impl Issuer {
    /// A new one, serving.
    pub fn start(name: &str) -> Self {
        let issuer = Self { dir: RUN.join(name), server: Mutex::new(None) };
        issuer.oidc("init", &[]);
        issuer.serve();
        issuer
    }

    fn oidc(&self, command: &str, arguments: &[&str]) -> String {
        must(&[&["oidc", command, "--dir", &self.dir.display().to_string()], arguments].concat()).trim().to_owned()
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// Begins to answer, after [`Self::stop`] again at the same URL.
    pub fn serve(&self) {
        let owner = std::process::id().to_string();
        let dir = self.dir.display().to_string();
        let mut serve = script(&["oidc", "serve", "--dir", &dir, "--owner", &owner]);
        let child = serve.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        *self.server.lock().unwrap() = Some(child);
        let url = self.url();
        let address = url.trim_start_matches("https://").trim_end_matches('/');
        let end = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < end, "the issuer does not serve at {address}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Goes away, as in an outage.
    pub fn stop(&self) {
        if let Some(mut child) = self.server.lock().unwrap().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn url(&self) -> String {
        fs::read_to_string(self.dir.join("url")).unwrap().trim().to_owned()
    }

    pub fn ca(&self) -> String {
        fs::read_to_string(self.dir.join("ca.crt")).unwrap()
    }

    /// A token with the options of `cluster oidc token`.
    pub fn token(&self, options: &[&str]) -> String {
        self.oidc("token", options)
    }

    /// Signs with a new key from now on; `keep` old ones stay published.
    pub fn rotate(&self, keep: u32) {
        self.oidc("rotate", &["--keep", &keep.to_string()]);
    }

    /// How often a path has been fetched.
    pub fn fetched(&self, path: &str) -> usize {
        let log = fs::read_to_string(self.dir.join("access.log")).unwrap_or_default();
        log.lines().filter(|line| line.starts_with(&format!("GET {path} "))).count()
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.stop();
    }
}
