//! A whole tenant as one file that another Deskfold takes in: what is in it, what is left out, and why. See `docs/archive.md`.

mod read;
mod restore;
mod write;

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use domain::{Id, Time};
use eventstore::Recorded;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

pub(crate) use self::{read::verify, restore::restore, write::Archive};

/// Raised when a Deskfold of before could not take an archive in, or would understand something else by it.
const FORMAT: u32 = 1;

/// The last entry: nothing follows it, and without it the archive is not whole.
const MANIFEST: &str = "manifest.json";

/// The part of the archive that events stand in, as a table is called.
const EVENTS: &str = "log_event";

/// The part of the archive that the bytes of files stand in, as if they were rows of a table.
const FILES: &str = "file";

/// A stretch of a file, on its line; those of one file follow each other.
#[derive(Serialize, Deserialize)]
struct Stretch {
    digest: String,
    /// Where it begins.
    at: u64,
    /// What is in it, in Base64.
    bytes: String,
    /// Whether the file ends with it.
    ends: bool,
}

/// Rows that no event brings back, of a table of this database.
struct Kept {
    table: &'static str,
    /// The column that says whose a row is.
    owner: &'static str,
    /// A further condition, for which rows.
    only: &'static str,
    /// The row `t` as JSON.
    row: &'static str,
    /// How many are read at once: few of those that are large.
    at_once: usize,
}

const fn kept(table: &'static str) -> Kept {
    Kept { table, owner: "tenant_id", only: "true", row: "to_jsonb(t)", at_once: 500 }
}

/// The tables whose rows are in an archive, beside the events.
const KEPT: &[Kept] = &[
    Kept { owner: "owner_tenant", ..kept("log_claim") },
    kept("log_counter"),
    kept("log_command"),
    Kept { only: "subscription like 'react\\_%'", ..kept("log_parked") },
    kept("react_pending_run"),
    kept("react_channel_assignment"),
    kept("import_job"),
    Kept { at_once: 1, ..kept("import_upload") },
    kept("import_rejection"),
    kept("import_duplicate"),
    kept("bulk_job"),
    kept("bulk_item"),
    kept("react_mail"),
    kept("react_mail_sender"),
    kept("react_file"),
    kept("auth_key_use"),
    Kept { at_once: 8, ..kept("auth_picture") },
    // What the log says lasts is ended where it is taken in, as expired: there nobody has the cookie, and none could be made for it.
    Kept {
        row: "jsonb_build_object('digest', 'archived ' || session_id, 'tenant_id', tenant_id, 'session_id', session_id,
                                 'user_id', user_id, 'method', method, 'started_at', started_at,
                                 'last_seen_at', '2000-01-01T00:00:00Z', 'expires_at', started_at)",
        ..kept("auth_session")
    },
];

/// What is not in an archive, and why. A test asks this of every table that is neither here nor among [`KEPT`], nor a read model's.
const LEFT_OUT: &[(&str, &str)] = &[
    ("_sqlx_migrations", "the schema of this database; the manifest says which it was"),
    ("log_setting", "settings of this database"),
    ("log_stream", "follows from the events"),
    ("log_snapshot", "follows from the events"),
    ("log_subscription", "read models are made anew; how far reactors were is in the manifest"),
    ("react_upload", "files that are still coming are sent anew"),
    ("react_upload_part", "files that are still coming are sent anew"),
    ("auth_password", "secrets stay where they are: people set new passwords"),
    ("auth_second_factor", "secrets stay where they are: a second factor is switched off and set up anew"),
    ("auth_recovery_code", "secrets stay where they are"),
    ("auth_token", "links that were handed out lead to the server that they name"),
    ("auth_provider_secret", "secrets stay where they are: the OpenID client's is set anew"),
    ("auth_channel_secret", "secrets stay where they are: the credentials of channels are set anew"),
    ("react_notification_place", "of what is before the archive nobody is told anyway"),
    ("auth_notification_way", "secrets stay where they are: people name their chats and browsers anew"),
    ("auth_webhook_secret", "secrets stay where they are: webhooks are given others"),
    (
        "react_webhook",
        "webhooks are told by the server that they were set up at; elsewhere each begins anew when it is changed",
    ),
    ("react_webhook_lane", "what webhooks wait for is sent from where it is"),
    ("react_webhook_delivery", "what was sent to webhooks of late was sent by the server that it is of"),
    (
        "react_outbox",
        "what is under way leaves from where it is: elsewhere what waits is found in the log, and leaves once somebody sends it",
    ),
    ("react_messenger_update", "what messengers brought and was not taken in yet is taken in where it was brought"),
    ("react_messenger", "how channels of messengers fare at the server that looks after them"),
    ("react_mailbox", "how mailboxes fare at the server that they are fetched from"),
    (
        "react_mailbox_folder",
        "mailboxes are looked through from their beginning: what was taken in is known, and is not taken in again",
    ),
    ("auth_visitor", "visitors of pages hold tokens for the server that they wrote to"),
    ("auth_visitor_proof", "what pages have shown before a chat begins, within the last hour"),
    ("react_attendance", "who has the inbox open of this server at this moment"),
    ("auth_throttle", "who failed to sign in of late is of this server"),
    ("auth_analyst", "logins of this database"),
];

/// What an archive says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) format: u32,
    /// The version of the program that made it.
    pub(crate) program: String,
    /// The newest migration of the database that it was made of.
    pub(crate) schema: i64,
    pub(crate) tenant: Id,
    pub(crate) made_at: Time,
    /// The newest position of the log when it was made; those that are no event's here were other tenants'.
    pub(crate) position: i64,
    pub(crate) events: u64,
    pub(crate) first_position: Option<i64>,
    pub(crate) last_position: Option<i64>,
    /// How far the reactors were: what they have answered they do not answer again.
    pub(crate) reactors: Vec<Reactor>,
    /// The tables whose rows are in it.
    pub(crate) kept: Vec<String>,
    /// What is not in it, and why.
    pub(crate) left_out: BTreeMap<String, String>,
    pub(crate) parts: Vec<Part>,
}

/// A reactor and the last position that it has answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reactor {
    name: String,
    version: i32,
    position: i64,
}

/// A file of the archive: JSON, one object a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) name: String,
    table: String,
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// Why an archive is not made, or not taken in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The file is not what it should be.
    #[error("the archive is damaged: {0}")]
    Damaged(String),
    /// It is whole, and cannot be taken in here.
    #[error("{0}")]
    Unfit(String),
    /// The log refuses, or cannot be reached.
    #[error("the log: {0}")]
    Log(#[from] eventstore::Error),
    /// The database refuses, or cannot be reached.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
    /// Files cannot be read or kept.
    #[error("the files: {0}")]
    Files(#[from] channels::files::Fault),
    /// Whoever was to take it has gone, or this process stops.
    #[error("the archive was given up")]
    GivenUp,
}

/// An event on its line. What is not JSON, or not JSON alone, is in Base64, so that each byte of it comes back.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    position: i64,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    version: i64,
    id: Uuid,
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    occurred_at: Time,
    recorded_at: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encoding: Option<Encoding>,
    #[serde(borrow)]
    metadata: &'a RawValue,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// What data and metadata are, where they are not JSON as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Encoding {
    /// JSON, in Base64.
    JsonBase64,
    /// No JSON, in Base64.
    Base64,
}

/// JSON that stands on a line of its own as it is.
fn plain(bytes: &[u8]) -> Option<&RawValue> {
    let value: &RawValue = serde_json::from_slice(bytes).ok()?;
    (value.get().len() == bytes.len() && !bytes.contains(&b'\n')).then_some(value)
}

/// An event as a line.
fn line_of(event: &Recorded) -> Result<String, serde_json::Error> {
    let as_it_is = plain(&event.metadata).zip(plain(&event.data)).filter(|_| event.is_json);
    let encoded = |bytes: &[u8]| serde_json::value::to_raw_value(&STANDARD.encode(bytes));
    let (metadata, data);
    let (encoding, values) = match as_it_is {
        Some(values) => (None, values),
        None => {
            (metadata, data) = (encoded(&event.metadata)?, encoded(&event.data)?);
            let encoding = if event.is_json { Encoding::JsonBase64 } else { Encoding::Base64 };
            (Some(encoding), (&*metadata, &*data))
        }
    };
    serde_json::to_string(&Line {
        position: event.position,
        stream: Cow::from(&*event.stream),
        version: event.version,
        id: event.id,
        r#type: Cow::from(&*event.kind),
        occurred_at: event.occurred_at,
        recorded_at: event.recorded_at,
        encoding,
        metadata: values.0,
        data: values.1,
    })
}

/// The event of a line.
fn event_of(line: &str, tenant: &Arc<str>) -> Result<Recorded, Fault> {
    let damaged = |why: String| Fault::Damaged(format!("a line is no event: {why}"));
    let line: Line<'_> = serde_json::from_str(line).map_err(|error| damaged(error.to_string()))?;
    let bytes = |value: &RawValue| -> Result<Bytes, Fault> {
        match line.encoding {
            None => Ok(Bytes::copy_from_slice(value.get().as_bytes())),
            Some(_) => {
                let text: String = serde_json::from_str(value.get()).map_err(|error| damaged(error.to_string()))?;
                Ok(Bytes::from(STANDARD.decode(text).map_err(|error| damaged(error.to_string()))?))
            }
        }
    };
    Ok(Recorded {
        position: line.position,
        tenant: Arc::clone(tenant),
        stream: Arc::from(&*line.stream),
        version: line.version,
        id: line.id,
        kind: Arc::from(&*line.r#type),
        occurred_at: line.occurred_at,
        recorded_at: line.recorded_at,
        is_json: line.encoding != Some(Encoding::Base64),
        data: bytes(line.data)?,
        metadata: bytes(line.metadata)?,
    })
}

/// The newest migration that this program knows.
fn schema() -> i64 {
    eventstore::MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_comes_back_byte_for_byte() {
        let event = |data: &'static [u8], is_json| Recorded {
            position: 7,
            tenant: "01K9Z3T8W0QX6V5N4M3K2J1H0G".into(),
            stream: "note-\"x\"".into(),
            version: 3,
            id: Uuid::from_u128(7),
            kind: "note.made".into(),
            occurred_at: "2026-01-02T03:04:05.000001Z".parse().unwrap(),
            recorded_at: "2026-01-02T03:04:06Z".parse().unwrap(),
            is_json,
            data: Bytes::from_static(data),
            metadata: Bytes::from_static(b"{\"via\":\"api\"}"),
        };
        for (data, is_json, encoded) in [
            (&b"{\"n\":12345678901234567890.10,\"t\":\"Zo\xc3\xab \\u0041\"}"[..], true, false),
            (b"{ \"spaced\" : [1 , 2.50] }", true, false),
            (b"{}\n", true, true),
            (b"[\n1]", true, true),
            (b"", true, true),
            (b"{}", false, true),
            (b"\xff\x00", false, true),
        ] {
            let event = event(data, is_json);
            let line = line_of(&event).unwrap();
            assert!(!line.contains('\n'));
            assert_eq!(line.contains("base64"), encoded, "{line}");
            assert_eq!(event_of(&line, &event.tenant).unwrap(), event);
        }
    }
}
