//! Starts and stops the system: everything is built here, in one place, and handed to those who share it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, serve::ListenerExt};
use channels::{
    captcha::Captchas,
    keyed::Keyed,
    mail::{
        imap::{self, Fetching},
        lmtp, making,
    },
    messengers::{self, Messengers, Working},
    outbox::{self, Outbox},
    webhooks::{self, Webhooks},
};
use commands::{Commands, Reactors};
use eventstore::{Following, Log, Nats, NatsMetrics, Relay, RelayHandle};
use parking_lot::Mutex;
use projections::ReadModels;
use prometheus::Registry;
use sqlx::PgPool;
use tokio::{net::TcpSocket, sync::Semaphore, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    app::{App, Shared},
    auth::{Clock, KnownKeys, Uses},
    bootstrap::{self, FirstAdmin},
    bulk,
    config::{Role, Serve},
    countries::Countries,
    former_roles, http, import, intake,
    limits::Limits,
    live::{Attendance, Signals},
    mail,
    metrics::{Gauges, Requests},
    notifying,
    postgres::EmbeddedError,
    reads::Reads,
    sealed,
    sign_in::SignIn,
    storage::Storage,
    uploads::Uploads,
    visitors::{Flood, Streams},
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
    /// Files cannot be kept.
    #[error("the place for files: {0}")]
    Files(String),
    /// The address cannot be listened on, or a file not be written.
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
    /// The database URL cannot be read.
    #[error("{0} is no address of a database ({1}): write it like postgres://user:password@host:5432/database")]
    Url(&'static str, String),
}

/// What goes over NATS.
pub(crate) struct Over {
    pub(crate) relay: Option<RelayHandle>,
    pub(crate) following: Following,
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

/// What speaks with messengers.
fn messengers(
    config: &Serve,
    commands: &Commands,
    clock: &Arc<Clock>,
    uploads: &Uploads,
    secrets: outbox::Secrets,
    sign_in: &SignIn,
) -> Messengers {
    let seal = Arc::clone(&sign_in.seal);
    let key = Keyed::new(move || {
        let key = seal.derived("messengers").map_err(|problem| problem.to_string())?;
        Ok(ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key))
    });
    // Messengers bring nothing in the clear.
    let public = config.sign_in.public_url.clone().filter(|url| url.starts_with("https://"));
    let messaging = &config.messaging;
    let places =
        messengers::Places { telegram: messaging.telegram_url.clone(), meta: messaging.meta_url.clone(), public };
    crate::install_crypto_provider();
    Messengers::new(messengers::Options {
        commands: commands.clone(),
        clock: told_by(clock),
        files: uploads.intake.clone(),
        secrets,
        places,
        key,
        private: config.private_addresses,
        patience: config.send_timeout,
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
        if config.roles.contains(&Role::React) {
            let brought = former_roles::bring_up_to_date(&commands, clock.now()).await;
            brought.map_err(|error| StartError::Bootstrap(error.to_string()))?;
        }
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
        let uploads = Uploads::new(&config, &commands, reached_in(&read_models), &registry)?;
        let storage = Storage::new(&config, &registry)?;
        let reads = Reads::new(&config, &log, &read_models, &registry)?;
        let sign_in = SignIn::new(&config, &registry)?;
        let post = mail::post(&config, &commands, told_by(&clock), &uploads.intake, &sign_in.seal);
        let secrets = sealed::opened(sealed::CHANNELS, &pool, &sign_in.seal);
        let messengers = messengers(&config, &commands, &clock, &uploads, Arc::clone(&secrets), &sign_in);
        let mut fetching = None;
        let outbox = if config.roles.contains(&Role::React) {
            crate::install_crypto_provider();
            let options = outbox::Options {
                clock: told_by(&clock),
                secrets: Arc::clone(&secrets),
                private_addresses: config.private_addresses,
                patience: config.send_timeout,
                mail: mail::outgoing(&config, post.clone(), Arc::clone(&secrets)),
                messengers: messengers.clone(),
                reaching: notifying::reaching(&config, &pool, &sign_in.seal),
                registry: registry.clone(),
            };
            fetching = Some(Fetching::start(imap::Options {
                post: post.clone(),
                secrets,
                private: config.private_addresses,
                patience: config.send_timeout,
            }));
            Some(Outbox::start(&commands, options)?)
        } else {
            None
        };
        let reacts = config.roles.contains(&Role::React);
        let intake = reacts.then(|| intake::start(&commands, told_by(&clock)));
        let working = reacts.then(|| Working::start(messengers.clone()));
        let making = reacts.then(|| making::start(post.clone()));
        // Each keeps a connection until it is downloaded; most are for everybody else.
        let exports = (config.database.database_connections / 4).max(1);
        // Exports of the past keep theirs after their turn, and nobody who reads a page waits for them.
        let options = pool.options().clone().min_connections(0).max_connections(2 * exports);
        let snapshots = options.connect_lazy_with((*pool.connect_options()).clone());
        let exports = exports as usize;
        let (signals, to_others) = Signals::new();
        let app = App(Arc::new(Shared {
            limits: Limits::new(config.rate_limit),
            flood: Flood::new(config.visitor_rate_limit),
            streams: Streams::new(config.visitor_streams),
            countries: Countries::open(config.country_database.as_deref())?,
            captchas: Captchas::new(config.private_addresses),
            http_metrics: Requests::new(&registry)?,
            gauges: Gauges::new(&registry)?,
            config,
            pool,
            log,
            commands,
            read_models,
            reads,
            reactors,
            outbox,
            webhooks: Mutex::default(),
            post,
            intake: Mutex::new(intake),
            making: Mutex::new(making),
            fetching: Mutex::new(fetching),
            messengers,
            working,
            nats: Mutex::new(nats),
            registry,
            uses: Uses::default(),
            known_keys: KnownKeys::default(),
            sign_in,
            storage,
            uploads,
            clock,
            in_flight: Mutex::default(),
            imports: tokio::sync::Notify::new(),
            bulks: tokio::sync::Notify::new(),
            signals,
            attendance: Attendance::new(),
            rehearsals: Semaphore::new(1),
            exports: Arc::new(Semaphore::new(exports)),
            earlier: Arc::new(Semaphore::new(exports)),
            snapshots,
            stopping: CancellationToken::new(),
            tasks: Mutex::default(),
        }));
        if app.config.roles.contains(&Role::React) {
            *app.webhooks.lock() = Some(Arc::new(app.tell_webhooks()?));
        }
        app.look_at_storage();
        app.spawn(app.clone().keep_tidy());
        app.spawn(app.clone().watch_storage());
        app.spawn(app.clone().watch_replica());
        app.spawn(app.clone().keep_attendance());
        app.spawn(app.clone().pass_signals_on(to_others));
        if let Some(at) = app.config.mail.lmtp {
            let unfit = |error| StartError::Bootstrap(format!("cannot listen for LMTP on {at}: {error}"));
            let listener = lmtp::listen(at).await.map_err(unfit)?;
            app.spawn(lmtp::serve(app.post.clone(), listener, app.stopping.clone()));
        }
        if app.config.roles.contains(&Role::React) {
            app.spawn(import::run(app.clone()));
            app.spawn(bulk::run(app.clone()));
            app.spawn(app.clone().keep_files_swept());
        }
        tracing::info!("at work: {}", app.works().join(", "));
        Ok((app, first))
    }

    /// Begins to tell webhooks of events.
    fn tell_webhooks(&self) -> Result<Webhooks, prometheus::Error> {
        let day = Duration::from_secs(24 * 60 * 60);
        let options = webhooks::Options {
            clock: told_by(&self.clock),
            secrets: sealed::opened(sealed::WEBHOOKS, &self.pool, &self.sign_in.seal),
            look: http::look(self.clone()),
            private_addresses: self.config.private_addresses,
            patience: self.config.send_timeout,
            kept: day * self.config.webhook_log_days,
            registry: self.registry.clone(),
        };
        Webhooks::start(&self.commands, options)
    }

    /// What this process does, as far as it gets the leases.
    fn works(&self) -> Vec<String> {
        let mut works = Vec::new();
        for role in &self.config.roles {
            match role {
                Role::Api => works.push("HTTP".into()),
                Role::Project => works.push(format!("{} read models", projections::names().len())),
                Role::React => works.push("rules, timers, imports, bulks, the outbox and webhooks".into()),
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
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let server = axum::serve(listener, service).with_graceful_shutdown(async move { stopping.cancelled().await });
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
        if let Some(outbox) = &self.outbox {
            outbox.stop().await;
        }
        if let Some(working) = &self.working {
            working.stop().await;
        }
        let webhooks = self.webhooks.lock().take();
        if let Some(webhooks) = webhooks {
            webhooks.stop().await;
        }
        let (intake, making) = (self.intake.lock().take(), self.making.lock().take());
        let fetching = self.fetching.lock().take();
        if let Some(fetching) = fetching {
            fetching.stop().await;
        }
        for reactor in intake.into_iter().chain(making) {
            reactor.stop().await;
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

    async fn keep_tidy(self) {
        let mut every = tokio::time::interval(WRITE_USES);
        let reacts = self.config.roles.contains(&Role::React);
        loop {
            tokio::select! {
                _ = every.tick() => {}
                () = self.stopping.cancelled() => return,
            }
            self.limits.tidy();
            self.flood.tidy();
            if reacts && let Ok(Err(problem)) = self.log.presence().guard(self.forget_visitors()).await {
                tracing::warn!(%problem, "cannot forget visitors who have not come back");
            }
            self.write_uses().await;
            if reacts && let Ok(Err(problem)) = self.log.presence().guard(self.end_stale_sessions()).await {
                tracing::warn!(%problem, "cannot end sessions that are over");
            }
        }
    }
}
