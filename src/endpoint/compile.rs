//! From the wire object to what it means.
//!
//! An invalid rule, issuer or cluster drops out alone, which never adds access; an invalid audience, restricted
//! resource or limit takes the endpoint out. The API server has checked the schema and the CEL rules already, but
//! nothing here relies on it: an older CRD, or none (`k-mcp check`), may have let anything through.

mod authentication;
mod clusters;
mod rules;

use super::{Endpoint, GroupResource, Limits, Problem, Reason};
use crate::api;
use authentication::{compile_authentication, compile_issuers};
use clusters::compile_clusters;
use rules::{compile_rules, compile_tool_sets};
use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};
use url::Url;

/// What every endpoint of this installation shares.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where agents reach this installation, without a trailing slash; endpoints are below `/mcp/`.
    pub public_url: String,
}

/// What an `McpEndpoint` may refer to in its namespace.
#[derive(Debug, Clone, Default)]
pub struct References {
    /// Values of ConfigMaps, by name and key.
    pub config_maps: BTreeMap<(String, String), String>,
    /// `false` where there is no cluster to look them up in (`k-mcp check`): an absent ConfigMap is then no problem.
    pub complete: bool,
}

/// An endpoint, as far as it is valid, and what is not.
#[derive(Debug, Clone, PartialEq)]
pub struct Compiled {
    /// What is in effect; `None` where a fatal problem took the endpoint out.
    pub endpoint: Option<Endpoint>,
    /// What is not in effect, and why.
    pub problems: Vec<Problem>,
    /// The endpoint's URL, in effect or not.
    pub url: String,
}

/// Compiles one `McpEndpoint`.
pub fn compile(object: &api::McpEndpoint, references: &References, settings: &Settings) -> Compiled {
    let name = object.metadata.name.clone().unwrap_or_default();
    let url = format!("{}/mcp/{name}", settings.public_url);
    let api::McpEndpointSpec {
        authentication,
        clusters,
        cluster_profiles,
        tool_sets,
        rules,
        restricted_resources,
        writes: api::WritePolicy { confirmation: _ }, // for the change tools, which report themselves
        limits,
    } = &object.spec;

    let mut log = Problems::default();
    if !is_dns_label(&name) {
        log.fatal("metadata.name", "must be a DNS label (lower-case letters, digits and -): it is part of the URL");
    }
    let (audiences, scopes, max_token_lifetime) = compile_authentication(authentication, &url, &mut log);
    let clusters = compile_clusters(clusters, references, &mut log);
    for (i, api::ClusterProfileSet { name, .. }) in cluster_profiles.iter().enumerate() {
        log.not_yet(format!("spec.clusterProfiles[{i}]"), &format!("set {name}: ClusterProfiles"));
    }
    let issuers = compile_issuers(&authentication.issuers, &clusters, references, &mut log);
    let tool_sets = compile_tool_sets(tool_sets, &mut log);
    let rules = compile_rules(rules, &authentication.issuers, &clusters, &tool_sets, &mut log);
    let restricted = compile_restricted(restricted_resources, &mut log);
    let limits = compile_limits(limits, &mut log);

    let endpoint = (!log.0.iter().any(|p| p.fatal)).then(|| Endpoint {
        name,
        uid: object.metadata.uid.clone().unwrap_or_default(),
        url: url.clone(),
        audiences,
        scopes,
        max_token_lifetime,
        issuers,
        clusters,
        rules,
        restricted,
        limits,
    });
    Compiled { endpoint, problems: log.0, url }
}

#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn push(&mut self, field: impl Into<String>, reason: Reason, message: impl Into<String>, fatal: bool) {
        self.0.push(Problem { field: field.into(), reason, message: message.into(), fatal });
    }

    fn invalid(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.push(field, Reason::Invalid, message, false);
    }

    fn fatal(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.push(field, Reason::Invalid, message, true);
    }

    fn not_found(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.push(field, Reason::NotFound, message, false);
    }

    fn not_yet(&mut self, field: impl Into<String>, what: &str) {
        self.push(field, Reason::NotYetSupported, format!("{what}: not yet supported by this version"), false);
    }
}

fn compile_restricted(wire: &[api::GroupResource], log: &mut Problems) -> Vec<GroupResource> {
    wire.iter()
        .enumerate()
        .map(|(i, api::GroupResource { group, resource })| {
            let plural = resource == "*"
                || (!resource.is_empty()
                    && resource.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
            if !plural {
                let message = format!("{resource:?} is not the plural name of a resource, nor *");
                log.fatal(format!("spec.restrictedResources[{i}].resource"), message);
            }
            GroupResource { group: group.clone(), resource: resource.clone() }
        })
        .collect()
}

fn compile_limits(wire: &api::Limits, log: &mut Problems) -> Limits {
    let api::Limits {
        max_output_tokens,
        requests_per_minute,
        max_concurrent_calls,
        output_tokens_per_minute,
        timeout_seconds,
        max_log_lines,
    } = wire;
    if *max_log_lines != api::Limits::default().max_log_lines {
        log.not_yet("spec.limits.maxLogLines", "logs");
    }
    if *max_output_tokens < 500 {
        log.fatal("spec.limits.maxOutputTokens", "must be at least 500");
    }
    if *timeout_seconds == 0 {
        log.fatal("spec.limits.timeoutSeconds", "must be at least 1");
    }
    let mut positive = |name: &str, value: u32| {
        NonZeroU32::new(value).unwrap_or_else(|| {
            log.fatal(format!("spec.limits.{name}"), "must be at least 1");
            NonZeroU32::MIN
        })
    };
    Limits {
        max_output_tokens: usize::try_from(*max_output_tokens).unwrap_or(usize::MAX),
        timeout: Duration::from_secs(u64::from(*timeout_seconds)),
        requests_per_minute: positive("requestsPerMinute", *requests_per_minute),
        max_concurrent_calls: positive("maxConcurrentCalls", *max_concurrent_calls),
        output_tokens_per_minute: positive("outputTokensPerMinute", *output_tokens_per_minute),
    }
}

fn https_url(text: &str, field: &str, log: &mut Problems) -> Option<Url> {
    match Url::parse(text) {
        Ok(url)
            if url.scheme() == "https"
                && url.host_str().is_some()
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none() =>
        {
            Some(url)
        }
        _ => {
            log.invalid(field, "must be an https URL without user, query or fragment, such as https://host:6443");
            None
        }
    }
}

/// RFC 1123 label, as Kubernetes requires of namespaces.
fn is_dns_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.len() <= 63 && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests;
