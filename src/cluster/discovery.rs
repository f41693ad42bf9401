//! What a cluster serves: by aggregated discovery (two requests), shared by all who ask the same server.
//!
//! A group whose aggregated API server is down is listed by the API server as stale; it hides none of the others.

use super::{Failure, pool};
use crate::endpoint::{Digest, Upstream};
use hyper::body::Bytes;
use kube::core::discovery::v2::{APIGroupDiscoveryList, APIResourceDiscovery};
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// How long a discovery is used.
const LIFETIME: Duration = Duration::from_mins(10);
/// How often a name that is not found may ask again.
const REFRESH: Duration = Duration::from_secs(10);
const CAPACITY: u64 = 512;
/// Suggestions for a near miss.
const SUGGESTIONS: usize = 4;

/// A kind that a cluster serves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resource {
    /// API group, empty for the core group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Kind, such as `Deployment`.
    pub kind: String,
    /// Plural name, as in paths.
    pub plural: String,
    /// Singular name.
    pub singular: String,
    /// Short names.
    pub short_names: Vec<String>,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
    /// Whether it can be listed.
    pub listable: bool,
}

impl Resource {
    /// As people write it: `pods`, `deployments.apps`.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    fn is_called(&self, name: &str) -> bool {
        self.plural == name
            || self.singular == name
            || self.short_names.iter().any(|short| short == name)
            || self.kind.eq_ignore_ascii_case(name)
    }
}

/// A name that no kind goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unknown;

/// Every kind that a cluster serves, by preference: core first, then as the server orders its groups and versions.
#[derive(Debug, Clone)]
pub struct Discovery {
    resources: Vec<Resource>,
    stale: Vec<String>,
    loaded: Instant,
}

impl Discovery {
    /// Reads the answers for `/api` and `/apis`.
    pub(super) fn read(documents: &[&Bytes]) -> Result<Self, Failure> {
        let mut resources = Vec::new();
        let mut stale = Vec::new();
        for document in documents {
            let list: APIGroupDiscoveryList =
                serde_json::from_slice(document).map_err(|_| Failure::Garbled("no aggregated discovery"))?;
            for group in list.items {
                let name = group.metadata.and_then(|m| m.name).unwrap_or_default();
                for version in group.versions {
                    let number = version.version.unwrap_or_default();
                    if version.freshness.as_deref() == Some("Stale") {
                        stale.push(format!("{name}/{number}"));
                    }
                    resources.extend(version.resources.into_iter().filter_map(|r| resource(&name, &number, r)));
                }
            }
        }
        if resources.is_empty() {
            return Err(Failure::Garbled("no aggregated discovery"));
        }
        Ok(Self { resources, stale, loaded: Instant::now() })
    }

    /// Group versions whose server did not answer the API server.
    pub fn stale(&self) -> &[String] {
        &self.stale
    }

    /// Finds a kind by kind, plural, singular or short name, also as `name.group` and `name.version.group`.
    ///
    /// # Errors
    /// Where there is none.
    pub fn resolve(&self, written: &str) -> Result<&Resource, Unknown> {
        let lower = written.to_ascii_lowercase();
        let (name, rest) = lower.split_once('.').map_or((lower.as_str(), None), |(name, rest)| (name, Some(rest)));
        let qualifies = |r: &Resource| match rest {
            None => true,
            Some(rest) => {
                rest == r.group
                    || (r.group.is_empty() && rest == r.version)
                    || rest.strip_prefix(&r.version).and_then(|g| g.strip_prefix('.')) == Some(r.group.as_str())
            }
        };
        self.resources.iter().find(|r| r.is_called(name) && qualifies(r)).ok_or(Unknown)
    }

    /// Names of kinds that are near a name and fit, the nearest first.
    pub fn near(&self, name: &str, fits: impl Fn(&Resource) -> bool) -> Vec<String> {
        let mut scored: Vec<(f64, String)> = Vec::new();
        for resource in self.resources.iter().filter(|r| r.listable && fits(r)) {
            let names = [resource.plural.as_str(), resource.singular.as_str()];
            let score = names
                .into_iter()
                .chain(resource.short_names.iter().map(String::as_str))
                .map(|candidate| strsim::jaro_winkler(name, candidate))
                .fold(0.0, f64::max);
            let qualified = resource.qualified();
            if score > 0.84 && !scored.iter().any(|(_, seen)| *seen == qualified) {
                scored.push((score, qualified));
            }
        }
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        scored.into_iter().take(SUGGESTIONS).map(|(_, name)| name).collect()
    }
}

fn resource(group: &str, version: &str, wire: APIResourceDiscovery) -> Option<Resource> {
    let APIResourceDiscovery { resource, response_kind, scope, singular_resource, verbs, short_names, .. } = wire;
    let plural = resource?;
    // What an aggregated server says of itself goes into paths and replies: names, or nothing.
    let name =
        |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.'));
    if plural.is_empty() || ![&plural, group, version].into_iter().all(name) {
        return None;
    }
    let kind = response_kind.and_then(|k| k.kind).unwrap_or_default();
    if !verbs.iter().any(|v| v == "get" || v == "list") {
        return None; // reviews, bindings: nothing to read
    }
    Some(Resource {
        group: group.to_owned(),
        version: version.to_owned(),
        singular: singular_resource.filter(|s| !s.is_empty() && name(s)).unwrap_or_else(|| kind.to_ascii_lowercase()),
        kind,
        plural,
        short_names: short_names.into_iter().filter(|s| name(s)).collect(),
        namespaced: scope.as_deref() == Some("Namespaced"),
        listable: verbs.iter().any(|v| v == "list"),
    })
}

/// Discoveries by server.
#[derive(Clone)]
pub(super) struct Cache(moka::future::Cache<Digest, Arc<Discovery>>);

impl Default for Cache {
    fn default() -> Self {
        Self(moka::future::Cache::builder().max_capacity(CAPACITY).time_to_live(LIFETIME).build())
    }
}

impl Cache {
    /// The discovery of a server; one request at a time, whoever waits for it. Its answer is shared, its failure is not:
    /// that may be due to the token or the deadline of whoever asked.
    pub async fn get<F, Fut>(&self, upstream: &Upstream, load: F) -> Result<Arc<Discovery>, Failure>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<Discovery, Failure>>,
    {
        let key = pool::key(upstream);
        let asked = AtomicBool::new(false);
        let own = async {
            asked.store(true, Ordering::Relaxed);
            load().await.map(Arc::new)
        };
        match self.0.try_get_with(key, own).await {
            Ok(discovery) => Ok(discovery),
            Err(failure) if asked.load(Ordering::Relaxed) => Err((*failure).clone()),
            Err(_) => {
                let discovery = Arc::new(load().await?);
                self.0.insert(key, discovery.clone()).await;
                Ok(discovery)
            }
        }
    }

    /// Asks anew next time.
    pub async fn forget(&self, upstream: &Upstream) {
        self.0.invalidate(&pool::key(upstream)).await;
    }

    /// A newer discovery, or `None` where the last one is too young to ask again.
    pub async fn refresh<F, Fut>(&self, upstream: &Upstream, load: F) -> Result<Option<Arc<Discovery>>, Failure>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<Discovery, Failure>>,
    {
        let key = pool::key(upstream);
        match self.0.get(&key).await {
            Some(known) if known.loaded.elapsed() < REFRESH => Ok(None),
            _ => {
                self.0.invalidate(&key).await;
                self.get(upstream, load).await.map(Some)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn entry(plural: &str, kind: &str, singular: &str, short: &[&str], verbs: &[&str]) -> Value {
        json!({"resource": plural, "responseKind": {"group": "", "version": "v1", "kind": kind}, "scope": "Namespaced",
               "singularResource": singular, "verbs": verbs, "shortNames": short})
    }

    fn discovery() -> Discovery {
        let read = ["get", "list"];
        let core = json!({"items": [{"metadata": {"name": ""}, "versions": [{"version": "v1", "freshness": "Current", "resources": [
            entry("pods", "Pod", "pod", &["po"], &read),
            entry("services", "Service", "service", &["svc"], &read),
            entry("events", "Event", "event", &["ev"], &read),
            entry("bindings", "Binding", "binding", &[], &["create"]),
        ]}]}]});
        let groups = json!({"items": [
            {"metadata": {"name": "apps"}, "versions": [{"version": "v1", "resources": [entry("deployments", "Deployment", "deployment", &["deploy"], &read)]}]},
            {"metadata": {"name": "autoscaling"}, "versions": [
                {"version": "v2", "resources": [entry("horizontalpodautoscalers", "HorizontalPodAutoscaler", "horizontalpodautoscaler", &["hpa"], &read)]},
                {"version": "v1", "resources": [entry("horizontalpodautoscalers", "HorizontalPodAutoscaler", "horizontalpodautoscaler", &["hpa"], &read)]},
            ]},
            {"metadata": {"name": "events.k8s.io"}, "versions": [{"version": "v1", "resources": [entry("events", "Event", "event", &["ev"], &read)]}]},
            {"metadata": {"name": "serving.knative.dev"}, "versions": [{"version": "v1", "resources": [entry("services", "Service", "service", &["kservice", "ksvc"], &read)]}]},
            {"metadata": {"name": "metrics.k8s.io"}, "versions": [{"version": "v1beta1", "freshness": "Stale"}]},
        ]});
        let bytes = |v: Value| Bytes::from(v.to_string());
        Discovery::read(&[&bytes(core), &bytes(groups)]).unwrap()
    }

    #[test]
    fn a_kind_is_found_by_each_of_its_names() {
        for (written, expected) in [
            ("pods", "/v1/pods"),
            ("Pod", "/v1/pods"),
            ("po", "/v1/pods"),
            ("PODS", "/v1/pods"),
            ("pods.v1", "/v1/pods"),
            ("deploy", "apps/v1/deployments"),
            ("deployments.apps", "apps/v1/deployments"),
            ("deployment.v1.apps", "apps/v1/deployments"),
            ("hpa", "autoscaling/v2/horizontalpodautoscalers"),
            ("hpa.v1.autoscaling", "autoscaling/v1/horizontalpodautoscalers"),
            ("service", "/v1/services"),
            ("service.serving.knative.dev", "serving.knative.dev/v1/services"),
            ("ksvc", "serving.knative.dev/v1/services"),
            ("events", "/v1/events"),
            ("events.events.k8s.io", "events.k8s.io/v1/events"),
        ] {
            let found = discovery();
            let r = found.resolve(written).unwrap();
            assert_eq!(format!("{}/{}/{}", r.group, r.version, r.plural), expected, "{written}");
        }
    }

    #[test]
    fn a_near_miss_gets_suggestions_and_nonsense_none() {
        for (written, expected) in [
            ("deploymnets", vec!["deployments.apps"]),
            ("servics", vec!["services", "services.serving.knative.dev"]),
            ("binding", vec![]),
            ("../../api/v1/secrets", vec![]),
            ("pods.apps", vec!["pods"]),
            ("zzz", vec![]),
        ] {
            assert_eq!(discovery().resolve(written), Err(Unknown), "{written}");
            let name = written.split('.').next().unwrap();
            assert_eq!(discovery().near(name, |_| true), expected, "{written}");
        }
    }

    #[test]
    fn a_broken_group_hides_no_other_and_is_named() {
        assert_eq!(discovery().stale(), ["metrics.k8s.io/v1beta1"]);
    }

    #[tokio::test]
    async fn one_callers_failure_is_not_anothers() {
        let cache = Cache::default();
        let upstream = crate::endpoint::fixtures::cluster("a").upstream;
        let refused = cache.get(&upstream, async || {
            tokio::time::sleep(Duration::from_millis(30)).await;
            Err(Failure::Garbled("the first caller's affair"))
        });
        let waiting = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            cache.get(&upstream, async || Ok(discovery())).await
        };
        let (first, second) = tokio::join!(refused, waiting);
        assert!(first.is_err() && second.is_ok());
        assert!(cache.get(&upstream, async || Err(Failure::Busy)).await.is_ok(), "the good answer is shared");
    }

    #[test]
    fn an_answer_that_is_no_discovery_is_said_to_be_none() {
        for body in ["", "<html>", "{}", r#"{"kind":"APIVersions","versions":["v1"]}"#] {
            assert!(matches!(Discovery::read(&[&Bytes::from(body)]), Err(Failure::Garbled(_))), "{body}");
        }
    }
}
