//! Which names this server answers to, and which pages may call it. Pure.

use http::{HeaderMap, Uri, header, uri::Authority};

/// Allowed `Host`s and `Origin`s.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts {
    hosts: Vec<Pattern>,
    origins: Vec<String>,
}

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostsError {
    /// The name it was sent to is not one of this server's.
    #[error("this server does not answer to that Host; see --allowed-host")]
    Host,
    /// A page of another origin sent it.
    #[error("pages of that Origin may not call this server; see --allowed-origin")]
    Origin,
}

impl HostsError {
    /// As a metric label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Origin => "origin",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    host: String,
    port: Option<u16>,
}

impl Hosts {
    /// From `host` or `host:port` (without a port: any), and origins such as `https://app.example.com`.
    ///
    /// # Errors
    /// With the entry that is neither.
    pub fn new(hosts: &[String], origins: &[String]) -> Result<Self, String> {
        let hosts = hosts
            .iter()
            .map(|text| pattern(text).ok_or_else(|| format!("{text:?} is not a host or host:port")))
            .collect::<Result<_, _>>()?;
        let origins = origins
            .iter()
            .map(|text| match url::Url::parse(text).map(|url| url.origin()) {
                Ok(origin) if origin.is_tuple() => Ok(origin.ascii_serialization()),
                _ => Err(format!("{text:?} is not an origin such as https://app.example.com")),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { hosts, origins })
    }

    /// Whether a request may be answered: its one Host is ours, and its Origin, where it has one, is allowed.
    ///
    /// # Errors
    /// With which of the two is not.
    pub fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), HostsError> {
        let mut named: Vec<&str> = uri.authority().map(Authority::as_str).into_iter().collect(); // HTTP/2
        for value in headers.get_all(header::HOST) {
            named.push(value.to_str().map_err(|_| HostsError::Host)?);
        }
        if named.is_empty() || !named.iter().all(|name| self.answers_to(name)) {
            return Err(HostsError::Host);
        }
        for origin in headers.get_all(header::ORIGIN) {
            let origin = origin.to_str().map_err(|_| HostsError::Origin)?;
            let canonical = url::Url::parse(origin).map(|url| url.origin().ascii_serialization());
            if !canonical.is_ok_and(|origin| self.origins.contains(&origin)) {
                return Err(HostsError::Origin);
            }
        }
        Ok(())
    }

    fn answers_to(&self, name: &str) -> bool {
        pattern(name).is_some_and(|given| {
            self.hosts.iter().any(|ours| ours.host == given.host && (ours.port.is_none() || ours.port == given.port))
        })
    }
}

fn pattern(text: &str) -> Option<Pattern> {
    let authority: Authority = text.parse().ok()?;
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return None;
    }
    let port = match authority.port() {
        Some(port) => Some(port.as_u16()),
        None if authority.as_str().ends_with(':') => return None,
        None => None,
    };
    Some(Pattern { host: authority.host().to_ascii_lowercase(), port })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_our_names_and_allowed_pages_pass() {
        let ours = ["mcp.example.com".to_owned(), "127.0.0.1:8080".to_owned(), "[::1]:8080".to_owned()];
        let hosts = Hosts::new(&ours, &["https://app.example.com".to_owned()]).unwrap();
        for (host, origin, expected) in [
            (Some("mcp.example.com"), None, Ok(())),
            (Some("MCP.example.com:443"), None, Ok(())),
            (Some("127.0.0.1:8080"), None, Ok(())),
            (Some("[::1]:8080"), None, Ok(())),
            (Some("mcp.example.com"), Some("https://app.example.com"), Ok(())),
            (Some("mcp.example.com"), Some("https://app.example.com:443"), Ok(())),
            (Some("127.0.0.1:9"), None, Err(HostsError::Host)),
            (Some("evil.example"), None, Err(HostsError::Host)),
            (Some("mcp.example.com.evil.example"), None, Err(HostsError::Host)),
            (Some("mcp.example.com@evil.example"), None, Err(HostsError::Host)),
            (Some(""), None, Err(HostsError::Host)),
            (None, None, Err(HostsError::Host)),
            (Some("mcp.example.com"), Some("https://evil.example"), Err(HostsError::Origin)),
            (Some("mcp.example.com"), Some("http://app.example.com"), Err(HostsError::Origin)),
            (Some("mcp.example.com"), Some("https://app.example.com:8443"), Err(HostsError::Origin)),
            (Some("mcp.example.com"), Some("null"), Err(HostsError::Origin)),
        ] {
            let mut headers = HeaderMap::new();
            host.map(|h| headers.insert(header::HOST, HeaderValue::from_static(h)));
            origin.map(|o| headers.insert(header::ORIGIN, HeaderValue::from_static(o)));
            assert_eq!(hosts.check(&Uri::from_static("/mcp/x"), &headers), expected, "{host:?} {origin:?}");
        }
    }

    #[test]
    fn a_second_host_must_be_ours_too() {
        let hosts = Hosts::new(&["a.example".to_owned()], &[]).unwrap();
        let mut headers = HeaderMap::new();
        headers.append(header::HOST, HeaderValue::from_static("a.example"));
        headers.append(header::HOST, HeaderValue::from_static("b.example"));
        assert_eq!(hosts.check(&Uri::from_static("/"), &headers), Err(HostsError::Host));
        assert_eq!(hosts.check(&Uri::from_static("http://b.example/"), &HeaderMap::new()), Err(HostsError::Host));
    }

    #[test]
    fn nothing_allowed_is_nobody_allowed() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("localhost"));
        assert_eq!(Hosts::default().check(&Uri::from_static("/"), &headers), Err(HostsError::Host));
        assert!(Hosts::new(&["a b".to_owned()], &[]).is_err());
        assert!(Hosts::new(&[], &["app.example.com".to_owned()]).is_err());
    }
}
