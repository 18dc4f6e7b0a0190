//! `deskfold mail-pipe`: what a mail server pipes into a program comes in by a channel. It ends with the codes of sysexits.h, so
//! that the server keeps what was not taken.

use std::{io::Read, time::Duration};

use reqwest::StatusCode;

use super::{Exit, Failure, print};
use crate::config::MailPipe;

/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// The mail is no good (`EX_DATAERR`).
const BAD: u8 = 65;
/// There is no such channel (`EX_NOUSER`).
const UNKNOWN: u8 = 67;
/// Try again (`EX_TEMPFAIL`).
const LATER: u8 = 75;
/// The key does not suffice (`EX_NOPERM`): what is set wrongly is put right, so that the mail waits.
const DENIED: u8 = LATER;

pub(super) async fn run(pipe: MailPipe) -> Result<(), Failure> {
    crate::install_crypto_provider();
    let mut raw = Vec::new();
    std::io::stdin().lock().read_to_end(&mut raw).map_err(|error| Exit::new(LATER, error))?;
    let key = match (&pipe.key, &pipe.key_file) {
        (Some(key), _) => key.clone(),
        (None, Some(file)) => {
            std::fs::read_to_string(file).map_err(|error| Exit::new(LATER, format!("{}: {error}", file.display())))?
        }
        (None, None) => return Err(Exit::new(LATER, "say --key-file, or DESKFOLD_KEY").into()),
    };
    let url = format!("{}/v1/channels/{}/email", pipe.server.trim_end_matches('/'), pipe.channel);
    let client =
        reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().map_err(|error| Exit::new(LATER, error))?;
    let mut request = client.post(&url).bearer_auth(key.trim()).header("content-type", "message/rfc822").body(raw);
    if let Some(recipient) = &pipe.recipient {
        request = request.query(&[("recipient", recipient)]);
    }
    let answer = request
        .send()
        .await
        .map_err(|error| Exit::new(LATER, format!("{url} cannot be reached: {}", error.without_url())))?;
    let status = answer.status();
    let text = answer.text().await.unwrap_or_default();
    if status.is_success() {
        return print(&text);
    }
    let code = match status {
        StatusCode::NOT_FOUND => UNKNOWN,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => DENIED,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => LATER,
        status if status.is_client_error() => BAD,
        _ => LATER,
    };
    Err(Exit::new(code, format!("{url} answers {status}: {text}")).into())
}
