pub mod api;
pub mod cluster;
pub mod endpoint;
pub mod metrics;
