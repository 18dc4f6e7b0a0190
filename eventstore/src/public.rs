//! The event as everybody outside sees it: one shape for the API, the command line and JetStream.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::Recorded;
use crate::error::Error;

/// Between metadata and data; data comes last, so that both can be cut out again byte for byte.
const DATA: &str = ",\"data\":";

/// What of the public shape must be parsed in order to have the event again; the metadata is cut out.
#[derive(Deserialize)]
struct Parsed<'a> {
    position: i64,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    version: i64,
    id: Uuid,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    occurred_at: Timestamp,
    recorded_at: Timestamp,
    #[serde(borrow)]
    data: &'a RawValue,
    /// Only in an envelope whose data is elsewhere.
    #[serde(default)]
    omitted: Option<IgnoredAny>,
}

impl Recorded {
    /// The event as the API shows it: the envelope, the members of the metadata, and `data`. Data and metadata are in it
    /// as they were written.
    ///
    /// # Errors
    /// When data or metadata is no JSON.
    pub fn public(&self) -> Result<Box<RawValue>, Error> {
        let broken = |reason: String| Error::Unreadable(format!("event {}: {reason}", self.position));
        let text = self.composed().ok_or_else(|| broken("it is no JSON".into()))?;
        RawValue::from_string(text).map_err(|error| broken(error.to_string()))
    }

    /// The envelope alone, with `data` null, for a carrier that cannot take the event whole; it says why.
    pub(crate) fn envelope(&self, omitted: &str) -> String {
        let mut text = self.opening();
        text.push_str(",\"omitted\":");
        push_text(&mut text, omitted);
        text.push_str(DATA);
        text.push_str("null}");
        text
    }

    /// The event of a public shape, if it is exactly what [`Recorded::public`] makes of that event.
    pub(crate) fn from_public(tenant: Arc<str>, body: &Bytes) -> Option<Recorded> {
        let parsed: Parsed<'_> = serde_json::from_slice(body).ok()?;
        if parsed.omitted.is_some() {
            return None;
        }
        let data_at = body.len().checked_sub(parsed.data.get().len() + 1)?;
        let data = body.slice(data_at..body.len() - 1);
        let mut event = Recorded {
            position: parsed.position,
            tenant,
            stream: parsed.stream.as_ref().into(),
            version: parsed.version,
            id: parsed.id,
            kind: parsed.kind.as_ref().into(),
            occurred_at: parsed.occurred_at,
            recorded_at: parsed.recorded_at,
            is_json: true,
            data,
            metadata: Bytes::new(),
        };
        let members = body.get(event.opening().len()..data_at.checked_sub(DATA.len())?)?;
        let members = members.strip_prefix(b",").unwrap_or(members);
        event.metadata = [b"{", members, b"}"].concat().into();
        (event.composed()?.as_bytes() == body).then_some(event)
    }

    /// Metadata and data are pasted in, not parsed.
    fn composed(&self) -> Option<String> {
        if !self.is_json {
            return None;
        }
        let metadata = std::str::from_utf8(&self.metadata).ok()?.strip_prefix('{')?.strip_suffix('}')?;
        let data = std::str::from_utf8(&self.data).ok()?;
        let mut text = self.opening();
        text.reserve(metadata.len() + data.len() + DATA.len() + 2);
        if !metadata.is_empty() {
            text.push(',');
            text.push_str(metadata);
        }
        text.push_str(DATA);
        text.push_str(data);
        text.push('}');
        Some(text)
    }

    fn opening(&self) -> String {
        let mut text = String::with_capacity(512);
        // Writing to a string does not fail.
        let _ = write!(text, "{{\"position\":{},\"stream\":", self.position);
        push_text(&mut text, &self.stream);
        let _ = write!(text, ",\"version\":{},\"id\":\"{}\",\"type\":", self.version, self.id);
        push_text(&mut text, &self.kind);
        let (occurred, recorded) = (self.occurred_at, self.recorded_at);
        let _ = write!(text, ",\"occurred_at\":\"{occurred}\",\"recorded_at\":\"{recorded}\"");
        text
    }
}

fn push_text(json: &mut String, text: &str) {
    // Text is always JSON.
    json.push_str(&serde_json::to_string(text).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn event(data: &'static str, metadata: &'static str) -> Recorded {
        Recorded {
            position: 42,
            tenant: "01K9Z3T8W0QX6V5N4M3K2J1H0G".into(),
            stream: "ticket-01K9Z3T8W0QX6V5N4M3K2J1H0H".into(),
            version: 3,
            id: Uuid::from_u128(7),
            kind: "ticket.opened".into(),
            occurred_at: "2026-01-02T03:04:05.000001Z".parse().unwrap(),
            recorded_at: "2026-01-02T03:04:06Z".parse().unwrap(),
            is_json: true,
            data: Bytes::from_static(data.as_bytes()),
            metadata: Bytes::from_static(metadata.as_bytes()),
        }
    }

    #[test]
    fn what_is_public_can_be_had_back_byte_for_byte() {
        let data = [r#"{"title":"Zoë \"x\" \u0041"}"#, "{}", "null", r#"{ "spaced" : [1 , 2.50] }"#];
        let metadata = [r#"{"actor":{"kind":"user","id":"7"},"via":"api"}"#, "{}", r#"{ "via" : "\u0061pi" }"#];
        for (data, metadata) in data.iter().flat_map(|data| metadata.map(|metadata| (data, metadata))) {
            let event = event(data, metadata);
            let body = Bytes::from(Box::<str>::from(event.public().unwrap()).into_boxed_bytes());
            assert_eq!(Recorded::from_public(Arc::clone(&event.tenant), &body), Some(event));
        }
        let shown = event("{}", r#"{"via":"api"}"#).public().unwrap();
        let expected = r#"{"position":42,"stream":"ticket-01K9Z3T8W0QX6V5N4M3K2J1H0H","version":3,"id":"00000000-0000-0000-0000-000000000007","type":"ticket.opened","occurred_at":"2026-01-02T03:04:05.000001Z","recorded_at":"2026-01-02T03:04:06Z","via":"api","data":{}}"#;
        assert_eq!(shown.get(), expected);
    }

    #[test]
    fn what_is_not_exactly_ours_is_not_taken() {
        let tenant = || Arc::from("t");
        let ours = event("{}", "{}").composed().unwrap();
        assert!(Recorded::from_public(tenant(), &Bytes::from(ours.clone())).is_some());
        for other in [ours.replace("\"version\"", " \"version\""), format!("{ours} "), ours.replace("data", "date")] {
            assert_eq!(Recorded::from_public(tenant(), &Bytes::from(other)), None);
        }
        for (data, metadata) in [
            (" {}", "{}"),
            ("{} ", "{}"),
            ("{}", r#"{"data":1}"#),
            ("{}", " {}"),
            ("{}", ""),
            ("{}", r#"{"omitted":1}"#),
        ] {
            let composed = event(data, metadata).composed();
            assert_eq!(composed.and_then(|text| Recorded::from_public(tenant(), &text.into())), None);
        }
        let envelope = event("{}", "{}").envelope("too_large");
        assert_eq!(Recorded::from_public(tenant(), &Bytes::from(envelope.clone())), None);
        let envelope: serde_json::Value = serde_json::from_str(&envelope).unwrap();
        assert_eq!((&envelope["data"], &envelope["omitted"]), (&serde_json::Value::Null, &"too_large".into()));
        assert!(event("{", "{}").public().is_err());
        assert!(Recorded { is_json: false, ..event("{}", "{}") }.public().is_err());
    }
}
