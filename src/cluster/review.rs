//! `SelfSubjectReview`: a cluster says whose a token of its own is. Open to every authenticated user, so k-mcp needs
//! no privilege there, and the cluster checks signature, expiry and revocation itself.

use super::{
    Failure, credential, guard,
    pool::{Lane, Pool},
    request,
};
use crate::endpoint::{Cluster, Token};
use http::{Method, Request, header};
use http_body_util::Full;
use hyper::body::Bytes;
use serde::Deserialize;
use std::collections::BTreeMap;
use tokio::time::Instant;

/// Whom a cluster takes a token's bearer for.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
pub struct UserInfo {
    /// Name.
    pub username: String,
    /// Unique id; empty where there is none.
    #[serde(default)]
    pub uid: String,
    /// Groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Extra values.
    #[serde(default)]
    pub extra: BTreeMap<String, Vec<String>>,
}

pub(super) async fn review(
    pool: &Pool,
    cluster: &Cluster,
    token: &Token,
    deadline: Instant,
) -> Result<UserInfo, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Status {
        user_info: UserInfo,
    }
    #[derive(Deserialize)]
    struct Review {
        status: Status,
    }
    let base = request::base(&cluster.upstream);
    let built = Request::builder()
        .method(Method::POST)
        .uri(format!("{base}/apis/authentication.k8s.io/v1/selfsubjectreviews"))
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, request::USER_AGENT)
        .body(Full::new(Bytes::from_static(br#"{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}"#)))
        .map_err(|_| Failure::Guard("review"))?;
    let (mut parts, body) = built.into_parts();
    guard::check_review(cluster.upstream.server.path().trim_end_matches('/'), &parts)?;
    credential::bearer(&mut parts.headers, token)?;
    let answer = pool.send(cluster, Lane::Reviews, Request::from_parts(parts, body), deadline).await?;
    let Review { status } = serde_json::from_slice(&answer).map_err(|_| Failure::Garbled("no SelfSubjectReview"))?;
    Ok(status.user_info)
}
