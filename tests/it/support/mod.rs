//! What the tests are made of.

pub mod cluster;
pub mod kmcp;
pub mod mcp;
pub mod proxy;
pub mod scene;
pub mod spec;

use std::{future::Future, time::Duration};
use tokio::time::{Instant, sleep};

/// Asks until there is an answer, and panics with `what` where there is none in time.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, within: Duration, ask: impl Fn() -> F) -> T {
    let end = Instant::now() + within;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "not within {within:?}: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Long enough for anything that happens at all.
pub const SOON: Duration = Duration::from_secs(20);
