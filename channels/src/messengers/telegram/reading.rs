//! What an update of Telegram says.

use domain::{
    Personal, Time,
    chat::conversation::Visitor,
    crm::contact::{Identity, IdentityKind},
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::messengers::{
    coming::{File, Happening, Message, Source},
    store::Brought,
};

/// An update, as far as it is understood.
#[derive(Deserialize)]
struct Update {
    message: Option<Value>,
    edited_message: Option<Value>,
    message_reaction: Option<Value>,
}

#[derive(Deserialize)]
struct Said {
    message_id: i64,
    from: Option<From>,
    chat: Chat,
    date: i64,
    edit_date: Option<i64>,
    text: Option<String>,
    caption: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct From {
    #[serde(default)]
    is_bot: bool,
    #[serde(default)]
    first_name: String,
    last_name: Option<String>,
    language_code: Option<String>,
}

#[derive(Deserialize)]
struct Chat {
    id: i64,
    #[serde(rename = "type", default)]
    sort: String,
}

#[derive(Deserialize)]
struct Reacted {
    message_id: i64,
    chat: Chat,
    #[serde(default)]
    new_reaction: Vec<Reaction>,
}

#[derive(Deserialize)]
struct Reaction {
    emoji: Option<String>,
}

/// What Telegram does in a chat by itself, which says nothing.
const SERVICE: &[&str] =
    &["pinned_message", "message_auto_delete_timer_changed", "write_access_allowed", "users_shared", "chat_shared"];

/// An update as it is kept.
pub(in crate::messengers) fn brought(body: &[u8]) -> Result<Brought, String> {
    let value: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    kept(value)
}

/// The same of one that was asked for.
pub(in crate::messengers) fn kept(value: Value) -> Result<Brought, String> {
    let number = value["update_id"].as_i64().ok_or("it has no update_id")?;
    let chat =
        ["message", "edited_message", "message_reaction"].iter().find_map(|what| value[what]["chat"]["id"].as_i64());
    let lane = chat.map(|chat| chat.to_string()).unwrap_or_default();
    Ok(Brought { key: number.to_string(), lane, ordinal: number, body: value })
}

/// What happened by it; nothing where it is about a group, or nothing that is shown.
pub(in crate::messengers) fn happened(body: &Value) -> Result<Vec<Happening>, String> {
    let update = Update::deserialize(body).map_err(|error| error.to_string())?;
    let Update { message, edited_message, message_reaction } = update;
    if let Some(said) = message {
        return Ok(said_in(said)?
            .and_then(wrote)
            .map(|message| Happening::Message(Box::new(message)))
            .into_iter()
            .collect());
    }
    if let Some(said) = edited_message {
        let Some(said) = said_in(said)? else { return Ok(vec![]) };
        let at = said.edit_date.and_then(moment);
        let edit = wrote(said);
        return Ok(edit
            .map(|Message { external_id, body, .. }| Happening::Edit { external_id, body, at })
            .into_iter()
            .collect());
    }
    let Some(reacted) = message_reaction else { return Ok(vec![]) };
    let reacted = Reacted::deserialize(reacted).map_err(|error| error.to_string())?;
    if reacted.chat.sort != "private" {
        return Ok(vec![]);
    }
    let reactions = reacted.new_reaction.into_iter().map(|one| one.emoji.unwrap_or_else(|| "❔".into())).collect();
    let external_id = format!("{}:{}", reacted.chat.id, reacted.message_id);
    Ok(vec![Happening::Reactions { external_id, reactions }])
}

/// What was said to the bot alone.
fn said_in(said: Value) -> Result<Option<Said>, String> {
    let said = Said::deserialize(said).map_err(|error| error.to_string())?;
    let ours = said.from.as_ref().is_some_and(|from| from.is_bot);
    Ok(Some(said).filter(|said| said.chat.sort == "private" && !ours))
}

fn moment(seconds: i64) -> Option<Time> {
    Time::from_second(seconds).ok()
}

fn wrote(said: Said) -> Option<Message> {
    if SERVICE.iter().any(|name| said.rest.contains_key(*name)) {
        return None;
    }
    let (words, files) = beside(&said.rest);
    let text = said.text.or(said.caption).unwrap_or_default();
    let mut body = [words, text].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n");
    if body.is_empty() && files.is_empty() {
        body = "[a message of a kind that cannot be shown here]".to_owned();
    }
    // By a link to the bot (t.me/bot?start=prices) people come from somewhere.
    let start = body.strip_prefix("/start ").map(str::trim).filter(|payload| !payload.is_empty());
    let path = start.map(|payload| format!("/start/{payload}"));
    let chat = said.chat.id.to_string();
    let visitor = said.from.map(|from| {
        let name = [Some(from.first_name), from.last_name].into_iter().flatten().collect::<Vec<_>>().join(" ");
        let name = Some(name.trim().to_owned()).filter(|name| !name.is_empty()).map(Personal);
        Visitor { name, country: None, path, language: from.language_code }
    });
    Some(Message {
        external_id: format!("{chat}:{}", said.message_id),
        identity: Identity::new(IdentityKind::Telegram, chat.clone()),
        sender: chat,
        visitor,
        body,
        files,
        written_at: moment(said.date),
    })
}

fn seconds(value: &Value) -> String {
    value["duration"].as_i64().map(|seconds| format!(", {seconds} s")).unwrap_or_default()
}

fn place(location: &Value) -> Option<String> {
    let (latitude, longitude) = (location["latitude"].as_f64()?, location["longitude"].as_f64()?);
    let map = format!("https://www.openstreetmap.org/?mlat={latitude}&mlon={longitude}");
    Some(format!("{latitude}, {longitude} {map}"))
}

/// What is said besides text: in words, and the files.
fn beside(rest: &Map<String, Value>) -> (String, Vec<File>) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let file = |value: &Value, name: &str, media_type: &str| {
        let source = Source::Telegram(text(&value["file_id"]));
        let name = value["file_name"].as_str().unwrap_or(name).to_owned();
        let media_type = value["mime_type"].as_str().unwrap_or(media_type).to_owned();
        File { source, name, media_type, size: value["file_size"].as_u64() }
    };
    // The largest of the sizes in which a picture is there comes last.
    let photo = rest.get("photo").and_then(Value::as_array).and_then(|sizes| sizes.last());
    if let Some(photo) = photo {
        return (String::new(), vec![file(photo, "photo.jpg", "image/jpeg")]);
    }
    for (what, name, media_type) in [
        // One that moves is there as a document, too.
        ("animation", "animation.mp4", "video/mp4"),
        ("document", "document", "application/octet-stream"),
        ("audio", "audio.mp3", "audio/mpeg"),
        ("video", "video.mp4", "video/mp4"),
    ] {
        if let Some(value) = rest.get(what) {
            return (String::new(), vec![file(value, name, media_type)]);
        }
    }
    if let Some(voice) = rest.get("voice") {
        return (format!("[voice message{}]", seconds(voice)), vec![file(voice, "voice.ogg", "audio/ogg")]);
    }
    if let Some(note) = rest.get("video_note") {
        return (format!("[video message{}]", seconds(note)), vec![file(note, "video.mp4", "video/mp4")]);
    }
    if let Some(sticker) = rest.get("sticker") {
        let emoji = text(&sticker["emoji"]);
        let moves = sticker["is_animated"] == true || sticker["is_video"] == true;
        let picture = (!moves).then(|| file(sticker, "sticker.webp", "image/webp"));
        return (format!("[sticker {emoji}]").replace(" ]", "]"), picture.into_iter().collect());
    }
    let words = if let Some(venue) = rest.get("venue") {
        let named = format!("[place] {}, {}", text(&venue["title"]), text(&venue["address"]));
        place(&venue["location"]).map_or(named.clone(), |place| format!("{named}\n{place}"))
    } else if let Some(place) = rest.get("location").and_then(place) {
        format!("[location] {place}")
    } else if let Some(contact) = rest.get("contact") {
        let name = [text(&contact["first_name"]), text(&contact["last_name"])].join(" ");
        format!("[contact] {}, {}", name.trim(), text(&contact["phone_number"]))
    } else if let Some(poll) = rest.get("poll") {
        format!("[poll] {}", text(&poll["question"]))
    } else if let Some(dice) = rest.get("dice") {
        format!("[{} {}]", text(&dice["emoji"]), dice["value"])
    } else {
        String::new()
    };
    (words, Vec::new())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use serde_json::json;

    use super::*;

    fn of(message: Value) -> Vec<Happening> {
        let mut said = json!({
            "message_id": 7, "date": 1_764_400_000, "chat": { "id": 42, "type": "private" },
            "from": { "id": 42, "is_bot": false, "first_name": "Maria", "last_name": "Rossi", "language_code": "it" },
        });
        said.as_object_mut().unwrap().extend(message.as_object().unwrap().clone());
        happened(&json!({ "update_id": 1, "message": said })).unwrap()
    }

    fn message(of: Vec<Happening>) -> Message {
        match of.into_iter().next().unwrap() {
            Happening::Message(message) => *message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_no_text_is_told_in_words() {
        let said = message(of(json!({ "text": "/start prices" })));
        assert_eq!((said.external_id.as_str(), said.sender.as_str()), ("42:7", "42"));
        assert_eq!(said.visitor.as_ref().unwrap().path.as_deref(), Some("/start/prices"));
        assert_eq!(said.visitor.unwrap().name.unwrap().as_str(), "Maria Rossi");
        let told = |value| message(of(value)).body;
        assert!(
            told(json!({ "location": { "latitude": 50.1, "longitude": 14.4 } })).starts_with("[location] 50.1, 14.4")
        );
        let contact = json!({ "contact": { "first_name": "Eva", "phone_number": "+420123" } });
        assert_eq!(told(contact), "[contact] Eva, +420123");
        let sticker = message(of(json!({ "sticker": { "file_id": "s", "emoji": "😀", "is_animated": true } })));
        assert_eq!((sticker.body.as_str(), sticker.files.len()), ("[sticker 😀]", 0));
        let voice = message(of(json!({ "voice": { "file_id": "v", "duration": 5 }, "caption": "Listen" })));
        assert_eq!((voice.body.as_str(), voice.files.len()), ("[voice message, 5 s]\nListen", 1));
        let photo = json!({ "photo": [{ "file_id": "small" }, { "file_id": "large", "file_size": 9 }] });
        assert_eq!(message(of(photo)).files[0].source, Source::Telegram("large".into()));
        assert!(told(json!({ "game": {} })).starts_with("[a message of a kind"));
        assert!(of(json!({ "pinned_message": {} })).is_empty());
    }

    #[test]
    fn groups_and_bots_are_not_heard() {
        let group = json!({ "chat": { "id": -5, "type": "group" }, "text": "x" });
        assert!(of(group).is_empty());
        assert!(of(json!({ "from": { "is_bot": true, "first_name": "b" }, "text": "x" })).is_empty());
        assert!(brought(b"{}").is_err() && brought(b"nonsense").is_err());
    }
}
