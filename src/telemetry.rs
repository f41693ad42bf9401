//! Logs: to standard output, as JSON or text.

use tracing_subscriber::{EnvFilter, fmt};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

/// Starts logging. `level` is a level or a filter such as `info,k_mcp=debug`; the target `audit` is always on.
///
/// # Errors
/// Where `level` is neither, or logging has been started already.
pub fn start(format: LogFormat, level: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut filter = EnvFilter::try_new(level)?.add_directive("audit=info".parse()?);
    if !level.contains("rmcp") {
        // It tells of every request at info, and of every refused call at warn: both are in the audit log.
        filter = filter.add_directive("rmcp=error".parse()?);
    }
    match format {
        LogFormat::Json => fmt().json().flatten_event(true).with_env_filter(filter).with_current_span(false).try_init(),
        LogFormat::Text => fmt().with_env_filter(filter).with_ansi(false).try_init(),
    }
}
