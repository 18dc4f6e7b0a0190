//! The running system: what every request handler shares, started and stopped in one place.

use std::{collections::HashSet, net::SocketAddr, ops::Deref, path::Path, sync::Arc, time::Duration};

use axum::{Router, serve::ListenerExt};
use commands::{Commands, Reactors};
use domain::{Id, Time};
use eventstore::{Following, Log, Nats, NatsMetrics, Presence, Relay, RelayHandle, RelayStatus};
use parking_lot::Mutex;
use projections::ReadModels;
use prometheus::Registry;
use sqlx::{
    Connection, Executor, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{
    net::TcpSocket,
    sync::{Semaphore, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    auth::{Clock, KnownKeys, Uses},
    bootstrap::{self, FirstAdmin},
    config::{Database, Role, Serve},
    http, import,
    limits::Limits,
    postgres::{Embedded, EmbeddedError, OLDEST_VERSION, Options},
    storage::Storage,
    supervisor::Supervisor,
};

/// How often what keys were used when is written down.
const WRITE_USES: Duration = Duration::from_secs(15);

/// How many connections wait for being accepted.
const BACKLOG: u32 = 1024;

/// How long reactors wait for a read model before they look again.
const REACH: Duration = Duration::from_secs(5);

/// Why it does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The private cluster does not start; the message says what to do.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// The database does not answer, or not as it should.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
    /// The database cannot be used; the reason says what to do.
    #[error("cannot use the database {address}: {reason}")]
    Unusable {
        /// Where it is, without the password.
        address: String,
        /// Why.
        reason: String,
    },
    /// The private cluster ended and does not start any more; the message says what to do.
    #[error("the private PostgreSQL is gone: {0}")]
    Gone(Arc<EmbeddedError>),
    /// A migration fails.
    #[error("bringing the schema up to date: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The log does not open, or what is said of NATS makes no sense.
    #[error("the log: {0}")]
    Log(#[from] eventstore::Error),
    /// The read models do not start.
    #[error("the read models: {0}")]
    ReadModels(#[from] projections::Error),
    /// A metric is registered twice.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The first tenant cannot be created.
    #[error("creating the first tenant: {0}")]
    Bootstrap(String),
    /// The address cannot be listened on, or a file not be written.
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
    /// The database URL cannot be read.
    #[error(
        "DATABASE_URL is no address of a database ({0}): write it like postgres://user:password@host:5432/database"
    )]
    Url(String),
}

/// What every request handler shares. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Shared>);

/// The parts of a running system.
pub struct Shared {
    pub(crate) config: Serve,
    pub(crate) pool: PgPool,
    pub(crate) log: Log,
    pub(crate) commands: Commands,
    pub(crate) read_models: ReadModels,
    /// What answers events with commands, in a process that does.
    reactors: Option<Reactors>,
    nats: Mutex<Option<Over>>,
    pub(crate) registry: Registry,
    pub(crate) http_metrics: http::Metrics,
    pub(crate) gauges: http::Gauges,
    pub(crate) limits: Limits,
    pub(crate) uses: Uses,
    pub(crate) known_keys: KnownKeys,
    pub(crate) storage: Storage,
    pub(crate) clock: Arc<Clock>,
    /// Commands being carried out whose id the client gave.
    pub(crate) in_flight: Mutex<HashSet<Uuid>>,
    /// Told when an import is there to be run.
    pub(crate) imports: tokio::sync::Notify,
    /// Whose turn it is to go over the log in memory.
    pub(crate) rehearsals: Semaphore,
    /// Cancelled when the system stops: long-lived responses end, background work stops.
    pub(crate) stopping: CancellationToken,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// What goes over NATS.
struct Over {
    relay: Option<RelayHandle>,
    following: Following,
}

impl Over {
    /// Begins to publish, if that is among the roles, and to follow. It waits for no NATS.
    async fn nats(config: &Serve, log: &Log, registry: &Registry) -> Result<Option<Over>, StartError> {
        if config.nats.nats_url.is_none() {
            return Ok(None);
        }
        crate::install_crypto_provider();
        let metrics = NatsMetrics::register(registry)?;
        let Some(options) = config.nats.options(Some(metrics)) else { return Ok(None) };
        let nats = Nats::connect(options).await?;
        let relay = config.roles.contains(&Role::Relay).then(|| Relay::spawn(log, &nats));
        Ok(Some(Over { relay, following: Following::spawn(log, &nats) }))
    }

    async fn stop(self) {
        self.following.stop().await;
        if let Some(relay) = self.relay {
            relay.stop().await;
        }
    }
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// A database, with the private cluster that holds it if there is one.
pub struct Connected {
    /// How to connect.
    pub options: PgConnectOptions,
    supervisor: Option<Supervisor>,
}

/// A connection that lay idle for longer is looked after before it is used.
const FRESH: Duration = Duration::from_secs(1);
/// How long a connection may take to answer then. One that takes longer is given up: its server may be gone unnoticed.
const ANSWER: Duration = Duration::from_secs(1);
/// How long a server may take to let us in at the start.
const ENTRY: Duration = Duration::from_secs(5);
/// How long a server that is starting, or recovering, is waited for.
const RECOVERY: Duration = Duration::from_secs(60);

impl Connected {
    /// Your database if one is configured, the private cluster otherwise: the one that runs already, else a new one.
    ///
    /// # Errors
    /// When neither can be reached or started.
    pub async fn to(database: &Database) -> Result<Connected, StartError> {
        if let Some(url) = &database.database_url {
            let options = url.parse().map_err(|error: sqlx::Error| StartError::Url(error.to_string()))?;
            enter(&options).await?;
            return Ok(Connected { options, supervisor: None });
        }
        if let Some(options) = Embedded::running(&database.data_dir) {
            enter(&options).await?;
            return Ok(Connected { options, supervisor: None });
        }
        Connected::start(&database.data_dir).await
    }

    /// The private cluster, started by this process.
    ///
    /// # Errors
    /// When it does not start, or another process has it.
    pub async fn start(data_dir: &Path) -> Result<Connected, StartError> {
        let embedded = Embedded::start(data_dir, &Options::default()).await?;
        let supervisor = Supervisor::new(embedded);
        Ok(Connected { options: supervisor.connect_options(), supervisor: Some(supervisor) })
    }

    /// Whom to tell at once when the private cluster has ended, if this process started one.
    pub(crate) fn tell(&self, presence: &Presence) {
        if let Some(supervisor) = &self.supervisor {
            supervisor.tell(presence);
        }
    }

    /// Waits until the private cluster, if this process started one, is given up.
    pub(crate) async fn gone(&self) -> StartError {
        match &self.supervisor {
            Some(supervisor) => StartError::Gone(supervisor.failed().await),
            None => std::future::pending().await,
        }
    }

    /// A pool of this many connections.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn pool(&self, connections: u32) -> Result<PgPool, StartError> {
        let options = self.options.clone().application_name("deskfold");
        // Compiling a page's query takes longer than running it.
        let pool = PgPoolOptions::new().max_connections(connections).after_connect(|connection, _| {
            Box::pin(async move { connection.execute("set jit = off").await.map(drop) })
        });
        // Of one just used nothing has to be asked: that would be a round trip before each query.
        let pool = pool.test_before_acquire(false).before_acquire(|connection, known| {
            Box::pin(async move {
                if known.idle_for <= FRESH {
                    return Ok(true);
                }
                match tokio::time::timeout(ANSWER, connection.ping()).await {
                    Ok(answered) => answered.map(|()| true),
                    Err(_) => Ok(false),
                }
            })
        });
        Ok(pool.connect_with(options).await?)
    }

    /// Stops the private cluster, if this process started one.
    pub async fn stop(self) {
        if let Some(supervisor) = self.supervisor
            && let Err(error) = supervisor.stop().await
        {
            tracing::warn!(%error, "the private PostgreSQL did not stop");
        }
    }
}

/// Looks whether a database can be used, and if not why: a pool would try for long and tell no reason.
async fn enter(options: &PgConnectOptions) -> Result<(), StartError> {
    let unusable = |reason: String| StartError::Unusable { address: eventstore::address(options), reason };
    let began = std::time::Instant::now();
    loop {
        let connecting = PgConnection::connect_with(options);
        let error = match tokio::time::timeout(ENTRY, connecting).await {
            Ok(Ok(connection)) => {
                let version = connection.server_version_num();
                // The answer is what counts; a failing goodbye says nothing.
                let _ = connection.close().await;
                // 150004 is 15.4.
                return match version {
                    Some(version) if version < OLDEST_VERSION * 10_000 => {
                        let (major, minor) = (version / 10_000, version % 10_000);
                        let reason =
                            format!("it is PostgreSQL {major}.{minor}; Deskfold needs {OLDEST_VERSION} or newer");
                        Err(unusable(reason))
                    }
                    _ => Ok(()),
                };
            }
            Ok(Err(error)) => error,
            Err(_) => {
                let seconds = ENTRY.as_secs();
                return Err(unusable(format!(
                    "there is no answer within {seconds} s: the server hangs, or a firewall swallows what is sent"
                )));
            }
        };
        // cannot_connect_now: it is the right one, and starting.
        let starting = error.as_database_error().is_some_and(|error| error.code().is_some_and(|code| code == "57P03"));
        let reason = eventstore::reason(&error, options);
        if !starting || began.elapsed() > RECOVERY {
            return Err(unusable(reason));
        }
        tracing::info!("waiting for the database: {reason}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// An address to listen on that is ours from now on, though nobody is let in yet.
///
/// # Errors
/// When somebody else listens there, or it is no address of this machine.
pub fn reserve(address: SocketAddr) -> Result<TcpSocket, StartError> {
    let cannot = |error: std::io::Error| {
        let advice = match error.kind() {
            std::io::ErrorKind::AddrInUse => ": another program listens there; stop it, or choose another --listen",
            std::io::ErrorKind::AddrNotAvailable => ": this machine has no such address; choose another --listen",
            std::io::ErrorKind::PermissionDenied => ": ports below 1024 are root's; choose another --listen",
            _ => "",
        };
        StartError::Io(format!("cannot listen on {address}{advice}"), error)
    };
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(cannot)?;
    // What a former process left behind in the kernel keeps nobody out.
    socket.set_reuseaddr(true).map_err(cannot)?;
    socket.bind(address).map_err(cannot)?;
    Ok(socket)
}

/// What time it is, as reactors ask for it.
fn told_by(clock: &Arc<Clock>) -> commands::Clock {
    let clock = Arc::clone(clock);
    Arc::new(move || clock.now())
}

/// How reactors wait for read models.
fn reached_in(read_models: &ReadModels) -> commands::Reach {
    let read_models = read_models.clone();
    Arc::new(move |name, position| {
        let read_models = read_models.clone();
        Box::pin(async move {
            read_models.wait(name, position, REACH).await.unwrap_or_else(|error| {
                tracing::warn!(name, %error, "cannot see how far a read model is");
                false
            })
        })
    })
}

impl App {
    /// Brings the schema up to date, opens the log, creates the first tenant if the log is empty, and starts the work of
    /// the configured roles.
    ///
    /// # Errors
    /// [`StartError`] says which step failed.
    pub async fn start(config: Serve, pool: PgPool) -> Result<(App, Option<FirstAdmin>), StartError> {
        eventstore::MIGRATOR.run(&pool).await?;
        let registry = Registry::new();
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let log_options = eventstore::Options {
            command_retention: Duration::from_secs(u64::from(config.command_retention_days) * 24 * 60 * 60),
            metrics: Some(eventstore::Metrics::register(&registry)?.expecting(domain::catalogue::event_types())),
            ..eventstore::Options::default()
        };
        let log = Log::open(pool.clone(), log_options).await?;
        let commands = Commands::new(log.clone(), config.cached_aggregates, commands::Metrics::new(&registry)?);
        let commands = commands.with_lists(http::row_folds());
        let clock = Arc::new(Clock::default());
        let first = bootstrap::first_tenant(&commands, &config, clock.now()).await?;
        let options = projections::Options::default();
        let read_models = if config.roles.contains(&Role::Project) {
            ReadModels::start(log.clone(), options).await?
        } else {
            ReadModels::observe(log.clone(), options)
        };
        let reactors = if config.roles.contains(&Role::React) {
            let metrics = commands::ReactMetrics::new(&registry)?;
            Some(Reactors::start(&commands, told_by(&clock), reached_in(&read_models), metrics))
        } else {
            None
        };
        let nats = Over::nats(&config, &log, &registry).await?;
        let storage = Storage::new(&config, &registry)?;
        let app = App(Arc::new(Shared {
            limits: Limits::new(config.rate_limit),
            http_metrics: http::Metrics::new(&registry)?,
            gauges: http::Gauges::new(&registry)?,
            config,
            pool,
            log,
            commands,
            read_models,
            reactors,
            nats: Mutex::new(nats),
            registry,
            uses: Uses::default(),
            known_keys: KnownKeys::default(),
            storage,
            clock,
            in_flight: Mutex::default(),
            imports: tokio::sync::Notify::new(),
            rehearsals: Semaphore::new(1),
            stopping: CancellationToken::new(),
            tasks: Mutex::default(),
        }));
        app.look_at_storage();
        app.spawn(app.clone().keep_tidy());
        app.spawn(app.clone().watch_storage());
        if app.config.roles.contains(&Role::React) {
            app.spawn(import::run(app.clone()));
        }
        tracing::info!("at work: {}", app.works().join(", "));
        Ok((app, first))
    }

    /// What this process does, as far as it gets the leases.
    fn works(&self) -> Vec<String> {
        let mut works = Vec::new();
        for role in &self.config.roles {
            match role {
                Role::Api => works.push("HTTP".into()),
                Role::Project => works.push(format!("{} read models", projections::names().len())),
                Role::React => works.push("rules, timers and imports".into()),
                Role::Relay if self.config.nats.nats_url.is_some() => works.push("the relay to NATS".into()),
                Role::Relay => {}
            }
        }
        works
    }

    /// Answers HTTP on this address until [`App::stop`] is called. Returns the address it really listens on, and a handle
    /// that ends when the last answer has been given.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn listen(&self, address: SocketAddr) -> Result<(SocketAddr, JoinHandle<()>), StartError> {
        self.listen_on(reserve(address)?)
    }

    /// The same on an address that is ours already.
    ///
    /// # Errors
    /// When somebody else listens there after all.
    pub fn listen_on(&self, socket: TcpSocket) -> Result<(SocketAddr, JoinHandle<()>), StartError> {
        self.answer(socket, http::router(self.clone()))
    }

    /// Answers only whether this process lives, whether it can work, and what it counts.
    ///
    /// # Errors
    /// When somebody else listens there after all.
    pub fn listen_for_health(&self, socket: TcpSocket) -> Result<(SocketAddr, JoinHandle<()>), StartError> {
        self.answer(socket, http::health_router(self.clone()))
    }

    fn answer(&self, socket: TcpSocket, router: Router) -> Result<(SocketAddr, JoinHandle<()>), StartError> {
        let cannot = |error| StartError::Io("cannot listen".into(), error);
        let listener = socket.listen(BACKLOG).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        // Answers leave at once instead of waiting for the acknowledgement of what went before.
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "answers on this connection may wait");
            }
        });
        let stopping = self.stopping.clone();
        let server = axum::serve(listener, router).with_graceful_shutdown(async move { stopping.cancelled().await });
        let serving = tokio::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, "the HTTP server failed");
            }
        });
        Ok((address, serving))
    }

    /// Stops: no new work, what was accepted is finished and stored.
    pub async fn stop(&self) {
        self.stopping.cancel();
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            // A task that panicked has been reported; there is nothing left to wait for.
            let _ = task.await;
        }
        if let Some(reactors) = &self.reactors {
            reactors.stop().await;
        }
        self.read_models.stop().await;
        let nats = self.nats.lock().take();
        if let Some(nats) = nats {
            nats.stop().await;
        }
        self.commands.close().await;
        self.log.close().await;
        self.write_uses().await;
    }

    /// Waits until everything that follows from the log has been done: imports have run, read models have folded it all,
    /// rules have answered, what is due has been fired, and nothing more has come of that.
    ///
    /// # Errors
    /// When a read model or a reactor does not get there.
    pub async fn settle(&self) -> Result<(), String> {
        if self.config.roles.contains(&Role::React) {
            import::idle(&self.pool).await.map_err(|error| error.to_string())?;
        }
        loop {
            let head = self.log.head().await.map_err(|error| error.to_string())?;
            self.read_models.settle(head).await.map_err(|error| error.to_string())?;
            self.commands.settle().await;
            let Some(reactors) = &self.reactors else { return Ok(()) };
            reactors.settle(head).await.map_err(|error| error.to_string())?;
            if self.log.head().await.map_err(|error| error.to_string())? == head {
                return Ok(());
            }
        }
    }

    /// Moves this system's clock ahead, so that tests need not wait.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
        if let Some(reactors) = &self.reactors {
            reactors.nudge();
        }
    }

    /// How the relay fares; `None` without NATS or that role.
    pub fn relay(&self) -> Option<watch::Receiver<RelayStatus>> {
        Some(self.nats.lock().as_ref()?.relay.as_ref()?.status())
    }

    /// Whether events come from JetStream; `None` without NATS.
    pub fn follows_nats(&self) -> Option<watch::Receiver<bool>> {
        Some(self.nats.lock().as_ref()?.following.follows())
    }

    /// The present moment, to the microsecond.
    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// A new id, born now.
    pub(crate) fn new_id(&self) -> Id {
        let now = u64::try_from(self.now().as_millisecond()).unwrap_or_default();
        Id::derived(now, &[&Uuid::now_v7().to_string()])
    }

    /// Work in the background that ends when the system stops.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.lock().push(tokio::spawn(work));
    }

    async fn keep_tidy(self) {
        let mut every = tokio::time::interval(WRITE_USES);
        loop {
            tokio::select! {
                _ = every.tick() => {}
                () = self.stopping.cancelled() => return,
            }
            self.limits.tidy();
            self.write_uses().await;
        }
    }

    async fn write_uses(&self) {
        // While the database is away they are kept.
        if let Ok(Err(error)) = self.log.presence().guard(self.uses.write(&self.pool)).await {
            tracing::warn!(%error, "cannot write down which keys were used");
        }
    }
}
