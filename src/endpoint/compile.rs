//! From the wire object to what it means.
//!
//! An invalid rule, issuer or cluster drops out alone, which never adds access; an invalid audience, restricted
//! resource or limit takes the endpoint out. The API server has checked the schema and the CEL rules already, but
//! nothing here relies on it: an older CRD, or none (`k-mcp check`), may have let anything through.

use super::{
    ClaimSource, Cluster, Credential, Digest, Endpoint, GroupResource, Issuer, JwtVerification, Limits, NamespaceScope,
    Problem, Reason, Rule, Selector, Subjects, Tool, ToolSet, Trust, Upstream, Verification,
};
use crate::api;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
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
    let (audiences, max_token_lifetime) = compile_authentication(authentication, &url, &mut log);
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

fn compile_authentication(wire: &api::Authentication, url: &str, log: &mut Problems) -> (Vec<String>, Duration) {
    let api::Authentication { audiences, scopes_supported, max_token_lifetime, issuers: _ } = wire;
    for (i, audience) in audiences.iter().enumerate() {
        if audience.is_empty() || audience.chars().any(char::is_control) {
            log.fatal(format!("spec.authentication.audiences[{i}]"), "must be a non-empty text");
        }
    }
    if !scopes_supported.is_empty() {
        log.not_yet("spec.authentication.scopesSupported", "protected resource metadata");
    }
    let lifetime = Duration::from(*max_token_lifetime);
    if max_token_lifetime.is_negative() || lifetime < Duration::from_secs(60) {
        log.fatal("spec.authentication.maxTokenLifetime", "must be at least 1m, such as 24h");
    }
    let audiences = if audiences.is_empty() { vec![url.to_owned()] } else { audiences.clone() };
    (audiences, lifetime)
}

fn compile_issuers(
    wire: &[api::Issuer],
    clusters: &BTreeMap<String, Arc<Cluster>>,
    references: &References,
    log: &mut Problems,
) -> Vec<Arc<Issuer>> {
    let mut compiled: Vec<Arc<Issuer>> = Vec::new();
    for (i, issuer) in wire.iter().enumerate() {
        let field = format!("spec.authentication.issuers[{i}]");
        let before = log.0.len();
        let Some(done) = compile_issuer(issuer, &field, clusters, references, log) else {
            if log.0.len() == before {
                log.invalid(field, "cannot be used");
            }
            continue;
        };
        if compiled.iter().any(|other| other.url == done.url || other.name == done.name) {
            log.invalid(
                field,
                "another issuer has the same name or issuer URL; a token's iss must lead to exactly one",
            );
            continue;
        }
        compiled.push(Arc::new(done));
    }
    compiled
}

fn compile_issuer(
    wire: &api::Issuer,
    field: &str,
    clusters: &BTreeMap<String, Arc<Cluster>>,
    references: &References,
    log: &mut Problems,
) -> Option<Issuer> {
    let api::Issuer { name, type_, jwt, token_review, self_subject_review } = wire;
    let (url, verification) = match (type_, jwt, token_review, self_subject_review) {
        (api::IssuerType::Jwt, Some(jwt), None, None) => {
            let verification = compile_jwt(jwt, &format!("{field}.jwt"), references, log)?;
            (jwt.issuer.clone(), Verification::Jwt(verification))
        }
        (api::IssuerType::SelfSubjectReview, None, None, Some(review)) => {
            let api::SelfSubjectReviewIssuer { cluster, issuer } = review;
            if !clusters.contains_key(cluster) {
                let message = format!("{cluster:?} is not a usable cluster of spec.clusters");
                log.not_found(format!("{field}.selfSubjectReview.cluster"), message);
                return None;
            }
            (issuer.clone(), Verification::SelfSubjectReview { cluster: cluster.clone() })
        }
        (api::IssuerType::TokenReview, None, Some(_), None) => {
            log.not_yet(format!("{field}.type"), "TokenReview");
            return None;
        }
        _ => {
            log.invalid(field, "type and the field beside it do not fit: JWT needs jwt, TokenReview tokenReview, SelfSubjectReview selfSubjectReview, and no other");
            return None;
        }
    };
    let described = format!("{verification:?}");
    Some(Issuer { digest: Digest::of([name.as_str(), &url, &described]), name: name.clone(), url, verification })
}

fn compile_jwt(wire: &api::Jwt, field: &str, references: &References, log: &mut Problems) -> Option<JwtVerification> {
    let api::Jwt {
        issuer,
        discovery_url,
        certificate_authority,
        signing_algorithms,
        claim_mappings: api::ClaimMappings { username, groups, uid, extra },
        claim_validation_rules,
        user_validation_rules,
    } = wire;
    let before = log.0.len();
    https_url(issuer, &format!("{field}.issuer"), log);
    let discovery_url = match discovery_url.as_deref() {
        None | Some("") => format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')),
        Some(url) => url.to_owned(),
    };
    https_url(&discovery_url, &format!("{field}.discoveryURL"), log);
    for (list, rules) in
        [("claimValidationRules", claim_validation_rules), ("userValidationRules", user_validation_rules)]
    {
        if !rules.is_empty() {
            log.not_yet(format!("{field}.{list}"), "CEL validation rules (the issuer is out until then)");
        }
    }
    if !extra.is_empty() {
        log.not_yet(format!("{field}.claimMappings.extra"), "extra values (the issuer is out until then)");
    }
    let mapping = format!("{field}.claimMappings");
    let username = claim_source(username, &format!("{mapping}.username"), log);
    let groups = groups.as_ref().map(|g| claim_source(g, &format!("{mapping}.groups"), log));
    let uid = uid.as_ref().map(|api::ClaimMapping { claim, expression }| {
        if expression.is_some() {
            log.not_yet(format!("{mapping}.uid.expression"), "CEL mappings (the issuer is out until then)");
        }
        claim.clone().unwrap_or_default()
    });
    let trust =
        compile_trust(certificate_authority.as_ref(), &format!("{field}.certificateAuthority"), references, log);
    // Anything but an unresolved CA keeps the issuer out; that one is refused when it is to be contacted.
    if log.0.iter().skip(before).any(|p| p.reason != Reason::NotFound) {
        return None;
    }
    Some(JwtVerification {
        discovery_url,
        trust,
        algorithms: signing_algorithms.clone(),
        username: username?,
        groups: groups.flatten(),
        uid,
    })
}

fn claim_source(wire: &api::PrefixedClaim, field: &str, log: &mut Problems) -> Option<ClaimSource> {
    match wire {
        api::PrefixedClaim { claim: Some(claim), prefix: Some(prefix), expression: None } => {
            Some(ClaimSource { claim: claim.clone(), prefix: prefix.clone() })
        }
        api::PrefixedClaim { claim: None, prefix: None, expression: Some(_) } => {
            log.not_yet(format!("{field}.expression"), "CEL mappings (the issuer is out until then)");
            None
        }
        _ => {
            log.invalid(field, "claim (with prefix, perhaps empty) or expression must be set, and not both");
            None
        }
    }
}

fn compile_clusters(
    wire: &[api::Cluster],
    references: &References,
    log: &mut Problems,
) -> BTreeMap<String, Arc<Cluster>> {
    let mut compiled = BTreeMap::new();
    for (i, cluster) in wire.iter().enumerate() {
        let field = format!("spec.clusters[{i}]");
        if let Some(done) = compile_cluster(cluster, &field, references, log) {
            if compiled.contains_key(&done.name) {
                log.invalid(format!("{field}.name"), "another cluster has the same name");
            } else {
                compiled.insert(done.name.clone(), Arc::new(done));
            }
        }
    }
    compiled
}

fn compile_cluster(wire: &api::Cluster, field: &str, references: &References, log: &mut Problems) -> Option<Cluster> {
    let api::Cluster {
        name,
        labels,
        server,
        profile_ref,
        certificate_authority,
        tls_server_name,
        credential: api::Credential { mode, forward, exchange: _, impersonate: _ },
        limits: api::ClusterLimits { max_concurrent_requests },
    } = wire;
    if !is_dns_label(name) {
        log.invalid(format!("{field}.name"), "must be a DNS label (lower-case letters, digits and -)");
        return None;
    }
    if profile_ref.is_some() {
        log.not_yet(format!("{field}.profileRef"), "ClusterProfiles");
        return None;
    }
    let Some(server) = server else {
        log.invalid(field, "server or profileRef must be set");
        return None;
    };
    let server = https_url(server, &format!("{field}.server"), log)?;
    let credential = match (mode, forward) {
        (api::CredentialMode::Forward, Some(api::Forward { issuers, audiences })) => Credential::Forward {
            issuers: issuers.iter().cloned().collect(),
            audiences: audiences.iter().cloned().collect(),
        },
        (api::CredentialMode::Forward, None) => {
            log.invalid(format!("{field}.credential.forward"), "mode Forward needs issuers and audiences");
            return None;
        }
        (api::CredentialMode::Exchange, _) => {
            log.not_yet(format!("{field}.credential.mode"), "Exchange");
            return None;
        }
        (api::CredentialMode::Impersonate, _) => {
            log.not_yet(format!("{field}.credential.mode"), "Impersonate");
            return None;
        }
    };
    let trust =
        compile_trust(certificate_authority.as_ref(), &format!("{field}.certificateAuthority"), references, log);
    Some(Cluster {
        name: name.clone(),
        labels: labels.clone(),
        upstream: Upstream { server, trust, tls_server_name: tls_server_name.clone() },
        credential,
        max_concurrent_requests: usize::try_from(*max_concurrent_requests).unwrap_or(1).max(1),
    })
}

/// A CA that does not resolve trusts nobody: never the system's roots in its place.
fn compile_trust(
    wire: Option<&api::CertificateAuthority>,
    field: &str,
    references: &References,
    log: &mut Problems,
) -> Trust {
    let (field, pem) = match wire {
        None => return Trust::System,
        Some(api::CertificateAuthority { config_map: None, inline: Some(pem) }) => (format!("{field}.inline"), pem),
        Some(api::CertificateAuthority { config_map: Some(reference), inline: None }) => {
            let api::ConfigMapKeyRef { name, key } = reference;
            match references.config_maps.get(&(name.clone(), key.clone())) {
                Some(pem) => (format!("{field}.configMap"), pem),
                None => {
                    if references.complete {
                        let message =
                            format!("ConfigMap {name:?} has no key {key:?} in this namespace, or does not exist");
                        log.not_found(format!("{field}.configMap"), message);
                    }
                    return Trust::Unresolved;
                }
            }
        }
        Some(_) => {
            log.not_found(field, "configMap or inline must be set, and not both");
            return Trust::Unresolved;
        }
    };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match certificates {
        Ok(list) if !list.is_empty() => Trust::pem(pem),
        _ => {
            log.not_found(field, "holds no PEM certificate (-----BEGIN CERTIFICATE-----)");
            Trust::Unresolved
        }
    }
}

fn compile_tool_sets(wire: &[api::ToolSet], log: &mut Problems) -> BTreeMap<String, BTreeSet<Tool>> {
    let mut compiled = BTreeMap::new();
    for (i, api::ToolSet { name, tools }) in wire.iter().enumerate() {
        let field = format!("spec.toolSets[{i}]");
        if name.parse::<ToolSet>().is_ok() {
            log.invalid(format!("{field}.name"), format!("{name} is built in and cannot be redefined"));
            continue;
        }
        let mut set = BTreeSet::new();
        for (j, tool) in tools.iter().enumerate() {
            let field = format!("{field}.tools[{j}]");
            match tool.parse::<Tool>() {
                Ok(known) if known.is_available() => {
                    set.insert(known);
                }
                Ok(_) => log.not_yet(field, tool),
                Err(()) => {
                    let all = Tool::ALL.map(Tool::name).join(", ");
                    log.invalid(field, format!("{tool:?} is not a tool; the tools are {all}"));
                }
            }
        }
        compiled.insert(name.clone(), set);
    }
    compiled
}

fn compile_rules(
    wire: &[api::Rule],
    issuers: &[api::Issuer],
    clusters: &BTreeMap<String, Arc<Cluster>>,
    tool_sets: &BTreeMap<String, BTreeSet<Tool>>,
    log: &mut Problems,
) -> Vec<Rule> {
    wire.iter()
        .enumerate()
        .filter_map(|(i, rule)| compile_rule(rule, &format!("spec.rules[{i}]"), issuers, clusters, tool_sets, log))
        .collect()
}

fn compile_rule(
    wire: &api::Rule,
    field: &str,
    issuers: &[api::Issuer],
    clusters: &BTreeMap<String, Arc<Cluster>>,
    tool_sets: &BTreeMap<String, BTreeSet<Tool>>,
    log: &mut Problems,
) -> Option<Rule> {
    let api::Rule { name, subjects, allow: api::Allow { clusters: selected, tool_sets: sets, namespaces, writes } } =
        wire;
    let subjects = compile_subjects(subjects, &format!("{field}.subjects"), issuers, log)?;
    let clusters = select_clusters(selected, &format!("{field}.allow.clusters"), clusters, log)?;
    let tools = expand_tools(sets, &format!("{field}.allow.toolSets"), tool_sets, log);
    let (namespaces, cluster_scoped) = compile_namespaces(namespaces, &format!("{field}.allow.namespaces"), log)?;
    if *writes != api::Writes::default() {
        log.not_yet(format!("{field}.allow.writes"), "writes");
    }
    Some(Rule { name: name.clone(), subjects, clusters, tools, namespaces, cluster_scoped })
}

fn compile_subjects(
    wire: &api::Subjects,
    field: &str,
    declared: &[api::Issuer],
    log: &mut Problems,
) -> Option<Subjects> {
    let api::Subjects { issuers, users, groups, condition, any_user } = wire;
    if condition.is_some() {
        log.not_yet(format!("{field}.condition"), "CEL conditions (the rule is out until then)");
        return None;
    }
    if issuers.is_empty() {
        log.invalid(format!("{field}.issuers"), "must name at least one issuer");
        return None;
    }
    for (i, issuer) in issuers.iter().enumerate() {
        if !declared.iter().any(|d| d.name == *issuer) {
            log.not_found(format!("{field}.issuers[{i}]"), format!("{issuer:?} is not in spec.authentication.issuers"));
            return None;
        }
    }
    match (any_user, users.is_empty() && groups.is_empty()) {
        (true, true) | (false, false) => {}
        (true, false) => {
            log.invalid(field, "anyUser: true cannot be combined with users or groups");
            return None;
        }
        (false, true) => {
            log.invalid(field, "must name users, groups, a condition, or anyUser: true");
            return None;
        }
    }
    let some = |list: &[String]| (!list.is_empty()).then(|| list.iter().cloned().collect());
    Some(Subjects { issuers: issuers.iter().cloned().collect(), users: some(users), groups: some(groups) })
}

fn select_clusters(
    wire: &api::Clusters,
    field: &str,
    clusters: &BTreeMap<String, Arc<Cluster>>,
    log: &mut Problems,
) -> Option<BTreeSet<String>> {
    match wire {
        api::Clusters { names: Some(names), selector: None } => {
            for (i, name) in names.iter().enumerate().filter(|(_, name)| !clusters.contains_key(*name)) {
                log.not_found(
                    format!("{field}.names[{i}]"),
                    format!("{name:?} is not a usable cluster of spec.clusters"),
                );
            }
            Some(names.iter().filter(|name| clusters.contains_key(*name)).cloned().collect())
        }
        api::Clusters { names: None, selector: Some(selector) } => match Selector::compile(selector) {
            Ok(selector) => {
                Some(clusters.values().filter(|c| selector.matches(&c.labels)).map(|c| c.name.clone()).collect())
            }
            Err(why) => {
                log.invalid(format!("{field}.selector"), why);
                None
            }
        },
        _ => {
            log.invalid(field, "names or selector must be set, and not both");
            None
        }
    }
}

fn expand_tools(
    sets: &[String],
    field: &str,
    own: &BTreeMap<String, BTreeSet<Tool>>,
    log: &mut Problems,
) -> BTreeSet<Tool> {
    let mut tools = BTreeSet::new();
    for (i, name) in sets.iter().enumerate() {
        if let Ok(built_in) = name.parse::<ToolSet>() {
            let available: Vec<Tool> =
                Tool::ALL.into_iter().filter(|t| t.set() == built_in && t.is_available()).collect();
            if available.is_empty() {
                log.not_yet(format!("{field}[{i}]"), &format!("the tools of {name}"));
            }
            tools.extend(available);
        } else if let Some(set) = own.get(name) {
            tools.extend(set);
        } else {
            let message = format!("{name:?} is not inspect, diagnosis, change or one of spec.toolSets");
            log.not_found(format!("{field}[{i}]"), message);
        }
    }
    tools
}

fn compile_namespaces(wire: &api::Namespaces, field: &str, log: &mut Problems) -> Option<(NamespaceScope, bool)> {
    let api::Namespaces { mode, names, cluster_scoped } = wire;
    let cluster_scoped = *cluster_scoped == api::ClusterScoped::Allow;
    match (mode, names.is_empty()) {
        (api::NamespaceMode::All, true) => Some((NamespaceScope::All, cluster_scoped)),
        (api::NamespaceMode::Listed, false) => {
            if let Some((i, bad)) = names.iter().enumerate().find(|(_, name)| !is_dns_label(name)) {
                log.invalid(format!("{field}.names[{i}]"), format!("{bad:?} is not the name of a namespace"));
                return None;
            }
            Some((NamespaceScope::Listed(names.iter().cloned().collect()), cluster_scoped))
        }
        _ => {
            log.invalid(field, "mode Listed needs names, mode All takes none");
            None
        }
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
    let defaults = api::Limits::default();
    for (name, value, default) in [
        ("requestsPerMinute", requests_per_minute, defaults.requests_per_minute),
        ("maxConcurrentCalls", max_concurrent_calls, defaults.max_concurrent_calls),
        ("outputTokensPerMinute", output_tokens_per_minute, defaults.output_tokens_per_minute),
        ("maxLogLines", max_log_lines, defaults.max_log_lines),
    ] {
        if *value != default {
            log.not_yet(format!("spec.limits.{name}"), "this limit is not enforced");
        }
    }
    if *max_output_tokens < 500 {
        log.fatal("spec.limits.maxOutputTokens", "must be at least 500");
    }
    if *timeout_seconds == 0 {
        log.fatal("spec.limits.timeoutSeconds", "must be at least 1");
    }
    Limits {
        max_output_tokens: usize::try_from(*max_output_tokens).unwrap_or(usize::MAX),
        timeout: Duration::from_secs(u64::from(*timeout_seconds)),
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
