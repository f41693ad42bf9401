//! A Grant's way to one cluster for one tool.

use super::{
    Clusters, Discovery, Failure, Resource, Unknown, credential,
    guard::{self, Purpose},
    pool::Lane,
    request::{self, Accept},
};
use crate::endpoint::{Cluster, Denied, Grant, NamespaceScope, Scope, Tool};
use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use tokio::time::Instant;

/// A Grant's way to one cluster for one tool. Every request made through it passes the guard.
#[derive(Clone)]
pub struct Handle {
    clusters: Clusters,
    grant: Arc<Grant>,
    tool: Tool,
    cluster: Arc<Cluster>,
    deadline: Instant,
}

/// What a list is narrowed by. Values go to the API server as they are; [`crate::tools`] has checked their grammar.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// Label selector.
    pub label_selector: Option<String>,
    /// Field selector.
    pub field_selector: Option<String>,
    /// Objects at most, 1 to 1000.
    pub limit: Option<u32>,
    /// Where an earlier list stopped, as the API server said it.
    pub continue_token: Option<String>,
    /// Whether each row carries its object's metadata: for the namespace column of a list over several.
    pub row_metadata: bool,
}

impl ListQuery {
    fn pairs(self) -> Vec<(&'static str, String)> {
        let Self { label_selector, field_selector, limit, continue_token, row_metadata } = self;
        let include = if row_metadata { "Metadata" } else { "None" };
        [
            ("labelSelector", label_selector),
            ("fieldSelector", field_selector),
            ("limit", limit.map(|n| n.to_string())),
            ("continue", continue_token),
            ("includeObject", Some(include.to_owned())),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
    }
}

impl Handle {
    pub(super) fn new(
        clusters: Clusters,
        grant: Arc<Grant>,
        tool: Tool,
        cluster: Arc<Cluster>,
        deadline: Instant,
    ) -> Self {
        Self { clusters, grant, tool, cluster, deadline }
    }

    /// Name of the cluster.
    pub fn cluster(&self) -> &str {
        &self.cluster.name
    }

    /// The namespaces that this handle reaches.
    pub fn namespaces(&self) -> &NamespaceScope {
        static NOTHING: NamespaceScope = NamespaceScope::Listed(std::collections::BTreeSet::new());
        self.scope().map_or(&NOTHING, |scope| &scope.namespaces)
    }

    /// Whether this handle reaches kinds without a namespace.
    pub fn reaches_cluster_scoped(&self) -> bool {
        self.scope().is_some_and(|scope| scope.cluster_scoped)
    }

    fn scope(&self) -> Option<&Scope> {
        self.grant.scope(self.tool, &self.cluster.name)
    }

    /// What the cluster serves, shared by all who ask; at most 10 minutes old.
    ///
    /// # Errors
    /// Where the cluster does not answer.
    pub async fn discovery(&self) -> Result<Arc<Discovery>, Failure> {
        self.clusters.discovery.get(&self.cluster.upstream, || self.discover()).await
    }

    /// Finds a kind by any of its names. A name that is not found is looked up once more in a fresh discovery, at
    /// most every 10 seconds per cluster.
    ///
    /// # Errors
    /// [`Failure`] where the cluster does not answer; [`Unknown`], inside, where it serves no such kind.
    pub async fn resolve(&self, written: &str) -> Result<Result<Resource, Unknown>, Failure> {
        match self.discovery().await?.resolve(written) {
            Ok(resource) => Ok(Ok(resource.clone())),
            Err(unknown) => match self.clusters.discovery.refresh(&self.cluster.upstream, || self.discover()).await? {
                Some(fresh) => Ok(fresh.resolve(written).cloned()),
                None => Ok(Err(unknown)),
            },
        }
    }

    async fn discover(&self) -> Result<Discovery, Failure> {
        let (core, groups) =
            tokio::try_join!(self.root("api", Accept::Discovery), self.root("apis", Accept::Discovery))?;
        Discovery::read(&[&core, &groups])
    }

    /// The cluster's version, such as `v1.37.2`.
    ///
    /// # Errors
    /// Where the cluster does not answer.
    pub async fn version(&self) -> Result<String, Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Version {
            git_version: String,
        }
        let body = self.root("version", Accept::Json).await?;
        let Version { git_version } = serde_json::from_slice(&body).map_err(|_| Failure::Garbled("no version"))?;
        Ok(git_version)
    }

    /// One object.
    ///
    /// # Errors
    /// Where the Grant, the cluster or the network says no.
    pub async fn get(&self, resource: &Resource, namespace: Option<&str>, name: &str) -> Result<Value, Failure> {
        let body = self.read(resource, namespace, Some(name), &[], Accept::Json).await?;
        serde_json::from_slice(&body).map_err(|_| Failure::Garbled("no JSON object"))
    }

    /// A list as the server's own Table; `namespace` none for every namespace, or for a kind without one.
    ///
    /// # Errors
    /// Where the Grant, the cluster or the network says no.
    pub async fn table(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        mut query: ListQuery,
    ) -> Result<Value, Failure> {
        // Discovery is some minutes old: a kind that had no namespace may have one by now, and its list would be one of
        // every namespace.
        let doubtful = !resource.namespaced && *self.namespaces() != NamespaceScope::All;
        query.row_metadata |= doubtful;
        let body = self.read(resource, namespace, None, &query.pairs(), Accept::Table).await?;
        let table: Value = serde_json::from_slice(&body).map_err(|_| Failure::Garbled("no JSON object"))?;
        let rows = table.get("rows").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if doubtful && rows.iter().any(|row| row.pointer("/object/metadata/namespace").is_some()) {
            self.clusters.discovery.forget(&self.cluster.upstream).await;
            return Err(Failure::Denied(Denied::AllNamespaces));
        }
        Ok(table)
    }

    async fn root(&self, document: &'static str, accept: Accept) -> Result<Bytes, Failure> {
        self.send(&[document], &[], accept, Purpose::Root).await
    }

    async fn read(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: Option<&str>,
        query: &[(&'static str, String)],
        accept: Accept,
    ) -> Result<Bytes, Failure> {
        let mut path: Vec<&str> = if resource.group.is_empty() { vec!["api"] } else { vec!["apis", &resource.group] };
        path.push(&resource.version);
        if let Some(namespace) = namespace {
            path.extend(["namespaces", namespace]);
        }
        path.push(&resource.plural);
        path.extend(name);
        self.send(&path, query, accept, Purpose::Read(resource)).await
    }

    async fn send(
        &self,
        path: &[&str],
        query: &[(&'static str, String)],
        accept: Accept,
        purpose: Purpose<'_>,
    ) -> Result<Bytes, Failure> {
        let upstream = &self.cluster.upstream;
        let request = request::get(upstream, path, query, accept).map_err(|_| Failure::Guard("URL"))?;
        let (mut parts, body) = request.into_parts();
        let prefix = upstream.server.path().trim_end_matches('/');
        guard::check(&self.grant, self.tool, &self.cluster.name, prefix, purpose, &parts)?;
        credential::attach(&mut parts.headers, &self.cluster, self.grant.caller())?;
        let request = http::Request::from_parts(parts, body);
        self.clusters.pool.send(&self.cluster, Lane::Calls, request, self.deadline).await
    }
}
