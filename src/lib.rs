pub mod api;
pub mod auth;
pub mod cluster;
pub mod controller;
pub mod endpoint;
pub mod metrics;
