//! The one place where connections are made: the resolved address is checked, and that address is dialled.

use crate::endpoint::Trust;
use http::Uri;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use std::{
    future::Future,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::net::TcpStream;

/// How long one address may take to accept a connection before the next is tried.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);

/// Which addresses may be dialled.
#[derive(Debug, Clone, Default)]
pub struct AddressPolicy {
    /// Loopback too: for a demo or tests, where API servers listen there.
    pub allow_loopback: bool,
    /// Networks that may not be dialled.
    pub deny: Vec<IpNet>,
}

impl AddressPolicy {
    fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical(); // ::ffff:127.0.0.1 is 127.0.0.1
        let special = match address {
            IpAddr::V4(v4) => v4.is_link_local() || v4 == Ipv4Addr::BROADCAST,
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        !special
            && !address.is_unspecified()
            && !address.is_multicast()
            && (self.allow_loopback || !address.is_loopback())
            && !self.deny.iter().any(|net| net.contains(&address))
    }
}

/// Why no connection was made; a closed set of texts.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub(super) enum DialError {
    #[error("its name does not resolve")]
    Resolve,
    #[error("its address is one that k-mcp never dials (loopback, link-local, multicast or a denied network)")]
    Denied,
    #[error("no address accepted a connection")]
    Connect,
}

/// Dials TCP, after a look at the address.
#[derive(Debug, Clone)]
pub(super) struct Dial(pub Arc<AddressPolicy>);

impl Dial {
    async fn connect(self, uri: Uri) -> Result<TokioIo<TcpStream>, DialError> {
        let host = uri.host().ok_or(DialError::Resolve)?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(443);
        let found: Vec<SocketAddr> =
            tokio::net::lookup_host((host.as_str(), port)).await.map_err(|_| DialError::Resolve)?.collect();
        if found.is_empty() {
            return Err(DialError::Resolve);
        }
        let allowed: Vec<SocketAddr> = found.into_iter().filter(|a| self.0.allows(a.ip())).collect();
        if allowed.is_empty() {
            return Err(DialError::Denied);
        }
        for address in allowed {
            if let Ok(Ok(stream)) = tokio::time::timeout(DIAL_TIMEOUT, TcpStream::connect(address)).await {
                // Small requests over a shared connection: without this each waits for the ACK of the one before.
                let _ = stream.set_nodelay(true);
                return Ok(TokioIo::new(stream));
            }
        }
        Err(DialError::Connect)
    }
}

impl tower_service::Service<Uri> for Dial {
    type Response = TokioIo<TcpStream>;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, DialError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

/// A connector that trusts what `trust` says, verifies `server_name` where it is given, and offers HTTP/2.
pub(super) fn https(
    policy: Arc<AddressPolicy>,
    trust: &Trust,
    server_name: Option<&str>,
) -> Result<HttpsConnector<Dial>, &'static str> {
    let mut roots = RootCertStore::empty();
    match trust {
        Trust::Unresolved => return Err("its certificate authority does not resolve"),
        Trust::System => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Trust::Pem { pem, .. } => {
            roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem.as_bytes()).flatten());
        }
    }
    if roots.is_empty() {
        return Err("no usable certificate authority");
    }
    let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_only();
    let builder = match server_name {
        None => builder,
        Some(name) => {
            let name = ServerName::try_from(name.to_owned()).map_err(|_| "tlsServerName is not a host name")?;
            builder.with_server_name_resolver(FixedServerNameResolver::new(name))
        }
    };
    Ok(builder.enable_all_versions().wrap_connector(Dial(policy)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_and_of_metadata_services_are_never_dialled() {
        let policy = AddressPolicy { allow_loopback: false, deny: vec!["10.9.0.0/16".parse().unwrap()] };
        for (address, allowed) in [
            ("127.0.0.1", false),
            ("127.8.8.8", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("0.0.0.0", false),
            ("::", false),
            ("169.254.169.254", false),
            ("::ffff:169.254.169.254", false),
            ("fe80::1", false),
            ("224.0.0.1", false),
            ("ff02::1", false),
            ("255.255.255.255", false),
            ("10.9.1.2", false),
            ("::ffff:10.9.1.2", false),
            ("10.8.1.2", true),
            ("192.0.2.7", true),
            ("2001:db8::7", true),
        ] {
            assert_eq!(policy.allows(address.parse().unwrap()), allowed, "{address}");
        }
    }

    #[test]
    fn loopback_can_be_allowed_and_link_local_cannot() {
        let policy = AddressPolicy { allow_loopback: true, deny: Vec::new() };
        assert!(policy.allows("127.0.0.1".parse().unwrap()));
        assert!(!policy.allows("169.254.169.254".parse().unwrap()));
    }
}
