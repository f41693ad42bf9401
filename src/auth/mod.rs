//! From a bearer token to a [`Caller`]. Fails closed: whatever is not verified is refused, with a reason for the
//! person who configures the client, and never with k-mcp's own rights in its place.
//!
//! Order matters: nothing is sent anywhere for a token whose issuer, audience and times do not already fit the
//! endpoint it was presented to.

mod bearer;
mod jwks;
mod jwt;
mod refusal;

pub use refusal::Refusal;

use crate::{
    cluster::{Clusters, Failure},
    endpoint::{Caller, Digest, Endpoint, Issuer, Token, Verification},
};
use bearer::Unverified;
use http::{HeaderMap, StatusCode};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

/// How long a cluster's word about a token is taken: a revoked token ends within this.
const REVIEW_LIFETIME: Duration = Duration::from_mins(1);
/// How long a verified JWT is not verified again (it ends at `exp` in any case).
const JWT_LIFETIME: Duration = Duration::from_mins(10);
/// How long an issuer or cluster may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a token that nobody vouches for is not asked about again, and how many are remembered.
const REFUSED_LIFETIME: Duration = Duration::from_secs(10);
const REFUSED: u64 = 20_000;
/// Bytes of verified callers that are remembered.
const CACHE_BYTES: u64 = 32 << 20;

/// Verifies bearer tokens, and remembers for a short while what it verified.
#[derive(Clone)]
pub struct Authenticator {
    clusters: Clusters,
    keys: jwks::KeySets,
    verified: moka::sync::Cache<Digest, Verified>,
    refused: moka::sync::Cache<Digest, Refusal>,
}

#[derive(Clone)]
struct Verified {
    caller: Arc<Caller>,
    until: Instant,
}

impl Authenticator {
    /// Makes one that knows nobody yet.
    pub fn new(clusters: Clusters) -> Self {
        let verified = moka::sync::Cache::builder()
            .weigher(|_, v: &Verified| weight(&v.caller))
            .max_capacity(CACHE_BYTES)
            .time_to_live(JWT_LIFETIME)
            .build();
        let refused = moka::sync::Cache::builder().max_capacity(REFUSED).time_to_live(REFUSED_LIFETIME).build();
        Self { keys: jwks::KeySets::new(clusters.clone()), clusters, verified, refused }
    }

    /// Who presents these headers at an endpoint.
    ///
    /// # Errors
    /// With why nobody is taken for them.
    pub async fn authenticate(&self, endpoint: &Endpoint, headers: &HeaderMap) -> Result<Arc<Caller>, Refusal> {
        let token = bearer::presented(headers)?;
        let unverified = Unverified::read(&token)?;
        let issuer = unverified.check(endpoint, SystemTime::now())?;
        let key = cache_key(&token, endpoint, issuer);
        if let Some(known) = self.verified.get(&key)
            && known.until > Instant::now()
            && known.caller.expires > SystemTime::now()
        {
            return Ok(known.caller);
        }
        let (caller, lifetime) = match &issuer.verification {
            Verification::Jwt(jwt) => {
                let claims = self.keys.verify(&token, &unverified, issuer, jwt, &endpoint.audiences).await?;
                (jwt::caller(issuer, jwt, &unverified, claims, token)?, JWT_LIFETIME)
            }
            Verification::SelfSubjectReview { cluster } => {
                if let Some(refusal) = self.refused.get(&key) {
                    return Err(refusal);
                }
                let reviewed = self.review(endpoint, issuer, cluster, &unverified, token).await;
                if reviewed == Err(Refusal::Unverified) {
                    self.refused.insert(key, Refusal::Unverified);
                }
                (reviewed?, REVIEW_LIFETIME)
            }
        };
        let caller = Arc::new(caller);
        self.verified.insert(key, Verified { caller: caller.clone(), until: Instant::now() + lifetime });
        Ok(caller)
    }

    async fn review(
        &self,
        endpoint: &Endpoint,
        issuer: &Issuer,
        cluster: &str,
        unverified: &Unverified,
        token: Token,
    ) -> Result<Caller, Refusal> {
        let cluster = endpoint.clusters.get(cluster).ok_or(Refusal::IssuerUnavailable)?;
        let user = match self.clusters.review(cluster, &token, Instant::now() + TIMEOUT).await {
            Ok(user) => user,
            Err(failure) if failure.is_status(StatusCode::UNAUTHORIZED) => return Err(Refusal::Unverified),
            Err(Failure::Api { status, .. }) => {
                tracing::warn!(cluster = cluster.name, %status, "a cluster refused a SelfSubjectReview");
                return Err(Refusal::IssuerUnavailable);
            }
            Err(failure) => {
                tracing::warn!(cluster = cluster.name, %failure, "a cluster did not answer a SelfSubjectReview");
                return Err(Refusal::IssuerUnavailable);
            }
        };
        if user.username.is_empty() || user.username == "system:anonymous" {
            return Err(Refusal::Unverified);
        }
        Ok(Caller {
            issuer: issuer.name.clone(),
            subject: unverified.subject.clone(),
            username: user.username,
            groups: user.groups.into_iter().collect(),
            uid: Some(user.uid).filter(|uid| !uid.is_empty()),
            extra: user.extra.into_iter().map(|(key, values)| (key, values.into())).collect(),
            claims: None,
            audiences: unverified.audiences.clone(),
            expires: unverified.expires,
            only_cluster: Some(cluster.name.clone()),
            token,
        })
    }
}

/// Verified tokens are remembered by the token, the endpoint and how its issuer reads tokens: an edit of any of them
/// asks anew.
fn cache_key(token: &Token, endpoint: &Endpoint, issuer: &Issuer) -> Digest {
    let reading = format!("{:?}", issuer.digest.as_bytes());
    let voucher = match &issuer.verification {
        Verification::Jwt(_) => String::new(),
        Verification::SelfSubjectReview { cluster } => {
            format!("{:?}", endpoint.clusters.get(cluster).map(|cluster| &cluster.upstream))
        }
    };
    Digest::of([token.expose(), &endpoint.uid, &endpoint.audiences.join("\n"), &reading, &voucher])
}

fn weight(caller: &Caller) -> u32 {
    let sets: usize = caller.groups.iter().chain(&caller.audiences).map(|text| text.len() + 64).sum();
    // The claims are the token once more, as a tree.
    let claims = if caller.claims.is_some() { caller.token.expose().len() * 4 } else { 0 };
    u32::try_from(claims + caller.token.expose().len() + caller.username.len() + caller.subject.len() + sets + 512)
        .unwrap_or(u32::MAX)
}
