//! What a test has for itself: a namespace, a k-mcp with the rights of the chart, its endpoint, users.

use super::{
    SOON,
    cluster::{self, CLUSTER_AUDIENCE, Cluster, Issuer, MIGHTY, api_of, apply, service_account_token},
    eventually,
    kmcp::{Kmcp, Options, PUBLIC_URL},
    mcp::{self, Agent},
};
use kube::Client;
use serde_json::{Value, json};
use std::{
    fs,
    sync::atomic::{AtomicU32, Ordering},
};

/// Name of the endpoint that most tests have.
pub const ENDPOINT: &str = "it";

pub struct Scene {
    /// The namespace that k-mcp serves; unique, and a good prefix for others.
    pub namespace: String,
    /// May do everything in the management cluster.
    pub admin: Client,
    pub kmcp: Kmcp,
}

impl Scene {
    /// On the shared clusters; `east` is the management cluster.
    pub async fn new(name: &str) -> Self {
        Self::on(&cluster::shared().east, name).await
    }

    /// With a management cluster of its own.
    pub async fn on(management: &Cluster, name: &str) -> Self {
        let scene = Self::unready(management, name).await;
        scene.ready().await;
        scene
    }

    /// Does not wait until k-mcp is ready.
    pub async fn unready(management: &Cluster, name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let namespace = format!("{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let admin = management.admin().await;
        make_namespace(&admin, &namespace).await;
        let options = Options {
            token_file: own_token(&admin, &namespace).await,
            server: management.url(),
            ca_file: management.ca_file(),
            more: Vec::new(),
            namespace: namespace.clone(),
        };
        Self { kmcp: Kmcp::start(&options), namespace, admin }
    }

    pub async fn ready(&self) {
        let url = format!("{}/readyz", self.kmcp.admin);
        eventually("ready", SOON, async || (mcp::get(&url).await.status == 200).then_some(())).await;
    }

    /// The endpoint's default audience: its URL.
    #[allow(clippy::unused_self, reason = "it reads as what it is: a property of this scene's endpoint")]
    pub fn audience(&self) -> String {
        format!("{PUBLIC_URL}/mcp/{ENDPOINT}")
    }

    pub fn endpoint(&self, spec: &Value) -> Value {
        json!({"apiVersion": "k-mcp.dev/v1alpha1", "kind": "McpEndpoint",
               "metadata": {"name": ENDPOINT, "namespace": self.namespace}, "spec": spec})
    }

    /// Applies the endpoint and waits until its status is about it; gives the status.
    pub async fn apply(&self, spec: &Value) -> Value {
        let endpoint = self.endpoint(spec);
        let generation = apply(&self.admin, &endpoint).await.metadata.generation;
        let api = api_of(&self.admin, &endpoint);
        eventually("the status is about the newest generation", SOON, async || {
            let status = api.get(ENDPOINT).await.unwrap().data["status"].clone();
            (status["observedGeneration"].as_i64() == generation).then_some(status)
        })
        .await
    }

    /// An agent at the endpoint.
    pub fn agent(&self, token: &str) -> Agent {
        Agent::new(format!("{}/mcp/{ENDPOINT}", self.kmcp.url), token)
    }

    /// A user of an issuer, cluster-admin in every cluster that trusts it: a token, and the name that audit logs have.
    pub fn user(&self, issuer: &Issuer, name: &str) -> (String, String) {
        let sub = format!("{name}-{}", self.namespace);
        let audience = self.audience();
        let token = issuer.token(&["--sub", &sub, "--groups", MIGHTY, "--aud", &audience, "--aud", CLUSTER_AUDIENCE]);
        (token, format!("oidc:{sub}"))
    }
}

pub async fn make_namespace(client: &Client, name: &str) {
    apply(client, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})).await;
}

/// A ServiceAccount that is cluster-admin.
pub async fn make_mighty_account(client: &Client, namespace: &str, name: &str) {
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}});
    apply(client, &account).await;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": format!("{namespace}-{name}")},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": name}],
    });
    apply(client, &binding).await;
}

pub async fn make_config_map(client: &Client, namespace: &str, name: &str, data: Value) {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap",
                        "metadata": {"name": name, "namespace": namespace, "labels": {"app": "it"}}, "data": data});
    apply(client, &object).await;
}

/// A ServiceAccount with the rights that the chart gives, and a file with its token.
async fn own_token(client: &Client, namespace: &str) -> std::path::PathBuf {
    let meta = json!({"name": "k-mcp", "namespace": namespace});
    apply(client, &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})).await;
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta, "rules": [
        {"apiGroups": ["k-mcp.dev"], "resources": ["mcpendpoints"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["k-mcp.dev"], "resources": ["mcpendpoints/status"], "verbs": ["patch"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]},
    ]});
    apply(client, &role).await;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": meta,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "k-mcp"},
        "subjects": [{"kind": "ServiceAccount", "name": "k-mcp", "namespace": namespace}],
    });
    apply(client, &binding).await;
    let token = service_account_token(client, namespace, "k-mcp", &[]).await;
    let file = cluster::run_dir().join(format!("token-{namespace}"));
    fs::write(&file, token).unwrap();
    file
}
