//! Connections, shared by server, CA and name to verify; the token is a header of each request, never part of a
//! connection.

use super::{
    AddressPolicy, Failure,
    connector::{self, Dial, DialError},
    request,
};
use crate::{
    endpoint::{Cluster, Digest, Trust, Upstream},
    metrics::Metrics,
};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use moka::sync::Cache;
use serde::Deserialize;
use std::{error::Error, sync::Arc, time::Duration};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use url::Url;

/// Largest answer of an API server that is read.
const MAX_ANSWER: usize = 64 << 20;
/// Largest public document that is read.
const MAX_DOCUMENT: usize = 1 << 20;
/// Servers and limits that are remembered at once; 64 clusters for each of 64 endpoints.
const CAPACITY: u64 = 4096;
const IDLE: Duration = Duration::from_mins(15);

type HttpClient = Client<HttpsConnector<Dial>, Full<Bytes>>;

/// A public document.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its bytes.
    pub body: Bytes,
}

/// The key of everything that is shared by server: never a name, which two endpoints may give to two servers.
pub(super) fn key(upstream: &Upstream) -> Digest {
    let trust = format!("{:?}", upstream.trust);
    let ca = match &upstream.trust {
        Trust::Pem { pem, .. } => pem,
        Trust::System | Trust::Unresolved => "",
    };
    let sni = upstream.tls_server_name.as_deref();
    Digest::of([upstream.server.as_str(), &trust, ca, sni.unwrap_or_default(), if sni.is_some() { "sni" } else { "" }])
}

/// Which connections a request takes. An API server answers a refused token by closing the connection (its HTTP/2 abuse
/// mitigation), so tokens that nobody has vouched for yet never share one with the calls of those who are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// Requests of callers.
    Calls,
    /// Reviews of tokens, and public documents.
    Reviews,
}

/// Reviews in flight at once, per server.
const MAX_REVIEWS: usize = 8;

pub(super) struct Pool {
    policy: Arc<AddressPolicy>,
    clients: Cache<(Digest, Lane), HttpClient>,
    limits: Cache<(Digest, usize, Lane), Arc<Semaphore>>,
    metrics: Arc<Metrics>,
}

impl Pool {
    pub fn new(policy: AddressPolicy, metrics: Arc<Metrics>) -> Self {
        Self {
            policy: Arc::new(policy),
            clients: Cache::builder().max_capacity(CAPACITY).time_to_idle(IDLE).build(),
            limits: Cache::builder().max_capacity(CAPACITY).time_to_idle(IDLE).build(),
            metrics,
        }
    }

    fn client(&self, upstream: &Upstream, lane: Lane) -> Result<HttpClient, Failure> {
        let key = (key(upstream), lane);
        if let Some(client) = self.clients.get(&key) {
            return Ok(client);
        }
        let connector = connector::https(self.policy.clone(), &upstream.trust, upstream.tls_server_name.as_deref())
            .map_err(Failure::Unreachable)?;
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(90))
            // A server that froze without closing its connections is noticed, and its connection dropped.
            .http2_keep_alive_interval(Duration::from_secs(15))
            .http2_keep_alive_timeout(Duration::from_secs(10))
            .http2_initial_stream_window_size(1 << 20)
            .http2_initial_connection_window_size(4 << 20)
            .build(connector);
        Ok(self.clients.get_with(key, || client))
    }

    /// Sends a request that the guard has passed and gives the body of a 2xx answer.
    ///
    /// Not `pub`: only [`super::handle`] and [`super::review`] call it, each after its guard.
    pub(super) async fn send(
        &self,
        cluster: &Cluster,
        lane: Lane,
        request: Request<Full<Bytes>>,
        deadline: Instant,
    ) -> Result<Bytes, Failure> {
        let started = Instant::now();
        let limit = match lane {
            Lane::Calls => cluster.max_concurrent_requests,
            Lane::Reviews => MAX_REVIEWS,
        };
        let slots = self.limits.get_with((key(&cluster.upstream), limit, lane), || Arc::new(Semaphore::new(limit)));
        let result = match timeout_at(deadline, slots.acquire()).await {
            Ok(Ok(_slot)) => self.exchange(&cluster.upstream, lane, request, deadline, MAX_ANSWER).await,
            Ok(Err(_)) | Err(_) => Err(Failure::Busy),
        };
        let outcome = match &result {
            Ok(_) => "ok",
            Err(failure) => failure.label(),
        };
        self.metrics.upstream(outcome, started.elapsed());
        result
    }

    /// Fetches a public document.
    pub async fn document(&self, url: &Url, trust: &Trust, deadline: Instant) -> Result<Document, Failure> {
        let upstream = Upstream {
            server: url.join("/").map_err(|_| Failure::Guard("document URL"))?,
            trust: trust.clone(),
            tls_server_name: None,
        };
        if url.scheme() != "https" {
            return Err(Failure::Guard("document URL"));
        }
        let request = Request::builder()
            .method(Method::GET)
            .uri(url.as_str())
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, request::USER_AGENT)
            .body(Full::default())
            .map_err(|_| Failure::Guard("document URL"))?;
        let body = self.exchange(&upstream, Lane::Reviews, request, deadline, MAX_DOCUMENT).await?;
        Ok(Document { body })
    }

    async fn exchange(
        &self,
        upstream: &Upstream,
        lane: Lane,
        request: Request<Full<Bytes>>,
        deadline: Instant,
        max: usize,
    ) -> Result<Bytes, Failure> {
        let client = self.client(upstream, lane)?;
        let started = Instant::now();
        let answer = async {
            // A connection may be closed under a request that it has taken; reading once more is harmless.
            let again = (request.method() == Method::GET).then(|| request.clone());
            let response = match (client.request(request).await, again) {
                (Err(error), Some(again)) if !error.is_connect() => client.request(again).await,
                (result, _) => result,
            };
            read(response.map_err(|e| unreachable(&e))?, max).await
        };
        match timeout_at(deadline, answer).await {
            Ok(result) => result,
            Err(_) => Err(Failure::TimedOut(started.elapsed())),
        }
    }
}

async fn read(response: Response<Incoming>, max: usize) -> Result<Bytes, Failure> {
    let (parts, body) = response.into_parts();
    let body = match Limited::new(body, max).collect().await {
        Ok(body) => body.to_bytes(),
        Err(e) if e.is::<LengthLimitError>() => return Err(Failure::TooLarge(max >> 20)),
        Err(_) => return Err(Failure::Unreachable("the connection broke while it answered")),
    };
    if parts.status.is_success() {
        return Ok(body);
    }
    if parts.status.is_redirection() {
        return Err(Failure::Garbled("a redirect, which is never followed"));
    }
    let retry_after = parts
        .headers
        .get(header::RETRY_AFTER)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse().ok())
        .map(Duration::from_secs);
    Err(api_failure(parts.status, retry_after, &body))
}

fn api_failure(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Failure {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Status {
        kind: String,
        reason: String,
        message: String,
    }
    let Status { kind, reason, message } = serde_json::from_slice(body).unwrap_or_default();
    let (reason, message) = if kind == "Status" { (reason, message) } else { Default::default() };
    Failure::Api { status, reason, message, retry_after }
}

/// Says why there is no connection, in words of ours: a remote certificate or text is never repeated.
fn unreachable(error: &hyper_util::client::legacy::Error) -> Failure {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(e) = cause {
        if let Some(dial) = e.downcast_ref::<DialError>() {
            return Failure::Unreachable(match dial {
                DialError::Resolve => "its name does not resolve",
                DialError::Denied => "its address is one that k-mcp never dials",
                DialError::Connect => "no connection",
            });
        }
        if let Some(tls) = e.downcast_ref::<rustls::Error>() {
            return Failure::Unreachable(tls_reason(tls));
        }
        // An io::Error wraps others (as often as layers do), and its source() skips what it wraps.
        cause = match e.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => e.source(),
        };
    }
    if error.is_connect() {
        Failure::Unreachable("no connection")
    } else {
        Failure::Unreachable("the connection broke")
    }
}

fn tls_reason(error: &rustls::Error) -> &'static str {
    use rustls::CertificateError as C;
    match error {
        rustls::Error::InvalidCertificate(C::UnknownIssuer | C::BadSignature) => {
            "its certificate is not from the given authority"
        }
        rustls::Error::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
            "its certificate is for another name"
        }
        rustls::Error::InvalidCertificate(
            C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. },
        ) => "its certificate is not valid at this time",
        rustls::Error::InvalidCertificate(_) => "its certificate is not acceptable",
        _ => "no TLS connection",
    }
}
