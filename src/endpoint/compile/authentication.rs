//! `spec.authentication`.

use super::{Problems, References, clusters::compile_trust, https_url};
use crate::{
    api,
    endpoint::{ClaimSource, Cluster, Digest, Issuer, JwtVerification, Reason, Verification},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

pub(super) fn compile_authentication(
    wire: &api::Authentication,
    url: &str,
    log: &mut Problems,
) -> (Vec<String>, Duration) {
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
    if max_token_lifetime.is_negative() || lifetime < Duration::from_mins(1) {
        log.fatal("spec.authentication.maxTokenLifetime", "must be at least 1m, such as 24h");
    }
    let audiences = if audiences.is_empty() { vec![url.to_owned()] } else { audiences.clone() };
    (audiences, lifetime)
}

pub(super) fn compile_issuers(
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
