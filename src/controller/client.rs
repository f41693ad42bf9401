//! The controller's own way to the management cluster. In a pod: the projected ServiceAccount token. Elsewhere (demo,
//! tests): the same three things as files. Never a kubeconfig.

use kube::{Client, Config, runtime::watcher};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use std::path::PathBuf;

/// Where the management cluster is, outside a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Management {
    /// URL of its API server.
    pub server: String,
    /// File with a bearer token; read again when it changes.
    pub token_file: PathBuf,
    /// File with the CA of the API server.
    pub ca_file: PathBuf,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Not in a pod, and nothing was given.
    #[error(
        "not in a pod ({0}); outside one, give --management-server, --management-token-file and --management-ca-file"
    )]
    NotInCluster(String),
    /// The server is no URL.
    #[error("--management-server is not an https URL")]
    Server,
    /// The CA file cannot be read.
    #[error("--management-ca-file {0}: {1}")]
    Ca(PathBuf, String),
    /// The client could not be made.
    #[error("no client for the management cluster: {0}")]
    Client(String),
}

/// Makes the client.
///
/// # Errors
/// Where a file or URL is missing or not what it should be.
pub fn client(management: Option<&Management>) -> Result<(Client, String), ClientError> {
    let config = match management {
        None => Config::incluster().map_err(|e| ClientError::NotInCluster(e.to_string()))?,
        Some(Management { server, token_file, ca_file }) => {
            let url = server.parse::<http::Uri>().map_err(|_| ClientError::Server)?;
            if url.scheme_str() != Some("https") {
                return Err(ClientError::Server);
            }
            let pem = std::fs::read(ca_file).map_err(|e| ClientError::Ca(ca_file.clone(), e.to_string()))?;
            let roots: Result<Vec<Vec<u8>>, _> =
                CertificateDer::pem_slice_iter(&pem).map(|c| c.map(|c| c.to_vec())).collect();
            let roots = roots.map_err(|e| ClientError::Ca(ca_file.clone(), e.to_string()))?;
            let mut config = Config::new(url);
            config.root_cert = Some(roots);
            config.auth_info.token_file = Some(token_file.display().to_string());
            config
        }
    };
    let namespace = config.default_namespace.clone();
    Ok((Client::try_from(config).map_err(|e| ClientError::Client(e.to_string()))?, namespace))
}

/// Why a watch failed, for the operator: what to do, and no remote text.
pub(super) fn explain_watch(error: &watcher::Error) -> &'static str {
    let inner = match error {
        watcher::Error::InitialListFailed(e) | watcher::Error::WatchStartFailed(e) | watcher::Error::WatchFailed(e) => {
            e
        }
        watcher::Error::WatchError(status) => return explain_code(status.code),
        watcher::Error::NoResourceVersion => return "the API server's answer cannot be read",
    };
    match inner {
        kube::Error::Api(status) => explain_code(status.code),
        kube::Error::Service(_) | kube::Error::HyperError(_) => "the API server does not answer",
        kube::Error::Auth(_) => "k-mcp's own token cannot be read",
        kube::Error::SerdeError(_) => "the API server's answer cannot be read",
        _ => "the request failed",
    }
}

fn explain_code(code: u16) -> &'static str {
    match code {
        401 => "the API server refuses k-mcp's own token",
        403 => "k-mcp's ServiceAccount lacks the right to list and watch it in this namespace (see the chart's Role)",
        404 => "the CustomResourceDefinition is not installed (kubectl apply -f crds/)",
        410 => "the watch was too old; listing anew",
        429 => "the API server asks to slow down",
        500.. => "the API server has an internal error",
        _ => "the API server refuses the request",
    }
}
