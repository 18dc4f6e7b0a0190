//! A record as it was: the same fold over a prefix of its stream.

use domain::{Id, Time, kernel::custom::Definitions};
use eventstore::{Direction, Log, Recorded};
use serde_json::{Value, value::RawValue};

use crate::{
    Error, Keys, List, ReadModel, Record,
    kernel::{
        custom_names, list,
        model::{AnyRow, Model},
        redirects::Past,
        then::Then,
    },
};

/// A point in the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// After the event at this position of the log.
    Position(i64),
    /// What had happened in the world by then, however late it was told: events that occurred at that instant or before.
    Instant(Time),
    /// What was known here by then: events that were recorded at that instant or before.
    KnownAt(Time),
}

impl AsOf {
    /// Whether an event counts.
    pub fn includes(&self, event: &Recorded) -> bool {
        match self {
            AsOf::Position(position) => event.position <= *position,
            AsOf::Instant(instant) => event.occurred_at <= *instant,
            AsOf::KnownAt(instant) => event.recorded_at <= *instant,
        }
    }
}

/// Events of a stream read at once.
const PAGE: i64 = 1000;

/// The events of a record up to a point in the past, oldest first. What was told late stays where it was told: an event
/// counts when it had happened, in the order of the log.
///
/// # Errors
/// When the database fails.
pub(crate) async fn events(log: &Log, tenant: Id, kind: &str, id: Id, as_of: AsOf) -> Result<Vec<Recorded>, Error> {
    let (tenant, stream) = (tenant.to_string(), format!("{kind}-{id}"));
    let mut events = Vec::new();
    let mut from = 0;
    loop {
        let page = log.read_stream(&tenant, &stream, from, Direction::Forward, PAGE).await?;
        let Some(last) = page.last() else { break };
        from = last.version + 1;
        // Occurrence may run backwards along a stream; position and recording never do.
        let past = !matches!(as_of, AsOf::Instant(_)) && !as_of.includes(last);
        events.extend(page.into_iter().filter(|event| as_of.includes(event)));
        if past {
            break;
        }
    }
    Ok(events)
}

/// The row of a record at a point in the past, with its version and the position of its last event then; `None` when it
/// did not exist.
///
/// # Errors
/// When the database fails, or an event cannot be understood.
pub async fn row_as_of<M: ReadModel>(
    log: &Log,
    tenant: Id,
    id: Id,
    as_of: AsOf,
) -> Result<Option<(M::Row, i64, i64)>, Error> {
    let Some(kind) = M::KINDS.first() else { return Ok(None) };
    let events = events(log, tenant, kind, id, as_of).await?;
    let folded = Model::of::<M>().fold_row(id, &events)?;
    Ok(folded.and_then(|(row, version, position)| Some((*row.downcast().ok()?, version, position))))
}

/// The record at a point in the past, as [`crate::get`] shows it now, with the names that other records had then. `custom`
/// are the custom fields of its kind.
///
/// # Errors
/// When the database fails, or an event cannot be understood.
pub async fn get_as_of(
    list: &'static List,
    log: &Log,
    tenant: Id,
    id: Id,
    as_of: AsOf,
    custom: &Definitions,
) -> Result<Option<Record>, Error> {
    let Some(kind) = list.model.kinds().first() else { return Ok(None) };
    let mut events = events(log, tenant, kind, (list.stream_of)(tenant, id), as_of).await?;
    if (list.stream_of)(tenant, id) != id {
        // The stream tells of others too.
        events.retain(|event| matches!((list.model.keys)(event), Keys::One(key) if key == id));
    }
    let Some((row, version, position)) = list.model.fold_row(id, &events)? else { return Ok(None) };
    let mut others = Others::default();
    let mut data = show(list, log, tenant, id, (&row, version, position), as_of, &mut others).await?;
    let then = Some((log, &mut others.then, as_of));
    custom_names::add(log.pool(), tenant, custom, then, std::slice::from_mut(&mut data)).await?;
    Ok(Some(Record { data, version, position }))
}

/// What is known of other records at a point in the past.
#[derive(Debug, Default)]
pub(crate) struct Others {
    merged: Past,
    then: Then,
}

/// A row that was folded in memory, as the list shows one; what had been merged by then is followed, and other records are
/// called what they were called then.
pub(crate) async fn show(
    list: &'static List,
    log: &Log,
    tenant: Id,
    id: Id,
    folded: (&AnyRow, i64, i64),
    as_of: AsOf,
    others: &mut Others,
) -> Result<Box<RawValue>, Error> {
    let row = list.model.stored(&tenant.to_string(), id, folded);
    let row = row.map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    let mut past = others.merged.of(list, log, tenant, &row, as_of).await?;
    let through = others.then.through(list, log, tenant, &row, as_of).await?;
    for further in list.through.iter().filter_map(|name| List::named(name)) {
        for row in through.as_array().into_iter().flatten() {
            past.extend(others.merged.of(further, log, tenant, row, as_of).await?);
        }
    }
    let past = Value::Object(past);
    let then = others.then.of(list, log, tenant, &row, &past, as_of).await?;
    Ok(list::shown(list, log.pool(), &row, &past, &then).await?)
}
