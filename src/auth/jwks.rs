//! Keys of issuers: found by OpenID discovery, cached, fetched again for an unknown key at a bounded rate.

use super::{Refusal, TIMEOUT, bearer::Unverified, jwt};
use crate::{
    cluster::Clusters,
    endpoint::{Digest, Issuer, JwtVerification, Token, Trust},
};
use jsonwebtoken::jwk::JwkSet;
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

/// What a fetch gave, good or bad: both are remembered, each for its time.
struct Fetched {
    at: Instant,
    keys: Option<JwkSet>,
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
        let mut fetched = self.keys(issuer, verification, FAILURE).await;
        let knows = |fetched: &Fetched| {
            fetched.keys.as_ref().is_some_and(|keys| jwt::find_key(keys, unverified.key_id.as_deref()).is_some())
        };
        if fetched.keys.is_some() && !knows(&fetched) {
            fetched = self.keys(issuer, verification, UNKNOWN_KEY).await;
        }
        let keys = fetched.keys.as_ref().ok_or(Refusal::IssuerUnavailable)?;
        let key = jwt::find_key(keys, unverified.key_id.as_deref()).ok_or(Refusal::Unverified)?;
        jwt::verify(token, key, &issuer.url, verification, audiences)
    }

    /// The newest keys; fetched again where the last fetch failed, or lacks what is looked for, and is older than
    /// `patience`.
    async fn keys(&self, issuer: &Issuer, verification: &JwtVerification, patience: Duration) -> Arc<Fetched> {
        let ca = match &verification.trust {
            Trust::System => "system",
            Trust::Pem { pem, .. } => pem,
            Trust::Unresolved => "unresolved",
        };
        let key = Digest::of([&issuer.url, &verification.discovery_url, ca]);
        if let Some(known) = self.sets.get(&key).await {
            let again = known.keys.is_none() || patience == UNKNOWN_KEY;
            if !again || known.at.elapsed() < patience {
                return known;
            }
            self.sets.invalidate(&key).await;
        }
        self.sets
            .get_with(key, async {
                let keys = match self.fetch(issuer, verification).await {
                    Ok(keys) => Some(keys),
                    Err(why) => {
                        tracing::warn!(issuer = issuer.name, why, "the keys of an issuer could not be fetched");
                        None
                    }
                };
                Arc::new(Fetched { at: Instant::now(), keys })
            })
            .await
    }

    /// OpenID Connect Discovery 1.0 section 4: the document must be about this very issuer.
    async fn fetch(&self, issuer: &Issuer, verification: &JwtVerification) -> Result<JwkSet, &'static str> {
        #[derive(Deserialize)]
        struct Configuration {
            issuer: String,
            jwks_uri: String,
        }
        let get = async |url: &str| {
            let url = Url::parse(url).map_err(|_| "not a URL")?;
            let document = self.clusters.document(&url, &verification.trust, TIMEOUT).await;
            document.map_err(|failure| {
                tracing::debug!(issuer = issuer.name, %failure, "a document of an issuer was not to be had");
                "no answer to its discovery or key request"
            })
        };
        let document = get(&verification.discovery_url).await?;
        let configuration: Configuration =
            serde_json::from_slice(&document.body).map_err(|_| "its discovery document cannot be read")?;
        if configuration.issuer != issuer.url {
            return Err("its discovery document is about another issuer");
        }
        let document = get(&configuration.jwks_uri).await?;
        jwt::read_keys(&document.body).ok_or("its key set cannot be read")
    }
}
