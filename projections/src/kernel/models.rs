//! All read models at work: a worker each, the change to a newer table, waiting for a position.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use eventstore::{Handle, Log, Subscription, SubscriptionOptions};
use parking_lot::Mutex;
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::Instant,
};

use crate::{
    Error,
    kernel::{
        analytics,
        engine::{Live, Table},
        model::{Model, models},
        rebuild::{self, Comparison, Progress},
        registry::{self, Generation},
    },
};

/// How read models are kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// How their subscriptions work.
    pub subscription: SubscriptionOptions,
    /// How often it is looked whether another table serves.
    pub poll: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options { subscription: SubscriptionOptions::default(), poll: Duration::from_secs(1) }
    }
}

fn model(name: &str) -> Result<&'static Model, Error> {
    Model::named(name).ok_or_else(|| {
        let names: Vec<_> = names();
        Error::Invalid(format!("there is no read model {name}; there are {}", names.join(", ")))
    })
}

/// How a read model is doing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Version of the code that filled the table.
    pub version: i32,
    /// The table.
    pub table: String,
    /// `serving`, or `building` while it is being filled.
    pub state: String,
    /// Everything up to this position is in it, or parked.
    pub position: i64,
    /// Positions up to the head that are not.
    pub lag: i64,
    /// Age of the oldest event that is not, in seconds; 0 when there is none or it is unknown.
    pub lag_seconds: f64,
    /// Events that it could not take.
    pub parked: i64,
}

/// The read models of a database. Cheap to clone.
#[derive(Clone)]
pub struct ReadModels {
    shared: Arc<Shared>,
}

struct Shared {
    log: Log,
    /// Where they are read.
    pool: PgPool,
    options: Options,
    /// How far the workers of this process have come.
    positions: Mutex<HashMap<&'static str, watch::Receiver<i64>>>,
    /// The read models that are known to serve: what has begun to does so for good.
    served: Mutex<HashSet<&'static str>>,
    /// All there are, and the versions of their code.
    models: Vec<(&'static str, i32)>,
    generations: watch::Sender<Arc<Vec<Generation>>>,
    look: Notify,
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl std::fmt::Debug for ReadModels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadModels").finish_non_exhaustive()
    }
}

impl ReadModels {
    /// Without workers: for a process that only reads.
    pub fn observe(log: Log, options: Options) -> ReadModels {
        let pool = log.pool().clone();
        Self::observe_at(log, pool, options)
    }

    /// The same as they are in a replica of the database.
    pub fn observe_at(log: Log, pool: PgPool, options: Options) -> ReadModels {
        ReadModels {
            shared: Arc::new(Shared {
                log,
                pool,
                options,
                positions: Mutex::default(),
                served: Mutex::default(),
                models: models().map(|model| (model.name, model.version)).collect(),
                generations: watch::Sender::default(),
                look: Notify::new(),
                stop: watch::Sender::new(false),
                tasks: Mutex::default(),
            }),
        }
    }

    /// Starts a worker for each read model. Of all workers of one in all processes, one at a time works. Where the code is
    /// newer than the table, a new table is filled beside the old one and takes its place when it is ready.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn start(log: Log, options: Options) -> Result<ReadModels, Error> {
        let models: Vec<_> = models().collect();
        for model in &models {
            registry::register(model, &log).await?;
        }
        if let Err(error) = analytics::renew(log.pool()).await {
            // Whoever queries it for long keeps us from making it anew; nobody else has to wait for that.
            tracing::warn!(%error, "the schema of analysts is as it was before");
        }
        let started = Self::observe(log, options);
        started.shared.look().await?;
        let mut tasks = vec![
            tokio::spawn(Arc::clone(&started.shared).watch_generations()),
            tokio::spawn(Arc::clone(&started.shared).build()),
        ];
        for model in models {
            tasks.push(tokio::spawn(Arc::clone(&started.shared).keep(model)));
        }
        *started.shared.tasks.lock() = tasks;
        Ok(started)
    }

    /// Finishes the batches at hand and gives up the leases.
    pub async fn stop(&self) {
        self.shared.stop.send_replace(true);
        let tasks = std::mem::take(&mut *self.shared.tasks.lock());
        for task in tasks {
            // Ended or failed: either way it has stopped.
            let _ = task.await;
        }
    }

    /// Waits until a read model serves and has every event up to a position, wherever its worker is. False when it has not
    /// by then.
    ///
    /// # Errors
    /// When there is no such read model or the database cannot be reached.
    pub async fn wait(&self, name: &str, position: i64, limit: Duration) -> Result<bool, Error> {
        let deadline = Instant::now() + limit;
        let mut pause = Duration::from_millis(5);
        loop {
            if self.serves(name).await? {
                if position <= 0 {
                    return Ok(true);
                }
                let known = self.shared.positions.lock().get(name).cloned();
                if let Some(mut known) = known {
                    match tokio::time::timeout_at(deadline, known.wait_for(|reached| *reached >= position)).await {
                        Ok(Ok(_)) => return Ok(true),
                        Err(_) => return Ok(false),
                        // That worker has ended: another follows.
                        Ok(Err(_)) => {}
                    }
                } else if self.stored(name).await?.is_some_and(|reached| reached >= position) {
                    return Ok(true);
                }
            }
            if Instant::now() + pause > deadline {
                return Ok(false);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    /// Whether a read model can be read: a table serves that this code, or newer code, has filled. While it is being filled
    /// there may be one of older code, which this code cannot read, or none.
    ///
    /// # Errors
    /// When there is no such read model or the database cannot be reached.
    pub async fn serves(&self, name: &str) -> Result<bool, Error> {
        if self.shared.served.lock().contains(name) {
            return Ok(true);
        }
        model(name)?;
        Ok(!self.building().await?.contains(&name))
    }

    /// The read models that cannot be read yet, since the tables of this code are being filled.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn building(&self) -> Result<Vec<&'static str>, Error> {
        if self.all_serve() {
            return Ok(Vec::new());
        }
        let generations = Generation::all(&self.shared.pool).await?;
        let mut building = Vec::new();
        for (name, version) in &self.shared.models {
            let serves = |known: &Generation| known.name == *name && known.serves() && known.version >= *version;
            if generations.iter().any(serves) {
                self.shared.served.lock().insert(*name);
            } else {
                building.push(*name);
            }
        }
        Ok(building)
    }

    /// Whether all read models are known to serve; asks nobody.
    pub fn all_serve(&self) -> bool {
        self.shared.served.lock().len() == self.shared.models.len()
    }

    /// The position up to which a read model has every event; 0 while it does not serve.
    ///
    /// # Errors
    /// When there is no such read model or the database cannot be reached.
    pub async fn position(&self, name: &str) -> Result<i64, Error> {
        let known = self.shared.positions.lock().get(name).map(|known| *known.borrow());
        match known {
            Some(position) if position > 0 => Ok(position),
            _ => Ok(self.stored(name).await?.unwrap_or(0)),
        }
    }

    /// The position of the table that serves; `None` when none does that this code can read.
    async fn stored(&self, name: &str) -> Result<Option<i64>, Error> {
        let mut connection = self.shared.pool.acquire().await?;
        self.position_in(&mut connection, name).await
    }

    /// The position of the table that serves as one transaction sees it, whatever is written meanwhile; `None` when none does that this code
    /// can read.
    ///
    /// # Errors
    /// When there is no such read model or the database cannot be reached.
    pub async fn position_in(&self, connection: &mut PgConnection, name: &str) -> Result<Option<i64>, Error> {
        let position = sqlx::query_scalar(
            "select coalesce(s.position, 0) from read_model m
             left join log_subscription s on s.name = m.name and s.version = m.generation
             where m.name = $1 and m.state = 'serving' and m.version >= $2",
        )
        .bind(name)
        .bind(model(name)?.version)
        .fetch_optional(connection)
        .await?;
        Ok(position)
    }

    /// Waits until all read models have every event up to a position. Without limit: put a timeout around it.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn settle(&self, position: i64) -> Result<(), Error> {
        for model in models() {
            while !self.wait(model.name, position, Duration::from_secs(1)).await? {}
        }
        Ok(())
    }

    /// How each table is doing, those being filled included.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn status(&self) -> Result<Vec<Status>, Error> {
        status(&self.shared.log).await
    }

    /// As [`rebuild`], by the workers of this process.
    ///
    /// # Errors
    /// When there is no such read model or the database cannot be reached.
    pub async fn rebuild(&self, names: &[&str], progress: watch::Sender<Progress>) -> Result<(), Error> {
        let done = rebuild(&self.shared.log, names, progress).await;
        self.shared.look.notify_one();
        done
    }
}

/// How each table of each read model is doing, those being filled included.
///
/// # Errors
/// When the database cannot be reached.
pub async fn status(log: &Log) -> Result<Vec<Status>, Error> {
    let generations = Generation::all(log.pool()).await?;
    let head = log.head().await?;
    let lags: HashMap<(String, i32), eventstore::Lag> =
        log.subscriptions().await?.into_iter().map(|lag| ((lag.name.clone(), lag.version), lag)).collect();
    Ok(generations
        .into_iter()
        .map(|generation| {
            let lag = lags.get(&(generation.name.clone(), generation.generation));
            let position = match lag {
                Some(lag) if generation.serves() => lag.position,
                _ => generation.position,
            };
            Status {
                name: generation.name,
                version: generation.version,
                table: generation.table_name,
                state: generation.state,
                position,
                lag: (head - position).max(0),
                lag_seconds: lag.map_or(0.0, |lag| lag.seconds),
                parked: lag.map_or(0, |lag| lag.parked),
            }
        })
        .collect())
}

/// Fills new tables of read models from the first event on while the old ones serve, as many as possible from one pass over
/// the log, then swaps each in one transaction. Goes on with what an interrupted rebuild has done. Whoever runs, here or in
/// another process, does the work; this waits until it is done. `progress` is that of the last of them.
///
/// # Errors
/// When there is no such read model, its code is not the one that serves, or the database fails.
pub async fn rebuild(log: &Log, names: &[&str], progress: watch::Sender<Progress>) -> Result<(), Error> {
    let models: Result<Vec<_>, _> = names.iter().map(|name| model(name)).collect();
    let mut models = models?;
    for model in &models {
        registry::register(model, log).await?;
        rebuild::request(model, log).await?;
    }
    loop {
        let built = rebuild::build(&models, log, &progress).await?;
        let generations = Generation::all(log.pool()).await?;
        let building = |name: &str| generations.iter().find(|known| known.name == name && !known.serves());
        // Of the others, some are being built by a worker of this process or another one.
        models.retain(|model| !built.contains(&model.name) && building(model.name).is_some());
        let head = log.head().await?;
        let Some(position) = models.iter().filter_map(|model| building(model.name)).map(|known| known.position).min()
        else {
            progress.send_modify(|progress| *progress = Progress { position: head, head, done: true, ..*progress });
            return Ok(());
        };
        progress.send_modify(|progress| *progress = Progress { position, head, ..*progress });
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Folds the whole log afresh and says where the tables that serve differ: nowhere, if all is well.
///
/// # Errors
/// When there is no such read model, it is being rebuilt, or the database fails.
pub async fn compare(log: &Log, name: &str) -> Result<Comparison, Error> {
    rebuild::compare(model(name)?, log).await
}

/// The names of all read models.
pub fn names() -> Vec<&'static str> {
    models().map(|model| model.name).collect()
}

impl Shared {
    async fn look(&self) -> Result<(), Error> {
        let generations = Generation::all(self.log.pool()).await?;
        self.generations.send_if_modified(|known| {
            // Positions of a table being filled change all the time, and nobody here goes by them.
            let key = |generation: &Generation| (generation.name.clone(), generation.generation, generation.serves());
            let news = known.iter().map(key).ne(generations.iter().map(key));
            if news {
                *known = Arc::new(generations);
            }
            news
        });
        Ok(())
    }

    async fn watch_generations(self: Arc<Self>) {
        let mut stop = self.stop.subscribe();
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = self.look.notified() => {}
                () = tokio::time::sleep(self.options.poll) => {}
            }
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "cannot see which read models serve, trying again");
            }
        }
    }

    /// Runs the worker of one read model on the table that serves.
    async fn keep(self: Arc<Self>, model: &'static Model) {
        let mut stop = self.stop.subscribe();
        let mut generations = self.generations.subscribe();
        let mut running: Option<(i32, Handle)> = None;
        loop {
            let known = Arc::clone(&generations.borrow_and_update());
            let mine = || known.iter().filter(|generation| generation.name == model.name);
            let serving = mine().find(|generation| generation.serves() && generation.version == model.version);
            if running.as_ref().map(|(generation, _)| *generation) != serving.map(|serving| serving.generation) {
                if let Some((generation, handle)) = running.take() {
                    handle.stop().await;
                    self.forget(model.name, generation).await;
                }
                if let Some(serving) = serving {
                    match self.spawn(model, serving).await {
                        Ok(handle) => {
                            self.positions.lock().insert(model.name, handle.position());
                            running = Some((serving.generation, handle));
                        }
                        Err(error) => {
                            tracing::warn!(read_model = model.name, %error, "cannot start, trying again");
                        }
                    }
                } else {
                    self.positions.lock().remove(model.name);
                }
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                _ = generations.changed() => {}
                // Looks again after a start that failed.
                () = tokio::time::sleep(self.options.poll) => {}
            }
        }
        if let Some((_, handle)) = running {
            handle.stop().await;
        }
    }

    async fn spawn(&self, model: &'static Model, generation: &Generation) -> Result<Handle, Error> {
        let mut connection = self.log.pool().acquire().await?;
        let table = Table::open(&mut connection, generation).await?;
        let live = Live::new(model, generation.generation, table);
        Ok(Subscription::spawn(&self.log, live, self.options.subscription.clone(), self.log.metrics().clone()))
    }

    /// Builds the tables that are to be built, whenever there are some.
    async fn build(self: Arc<Self>) {
        let mut stop = self.stop.subscribe();
        let mut generations = self.generations.subscribe();
        loop {
            let known = Arc::clone(&generations.borrow_and_update());
            let building = |model: &&'static Model| {
                known.iter().any(|known| known.name == model.name && known.version == model.version && !known.serves())
            };
            let models: Vec<_> = models().filter(building).collect();
            let work = async {
                if !models.is_empty() {
                    match rebuild::build(&models, &self.log, &watch::Sender::default()).await {
                        Ok(built) if !built.is_empty() => tracing::info!(?built, "new tables serve"),
                        Ok(_) => {}
                        Err(error) => tracing::warn!(%error, "cannot fill new tables, trying again"),
                    }
                    self.look.notify_one();
                }
            };
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = work => {}
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                _ = generations.changed() => {}
                // Looks again after whoever built before.
                () = tokio::time::sleep(self.options.poll) => {}
            }
        }
    }

    /// A worker whose table has been swapped away may have made its checkpoint anew before it was told.
    async fn forget(&self, name: &'static str, generation: i32) {
        let gone = !self.generations.borrow().iter().any(|known| known.name == name && known.generation == generation);
        if gone && let Err(error) = self.log.forget_subscription(name, generation).await {
            tracing::warn!(read_model = name, %error, "an old checkpoint stays behind");
        }
    }
}
