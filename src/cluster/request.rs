//! Requests as they leave: built from parts that are each encoded, never from text that is concatenated.

use crate::endpoint::Upstream;
use http::{Method, Request, header};
use http_body_util::Full;
use hyper::body::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but the unreserved characters of RFC 3986 section 2.3.
const UNRESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What the API server is asked to answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accept {
    /// Objects.
    Json,
    /// A `meta.k8s.io/v1` Table, by the server's own printer columns.
    Table,
    /// Aggregated discovery.
    Discovery,
}

impl Accept {
    fn header(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Table => "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
            Self::Discovery => kube::core::discovery::v2::ACCEPT_AGGREGATED_DISCOVERY_V2,
        }
    }
}

/// A GET request for a path of segments below the server's URL.
pub(super) fn get(
    upstream: &Upstream,
    segments: &[&str],
    query: &[(&'static str, String)],
    accept: Accept,
) -> Result<Request<Full<Bytes>>, http::Error> {
    let mut uri = base(upstream);
    for segment in segments {
        uri.push('/');
        uri.extend(utf8_percent_encode(segment, &UNRESERVED));
    }
    for (i, (key, value)) in query.iter().enumerate() {
        uri.push(if i == 0 { '?' } else { '&' });
        uri.push_str(key);
        uri.push('=');
        uri.extend(utf8_percent_encode(value, &UNRESERVED));
    }
    Request::builder()
        .method(Method::GET)
        .uri(uri)
        .header(header::ACCEPT, accept.header())
        .header(header::USER_AGENT, USER_AGENT)
        .body(Full::default())
}

/// What k-mcp calls itself in the audit logs of clusters.
pub(super) const USER_AGENT: &str = concat!("k-mcp/", env!("CARGO_PKG_VERSION"));

/// The server's URL without a trailing slash.
pub(super) fn base(upstream: &Upstream) -> String {
    upstream.server.as_str().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Trust;

    #[test]
    fn whatever_a_segment_or_value_holds_it_stays_one() {
        let upstream = Upstream {
            server: "https://k.example:6443/k8s/clusters/c-1/".parse().unwrap(),
            trust: Trust::System,
            tls_server_name: None,
        };
        for (segment, query, expected) in [
            ("web", "a=b", "/web?labelSelector=a%3Db"),
            ("../x", "a&watch=1", "/..%2Fx?labelSelector=a%26watch%3D1"),
            ("a?b#c", "x#y", "/a%3Fb%23c?labelSelector=x%23y"),
            ("%2f", "%26", "/%252f?labelSelector=%2526"),
            ("a\nb", "a\r\nHost: x", "/a%0Ab?labelSelector=a%0D%0AHost%3A%20x"),
        ] {
            let request = get(&upstream, &["api", segment], &[("labelSelector", query.to_owned())], Accept::Json);
            let uri = request.unwrap().uri().to_string();
            assert_eq!(uri, format!("https://k.example:6443/k8s/clusters/c-1/api{expected}"));
        }
    }
}
