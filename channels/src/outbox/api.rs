//! Sends to a program of the tenant's own: a signed POST by the scheme of Standard Webhooks.

use std::{sync::LazyLock, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use domain::Time;
use reqwest::{
    Client, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT},
    redirect::Policy,
};
use ring::hmac;
use serde::Deserialize;

use super::{
    Outcome,
    address::{self, Guarded},
};

/// How a secret begins.
pub const SECRET_PREFIX: &str = "whsec_";
/// Most bytes of an answer that are read.
const ANSWER: usize = 64 * 1024;
/// The longest that somebody is waited for who asks to be.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether this is a secret by the scheme: `whsec_` and 24 to 64 bytes in base64.
pub fn is_secret(secret: &str) -> bool {
    key(secret).is_some_and(|key| (24..=64).contains(&key.len()))
}

fn key(secret: &str) -> Option<Vec<u8>> {
    STANDARD.decode(secret.strip_prefix(SECRET_PREFIX)?).ok()
}

/// The signature of a body: `v1,` and an HMAC by SHA-256 of id, time and body. `None` when the secret is none.
pub fn signature(secret: &str, id: &str, timestamp: i64, body: &[u8]) -> Option<String> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key(secret)?);
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{id}.{timestamp}.").as_bytes());
    context.update(body);
    Some(format!("v1,{}", STANDARD.encode(context.sign().as_ref())))
}

/// What a program may answer.
#[derive(Deserialize)]
struct Answer {
    external_id: Option<String>,
}

/// What calls programs.
pub(super) struct Api {
    private: bool,
    patience: Duration,
    /// Made for the first call: it reads all of the system's certificates.
    http: LazyLock<Client, Box<dyn FnOnce() -> Client + Send>>,
}

/// A call.
pub(super) struct Call<'a> {
    pub(super) url: &'a str,
    pub(super) secret: &'a str,
    /// The same for every attempt.
    pub(super) id: &'a str,
    pub(super) at: Time,
    pub(super) body: Vec<u8>,
}

impl Api {
    pub(super) fn new(private: bool, patience: Duration) -> Api {
        let make = move || {
            let client = Client::builder()
                .redirect(Policy::none())
                .no_proxy()
                .timeout(patience)
                .dns_resolver(Guarded { private })
                .build();
            // Only a TLS backend that cannot start fails here; then every call tells.
            client.unwrap_or_default()
        };
        Api { private, patience, http: LazyLock::new(Box::new(make)) }
    }

    pub(super) async fn call(&self, call: Call<'_>) -> Outcome {
        let failed = |reason: String| Outcome::Failed { reason };
        let url = match address::check(call.url, self.private) {
            Ok(url) => url,
            Err(reason) => return failed(reason),
        };
        let timestamp = call.at.as_second();
        let Some(signature) = signature(call.secret, call.id, timestamp, &call.body) else {
            return failed("the channel's secret is none of the kind whsec_".into());
        };
        let request = self
            .http
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("Deskfold/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", call.id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(call.body);
        match request.send().await {
            Ok(answer) => answered(answer, call.at).await,
            Err(error) if address::is_refused(&error) => failed(reason(&error)),
            // Nothing has been said yet.
            Err(error) if error.is_connect() || error.is_builder() => {
                Outcome::Later { reason: reason(&error), after: None }
            }
            Err(error) if error.is_timeout() => {
                Outcome::Unknown { reason: format!("no answer within {} seconds", self.patience.as_secs()) }
            }
            Err(error) => Outcome::Unknown { reason: reason(&error) },
        }
    }
}

/// What an answer means.
async fn answered(mut answer: Response, now: Time) -> Outcome {
    let status = answer.status();
    if status.is_success() {
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = answer.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER {
                break;
            }
        }
        let told = serde_json::from_slice::<Answer>(&body).ok().and_then(|answer| answer.external_id);
        return Outcome::Sent {
            external_id: told.filter(|id| !id.is_empty() && id.len() <= 300 && !id.contains(char::is_control)),
        };
    }
    let after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let after = after.and_then(|text| wait(text, now)).map(|wait| wait.min(LONGEST));
    let reason = format!("it answered {status}");
    match status {
        // Somebody between us and the program answers: whether that got it nobody knows.
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Outcome::Unknown { reason },
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            Outcome::Later { reason, after }
        }
        status if status.is_server_error() => Outcome::Later { reason, after },
        status if status.is_redirection() => Outcome::Failed { reason: format!("{reason}, which is not followed") },
        _ => Outcome::Failed { reason },
    }
}

/// How long somebody asks to be left alone: in seconds, or until a moment.
fn wait(text: &str, now: Time) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
}

/// What went wrong, without the address, which may hold what is nobody's to read.
fn reason(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    if error.is_connect() { format!("it cannot be reached: {inner}") } else { inner.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_scheme() {
        // The example of the specification.
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let body = br#"{"test": 2432232314}"#;
        let signed = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
        assert!(is_secret(secret) && !is_secret("whsec_c2hvcnQ=") && !is_secret("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
    }

    #[test]
    fn it_is_understood_how_long_to_wait() {
        let now: Time = "2026-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(wait("120", now), Some(Duration::from_secs(120)));
        assert_eq!(wait("Thu, 01 Jan 2026 00:01:00 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(wait("Wed, 31 Dec 2025 00:01:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(wait("soon", now), None);
    }
}
