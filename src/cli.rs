//! The command line: `serve`, `crd`, `check`.

pub mod check;

use crate::{controller::Management, telemetry::LogFormat};
use clap::{Args, Parser, Subcommand};
use ipnet::IpNet;
use std::{net::SocketAddr, path::PathBuf};

/// The Kubernetes MCP server: an McpEndpoint decides which clusters, tools and namespaces each bearer token reaches.
#[derive(Debug, Parser)]
#[command(name = "k-mcp", version, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the controller and the MCP server.
    Serve(Box<ServeOptions>),
    /// Print the CustomResourceDefinition of McpEndpoint as YAML.
    Crd,
    /// Check McpEndpoint files without a cluster: schema, unknown fields, CEL rules and what the server would say.
    ///
    /// Exits with 1 where anything would not be in effect, naming the field.
    Check {
        /// YAML or JSON files, of one or many documents; - is standard input.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

/// Options of `serve`; each is also an environment variable.
#[derive(Debug, Clone, Args)]
pub struct ServeOptions {
    /// Where agents connect.
    #[arg(long, env = "KMCP_LISTEN", default_value = "0.0.0.0:8080", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// Where /livez, /readyz and /metrics are. Not for agents.
    #[arg(long, env = "KMCP_ADMIN_LISTEN", default_value = "0.0.0.0:9090", value_name = "ADDR")]
    pub admin_listen: SocketAddr,
    /// URL at which agents reach this server; endpoints are below it, at /mcp/NAME. Default: http://localhost and the port.
    #[arg(long, env = "KMCP_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// Host (or host:port) that requests may be sent to, beside that of the public URL.
    #[arg(long = "allowed-host", env = "KMCP_ALLOWED_HOSTS", value_delimiter = ',', value_name = "HOST")]
    pub allowed_hosts: Vec<String>,
    /// Origin of web pages that may call this server. Default: none.
    #[arg(long = "allowed-origin", env = "KMCP_ALLOWED_ORIGINS", value_delimiter = ',', value_name = "ORIGIN")]
    pub allowed_origins: Vec<String>,
    /// Namespace whose McpEndpoints are served. Default: the pod's own.
    #[arg(long, env = "KMCP_NAMESPACE", value_name = "NAME")]
    pub namespace: Option<String>,
    /// Outside a pod: URL of the management cluster's API server.
    #[arg(long, env = "KMCP_MANAGEMENT_SERVER", value_name = "URL", requires_all = ["management_token_file", "management_ca_file"])]
    pub management_server: Option<String>,
    /// Outside a pod: file with k-mcp's own token for the management cluster.
    #[arg(long, env = "KMCP_MANAGEMENT_TOKEN_FILE", value_name = "FILE", requires = "management_server")]
    pub management_token_file: Option<PathBuf>,
    /// Outside a pod: file with the CA of the management cluster's API server.
    #[arg(long, env = "KMCP_MANAGEMENT_CA_FILE", value_name = "FILE", requires = "management_server")]
    pub management_ca_file: Option<PathBuf>,
    /// Network that is never dialled, whatever an McpEndpoint says.
    #[arg(long = "deny-cidr", env = "KMCP_DENY_CIDRS", value_delimiter = ',', value_name = "CIDR")]
    pub deny_cidrs: Vec<IpNet>,
    /// Let McpEndpoints name servers on this machine's loopback: for a demo or tests, never in a pod.
    #[arg(long, env = "KMCP_ALLOW_LOOPBACK_UPSTREAMS")]
    pub allow_loopback_upstreams: bool,
    /// How log lines look.
    #[arg(long, env = "KMCP_LOG_FORMAT", value_enum, default_value = "json", value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// Level, or a filter such as info,k_mcp=debug.
    #[arg(long, env = "KMCP_LOG_LEVEL", default_value = "info", value_name = "LEVEL")]
    pub log_level: String,
}

impl ServeOptions {
    /// The public URL without a trailing slash.
    pub fn public_url(&self) -> String {
        let default = || format!("http://localhost:{}", self.listen.port());
        self.public_url.clone().unwrap_or_else(default).trim_end_matches('/').to_owned()
    }

    /// Where the management cluster is, if not around this pod.
    pub fn management(&self) -> Option<Management> {
        Some(Management {
            server: self.management_server.clone()?,
            token_file: self.management_token_file.clone()?,
            ca_file: self.management_ca_file.clone()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
