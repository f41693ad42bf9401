//! A reverse proxy in front of an API server that records what passes: what a cluster sees of k-mcp.

use super::{cluster::Cluster, kmcp::install_tls};
use http::{Request, Response, StatusCode, Uri, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};
use tokio::{net::TcpListener, sync::watch};
use tokio_rustls::TlsAcceptor;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Which of the connections, counted from 0.
    pub connection: usize,
    pub version: Version,
    pub method: String,
    pub path: String,
    pub query: String,
}

/// Ends with the runtime of its test.
pub struct Proxy {
    held: watch::Sender<bool>,
    pub url: String,
    /// CA that its certificate leads to.
    pub ca: String,
    seen: Arc<Mutex<Vec<Recorded>>>,
}

struct Forward {
    held: watch::Receiver<bool>,
    seen: Arc<Mutex<Vec<Recorded>>>,
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    server: Uri,
}

impl Proxy {
    pub async fn start(cluster: &Cluster) -> Self {
        install_tls();
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let tls = ServerConfig::builder().with_no_client_auth();
        let mut tls = tls.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(tls));

        let seen: Arc<Mutex<Vec<Recorded>>> = Arc::default();
        let (held, hold) = watch::channel(false);
        let server = cluster.url().parse().unwrap();
        let forward = Arc::new(Forward { held: hold, seen: seen.clone(), http: client(&cluster.ca()), server });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let _ = stream.set_nodelay(true);
                let (acceptor, forward) = (acceptor.clone(), forward.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request| {
                        let forward = forward.clone();
                        async move { Ok::<_, Infallible>(forward.handle(connection, request).await) }
                    });
                    let server = auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { held, url, ca: certificate.pem(), seen }
    }

    /// Lets requests wait, or go on.
    pub fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    /// Everything so far.
    pub fn seen(&self) -> Vec<Recorded> {
        self.seen.lock().unwrap().clone()
    }
}

fn client(ca: &str) -> Client<HttpsConnector<HttpConnector>, Full<Bytes>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(ca.as_bytes()).flatten());
    let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_all_versions().build();
    Client::builder(TokioExecutor::new()).build(connector)
}

impl Forward {
    async fn handle(&self, connection: usize, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (mut parts, body) = request.into_parts();
        self.seen.lock().unwrap().push(Recorded {
            connection,
            version: parts.version,
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
        });
        let _ = self.held.clone().wait_for(|held| !held).await;
        let path = parts.uri.path_and_query().map_or("/", |p| p.as_str());
        let server = self.server.authority().unwrap();
        parts.uri = format!("https://{server}{path}").parse().unwrap();
        parts.version = Version::HTTP_11;
        parts.headers.remove(http::header::HOST);
        let failed = || Response::builder().status(StatusCode::BAD_GATEWAY).body(Full::default()).unwrap();
        let Ok(body) = body.collect().await else { return failed() };
        let Ok(answer) = self.http.request(Request::from_parts(parts, Full::new(body.to_bytes()))).await else {
            return failed();
        };
        let (mut parts, body) = answer.into_parts();
        let Ok(body) = body.collect().await else { return failed() };
        parts.version = Version::HTTP_11;
        for hop in ["connection", "transfer-encoding", "content-length", "keep-alive"] {
            parts.headers.remove(hop);
        }
        Response::from_parts(parts, Full::new(body.to_bytes()))
    }
}
