//! As whom a cluster is called. Nothing here falls back: without the credential that the endpoint names, nothing is
//! sent.

use super::Failure;
use crate::endpoint::{Caller, Cluster, Credential, Token};
use http::{HeaderMap, HeaderValue, header};
use std::time::SystemTime;

/// Puts the credential of a cluster on a request that has passed the guard.
///
/// # Errors
/// Where the caller's token may not be sent to that cluster, or has expired meanwhile.
pub(super) fn attach(headers: &mut HeaderMap, cluster: &Cluster, caller: &Caller) -> Result<(), Failure> {
    let Credential::Forward { issuers, audiences } = &cluster.credential;
    // The Grant has decided this already; it is decided again where the token leaves.
    if !issuers.contains(&caller.issuer) || audiences.is_disjoint(&caller.audiences) {
        return Err(Failure::Guard("credential"));
    }
    if caller.only_cluster.as_ref().is_some_and(|only| *only != cluster.name) {
        return Err(Failure::Guard("credential"));
    }
    if caller.expires <= SystemTime::now() {
        return Err(Failure::Guard("the token has expired"));
    }
    bearer(headers, &caller.token)
}

/// Puts a token on a request.
pub(super) fn bearer(headers: &mut HeaderMap, token: &Token) -> Result<(), Failure> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose())).map_err(|_| Failure::Guard("token"))?;
    value.set_sensitive(true);
    headers.insert(header::AUTHORIZATION, value);
    Ok(())
}
