//! Writes statuses: only what changed, the newest verdict first, and again later where a write fails.

use super::status::Verdict;
use crate::api::McpEndpoint;
use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;
use std::time::Duration;
use tokio::sync::watch;

/// As whom status fields are owned.
const FIELD_MANAGER: &str = "k-mcp-controller";
/// How soon a failed write is tried again, unless a newer verdict comes first.
const RETRY: Duration = Duration::from_secs(5);

/// Runs until the verdicts end. A failed write holds up nothing but itself: agents are served from the Catalog.
pub(super) async fn run(client: Client, namespace: String, mut verdicts: watch::Receiver<Vec<Verdict>>) {
    let api: Api<McpEndpoint> = Api::namespaced(client, &namespace);
    let mut failed = false;
    loop {
        let changed = if failed {
            tokio::time::timeout(RETRY, verdicts.changed()).await.unwrap_or(Ok(()))
        } else {
            verdicts.changed().await
        };
        if changed.is_err() {
            return;
        }
        failed = false;
        let newest: Vec<Verdict> = verdicts.borrow_and_update().clone();
        for verdict in &newest {
            failed |= !write(&api, verdict).await;
        }
    }
}

/// Writes one status, if it is to change. `false` where it should be tried again.
async fn write(api: &Api<McpEndpoint>, verdict: &Verdict) -> bool {
    let Some(status) = verdict.status(Timestamp::now()) else { return true };
    let patch = json!({
        "apiVersion": "k-mcp.dev/v1alpha1",
        "kind": "McpEndpoint",
        "metadata": {"name": verdict.name},
        "status": status,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    match api.patch_status(&verdict.name, &params, &Patch::Apply(&patch)).await {
        Ok(_) => true,
        Err(kube::Error::Api(status)) if status.code == 404 => true, // deleted meanwhile
        Err(kube::Error::Api(status)) => {
            tracing::warn!(endpoint = verdict.name, code = status.code, "a status could not be written");
            false
        }
        Err(_) => {
            tracing::warn!(endpoint = verdict.name, "a status could not be written: the API server does not answer");
            false
        }
    }
}
