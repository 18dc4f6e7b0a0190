//! How messengers are called: their own addresses, which the operator names, and addresses of files, which anybody may.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use domain::Time;
use rand::RngExt;
use reqwest::{Client, RequestBuilder, StatusCode, header::CONTENT_TYPE};

use super::Stop;
use crate::{
    address,
    calling::{Answered, Lazy, Silence, ask, client, reason},
};

/// Most bytes of an answer that are read.
const ANSWER: usize = 4 << 20;

/// What calls.
pub(super) struct Wire {
    private: bool,
    patience: Duration,
    /// For what the operator of this server names.
    named: Lazy,
    /// For what others name.
    guarded: Lazy,
}

impl Wire {
    pub(super) fn new(private: bool, patience: Duration) -> Wire {
        Wire { private, patience, named: client(true, patience), guarded: client(private, patience) }
    }

    /// For calls of the messenger itself.
    pub(super) fn client(&self) -> &Client {
        &self.named
    }

    /// Calls a messenger.
    pub(super) async fn ask(&self, request: RequestBuilder, now: Time) -> Result<Answered, Silence> {
        ask(request, self.patience, now, ANSWER).await
    }

    /// What lies at an address that somebody names: only public ones are called, by whatever name or number.
    pub(super) fn get(&self, url: &str) -> Result<RequestBuilder, Stop> {
        Ok(self.guarded.get(address::check(url, self.private).map_err(Stop::Never)?))
    }

    /// A file, which is no larger than this; `None` of one that is.
    pub(super) async fn fetched(&self, request: RequestBuilder, most: u64) -> Result<Option<Bytes>, Stop> {
        let told = |error: reqwest::Error| match address::is_refused(&error) {
            true => Stop::Never(reason(&error)),
            false => Stop::Later(reason(&error)),
        };
        // What is large takes its time.
        let mut answer = request.timeout(self.patience * 8).send().await.map_err(told)?;
        let status = answer.status();
        if !status.is_success() {
            let again = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
            let why = format!("it answered {status}");
            return Err(if again { Stop::Later(why) } else { Stop::Never(why) });
        }
        if answer.content_length().is_some_and(|length| length > most) {
            return Ok(None);
        }
        let mut content = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(told)? {
            if (content.len() + chunk.len()) as u64 > most {
                return Ok(None);
            }
            content.extend_from_slice(&chunk);
        }
        Ok(Some(content.freeze()))
    }
}

/// A file that leaves.
pub(super) struct Leaving {
    pub(super) name: String,
    pub(super) media_type: String,
    pub(super) width: Option<u32>,
    pub(super) height: Option<u32>,
    pub(super) content: Bytes,
}

/// A form with files (RFC 7578).
pub(super) struct Form {
    boundary: String,
    body: BytesMut,
}

impl Form {
    pub(super) fn new() -> Form {
        let boundary = format!("deskfold-{:032x}", rand::rng().random::<u128>());
        Form { boundary, body: BytesMut::new() }
    }

    fn part(&mut self, head: &str, content: &[u8]) {
        let Form { boundary, body } = self;
        body.extend_from_slice(format!("--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n").as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }

    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.part(&format!("name=\"{name}\""), value.as_bytes());
    }

    pub(super) fn file(&mut self, name: &str, file: &Leaving) {
        // Quotes and breaks are written as browsers do.
        let called = file.name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
        let media_type = &file.media_type;
        let head = format!("name=\"{name}\"; filename=\"{called}\"\r\nContent-Type: {media_type}");
        self.part(&head, &file.content);
    }

    pub(super) fn sent_with(self, request: RequestBuilder) -> RequestBuilder {
        let Form { boundary, mut body } = self;
        body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        request.header(CONTENT_TYPE, format!("multipart/form-data; boundary={boundary}")).body(body.freeze())
    }
}
