//! The only way to a member cluster.
//!
//! A request leaves through a [`Handle`], which only [`Clusters::handle`] makes, from a [`Grant`], for one tool and one
//! cluster. It passes the guard, gets the credential, and goes out over the pool, whose connector decides which
//! addresses may be dialled. [`Clusters::review`] is the one request that is made before there is a Grant.

mod connector;
mod credential;
mod discovery;
mod failure;
mod guard;
mod handle;
mod pool;
mod request;
mod review;

pub use connector::AddressPolicy;
pub use discovery::{Discovery, Resource, Unknown};
pub use failure::Failure;
pub use handle::{Handle, ListQuery};
pub use pool::Document;
pub use review::UserInfo;

use crate::{
    endpoint::{Cluster, Grant, Token, Tool, Trust},
    metrics::Metrics,
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use url::Url;

/// Every connection, discovery and limit, shared by all calls of this process.
#[derive(Clone)]
pub struct Clusters {
    pool: Arc<pool::Pool>,
    discovery: discovery::Cache,
}

impl Clusters {
    /// Makes an empty one.
    pub fn new(policy: AddressPolicy, metrics: Arc<Metrics>) -> Self {
        Self { pool: Arc::new(pool::Pool::new(policy, metrics)), discovery: discovery::Cache::default() }
    }

    /// A grant's way to a cluster for one tool; `None` where the grant does not allow that tool there.
    pub fn handle(&self, grant: &Arc<Grant>, tool: Tool, cluster: &str, deadline: Instant) -> Option<Handle> {
        grant.scope(tool, cluster)?;
        let cluster = grant.endpoint().clusters.get(cluster)?.clone();
        Some(Handle::new(self.clone(), grant.clone(), tool, cluster, deadline))
    }

    /// Asks a cluster who a token of its own belongs to (`SelfSubjectReview`).
    ///
    /// The caller of this function has checked that the token's issuer, audience and expiry fit the endpoint that
    /// names this cluster for it.
    ///
    /// # Errors
    /// With [`Failure::Api`] 401 where the cluster refuses the token, and others where it did not answer.
    pub async fn review(&self, cluster: &Cluster, token: &Token, deadline: Instant) -> Result<UserInfo, Failure> {
        review::review(&self.pool, cluster, token, deadline).await
    }

    /// Fetches a small public document (OpenID discovery, JWKS) without any credential.
    ///
    /// # Errors
    /// Where the server did not answer 200 within `timeout`, or with more than 1 MiB.
    pub async fn document(&self, url: &Url, trust: &Trust, timeout: Duration) -> Result<Document, Failure> {
        self.pool.document(url, trust, Instant::now() + timeout).await
    }
}
