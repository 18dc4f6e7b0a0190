//! The rate limit of each API key.

use std::num::NonZeroU32;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use domain::Id;
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::DefaultKeyedStateStore,
};

use crate::problem::Problem;

/// Lets each key make so many requests a minute, spread by a token bucket that refills continuously.
pub(crate) struct Limits {
    limiter: Option<(u32, Limiter)>,
}

type Limiter = RateLimiter<Id, DefaultKeyedStateStore<Id>, DefaultClock, StateInformationMiddleware>;

/// What a response says of the limit.
#[derive(Clone, Copy)]
pub(crate) struct Allowance {
    limit: u32,
    remaining: u32,
    /// Seconds until the bucket is full again, or until the next request is allowed.
    reset: u64,
}

impl Limits {
    /// `per_minute` requests for each key; 0 for no limit.
    pub(crate) fn new(per_minute: u32) -> Limits {
        let limiter = NonZeroU32::new(per_minute).map(|limit| {
            let limiter = RateLimiter::keyed(Quota::per_minute(limit)).with_middleware();
            (per_minute, limiter)
        });
        Limits { limiter }
    }

    /// Counts a request of this key.
    pub(crate) fn take(&self, key: Id) -> Result<Option<Allowance>, (Problem, Allowance)> {
        let Some((limit, limiter)) = &self.limiter else { return Ok(None) };
        let limit = *limit;
        match limiter.check_key(&key) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let reset = u64::from((limit - remaining.min(limit)) * 60 / limit);
                Ok(Some(Allowance { limit, remaining, reset }))
            }
            Err(not_until) => {
                let wait = not_until.wait_time_from(DefaultClock::default().now());
                let seconds = wait.as_secs() + 1;
                let detail = format!("This key may make {limit} requests a minute. Try again in {seconds} s.");
                let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail).retry_after(seconds);
                Err((problem, Allowance { limit, remaining: 0, reset: seconds }))
            }
        }
    }

    /// Drops the buckets of keys that have been quiet.
    pub(crate) fn tidy(&self) {
        if let Some((_, limiter)) = &self.limiter {
            limiter.retain_recent();
        }
    }
}

impl Allowance {
    /// `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers) and the older trio.
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        let Allowance { limit, remaining, reset } = self;
        let mut set = |name: &'static str, value: String| {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        set("ratelimit-policy", format!("\"key\";q={limit};w=60"));
        set("ratelimit", format!("\"key\";r={remaining};t={reset}"));
        set("x-ratelimit-limit", limit.to_string());
        set("x-ratelimit-remaining", remaining.to_string());
        set("x-ratelimit-reset", reset.to_string());
    }
}
