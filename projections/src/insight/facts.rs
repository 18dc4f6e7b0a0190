//! What events have said of records' dimensions and moments: see `domain/src/insight/facts.rs`. Tables: `read_facts`, one row
//! for each record; `read_fact_moments` and `read_fact_values`, to which rows are only ever added, so that what was known at any
//! position of the log is the rows up to it.

use domain::{
    Id, Time,
    insight::facts::{self, Fact},
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Further, Keys, ReadModel, Unreadable,
    kernel::{author::author, fold::micros},
};

/// What events have said.
#[derive(Clone, Copy, Debug)]
pub struct Facts;

/// The further tables.
const MOMENTS: &str = "fact_moments";
const VALUES: &str = "fact_values";

/// A record of which there are facts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Its kind.
    pub kind: String,
    /// The record itself; the row's own id follows from both.
    pub record_id: Id,
    /// When the first of its facts happened.
    pub first_at: Time,
    /// When the last of them happened.
    pub last_at: Time,
    /// Whether one was told after another that happened later.
    pub told_late: bool,
}

#[derive(Serialize)]
struct MomentKey<'a> {
    kind: &'a str,
    moment: &'a str,
    at: Time,
    position: i64,
}

#[derive(Serialize)]
struct MomentRest<'a> {
    record_id: Id,
    value: &'a Value,
    actor_id: Option<Id>,
}

#[derive(Serialize)]
struct ValueKey<'a> {
    kind: &'a str,
    dimension: &'a str,
    record_id: Id,
    part: &'a str,
    at: Time,
    position: i64,
}

#[derive(Serialize)]
struct ValueRest {
    value: Value,
    actor_id: Option<Id>,
}

impl ReadModel for Facts {
    const NAME: &'static str = "facts";
    const VERSION: i32 = 2;
    const KINDS: &'static [&'static str] = facts::KINDS;
    const FURTHER: &'static [&'static str] = &[MOMENTS, VALUES];
    const OWN: bool = false;
    type Row = Row;

    fn keys(event: &Recorded) -> Keys {
        let Some(source) = facts::source(event.category()) else { return Keys::None };
        // Of what is not counted itself most events say nothing.
        let silent =
            source.measures.is_empty() && source.tells(&event.kind, &event.data).is_ok_and(|facts| facts.is_empty());
        match event.key().parse::<Id>() {
            Ok(id) if !silent => Keys::One(Id::named(&["facts", source.kind, &id.to_string()])),
            _ => Keys::None,
        }
    }

    fn apply(id: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        Self::fold(id, row, event, &mut Further::default())
    }

    fn fold(_: Id, row: Option<Row>, event: &Recorded, further: &mut Further) -> Result<Option<Row>, Unreadable> {
        let Some(source) = facts::source(event.category()) else { return Ok(row) };
        let record_id: Id = event.key().parse().map_err(|_| Unreadable(format!("{} names no record", event.stream)))?;
        let (kind, at, position) = (source.kind, micros(event.occurred_at), event.position);
        let told = source.tells(&event.kind, &event.data)?;
        if told.is_empty() {
            return Ok(row);
        }
        let (_, actor_id) = author(event);
        for fact in told {
            match fact {
                Fact::Moment { moment, value } => {
                    let key = MomentKey { kind, moment, at, position };
                    further.put(MOMENTS, &key, &MomentRest { record_id, value: &value, actor_id })?;
                }
                Fact::Value { dimension, value } => {
                    let key = ValueKey { kind, dimension: &dimension, record_id, part: "", at, position };
                    further.put(VALUES, &key, &ValueRest { value, actor_id })?;
                }
                Fact::Part { dimension, part, holds } => {
                    let key = ValueKey { kind, dimension, record_id, part: &part, at, position };
                    let value = if holds { part.as_str().into() } else { Value::Null };
                    further.put(VALUES, &key, &ValueRest { value, actor_id })?;
                }
            }
        }
        let begun = || Row { kind: kind.to_owned(), record_id, first_at: at, last_at: at, told_late: false };
        let row = row.unwrap_or_else(begun);
        Ok(Some(Row {
            first_at: row.first_at.min(at),
            told_late: row.told_late || at < row.last_at,
            last_at: row.last_at.max(at),
            ..row
        }))
    }
}

#[cfg(test)]
mod tests {
    use domain::desk::ticket::Ticket;
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{at, event, id, recorded};

    #[test]
    fn each_event_adds_its_facts_and_takes_none_away() {
        let opened = json!({ "number": 1, "title": "T", "channel": "api", "priority": 2, "stage": "new" });
        let events = [event::<Ticket>("opened", opened), event::<Ticket>("closed", json!({}))];
        let mut further = Further::default();
        let mut row = None;
        for (version, event) in (0..).zip(&events) {
            row = Facts::fold(id(1), row, &recorded::<Ticket>(version, event), &mut further).unwrap();
        }
        let row = row.unwrap();
        assert_eq!((row.first_at, row.last_at, row.told_late), (at(0), at(1), false));
        let moments: Vec<Value> = further.rows(MOMENTS).map(|row| serde_json::from_str(&row).unwrap()).collect();
        assert_eq!(moments.iter().map(|row| &row["moment"]).collect::<Vec<_>>(), ["closed", "opened"]);
        assert_eq!(further.rows(VALUES).filter(|row| row.contains("\"status\"")).count(), 2);
    }
}
