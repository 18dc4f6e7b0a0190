//! Files over HTTP: why one is not taken, in whose hands a signed address is, and how bytes are sent.

use std::{ops::Range, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use channels::files::{
    Fault, Files,
    intake::{Intake, Refusal},
    names, sniff,
    sweep::Swept,
};
use commands::Reach;
use domain::{Id, Time, org::upload::New};
use futures::{StreamExt, stream};
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use ring::hmac;

use crate::{app::App, config::Serve, problem::Problem};

/// How often what nobody wants is looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// What is sent may be looked at, and carries nothing out: no script, no form, no other address.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src 'self'; sandbox";
/// What a signature is for.
const PURPOSE: &str = "deskfold files";

/// What files have in common in this process.
pub(crate) struct Uploads {
    pub(crate) intake: Intake,
    reach: Reach,
    received: IntCounter,
    swept: IntCounterVec,
}

/// What of an upload is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// All of it.
    Content,
    /// The small picture.
    Thumbnail,
}

/// What somebody has been handed an address of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) tenant: Id,
    pub(crate) upload: Id,
    pub(crate) of: Of,
    /// Whether it is saved rather than shown.
    pub(crate) download: bool,
    pub(crate) expires_at: Time,
}

/// How it is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    pub(crate) of: Of,
    pub(crate) download: bool,
    /// For how many seconds it need not be asked for again; it is asked each time without.
    pub(crate) fresh: Option<i64>,
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Problem {
        match fault {
            Fault::Full => Problem::storage_full(),
            Fault::TooLarge(most) => too_large(most),
            Fault::Missing => {
                Problem::broken(&"the bytes of a file are not where they should be: run `deskfold files verify`")
            }
            fault => {
                tracing::warn!(error = %fault, "files cannot be kept or read");
                Problem::unavailable("files_unavailable", "Files cannot be kept or read now. Try again.")
            }
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        let detail = refusal.to_string();
        match refusal {
            Refusal::Empty => Problem::invalid("upload_empty", detail),
            Refusal::TooLarge(most) => too_large(most),
            Refusal::Type(_) => Problem::invalid("upload_type_refused", detail).at("/media_type"),
            Refusal::Picture(_) => Problem::invalid("picture_unreadable", detail),
            Refusal::Files(fault) => fault.into(),
            Refusal::Refused(refused) => refused.into(),
            Refusal::Database(error) => error.into(),
        }
    }
}

/// The refusal of a file of too many bytes.
pub(crate) fn too_large(most: u64) -> Problem {
    let detail = format!("The file is larger than the {most} bytes that are taken.");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "upload_too_large", detail)
}

impl Uploads {
    pub(crate) fn new(
        config: &Serve,
        commands: &commands::Commands,
        reach: Reach,
        registry: &Registry,
    ) -> Result<Uploads, crate::StartError> {
        let files = config
            .files
            .open(&config.database.data_dir)
            .map_err(|fault| crate::StartError::Files(fault.to_string()))?;
        let received = IntCounter::new("deskfold_files_received_bytes_total", "Bytes of files that were taken in.")?;
        let swept = Opts::new(
            "deskfold_files_swept_total",
            "What was deleted because nobody wants it any more, by what it is.",
        );
        let swept = IntCounterVec::new(swept, &["what"])?;
        for what in ["uploads", "files", "parts"] {
            swept.with_label_values(&[what]);
        }
        registry.register(Box::new(received.clone()))?;
        registry.register(Box::new(swept.clone()))?;
        Ok(Uploads { intake: Intake::new(files, commands.clone(), config.file_limit), reach, received, swept })
    }

    /// Where they are kept.
    pub(crate) fn files(&self) -> &Files {
        self.intake.files()
    }

    /// Counts what has come.
    pub(crate) fn count(&self, bytes: u64) {
        self.received.inc_by(bytes);
    }
}

impl App {
    /// Deletes what nobody wants any more.
    pub(crate) async fn sweep_files(&self) -> Result<Swept, Problem> {
        let swept = self.uploads.intake.sweep(self.now(), &self.uploads.reach).await?;
        for (what, count) in [("uploads", swept.expired), ("files", swept.files), ("parts", swept.parts)] {
            self.uploads.swept.with_label_values(&[what]).inc_by(count);
        }
        Ok(swept)
    }

    /// The same until the system stops.
    pub(crate) async fn keep_files_swept(self) {
        let mut every = tokio::time::interval(SWEEP_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = every.tick() => {}
                () = self.stopping.cancelled() => return,
            }
            if let Ok(Err(problem)) = self.log.presence().guard(self.sweep_files()).await {
                tracing::warn!(%problem, "cannot sweep files");
            }
        }
    }

    /// An address that whoever has it may open until it expires.
    pub(crate) fn sign(&self, signed: &Signed) -> Result<String, Problem> {
        let key = self.sign_in.key_for(PURPOSE)?;
        let said = said(signed);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &said);
        Ok(URL_SAFE_NO_PAD.encode([&said[..], tag.as_ref()].concat()))
    }

    /// What such an address is of; `None` for one that nobody signed, or that has expired.
    pub(crate) fn signed(&self, text: &str) -> Result<Option<Signed>, Problem> {
        let key = self.sign_in.key_for(PURPOSE)?;
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(text) else { return Ok(None) };
        let Some((said, tag)) = bytes.split_at_checked(SAID) else { return Ok(None) };
        if hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &key), said, tag).is_err() {
            return Ok(None);
        }
        Ok(read(said).filter(|signed| signed.expires_at > self.now()))
    }

    /// Sends a file, or what is asked for of it.
    pub(crate) async fn send_file(
        &self,
        tenant: Id,
        file: &New,
        how: How,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        let (digest, size, media_type, name) = match (how.of, &file.thumbnail) {
            (Of::Content, _) => (&file.digest, file.size, file.media_type.as_str(), file.name.0.clone()),
            (Of::Thumbnail, Some(small)) => {
                let extension = if small.media_type == "image/png" { "png" } else { "jpg" };
                (&small.digest, small.size, small.media_type.as_str(), names::ending(&file.name, extension))
            }
            (Of::Thumbnail, None) => {
                return Err(Problem::missing("thumbnail_missing", "There is no small picture of this file."));
            }
        };
        let text = |text: &str| HeaderValue::from_str(text).map_err(|error| Problem::broken(&error));
        let tag = format!("\"{digest}\"");
        let inline = !how.download && sniff::may_be_shown(media_type);
        let declared = if media_type.starts_with("text/") {
            format!("{media_type}; charset=utf-8")
        } else {
            media_type.to_owned()
        };
        let caching = match how.fresh {
            Some(seconds) => format!("private, max-age={seconds}"),
            None => "private, no-cache".to_owned(),
        };
        let answer = [
            (header::ETAG, text(&tag)?),
            (header::CACHE_CONTROL, text(&caching)?),
            (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
            (header::CONTENT_DISPOSITION, text(&names::disposition(inline, &name))?),
            (header::CONTENT_TYPE, text(&declared)?),
            (header::ACCEPT_RANGES, HeaderValue::from_static("bytes")),
            // Pages of other origins show it where they are handed its address.
            (header::HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("cross-origin")),
            (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        ];
        let said = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let known =
            |said: &str| said.split(',').any(|one| one.trim().trim_start_matches("W/") == tag || one.trim() == "*");
        if said(header::IF_NONE_MATCH).is_some_and(known) {
            return Ok((StatusCode::NOT_MODIFIED, answer).into_response());
        }
        let still = said(header::IF_RANGE).is_none_or(|condition| condition == tag);
        let asked = said(header::RANGE).filter(|_| still).and_then(|range| stretch(range, size));
        let range = match asked {
            None => None,
            Some(Ok(range)) => Some(range),
            Some(Err(())) => {
                let detail = format!("The file has {size} bytes.");
                let mut response =
                    Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "range_unsatisfiable", detail).into_response();
                response.headers_mut().insert(header::CONTENT_RANGE, text(&format!("bytes */{size}"))?);
                return Ok(response);
            }
        };
        let length = range.as_ref().map_or(size, |range| range.end - range.start);
        let mut bytes = self.uploads.files().read(tenant, digest, range.clone()).await?;
        // What cannot be read at all is told as such; later there is no status left to tell it with.
        let first = bytes.next().await.transpose()?;
        let bytes = stream::iter(first.map(Ok)).chain(bytes);
        let mut response = (answer, Body::from_stream(bytes)).into_response();
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        if let Some(range) = range {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let place = format!("bytes {}-{}/{size}", range.start, range.end - 1);
            response.headers_mut().insert(header::CONTENT_RANGE, text(&place)?);
        }
        Ok(response)
    }
}

/// The stretch that a `Range` asks for; nothing where it is none, or several, and an error where there is no such stretch.
fn stretch(range: &str, size: u64) -> Option<Result<Range<u64>, ()>> {
    let (first, last) = range.strip_prefix("bytes=")?.trim().split_once('-')?;
    let number = |text: &str| text.trim().parse::<u64>();
    Some(match (first.trim(), last.trim()) {
        ("", last) => match number(last).ok()? {
            0 => Err(()),
            tail => Ok(size.saturating_sub(tail)..size),
        },
        (first, "") => match number(first).ok()? {
            first if first < size => Ok(first..size),
            _ => Err(()),
        },
        (first, last) => match (number(first).ok()?, number(last).ok()?) {
            (first, last) if first > last => return None,
            (first, last) if first < size => Ok(first..size.min(last.saturating_add(1))),
            _ => Err(()),
        },
    })
}

/// How many bytes of an address are what it says; the rest is the signature.
const SAID: usize = 16 + 16 + 1 + 8;

fn said(signed: &Signed) -> Vec<u8> {
    let flags = u8::from(signed.of == Of::Thumbnail) | (u8::from(signed.download) << 1);
    [
        &signed.tenant.bits().to_be_bytes()[..],
        &signed.upload.bits().to_be_bytes(),
        &[flags],
        &signed.expires_at.as_second().to_be_bytes(),
    ]
    .concat()
}

fn read(said: &[u8]) -> Option<Signed> {
    let (tenant, rest) = said.split_first_chunk::<16>()?;
    let (upload, rest) = rest.split_first_chunk::<16>()?;
    let (flags, rest) = rest.split_first()?;
    let (expires, _) = rest.split_first_chunk::<8>()?;
    Some(Signed {
        tenant: Id::from_bits(u128::from_be_bytes(*tenant)),
        upload: Id::from_bits(u128::from_be_bytes(*upload)),
        of: if flags & 1 == 1 { Of::Thumbnail } else { Of::Content },
        download: flags & 2 == 2,
        expires_at: Time::from_second(i64::from_be_bytes(*expires)).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_one_stretch_of_what_is_there() {
        for (asked, found) in [
            ("bytes=0-3", Some(Ok(0..4))),
            ("bytes=4-", Some(Ok(4..10))),
            ("bytes=-3", Some(Ok(7..10))),
            ("bytes=-30", Some(Ok(0..10))),
            ("bytes=8-30", Some(Ok(8..10))),
            ("bytes=10-", Some(Err(()))),
            ("bytes=-0", Some(Err(()))),
            ("bytes=12-13", Some(Err(()))),
            ("bytes=3-1", None),
            ("bytes=0-1,3-4", None),
            ("lines=0-1", None),
            ("bytes=x-1", None),
        ] {
            assert_eq!(stretch(asked, 10), found, "{asked}");
        }
    }

    #[test]
    fn what_is_signed_comes_back() {
        for (of, download) in [(Of::Content, true), (Of::Thumbnail, false)] {
            let expires_at = Time::from_second(1_800_000_000).unwrap();
            let signed =
                Signed { tenant: Id::from_bits(1), upload: Id::from_bits(u128::MAX), of, download, expires_at };
            let said = said(&signed);
            assert_eq!((said.len(), read(&said)), (SAID, Some(signed)));
        }
    }
}
