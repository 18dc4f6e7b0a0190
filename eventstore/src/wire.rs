//! Values on PostgreSQL's wire: instants, rows of the log, and rows of a binary `COPY`.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use jiff::Timestamp;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgRow, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Row, Type};
use uuid::Uuid;

use crate::Recorded;

/// Microseconds from 1970 to PostgreSQL's epoch, 2000.
const EPOCH: i64 = 946_684_800_000_000;

/// The columns of [`Recorded`], in the order the decoders of this file read them.
macro_rules! columns {
    () => {
        "position, version, occurred_at, recorded_at, event_id, is_json, tenant_id, stream, type, data, metadata"
    };
}
pub(crate) use columns;

/// How many there are.
const COLUMNS: i16 = 11;

/// An instant to the microsecond, as `timestamptz`; arrays of it too, which jiff-sqlx leaves to us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instant(pub(crate) Timestamp);

impl Type<Postgres> for Instant {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("timestamptz")
    }
}

impl PgHasArrayType for Instant {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("_timestamptz")
    }
}

impl Encode<'_, Postgres> for Instant {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&(self.0.as_microsecond() - EPOCH).to_be_bytes());
        Ok(IsNull::No)
    }
}

impl<'r> Decode<'r, Postgres> for Instant {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        instant(value.as_bytes()?).map(Instant)
    }
}

fn instant(bytes: &[u8]) -> Result<Timestamp, BoxDynError> {
    Ok(Timestamp::from_microsecond(i64::from_be_bytes(bytes.try_into()?).saturating_add(EPOCH))?)
}

/// Makes shared text, once for runs of the same value: neighbours in the log mostly share tenant and type.
#[derive(Default)]
pub(crate) struct Interner {
    recent: Vec<Arc<str>>,
    next: usize,
}

impl Interner {
    const KEPT: usize = 16;

    pub(crate) fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.recent.iter().find(|known| &***known == text) {
            return Arc::clone(known);
        }
        let shared: Arc<str> = text.into();
        match self.recent.get_mut(self.next) {
            Some(slot) => *slot = Arc::clone(&shared),
            None => self.recent.push(Arc::clone(&shared)),
        }
        self.next = (self.next + 1) % Self::KEPT;
        shared
    }
}

/// Decodes rows selected with `columns!()`.
#[derive(Default)]
pub(crate) struct Decoder {
    tenants: Interner,
    kinds: Interner,
}

impl Decoder {
    /// A row of a query in binary format.
    pub(crate) fn row(&mut self, row: &PgRow) -> Result<Recorded, sqlx::Error> {
        let raw = |index: usize| row.try_get_raw(index);
        let bytes = |index: usize| -> Result<Bytes, sqlx::Error> {
            Ok(Bytes::copy_from_slice(raw(index)?.as_bytes().map_err(sqlx::Error::Decode)?))
        };
        Ok(Recorded {
            position: row.try_get(0)?,
            version: row.try_get(1)?,
            occurred_at: row.try_get::<Instant, _>(2)?.0,
            recorded_at: row.try_get::<Instant, _>(3)?.0,
            id: row.try_get(4)?,
            is_json: row.try_get(5)?,
            tenant: self.tenants.share(raw(6)?.as_str().map_err(sqlx::Error::Decode)?),
            stream: raw(7)?.as_str().map_err(sqlx::Error::Decode)?.into(),
            kind: self.kinds.share(raw(8)?.as_str().map_err(sqlx::Error::Decode)?),
            data: bytes(9)?,
            metadata: bytes(10)?,
        })
    }

    pub(crate) fn rows(rows: &[PgRow]) -> Result<Vec<Recorded>, sqlx::Error> {
        let mut decoder = Decoder::default();
        rows.iter().map(|row| decoder.row(row)).collect()
    }

    /// The next row of a binary `COPY`, `None` at its trailer. Payloads stay slices of the message they came in.
    pub(crate) fn copied(&mut self, message: &mut Bytes) -> Result<Option<Recorded>, BoxDynError> {
        match message.try_get_i16()? {
            -1 => return Ok(None),
            COLUMNS => {}
            other => return Err(format!("a row of {other} columns").into()),
        }
        Ok(Some(Recorded {
            position: i64::from_be_bytes(fixed(message)?),
            version: i64::from_be_bytes(fixed(message)?),
            occurred_at: instant(&fixed::<8>(message)?)?,
            recorded_at: instant(&fixed::<8>(message)?)?,
            id: Uuid::from_bytes(fixed(message)?),
            is_json: fixed::<1>(message)? == [1],
            tenant: self.tenants.share(std::str::from_utf8(&field(message)?)?),
            stream: std::str::from_utf8(&field(message)?)?.into(),
            kind: self.kinds.share(std::str::from_utf8(&field(message)?)?),
            data: field(message)?,
            metadata: field(message)?,
        }))
    }
}

/// Bytes before the first row of a binary `COPY`: signature, flags and an extension of its own length.
pub(crate) fn copy_header(message: &mut Bytes) -> Result<(), BoxDynError> {
    const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
    if !message.starts_with(SIGNATURE) {
        return Err("not a binary copy".into());
    }
    message.advance(SIGNATURE.len());
    message.try_get_i32()?;
    let extension = usize::try_from(message.try_get_i32()?)?;
    if message.len() < extension {
        return Err("a copy header cut short".into());
    }
    message.advance(extension);
    Ok(())
}

fn field(message: &mut Bytes) -> Result<Bytes, BoxDynError> {
    let length = usize::try_from(message.try_get_i32()?)?;
    if message.len() < length {
        return Err("a row cut short".into());
    }
    Ok(message.split_to(length))
}

fn fixed<const N: usize>(message: &mut Bytes) -> Result<[u8; N], BoxDynError> {
    if message.try_get_i32()? != i32::try_from(N)? {
        return Err("a field of another width".into());
    }
    let mut bytes = [0; N];
    message.try_copy_to_slice(&mut bytes)?;
    Ok(bytes)
}
