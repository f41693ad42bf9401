//! Keys of issuers: found by OpenID discovery, cached, fetched again for an unknown key at a bounded rate.

use super::{Refusal, TIMEOUT, bearer::Unverified, jwt};
use crate::{
    cluster::{Clusters, Failure},
    endpoint::{Digest, Issuer, JwtVerification, Token, Trust},
};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use moka::Entry;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use url::Url;

/// How long keys are used before they are fetched again.
const LIFETIME: Duration = Duration::from_mins(10);
/// How often an unknown key may fetch again.
const UNKNOWN_KEY: Duration = Duration::from_secs(10);
/// How soon an issuer that failed is asked again.
const FAILURE: Duration = Duration::from_secs(5);
const CAPACITY: u64 = 1024;

/// Keys by issuer. The key of the cache is the discovery URL, the issuer and the CA.
#[derive(Clone)]
pub(super) struct KeySets {
    clusters: Clusters,
    sets: moka::future::Cache<Digest, Arc<Fetched>>,
}

/// What the last fetch gave: good and bad are remembered, each for its time. A failed one keeps the keys that were
/// known, or anyone with an unknown key could turn an outage of the issuer into one of all its tokens.
struct Fetched {
    at: Instant,
    /// The keys, and when the issuer gave them.
    keys: Option<(JwkSet, Instant)>,
}

impl Fetched {
    fn key(&self, id: Option<&str>) -> Option<&Jwk> {
        self.keys.as_ref().and_then(|(keys, _)| jwt::find_key(keys, id))
    }

    /// Whether it need not be fetched again; `lacking`: for a key that is not there.
    fn holds(&self, lacking: bool) -> bool {
        match &self.keys {
            None => self.at.elapsed() < FAILURE,
            Some((_, since)) => since.elapsed() < LIFETIME && !(lacking && self.at.elapsed() >= UNKNOWN_KEY),
        }
    }
}

impl KeySets {
    pub fn new(clusters: Clusters) -> Self {
        Self { clusters, sets: moka::future::Cache::builder().max_capacity(CAPACITY).time_to_live(LIFETIME).build() }
    }

    /// The claims of a token that a key of its issuer signed.
    ///
    /// # Errors
    /// [`Refusal::Unverified`] where no key did, [`Refusal::IssuerUnavailable`] where the keys are not to be had.
    pub async fn verify(
        &self,
        token: &Token,
        unverified: &Unverified,
        issuer: &Issuer,
        verification: &JwtVerification,
        audiences: &[String],
    ) -> Result<Map<String, Value>, Refusal> {
        let id = unverified.key_id.as_deref();
        let mut fetched = self.keys(issuer, verification, false).await;
        if fetched.keys.is_some() && fetched.key(id).is_none() {
            fetched = self.keys(issuer, verification, true).await;
        }
        if fetched.keys.is_none() {
            return Err(Refusal::IssuerUnavailable);
        }
        let key = fetched.key(id).ok_or(Refusal::Unverified)?;
        jwt::verify(token, key, &issuer.url, verification, audiences)
    }

    /// The newest keys; fetched again, by one caller at a time, where they no longer hold.
    async fn keys(&self, issuer: &Issuer, verification: &JwtVerification, lacking: bool) -> Arc<Fetched> {
        let ca = match &verification.trust {
            Trust::System => "system",
            Trust::Pem { pem, .. } => pem,
            Trust::Unresolved => "unresolved",
        };
        let key = Digest::of([&issuer.url, &verification.discovery_url, ca]);
        if let Some(known) = self.sets.get(&key).await
            && known.holds(lacking)
        {
            return known;
        }
        let fetch = async |known: Option<Entry<Digest, Arc<Fetched>>>| {
            let known = known.map(Entry::into_value);
            if let Some(known) = known.as_ref().filter(|known| known.holds(lacking)) {
                return known.clone(); // fetched while this caller waited
            }
            let keys = match self.fetch(issuer, verification).await {
                Ok(keys) => Some((keys, Instant::now())),
                Err(why) => {
                    tracing::warn!(issuer = issuer.name, why, "the keys of an issuer could not be fetched");
                    known.and_then(|known| known.keys.clone()).filter(|(_, since)| since.elapsed() < LIFETIME)
                }
            };
            Arc::new(Fetched { at: Instant::now(), keys })
        };
        self.sets.entry(key).and_upsert_with(fetch).await.into_value()
    }

    /// OpenID Connect Discovery 1.0 section 4: the document must be about this very issuer.
    async fn fetch(&self, issuer: &Issuer, verification: &JwtVerification) -> Result<JwkSet, String> {
        #[derive(Deserialize)]
        struct Configuration {
            issuer: String,
            jwks_uri: String,
        }
        let get = async |url: &str| {
            let url = Url::parse(url).map_err(|_| "one of its URLs is none".to_owned())?;
            let document = self.clusters.document(&url, &verification.trust, TIMEOUT).await;
            // The API error's message is a remote text; its status says enough.
            document.map_err(|failure| match failure {
                Failure::Api { status, .. } => format!("it answers {}", status.as_u16()),
                other => other.to_string(),
            })
        };
        let document = get(&verification.discovery_url).await?;
        let configuration: Configuration =
            serde_json::from_slice(&document.body).map_err(|_| "its discovery document cannot be read".to_owned())?;
        if configuration.issuer != issuer.url {
            return Err("its discovery document is about another issuer".to_owned());
        }
        let document = get(&configuration.jwks_uri).await?;
        jwt::read_keys(&document.body).ok_or_else(|| "its key set cannot be read".to_owned())
    }
}
