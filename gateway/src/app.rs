//! What every request handler shares.

use std::{collections::HashSet, ops::Deref, sync::Arc, time::Duration};

use channels::{
    captcha::Captchas,
    mail::{Post, imap::Fetching},
    messengers::{Messengers, Working},
    outbox::Outbox,
    webhooks::Webhooks,
};
use commands::{Commands, Reactors};
use domain::{Id, Time};
use eventstore::{Log, RelayStatus};
use parking_lot::Mutex;
use projections::ReadModels;
use prometheus::Registry;
use sqlx::PgPool;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    auth::{Clock, KnownKeys, Uses},
    bulk,
    config::{Role, Serve},
    countries::Countries,
    import,
    limits::Limits,
    live::{Attendance, Signals},
    metrics::{Gauges, Requests},
    reads::Reads,
    sign_in::SignIn,
    start::Over,
    storage::Storage,
    uploads::Uploads,
    visitors::{Flood, Streams},
};

/// What every request handler shares. Cheap to clone.
#[derive(Clone)]
pub struct App(pub(crate) Arc<Shared>);

/// The parts of a running system.
pub struct Shared {
    pub(crate) config: Serve,
    pub(crate) pool: PgPool,
    pub(crate) log: Log,
    pub(crate) commands: Commands,
    pub(crate) read_models: ReadModels,
    /// Where queries go.
    pub(crate) reads: Reads,
    /// What answers events with commands, in a process that does.
    pub(crate) reactors: Option<Reactors>,
    /// What sends messages, in a process that does.
    pub(crate) outbox: Option<Outbox>,
    /// What tells webhooks of events, in a process that does.
    pub(crate) webhooks: Mutex<Option<Arc<Webhooks>>>,
    /// What makes records of what other systems hand in, in a process that does.
    pub(crate) post: Post,
    pub(crate) intake: Mutex<Option<eventstore::Handle>>,
    pub(crate) making: Mutex<Option<eventstore::Handle>>,
    pub(crate) fetching: Mutex<Option<Fetching>>,
    /// What speaks with messengers.
    pub(crate) messengers: Messengers,
    pub(crate) working: Option<Working>,
    pub(crate) nats: Mutex<Option<Over>>,
    pub(crate) registry: Registry,
    pub(crate) http_metrics: Requests,
    pub(crate) gauges: Gauges,
    pub(crate) limits: Limits,
    pub(crate) uses: Uses,
    pub(crate) known_keys: KnownKeys,
    pub(crate) sign_in: SignIn,
    pub(crate) storage: Storage,
    pub(crate) uploads: Uploads,
    pub(crate) clock: Arc<Clock>,
    /// Commands being carried out whose id the client gave.
    pub(crate) in_flight: Mutex<HashSet<Uuid>>,
    /// Told when an import is there to be run.
    pub(crate) imports: tokio::sync::Notify,
    /// Told when a bulk is there to be run.
    pub(crate) bulks: tokio::sync::Notify,
    /// How much visitors of pages write.
    pub(crate) flood: Flood,
    /// How many streams they have open.
    pub(crate) streams: Arc<Streams>,
    /// From which country an address is.
    pub(crate) countries: Countries,
    /// Who tells people from programs.
    pub(crate) captchas: Captchas,
    /// Who is typing and looking at what.
    pub(crate) signals: Signals,
    /// Who is at the desk.
    pub(crate) attendance: Arc<Attendance>,
    /// Whose turn it is to go over the log in memory.
    pub(crate) rehearsals: Semaphore,
    /// Whose turn it is to read a whole list in one snapshot.
    pub(crate) exports: Arc<Semaphore>,
    /// Whose turn it is to read a list as it was.
    pub(crate) earlier: Arc<Semaphore>,
    /// Connections on which lists are read as they were.
    pub(crate) snapshots: PgPool,
    /// Cancelled when the system stops: long-lived responses end, background work stops.
    pub(crate) stopping: CancellationToken,
    pub(crate) tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    /// Waits until everything that follows from the log has been done: imports and bulks have run, read models have folded it all,
    /// rules have answered, what is due has been fired and sent, and nothing more has come of that.
    ///
    /// # Errors
    /// When a read model or a reactor does not get there.
    pub async fn settle(&self) -> Result<(), String> {
        if self.config.roles.contains(&Role::React) {
            import::idle(&self.pool).await.map_err(|error| error.to_string())?;
            bulk::idle(&self.pool).await.map_err(|error| error.to_string())?;
            self.end_stale_sessions().await.map_err(|problem| problem.to_string())?;
            self.look_around().await.map_err(|problem| problem.to_string())?;
            self.sweep_files().await.map_err(|problem| problem.to_string())?;
        }
        loop {
            let head = self.log.head().await.map_err(|error| error.to_string())?;
            self.read_models.settle(head).await.map_err(|error| error.to_string())?;
            self.commands.settle().await;
            let Some(reactors) = &self.reactors else { return Ok(()) };
            reactors.settle(head).await.map_err(|error| error.to_string())?;
            if let Some(outbox) = &self.outbox {
                outbox.settle(head).await.map_err(|error| error.to_string())?;
            }
            if let Some(working) = &self.working {
                working.settle().await.map_err(|error| error.to_string())?;
            }
            let webhooks = self.webhooks.lock().clone();
            if let Some(webhooks) = webhooks {
                webhooks.settle(head).await.map_err(|error| error.to_string())?;
            }
            for reactor in [&self.intake, &self.making] {
                let Some(mut reached) = reactor.lock().as_ref().map(eventstore::Handle::position) else { continue };
                let stopped = |_| "the intake has stopped".to_owned();
                reached.wait_for(|reached| *reached >= head).await.map_err(stopped)?;
            }
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
        if let Some(outbox) = &self.outbox {
            outbox.nudge();
        }
        self.messengers.nudge();
        if let Some(webhooks) = &*self.webhooks.lock() {
            webhooks.nudge();
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

    pub(crate) async fn write_uses(&self) {
        // While the database is away they are kept.
        if let Ok(Err(error)) = self.log.presence().guard(self.uses.write(&self.pool)).await {
            tracing::warn!(%error, "cannot write down which keys were used");
        }
    }
}
