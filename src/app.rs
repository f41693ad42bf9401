//! Wires everything together and starts it. The only module that knows all others.

use crate::{
    api,
    auth::Authenticator,
    cli::{Cli, Command, ServeOptions, check},
    cluster::{AddressPolicy, Clusters},
    controller::{self, Controller},
    endpoint::{LiveCatalog, Settings},
    metrics::Metrics,
    reply::yaml,
    server::{self, Hosts, Readiness, Shared},
    telemetry,
    tools::Sealer,
};
use anyhow::{Context as _, anyhow, bail};
use std::{process::ExitCode, sync::Arc};
use tokio::{net::TcpListener, signal::unix, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// Does what the command line says.
///
/// # Errors
/// Where it cannot be done; the text is for whoever started the program.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Crd => {
            print!("{}", yaml::to_yaml(&serde_json::to_value(api::crd())?));
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { files } => check::run(&files),
        Command::Serve(options) => {
            tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(&options))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn serve(options: &ServeOptions) -> anyhow::Result<()> {
    // One TLS provider for the whole program, chosen before anything can choose another.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow!("a TLS provider was installed already"))?;
    telemetry::start(options.log_format, &options.log_level).map_err(|e| anyhow!("--log-level: {e}"))?;
    let metrics = Arc::new(Metrics::new()?);
    let live: LiveCatalog = Arc::default();
    let readiness = Readiness::default();
    let catalog = readiness.pending("catalog");

    let public_url = options.public_url();
    let hosts = hosts(options, &public_url)?;
    let policy = AddressPolicy { allow_loopback: options.allow_loopback_upstreams, deny: options.deny_cidrs.clone() };
    let clusters = Clusters::new(policy, metrics.clone());
    let (client, own_namespace) = controller::client(options.management().as_ref())?;
    let controller = Controller {
        client,
        namespace: options.namespace.clone().unwrap_or(own_namespace),
        settings: Settings { public_url: public_url.clone() },
        live: live.clone(),
        metrics: metrics.clone(),
    };
    let shared = Arc::new(Shared {
        live,
        authenticator: Authenticator::new(clusters.clone()),
        clusters,
        sealer: Arc::new(Sealer::new().map_err(|_| anyhow!("no random bytes from the system"))?),
        metrics: metrics.clone(),
        hosts,
    });

    let listener = TcpListener::bind(options.listen).await.with_context(|| format!("--listen {}", options.listen))?;
    let admin = TcpListener::bind(options.admin_listen)
        .await
        .with_context(|| format!("--admin-listen {}", options.admin_listen))?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        namespace = controller.namespace,
        listen = %listener.local_addr()?,
        admin = %admin.local_addr()?,
        public_url,
        "k-mcp starts"
    );

    // `stop` ends what serves; the admin port outlives it, so that probes see the drain, and so do calls in flight.
    let stop = CancellationToken::new();
    let drained = CancellationToken::new();
    let mut tasks: JoinSet<anyhow::Result<&'static str>> = JoinSet::new();
    let draining = readiness.clone();
    tasks.spawn({
        let stop = stop.clone();
        async move { controller.run(move || drop(catalog), stop).await.map(|()| "controller").map_err(Into::into) }
    });
    tasks.spawn({
        let serve = server::serve(listener, server::router(shared, drained.child_token()), stop.clone());
        async move {
            serve.await;
            Ok("server")
        }
    });
    tasks.spawn({
        let serve = server::serve(admin, server::admin_router(readiness, metrics), drained.clone());
        async move {
            serve.await;
            Ok("admin")
        }
    });

    let mut terminate = unix::signal(unix::SignalKind::terminate())?;
    let mut interrupt = unix::signal(unix::SignalKind::interrupt())?;
    let ended = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        ended = tasks.join_next() => ended,
    };
    if let Some(ended) = ended {
        // A background task that ends, ends the process.
        bail!("{} ended unexpectedly", ended??);
    }
    tracing::info!("k-mcp stops: no new requests, those in flight may end");
    let _draining = draining.pending("stop");
    stop.cancel();
    let drain = async {
        for _ in 0..2 {
            if let Some(ended) = tasks.join_next().await {
                ended??;
            }
        }
        anyhow::Ok(())
    };
    if tokio::time::timeout(server::DRAIN, drain).await.is_err() {
        tracing::warn!("some requests did not end in time");
    }
    drained.cancel();
    Ok(())
}

/// The names this server answers to: the public URL's, and those that were given.
fn hosts(options: &ServeOptions, public_url: &str) -> anyhow::Result<Hosts> {
    let url = url::Url::parse(public_url).context("--public-url is not a URL")?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        bail!("--public-url must be an http or https URL without query or fragment");
    }
    let host = url.host_str().context("--public-url has no host")?;
    let mut names = vec![host.to_owned()];
    if matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
        names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "[::1]".to_owned()];
    }
    names.extend(options.allowed_hosts.iter().cloned());
    Hosts::new(&names, &options.allowed_origins).map_err(|e| anyhow!("--allowed-host or --allowed-origin: {e}"))
}
