//! What a token says of itself, before anyone vouches for it. Pure.

use super::Refusal;
use crate::endpoint::{Endpoint, Issuer, Token};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, header};
use serde_json::{Map, Value};
use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Longest token that is read.
const MAX_TOKEN: usize = 16 << 10;
/// How far another clock may be ahead of ours.
const SKEW: Duration = Duration::from_secs(30);

/// The one bearer token of a request (RFC 6750 section 2.1).
///
/// # Errors
/// Where there is none, more than one, or something else.
pub(super) fn presented(headers: &HeaderMap) -> Result<Token, Refusal> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let value = all.next().ok_or(Refusal::Missing)?;
    if all.next().is_some() {
        return Err(Refusal::Malformed("more than one Authorization header"));
    }
    let text = value.to_str().map_err(|_| Refusal::Malformed("not ASCII"))?;
    let (scheme, token) = text.split_once(' ').ok_or(Refusal::Malformed("no scheme"))?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refusal::Malformed("the scheme is not Bearer"));
    }
    let token = token.trim_matches(' ');
    if token.is_empty() {
        return Err(Refusal::Missing);
    }
    if token.len() > MAX_TOKEN {
        return Err(Refusal::Malformed("longer than 16 KiB"));
    }
    Ok(Token::new(token))
}

/// A token's own, unverified words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unverified {
    /// Which key signed it.
    pub key_id: Option<String>,
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// `aud`.
    pub audiences: BTreeSet<String>,
    /// `exp`.
    pub expires: SystemTime,
    /// `nbf`.
    not_before: Option<SystemTime>,
    /// `iat`.
    issued: Option<SystemTime>,
}

impl Unverified {
    /// Reads a JWT (RFC 7519) as far as that needs no key.
    ///
    /// # Errors
    /// Where it is no JWT, wants to be verified by a key of its own choice, or lacks `iss`, `sub`, `aud` or `exp`.
    pub fn read(token: &Token) -> Result<Self, Refusal> {
        let mut parts = token.expose().split('.');
        let (Some(head), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refusal::Malformed("not a JWT"));
        };
        let head = object(head).ok_or(Refusal::Malformed("not a JWT"))?;
        let claims = object(claims).ok_or(Refusal::Malformed("not a JWT"))?;
        if ["crit", "jku", "jwk", "x5u", "x5c"].iter().any(|name| head.contains_key(*name)) {
            return Err(Refusal::Header("crit, jku, jwk, x5u and x5c are refused"));
        }
        match head.get("alg").and_then(Value::as_str) {
            None => return Err(Refusal::Header("no alg")),
            Some(alg) if alg.eq_ignore_ascii_case("none") => return Err(Refusal::Header("alg none is refused")),
            Some(alg) if alg.starts_with("HS") => return Err(Refusal::Header("symmetric algorithms are refused")),
            Some(_) => {}
        }
        if signature.is_empty() {
            return Err(Refusal::Header("it is not signed"));
        }
        let audiences: BTreeSet<String> = match claims.get("aud") {
            Some(Value::String(one)) => BTreeSet::from([one.clone()]),
            Some(Value::Array(list)) => list
                .iter()
                .map(|v| v.as_str().map(str::to_owned))
                .collect::<Option<_>>()
                .ok_or(Refusal::Claim("aud"))?,
            _ => return Err(Refusal::Claim("aud")),
        };
        Ok(Self {
            key_id: head.get("kid").and_then(Value::as_str).map(str::to_owned),
            issuer: string(&claims, "iss")?,
            subject: string(&claims, "sub")?,
            audiences,
            expires: time(&claims, "exp")?.ok_or(Refusal::Claim("exp"))?,
            not_before: time(&claims, "nbf")?,
            issued: time(&claims, "iat")?,
        })
    }

    /// The issuer of an endpoint that may be asked about this token: `iss` decides which, and only if `aud` and the
    /// times fit already.
    ///
    /// # Errors
    /// With what does not fit.
    pub fn check<'e>(&self, endpoint: &'e Endpoint, now: SystemTime) -> Result<&'e Issuer, Refusal> {
        let issuer = endpoint.issuers.iter().find(|i| i.url == self.issuer).ok_or(Refusal::Issuer)?;
        if !endpoint.audiences.iter().any(|a| self.audiences.contains(a)) {
            return Err(Refusal::Audience(endpoint.audiences.join(", ")));
        }
        if self.expires <= now {
            return Err(Refusal::Expired);
        }
        if [self.not_before, self.issued].into_iter().flatten().any(|t| t > now + SKEW) {
            return Err(Refusal::NotYet);
        }
        let lifetime = self.expires.duration_since(self.issued.unwrap_or(now)).unwrap_or_default();
        if lifetime > endpoint.max_token_lifetime {
            return Err(Refusal::Lifetime(endpoint.max_token_lifetime.as_secs()));
        }
        Ok(issuer)
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

fn string(claims: &Map<String, Value>, name: &'static str) -> Result<String, Refusal> {
    match claims.get(name).and_then(Value::as_str) {
        Some(text) if !text.is_empty() => Ok(text.to_owned()),
        _ => Err(Refusal::Claim(name)),
    }
}

/// A NumericDate (RFC 7519 section 2), at most year 9999.
fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<SystemTime>, Refusal> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    match value.as_f64() {
        Some(seconds) if (0.0..253_402_300_800.0).contains(&seconds) => {
            Ok(Some(UNIX_EPOCH + Duration::from_secs_f64(seconds)))
        }
        _ => Err(Refusal::Claim(name)),
    }
}

#[cfg(test)]
mod tests;
