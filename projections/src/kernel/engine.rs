//! What a read model is, a pure fold from (row, event) to row, and what carries it: load, fold in memory, write.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, HashMap, HashSet, hash_map::Entry},
    fmt,
    sync::Arc,
};

use domain::{Aggregate, Id, kernel::named::Undecodable};
use eventstore::{Failure, Handler, Log, Recorded, Value, Write};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{AssertSqlSafe, PgConnection, PgExecutor};

use crate::kernel::{
    model::{AnyRow, Model},
    registry::Generation,
};

/// A table that follows from the log alone: each row is a fold over the events that touch it.
///
/// The fold does no I/O. The engine reads a batch of events, loads the rows they touch in one statement, folds in memory,
/// writes in one statement and moves the checkpoint, all in one transaction.
pub trait ReadModel: Send + Sync + 'static {
    /// Its name: analysts query the view `read_<name>`.
    const NAME: &'static str;
    /// Raised whenever the fold or the row changes: the table is filled anew beside the old one. A migration creates the
    /// table `read_<name>_v<VERSION>`.
    const VERSION: i32;
    /// The kinds of records whose events it folds, none for all; rows that are records come from the first.
    const KINDS: &'static [&'static str];

    /// The same, where they are more than are written down.
    fn kinds() -> &'static [&'static str] {
        Self::KINDS
    }

    /// Whether its rows are the records of [`ReadModel::KINDS`] themselves, each told of by its own stream; false where
    /// [`ReadModel::keys`] finds others.
    const OWN: bool = true;

    /// A counter table `read_<tally>` that is kept in step with the rows; its migration names it as this one's.
    const TALLY: Option<&'static str> = None;
    /// Further tables `read_<name>`, to which [`ReadModel::fold`] adds rows. A migration creates each as
    /// `read_<name>_v<VERSION>`, with a primary key that begins with `tenant_id`.
    const FURTHER: &'static [&'static str] = &[];
    /// A row. Its serde fields are the table's columns, besides `tenant_id`, `id`, `version` and `position`, which the
    /// engine keeps.
    type Row: Serialize + DeserializeOwned + Clone + Send + Sync + JsonSchema + 'static;

    /// The rows an event touches: by default the record it happened to.
    fn keys(event: &Recorded) -> Keys {
        Keys::own(event)
    }

    /// The row after an event; `None` when there is none, or none any more.
    ///
    /// # Errors
    /// When the event cannot be understood: it is parked, with the later events of its stream.
    fn apply(id: Id, row: Option<Self::Row>, event: &Recorded) -> Result<Option<Self::Row>, Unreadable>;

    /// As [`ReadModel::apply`], and what the event adds to the further tables: for models that have some.
    ///
    /// # Errors
    /// As [`ReadModel::apply`].
    fn fold(
        id: Id,
        row: Option<Self::Row>,
        event: &Recorded,
        _further: &mut Further,
    ) -> Result<Option<Self::Row>, Unreadable> {
        Self::apply(id, row, event)
    }

    /// What a row adds to the counters.
    fn tally(_row: &Self::Row) -> Vec<Tally> {
        Vec::new()
    }
}

/// The rows an event touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// None.
    None,
    /// One.
    One(Id),
    /// Several.
    Many(Vec<Id>),
}

impl Keys {
    /// The record that the event happened to. Streams that are no record's touch nothing.
    pub fn own(event: &Recorded) -> Keys {
        event.key().parse().map_or(Keys::None, Keys::One)
    }

    pub(crate) fn as_slice(&self) -> &[Id] {
        match self {
            Keys::None => &[],
            Keys::One(id) => std::slice::from_ref(id),
            Keys::Many(ids) => ids,
        }
    }
}

/// An event that a read model cannot understand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable(pub String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

impl From<Undecodable> for Unreadable {
    fn from(error: Undecodable) -> Self {
        Unreadable(error.to_string())
    }
}

/// The event as its aggregate knows it.
///
/// # Errors
/// When it is none of that aggregate's events.
pub fn decode<A: Aggregate>(event: &Recorded) -> Result<A::Event, Unreadable> {
    Ok(A::decode(&event.kind, &event.data)?)
}

/// What a row adds to one counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The counter: columns of its table besides `tenant_id` and `count`, in their order, as text.
    pub key: Vec<(&'static str, String)>,
    /// How much.
    pub count: i64,
}

/// What events add to the further tables of a read model. A row takes the place of the one with the same key.
#[derive(Default)]
pub struct Further {
    tenant: Arc<str>,
    /// By table, the rest of each row by its key; both are JSON objects. In the order of the key, as the table's index is.
    tables: BTreeMap<&'static str, BTreeMap<String, String>>,
    count: usize,
}

impl Further {
    /// Adds a row to one of [`ReadModel::FURTHER`]. The fields of `key` are the columns of the primary key without
    /// `tenant_id`, those of `rest` all others.
    ///
    /// # Errors
    /// When they are no JSON objects.
    pub fn put(&mut self, table: &'static str, key: &impl Serialize, rest: &impl Serialize) -> Result<(), Unreadable> {
        let object = |error: serde_json::Error| Unreadable(error.to_string());
        let key = serde_json::to_string(key).map_err(object)?;
        let key = format!("{{\"tenant_id\":\"{}\",{}", self.tenant, key.trim_start_matches('{'));
        let rest = serde_json::to_string(rest).map_err(object)?;
        self.count += usize::from(self.tables.entry(table).or_default().insert(key, rest).is_none());
        Ok(())
    }

    /// The rows of one table, as JSON objects in the order of their keys.
    pub fn rows(&self, table: &str) -> impl Iterator<Item = String> {
        let rows = self.tables.get(table).into_iter().flatten();
        rows.map(|(key, rest)| format!("{},{}", key.trim_end_matches('}'), rest.trim_start_matches('{')))
    }

    fn clear(&mut self) {
        self.tables.clear();
        self.count = 0;
    }
}

/// A physical table of a read model, with its counters.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    load: String,
    upsert: Arc<str>,
    delete: Arc<str>,
    count: Arc<str>,
    /// How rows come into the further tables, in the order of [`ReadModel::FURTHER`].
    further: Vec<Arc<str>>,
}

impl Table {
    /// Learns the columns of existing tables.
    pub(crate) async fn open(connection: &mut PgConnection, generation: &Generation) -> Result<Table, sqlx::Error> {
        let name = &generation.table_name;
        let columns = columns(connection, name).await?;
        let set: Vec<_> = columns
            .iter()
            .filter(|column| *column != "tenant_id" && *column != "id")
            .map(|column| format!("{column} = excluded.{column}"))
            .collect();
        let upsert = format!(
            "insert into {name} select * from json_populate_recordset(null::{name}, $1::text::json)
             on conflict (tenant_id, id) do update set {}",
            set.join(", ")
        );
        let count = match &generation.tally_name {
            Some(tally) => {
                let mut keys = self::columns(connection, tally).await?;
                keys.retain(|column| column != "count");
                format!(
                    "insert into {tally} select * from json_populate_recordset(null::{tally}, $1::text::json)
                     on conflict ({}) do update set count = {tally}.count + excluded.count",
                    keys.join(", ")
                )
            }
            None => String::new(),
        };
        let mut further = Vec::new();
        for name in &generation.further_names {
            let key = key(connection, name).await?;
            let mut set = self::columns(connection, name).await?;
            set.retain(|column| !key.contains(column));
            let set: Vec<_> = set.iter().map(|column| format!("{column} = excluded.{column}")).collect();
            let put = format!(
                "insert into {name} select * from json_populate_recordset(null::{name}, $1::text::json)
                 on conflict ({}) do update set {}",
                key.join(", "),
                set.join(", ")
            );
            further.push(put.into());
        }
        Ok(Table {
            load: format!(
                "select t.tenant_id, t.id, t.version, t.position, row_to_json(t)::text
                 from unnest($1::text[], $2::text[]) wanted (tenant_id, id)
                 join {name} t on t.tenant_id = wanted.tenant_id and t.id = wanted.id"
            ),
            upsert: upsert.into(),
            delete: format!(
                "delete from {name} t using unnest($1::text[], $2::text[]) gone (tenant_id, id)
                 where t.tenant_id = gone.tenant_id and t.id = gone.id"
            )
            .into(),
            count: count.into(),
            further,
        })
    }
}

/// The columns of a table's primary key.
pub(crate) async fn key(connection: &mut PgConnection, table: &str) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select a.attname::text from pg_index i
         cross join unnest(i.indkey::smallint[]) with ordinality k (attnum, place)
         join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
         where i.indrelid = $1::text::regclass and i.indisprimary and k.place <= i.indnkeyatts order by k.place",
    )
    .bind(table)
    .fetch_all(connection)
    .await
}

async fn columns(connection: &mut PgConnection, table: &str) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select attname::text from pg_attribute
         where attrelid = $1::text::regclass and attnum > 0 and not attisdropped order by attnum",
    )
    .bind(table)
    .fetch_all(connection)
    .await
}

type RowKey = (Arc<str>, Id);
/// A tenant's counter, as [`Tally::key`].
type Counter = (Arc<str>, Vec<(&'static str, String)>);

struct Slot {
    row: Option<AnyRow>,
    version: i64,
    /// Events up to here are in the row.
    position: i64,
    /// Whether the table has it.
    stored: bool,
    dirty: bool,
    /// What the stored row has added to the counters.
    tallied: Vec<Tally>,
    /// The batch that touched it last.
    round: u64,
    /// What it takes, as JSON: how large it was when it was loaded or written last.
    bytes: usize,
}

/// What a row takes in memory besides its JSON.
const SLOT: usize = 200;

impl Default for Slot {
    fn default() -> Self {
        Slot {
            row: None,
            version: -1,
            position: 0,
            stored: false,
            dirty: false,
            tallied: Vec::new(),
            round: 0,
            bytes: SLOT,
        }
    }
}

/// Rows in memory, ahead of the table by what has not been taken out yet.
pub(crate) struct Folder {
    model: &'static Model,
    rows: HashMap<RowKey, Slot>,
    dirty: Vec<RowKey>,
    /// What the further tables lack.
    further: Further,
    /// Every row of the table is in memory: what is missing does not exist.
    complete: bool,
    round: u64,
    /// What all rows in memory take.
    bytes: usize,
}

/// How much of a table may stay in memory between batches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    pub(crate) rows: usize,
    /// As JSON.
    pub(crate) bytes: usize,
}

/// What is to be written to a table.
#[derive(Default)]
pub(crate) struct Writes {
    upserts: Vec<String>,
    gone: (Vec<String>, Vec<String>),
    counts: Vec<String>,
    /// Of each further table.
    further: Vec<Vec<String>>,
}

/// Most bytes of JSON in one statement.
const CHUNK: usize = 8 << 20;

impl Folder {
    /// Nothing in memory. `empty` says that the table is.
    pub(crate) fn new(model: &'static Model, empty: bool) -> Self {
        let (rows, dirty, further) = (HashMap::new(), Vec::new(), Further::default());
        Folder { model, rows, dirty, further, complete: empty, round: 0, bytes: 0 }
    }

    /// Drops everything in memory.
    pub(crate) fn forget(&mut self) {
        self.rows.clear();
        self.dirty.clear();
        self.further.clear();
        self.complete = false;
        self.bytes = 0;
    }

    /// How many rows are ahead of the tables.
    pub(crate) fn dirty(&self) -> usize {
        self.dirty.len() + self.further.count
    }

    /// Folds events into the rows in memory, loading those that are not there yet.
    pub(crate) async fn fold<'c, E: Borrow<Recorded> + Sync>(
        &mut self,
        database: impl PgExecutor<'c>,
        table: &Table,
        events: &[E],
    ) -> Result<(), Failure> {
        let keys = self.keys(events);
        let missing = self.missing(events, &keys);
        if !missing.is_empty() {
            let found = found(database, table, &missing).await?;
            self.remember(missing, found)?;
        }
        self.apply(events, &keys)
    }

    /// The same, on a connection that is asked for only when it is needed.
    async fn fold_aside<E: Borrow<Recorded> + Sync>(
        &mut self,
        log: &Log,
        table: &Table,
        events: &[E],
    ) -> Result<(), Failure> {
        let keys = self.keys(events);
        let missing = self.missing(events, &keys);
        if !missing.is_empty() {
            let found = log.aside(async |connection| found(connection, table, &missing).await).await?;
            self.remember(missing, found)?;
        }
        self.apply(events, &keys)
    }

    fn keys<E: Borrow<Recorded>>(&self, events: &[E]) -> Vec<Keys> {
        events.iter().map(|event| (self.model.keys)(event.borrow())).collect()
    }

    /// The rows that events touch and that are not in memory, though the table may have them.
    fn missing<E: Borrow<Recorded>>(&mut self, events: &[E], keys: &[Keys]) -> Vec<RowKey> {
        if self.complete {
            return Vec::new();
        }
        let mut missing: HashSet<RowKey> = HashSet::new();
        for (event, keys) in events.iter().zip(keys) {
            let event: &Recorded = event.borrow();
            for id in keys.as_slice() {
                let key = (Arc::clone(&event.tenant), *id);
                if self.rows.contains_key(&key) {
                    continue;
                }
                // Before the first event of a record there is no row of it.
                if event.version == 0 && self.model.kinds().len() == 1 && Keys::own(event) == Keys::One(*id) {
                    self.bytes += SLOT;
                    self.rows.insert(key, Slot { round: self.round, ..Slot::default() });
                } else {
                    missing.insert(key);
                }
            }
        }
        missing.into_iter().collect()
    }

    /// Takes in what the table has of the rows that were missing.
    fn remember(&mut self, missing: Vec<RowKey>, found: Vec<Found>) -> Result<(), sqlx::Error> {
        for key in missing {
            self.bytes += SLOT;
            self.rows.insert(key, Slot { round: self.round, ..Slot::default() });
        }
        for (tenant, id, version, position, json) in found {
            let row = (self.model.read)(&json).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            let id: Id = id.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            let tallied = if self.model.tally.is_some() { (self.model.counts)(&row) } else { Vec::new() };
            self.bytes += json.len();
            let (bytes, round) = (SLOT + json.len(), self.round);
            let slot = Slot { row: Some(row), version, position, stored: true, dirty: false, tallied, round, bytes };
            self.rows.insert((tenant.into(), id), slot);
        }
        Ok(())
    }

    fn apply<E: Borrow<Recorded>>(&mut self, events: &[E], keys: &[Keys]) -> Result<(), Failure> {
        self.round += 1;
        for (event, keys) in events.iter().zip(keys) {
            let event = event.borrow();
            for id in keys.as_slice() {
                let key = (Arc::clone(&event.tenant), *id);
                let slot = match self.rows.entry(key.clone()) {
                    Entry::Occupied(slot) => slot.into_mut(),
                    Entry::Vacant(slot) => {
                        self.bytes += SLOT;
                        slot.insert(Slot::default())
                    }
                };
                slot.round = self.round;
                if event.position <= slot.position {
                    continue;
                }
                let poison = |error: Unreadable| Failure::Poison { position: event.position, reason: error.0 };
                if *self.further.tenant != *event.tenant {
                    self.further.tenant = Arc::clone(&event.tenant);
                }
                slot.row = (self.model.fold)(*id, slot.row.take(), event, &mut self.further).map_err(poison)?;
                slot.position = event.position;
                slot.version = event.version;
                if !slot.dirty {
                    slot.dirty = true;
                    self.dirty.push(key);
                }
            }
        }
        Ok(())
    }

    /// Takes out what the table lacks. It must be written, or everything forgotten.
    pub(crate) fn take(&mut self) -> Result<Writes, sqlx::Error> {
        let mut writes = Writes::default();
        let mut counts: HashMap<Counter, i64> = HashMap::new();
        let mut rows = Chunks::default();
        for key in std::mem::take(&mut self.dirty) {
            let Some(slot) = self.rows.get_mut(&key) else { continue };
            slot.dirty = false;
            let (tenant, id) = key;
            self.bytes -= slot.bytes;
            slot.bytes = SLOT;
            match &slot.row {
                Some(row) => rows.add_with(|json| {
                    let before = json.len();
                    self.model.write_stored(&tenant, id, (row, slot.version, slot.position), json)?;
                    slot.bytes += json.len() - before;
                    Ok(())
                })?,
                None if slot.stored => {
                    writes.gone.0.push(tenant.to_string());
                    writes.gone.1.push(id.to_string());
                }
                None => {}
            }
            self.bytes += slot.bytes;
            slot.stored = slot.row.is_some();
            if self.model.tally.is_some() {
                let now = slot.row.as_ref().map(self.model.counts).unwrap_or_default();
                if now != slot.tallied {
                    for tally in &now {
                        *counts.entry((Arc::clone(&tenant), tally.key.clone())).or_default() += tally.count;
                    }
                    for tally in std::mem::replace(&mut slot.tallied, now) {
                        *counts.entry((Arc::clone(&tenant), tally.key)).or_default() -= tally.count;
                    }
                }
            }
        }
        writes.upserts = rows.finish();
        let mut chunks = Chunks::default();
        for ((tenant, key), count) in counts.into_iter().filter(|(_, count)| *count != 0) {
            let mut row: serde_json::Map<String, serde_json::Value> =
                key.into_iter().map(|(column, value)| (column.to_owned(), value.into())).collect();
            row.insert("tenant_id".into(), (*tenant).into());
            row.insert("count".into(), count.into());
            chunks.add(&row)?;
        }
        writes.counts = chunks.finish();
        for table in self.model.further {
            let mut chunks = Chunks::default();
            self.further.rows(table).for_each(|row| chunks.add_text(&row));
            writes.further.push(chunks.finish());
        }
        self.further.clear();
        Ok(writes)
    }

    /// Drops rows that the last batch did not touch when there is more than `most`. Everything taken must be written.
    pub(crate) fn evict(&mut self, most: Kept) {
        if self.rows.len() > most.rows || self.bytes > most.bytes {
            let round = self.round;
            self.rows.retain(|_, slot| slot.dirty || slot.round == round);
            self.bytes = self.rows.values().map(|slot| slot.bytes).sum();
            self.complete = false;
        }
    }
}

/// A row as it is loaded: tenant, id, version, position, JSON.
type Found = (String, String, i64, i64, String);

async fn found<'c>(
    database: impl PgExecutor<'c>,
    table: &Table,
    missing: &[RowKey],
) -> Result<Vec<Found>, sqlx::Error> {
    let tenants: Vec<&str> = missing.iter().map(|(tenant, _)| &**tenant).collect();
    let ids: Vec<String> = missing.iter().map(|(_, id)| id.to_string()).collect();
    sqlx::query_as(AssertSqlSafe(table.load.as_str())).bind(tenants).bind(ids).fetch_all(database).await
}

/// JSON arrays of bounded size.
#[derive(Default)]
struct Chunks {
    done: Vec<String>,
    current: Vec<u8>,
}

impl Chunks {
    fn add(&mut self, row: &impl Serialize) -> Result<(), sqlx::Error> {
        self.add_with(|json| serde_json::to_writer(json, row))
    }

    fn add_with(&mut self, write: impl FnOnce(&mut Vec<u8>) -> serde_json::Result<()>) -> Result<(), sqlx::Error> {
        self.current.push(if self.current.is_empty() { b'[' } else { b',' });
        write(&mut self.current).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
        self.close_full();
        Ok(())
    }

    fn add_text(&mut self, row: &str) {
        self.current.push(if self.current.is_empty() { b'[' } else { b',' });
        self.current.extend_from_slice(row.as_bytes());
        self.close_full();
    }

    fn close_full(&mut self) {
        if self.current.len() > CHUNK {
            self.close();
        }
    }

    fn close(&mut self) {
        let mut chunk = std::mem::take(&mut self.current);
        if !chunk.is_empty() {
            chunk.push(b']');
            self.done.push(String::from_utf8_lossy(&chunk).into_owned());
        }
    }

    fn finish(mut self) -> Vec<String> {
        self.close();
        self.done
    }
}

impl Writes {
    /// The statements that write it to a table.
    pub(crate) fn statements(self, table: &Table) -> Vec<Write> {
        let mut statements = Vec::new();
        let mut put = |sql: &Arc<str>, rows: Vec<String>| {
            let writes = rows.into_iter().map(|rows| Write { sql: Arc::clone(sql), values: vec![Value::Text(rows)] });
            statements.extend(writes);
        };
        put(&table.upsert, self.upserts);
        put(&table.count, self.counts);
        for (sql, rows) in table.further.iter().zip(self.further) {
            put(sql, rows);
        }
        if !self.gone.0.is_empty() {
            let values = vec![Value::Texts(self.gone.0), Value::Texts(self.gone.1)];
            statements.push(Write { sql: Arc::clone(&table.delete), values });
        }
        statements
    }

    /// Writes it to a table, within the connection's transaction.
    pub(crate) async fn write(self, connection: &mut PgConnection, table: &Table) -> Result<(), sqlx::Error> {
        for Write { sql, values } in self.statements(table) {
            let mut query = sqlx::query(AssertSqlSafe(&*sql));
            for value in values {
                query = match value {
                    Value::Text(text) => query.bind(text),
                    Value::Texts(texts) => query.bind(texts),
                };
            }
            query.execute(&mut *connection).await?;
        }
        Ok(())
    }
}

/// What a live worker keeps in memory between batches, as long as it has its lease: there are some dozens of them.
const LIVE: Kept = Kept { rows: 10_000, bytes: 4 << 20 };

/// Follows the log with one table: a handler of eventstore's subscriptions.
pub(crate) struct Live {
    model: &'static Model,
    generation: i32,
    table: Table,
    folder: Folder,
}

impl Live {
    pub(crate) fn new(model: &'static Model, generation: i32, table: Table) -> Self {
        Live { model, generation, table, folder: Folder::new(model, false) }
    }
}

impl Handler for Live {
    fn name(&self) -> &str {
        self.model.name
    }

    fn version(&self) -> i32 {
        self.generation
    }

    fn categories(&self) -> &[&str] {
        self.model.kinds()
    }

    fn concerns(&self, event: &Recorded) -> bool {
        !(self.model.keys)(event).as_slice().is_empty()
    }

    async fn handle(&mut self, transaction: &mut PgConnection, batch: &[Arc<Recorded>]) -> Result<(), Failure> {
        self.folder.evict(LIVE);
        self.folder.fold(&mut *transaction, &self.table, batch).await?;
        self.folder.take()?.write(transaction, &self.table).await?;
        Ok(())
    }

    async fn fold(&mut self, log: &Log, batch: &[Arc<Recorded>]) -> Result<Option<Vec<Write>>, Failure> {
        self.folder.evict(LIVE);
        self.folder.fold_aside(log, &self.table, batch).await?;
        Ok(Some(self.folder.take()?.statements(&self.table)))
    }

    fn rolled_back(&mut self) {
        self.folder.forget();
    }
}

#[cfg(test)]
mod tests {
    use domain::desk::ticket::{self, Ticket};
    use serde::Deserialize;

    use super::*;
    use crate::kernel::fold::tests::recorded;

    /// A read model whose rows hold as much as their last event says.
    struct Wide;

    #[derive(Clone, Serialize, Deserialize, JsonSchema)]
    struct Row {
        text: String,
    }

    impl ReadModel for Wide {
        const NAME: &'static str = "wide";
        const VERSION: i32 = 1;
        const KINDS: &'static [&'static str] = &[Ticket::KIND];
        type Row = Row;

        fn apply(_: Id, _: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
            Ok(Some(Row { text: String::from_utf8_lossy(&event.data).into_owned() }))
        }
    }

    /// The first event of a ticket, of so many bytes.
    fn opened(ticket: u128, bytes: usize) -> Recorded {
        let event = recorded::<Ticket>(0, &ticket::Event::Woken { stage: None });
        let stream = Ticket::stream(Id::from_bits(ticket)).into();
        Recorded { stream, position: i64::try_from(ticket).unwrap(), data: "x".repeat(bytes).into(), ..event }
    }

    /// Folds a batch as a live worker does; how many bytes are to be written.
    fn handled(folder: &mut Folder, batch: &[Recorded]) -> usize {
        folder.evict(LIVE);
        let keys = folder.keys(batch);
        assert!(folder.missing(batch, &keys).is_empty(), "nothing has to be loaded");
        folder.apply(batch, &keys).unwrap();
        folder.take().unwrap().upserts.iter().map(String::len).sum()
    }

    #[test]
    fn rows_just_written_stay_in_memory_and_never_take_more_than_they_may() {
        let mut folder = Folder::new(Model::of::<Wide>(), false);
        let (wide, rows) = (100_000, 20);
        let mut kept = 0;
        for round in 0..50 {
            let batch: Vec<_> = (1..=rows).map(|row| opened(round * rows + row, wide)).collect();
            let written = handled(&mut folder, &batch);
            let counted: usize = folder.rows.values().map(|slot| slot.bytes).sum();
            assert_eq!(folder.bytes, counted, "what is counted is what is there");
            assert!(folder.bytes <= LIVE.bytes + written + 20 * SLOT, "{} bytes after round {round}", folder.bytes);
            assert!(folder.rows.contains_key(&("tenant".into(), Id::from_bits(round * rows + 1))), "it is still hot");
            kept = kept.max(folder.rows.len());
        }
        assert!(kept > 2 * usize::try_from(rows).unwrap(), "more than the last batch stays as long as there is room");

        // A row that grows is counted as it is now.
        let mut folder = Folder::new(Model::of::<Wide>(), true);
        for (position, bytes) in [(1, 10), (2, 1_000_000), (3, 100)] {
            let event = Recorded { position, ..opened(1, bytes) };
            let written = handled(&mut folder, &[event]);
            assert_eq!(folder.bytes, SLOT + written - 2, "without the brackets around all rows");
        }
        folder.forget();
        assert_eq!((folder.bytes, folder.rows.len()), (0, 0), "whatever breaks the lease drops them");
    }
}
