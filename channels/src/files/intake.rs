//! How a file comes to be kept: its parts are examined, a picture is written anew, the bytes are put where they belong, and only
//! then does the log say that they are there.

use std::sync::Arc;

use bytes::Bytes;
use commands::{Accepted, Commands, Envelope, Refused};
use domain::{
    Id, Personal, Time,
    org::{
        tenant::Tenant,
        upload::{Command, New, Thumbnail, Upload},
    },
};
use futures::TryStreamExt;
use jiff::SignedDuration;
use jiff_sqlx::ToSqlx;
use sqlx::PgPool;
use tokio::sync::Semaphore;

use super::{
    Examined, Fault, Files, Part,
    limits::{Limits, Narrowed},
    names, pictures, sniff,
};

/// For how long bytes are kept although no upload has them yet.
const HELD: SignedDuration = SignedDuration::from_hours(24);
/// The largest picture that is written anew, in bytes; a larger one is not taken.
const LARGEST_PICTURE: u64 = 64 << 20;
/// Pictures that a process decodes at once: each may take some hundred mebibytes.
const PICTURES: usize = 2;

/// Why a file is not taken in.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It is empty.
    #[error("A file has at least one byte.")]
    Empty,
    /// It is too large.
    #[error("The file is larger than the {0} bytes that are taken.")]
    TooLarge(u64),
    /// It is of a type that is not taken.
    #[error("Files of the type {0} are not taken.")]
    Type(String),
    /// It says that it is a picture, and is none that can be read.
    #[error("This is no picture that can be read: {0}.")]
    Picture(String),
    /// It cannot be kept.
    #[error(transparent)]
    Files(Fault),
    /// The log does not take it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The database fails.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Refusal {
        match fault {
            Fault::TooLarge(most) => Refusal::TooLarge(most),
            fault => Refusal::Files(fault),
        }
    }
}

/// What whoever sends a file says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its name.
    pub name: String,
    /// Its media type.
    pub media_type: String,
}

/// What takes files in. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    pub(super) files: Files,
    pub(super) commands: Commands,
    pictures: Arc<Semaphore>,
    largest: u64,
}

/// A file as it will be kept.
struct Prepared {
    new: New,
    /// The file and its small picture, where what was sent is not kept as it was.
    written: Option<(Bytes, Bytes)>,
    examined: Examined,
}

impl Prepared {
    fn digests(&self) -> Vec<String> {
        [Some(self.new.digest.clone()), self.new.thumbnail.as_ref().map(|small| small.digest.clone())]
            .into_iter()
            .flatten()
            .collect()
    }
}

impl Intake {
    /// Takes files of at most so many bytes in, whatever tenants set.
    pub fn new(files: Files, commands: Commands, largest: u64) -> Intake {
        Intake { files, commands, pictures: Arc::new(Semaphore::new(PICTURES)), largest }
    }

    /// Where they are kept.
    pub fn files(&self) -> &Files {
        &self.files
    }

    pub(super) fn pool(&self) -> &PgPool {
        self.commands.log().pool()
    }

    /// An upload with its bytes, which is small enough to be held in memory; `None` where it is not kept, or its bytes are gone.
    ///
    /// # Errors
    /// When that cannot be found out now.
    pub async fn content(&self, tenant: Id, upload: Id) -> Result<Option<(New, Bytes)>, Refusal> {
        let (upload, _) = self.commands.load_current::<Upload>(tenant, upload).await?;
        let Some(file) = upload.file.as_deref().filter(|_| upload.is_kept()) else { return Ok(None) };
        let pieces = match self.files.read(tenant, &file.digest, None).await {
            Ok(pieces) => pieces,
            Err(Fault::Missing) => return Ok(None),
            Err(fault) => return Err(fault.into()),
        };
        let pieces: Vec<Bytes> = pieces.try_collect().await?;
        Ok(Some((file.clone(), Bytes::from(pieces.concat()))))
    }

    /// How large files of a tenant may be, and what: as the tenant sets it, and within what the channel takes through which it
    /// comes or goes.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn limits(&self, tenant: Id, channel: Option<&Limits>) -> Result<Narrowed, Refused> {
        let (settings, _) = self.commands.load::<Tenant>(tenant, tenant).await?;
        let own = Limits { largest: settings.largest_upload(), types: settings.upload_types() };
        let server = Limits { largest: self.largest, types: Vec::new() };
        Ok(own.within(channel.unwrap_or(&server)).most(self.largest))
    }

    /// Keeps a file whose parts have all come as the upload that the envelope names. Whoever asks again with the same command
    /// is answered as the first time.
    ///
    /// # Errors
    /// Why it is not taken; then nothing of it stays but what is swept.
    pub async fn take_in(
        &self,
        envelope: &Envelope,
        told: &Told,
        limits: &Narrowed,
        parts: &[Part],
    ) -> Result<Accepted, Refusal> {
        let tenant = envelope.tenant;
        let prepared = self.prepare(told, limits, parts).await?;
        // Asked first without writing: what is refused leaves nothing behind.
        let rehearsal = Envelope { dry_run: true, ..envelope.clone() };
        let would = self.commands.dispatch::<Upload>(&rehearsal, Command::Complete(prepared.new.clone())).await?;
        if envelope.dry_run {
            return Ok(would);
        }
        self.hold(tenant, &prepared.digests(), envelope.now).await?;
        match &prepared.written {
            Some((file, small)) => {
                self.files.keep(tenant, file.clone()).await?;
                self.files.keep(tenant, small.clone()).await?;
            }
            None => self.files.keep_parts(tenant, &prepared.examined, parts).await?,
        }
        Ok(self.commands.dispatch::<Upload>(envelope, Command::Complete(prepared.new)).await?)
    }

    async fn prepare(&self, told: &Told, limits: &Narrowed, parts: &[Part]) -> Result<Prepared, Refusal> {
        let examined = self.files.examine(parts).await?;
        if examined.size == 0 {
            return Err(Refusal::Empty);
        }
        if examined.size > limits.largest {
            return Err(Refusal::TooLarge(limits.largest));
        }
        let media_type = sniff::media_type(&examined.head, examined.is_text, &told.media_type);
        if !limits.takes(media_type) {
            return Err(Refusal::Type(media_type.to_owned()));
        }
        let mut new = New {
            name: Personal(names::clean(&told.name)),
            size: examined.size,
            digest: examined.digest.clone(),
            media_type: media_type.to_owned(),
            width: None,
            height: None,
            thumbnail: None,
            sent_digest: None,
        };
        if !pictures::TYPES.contains(&media_type) {
            return Ok(Prepared { new, written: None, examined });
        }
        // Waits its turn before it is read: many at once would take all memory.
        let _turn = self.pictures.acquire().await.map_err(|error| Fault::Unfit(error.to_string()))?;
        let file = self.files.read_parts(parts, LARGEST_PICTURE.min(limits.largest)).await?;
        let rewritten = tokio::task::spawn_blocking(move || pictures::rewrite(&file, media_type)).await;
        let rewritten = rewritten.map_err(|error| Fault::Unfit(error.to_string()))?;
        let (picture, small) = rewritten.map_err(Refusal::Picture)?;
        if picture.media_type != media_type {
            new.name = Personal(names::ending(&new.name, picture.extension));
        }
        new.size = picture.bytes.len() as u64;
        new.digest = super::digest_of(&picture.bytes);
        new.media_type = picture.media_type.to_owned();
        (new.width, new.height) = (Some(picture.width), Some(picture.height));
        new.sent_digest = Some(examined.digest.clone()).filter(|digest| *digest != new.digest);
        new.thumbnail = Some(Thumbnail {
            digest: super::digest_of(&small.bytes),
            size: small.bytes.len() as u64,
            media_type: small.media_type.to_owned(),
            width: small.width,
            height: small.height,
        });
        Ok(Prepared { new, written: Some((picture.bytes.into(), small.bytes.into())), examined })
    }

    /// Says that these files are about to be kept, before they are: nobody deletes them meanwhile.
    async fn hold(&self, tenant: Id, digests: &[String], now: Time) -> Result<(), sqlx::Error> {
        let until = now.saturating_add(HELD).unwrap_or(now);
        sqlx::query(
            "insert into react_file (tenant_id, digest, held_until)
             select $1, digest, $3 from unnest($2::text[]) digest group by digest order by digest
             on conflict (tenant_id, digest) do update set held_until = excluded.held_until",
        )
        .bind(tenant.to_string())
        .bind(digests)
        .bind(until.to_sqlx())
        .execute(self.pool())
        .await?;
        Ok(())
    }
}
