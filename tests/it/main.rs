//! The integration tests: the real binary, real API servers (tests/cluster), raw HTTP. No test shares an
//! `McpEndpoint`, a namespace or a k-mcp with another, so all of them run at once; only clusters are shared.

mod support;

mod access;
mod bad_input;
mod crd;
mod faults;
mod issuer;
mod lifecycle;
mod live;
mod proxy;
mod structure;
