pub mod api;
pub mod endpoint;
