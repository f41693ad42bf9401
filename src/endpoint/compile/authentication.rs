//! `spec.authentication`.

use super::{Problems, References, clusters::compile_trust, https_url};
use crate::{
    api,
    endpoint::{
        ClaimSource, Cluster, Digest, Expression, Issuer, JwtVerification, Reason, ValidationRule, Verification,
        expression::Scope,
    },
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

pub(super) fn compile_authentication(
    wire: &api::Authentication,
    url: &str,
    log: &mut Problems,
) -> (Vec<String>, Vec<String>, Duration) {
    let api::Authentication { audiences, scopes_supported, max_token_lifetime, issuers: _ } = wire;
    for (i, audience) in audiences.iter().enumerate() {
        if audience.is_empty() || audience.chars().any(char::is_control) {
            log.fatal(format!("spec.authentication.audiences[{i}]"), "must be a non-empty text");
        }
    }
    // RFC 6749 section 3.3.
    let scope = |c: char| matches!(c, '\x21' | '\x23'..='\x5b' | '\x5d'..='\x7e');
    if let Some((i, _)) = scopes_supported.iter().enumerate().find(|(_, s)| s.is_empty() || !s.chars().all(scope)) {
        log.fatal(format!("spec.authentication.scopesSupported[{i}]"), "is not an OAuth scope: no spaces, no quotes");
    }
    let lifetime = Duration::from(*max_token_lifetime);
    if max_token_lifetime.is_negative() || lifetime < Duration::from_mins(1) {
        log.fatal("spec.authentication.maxTokenLifetime", "must be at least 1m, such as 24h");
    }
    let audiences = if audiences.is_empty() { vec![url.to_owned()] } else { audiences.clone() };
    (audiences, scopes_supported.clone(), lifetime)
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
            (jwt.issuer.clone(), Verification::Jwt(Box::new(verification)))
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
    let mapping = format!("{field}.claimMappings");
    if mails_unverified(username.expression.as_deref(), claim_validation_rules) {
        let message = "uses claims.email; check claims.email_verified there or in claimValidationRules";
        log.invalid(format!("{mapping}.username.expression"), message);
    }
    let username = name_source(username, &format!("{mapping}.username"), log);
    let groups = groups.as_ref().map(|g| name_source(g, &format!("{mapping}.groups"), log));
    let uid = uid.as_ref().map(|api::ClaimMapping { claim, expression }| {
        source(claim.as_deref(), Some(""), expression.as_deref(), &format!("{mapping}.uid"), log)
    });
    let extra = extra
        .iter()
        .enumerate()
        .filter_map(|(i, api::ExtraMapping { key, expression })| {
            let field = format!("{mapping}.extra[{i}].expression");
            Some((key.clone(), compile_expression(expression, Scope::Claims, &field, log)?))
        })
        .collect();
    let claim_rules = rules(claim_validation_rules, Scope::Claims, &format!("{field}.claimValidationRules"), log);
    let user_rules = rules(user_validation_rules, Scope::User, &format!("{field}.userValidationRules"), log);
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
        uid: uid.flatten(),
        extra,
        claim_rules,
        user_rules,
    })
}

fn name_source(wire: &api::PrefixedClaim, field: &str, log: &mut Problems) -> Option<ClaimSource> {
    let api::PrefixedClaim { claim, prefix, expression } = wire;
    source(claim.as_deref(), prefix.as_deref(), expression.as_deref(), field, log)
}

fn source(
    claim: Option<&str>,
    prefix: Option<&str>,
    expression: Option<&str>,
    field: &str,
    log: &mut Problems,
) -> Option<ClaimSource> {
    match (claim, prefix, expression) {
        (Some(claim), Some(prefix), None) => {
            Some(ClaimSource::Claim { claim: claim.to_owned(), prefix: prefix.to_owned() })
        }
        (None, None | Some(""), Some(expression)) => {
            let field = format!("{field}.expression");
            Some(ClaimSource::Expression(compile_expression(expression, Scope::Claims, &field, log)?))
        }
        _ => {
            log.invalid(field, "claim (with prefix, perhaps empty) or expression must be set, and not both");
            None
        }
    }
}

fn rules(wire: &[api::ValidationRule], scope: Scope, field: &str, log: &mut Problems) -> Vec<ValidationRule> {
    wire.iter()
        .enumerate()
        .filter_map(|(i, api::ValidationRule { expression, message })| {
            let expression = compile_expression(expression, scope, &format!("{field}[{i}].expression"), log)?;
            Some(ValidationRule { expression, message: message.clone() })
        })
        .collect()
}

/// An expression that does not compile is logged, and so keeps its issuer out.
fn compile_expression(source: &str, scope: Scope, field: &str, log: &mut Problems) -> Option<Expression> {
    Expression::compile(source, scope).map_err(|why| log.invalid(field, why)).ok()
}

/// An address that nobody verified is nobody's name: as Kubernetes' structured authentication requires.
fn mails_unverified(username: Option<&str>, rules: &[api::ValidationRule]) -> bool {
    let verified = |source: &str| source.contains("email_verified");
    username.is_some_and(|source| {
        source.contains("email") && !verified(source) && !rules.iter().any(|rule| verified(&rule.expression))
    })
}
