//! Watches `McpEndpoint`s and the ConfigMaps they name, in the release's namespace, and keeps the [`Catalog`] and the
//! objects' status true. It has its own client to the management cluster, bounded by RBAC; no call of an agent ever
//! uses it.
//!
//! The Catalog is a pure function of the objects: every event compiles them all anew and swaps the result in whole.

mod client;
mod status;
mod writer;

pub use client::{ClientError, Management, client};

use crate::{
    api::McpEndpoint,
    endpoint::{Catalog, Compiled, LiveCatalog, Problem, Reason, References, Settings, compile},
    metrics::Metrics,
};
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, Resource, ResourceExt as _,
    core::DeserializeGuard,
    runtime::{
        WatchStreamExt as _, reflector,
        reflector::Store,
        watcher::{self, watcher},
    },
};
use serde::de::DeserializeOwned;
use std::{collections::BTreeMap, fmt::Debug, hash::Hash, pin::pin, sync::Arc};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

type Endpoints = Store<DeserializeGuard<McpEndpoint>>;
type ConfigMaps = Store<DeserializeGuard<ConfigMap>>;

/// Why the controller ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A watch stream ended, which it never does by itself.
    #[error("the watch of {0} ended")]
    WatchEnded(&'static str),
}

/// The controller.
pub struct Controller {
    /// Client to the management cluster.
    pub client: Client,
    /// The namespace that is served.
    pub namespace: String,
    /// What all endpoints share.
    pub settings: Settings,
    /// Where the Catalog goes.
    pub live: LiveCatalog,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Controller {
    /// Runs until `stop`. `ready` is called once, when the first Catalog is in place.
    ///
    /// # Errors
    /// Where a watch ends for good; losing the API server is not that: it is retried, and said in the log.
    pub async fn run(self, ready: impl FnOnce(), stop: CancellationToken) -> Result<(), Error> {
        let (endpoints, endpoint_events) = watched::<McpEndpoint>(&self.client, &self.namespace, "McpEndpoints");
        let (config_maps, config_map_events) = watched::<ConfigMap>(&self.client, &self.namespace, "ConfigMaps");
        let (statuses, newest) = watch::channel(Vec::new());
        let writer = writer::run(self.client.clone(), self.namespace.clone(), newest);
        let mut writer = pin!(writer);
        let mut endpoint_events = pin!(endpoint_events);
        let mut config_map_events = pin!(config_map_events);
        let (mut listed, mut ready) = ((false, false), Some(ready));
        loop {
            let changed = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = &mut writer => return Err(Error::WatchEnded("status")),
                event = endpoint_events.next() => {
                    let event = event.ok_or(Error::WatchEnded("McpEndpoints"))?;
                    listed.0 |= event == Change::Listed;
                    event
                }
                event = config_map_events.next() => {
                    let event = event.ok_or(Error::WatchEnded("ConfigMaps"))?;
                    listed.1 |= event == Change::Listed;
                    event
                }
            };
            if changed == Change::Nothing || listed != (true, true) {
                continue;
            }
            statuses.send_replace(self.rebuild(&endpoints, &config_maps));
            if let Some(ready) = ready.take() {
                ready();
            }
        }
    }

    /// Compiles every object and swaps the Catalog; gives what the objects' statuses should say.
    fn rebuild(&self, endpoints: &Endpoints, config_maps: &ConfigMaps) -> Vec<status::Verdict> {
        let references = references(config_maps);
        let mut catalog = Catalog::default();
        let mut verdicts = Vec::new();
        for object in endpoints.state() {
            match &object.0 {
                Ok(object) => {
                    let Compiled { endpoint, problems, url } = compile(object, &references, &self.settings);
                    verdicts.push(status::Verdict::of(object, endpoint.as_ref(), &problems, &url));
                    if let Some(endpoint) = endpoint {
                        catalog.endpoints.insert(endpoint.name.clone(), Arc::new(endpoint));
                    }
                }
                // Nothing older is kept: what cannot be read is not served.
                Err(invalid) => verdicts.push(status::Verdict::unreadable(invalid)),
            }
        }
        let changed = **self.live.load() != catalog;
        let counts: Vec<(&str, usize)> = [Reason::Invalid, Reason::NotFound, Reason::NotYetSupported]
            .map(|reason| (reason.as_str(), verdicts.iter().map(|v| v.count(reason)).sum()))
            .into();
        self.metrics.catalog(catalog.endpoints.len(), &counts, changed);
        if changed {
            tracing::info!(endpoints = catalog.endpoints.len(), "the catalog changed");
            self.live.store(Arc::new(catalog));
        }
        verdicts
    }
}

/// What an event of a watch means for the Catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Nothing,
    /// The whole list is known.
    Listed,
    One,
}

/// A local copy of all objects of a kind, and a stream that keeps it true. Errors are logged and retried with backoff.
fn watched<K>(
    client: &Client,
    namespace: &str,
    what: &'static str,
) -> (Store<DeserializeGuard<K>>, impl Stream<Item = Change> + use<K>)
where
    K: Resource<Scope = kube::core::NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Default + Eq + Hash + Clone,
{
    let (store, writer) = reflector::store();
    let api: Api<DeserializeGuard<K>> = Api::namespaced(client.clone(), namespace);
    let stream =
        reflector(writer, watcher(api, watcher::Config::default())).default_backoff().map(move |event| match event {
            Ok(watcher::Event::InitDone) => Change::Listed,
            Ok(watcher::Event::Apply(_) | watcher::Event::Delete(_)) => Change::One,
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => Change::Nothing,
            Err(error) => {
                tracing::warn!(why = client::explain_watch(&error), "{what} cannot be watched; trying again");
                Change::Nothing
            }
        });
    (store, stream)
}

fn references(config_maps: &ConfigMaps) -> References {
    let mut values = BTreeMap::new();
    for object in config_maps.state() {
        let Ok(config_map) = &object.0 else { continue };
        for (key, value) in config_map.data.iter().flatten() {
            values.insert((config_map.name_any(), key.clone()), value.clone());
        }
    }
    References { config_maps: values, complete: true }
}

/// How many problems of each reason.
fn count(problems: &[Problem], reason: Reason) -> usize {
    problems.iter().filter(|p| p.reason == reason).count()
}
