//! What people outside send with a page: what they typed, and files that are nobody's until they are kept.

use std::collections::BTreeMap;

use axum::{
    Form as Encoded,
    body::{Body, to_bytes},
    extract::{FromRequest, Multipart, Request},
    http::{StatusCode, header},
};
use channels::files::{
    Fault, Part,
    intake::{Refusal, Told},
    limits::Narrowed,
    names,
};
use commands::Envelope;
use domain::{Id, desk::ticket::Attachment, org::upload::Upload};
use uuid::Uuid;

use crate::{app::App, http::kernel::request, problem::Problem};

/// So many bytes has what is typed into one field.
const LARGEST_TEXT: usize = 128 << 10;

/// How many files a field takes.
pub(super) type Wanted<'a> = &'a (dyn Fn(&str) -> usize + Sync);

/// A file that has come, and is nobody's yet.
pub(super) struct Chosen {
    pub(super) key: String,
    told: Told,
    pub(super) upload: Id,
    part: Part,
    /// Why it is not taken: a code, and what is said about it.
    pub(super) fault: Option<(String, String)>,
}

/// What was sent, by the names of its fields: of files their names.
#[derive(Default)]
pub(super) struct Sent {
    pub(super) typed: BTreeMap<String, String>,
    pub(super) files: Vec<Chosen>,
}

impl Sent {
    /// Reads what was sent; `wanted` says of a field how many files it takes.
    pub(super) async fn read(request: Request, app: &App, tenant: Id, wanted: Wanted<'_>) -> Result<Sent, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.starts_with("multipart/form-data") {
            let mut sent = Sent::default();
            let read = sent.read_parts(request, app, tenant, wanted).await;
            if let Err(problem) = read {
                sent.forget(app).await;
                return Err(problem);
            }
            return Ok(sent);
        }
        let (head, body) = request.into_parts();
        let body = to_bytes(body, app.config.body_limit).await.map_err(|_| request::too_large())?;
        let request = Request::from_parts(head, Body::from(body));
        let Encoded(pairs) = Encoded::<Vec<(String, String)>>::from_request(request, app).await.map_err(|_| {
            let detail = "A form is sent as application/x-www-form-urlencoded or multipart/form-data.";
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type_unsupported", detail)
        })?;
        Ok(Sent { typed: pairs.into_iter().collect(), files: Vec::new() })
    }

    async fn read_parts(&mut self, request: Request, app: &App, tenant: Id, wanted: Wanted<'_>) -> Result<(), Problem> {
        let unreadable = |_| Problem::bad_request("body_unreadable", "The body cannot be read as multipart/form-data.");
        let mut parts = Multipart::from_request(request, app)
            .await
            .map_err(|_| Problem::bad_request("body_unreadable", "The body cannot be read as multipart/form-data."))?;
        let limits = app.uploads.intake.limits(tenant, None).await?;
        while let Some(mut part) = parts.next_field().await.map_err(unreadable)? {
            let Some(key) = part.name().map(ToOwned::to_owned) else { continue };
            if let Some(name) = part.file_name().map(ToOwned::to_owned) {
                // Nothing was chosen.
                if name.is_empty() {
                    continue;
                }
                let name = names::clean(&name);
                let takes = wanted(&key);
                if let Some(before) = self.files.iter_mut().find(|file| file.key == key && takes == 1) {
                    let detail = "One file fits into this field.";
                    before.fault = Some(("form_value_invalid".to_owned(), detail.to_owned()));
                    continue;
                }
                // What nobody asks for is told as any other field that is none.
                if takes == 0 {
                    self.typed.insert(key, name);
                    continue;
                }
                if self.files.iter().filter(|file| file.key == key).count() >= takes {
                    return Err(request::too_large());
                }
                let told = Told { name: name.clone(), media_type: part.content_type().unwrap_or_default().to_owned() };
                let upload = app.new_id();
                let place = Part { tenant, upload, name: Uuid::now_v7().simple().to_string() };
                let came = app.uploads.files().receive(&place, part, limits.largest).await;
                let fault = match came {
                    Ok(came) if !came.whole => {
                        return Err(Problem::bad_request("body_unreadable", "The body broke off."));
                    }
                    Ok(came) => {
                        app.uploads.count(came.bytes);
                        (came.bytes == 0).then_some(Refusal::Empty)
                    }
                    Err(Fault::TooLarge(most)) => Some(Refusal::TooLarge(most)),
                    Err(fault) => return Err(fault.into()),
                };
                let fault = fault.map(|refusal| Problem::from(refusal).told());
                self.typed.insert(key.clone(), name);
                self.files.push(Chosen { key, told, upload, part: place, fault });
                continue;
            }
            let mut text = Vec::new();
            while let Some(piece) = part.chunk().await.map_err(unreadable)? {
                text.extend_from_slice(&piece);
                if text.len() > LARGEST_TEXT {
                    return Err(request::too_large());
                }
            }
            self.typed.insert(key, String::from_utf8_lossy(&text).into_owned());
        }
        Ok(())
    }

    /// Deletes what came of files; what stays after a kill is swept.
    pub(super) async fn forget(&self, app: &App) {
        let parts: Vec<Part> = self.files.iter().map(|file| file.part.clone()).collect();
        if let Err(fault) = app.uploads.files().delete_parts(&parts).await {
            tracing::warn!(error = %fault, "a part of a file stays until it is swept");
        }
    }
}

impl Chosen {
    /// Keeps it as an upload of whoever sends it; else why it is not taken: a code, and what is said about it.
    pub(super) async fn keep(
        &self,
        app: &App,
        envelope: &Envelope,
        limits: &Narrowed,
    ) -> Result<Result<Attachment, (String, String)>, Problem> {
        if let Some(fault) = &self.fault {
            return Ok(Err(fault.clone()));
        }
        let parts = std::slice::from_ref(&self.part);
        match app.uploads.intake.take_in(envelope, &self.told, limits, parts).await.map_err(Problem::from) {
            Ok(_) => {}
            Err(problem) if problem.status().is_client_error() => return Ok(Err(problem.told())),
            Err(problem) => return Err(problem),
        }
        let (upload, _) = app.commands.load_current::<Upload>(envelope.tenant, self.upload).await?;
        let Some(file) = upload.file.as_deref() else { return Ok(Err(Problem::from(Refusal::Empty).told())) };
        let (media_type, size) = (Some(file.media_type.clone()), Some(file.size));
        Ok(Ok(Attachment { upload_id: self.upload, name: file.name.clone(), media_type, size }))
    }
}
