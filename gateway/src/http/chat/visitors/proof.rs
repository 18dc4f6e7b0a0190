//! What a page shows before a chat begins, where the channel wants it: that its browser has reckoned, and what a captcha gave it.

use axum::{Json, extract::State, http::StatusCode};
use channels::captcha::Verdict;
use domain::{
    Id, Time,
    chat::channel::{Captcha, Protection, Purpose},
};
use jiff::SignedDuration;
use rand::RngExt;
use ring::hmac;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::Chat;
use crate::{
    app::App,
    auth::{hex, unhex},
    http::kernel::request::{Body, Nothing, Params},
    problem::Problem,
    sealed,
    sign_in::Browser,
    visitors::Token,
};

/// What a signature is for.
const PURPOSE: &str = "deskfold chat challenge";
/// How long a challenge may be answered.
const ANSWERED_WITHIN: SignedDuration = SignedDuration::from_mins(10);
/// How long a chat may begin after that.
const BEGINS_WITHIN: SignedDuration = SignedDuration::from_hours(1);
/// Most characters of what answers a challenge.
const LONGEST: usize = 64;
/// Most characters of what a captcha gives a page.
const LONGEST_CAPTCHA: usize = 4_096;
/// For how many seconds one looks away from a captcha that says nothing.
const RETRY: u64 = 10;

/// What a page must show before a chat begins.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "VisitorChallenge")]
pub(in crate::http) struct Challenge {
    /// What is to be answered: with a text such that the SHA-256 of challenge, a dot and the text begins with `bits` zeros. None where
    /// nothing is to be reckoned.
    challenge: Option<String>,
    /// So many.
    bits: Option<u8>,
    /// Until when.
    expires_at: Option<Time>,
    /// The key of the site at the captcha's service; none where there is no captcha.
    site_key: Option<String>,
}

/// The words of a challenge that are signed: whose it is, until when, how hard, and a number that no other has.
fn signed(channel: Id, said: &str) -> String {
    format!("{channel}|{said}")
}

fn key(app: &App) -> Result<hmac::Key, Problem> {
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &app.sign_in.key_for(PURPOSE)?))
}

pub(super) async fn challenge(
    State(app): State<App>,
    chat: Chat,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Json<Challenge>, Problem> {
    let Protection { proof_of_work: bits, captcha } = &chat.channel.protection;
    let site_key = captcha.as_ref().map(|captcha| captcha.site_key.clone());
    let Some(bits) = *bits else {
        return Ok(Json(Challenge { challenge: None, bits: None, expires_at: None, site_key }));
    };
    let expires_at = app.now().checked_add(ANSWERED_WITHIN).map_err(|error| Problem::broken(&error))?;
    let number: [u8; 16] = rand::rng().random();
    let said = format!("{}.{bits}.{}", expires_at.as_second(), hex(&number));
    let tag = hmac::sign(&key(&app)?, signed(chat.id, &said).as_bytes());
    let challenge = Some(format!("{said}.{}", hex(tag.as_ref())));
    Ok(Json(Challenge { challenge, bits: Some(bits), expires_at: Some(expires_at), site_key }))
}

/// What a page shows.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "VisitorProof")]
pub(in crate::http) struct Proof {
    /// The challenge, as it was given.
    #[serde(default)]
    challenge: Option<String>,
    /// The text that answers it.
    #[serde(default)]
    solution: Option<String>,
    /// What the captcha gave the page.
    #[serde(default)]
    captcha: Option<String>,
}

/// Whether the first bits of a digest are zeros.
fn begins_with_zeros(digest: &[u8], bits: u8) -> bool {
    let zeros = digest.iter().try_fold(0, |zeros, byte| match byte.leading_zeros() {
        8 => Ok(zeros + 8),
        more => Err(zeros + more),
    });
    zeros.unwrap_or_else(|zeros| zeros) >= u32::from(bits)
}

/// Refuses a challenge that is not ours, too old or too easy, and an answer that is none.
fn must_be_solved(app: &App, chat: &Chat, bits: u8, challenge: &str, solution: &str) -> Result<(), Problem> {
    let refused = |detail: &str| Err(Problem::invalid("challenge_invalid", detail).at("/challenge"));
    let Some((said, tag)) = challenge.rsplit_once('.').and_then(|(said, tag)| Some((said, unhex(tag)?))) else {
        return refused("This is no challenge: GET challenge gives one.");
    };
    if hmac::verify(&key(app)?, signed(chat.id, said).as_bytes(), &tag).is_err() {
        return refused("This challenge is not one of this channel's.");
    }
    let mut parts = said.split('.');
    let expires = parts.next().and_then(|text| text.parse::<i64>().ok()).unwrap_or_default();
    let told = parts.next().and_then(|text| text.parse::<u8>().ok()).unwrap_or_default();
    if expires <= app.now().as_second() || told < bits {
        let detail = "The challenge is too old, or easier than the channel wants it by now: GET another one.";
        return Err(Problem::invalid("challenge_outdated", detail).at("/challenge"));
    }
    let short = solution.len() <= LONGEST;
    if !short || !begins_with_zeros(&Sha256::digest(format!("{challenge}.{solution}")), told) {
        let detail = format!("SHA-256 of challenge, a dot and solution does not begin with {told} zero bits.");
        return Err(Problem::invalid("challenge_unsolved", detail).at("/solution"));
    }
    Ok(())
}

/// Refuses what the service behind a captcha does not say was a person.
async fn must_be_a_person(
    app: &App,
    chat: &Chat,
    Captcha { verify_url, .. }: &Captcha,
    given: &str,
    browser: &Browser,
) -> Result<(), Problem> {
    let silent = |reason: &str| {
        tracing::warn!(channel = %chat.id, reason, "a captcha cannot be asked");
        let detail = "The service that tells people from programs does not answer. Try again.";
        Problem::unavailable("captcha_unavailable", detail).retry_after(RETRY)
    };
    let secret = match chat.channel.credential_of(Purpose::Captcha) {
        Some(credential) => {
            let open = sealed::opened(sealed::CHANNELS, &app.pool, &app.sign_in.seal);
            open(chat.tenant, chat.id, credential).await.map_err(|error| Problem::broken(&error))?
        }
        None => None,
    };
    let secret = secret.ok_or_else(|| silent("the channel has no secret for it"))?;
    match app.captchas.ask(verify_url, &secret, given, browser.address).await {
        Verdict::Person => Ok(()),
        Verdict::Refused(errors) => {
            let why = if errors.is_empty() { String::new() } else { format!(" ({})", errors.join(", ")) };
            let detail = format!("The captcha was not passed{why}.");
            Err(Problem::invalid("captcha_refused", detail).at("/captcha"))
        }
        Verdict::Silent(reason) => Err(silent(&reason)),
    }
}

pub(super) async fn shown(
    State(app): State<App>,
    chat: Chat,
    Params(Nothing {}): Params<Nothing>,
    browser: Browser,
    headers: axum::http::HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let token = Token::sent(&headers)?;
    let Proof { challenge, solution, captcha: given } = body.read(&json!({ "challenge": "...", "solution": "1f" }))?;
    let Protection { proof_of_work, captcha } = &chat.channel.protection;
    // Asked once more it is so already: an answer may have been lost.
    if app.admitted(chat.id, &token).await?.known()?.is_some() || app.has_proven(chat.id, &token).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    app.flood.take(browser.address, token.holder(), 1)?;
    if let Some(bits) = *proof_of_work {
        let (challenge, solution) = (challenge.as_deref().unwrap_or_default(), solution.unwrap_or_default());
        must_be_solved(&app, &chat, bits, challenge, &solution)?;
    }
    if let Some(captcha) = captcha {
        let given = given.filter(|given| !given.is_empty() && given.len() <= LONGEST_CAPTCHA).ok_or_else(|| {
            Problem::invalid("captcha_missing", "Send what the captcha gave the page.").at("/captcha")
        })?;
        must_be_a_person(&app, &chat, captcha, &given, &browser).await?;
    }
    let until = app.now().checked_add(BEGINS_WITHIN).map_err(|error| Problem::broken(&error))?;
    let counts = challenge.as_deref().filter(|_| proof_of_work.is_some());
    if !app.note_proof(chat.id, &token, counts, until).await? {
        let detail = "Another visitor has shown this challenge already: GET another one.";
        return Err(Problem::new(StatusCode::CONFLICT, "challenge_spent", detail).at("/challenge"));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Refuses a chat that begins without what must be shown.
pub(super) async fn must_be_shown(app: &App, chat: &Chat, token: &Token) -> Result<(), Problem> {
    if !chat.channel.protection.asks() || app.has_proven(chat.id, token).await? {
        return Ok(());
    }
    let detail = "Before a chat begins in this channel a page shows what GET challenge asks for, by POST proof.";
    Err(Problem::new(StatusCode::FORBIDDEN, "visitor_unproven", detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_counted_bit_by_bit() {
        assert!(begins_with_zeros(&[0, 0b0001_0000], 11) && !begins_with_zeros(&[0, 0b0001_0000], 12));
        assert!(begins_with_zeros(&[0xff], 0) && !begins_with_zeros(&[0xff], 1));
        assert!(begins_with_zeros(&[0; 4], 32) && !begins_with_zeros(&[0; 4], 33));
    }
}
