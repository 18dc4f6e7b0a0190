//! Calls to programs that tenants name: signed by the scheme of Standard Webhooks, to addresses that may be called, without following
//! where they lead.

use std::{sync::LazyLock, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use domain::Time;
use reqwest::{
    Client, RequestBuilder, Response, StatusCode,
    header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER, USER_AGENT},
    redirect::Policy,
};
use ring::hmac;

use crate::address::{self, Guarded};

/// How a secret begins.
pub const SECRET_PREFIX: &str = "whsec_";
/// Bytes of a secret that is made.
pub const SECRET_BYTES: usize = 32;
/// The longest that somebody is waited for who asks to be.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether this is a secret by the scheme: `whsec_` and 24 to 64 bytes in base64.
pub fn is_secret(secret: &str) -> bool {
    key(secret).is_some_and(|key| (24..=64).contains(&key.len()))
}

/// A secret of these bytes.
pub fn secret_of(bytes: &[u8; SECRET_BYTES]) -> String {
    format!("{SECRET_PREFIX}{}", STANDARD.encode(bytes))
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

/// Whether one of these signatures is that of a body: in a time that tells nothing of how far it is right.
pub fn is_signed(secret: &str, id: &str, timestamp: i64, body: &[u8], signatures: &str) -> bool {
    let Some(key) = key(secret) else { return false };
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
    signatures
        .split(' ')
        .filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok())
        .any(|tag| hmac::verify(&key, &signed, &tag).is_ok())
}

/// What calls programs.
pub(crate) struct Caller {
    private: bool,
    patience: Duration,
    /// Made for the first call: it reads all of the system's certificates.
    http: Lazy,
}

/// A call.
pub(crate) struct Call<'a> {
    pub(crate) url: &'a str,
    /// By each of which it is signed.
    pub(crate) secrets: &'a [String],
    /// The same for every attempt.
    pub(crate) id: &'a str,
    pub(crate) at: Time,
    pub(crate) body: Bytes,
}

impl Call<'_> {
    /// The headers that it is sent with; `None` when there is no secret to sign with, or one is none.
    pub(crate) fn headers(&self) -> Option<Vec<(&'static str, String)>> {
        let timestamp = self.at.as_second();
        let signatures: Option<Vec<String>> =
            self.secrets.iter().map(|secret| signature(secret, self.id, timestamp, &self.body)).collect();
        let signatures = signatures.filter(|signatures| !signatures.is_empty())?;
        Some(vec![
            (CONTENT_TYPE.as_str(), "application/json".to_owned()),
            (USER_AGENT.as_str(), concat!("Deskfold/", env!("CARGO_PKG_VERSION")).to_owned()),
            ("webhook-id", self.id.to_owned()),
            ("webhook-timestamp", timestamp.to_string()),
            ("webhook-signature", signatures.join(" ")),
        ])
    }
}

/// What was answered.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Its first bytes.
    pub(crate) body: Vec<u8>,
    /// How long it asks to be left alone.
    pub(crate) after: Option<Duration>,
}

impl Answered {
    /// The status in words.
    pub(crate) fn reason(&self) -> String {
        let reason = format!("it answered {}", self.status);
        if self.status.is_redirection() { format!("{reason}, which is not followed") } else { reason }
    }
}

/// Why nothing was answered.
#[derive(Clone, Debug)]
pub(crate) enum Silence {
    /// It may not be called, or not like that.
    Refused(String),
    /// Nothing has been said yet.
    Unreached(String),
    /// Nobody knows whether it was heard.
    Unknown(String),
}

impl Silence {
    /// Why.
    pub(crate) fn reason(&self) -> &str {
        let (Silence::Refused(reason) | Silence::Unreached(reason) | Silence::Unknown(reason)) = self;
        reason
    }
}

/// A client that is made when it is first needed: it reads all of the system's certificates.
pub(crate) type Lazy = LazyLock<Client, Box<dyn FnOnce() -> Client + Send>>;

/// What calls addresses that may be called, without following where they lead.
pub(crate) fn client(private: bool, patience: Duration) -> Lazy {
    LazyLock::new(Box::new(move || {
        let client = Client::builder().redirect(Policy::none()).no_proxy().timeout(patience);
        // Only a TLS backend that cannot start fails here; then every call tells.
        client.dns_resolver(Guarded { private }).build().unwrap_or_default()
    }))
}

impl Caller {
    pub(crate) fn new(private: bool, patience: Duration) -> Caller {
        Caller { private, patience, http: client(private, patience) }
    }

    /// Calls, and reads so many bytes of the answer.
    pub(crate) async fn call(&self, call: &Call<'_>, most: usize) -> Result<Answered, Silence> {
        let headers = call.headers();
        let headers =
            headers.ok_or_else(|| Silence::Refused("there is no secret of the kind whsec_ to sign with".into()))?;
        self.post(call.url, &headers, call.body.clone(), call.at, most).await
    }

    /// The same of whoever asks for other headers.
    pub(crate) async fn post(
        &self,
        url: &str,
        headers: &[(&str, String)],
        body: Bytes,
        at: Time,
        most: usize,
    ) -> Result<Answered, Silence> {
        let url = address::check(url, self.private).map_err(Silence::Refused)?;
        let request = headers.iter().fold(self.http.post(url), |request, (name, value)| request.header(*name, value));
        ask(request.body(body), self.patience, at, most).await
    }
}

/// Sends a request, and reads so many bytes of what is answered.
pub(crate) async fn ask(
    request: RequestBuilder,
    patience: Duration,
    now: Time,
    most: usize,
) -> Result<Answered, Silence> {
    match request.send().await {
        Ok(answer) => Ok(read(answer, now, most).await),
        Err(error) if address::is_refused(&error) => Err(Silence::Refused(reason(&error))),
        Err(error) if error.is_connect() || error.is_builder() => Err(Silence::Unreached(reason(&error))),
        Err(error) if error.is_timeout() => {
            Err(Silence::Unknown(format!("no answer within {} seconds", patience.as_secs())))
        }
        Err(error) => Err(Silence::Unknown(reason(&error))),
    }
}

async fn read(mut answer: Response, now: Time, most: usize) -> Answered {
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut body = Vec::new();
    while body.len() < most
        && let Ok(Some(chunk)) = answer.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    body.truncate(most);
    let after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let after = after.and_then(|text| wait(text, now)).map(|wait| wait.min(LONGEST));
    Answered { status, headers, body, after }
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
pub(crate) fn reason(error: &reqwest::Error) -> String {
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
        let body_signed =
            |signatures: &str| is_signed(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body, signatures);
        assert!(body_signed("v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
        assert!(!body_signed("v1,AAAA") && !body_signed("g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
        assert!(is_secret(secret) && !is_secret("whsec_c2hvcnQ=") && !is_secret("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
        assert!(is_secret(&secret_of(&[7; SECRET_BYTES])));
    }

    #[test]
    fn what_is_signed_by_two_has_both_signatures() {
        let secrets = [secret_of(&[1; SECRET_BYTES]), secret_of(&[2; SECRET_BYTES])];
        let at = "2026-01-01T00:00:00Z".parse().unwrap();
        let call = |secrets| Call { url: "", secrets, id: "msg", at, body: Bytes::from_static(b"{}") };
        let headers = call(&secrets[..]).headers().unwrap();
        let (_, signed) = headers.iter().find(|(name, _)| *name == "webhook-signature").unwrap();
        let each = secrets.iter().map(|secret| signature(secret, "msg", at.as_second(), b"{}").unwrap());
        assert_eq!(*signed, each.collect::<Vec<_>>().join(" "));
        assert!(call(&[]).headers().is_none());
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
