//! What events have said of records' dimensions and moments: see `domain/src/insight/facts.rs`. Tables: `read_facts`, one row
//! for each record; `read_fact_moments` and `read_fact_values`, to which rows are only ever added, so that what was known at any
//! position of the log is the rows up to it; `read_fact_items`, what is counted of each record as all of them are known, for reports that are asked
//! for again and again.

use domain::{
    Id, Time,
    insight::facts::{
        self, Fact,
        ahead::{End, Item, Told},
    },
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
const ITEMS: &str = "fact_items";

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
    /// What was told of it from which items are worked out ahead.
    pub told: Vec<Told>,
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

#[derive(Serialize)]
struct ItemKey<'a> {
    kind: &'a str,
    record_id: Id,
    measure: &'a str,
    turn: usize,
}

#[derive(Serialize)]
struct ItemRest<'a> {
    at: String,
    until: String,
    measured: Option<i64>,
    dims: &'a [Option<String>],
}

impl<'a> ItemRest<'a> {
    /// An item as it is kept: what does not last ends as it begins, and what is not counted any more was over before all time.
    fn of(item: Option<&'a Item>) -> Result<ItemRest<'a>, Unreadable> {
        let time = |micros: i64| Time::from_microsecond(micros).map(|time| time.to_string());
        let unreadable = |error: jiff::Error| Unreadable(error.to_string());
        let Some(item) = item else {
            let never = || "-infinity".to_owned();
            return Ok(ItemRest { at: never(), until: never(), measured: None, dims: &[] });
        };
        let until = match item.end {
            End::At => time(item.at),
            End::Until(until) => time(until),
            End::Open => Ok("infinity".to_owned()),
        };
        let (at, until) = (time(item.at).map_err(unreadable)?, until.map_err(unreadable)?);
        Ok(ItemRest { at, until, measured: item.measured, dims: &item.values })
    }
}

impl ReadModel for Facts {
    const NAME: &'static str = "facts";
    const VERSION: i32 = 3;
    const KINDS: &'static [&'static str] = facts::KINDS;
    const FURTHER: &'static [&'static str] = &[MOMENTS, VALUES, ITEMS];
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
        let begun =
            || Row { kind: kind.to_owned(), record_id, first_at: at, last_at: at, told_late: false, told: Vec::new() };
        let mut row = row.unwrap_or_else(begun);
        let before = row.told.clone();
        let mut is_counted_anew = false;
        for fact in &told {
            is_counted_anew |= source.take_in(&mut row.told, (at.as_microsecond(), position), fact);
        }
        if is_counted_anew {
            let (before, after) = (source.items(&before), source.items(&row.told));
            for key in before.keys().chain(after.keys().filter(|key| !before.contains_key(*key))) {
                let (was, is) = (before.get(key), after.get(key));
                if was != is {
                    let (measure, turn) = *key;
                    let key = ItemKey { kind, record_id, measure, turn };
                    further.put(ITEMS, &key, &ItemRest::of(is)?)?;
                }
            }
        }
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
        let items: Vec<Value> = further.rows(ITEMS).map(|row| serde_json::from_str(&row).unwrap()).collect();
        let of = |measure: &str| items.iter().find(|item| item["measure"] == measure).unwrap();
        assert_eq!(of("opened")["dims"], json!([null, null, null, "2"]));
        assert_eq!((&of("backlog")["at"], &of("backlog")["until"]), (&json!(at(0)), &json!(at(1))));
        assert_eq!((&of("closed")["at"], &of("closed")["until"]), (&json!(at(1)), &json!(at(1))));
    }

    #[test]
    fn what_is_counted_no_longer_is_over_before_all_time() {
        let opened = json!({ "number": 1, "title": "T", "channel": "api", "priority": 2, "stage": "new" });
        let events = [
            event::<Ticket>("opened", opened),
            event::<Ticket>("closed", json!({})),
            event::<Ticket>("reopened", json!({ "cause": "request" })),
        ];
        let mut further = Further::default();
        let mut row = None;
        for (version, event) in (0..).zip(&events) {
            row = Facts::fold(id(1), row, &recorded::<Ticket>(version, event), &mut further).unwrap();
        }
        let items: Vec<Value> = further.rows(ITEMS).map(|row| serde_json::from_str(&row).unwrap()).collect();
        let until = |measure: &str, turn: u64| {
            let item = items.iter().find(|item| item["measure"] == measure && item["turn"] == turn);
            item.unwrap()["until"].clone()
        };
        assert_eq!((until("closed", 0), until("resolution", 0)), (json!("-infinity"), json!("-infinity")));
        assert_eq!((until("backlog", 0), until("backlog", 1)), (json!(at(1)), json!("infinity")));
    }
}
