//! The integration tests: the real binary, real API servers (tests/cluster), raw HTTP. No test shares an
//! `McpEndpoint`, a namespace or a k-mcp with another, so all of them run at once; only clusters are shared.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; clippy.toml's exceptions do not cover what tests share"
)]
#![allow(clippy::needless_pass_by_value, reason = "builders of JSON take what json! makes")]

mod support;

mod access;
mod bad_input;
mod clients;
mod crd;
mod discovery;
mod expressions;
mod fairness;
mod faults;
mod fleet;
mod issuer;
mod lifecycle;
mod live;
mod oauth;
mod proxy;
mod structure;
