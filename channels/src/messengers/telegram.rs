//! The Bot API of Telegram: how it is called, and what its errors mean.

pub(super) mod reading;

use std::time::Duration;

use bytes::Bytes;
use domain::chat::channel::Purpose;
use reqwest::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    Messengers, Stop, Whose,
    wire::{Form, Leaving},
};
use crate::{calling::Silence, outbox::Outcome};

/// What is asked for, by webhook and by asking.
pub(super) const UPDATES: &[&str] = &["message", "edited_message", "message_reaction"];
/// The most bytes of a file that a bot may fetch.
const FETCHED: u64 = 20 << 20;
/// The most bytes of all files of a message.
const SENT: usize = 50 << 20;
/// The most bytes of a picture that is shown as one, and the most that its sides are together.
const PICTURE: usize = 10 << 20;
const SIDES: u32 = 10_000;

/// What Telegram answers.
#[derive(Deserialize)]
struct Answer<T> {
    ok: bool,
    result: Option<T>,
    error_code: Option<u16>,
    description: Option<String>,
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
struct Parameters {
    retry_after: Option<u64>,
}

/// Why a call came to nothing.
#[derive(Debug)]
pub(super) enum Fault {
    /// There is no token, or it cannot be opened.
    Token(Stop),
    /// Nothing was said that can be understood.
    Silent(Silence),
    /// It refuses.
    Refused { code: u16, description: String, after: Option<Duration> },
}

/// What is sent with a call.
pub(super) enum Told {
    Json(Value),
    Form(Form),
}

#[derive(Deserialize)]
struct Sent {
    message_id: i64,
    chat: Chat,
}

#[derive(Deserialize)]
struct Chat {
    id: i64,
}

#[derive(Deserialize)]
struct Found {
    file_path: Option<String>,
}

impl Fault {
    /// In words, without the token.
    pub(super) fn words(&self) -> String {
        match self {
            Fault::Token(stop) => stop.to_string(),
            Fault::Silent(silence) => silence.reason().to_owned(),
            Fault::Refused { code, description, .. } => words(*code, description),
        }
    }

    fn stop(self) -> Stop {
        match self {
            Fault::Token(stop) => stop,
            Fault::Silent(Silence::Refused(why)) => Stop::Never(why),
            Fault::Silent(silence) => Stop::Later(silence.reason().to_owned()),
            Fault::Refused { code, description, .. } if code == 429 || code >= 500 || code == 401 || code == 404 => {
                Stop::Later(words(code, &description))
            }
            Fault::Refused { code, description, .. } => Stop::Never(words(code, &description)),
        }
    }

    /// What became of what was sent: Telegram sends twice what it is told twice.
    fn outcome(self) -> Outcome {
        let reason = self.words();
        match self {
            Fault::Silent(silence) => silence.into(),
            Fault::Token(Stop::Later(_)) => Outcome::Later { reason, after: None },
            Fault::Token(_) => Outcome::Failed { reason },
            Fault::Refused { code: 429, after, .. } => Outcome::Later { reason, after },
            Fault::Refused { code: 500.., .. } => Outcome::Unknown { reason },
            Fault::Refused { .. } => Outcome::Failed { reason },
        }
    }
}

/// What an error means, for people.
fn words(code: u16, description: &str) -> String {
    let says = |part: &str| description.to_lowercase().contains(part);
    let known = match code {
        401 | 404 => Some("Telegram does not know the bot's token: give the channel the one of now"),
        403 if says("blocked") => Some("the other side has blocked the bot"),
        403 if says("deactivated") => Some("the other side has closed their account"),
        403 if says("initiate") => Some("a bot cannot write first: the other side must have written to it"),
        403 if says("kicked") => Some("the bot was removed from the chat"),
        400 if says("chat not found") => Some("the bot knows no such chat: the other side must have written to it"),
        400 if says("message is too long") || says("caption is too long") => {
            Some("the message is longer than Telegram takes")
        }
        400 if says("message to react not found") => Some("the message is not there any more"),
        400 if says("reaction_invalid") => Some("Telegram has no such reaction"),
        400 if says("file is too big") => Some("the file is larger than the 20 MB that a bot may fetch"),
        409 if says("webhook") => Some("another program takes what comes for the bot, by a webhook"),
        409 => Some("another program takes what comes for the bot"),
        413 => Some("the files are larger than Telegram takes"),
        429 => Some("Telegram asks to be left alone for a while: too much at once"),
        _ => None,
    };
    match known {
        Some(known) => format!("{known} ({code} {description})"),
        None => format!("Telegram answered {code} {description}"),
    }
}

/// As what a file is shown.
fn shown_as(file: &Leaving) -> &'static str {
    let sides = file.width.unwrap_or_default() + file.height.unwrap_or_default();
    match file.media_type.as_str() {
        "image/jpeg" | "image/png" | "image/webp" if file.content.len() <= PICTURE && sides <= SIDES => "photo",
        "video/mp4" => "video",
        "audio/mpeg" | "audio/mp4" => "audio",
        _ => "document",
    }
}

impl Messengers {
    /// Calls a method of the Bot API.
    pub(super) async fn telegram<T: DeserializeOwned>(
        &self,
        whose: &Whose,
        method: &str,
        told: Told,
        patience: Option<Duration>,
    ) -> Result<T, Fault> {
        let none = || Stop::Never("the channel has no token of a bot".into());
        let token = self.secret(whose, Purpose::Channel).await.map_err(|why| Fault::Token(Stop::Later(why)))?;
        let token = token.ok_or_else(|| Fault::Token(none()))?;
        let url = format!("{}/bot{}/{method}", self.0.places.telegram, token.trim());
        let mut request = self.0.wire.client().post(url);
        if let Some(patience) = patience {
            request = request.timeout(patience);
        }
        let request = match told {
            Told::Json(body) => request.json(&body),
            Told::Form(form) => form.sent_with(request),
        };
        let answered = self.0.wire.ask(request, (self.0.clock)()).await.map_err(Fault::Silent)?;
        let (status, after) = (answered.status, answered.after);
        let read = serde_json::from_slice::<Answer<T>>(&answered.body);
        match read {
            Ok(Answer { ok: true, result: Some(result), .. }) if status.is_success() => Ok(result),
            Ok(Answer { ok: false, error_code, description, parameters, .. }) => {
                let asked = parameters.and_then(|parameters| parameters.retry_after).map(Duration::from_secs);
                let code = error_code.unwrap_or_else(|| status.as_u16());
                Err(Fault::Refused { code, description: description.unwrap_or_default(), after: asked.or(after) })
            }
            // Somebody between us and Telegram answers, or nobody knows who.
            _ if status == StatusCode::TOO_MANY_REQUESTS || status.is_client_error() => {
                let description = status.canonical_reason().unwrap_or_default().to_owned();
                Err(Fault::Refused { code: status.as_u16(), description, after })
            }
            _ => Err(Fault::Silent(Silence::Unknown(answered.reason()))),
        }
    }

    /// Sends a message.
    pub(super) async fn by_telegram(&self, whose: &Whose, chat: &str, body: &str, files: Vec<Leaving>) -> Outcome {
        if files.iter().map(|file| file.content.len()).sum::<usize>() > SENT {
            return Outcome::Failed {
                reason: "the files are larger than the 50 MB that Telegram takes at once".into(),
            };
        }
        let sent = match files.as_slice() {
            [] => {
                let told = json!({ "chat_id": chat, "text": body });
                self.telegram::<Sent>(whose, "sendMessage", Told::Json(told), None).await
            }
            [file] => {
                let what = shown_as(file);
                let mut form = Form::new();
                form.text("chat_id", chat);
                if !body.is_empty() {
                    form.text("caption", body);
                }
                form.file(what, file);
                let method = match what {
                    "photo" => "sendPhoto",
                    "video" => "sendVideo",
                    "audio" => "sendAudio",
                    _ => "sendDocument",
                };
                // What is large takes its time.
                self.telegram::<Sent>(whose, method, Told::Form(form), Some(self.0.patience * 4)).await
            }
            several => {
                let form = album(chat, body, several);
                let sent =
                    self.telegram::<Vec<Sent>>(whose, "sendMediaGroup", Told::Form(form), Some(self.0.patience * 4));
                let none = || Fault::Silent(Silence::Unknown("it does not say what was sent".into()));
                sent.await.and_then(|sent| sent.into_iter().next().ok_or_else(none))
            }
        };
        match sent {
            Ok(sent) => Outcome::Sent { external_id: Some(format!("{}:{}", sent.chat.id, sent.message_id)) },
            Err(fault) => fault.outcome(),
        }
    }

    /// Answers a message with an emoji, or takes that back.
    pub(super) async fn reacts_by_telegram(&self, whose: &Whose, external_id: &str, reaction: Option<&str>) -> Outcome {
        let Some((chat, message)) = external_id.rsplit_once(':').and_then(|(c, m)| Some((c, m.parse::<i64>().ok()?)))
        else {
            return Outcome::Failed { reason: "it is no message of Telegram's".into() };
        };
        let reactions: Vec<Value> = reaction.iter().map(|emoji| json!({ "type": "emoji", "emoji": emoji })).collect();
        let told = json!({ "chat_id": chat, "message_id": message, "reaction": reactions });
        match self.telegram::<bool>(whose, "setMessageReaction", Told::Json(told), None).await {
            Ok(_) => Outcome::Sent { external_id: None },
            Err(fault) => fault.outcome(),
        }
    }

    /// A file that somebody sent; `None` of one that is too large.
    pub(super) async fn telegrams_file(&self, whose: &Whose, id: &str, most: u64) -> Result<Option<Bytes>, Stop> {
        let told = Told::Json(json!({ "file_id": id }));
        let found: Found = self.telegram(whose, "getFile", told, None).await.map_err(Fault::stop)?;
        let gone = || Stop::Never("Telegram does not say where the file is".into());
        let path = found.file_path.filter(|path| !path.contains("..")).ok_or_else(gone)?;
        let token = self.secret(whose, Purpose::Channel).await.map_err(Stop::Later)?.ok_or_else(gone)?;
        let url = format!("{}/file/bot{}/{path}", self.0.places.telegram, token.trim());
        self.0.wire.fetched(self.0.wire.client().get(url), most.min(FETCHED)).await
    }
}

/// Several files as one message: pictures and videos together, everything else as files.
fn album(chat: &str, body: &str, files: &[Leaving]) -> Form {
    let seen = files.iter().all(|file| matches!(shown_as(file), "photo" | "video"));
    let heard = files.iter().all(|file| shown_as(file) == "audio");
    let mut form = Form::new();
    form.text("chat_id", chat);
    let media: Vec<Value> = files
        .iter()
        .enumerate()
        .map(|(place, file)| {
            let sort = if seen || heard { shown_as(file) } else { "document" };
            let mut one = json!({ "type": sort, "media": format!("attach://file{place}") });
            // The words of an album stand with the one that has some.
            if place == 0 && !body.is_empty() {
                one["caption"] = json!(body);
            }
            one
        })
        .collect();
    form.text("media", &Value::Array(media).to_string());
    for (place, file) in files.iter().enumerate() {
        form.file(&format!("file{place}"), file);
    }
    form
}

/// What a chat is called at Telegram, if that is a chat.
pub(super) fn chat_of(value: &str) -> Option<String> {
    value.trim().parse::<i64>().ok().map(|chat| chat.to_string())
}

/// Whether something may be the token of a bot: it stands in addresses.
pub fn is_token(token: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    token.split_once(':').is_some_and(|(bot, secret)| {
        (1..=20).contains(&bot.len())
            && bot.bytes().all(|b| b.is_ascii_digit())
            && (20..=200).contains(&secret.len())
            && secret.chars().all(plain)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16, description: &str) -> Outcome {
        Fault::Refused { code, description: description.into(), after: None }.outcome()
    }

    #[test]
    fn errors_are_told_in_words_and_say_what_became_of_a_message() {
        let Outcome::Failed { reason } = refused(403, "Forbidden: bot was blocked by the user") else { panic!() };
        assert!(reason.starts_with("the other side has blocked the bot"), "{reason}");
        assert!(matches!(refused(400, "Bad Request: chat not found"), Outcome::Failed { .. }));
        assert!(matches!(refused(401, "Unauthorized"), Outcome::Failed { .. }));
        assert!(matches!(refused(500, "Internal Server Error"), Outcome::Unknown { .. }));
        assert!(matches!(refused(429, "Too Many Requests"), Outcome::Later { .. }));
        let unreached = Fault::Silent(Silence::Unreached("no".into()));
        assert!(matches!(unreached.outcome(), Outcome::Later { .. }));
    }

    #[test]
    fn a_token_is_fit_to_stand_in_an_address() {
        assert!(is_token("123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11"));
        for wrong in
            ["", "123456", "123456:short", "abc:ABC-DEF1234ghIkl-zyx57W2v1u123ew11", "1:../../../../../../../../../x"]
        {
            assert!(!is_token(wrong), "{wrong}");
        }
    }
}
