//! Access tokens for mail servers (OAuth 2, RFC 6749, section 6): had with what is sealed, kept until they end.

use std::{
    collections::HashMap,
    sync::LazyLock,
    time::{Duration, Instant},
};

use domain::chat::channel::Oauth;
use parking_lot::Mutex;
use reqwest::{Client, redirect::Policy};
use serde::Deserialize;

use crate::address::{self, Guarded};

/// A token is not used in its last minute.
const MARGIN: Duration = Duration::from_secs(60);

/// What is sealed of a mailbox that is entered by tokens.
#[derive(Deserialize)]
struct Sealed {
    refresh_token: String,
    #[serde(default)]
    client_secret: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

/// Those that are had, by what they were had with.
static HAD: LazyLock<Mutex<HashMap<String, (String, Instant)>>> = LazyLock::new(Mutex::default);

/// A token that holds for a while.
///
/// # Errors
/// Why there is none now.
pub(super) async fn token(oauth: &Oauth, sealed: &str, private: bool, patience: Duration) -> Result<String, String> {
    let sealed: Sealed = serde_json::from_str(sealed)
        .map_err(|_| "the credential is no JSON with a refresh_token and a client_secret".to_owned())?;
    let key = crate::files::digest_of(
        format!("{}\n{}\n{}", oauth.token_url, oauth.client_id, sealed.refresh_token).as_bytes(),
    );
    if let Some((token, until)) = HAD.lock().get(&key)
        && *until > Instant::now()
    {
        return Ok(token.clone());
    }
    let url = address::check(&oauth.token_url, private)?;
    let client = Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .timeout(patience)
        .dns_resolver(Guarded { private })
        .build()
        .map_err(|error| error.to_string())?;
    let mut asked = vec![
        ("grant_type", "refresh_token"),
        ("refresh_token", sealed.refresh_token.as_str()),
        ("client_id", oauth.client_id.as_str()),
    ];
    asked.extend(sealed.client_secret.as_deref().map(|secret| ("client_secret", secret)));
    asked.extend(oauth.scope.as_deref().map(|scope| ("scope", scope)));
    let mut form = url.clone();
    form.set_query(None);
    form.query_pairs_mut().extend_pairs(asked);
    let body = form.query().unwrap_or_default().to_owned();
    let answer = client
        .post(url)
        .header(reqwest::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(body)
        .send()
        .await
        .map_err(|_| "the address of tokens cannot be reached".to_owned())?;
    if !answer.status().is_success() {
        return Err(format!("the address of tokens answered {}", answer.status()));
    }
    let answer: Answer = answer.json().await.map_err(|_| "the address of tokens gave none".to_owned())?;
    let lasts = Duration::from_secs(answer.expires_in.unwrap_or(300)).saturating_sub(MARGIN);
    HAD.lock().insert(key, (answer.access_token.clone(), Instant::now() + lasts));
    Ok(answer.access_token)
}
