//! The Graph API of Meta, by which WhatsApp, Instagram and Messenger are written to, and what its errors mean.

pub(super) mod reading;

use std::time::Duration;

use bytes::Bytes;
use domain::chat::channel::{Kind, Purpose};
use reqwest::{RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

pub use self::reading::OfMeta;
use super::{
    Messengers, Stop, Whose,
    leaving::Said,
    wire::{Form, Leaving},
};
use crate::{
    calling::{Answered, Silence},
    outbox::Outcome,
};

/// What is said of an error.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Fault {
    #[serde(default)]
    pub(super) code: i64,
    #[serde(default, alias = "title")]
    pub(super) message: String,
    #[serde(default)]
    pub(super) error_data: Option<Details>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Details {
    #[serde(default)]
    details: String,
}

#[derive(Deserialize)]
struct Refused {
    error: Fault,
}

#[derive(Deserialize)]
struct Medium {
    url: String,
    file_size: Option<u64>,
}

/// Codes by which it asks to be left alone for a while.
const PACE: &[i64] = &[4, 17, 32, 613, 80_007, 130_429, 131_048, 131_056];

impl Fault {
    /// In words, for people.
    pub(super) fn words(&self) -> String {
        let known = match self.code {
            190 => "Meta's access token has expired or was withdrawn: give the channel the one of now",
            10 | 200..=299 => {
                "Meta does not let the account do this: the permission is missing, or the time to answer is over"
            }
            368 | 131_031 => "Meta has locked the account",
            551 => "the other side cannot be reached at the moment",
            130_429 | 131_048 | 131_056 | 80_007 | 4 | 17 | 32 | 613 => {
                "Meta asks to be left alone for a while: too much at once"
            }
            130_472 => "Meta does not deliver this to the other side: their number takes part in an experiment",
            130_497 => "the account may not write to people of this country",
            131_005 => "the access token may not do this: a permission is missing",
            131_008 | 131_009 | 100 => "something is missing or wrong in what was sent",
            131_021 => "the sender and the recipient are the same number",
            131_026 => "the message cannot be delivered: the number is not on WhatsApp, or its app is too old",
            131_030 => "the number is not among those that a test account may write to",
            131_037 => "the number's display name is not approved yet",
            131_042 => "WhatsApp cannot be paid: look after the account's way of payment",
            131_045 => "the account's number is not registered",
            131_047 => "more than 24 hours have passed since the other side last wrote: only a template reaches them",
            131_049 => "WhatsApp delivers no more such messages to the other side for now",
            131_050 => "the other side wants no such messages",
            131_051 => "WhatsApp does not take messages of this kind",
            131_052 => "WhatsApp cannot fetch the file that was sent",
            131_053 => "WhatsApp cannot take the file: its type or size does not fit",
            132_000 | 132_012 => "the template has other parameters than were given",
            132_001 => "there is no such template in this language, or it is not approved",
            132_005 => "the template with its parameters is too long",
            132_007 => "the template breaks WhatsApp's rules",
            132_015 => "the template is paused, since people did not like it",
            132_016 => "the template is switched off for good",
            133_010 => "the account's number is not registered",
            _ => "",
        };
        let details = self.error_data.as_ref().map(|data| data.details.as_str()).filter(|details| !details.is_empty());
        let told: String = details.unwrap_or(&self.message).chars().take(300).collect();
        match known {
            "" => format!("Meta answered {}: {told}", self.code),
            known => format!("{known} ({} {told})", self.code),
        }
    }
}

/// Why nothing was answered that can be used.
enum Trouble {
    Token(Stop),
    Silent(Silence),
    Refused { status: StatusCode, fault: Fault, after: Option<Duration> },
}

impl Trouble {
    fn words(&self) -> String {
        match self {
            Trouble::Token(stop) => stop.to_string(),
            Trouble::Silent(silence) => silence.reason().to_owned(),
            Trouble::Refused { fault, .. } => fault.words(),
        }
    }

    /// What became of what was sent: Meta sends twice what it is told twice.
    fn outcome(self) -> Outcome {
        let reason = self.words();
        match self {
            Trouble::Silent(silence) => silence.into(),
            Trouble::Token(Stop::Later(_)) => Outcome::Later { reason, after: None },
            Trouble::Token(_) => Outcome::Failed { reason },
            Trouble::Refused { status, fault, after } => {
                let pace = status == StatusCode::TOO_MANY_REQUESTS || PACE.contains(&fault.code);
                match pace {
                    true => Outcome::Later { reason, after },
                    false if status.is_server_error() => Outcome::Unknown { reason },
                    false => Outcome::Failed { reason },
                }
            }
        }
    }

    /// The same where nothing was sent yet: whatever went wrong may be tried again.
    fn before(self) -> Outcome {
        match self.outcome() {
            Outcome::Unknown { reason } => Outcome::Later { reason, after: None },
            outcome => outcome,
        }
    }

    fn stop(self) -> Stop {
        match self.before() {
            Outcome::Failed { reason } => Stop::Never(reason),
            Outcome::Later { reason, .. } | Outcome::Unknown { reason } => Stop::Later(reason),
            Outcome::Sent { .. } => Stop::Later(String::new()),
        }
    }
}

/// Of what sort a file is there.
fn sort_of(kind: Kind, media_type: &str) -> &'static str {
    match media_type.split('/').next() {
        Some("image") => "image",
        Some("video") => "video",
        Some("audio") => "audio",
        _ if kind == Kind::Whatsapp => "document",
        _ => "file",
    }
}

impl Messengers {
    async fn token(&self, whose: &Whose) -> Result<String, Stop> {
        let token = self.secret(whose, Purpose::Channel).await.map_err(Stop::Later)?;
        token.ok_or_else(|| Stop::Never("the channel has no access token".into()))
    }

    async fn graph(&self, whose: &Whose, request: RequestBuilder) -> Result<Value, Trouble> {
        let token = self.token(whose).await.map_err(Trouble::Token)?;
        let answered = self.0.wire.ask(request.bearer_auth(token.trim()), (self.0.clock)()).await;
        let Answered { status, body, after, .. } = answered.map_err(Trouble::Silent)?;
        if let Ok(Refused { error: fault }) = serde_json::from_slice(&body) {
            return Err(Trouble::Refused { status, fault, after });
        }
        let unclear = || Trouble::Silent(Silence::Unknown(format!("it answered {status}")));
        match status.is_success() {
            true => serde_json::from_slice(&body).map_err(|_| unclear()),
            false if status.is_client_error() => {
                let message = status.canonical_reason().unwrap_or_default().to_owned();
                let fault = Fault { code: i64::from(status.as_u16()), message, error_data: None };
                Err(Trouble::Refused { status, fault, after })
            }
            false => Err(unclear()),
        }
    }

    fn place(&self, whose: &Whose, what: &str) -> String {
        let account = whose.channel.settings.account.as_deref().unwrap_or_default();
        format!("{}/{account}/{what}", self.0.places.meta)
    }

    /// Sends a message.
    pub(super) async fn by_meta(
        &self,
        whose: &Whose,
        kind: Kind,
        to: &str,
        said: &Said<'_>,
        files: Vec<Leaving>,
    ) -> Outcome {
        let sent = match (kind, files.into_iter().next()) {
            (Kind::Whatsapp, None) => self.whatsapp(whose, to, text_or_template(said), &said.ours).await,
            (Kind::Whatsapp, Some(file)) => {
                let sort = sort_of(kind, &file.media_type);
                if sort == "audio" && !said.body.is_empty() {
                    let reason = "WhatsApp sends sound without words: send them one after the other";
                    return Outcome::Failed { reason: reason.into() };
                }
                let id = match self.uploaded_to_whatsapp(whose, &file).await {
                    Ok(id) => id,
                    Err(trouble) => return trouble.before(),
                };
                let mut medium = json!({ "id": id });
                if !said.body.is_empty() {
                    medium["caption"] = json!(said.body);
                }
                if sort == "document" {
                    medium["filename"] = json!(file.name);
                }
                self.whatsapp(whose, to, json!({ "type": sort, sort: medium }), &said.ours).await
            }
            (_, None) => self.messenger(whose, to, json!({ "text": said.body })).await,
            (_, Some(file)) => {
                let sort = sort_of(kind, &file.media_type);
                let id = match self.uploaded_to_messenger(whose, kind, sort, &file).await {
                    Ok(id) => id,
                    Err(trouble) => return trouble.before(),
                };
                let message = json!({ "attachment": { "type": sort, "payload": { "attachment_id": id } } });
                self.messenger(whose, to, message).await
            }
        };
        match sent {
            Ok(external_id) => Outcome::Sent { external_id },
            Err(trouble) => trouble.outcome(),
        }
    }

    async fn whatsapp(&self, whose: &Whose, to: &str, what: Value, ours: &str) -> Result<Option<String>, Trouble> {
        let mut body = json!({
            "messaging_product": "whatsapp", "recipient_type": "individual", "to": to, "biz_opaque_callback_data": ours,
        });
        merge(&mut body, what);
        let request = self.0.wire.client().post(self.place(whose, "messages")).json(&body);
        let answer = self.graph(whose, request).await?;
        Ok(answer["messages"][0]["id"].as_str().map(ToOwned::to_owned))
    }

    async fn uploaded_to_whatsapp(&self, whose: &Whose, file: &Leaving) -> Result<String, Trouble> {
        let mut form = Form::new();
        form.text("messaging_product", "whatsapp");
        form.text("type", &file.media_type);
        form.file("file", file);
        let request = self.0.wire.client().post(self.place(whose, "media")).timeout(self.0.patience * 4);
        let answer = self.graph(whose, form.sent_with(request)).await?;
        let unclear = || Trouble::Silent(Silence::Unknown("it does not say what it calls the file".into()));
        answer["id"].as_str().map(ToOwned::to_owned).ok_or_else(unclear)
    }

    async fn messenger(&self, whose: &Whose, to: &str, message: Value) -> Result<Option<String>, Trouble> {
        let body = json!({ "recipient": { "id": to }, "messaging_type": "RESPONSE", "message": message });
        let request = self.0.wire.client().post(self.place(whose, "messages")).json(&body);
        let answer = self.graph(whose, request).await?;
        Ok(answer["message_id"].as_str().map(ToOwned::to_owned))
    }

    async fn uploaded_to_messenger(
        &self,
        whose: &Whose,
        kind: Kind,
        sort: &str,
        file: &Leaving,
    ) -> Result<String, Trouble> {
        let mut form = Form::new();
        if kind == Kind::Instagram {
            form.text("platform", "instagram");
        }
        let message = json!({ "attachment": { "type": sort, "payload": { "is_reusable": false } } });
        form.text("message", &message.to_string());
        form.file("filedata", file);
        let request = self.0.wire.client().post(self.place(whose, "message_attachments")).timeout(self.0.patience * 4);
        let answer = self.graph(whose, form.sent_with(request)).await?;
        let unclear = || Trouble::Silent(Silence::Unknown("it does not say what it calls the file".into()));
        answer["attachment_id"].as_str().map(ToOwned::to_owned).ok_or_else(unclear)
    }

    /// Answers a message with an emoji, or takes that back.
    pub(super) async fn reacts_by_meta(
        &self,
        whose: &Whose,
        kind: Kind,
        to: &str,
        external_id: &str,
        reaction: Option<&str>,
    ) -> Outcome {
        let left = if kind == Kind::Whatsapp {
            let what = json!({ "message_id": external_id, "emoji": reaction.unwrap_or_default() });
            self.whatsapp(whose, to, json!({ "type": "reaction", "reaction": what }), "").await.map(drop)
        } else {
            let mut payload = json!({ "message_id": external_id });
            if let Some(reaction) = reaction {
                payload["reaction"] = json!(if reaction.starts_with('❤') { "love" } else { reaction });
            }
            let action = if reaction.is_some() { "react" } else { "unreact" };
            let body = json!({ "recipient": { "id": to }, "sender_action": action, "payload": payload });
            let request = self.0.wire.client().post(self.place(whose, "messages")).json(&body);
            self.graph(whose, request).await.map(drop)
        };
        match left {
            Ok(()) => Outcome::Sent { external_id: None },
            Err(trouble) => trouble.outcome(),
        }
    }

    /// What somebody is called; it is no harm when that is not told.
    pub(super) async fn metas_name(&self, whose: &Whose, id: &str) -> Option<String> {
        if !whose.channel.is_carried() || id.is_empty() || !id.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let request = self.0.wire.client().get(format!("{}/{id}?fields=name", self.0.places.meta));
        let told = self.graph(whose, request).await.ok()?;
        told["name"].as_str().map(str::trim).filter(|name| !name.is_empty()).map(ToOwned::to_owned)
    }

    /// A file that somebody sent; `None` of one that is too large.
    pub(super) async fn metas_file(&self, whose: &Whose, id: &str, most: u64) -> Result<Option<Bytes>, Stop> {
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
            return Err(Stop::Never("it is not said which file it is".into()));
        }
        let request = self.0.wire.client().get(format!("{}/{id}", self.0.places.meta));
        let found = self.graph(whose, request).await.map_err(Trouble::stop)?;
        let medium = Medium::deserialize(found).map_err(|error| Stop::Never(error.to_string()))?;
        if medium.file_size.is_some_and(|size| size > most) {
            return Ok(None);
        }
        // Where it lies Meta says; the token is shown there.
        let token = self.token(whose).await?;
        let request = self.0.wire.get(&medium.url)?.bearer_auth(token.trim());
        self.0.wire.fetched(request, most).await
    }
}

/// A text, or the template as which it leaves.
fn text_or_template(said: &Said<'_>) -> Value {
    let Some(template) = said.template else {
        return json!({ "type": "text", "text": { "preview_url": false, "body": said.body } });
    };
    let mut what = json!({ "name": template.name, "language": { "code": template.language } });
    if !template.parameters.is_empty() {
        let parameters: Vec<Value> =
            template.parameters.iter().map(|text| json!({ "type": "text", "text": text })).collect();
        what["components"] = json!([{ "type": "body", "parameters": parameters }]);
    }
    json!({ "type": "template", "template": what })
}

fn merge(into: &mut Value, more: Value) {
    if let (Some(into), Value::Object(more)) = (into.as_object_mut(), more) {
        into.extend(more.into_iter().filter(|(_, value)| !value.is_null()));
        into.retain(|name, value| name != "biz_opaque_callback_data" || value != "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: i64) -> Outcome {
        let status = StatusCode::from_u16(status).unwrap_or_default();
        let fault = Fault { code, message: "said".into(), error_data: None };
        Trouble::Refused { status, fault, after: None }.outcome()
    }

    #[test]
    fn errors_are_told_in_words_and_say_what_became_of_a_message() {
        let Outcome::Failed { reason } = refused(400, 131_047) else { panic!("it is final") };
        assert!(reason.contains("24 hours") && reason.contains("131047"), "{reason}");
        assert!(matches!(refused(400, 190), Outcome::Failed { .. }));
        assert!(matches!(refused(400, 130_429), Outcome::Later { .. }));
        assert!(matches!(refused(429, 0), Outcome::Later { .. }));
        assert!(matches!(refused(500, 131_000), Outcome::Unknown { .. }));
        let unknown = Fault { code: 7, message: "Odd".into(), error_data: None };
        assert_eq!(unknown.words(), "Meta answered 7: Odd");
    }
}
