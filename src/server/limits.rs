//! Fairness: what one verified subject may do, so that one agent in a loop does not take the endpoint from the others.
//!
//! Per replica. A subject is (endpoint UID, issuer, sub): two tokens of one person share what it has.

use crate::endpoint::{Digest, Grant, Limits};
use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
};
use moka::sync::Cache;
use std::{num::NonZeroU32, sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Subjects that are remembered at once.
const CAPACITY: u64 = 100_000;
/// After this long without a call, a subject has everything again in any case.
const IDLE: Duration = Duration::from_mins(2);

/// Over a limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Over {
    #[error("too many calls: {0} a minute are allowed; try again in {1}s")]
    Requests(NonZeroU32, u64),
    #[error("{0} calls of yours are running, and no more are allowed at once; try again when one has ended")]
    Concurrent(NonZeroU32),
    #[error("too much output: {0} tokens a minute are allowed; try again in {1}s, or ask for less (limit, maxTokens)")]
    Output(NonZeroU32, u64),
}

/// Limits of all subjects.
pub(super) struct Fairness(Cache<(Digest, Limits), Arc<Subject>>);

struct Subject {
    requests: DefaultDirectRateLimiter,
    output: DefaultDirectRateLimiter,
    calls: Arc<Semaphore>,
}

/// One call that may go on; dropping it makes room for the next.
pub(super) struct Admission {
    subject: Arc<Subject>,
    limits: Limits,
    _call: OwnedSemaphorePermit,
}

impl Default for Fairness {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(CAPACITY).time_to_idle(IDLE).build())
    }
}

impl Fairness {
    /// Lets a call begin.
    ///
    /// # Errors
    /// Where its subject is over a limit, with when to come back.
    pub fn admit(&self, grant: &Grant) -> Result<Admission, Over> {
        let (endpoint, caller) = (grant.endpoint(), grant.caller());
        let limits = endpoint.limits;
        // An edit of the limits begins anew with the new ones.
        let key = (Digest::of([endpoint.uid.as_str(), &caller.issuer, &caller.subject]), limits);
        let subject = self.0.get_with(key, || Arc::new(Subject::new(&limits)));
        let call =
            subject.calls.clone().try_acquire_owned().map_err(|_| Over::Concurrent(limits.max_concurrent_calls))?;
        if let Err(until) = subject.requests.check() {
            return Err(Over::Requests(
                limits.requests_per_minute,
                seconds(until.wait_time_from(DefaultClock::default().now())),
            ));
        }
        Ok(Admission { subject, limits, _call: call })
    }
}

impl Subject {
    fn new(limits: &Limits) -> Self {
        let calls = usize::try_from(limits.max_concurrent_calls.get()).unwrap_or(1);
        Self {
            requests: RateLimiter::direct(Quota::per_minute(limits.requests_per_minute)),
            output: RateLimiter::direct(Quota::per_minute(limits.output_tokens_per_minute)),
            calls: Arc::new(Semaphore::new(calls)),
        }
    }
}

impl Admission {
    /// Counts a reply.
    ///
    /// # Errors
    /// Where it is more than its subject has left this minute; it must not be sent then.
    pub fn spend(&self, tokens: usize) -> Result<(), Over> {
        let Some(tokens) = u32::try_from(tokens).ok().and_then(NonZeroU32::new) else { return Ok(()) };
        let allowed = self.limits.output_tokens_per_minute;
        match self.subject.output.check_n(tokens) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => Err(Over::Output(allowed, seconds(until.wait_time_from(DefaultClock::default().now())))),
            Err(_) => Err(Over::Output(allowed, 60)), // more than a whole minute has
        }
    }
}

fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(requests: u32, calls: u32, output: u32) -> (Arc<Subject>, Limits) {
        let n = |n| NonZeroU32::new(n).unwrap();
        let limits = Limits {
            requests_per_minute: n(requests),
            max_concurrent_calls: n(calls),
            output_tokens_per_minute: n(output),
            ..Limits::default()
        };
        (Arc::new(Subject::new(&limits)), limits)
    }

    fn admission((subject, limits): (Arc<Subject>, Limits)) -> Admission {
        let call = subject.calls.clone().try_acquire_owned().unwrap();
        Admission { subject, limits, _call: call }
    }

    #[test]
    fn output_beyond_a_minutes_worth_says_when_to_come_back() {
        let call = admission(subject(10, 1, 1000));
        assert_eq!(call.spend(0), Ok(()));
        assert_eq!(call.spend(900), Ok(()));
        let Err(Over::Output(_, wait)) = call.spend(900) else { panic!() };
        assert!((40..=60).contains(&wait), "{wait}");
        assert!(matches!(call.spend(5000), Err(Over::Output(_, 60))));
    }

    #[test]
    fn a_call_makes_room_when_it_ends() {
        let (subject, limits) = subject(10, 1, 1000);
        let call = admission((subject.clone(), limits));
        assert!(subject.calls.clone().try_acquire_owned().is_err());
        drop(call);
        assert!(subject.calls.clone().try_acquire_owned().is_ok());
    }
}
