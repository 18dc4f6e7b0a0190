//! Lists as they were at a point in the past: the rows of records that have changed since are folded anew from the log and
//! take the place of those of now, so that the statements of lists say the same of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use domain::{
    Id, Time,
    kernel::{
        custom::Definitions,
        filter::{Condition, Filter, Scalar},
        merging::KINDS,
    },
};
use eventstore::{Log, Recorded};
use jiff::ToSpan;
use serde_json::{Map, Value, json, value::RawValue};
use sqlx::{AssertSqlSafe, PgPool, Postgres, Transaction};

use crate::{
    AsOf, Error, Group, Keys, List, ListError, ListRequest, Page, ReadModel, Redirects, Sight, Tally, Totalled,
    Unreadable,
    kernel::{
        custom_names,
        export::{self, lock},
        list::{found, mentions, raws},
        model::{AnyRow, Model, models},
        redirects::{Families, shown},
        registry,
        sql::{Bound, Sql},
        then::{Then, ids, instead},
        told::{veil, veil_custom},
        totals,
    },
    needs,
};

/// How far the clock of a process may be ahead of that of the database: nothing is told to have happened later than it is.
const AHEAD: i64 = 24;

/// Streams whose events are read at once.
const STREAMS: usize = 1000;
/// Rows of an export that are told at once.
const ROWS: usize = 200;

/// A list at a point in the past, in one snapshot of the database.
#[derive(Debug)]
pub struct Earlier {
    list: &'static List,
    log: Log,
    tenant: Id,
    at: AsOf,
    /// All that happened after the point in the past stands beyond this position of the log.
    since: i64,
    custom: Definitions,
    db: Transaction<'static, Postgres>,
    tables: Arc<Tables>,
    then: Then,
}

/// What differs from the tables of now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables {
    /// Rows whose last event stands beyond it have changed since, or may have.
    since: i64,
    /// Whether all of those have.
    is_exact: bool,
    /// By read model and id, the rows of records that have changed since as they were, as JSON; none where there was none.
    rows: BTreeMap<&'static str, BTreeMap<Id, Option<String>>>,
    /// By counter table, the columns that are its key, and what is to be added to its rows.
    tallies: BTreeMap<&'static str, (Vec<&'static str>, Value)>,
    /// Which records went on for those that had been merged: `kind-id`, and the id.
    merged: Map<String, Value>,
}

impl Tables {
    /// The common tables that take the place of the views of now; `sql` has the tenant as its first value.
    pub(crate) fn stand_in(&self, sql: &mut Sql) {
        for (model, rows) in &self.rows {
            let view = registry::view(model);
            sql.push(&view)
                .push(" as not materialized (select * from ")
                .push(&view)
                .push(" where tenant_id = ")
                .again(0);
            // As a literal the planner knows how many there are.
            sql.push(&format!(" and (position <= {}", self.since));
            if !self.is_exact {
                let changed = Bound::Texts(rows.keys().map(Id::to_string).collect());
                sql.push(" or id <> all (").bind(changed).push("::text[])");
            }
            sql.push(") union all select * from json_populate_recordset(null::").push(&view).push(", ");
            sql.bind(&*array(rows.values().flatten())).push("::text::json))").common();
        }
        for (tally, (key, rows)) in &self.tallies {
            let view = registry::view(tally);
            let key = [&["tenant_id"], &**key].concat().join(", ");
            sql.push(&format!(
                "{view} as (select {key}, sum(count)::bigint as count from (select {key}, count from {view}"
            ));
            sql.push(" where tenant_id = ").again(0).push(&format!(" union all select {key}, count from "));
            sql.push("json_populate_recordset(null::").push(&view).push(", ").bind(&*rows.to_string());
            sql.push(&format!("::text::json)) c group by {key})")).common();
        }
    }

    /// Which records went on for those that had been merged.
    pub(crate) fn merged(&self) -> Value {
        Value::Object(self.merged.clone())
    }

    /// Everybody who was one with these records; those that were alone have no entry.
    pub(crate) fn families(&self, asked: BTreeSet<(&'static str, String)>) -> Families {
        let families = asked.into_iter().filter_map(|(kind, id)| {
            let last = self.merged.get(&format!("{kind}-{id}")).and_then(Value::as_str).unwrap_or(&id).to_owned();
            let parts = self.merged.iter().filter_map(|(record, into)| {
                let (of, part) = record.split_once('-')?;
                (of == kind && *into == last.as_str()).then(|| part.to_owned())
            });
            let mut family: Vec<String> = parts.collect();
            if family.is_empty() {
                return None;
            }
            family.push(last);
            Some(((kind, id), family))
        });
        families.collect()
    }
}

/// Rows as a JSON array.
fn array<'a>(rows: impl Iterator<Item = &'a String>) -> String {
    let mut text = String::from("[");
    for row in rows {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(row);
    }
    text.push(']');
    text
}

impl Earlier {
    /// Begins with the snapshot, on a connection of `pool`, which is given back in the end; `custom` are the custom fields of
    /// the list's kind. The list must have reached the point in the past, as [`Earlier::position`] says it.
    ///
    /// The log is asked too while the snapshot is kept: a pool of its own keeps readings from waiting for one another.
    ///
    /// # Errors
    /// When the database fails, or an event cannot be understood.
    pub async fn begin(
        list: &'static List,
        (log, pool): (&Log, &PgPool),
        tenant: Id,
        at: AsOf,
        custom: Definitions,
    ) -> Result<Earlier, Error> {
        let since = match at {
            AsOf::Position(position) => position,
            AsOf::KnownAt(instant) => log.position_at(instant).await?,
            AsOf::Instant(instant) => {
                let before = instant.checked_sub(AHEAD.hours()).unwrap_or(Time::MIN);
                log.position_at(before).await?
            }
        };
        let mut db = pool.begin_with("begin isolation level repeatable read read only").await?;
        lock(&mut db, &needs(list).iter().copied().chain([Redirects::NAME]).collect(), &custom).await?;
        let (tables, then) = (Arc::default(), Then::default());
        let mut earlier = Earlier { list, log: log.clone(), tenant, at, since, custom, db, tables, then };
        let merged = earlier.survivors().await?;
        let rows = earlier.replaced(list.model).await?;
        let is_exact = !matches!(at, AsOf::Instant(_));
        let mut tables = Tables { since, is_exact, merged, ..Tables::default() };
        tables.rows.insert(list.model.name, rows);
        for model in models() {
            let Some(tally) = model.tally else { continue };
            let sql = [list.select, list.joins, list.only.map_or("", |(sql, _)| sql)];
            if sql.iter().any(|sql| mentions(sql, &registry::view(tally))) {
                tables.tallies.extend(earlier.tallied(model).await?.map(|counts| (tally, counts)));
            }
        }
        earlier.tables = Arc::new(tables);
        Ok(earlier)
    }

    /// The position that a list must have reached to be told as of a point in the past; none beyond the head of the log.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn position(log: &Log, at: AsOf) -> Result<i64, Error> {
        Ok(match at {
            AsOf::Position(position) => position.min(log.head().await?),
            AsOf::KnownAt(instant) | AsOf::Instant(instant) => log.position_at(instant).await?,
        })
    }

    /// The rows of all records that have changed since, as they were.
    async fn replaced(&mut self, model: &'static Model) -> Result<BTreeMap<Id, Option<String>>, Error> {
        let tenant = self.tenant.to_string();
        let later_than = match self.at {
            AsOf::Instant(instant) => Some(instant),
            AsOf::Position(_) | AsOf::KnownAt(_) => None,
        };
        let streams = Log::streams_beyond(&mut self.db, &tenant, model.kinds(), self.since, later_than).await?;
        let (begun, streams): (Vec<_>, Vec<_>) =
            streams.into_iter().partition(|(_, is_begun)| *is_begun && (model.own || later_than.is_none()));
        // What has begun since was not there.
        let begun = begun.iter().filter(|_| model.own).filter_map(|(stream, _)| stream.split_once('-')?.1.parse().ok());
        let mut rows: BTreeMap<Id, Option<String>> = begun.map(|id| (id, None)).collect();
        for streams in streams.chunks(STREAMS) {
            let streams: Vec<&str> = streams.iter().map(|(stream, _)| stream.as_str()).collect();
            let events = Log::read_whole(&mut self.db, &tenant, &streams).await?;
            for events in events.chunk_by(|one, other| one.stream == other.stream) {
                rows.extend(changed(model, &tenant, events, self.at)?);
            }
        }
        Ok(rows)
    }

    /// What the counters of a read model lack to be those of then.
    async fn tallied(&mut self, model: &'static Model) -> Result<Option<(Vec<&'static str>, Value)>, Error> {
        let then = self.replaced(model).await?;
        let now = self.present(model, then.keys().copied().collect()).await?;
        let mut counts: BTreeMap<Vec<(&'static str, String)>, i64> = BTreeMap::new();
        let of_now = now.values().map(|row| (row, -1));
        for (row, sign) in then.values().flatten().map(|row| (row, 1)).chain(of_now) {
            let row = (model.read)(row).map_err(|error| Unreadable(error.to_string()))?;
            for Tally { key, count } in (model.counts)(&row) {
                *counts.entry(key).or_default() += sign * count;
            }
        }
        let Some(columns) = counts.keys().next().map(|key| key.iter().map(|(column, _)| *column).collect()) else {
            return Ok(None);
        };
        let rows = counts.into_iter().map(|(key, count)| {
            let key = key.into_iter().map(|(column, value)| (column.to_owned(), Value::from(value)));
            let rest = [("tenant_id".to_owned(), json!(self.tenant)), ("count".to_owned(), json!(count))];
            Value::Object(key.chain(rest).collect())
        });
        Ok(Some((columns, rows.collect())))
    }

    /// The rows of some records as the table has them.
    async fn present(&mut self, model: &Model, ids: Vec<Id>) -> Result<BTreeMap<Id, String>, Error> {
        let statement = format!(
            "select t.id, row_to_json(t)::text from {} t where t.tenant_id = $1 and t.id = any ($2)",
            registry::view(model.name)
        );
        let query = sqlx::query_as(AssertSqlSafe(statement)).bind(self.tenant.to_string());
        let ids: Vec<String> = ids.iter().map(Id::to_string).collect();
        let found: Vec<(String, String)> = query.bind(ids).fetch_all(&mut *self.db).await?;
        Ok(found.into_iter().filter_map(|(id, row)| Some((id.parse().ok()?, row))).collect())
    }

    /// Which records went on for those that had been merged, at the ends of all chains.
    async fn survivors(&mut self) -> Result<Map<String, Value>, Error> {
        let tenant = self.tenant.to_string();
        let all: Vec<(String, Option<String>, bool)> = sqlx::query_as(
            "select kind || '-' || record_id, into_id, position > $2 from read_redirects where tenant_id = $1",
        )
        .bind(&tenant)
        .bind(self.since)
        .fetch_all(&mut *self.db)
        .await?;
        let touched: Vec<&str> = all.iter().filter(|(.., is)| *is).map(|(record, ..)| record.as_str()).collect();
        let events = Log::read_whole(&mut self.db, &tenant, &touched).await?;
        let mut into: BTreeMap<&str, Id> = BTreeMap::new();
        for (record, next, touched) in &all {
            let next = if *touched {
                let is_of = |event: &&Recorded| *event.stream == **record && Redirects::keys(event) != Keys::None;
                let last = events.iter().filter(is_of).rfind(|event| self.at.includes(event));
                let row = last.map(|event| Redirects::apply(Id::NIL, None, event)).transpose()?;
                row.flatten().and_then(|row| row.into_id)
            } else {
                next.as_ref().and_then(|next| next.parse().ok())
            };
            into.extend(next.map(|next| (record.as_str(), next)));
        }
        let mut survivors = Map::new();
        for (record, next) in &into {
            let Some((kind, _)) = record.split_once('-') else { continue };
            let (mut last, mut met) = (*next, BTreeSet::new());
            // A chain that bit its own tail would never end.
            while let Some(next) = into.get(&*format!("{kind}-{last}")).filter(|_| met.insert(last)) {
                last = *next;
            }
            survivors.insert((*record).to_owned(), last.to_string().into());
        }
        Ok(survivors)
    }

    /// Sees to it that the records are as they were by whose names a filter asks.
    async fn name(&mut self, filter: &Filter) -> Result<(), Error> {
        let mut kinds: BTreeSet<&'static str> = BTreeSet::new();
        filter.conditions(&mut |Condition { field, .. }| {
            let name = self.list.columns.iter().find(|column| column.name == field).and_then(|column| column.names);
            kinds.extend(name.iter().flat_map(|name| name.kinds.iter().copied()));
        });
        for kind in kinds {
            let Some(model) = registry::listings().find(|model| model.kinds() == [kind]) else { continue };
            if self.tables.rows.contains_key(model.name) {
                continue;
            }
            let rows = self.replaced(model).await?;
            Arc::make_mut(&mut self.tables).rows.insert(model.name, rows);
        }
        Ok(())
    }

    /// A page of the list as it was, with the names of then; told as far as whoever asks may see records now.
    ///
    /// # Errors
    /// As [`crate::list`], and when an event cannot be understood.
    pub async fn list(&mut self, request: &ListRequest) -> Result<Page, ListError> {
        self.name(&request.filter).await?;
        let found = found(self.list, &mut self.db, self.tenant, request, Some(&self.tables)).await?;
        let data = self.told(found.ids, &request.sight).await?;
        Ok(Page { data, next: found.next, total: found.total })
    }

    /// How many records matched by the value of a field, as [`crate::groups`] says it of now.
    ///
    /// # Errors
    /// As [`Earlier::list`].
    pub async fn groups(&mut self, filter: &Filter, sight: &Sight, by: &Totalled) -> Result<Vec<Group>, Error> {
        self.name(filter).await?;
        Ok(totals::grouped(self.list, &mut self.db, self.tenant, (filter, sight), by, Some(&self.tables)).await?)
    }

    /// What a field added up to over all records that matched.
    ///
    /// # Errors
    /// As [`Earlier::list`].
    pub async fn sum(&mut self, filter: &Filter, sight: &Sight, of: &Totalled) -> Result<i64, Error> {
        self.name(filter).await?;
        Ok(totals::summed(self.list, &mut self.db, self.tenant, (filter, sight), of, Some(&self.tables)).await?)
    }

    /// Opens a cursor over all that matched.
    ///
    /// # Errors
    /// As [`Earlier::list`].
    pub(crate) async fn declare(&mut self, request: &ListRequest) -> Result<(), Error> {
        self.name(&request.filter).await?;
        Ok(export::declare(self.list, &mut self.db, self.tenant, request, Some(&self.tables)).await?)
    }

    /// The next rows of the cursor, each the JSON that goes out; none at the end.
    ///
    /// # Errors
    /// As [`Earlier::list`].
    pub(crate) async fn next(&mut self, sight: &Sight) -> Result<Vec<Box<RawValue>>, Error> {
        let ids = export::fetch(&mut self.db, ROWS).await?;
        self.told(ids, sight).await
    }

    /// Rows of these records, in the same order, as the list showed them.
    async fn told(&mut self, ids: Vec<String>, sight: &Sight) -> Result<Vec<Box<RawValue>>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<Id> = ids.iter().filter_map(|id| id.parse().ok()).collect();
        let tables = Arc::clone(&self.tables);
        let replaced = tables.rows.get(self.list.model.name);
        let is_changed = |id: &Id| replaced.is_some_and(|rows| rows.contains_key(id));
        let mut rows =
            self.present(self.list.model, ids.iter().filter(|id| !is_changed(id)).copied().collect()).await?;
        rows.extend(ids.iter().filter_map(|id| Some((*id, replaced?.get(id)?.clone()?))));
        let rows = array(ids.iter().filter_map(|id| rows.get(id)));
        let read: Value = serde_json::from_str(&rows).map_err(|error| Unreadable(error.to_string()))?;
        let mut named = BTreeSet::new();
        self::ids(&read, &mut named);
        self::ids(&self.then.through(self.list, &self.log, self.tenant, &read, self.at).await?, &mut named);
        let merged = named.iter().flat_map(|id| KINDS.iter().map(move |kind| format!("{kind}-{id}")));
        let past: Map<String, Value> =
            merged.filter_map(|record| Some((record.clone(), tables.merged.get(&record)?.clone()))).collect();
        let past = Value::Object(past);
        let then = self.then.of(self.list, &self.log, self.tenant, &read, &past, self.at).await?;
        let mut sql = Sql::default();
        sql.values.extend(
            [self.tenant.to_string(), rows, past.to_string(), then.to_string()]
                .map(|text| Bound::One(Scalar::Text(text))),
        );
        Tables { tallies: tables.tallies.clone(), ..Tables::default() }.stand_in(&mut sql);
        let source = format!(
            "(select * from json_populate_recordset(null::{}, $2::text::json) with ordinality)",
            registry::view(self.list.name)
        );
        let statement = format!(
            "select (select row_to_json(v) from (select {}) v)::text from {} \
             where $1::text is not null and $4::text is not null order by t.ordinality",
            self.list.select,
            shown(self.list, &source, Some("$3::text"))
        );
        sql.push(&instead(statement, &then, "$4"));
        let statement = sql.statement();
        let query = sqlx::query_as(AssertSqlSafe(statement));
        let told: Vec<(String,)> = Sql::supply(sql.values, query).fetch_all(&mut *self.db).await?;
        let mut data = raws(self.list, told.into_iter().map(|(row,)| row))?;
        veil(self.list, &mut self.db, self.tenant, sight, &mut data).await?;
        let then = Some((&self.log, &mut self.then, self.at));
        custom_names::add(&mut *self.db, self.tenant, &self.custom, then, &mut data).await?;
        veil_custom(&mut self.db, self.tenant, sight, &self.custom, &mut data).await?;
        Ok(data)
    }
}

/// The rows that events of a stream have changed since, as they were. A row is told of by one stream alone.
fn changed(
    model: &Model,
    tenant: &str,
    events: &[Recorded],
    at: AsOf,
) -> Result<Vec<(Id, Option<String>)>, Unreadable> {
    let later = events.iter().filter(|event| !at.includes(event));
    let ids: BTreeSet<Id> = later.flat_map(|event| (model.keys)(event).as_slice().to_vec()).collect();
    let mut rows: BTreeMap<Id, (Option<AnyRow>, i64, i64)> = ids.into_iter().map(|id| (id, (None, -1, 0))).collect();
    let mut further = crate::Further::default();
    for event in events.iter().filter(|event| at.includes(event)) {
        for id in (model.keys)(event).as_slice() {
            let Some(row) = rows.get_mut(id) else { continue };
            *row = ((model.fold)(*id, row.0.take(), event, &mut further)?, event.version, event.position);
        }
    }
    let stored = rows.into_iter().map(|(id, (row, version, position))| {
        let Some(row) = row else { return Ok((id, None)) };
        let mut json = Vec::new();
        let written = model.write_stored(tenant, id, (&row, version, position), &mut json);
        let text = written
            .map_err(|error| error.to_string())
            .and_then(|()| String::from_utf8(json).map_err(|error| error.to_string()));
        Ok((id, Some(text.map_err(Unreadable)?)))
    });
    stored.collect()
}
