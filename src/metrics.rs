//! What k-mcp counts. No label ever comes from a token or an argument.

use prometheus::{
    CounterVec, Encoder as _, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};
use std::time::Duration;

/// Every metric, and the registry that holds them.
pub struct Metrics {
    registry: Registry,
    calls: IntCounterVec,
    call_seconds: HistogramVec,
    refusals: IntCounterVec,
    upstream: HistogramVec,
    failed_conditions: IntCounter,
    endpoints: IntGauge,
    problems: IntGaugeVec,
    reconciles: IntCounterVec,
    output_tokens: CounterVec,
}

impl Metrics {
    /// Makes and registers every metric.
    ///
    /// # Errors
    /// Never, unless two metrics have one name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("kmcp".to_owned()), None)?;
        let seconds = vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
        let histogram = |name: &str, help: &str, labels: &[&str]| {
            HistogramVec::new(HistogramOpts::new(name, help).buckets(seconds.clone()), labels)
        };
        let metrics = Self {
            calls: IntCounterVec::new(
                Opts::new("tool_calls_total", "Tool calls by outcome (ok, error, denied, invalid)"),
                &["tool", "outcome"],
            )?,
            call_seconds: histogram("tool_call_seconds", "Duration of tool calls", &["tool"])?,
            refusals: IntCounterVec::new(
                Opts::new("refused_requests_total", "HTTP requests refused before a tool was called, by reason"),
                &["reason"],
            )?,
            upstream: histogram("upstream_request_seconds", "Duration of requests to member clusters", &["outcome"])?,
            failed_conditions: IntCounter::new(
                "failed_rule_conditions_total",
                "Conditions of rules that failed instead of being true or false; each matched nothing",
            )?,
            endpoints: IntGauge::new("endpoints", "McpEndpoints in effect")?,
            problems: IntGaugeVec::new(
                Opts::new("endpoint_problems", "Parts of McpEndpoints that are not in effect, by reason"),
                &["reason"],
            )?,
            reconciles: IntCounterVec::new(
                Opts::new("catalog_updates_total", "Rebuilds of the catalog, by whether it changed"),
                &["result"],
            )?,
            output_tokens: CounterVec::new(
                Opts::new("output_tokens_total", "Estimated cl100k tokens of tool results"),
                &["tool"],
            )?,
            registry,
        };
        let Self {
            registry,
            calls,
            call_seconds,
            refusals,
            upstream,
            failed_conditions,
            endpoints,
            problems,
            reconciles,
            output_tokens,
        } = &metrics;
        registry.register(Box::new(calls.clone()))?;
        registry.register(Box::new(call_seconds.clone()))?;
        registry.register(Box::new(refusals.clone()))?;
        registry.register(Box::new(upstream.clone()))?;
        registry.register(Box::new(failed_conditions.clone()))?;
        registry.register(Box::new(endpoints.clone()))?;
        registry.register(Box::new(problems.clone()))?;
        registry.register(Box::new(reconciles.clone()))?;
        registry.register(Box::new(output_tokens.clone()))?;
        Ok(metrics)
    }

    /// A tool was called.
    pub fn call(&self, tool: &'static str, outcome: &'static str, took: Duration, tokens: usize) {
        self.calls.with_label_values(&[tool, outcome]).inc();
        self.call_seconds.with_label_values(&[tool]).observe(took.as_secs_f64());
        #[allow(clippy::cast_precision_loss, reason = "a count of tokens is far below 2^52")]
        self.output_tokens.with_label_values(&[tool]).inc_by(tokens as f64);
    }

    /// A request was refused before a tool was called.
    pub fn refused(&self, reason: &'static str) {
        self.refusals.with_label_values(&[reason]).inc();
    }

    /// A request to a member cluster ended.
    pub fn upstream(&self, outcome: &'static str, took: Duration) {
        self.upstream.with_label_values(&[outcome]).observe(took.as_secs_f64());
    }

    /// Conditions of rules failed.
    pub fn failed_conditions(&self, count: usize) {
        self.failed_conditions.inc_by(count as u64);
    }

    /// The catalog was rebuilt.
    pub fn catalog(&self, endpoints: usize, problems: &[(&'static str, usize)], changed: bool) {
        self.endpoints.set(i64::try_from(endpoints).unwrap_or(i64::MAX));
        self.problems.reset();
        for (reason, count) in problems {
            self.problems.with_label_values(&[reason]).set(i64::try_from(*count).unwrap_or(i64::MAX));
        }
        self.reconciles.with_label_values(&[if changed { "changed" } else { "unchanged" }]).inc();
    }

    /// Everything, in the Prometheus text format.
    ///
    /// # Errors
    /// Never in practice: the encoder writes to memory.
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut out = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut out)?;
        Ok(out)
    }
}
