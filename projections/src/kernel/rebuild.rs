//! Filling a table beside the one that serves, and the swap; comparing the one that serves with a fresh fold.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use eventstore::{Failure, Log, Recorded, blames_data, park};
use futures::StreamExt;
use serde::Serialize;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinHandle,
};

use crate::{
    Error,
    kernel::{
        engine::{self, Folder, Kept, Table, Writes},
        model::Model,
        registry::{self, Generation, view},
    },
};

/// How far a table has been filled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Progress {
    /// Events up to here are in it.
    pub position: i64,
    /// The head of the log when last seen.
    pub head: i64,
    /// Positions per second since the work began.
    pub events_per_second: f64,
    /// It serves now.
    pub done: bool,
}

/// A row that is not what the log says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Whose row; of a counter or a further table, the whole key as JSON stands in `id`.
    pub tenant_id: String,
    /// Its id.
    pub id: String,
    /// What the table has.
    pub stored: Option<Value>,
    /// What a fresh fold gives.
    pub fresh: Option<Value>,
}

/// What a comparison of the tables of a read model that serve with a fresh fold has found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Events up to here were compared.
    pub position: i64,
    /// The tables that serve.
    pub tables: Vec<Checksum>,
    /// Their rows that differ, at most a thousand of each table: none, if all is well.
    pub differences: Vec<Difference>,
}

/// What a table says at a position: the same at the same position on any server, whatever it has gone through.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checksum {
    /// The table, as readers name it.
    pub table: String,
    /// How many rows it has.
    pub rows: i64,
    /// The first half of the MD5 of each row as JSON, added up modulo 2^64, in hexadecimal digits.
    pub checksum: String,
}

/// Whether a read model folds an event.
fn concerns(model: &Model, event: &Recorded) -> bool {
    model.kinds().is_empty() || model.kinds().contains(&event.category())
}

/// What builders keep in memory between writes, all that work together.
const KEPT: Kept = Kept { rows: 150_000, bytes: 256 << 20 };
/// So many tables are filled from one pass over the log. Each has a connection of its own.
const TOGETHER: usize = 20;
/// So many of them are written to at once.
const WRITERS: usize = 2;
/// Rows written in one transaction.
const ROWS_WRITTEN: usize = 30_000;
/// Most events folded before a write.
const EVENTS_WRITTEN: usize = 300_000;
/// So near to the table that serves, the rest is folded in the transaction of the swap.
const NEAR: i64 = 2_000;

/// Fills one table from the log, faster than a subscription does: rows stay in memory, writes overlap with folding, and
/// indexes come last. Of all builders of a read model in all processes one works at a time.
pub(crate) struct Builder {
    model: &'static Model,
    log: Log,
    generation: Generation,
    /// Whether the registry knows the table; a scratch table lives only as long as its builder.
    registered: bool,
    table: Arc<Table>,
    folder: Folder,
    /// Holds the lock of the builder. Absent while it writes.
    writer: Option<PgConnection>,
    writing: Option<Writing>,
    /// Folded up to here, not all of it written.
    reached: i64,
    /// Events folded since the last write began.
    events: usize,
    /// Streams of which an event is parked, and the position of the first: all later events are parked too.
    parked: HashMap<(Arc<str>, Arc<str>), i64>,
    /// Events to park with the next write: why, and how often they were tried.
    to_park: Vec<(Recorded, String, i32)>,
    /// Events known to be unreadable.
    poison: HashMap<i64, String>,
    /// Most events in one write: less than all when data is being looked for that the database refuses.
    limit: usize,
    careful_until: i64,
    /// Rows to keep in memory between writes.
    kept: Kept,
    /// Turns at writing of those that work together.
    writers: Arc<Semaphore>,
    progress: watch::Sender<Progress>,
    began: (Instant, i64),
}

struct Writing {
    task: JoinHandle<(PgConnection, Result<(), sqlx::Error>)>,
    /// How many events it holds, and where they end.
    events: usize,
    until: i64,
}

/// How folding or writing went.
enum Turn {
    Done,
    /// An event was found to be poison, or data to be looked for: begin again from what is written.
    Again,
}

impl Builder {
    /// A builder of the table that is being built, if there is one and nobody else builds.
    async fn resume(
        model: &'static Model,
        log: &Log,
        progress: watch::Sender<Progress>,
    ) -> Result<Option<Self>, Error> {
        let Some(mut connection) = locked(model, log).await? else { return Ok(None) };
        let Some(generation) = Generation::building(&mut connection, model.name, model.version).await? else {
            return Ok(None);
        };
        Ok(Some(Self::new(model, log, connection, generation, true, progress).await?))
    }

    async fn new(
        model: &'static Model,
        log: &Log,
        mut connection: PgConnection,
        generation: Generation,
        registered: bool,
        progress: watch::Sender<Progress>,
    ) -> Result<Self, Error> {
        // What a crash loses is folded again. Indexes are made in memory as far as possible.
        sqlx::raw_sql("set synchronous_commit = off; set maintenance_work_mem = '256MB'")
            .execute(&mut connection)
            .await?;
        let table = Table::open(&mut connection, &generation).await?;
        let position = generation.position;
        let parked = log.parked(model.name, generation.generation).await?;
        let mut first = HashMap::new();
        for event in parked.into_iter().rev() {
            first.insert((event.tenant.into(), event.stream.into()), event.position);
        }
        Ok(Builder {
            model,
            log: log.clone(),
            folder: Folder::new(model, position == 0),
            generation,
            registered,
            table: Arc::new(table),
            writer: Some(connection),
            writing: None,
            reached: position,
            events: 0,
            parked: first,
            to_park: Vec::new(),
            poison: HashMap::new(),
            limit: EVENTS_WRITTEN,
            careful_until: 0,
            kept: KEPT,
            writers: Arc::new(Semaphore::new(1)),
            progress,
            began: (Instant::now(), position),
        })
    }

    /// Fills the table, makes its indexes and lets it serve.
    async fn build(mut self) -> Result<(), Error> {
        self.fill_to_head().await?;
        self.index().await?;
        loop {
            self.fill_to_head().await?;
            if self.swap().await? {
                self.tell(true);
                return Ok(());
            }
        }
    }

    async fn fill_to_head(&mut self) -> Result<(), Error> {
        loop {
            let head = self.log.head().await?;
            self.progress.send_modify(|progress| progress.head = head);
            self.fill(head).await?;
            if self.log.head().await? - head <= NEAR {
                return Ok(());
            }
        }
    }

    fn tell(&self, done: bool) {
        let (since, from) = self.began;
        let seconds = since.elapsed().as_secs_f64().max(f64::EPSILON);
        self.progress.send_modify(|progress| {
            progress.position = self.generation.position;
            progress.head = progress.head.max(progress.position);
            progress.events_per_second = (self.generation.position - from) as f64 / seconds;
            progress.done = done;
        });
    }

    /// Folds and writes all events up to a position.
    async fn fill(&mut self, until: i64) -> Result<(), Error> {
        while self.reached < until {
            if let Turn::Again = self.pass(until).await? {
                self.begin_again().await?;
            }
        }
        Ok(())
    }

    async fn pass(&mut self, until: i64) -> Result<Turn, Error> {
        let mut pages = self.log.replay(self.reached, until);
        while let Some(page) = pages.next().await {
            if let Turn::Again = self.turn(&page?).await? {
                return Ok(Turn::Again);
            }
        }
        if self.reached < until {
            return Err(Error::Invalid(format!("the log ends at {} instead of {until}", self.reached)));
        }
        self.write_rest().await
    }

    /// Folds a page, and writes what has come together when it is enough.
    async fn turn(&mut self, page: &[Recorded]) -> Result<Turn, Error> {
        for part in page.chunks(self.limit) {
            let Some(last) = part.last().map(|event| event.position) else { continue };
            if let Turn::Again = self.take(part, last).await? {
                return Ok(Turn::Again);
            }
            let full = self.events >= self.limit || self.folder.dirty() >= ROWS_WRITTEN;
            if full && let Turn::Again = self.begin_write().await? {
                return Ok(Turn::Again);
            }
        }
        Ok(Turn::Done)
    }

    async fn write_rest(&mut self) -> Result<Turn, Error> {
        match self.begin_write().await? {
            Turn::Again => Ok(Turn::Again),
            Turn::Done => self.end_write().await,
        }
    }

    /// Folds some events in memory, all up to `last`.
    async fn take(&mut self, page: &[Recorded], last: i64) -> Result<Turn, Error> {
        let mut events: Vec<&Recorded> = Vec::with_capacity(page.len());
        for event in page.iter().filter(|event| concerns(self.model, event)) {
            let stream = || (Arc::clone(&event.tenant), Arc::clone(&event.stream));
            let behind = || self.parked.get(&stream()).is_some_and(|first| event.position > *first);
            if let Some(reason) = self.poison.get(&event.position) {
                self.to_park.push((event.clone(), reason.clone(), 1));
                self.parked.entry(stream()).or_insert(event.position);
            } else if !self.parked.is_empty() && behind() {
                self.to_park.push((event.clone(), "an earlier event of its stream is parked".into(), 0));
            } else {
                events.push(event);
            }
        }
        match self.folder.fold(self.log.pool(), &self.table, &events).await {
            Ok(()) => {
                self.events += page.len();
                self.reached = last;
                Ok(Turn::Done)
            }
            Err(Failure::Poison { position, reason }) => {
                tracing::error!(read_model = self.model.name, position, reason, "event parked");
                self.poison.insert(position, reason);
                Ok(Turn::Again)
            }
            Err(Failure::Store(error)) => Err(error.into()),
        }
    }

    /// Forgets what is folded and not written.
    async fn begin_again(&mut self) -> Result<(), Error> {
        // What was under way before is written or has failed; either way the registry knows.
        if let Turn::Again = self.end_write().await? {
            tracing::debug!(read_model = self.model.name, "looking for data that the database refuses");
        }
        self.folder.forget();
        self.reached = self.generation.position;
        self.events = 0;
        self.to_park.clear();
        Ok(())
    }

    /// Waits for the write under way, then starts the next one and lets it run.
    async fn begin_write(&mut self) -> Result<Turn, Error> {
        if let Turn::Again = self.end_write().await? {
            return Ok(Turn::Again);
        }
        if self.reached == self.generation.position {
            return Ok(Turn::Done);
        }
        let Some(mut writer) = self.writer.take() else {
            return Err(Error::Invalid("the builder's connection is gone".into()));
        };
        self.folder.evict(self.kept);
        let writes = self.folder.take()?;
        let (table, until) = (Arc::clone(&self.table), self.reached);
        let to_park = std::mem::take(&mut self.to_park);
        let (generation, registered) = (self.generation.clone(), self.registered);
        let turns = Arc::clone(&self.writers);
        let task = tokio::spawn(async move {
            // There is no permit only when turns are over, which they never are.
            let _turn = turns.acquire().await.ok();
            let written = write(&mut writer, &table, writes, &to_park, &generation, registered, until).await;
            (writer, written)
        });
        self.writing = Some(Writing { task, events: self.events, until });
        self.events = 0;
        Ok(Turn::Done)
    }

    async fn end_write(&mut self) -> Result<Turn, Error> {
        let Some(Writing { task, events, until }) = self.writing.take() else { return Ok(Turn::Done) };
        let (writer, written) = task.await.map_err(|error| Error::Invalid(error.to_string()))?;
        self.writer = Some(writer);
        match written {
            Ok(()) => {
                self.generation.position = until;
                if until >= self.careful_until {
                    self.limit = EVENTS_WRITTEN;
                }
                self.tell(false);
                Ok(Turn::Done)
            }
            Err(error) if blames_data(&error) => {
                if events <= 1 {
                    tracing::error!(read_model = self.model.name, position = until, %error, "event parked");
                    self.poison.insert(until, error.to_string());
                } else {
                    self.limit = (events / 16).max(1);
                    self.careful_until = self.careful_until.max(until);
                }
                Ok(Turn::Again)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn writer(&mut self) -> Result<&mut PgConnection, Error> {
        self.writer.as_mut().ok_or_else(|| Error::Invalid("the builder's connection is gone".into()))
    }

    async fn index(&mut self) -> Result<(), Error> {
        let table = self.generation.table_name.clone();
        let indexes = std::mem::take(&mut self.generation.indexes);
        let (name, generation) = (self.model.name, self.generation.generation);
        let mut wanted: Vec<(String, String)> = indexes.into_iter().map(|index| (table.clone(), index)).collect();
        let mut connection = self.log.pool().acquire().await?;
        let all = Generation::all(self.log.pool()).await?;
        // Another version may have other indexes: its migration made them.
        let same =
            |known: &Generation| known.name == self.model.name && known.serves() && known.version == self.model.version;
        let serving = all.into_iter().find(same);
        for (old, new) in serving.iter().flat_map(|old| old.further_names.iter().zip(&self.generation.further_names)) {
            let there = registry::indexes(&mut connection, new).await?;
            let lacking = registry::indexes(&mut connection, old).await?.into_iter();
            wanted.extend(lacking.filter(|index| !there.contains(index)).map(|index| (new.clone(), index)));
        }
        drop(connection);
        let mut transaction = self.writer()?.begin().await?;
        for (table, index) in wanted {
            sqlx::query(AssertSqlSafe(format!("create index on {table} using {index}")))
                .execute(&mut *transaction)
                .await?;
        }
        sqlx::query("update read_model set indexes = '{}' where name = $1 and generation = $2")
            .bind(name)
            .bind(generation)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        let tables: Vec<String> = self.generation.tables().cloned().collect();
        for table in tables {
            sqlx::query(AssertSqlSafe(format!("analyze {table}"))).execute(self.writer()?).await?;
        }
        Ok(())
    }

    /// Lets the table serve, in one transaction that holds the old one's checkpoint still: no event is missed, none is
    /// folded twice, and no reader is thrown back. False when the old one is still too far ahead.
    async fn swap(&mut self) -> Result<bool, Error> {
        let Some(mut writer) = self.writer.take() else { return Ok(false) };
        let swapped = self.swap_with(&mut writer).await;
        self.writer = Some(writer);
        match swapped {
            // A reader that takes its time holds the view, or a deadlock was found: later.
            Err(Error::Store(sqlx::Error::Database(error)))
                if matches!(error.code().as_deref(), Some("55P03" | "40P01")) =>
            {
                self.folder.forget();
                self.reached = self.generation.position;
                tokio::time::sleep(Duration::from_millis(100)).await;
                Ok(false)
            }
            swapped => swapped,
        }
    }

    async fn swap_with(&mut self, writer: &mut PgConnection) -> Result<bool, Error> {
        let mut transaction = writer.begin().await?;
        sqlx::query("set local lock_timeout = '2s'").execute(&mut *transaction).await?;
        let old = Generation::serving(&mut transaction, self.model.name).await?;
        // In the order of its worker: first the tables, then the checkpoint. Readers are not kept waiting yet.
        let tables: Vec<String> = old.as_ref().map_or_else(Vec::new, |old| old.tables().cloned().collect());
        for table in &tables {
            let lock = format!("lock table {table} in exclusive mode");
            sqlx::query(AssertSqlSafe(lock)).execute(&mut *transaction).await?;
        }
        let ahead = match &old {
            Some(old) => checkpoint(&mut transaction, self.model.name, old.generation).await?,
            None => 0,
        };
        if ahead - self.reached > NEAR {
            return Ok(false);
        }
        if let Turn::Again = self.catch_up(&mut transaction, ahead).await? {
            drop(transaction);
            self.begin_again().await?;
            return Ok(false);
        }
        let new = &self.generation;
        registry::show(self.model, &mut transaction, new).await?;
        sqlx::query("insert into log_subscription (name, version, position) values ($1, $2, $3)")
            .bind(self.model.name)
            .bind(new.generation)
            .bind(self.reached)
            .execute(&mut *transaction)
            .await?;
        if let Some(old) = &old {
            for statement in [
                "delete from log_subscription where name = $1 and version = $2",
                "delete from log_parked where subscription = $1 and version = $2",
                "delete from read_model where name = $1 and generation = $2",
            ] {
                sqlx::query(statement).bind(self.model.name).bind(old.generation).execute(&mut *transaction).await?;
            }
            for table in tables {
                sqlx::query(AssertSqlSafe(format!("drop table {table}"))).execute(&mut *transaction).await?;
            }
        }
        registry::drop_older(self.model, &mut transaction).await?;
        sqlx::query("update read_model set state = 'serving', position = $3 where name = $1 and generation = $2")
            .bind(self.model.name)
            .bind(new.generation)
            .bind(self.reached)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        self.generation.position = self.reached;
        Ok(true)
    }

    /// Folds and writes the last events up to a position, within a transaction.
    async fn catch_up(&mut self, transaction: &mut PgConnection, until: i64) -> Result<Turn, Error> {
        if until > self.reached {
            let mut pages = self.log.replay(self.reached, until);
            while let Some(page) = pages.next().await {
                let page = page?;
                let last = page.last().map_or(until, |event| event.position);
                if let Turn::Again = self.take(&page, last).await? {
                    return Ok(Turn::Again);
                }
            }
            self.reached = until;
        }
        let writes = self.folder.take()?;
        let to_park = std::mem::take(&mut self.to_park);
        match writes.write(transaction, &self.table).await {
            // `fill` finds out which event it is.
            Err(error) if blames_data(&error) => return Ok(Turn::Again),
            written => written?,
        }
        if !self.registered {
            return Ok(Turn::Done);
        }
        for (event, reason, attempts) in &to_park {
            park(transaction, (self.model.name, self.generation.generation), event, reason, *attempts).await?;
        }
        Ok(Turn::Done)
    }
}

/// Fills the tables of these read models that are to be built and that nobody else builds, as many as possible from one pass
/// over the log, makes their indexes and lets them serve. Says which.
pub(crate) async fn build(
    models: &[&'static Model],
    log: &Log,
    progress: &watch::Sender<Progress>,
) -> Result<Vec<&'static str>, Error> {
    let mut built = Vec::new();
    for models in models.chunks(TOGETHER) {
        let mut builders = Vec::new();
        for model in models {
            builders.extend(Builder::resume(model, log, progress.clone()).await?);
        }
        if builders.len() > 1 {
            fill_together(&mut builders, log).await?;
        }
        for builder in builders {
            let name = builder.model.name;
            builder.build().await?;
            built.push(name);
        }
    }
    Ok(built)
}

/// Fills several tables from one pass over the log. One that must look for what is wrong with an event drops out, and goes
/// on by itself from what it has written.
async fn fill_together(builders: &mut [Builder], log: &Log) -> Result<(), Error> {
    let writers = Arc::new(Semaphore::new(WRITERS));
    let count = builders.len().max(1);
    let kept = Kept { rows: KEPT.rows / count, bytes: KEPT.bytes / count };
    for builder in &mut *builders {
        (builder.writers, builder.kept) = (Arc::clone(&writers), kept);
    }
    let head = log.head().await?;
    let mut together: Vec<&mut Builder> = builders.iter_mut().collect();
    let from = together.iter().map(|builder| builder.reached).min().unwrap_or(head);
    let mut pages = log.replay(from, head);
    while let Some(page) = pages.next().await {
        let page = page?;
        let mut still = Vec::with_capacity(together.len());
        for builder in together {
            let news = page.partition_point(|event| event.position <= builder.reached);
            match builder.turn(page.get(news..).unwrap_or_default()).await? {
                Turn::Done => still.push(builder),
                Turn::Again => builder.begin_again().await?,
            }
        }
        together = still;
    }
    for builder in together {
        if let Turn::Again = builder.write_rest().await? {
            builder.begin_again().await?;
        }
    }
    Ok(())
}

/// How soon a lock is asked for again that nobody keeps for long.
const SOON: Duration = Duration::from_millis(20);

/// A connection of its own that holds the lock of the read model's builders; `None` when somebody else has it.
async fn locked(model: &Model, log: &Log) -> Result<Option<PgConnection>, Error> {
    let mut connection = PgConnection::connect_with(&log.pool().connect_options()).await?;
    let locked: bool = sqlx::query_scalar("select pg_try_advisory_lock(hashtextextended('read_model ' || $1, 0))")
        .bind(model.name)
        .fetch_one(&mut connection)
        .await?;
    Ok(locked.then_some(connection))
}

async fn write(
    writer: &mut PgConnection,
    table: &Table,
    writes: Writes,
    to_park: &[(Recorded, String, i32)],
    generation: &Generation,
    registered: bool,
    until: i64,
) -> Result<(), sqlx::Error> {
    let mut transaction = writer.begin().await?;
    writes.write(&mut transaction, table).await?;
    if registered {
        for (event, reason, attempts) in to_park {
            park(&mut transaction, (&generation.name, generation.generation), event, reason, *attempts).await?;
        }
        sqlx::query("update read_model set position = $3 where name = $1 and generation = $2")
            .bind(&generation.name)
            .bind(generation.generation)
            .bind(until)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}

/// Where a table's subscription is, held still until the transaction ends.
async fn checkpoint(connection: &mut PgConnection, name: &str, generation: i32) -> Result<i64, sqlx::Error> {
    let position: Option<i64> =
        sqlx::query_scalar("select position from log_subscription where name = $1 and version = $2 for update")
            .bind(name)
            .bind(generation)
            .fetch_optional(connection)
            .await?;
    Ok(position.unwrap_or(0))
}

/// Begins to fill a new table of the version that serves, unless one is being filled already.
pub(crate) async fn request(model: &Model, log: &Log) -> Result<(), Error> {
    let mut transaction = log.pool().begin().await?;
    let Some(serving) = Generation::serving(&mut transaction, model.name).await? else {
        return Ok(()); // The first is being built: that is as good as new.
    };
    if Generation::building(&mut transaction, model.name, model.version).await?.is_some() {
        return Ok(());
    }
    if serving.version != model.version {
        let (old, new) = (serving.version, model.version);
        return Err(Error::Invalid(format!("{} is served by version {old}, this is version {new}", model.name)));
    }
    let generation = serving.generation + 1;
    let name = |name: &str| format!("{}_g{generation}", registry::migrated(name, model.version));
    let (table, tally) = (name(model.name), model.tally.map(name));
    let further: Vec<String> = model.further.iter().map(|further| name(further)).collect();
    like(&mut transaction, &table, &serving.table_name, "").await?;
    if let (Some(tally), Some(old)) = (&tally, &serving.tally_name) {
        like(&mut transaction, tally, old, "").await?;
    }
    for (further, old) in further.iter().zip(&serving.further_names) {
        like(&mut transaction, further, old, "").await?;
    }
    let new = Generation {
        generation,
        table_name: table,
        tally_name: tally,
        further_names: further,
        state: "building".into(),
        position: 0,
        indexes: registry::indexes(&mut transaction, &serving.table_name).await?,
        ..serving
    };
    new.insert(&mut transaction).await?;
    transaction.commit().await?;
    Ok(())
}

/// Makes an empty table like another, with no more than its primary key.
async fn like(connection: &mut PgConnection, table: &str, other: &str, options: &str) -> Result<(), sqlx::Error> {
    let key: String = sqlx::query_scalar(
        "select pg_get_constraintdef(oid) from pg_constraint where conrelid = $1::text::regclass and contype = 'p'",
    )
    .bind(other)
    .fetch_one(&mut *connection)
    .await?;
    sqlx::query(AssertSqlSafe(format!("drop table if exists {table}"))).execute(&mut *connection).await?;
    let create = format!(
        "create {options} table {table} (like {other} including all excluding indexes, {key})
         with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05)"
    );
    sqlx::query(AssertSqlSafe(create)).execute(&mut *connection).await?;
    registry::describe(connection, table, other).await
}

/// Folds the whole log afresh and says which rows of the table that serves differ. The table is held still for a moment at
/// the end.
pub(crate) async fn compare(model: &'static Model, log: &Log) -> Result<Comparison, Error> {
    let mut connection = loop {
        if let Some(connection) = locked(model, log).await? {
            break connection;
        }
        let mut asking = log.pool().acquire().await?;
        if Generation::building(&mut asking, model.name, model.version).await?.is_some() {
            return Err(Error::Invalid(format!("{} is being rebuilt", model.name)));
        }
        // Somebody has just done with it, looks whether there is anything to build, or compares too.
        tokio::time::sleep(SOON).await;
    };
    let serving = {
        let mut transaction = connection.begin().await?;
        Generation::serving(&mut transaction, model.name).await?
    };
    let Some(serving) = serving else { return Err(Error::Invalid(format!("{} does not serve yet", model.name))) };
    let name = |name: &str| format!("{}_scratch", view(name));
    let (table, tally) = (name(model.name), model.tally.map(name));
    like(&mut connection, &table, &serving.table_name, "unlogged").await?;
    if let (Some(tally), Some(old)) = (&tally, &serving.tally_name) {
        like(&mut connection, tally, old, "unlogged").await?;
    }
    let further: Vec<String> = model.further.iter().map(|further| name(further)).collect();
    for (further, old) in further.iter().zip(&serving.further_names) {
        like(&mut connection, further, old, "unlogged").await?;
    }
    let scratch = Generation {
        // No subscription has this version: nothing is parked in its name.
        generation: -1,
        table_name: table,
        tally_name: tally,
        further_names: further,
        position: 0,
        ..serving.clone()
    };
    let tables: Vec<String> = scratch.tables().cloned().collect();
    let mut builder = Builder::new(model, log, connection, scratch, false, watch::Sender::default()).await?;
    let comparison = loop {
        let until: Option<i64> =
            sqlx::query_scalar("select position from log_subscription where name = $1 and version = $2")
                .bind(model.name)
                .bind(serving.generation)
                .fetch_optional(log.pool())
                .await?;
        builder.fill(until.unwrap_or(0)).await?;
        let gone = || Error::Invalid("the builder's connection is gone".into());
        let mut writer = builder.writer.take().ok_or_else(gone)?;
        let mut transaction = writer.begin().await?;
        let until = checkpoint(&mut transaction, model.name, serving.generation).await?;
        let turn = if until - builder.reached > NEAR {
            Turn::Again
        } else {
            builder.catch_up(&mut transaction, until).await?
        };
        let found = match turn {
            Turn::Done => Some(Comparison {
                position: until,
                tables: checksums(model, &mut transaction, &serving).await?,
                differences: differences(&mut transaction, &serving, &builder.generation).await?,
            }),
            Turn::Again => None,
        };
        transaction.rollback().await?;
        builder.writer = Some(writer);
        match found {
            Some(found) => break found,
            None => builder.begin_again().await?,
        }
    };
    for table in tables {
        sqlx::query(AssertSqlSafe(format!("drop table if exists {table}"))).execute(builder.writer()?).await?;
    }
    Ok(comparison)
}

async fn checksums(
    model: &Model,
    transaction: &mut PgConnection,
    serving: &Generation,
) -> Result<Vec<Checksum>, sqlx::Error> {
    let mut checksums = Vec::new();
    for (table, name) in serving.tables().zip(model.names()) {
        // A counter that has gone down to nothing is as good as none.
        let only = if Some(name) == model.tally { " where count <> 0" } else { "" };
        let statement = format!(
            "select count(*), coalesce(sum(('x' || left(md5(to_jsonb(t)::text), 16))::bit(64)::bigint), 0)::text
             from {table} t{only}"
        );
        let (rows, sum): (i64, String) = sqlx::query_as(AssertSqlSafe(statement)).fetch_one(&mut *transaction).await?;
        let sum: i128 = sum.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        let checksum = format!("{:016x}", sum.rem_euclid(1 << 64));
        checksums.push(Checksum { table: view(name), rows, checksum });
    }
    Ok(checksums)
}

async fn differences(
    transaction: &mut PgConnection,
    serving: &Generation,
    fresh: &Generation,
) -> Result<Vec<Difference>, Error> {
    let statement = format!(
        "select coalesce(a.tenant_id, b.tenant_id), coalesce(a.id, b.id), to_jsonb(a), to_jsonb(b)
         from {} a full join {} b on a.tenant_id = b.tenant_id and a.id = b.id
         where to_jsonb(a) is distinct from to_jsonb(b) order by 1, 2 limit 1000",
        serving.table_name, fresh.table_name
    );
    let mut found: Vec<(String, String, Option<Value>, Option<Value>)> =
        sqlx::query_as(AssertSqlSafe(statement)).fetch_all(&mut *transaction).await?;
    if let (Some(stored), Some(fresh)) = (&serving.tally_name, &fresh.tally_name) {
        // A counter that has gone down to nothing is as good as none.
        let statement = format!(
            "with a as (select tenant_id, to_jsonb(t) as row from {stored} t where count <> 0),
                  b as (select tenant_id, to_jsonb(t) as row from {fresh} t where count <> 0)
             select coalesce(a.tenant_id, b.tenant_id), (coalesce(a.row, b.row) - 'count')::text, a.row, b.row
             from a full join b on a.tenant_id = b.tenant_id and a.row - 'count' = b.row - 'count'
             where a.row is distinct from b.row limit 1000"
        );
        let counters: Vec<(String, String, Option<Value>, Option<Value>)> =
            sqlx::query_as(AssertSqlSafe(statement)).fetch_all(&mut *transaction).await?;
        found.extend(counters);
    }
    for (stored, fresh) in serving.further_names.iter().zip(&fresh.further_names) {
        let key = engine::key(transaction, stored).await?;
        let same: Vec<_> = key.iter().map(|column| format!("a.{column} = b.{column}")).collect();
        let named: Vec<_> = key.iter().map(|column| format!("'{column}', coalesce(a.{column}, b.{column})")).collect();
        let statement = format!(
            "select coalesce(a.tenant_id, b.tenant_id), json_build_object({})::text, to_jsonb(a), to_jsonb(b)
             from {stored} a full join {fresh} b on {}
             where to_jsonb(a) is distinct from to_jsonb(b) order by 1, 2 limit 1000",
            named.join(", "),
            same.join(" and ")
        );
        let rows: Vec<(String, String, Option<Value>, Option<Value>)> =
            sqlx::query_as(AssertSqlSafe(statement)).fetch_all(&mut *transaction).await?;
        found.extend(rows);
    }
    Ok(found.into_iter().map(|(tenant_id, id, stored, fresh)| Difference { tenant_id, id, stored, fresh }).collect())
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let json = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
        write!(f, "{}: stored {}, fresh {}", self.id, json(&self.stored), json(&self.fresh))
    }
}
