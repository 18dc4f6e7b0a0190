//! Asks a service that tells people from programs: a form post to `siteverify`, as hCaptcha and Turnstile answer it.

use std::{net::IpAddr, sync::LazyLock, time::Duration};

use reqwest::{Client, header::CONTENT_TYPE, redirect::Policy};
use serde::Deserialize;

use crate::address::{self, Guarded};

/// How long such a service is waited for: a visitor waits, too.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes of an answer that are read.
const ANSWER: usize = 64 * 1024;

/// What such a service says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was a person.
    Person,
    /// It was not, or what was sent is no proof of it; the reasons that were given.
    Refused(Vec<String>),
    /// It says nothing: why.
    Silent(String),
}

#[derive(Deserialize)]
struct Answer {
    success: bool,
    #[serde(default, rename = "error-codes")]
    errors: Vec<String>,
}

/// What asks.
pub struct Captchas {
    private: bool,
    /// Made for the first question: it reads all of the system's certificates.
    http: LazyLock<Client, Box<dyn FnOnce() -> Client + Send>>,
}

impl Captchas {
    /// Asks services at private addresses only where those may be called.
    pub fn new(private: bool) -> Captchas {
        let make = move || {
            let client = Client::builder().redirect(Policy::none()).no_proxy().timeout(PATIENCE);
            // Only a TLS backend that cannot start fails here; then every question tells.
            client.dns_resolver(Guarded { private }).build().unwrap_or_default()
        };
        Captchas { private, http: LazyLock::new(Box::new(make)) }
    }

    /// Whether what a page was given by the service proves that somebody is there.
    pub async fn ask(&self, url: &str, secret: &str, response: &str, from: Option<IpAddr>) -> Verdict {
        let url = match address::check(url, self.private) {
            Ok(url) => url,
            Err(reason) => return Verdict::Silent(reason),
        };
        let from = from.map(|from| from.to_string());
        let form = [("secret", Some(secret)), ("response", Some(response)), ("remoteip", from.as_deref())];
        // What stands behind the question mark of an address is written as forms are.
        let mut written = url.clone();
        written
            .query_pairs_mut()
            .clear()
            .extend_pairs(form.into_iter().filter_map(|(name, value)| Some((name, value?))));
        let form = written.query().unwrap_or_default().to_owned();
        let request = self.http.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        let answer = match request.send().await {
            Ok(answer) if answer.status().is_success() => answer,
            Ok(answer) => return Verdict::Silent(format!("it answered {}", answer.status())),
            // The URL is in the error, and who set it knows it; the secret is in neither.
            Err(error) => return Verdict::Silent(error.without_url().to_string()),
        };
        match read(answer).await {
            Some(Answer { success: true, .. }) => Verdict::Person,
            Some(Answer { errors, .. }) => Verdict::Refused(errors),
            None => Verdict::Silent("its answer is not one of siteverify".into()),
        }
    }
}

async fn read(mut answer: reqwest::Response) -> Option<Answer> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.ok()? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER {
            return None;
        }
    }
    serde_json::from_slice(&body).ok()
}
