//! The `k-mcp` binary.

use clap::Parser as _;
use k_mcp::{app, cli::Cli};
use std::process::ExitCode;

fn main() -> ExitCode {
    match app::run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("k-mcp: {error:#}");
            ExitCode::FAILURE
        }
    }
}
