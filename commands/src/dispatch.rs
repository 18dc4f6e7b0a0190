//! Carries a command out: load, decide, append, and again when somebody else was faster.

use std::{
    any::Any,
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use domain::{
    Actor, ActorKind, Aggregate, Authority, Ctx, Echo, Facts, Id, Metadata, Need, Rejection, Time, Via,
    catalogue::{self, Kind},
    kernel::{
        access::Teams,
        aggregate::AnyState,
        any::{self, AnyCommand, Told},
        merging,
        reference::{Ask, Mentions, Redirected, Subject},
        snapshot::CODE,
    },
    org::{
        administration::{self, Administration},
        tenant::Tenant,
    },
};
use eventstore::{
    Append, AppendError, Appended, Claim, ClaimAction, Direction, Expected, Latest, Log, NewEvent, Number, Query,
    Recorded, StreamWrite,
};
use prometheus::{Histogram, HistogramOpts, IntCounter, Registry};
use serde_json::value::RawValue;
use tokio::{sync::watch, task::JoinHandle};
use uuid::Uuid;

use crate::{
    cache::{Cache, Key, Known},
    lists::Lists,
    snapshots::{self, Snapshots},
};

/// How often a command that lost a race is decided again before the caller is asked to come back.
const ATTEMPTS: usize = 12;
/// Events of a stream that are read at once.
const PAGE: i64 = 1000;
/// Events of a stream up to which it is read together with others.
const FETCHED: i64 = 100;
/// Text that JSON can carry and PostgreSQL cannot.
const TEXT_INVALID: Rejection = Rejection::invalid("text_invalid", "Text cannot hold the character U+0000.");
/// The log replaces this beginning of a numbered event's data.
const UNNUMBERED: &[u8] = br#"{"number":0"#;

/// Who is in which team, by tenant, up to a position of the log.
type Memberships = parking_lot::Mutex<HashMap<Id, (i64, Arc<Teams>)>>;

/// A command's envelope: for which record, by whom, and under which conditions.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// Whose log.
    pub tenant: Id,
    /// For which record.
    pub id: Id,
    /// Who asks.
    pub actor: Actor,
    /// What whoever asks may do.
    pub authority: Authority,
    /// Through which channel.
    pub via: Via,
    /// Applied once.
    pub command_id: Uuid,
    /// The id that the envelope was made with. As long as it is its `command_id`, nobody else can give the same command.
    pub own_id: Uuid,
    /// Digest of what is asked: the same id with another digest is refused.
    pub fingerprint: i64,
    /// Whether a retry must be answered even when nothing happened (the client gave the id).
    pub remember: bool,
    /// The event or command that caused this one.
    pub causation_id: Option<Uuid>,
    /// The position of that event.
    pub causation_position: Option<i64>,
    /// How many rules lie between it and what a person or another program did.
    pub depth: u32,
    /// The story it belongs to; its own id by default.
    pub correlation_id: Option<Uuid>,
    /// The moment it is decided at.
    pub now: Time,
    /// When it happened in the world, if not now.
    pub occurred_at: Option<Time>,
    /// The version the caller has seen.
    pub expected: Option<i64>,
    /// The record must not exist yet.
    pub must_be_new: bool,
    /// The record must exist.
    pub must_exist: bool,
    /// What it says comes from another system: odd addresses are kept and marked, not refused.
    pub from_outside: bool,
    /// Says what would be written, and writes nothing.
    pub dry_run: bool,
    /// A set-wide mark that is taken with the events and never given back: (scope, key). Taken before means done before.
    pub mark: Option<(String, String)>,
}

impl Envelope {
    /// The same, caused by an event and part of its story.
    #[must_use]
    pub fn caused_by(self, cause: &Cause) -> Envelope {
        let Cause { event, position, correlation, depth } = *cause;
        Envelope {
            causation_id: Some(event),
            causation_position: Some(position),
            correlation_id: Some(correlation),
            depth,
            ..self
        }
    }

    /// What decisions over it are told.
    pub fn ctx<'a>(&'a self, now: Time, seed: &'a str, facts: &'a Facts) -> Ctx<'a> {
        Ctx { tenant: self.tenant, id: self.id, now, actor: &self.actor, authority: &self.authority, seed, facts }
    }

    /// A plain command: decided at `now`, with an id of its own and no conditions. Deskfold itself may do everything;
    /// whoever else asks has the rights that the envelope is given.
    pub fn new(tenant: Id, id: Id, actor: Actor, via: Via, now: Time) -> Envelope {
        let authority = if actor.kind == ActorKind::System { Authority::full() } else { Authority::none() };
        let own_id = Uuid::now_v7();
        Envelope {
            tenant,
            id,
            actor,
            authority,
            via,
            command_id: own_id,
            own_id,
            fingerprint: 0,
            remember: false,
            causation_id: None,
            causation_position: None,
            depth: 0,
            correlation_id: None,
            now,
            occurred_at: None,
            expected: None,
            must_be_new: false,
            must_exist: false,
            from_outside: false,
            dry_run: false,
            mark: None,
        }
    }
}

/// The event that a command follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Its id.
    pub event: Uuid,
    /// Its position.
    pub position: i64,
    /// The story that it is part of.
    pub correlation: Uuid,
    /// How many rules lie between what follows from it and what a person or another program did.
    pub depth: u32,
}

impl Cause {
    /// An event as the cause of what follows from it; `None` where nothing is known of how it came about.
    pub fn of(event: &Recorded) -> Option<Cause> {
        let metadata: Metadata = serde_json::from_slice(&event.metadata).ok()?;
        Some(Cause::told(event, &metadata))
    }

    /// The same where it is known how it came about.
    pub(crate) fn told(event: &Recorded, metadata: &Metadata) -> Cause {
        let correlation = Uuid::parse_str(&metadata.correlation_id).unwrap_or(event.id);
        Cause { event: event.id, position: event.position, correlation, depth: metadata.depth }
    }
}

/// An event that a command wrote.
#[derive(Clone, Debug)]
pub struct Written {
    /// The stream, when it is another record's.
    pub stream: Option<String>,
    /// Stored type, such as `ticket.opened`.
    pub kind: String,
    /// What happened.
    pub data: Box<RawValue>,
}

/// What came of a command.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The record.
    pub id: Id,
    /// The version of its stream now, -1 when it has no event.
    pub version: i64,
    /// The position of the last event written, or of the head when nothing was.
    pub position: i64,
    /// The events written; empty when it was so already.
    pub events: Vec<Written>,
    /// The merged records that the command names, and those that were taken for them.
    pub redirected: Vec<Redirected>,
    /// Whether this is the answer of an earlier time.
    pub repeated: bool,
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The domain refused.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The record is not at the version the caller has seen.
    #[error("expected version {expected:?}, found {actual}")]
    Stale {
        /// What the caller has seen; `None` when it should not exist.
        expected: Option<i64>,
        /// What is there; -1 for nothing.
        actual: i64,
    },
    /// The record should exist and does not.
    #[error("there is no such record")]
    Absent,
    /// The command id belongs to another command.
    #[error("the command id was used for something else")]
    Reused,
    /// The mark was taken before: everything this command asks has been done.
    #[error("done before")]
    Marked,
    /// Others were faster too often.
    #[error("too many others change this record now")]
    Busy,
    /// The log cannot be reached now.
    #[error("the log is not available: {0}")]
    Unavailable(String),
    /// The database is away.
    #[error("{0}")]
    Away(String),
    /// There is no room to write it.
    #[error("the database has no room left to write")]
    StorageFull,
    /// Something is broken.
    #[error("{0}")]
    Broken(String),
}

/// What is counted of commands.
#[derive(Clone, Debug)]
pub struct Metrics {
    seconds: Histogram,
    retries: IntCounter,
    rejections: IntCounter,
    loads: IntCounter,
    read: IntCounter,
    snapshots: snapshots::Metrics,
}

impl Metrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// When they are registered already.
    pub fn new(registry: &Registry) -> Result<Metrics, prometheus::Error> {
        let buckets = prometheus::exponential_buckets(0.0001, 2.0, 16)?;
        let seconds = HistogramOpts::new("deskfold_command_seconds", "From taking a command in to its answer.");
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let metrics = Metrics {
            seconds: Histogram::with_opts(seconds.buckets(buckets))?,
            retries: counter("deskfold_command_retries_total", "Decisions made again after a conflict.")?,
            rejections: counter("deskfold_command_rejections_total", "Commands that the domain refused.")?,
            loads: counter("deskfold_aggregate_loads_total", "Aggregates read from the log for want of a cached one.")?,
            read: counter("deskfold_aggregate_events_total", "Events read from the log to know aggregates.")?,
            snapshots: snapshots::Metrics::new(&counter)?,
        };
        registry.register(Box::new(metrics.seconds.clone()))?;
        Ok(metrics)
    }
}

/// Carries commands out. Cheap to clone.
#[derive(Clone)]
pub struct Commands {
    log: Log,
    cache: Cache,
    metrics: Metrics,
    lists: Lists,
    snapshots: Snapshots,
    /// Who is in which team.
    pub(crate) memberships: Arc<Memberships>,
    stop: Arc<watch::Sender<bool>>,
    follower: Arc<parking_lot::Mutex<Option<JoinHandle<()>>>>,
}

impl From<eventstore::Error> for Refused {
    fn from(error: eventstore::Error) -> Refused {
        match error {
            eventstore::Error::Lost(lost) => Refused::Away(lost.to_string()),
            eventstore::Error::Database(error) => error.into(),
            error => Refused::Unavailable(error.to_string()),
        }
    }
}

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Refused {
        if eventstore::is_storage_full(&error) {
            Refused::StorageFull
        } else if eventstore::is_away(&error) {
            Refused::Away(error.to_string())
        } else {
            Refused::Unavailable(error.to_string())
        }
    }
}

impl Refused {
    /// Whether a newer state could have led to another answer.
    fn may_be_outdated(&self) -> bool {
        matches!(self, Refused::Rejected(_) | Refused::Stale { .. } | Refused::Absent)
    }
}

/// How records are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// As this process remembers them; from the log when it does not.
    Remembered,
    /// As the log has them now: what is remembered is brought up to date.
    Current,
}

/// A decision, ready to be appended.
struct Plan {
    record: Need,
    redirected: Vec<Redirected>,
    append: Append,
    written: Vec<Written>,
    after: AnyState,
    version: i64,
    /// The version of the record's latest snapshot.
    snapshot: i64,
    /// Other streams written: what their states become.
    others: Vec<(Key, Known)>,
    /// Streams whose version was relied on.
    relied: Vec<(String, Key)>,
    taken: Vec<domain::Claim>,
    /// Written events that wait for their number, in the order the log draws them.
    numbered: Vec<usize>,
}

impl Plan {
    fn is_empty(&self) -> bool {
        self.written.is_empty() && self.append.claims.is_empty()
    }
}

/// Commands for a record of kind `A` as those of any kind.
///
/// # Errors
/// When the catalogue does not know the kind.
pub fn of_any_kind<A: Aggregate>(commands: Vec<A::Command>) -> Result<(&'static Kind, Vec<AnyCommand>), Refused> {
    let kind = catalogue::kind(A::KIND).ok_or_else(|| Refused::Broken(format!("{} is no kind", A::KIND)))?;
    Ok((kind, commands.into_iter().map(any::command::<A>).collect()))
}

impl Commands {
    /// Over this log, with room for `capacity` cached aggregates.
    pub fn new(log: Log, capacity: usize, metrics: Metrics) -> Commands {
        let (stop, stopped) = watch::channel(false);
        let cache = Cache::new(capacity);
        let follower = cache.clone().follow(log.clone(), stopped);
        let follower = Arc::new(parking_lot::Mutex::new(Some(follower)));
        let snapshots = Snapshots::start(log.clone(), metrics.snapshots.clone());
        Commands {
            log,
            cache,
            metrics,
            lists: Lists::default(),
            snapshots,
            memberships: Arc::default(),
            stop: Arc::new(stop),
            follower,
        }
    }

    /// The same with what lists tell of records: without it rules find nothing there.
    #[must_use]
    pub fn with_lists(self, lists: Lists) -> Commands {
        Commands { lists, ..self }
    }

    /// What lists tell of records.
    pub(crate) fn lists(&self) -> &Lists {
        &self.lists
    }

    /// The log below.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Waits until every snapshot that is due has been written.
    pub async fn settle(&self) {
        self.snapshots.settle().await;
    }

    /// Stops following the log, and writes no more snapshots.
    pub async fn close(&self) {
        self.snapshots.close();
        // Nobody listens any more when the follower has ended by itself.
        let _ = self.stop.send(true);
        let follower = self.follower.lock().take();
        if let Some(follower) = follower {
            let _ = follower.await;
        }
    }

    /// The state of a record as this process knows it, in its initial state when there is none, with its version: what
    /// another process wrote a moment ago may be missing.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn load<A: Aggregate>(&self, tenant: Id, id: Id) -> Result<(Arc<A>, i64), Refused> {
        let known = self.known(&Need::of::<A>(id), tenant, Sight::Remembered).await?;
        Ok((downcast(known.state), known.version))
    }

    /// The state of a record that has any event, as [`Commands::load`]; whether there is one the log says.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn find<A: Aggregate>(&self, tenant: Id, id: Id) -> Result<Option<Arc<A>>, Refused> {
        let mut found = self.load::<A>(tenant, id).await?;
        if found.1 < 0 {
            found = self.load_current::<A>(tenant, id).await?;
        }
        Ok((found.1 >= 0).then_some(found.0))
    }

    /// The state of a record as the log has it, as [`Commands::load`].
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn load_current<A: Aggregate>(&self, tenant: Id, id: Id) -> Result<(Arc<A>, i64), Refused> {
        let known = self.known(&Need::of::<A>(id), tenant, Sight::Current).await?;
        Ok((downcast(known.state), known.version))
    }

    /// Carries one command out.
    ///
    /// # Errors
    /// A refusal of the domain, a stale version, or a log that cannot be reached: then nothing has changed.
    pub async fn dispatch<A: Aggregate>(&self, envelope: &Envelope, command: A::Command) -> Result<Accepted, Refused> {
        self.dispatch_all::<A>(envelope, vec![command]).await
    }

    /// Carries several commands for one record out, in order and all or nothing.
    ///
    /// # Errors
    /// As [`Commands::dispatch`].
    pub async fn dispatch_all<A: Aggregate>(
        &self,
        envelope: &Envelope,
        commands: Vec<A::Command>,
    ) -> Result<Accepted, Refused> {
        let (kind, commands) = of_any_kind::<A>(commands)?;
        self.dispatch_any(envelope, kind, commands).await
    }

    /// The same for a record of whatever kind; the commands are all of this kind.
    ///
    /// # Errors
    /// As [`Commands::dispatch`].
    pub async fn dispatch_any(
        &self,
        envelope: &Envelope,
        kind: &'static Kind,
        commands: Vec<AnyCommand>,
    ) -> Result<Accepted, Refused> {
        let _timer = self.metrics.seconds.start_timer();
        // An append shows whether what was remembered still holds. Where nothing is appended, the log is asked.
        let mut sight = if envelope.dry_run { Sight::Current } else { Sight::Remembered };
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                self.metrics.retries.inc();
            }
            let mut plan = self.plan(envelope, kind, &commands, sight, Vec::new()).await;
            if sight == Sight::Remembered && plan.as_ref().map_or_else(Refused::may_be_outdated, Plan::is_empty) {
                sight = Sight::Current;
                plan = self.plan(envelope, kind, &commands, sight, Vec::new()).await;
            }
            let plan = match plan {
                Ok(plan) => plan,
                Err(refused) => {
                    return self.answer_of_before(envelope, kind).await?.ok_or(refused).inspect_err(|refused| {
                        if matches!(refused, Refused::Rejected(_)) {
                            self.metrics.rejections.inc();
                        }
                    });
                }
            };
            if envelope.dry_run {
                self.look_for_taken(envelope, &plan.append.claims, &plan.taken).await?;
            }
            if envelope.dry_run || (plan.is_empty() && !envelope.remember) {
                let head = *self.log.tail().watch().borrow();
                return Ok(Accepted {
                    id: plan.record.id,
                    version: plan.version,
                    position: head,
                    events: plan.written,
                    redirected: plan.redirected,
                    repeated: false,
                });
            }
            match self.log.append(plan.append.clone()).await {
                // The first try was committed although its answer was lost, or the client asks again.
                Ok(appended) if appended.duplicate && envelope.remember => {
                    let gone = || Refused::Broken("a stored command is gone".into());
                    return self.answer_of_before(envelope, kind).await?.ok_or_else(gone);
                }
                Ok(appended) => return self.accept(envelope, plan, &appended),
                Err(AppendError::Conflict { stream, .. }) => {
                    plan.relied.iter().filter(|(name, _)| *name == stream).for_each(|(_, key)| self.cache.forget(key));
                }
                Err(AppendError::Claimed { scope, key, owner_stream }) => {
                    // By this very command, perhaps: another process may have carried it out meanwhile.
                    if let Some(answer) = self.answer_of_before(envelope, kind).await? {
                        return Ok(answer);
                    }
                    if envelope.mark.as_ref().is_some_and(|mark| *mark == (scope.clone(), key.clone())) {
                        return Err(Refused::Marked);
                    }
                    self.metrics.rejections.inc();
                    let owner = self.told_of(envelope, &owner_stream).await?;
                    return Err(taken(&plan.taken, &scope, &key, owner));
                }
                Err(AppendError::CommandReused) => return Err(Refused::Reused),
                Err(AppendError::Invalid(reason)) => {
                    return Err(Rejection::invalid("not_storable", "The text cannot be stored.")
                        .because(reason)
                        .into());
                }
                Err(AppendError::StorageFull) => return Err(Refused::StorageFull),
                Err(AppendError::Away(lost)) => return Err(Refused::Away(lost.to_string())),
                Err(error) => return Err(Refused::Unavailable(error.to_string())),
            }
        }
        Err(Refused::Busy)
    }

    async fn plan(
        &self,
        envelope: &Envelope,
        kind: &'static Kind,
        commands: &[AnyCommand],
        sight: Sight,
        mut redirected: Vec<Redirected>,
    ) -> Result<Plan, Refused> {
        let record = kind.need(envelope.id);
        let facts = Facts::told(envelope.from_outside || envelope.via == Via::Import);
        let mut world = World { commands: self, tenant: envelope.tenant, sight, facts, relied: vec![] };
        let known = self.known(&record, envelope.tenant, sight).await?;
        let there = known.version;
        let known = world.admit(envelope, kind, known, commands).await?;
        let hidden = known.version < there;
        let (version, snapshot) = (known.version, known.snapshot);
        self.check_conditions(envelope, kind, version, commands).await?;

        let seed = envelope.command_id.to_string();
        let now = envelope.occurred_at.unwrap_or(envelope.now);
        let tenant = self.known(&Need::of::<Tenant>(envelope.tenant), envelope.tenant, sight).await?;
        let tenant = downcast::<Tenant>(tenant.state);
        let mut kinds = std::iter::once(kind.name).chain(kind.about(envelope.tenant, envelope.id));
        if let Some(feature) = kinds.find_map(|kind| tenant.missing_feature(kind)) {
            return Err(feature.disabled().into());
        }
        let mut state = known.state;
        let mut writes =
            vec![StreamWrite { stream: kind.stream(envelope.id), expected: exactly(version), events: vec![] }];
        let mut written = Vec::new();
        let mut claims = Vec::new();
        let mut echoes: Vec<Echo> = Vec::new();
        let mut drafts = Vec::new();
        // Records of the same kind that go on for this one, as the commands leave them.
        let mut hosts: HashMap<Id, AnyState> = HashMap::new();

        for (turn, command) in commands.iter().enumerate() {
            let seed = if turn == 0 { seed.clone() } else { format!("{seed}-{turn}") };
            for (place, permission) in command.requires() {
                envelope.ctx(now, &seed, &world.facts).must(&permission).map_err(|refusal| refusal.at(place))?;
            }
            // What was meant for a merged record, and belongs to the one that goes on for it.
            let passed = kind.merged_into(&state).and_then(|into| Some((into, command.passes_on(&state)?)));
            let (host, asked) = match passed {
                None => (None, command.clone()),
                Some((into, passed)) => (Some(world.survivor(kind, into).await?), passed),
            };
            let decided = host.unwrap_or(envelope.id);
            if let Some((id, known)) = host.and_then(|id| Some((id, world.facts.any(kind.name, id)?))) {
                hosts.entry(id).or_insert_with(|| known.clone());
            }
            let decider = host.and_then(|id| hosts.get(&id)).unwrap_or(&state);
            let mut mentions = Mentions::of(kind, decider, &asked);
            for (kind, place) in mentions.named() {
                if let Some(feature) = tenant.missing_feature(kind) {
                    return Err(feature.disabled().at(place).into());
                }
            }
            if envelope.via == Via::Import {
                mentions = mentions.told_afterwards();
            }
            let hidden = world.hidden(envelope, decided, &mentions, decider).await?;
            mentions = mentions.hiding(hidden);
            let decision = loop {
                let ctx = Ctx { id: decided, ..envelope.ctx(now, &seed, &world.facts) };
                match mentions.ask(decider, &asked, &ctx) {
                    Ask::Facts(needs) => world.load(needs).await?,
                    Ask::Elsewhere { id, command, redirected } => {
                        let envelope = Envelope { id, ..envelope.clone() };
                        return Box::pin(self.plan(&envelope, kind, &[command], sight, redirected)).await;
                    }
                    Ask::Decided { decision, relied, redirected: records } => {
                        world.load(relied).await?;
                        redirected.extend(records);
                        break decision;
                    }
                }
            };
            let events = decision?;
            let ctx = envelope.ctx(now, &seed, &world.facts);
            let own = match host {
                None => events,
                Some(id) => {
                    let there = Ctx { id, ..envelope.ctx(now, &seed, &world.facts) };
                    let noted = (!events.is_empty()).then(|| command.passed_on(&state, id, &ctx)).flatten();
                    redirected.push(Redirected { pointer: String::new(), from: envelope.id, to: id });
                    let mut host = hosts.remove(&id).unwrap_or_else(|| AnyState::new(()));
                    for event in events {
                        let event = event.came_via(envelope.id);
                        let Told { event: told, claims: taken, echoes: others } = event.tell(&host, &there);
                        claims.extend(taken.into_iter().map(|claim| (claim, kind.stream(id))));
                        echoes.push(told);
                        echoes.extend(others);
                        host = event.evolve(host, &envelope.actor, envelope.via);
                    }
                    hosts.insert(id, host);
                    noted.into_iter().collect()
                }
            };
            for event in own {
                let Told { event: told, claims: taken, echoes: others } = event.tell(&state, &ctx);
                claims.extend(taken.into_iter().map(|claim| (claim, kind.stream(envelope.id))));
                echoes.extend(others);
                drafts.push(told);
                state = event.evolve(state, &envelope.actor, envelope.via);
            }
        }
        // What begins a record begins none where there is one, seen or not.
        if hidden && !(drafts.is_empty() && echoes.is_empty()) {
            return Err(unseen(record.kind).into());
        }
        if drafts.iter().chain(&echoes).any(|told| holds_nul(&told.data)) {
            return Err(TEXT_INVALID.into());
        }

        if let Some(feature) = echoes.iter().find_map(|echo| tenant.missing_feature(echo.kind)) {
            return Err(feature.disabled().into());
        }
        for echo in &mut echoes {
            let stream = format!("{}-{}", echo.kind, echo.id);
            claims.extend(std::mem::take(&mut echo.claims).into_iter().map(|claim| (claim, stream.clone())));
        }
        // Where nothing happens, nothing was taken for anything.
        if drafts.is_empty() && echoes.is_empty() {
            redirected.clear();
        }
        let mut maker = Maker { envelope, now, seed, redirected: &redirected, next: 0, numbered: Vec::new() };
        for told in drafts {
            let event = maker.event(told, written.len());
            written.push(Written { stream: None, kind: event.kind.clone(), data: raw(&event.data)? });
            writes[0].events.push(event);
        }
        let relied = world.relied;
        let mut others: Vec<(Key, Known)> = Vec::new();
        for echo in echoes {
            let key = Key { tenant: envelope.tenant, kind: echo.kind, id: echo.id };
            let stream = format!("{}-{}", echo.kind, echo.id);
            let at = match writes.iter().position(|write| write.stream == stream) {
                Some(at) => at,
                None => {
                    let need = Need { kind: echo.kind, id: echo.id, guarded: true, fold: echo.fold };
                    let known = match relied.iter().find(|(need, _)| need.kind == echo.kind && need.id == echo.id) {
                        Some((_, known)) => known.clone(),
                        None => self.known(&need, envelope.tenant, sight).await?,
                    };
                    writes.push(StreamWrite {
                        stream: stream.clone(),
                        expected: exactly(known.version),
                        events: vec![],
                    });
                    others.push((key, known));
                    writes.len() - 1
                }
            };
            let event = maker.event(echo, written.len());
            if let Some((_, known)) = others.iter_mut().find(|(other, _)| *other == key) {
                let added = &mut std::iter::once((event.kind.as_str(), &*event.data, &*event.metadata));
                known.state = (known.fold)(Some(known.state.clone()), added)
                    .map_err(|error| Refused::Broken(error.to_string()))?;
                known.version += 1;
                known.event_id = event.id;
            }
            written.push(Written { stream: Some(stream), kind: event.kind.clone(), data: raw(&event.data)? });
            writes[at].events.push(event);
        }
        let mut streams =
            vec![(writes[0].stream.clone(), Key { tenant: envelope.tenant, kind: kind.name, id: envelope.id })];
        streams.extend(others.iter().map(|(key, _)| (format!("{}-{}", key.kind, key.id), *key)));
        for (need, known) in relied.iter().filter(|(need, _)| need.guarded) {
            let stream = format!("{}-{}", need.kind, need.id);
            if !written.is_empty() && writes.iter().all(|write| write.stream != stream) {
                streams.push((stream.clone(), Key { tenant: envelope.tenant, kind: need.kind, id: need.id }));
                writes.push(StreamWrite { stream, expected: exactly(known.version), events: vec![] });
            }
        }

        let mut appended: Vec<Claim> = claims.iter().map(|(claim, stream)| claim_of(claim, stream)).collect();
        let claims = claims.into_iter().map(|(claim, _)| claim).collect();
        if let Some((scope, key)) = &envelope.mark {
            // A mark belongs to its command, so that a second command never finds it its own.
            let stream = format!("mark-{}", envelope.command_id);
            let (scope, key) = (scope.clone(), key.clone());
            appended.push(Claim { scope, key, stream, global: false, action: ClaimAction::Take });
        }
        if written.is_empty() {
            writes.clear();
        }
        let append = Append {
            tenant: envelope.tenant.to_string(),
            command_id: envelope.command_id,
            fingerprint: envelope.fingerprint,
            remember: envelope.remember || envelope.command_id != envelope.own_id,
            writes,
            claims: appended,
        };
        let (after, numbered) = (state, maker.numbered);
        Ok(Plan {
            record,
            redirected,
            append,
            written,
            after,
            version,
            snapshot,
            others,
            relied: streams,
            taken: claims,
            numbered,
        })
    }

    /// What the append would find, for a command that is only tried.
    async fn look_for_taken(
        &self,
        envelope: &Envelope,
        claims: &[Claim],
        known: &[domain::Claim],
    ) -> Result<(), Refused> {
        for claim in claims.iter().filter(|claim| claim.action == ClaimAction::Take) {
            let tenant = if claim.global { String::new() } else { envelope.tenant.to_string() };
            let owner = self.log.claim_owner(&tenant, &claim.scope, &claim.key).await?;
            if let Some(owner) = owner.filter(|owner| owner.stream != claim.stream) {
                let ours = if owner.tenant == envelope.tenant.to_string() { owner.stream.as_str() } else { "" };
                return Err(taken(known, &claim.scope, &claim.key, self.told_of(envelope, ours).await?));
            }
        }
        Ok(())
    }

    async fn check_conditions(
        &self,
        envelope: &Envelope,
        kind: &Kind,
        version: i64,
        commands: &[AnyCommand],
    ) -> Result<(), Refused> {
        if envelope.must_exist && version < 0 {
            return Err(Refused::Absent);
        }
        if envelope.must_be_new && version >= 0 {
            return Err(Refused::Stale { expected: None, actual: version });
        }
        let Some(expected) = envelope.expected.filter(|expected| *expected != version) else { return Ok(()) };
        let stale = Refused::Stale { expected: Some(expected), actual: version };
        if expected > version || expected < 0 {
            return Err(stale);
        }
        let since = self.read_from(envelope.tenant, &kind.stream(envelope.id), expected + 1).await?;
        for command in commands {
            let mut stored = since.iter().map(|event| (&*event.kind, &*event.data, &*event.metadata));
            if !command.merges(&mut stored).map_err(|error| Refused::Broken(error.to_string()))? {
                return Err(stale);
            }
        }
        Ok(())
    }

    fn accept(&self, envelope: &Envelope, plan: Plan, appended: &Appended) -> Result<Accepted, Refused> {
        let Plan {
            record: Need { kind, id, fold, .. }, redirected, append, mut written, after, others, numbered, ..
        } = plan;
        for (at, number) in numbered.iter().zip(&appended.numbers) {
            let rest = &written[*at].data.get()[UNNUMBERED.len()..];
            let numbered = format!("{{\"number\":{number}{rest}");
            written[*at].data = RawValue::from_string(numbered).map_err(|error| Refused::Broken(error.to_string()))?;
        }
        let version = appended.versions.first().copied().unwrap_or(plan.version);
        let key = Key { tenant: envelope.tenant, kind, id };
        let event_id =
            append.writes.first().and_then(|write| write.events.last()).map_or(Uuid::nil(), |event| event.id);
        let known = Known { version, event_id, snapshot: plan.snapshot, ..Known::nothing(fold) };
        // What was decided knew no number yet: such a state is folded anew from what was written.
        let drawn = |stream: Option<&str>| numbered.iter().any(|at| written[*at].stream.as_deref() == stream);
        let own = || written.iter().filter(|event| event.stream.is_none());
        if drawn(None) {
            let metadata = append.writes.iter().flat_map(|write| &write.events).map(|event| &*event.metadata);
            let mut events =
                own().zip(metadata).map(|(event, by)| (event.kind.as_str(), event.data.get().as_bytes(), by));
            if let (Ok(state), true) = (fold(None, &mut events), i64::try_from(own().count()) == Ok(version + 1)) {
                self.remember(key, Known { state, ..known });
            }
        } else if !written.is_empty() {
            self.remember(key, Known { state: after, ..known });
        }
        for (key, known) in others.into_iter().filter(|(key, _)| !drawn(Some(&format!("{}-{}", key.kind, key.id)))) {
            self.remember(key, known);
        }
        Ok(Accepted { id, version, position: appended.last_position, events: written, redirected, repeated: false })
    }

    /// The answer that this command got when it was carried out before, if it was.
    async fn answer_of_before(&self, envelope: &Envelope, kind: &Kind) -> Result<Option<Accepted>, Refused> {
        if !envelope.remember {
            return Ok(None);
        }
        let stored = self.log.stored_command(envelope.command_id).await?;
        let Some(stored) = stored else { return Ok(None) };
        if stored.fingerprint != envelope.fingerprint {
            return Err(Refused::Reused);
        }
        let limit = stored.last_position - stored.first_position + 1;
        let query = Query {
            tenant: Some(envelope.tenant.to_string()),
            after: Some(stored.first_position - 1),
            until: Some(stored.last_position),
            limit,
            ..Query::default()
        };
        let events = if limit > 0 { self.log.read_all(&query).await? } else { Vec::new() };
        let mut redirected = Vec::new();
        for event in &events {
            if let Ok(metadata) = serde_json::from_slice::<Metadata>(&event.metadata) {
                redirected.extend(metadata.redirected);
            }
        }
        // What was meant for a merged record was answered as its own, wherever it went. Otherwise the record's own events
        // come first, and its id is theirs: a repeated creation names the record it made.
        let asked = redirected.iter().find(|redirected| redirected.pointer.is_empty()).map(|meant| meant.from);
        let own = asked.map(|id| kind.stream(id)).or_else(|| events.first().map(|event| event.stream.to_string()));
        let first = || events.first().and_then(|event| event.key().parse().ok());
        let id = asked.or_else(first).unwrap_or(envelope.id);
        let is_own = |event: &&Recorded| own.as_deref() == Some(&*event.stream);
        let version = events.iter().filter(is_own).map(|event| event.version).max();
        let mut written = Vec::new();
        for event in &events {
            let stream = (!is_own(&event)).then(|| event.stream.to_string());
            written.push(Written { stream, kind: event.kind.to_string(), data: raw(&event.data)? });
        }
        let version = match version {
            Some(version) => version,
            None => self.version_at(envelope.tenant, kind.stream(id), stored.last_position).await?,
        };
        let position = stored.last_position;
        Ok(Some(Accepted { id, version, position, events: written, redirected, repeated: true }))
    }

    /// The version that a stream had at a position of the log; -1 when it had no event.
    async fn version_at(&self, tenant: Id, stream: String, position: i64) -> Result<i64, Refused> {
        let query = Query {
            tenant: Some(tenant.to_string()),
            stream: Some(stream),
            after: Some(position + 1),
            direction: Direction::Backward,
            limit: 1,
            ..Query::default()
        };
        Ok(self.log.read_all(&query).await?.first().map_or(-1, |event| event.version))
    }

    /// The state of a record of whatever kind, as [`Commands::load_current`].
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn state(&self, need: &Need, tenant: Id) -> Result<AnyState, Refused> {
        Ok(self.known(need, tenant, Sight::Current).await?.state)
    }

    /// The same with its version.
    pub(crate) async fn state_at(&self, need: &Need, tenant: Id) -> Result<(AnyState, i64), Refused> {
        let known = self.known(need, tenant, Sight::Current).await?;
        Ok((known.state, known.version))
    }

    async fn known(&self, need: &Need, tenant: Id, sight: Sight) -> Result<Known, Refused> {
        let key = Key { tenant, kind: need.kind, id: need.id };
        let before = match self.cache.get(&key) {
            Some(known) if sight == Sight::Remembered => return Ok(known),
            remembered => remembered,
        };
        let stream = format!("{}-{}", need.kind, need.id);
        let (mut known, events) = match before {
            Some(known) => {
                let events = self.read_from(tenant, &stream, known.version + 1).await?;
                (known, events)
            }
            None => {
                self.metrics.loads.inc();
                self.latest(need, tenant, &stream).await?
            }
        };
        self.metrics.read.inc_by(events.len() as u64);
        if let Some(last) = events.last() {
            (known.version, known.event_id) = (last.version, last.id);
        }
        if !events.is_empty() || known.version < 0 {
            let mut events = events.iter().map(|event| (&*event.kind, &*event.data, &*event.metadata));
            known.state = (need.fold)(Some(known.state), &mut events)
                .map_err(|error| Refused::Broken(format!("{stream} does not decode: {error}")))?;
        }
        self.remember(key, known.clone());
        Ok(known)
    }

    /// Remembers records that are going to be needed, all by one query. Whatever cannot be read so is read when it is needed.
    pub(crate) async fn prefetch(&self, needs: Vec<(Id, Need)>) {
        let mut wanted = HashMap::new();
        for (tenant, need) in needs {
            let key = Key { tenant, kind: need.kind, id: need.id };
            if self.cache.get(&key).is_none() {
                wanted.insert((tenant.to_string(), format!("{}-{}", need.kind, need.id)), (key, need.fold));
            }
        }
        let streams: Vec<_> = wanted.keys().cloned().collect();
        if streams.is_empty() {
            return;
        }
        let Ok(events) = self.log.read_streams(&streams, FETCHED).await else { return };
        for events in events.chunk_by(|one, next| (&one.tenant, &one.stream) == (&next.tenant, &next.stream)) {
            let (Some(first), Some(last)) = (events.first(), events.last()) else { continue };
            let of = (first.tenant.to_string(), first.stream.to_string());
            let Some((key, fold)) = wanted.remove(&of).filter(|_| (events.len() as i64) < FETCHED) else { continue };
            let mut stored = events.iter().map(|event| (&*event.kind, &*event.data, &*event.metadata));
            let Ok(state) = fold(None, &mut stored) else { continue };
            self.metrics.loads.inc();
            self.metrics.read.inc_by(events.len() as u64);
            let (version, event_id) = (last.version, last.id);
            self.remember(key, Known { version, event_id, state, ..Known::nothing(fold) });
        }
    }

    /// What a stream's snapshot says, if it has one, and the events that are not in it.
    async fn latest(&self, need: &Need, tenant: Id, stream: &str) -> Result<(Known, Vec<Recorded>), Refused> {
        let nothing = Known::nothing(need.fold);
        let Latest { snapshot, unfit, mut events } =
            self.log.read_latest(&tenant.to_string(), stream, CODE, PAGE).await?;
        let known = snapshot.as_ref().map(|snapshot| self.snapshots.restore(need, snapshot));
        if unfit || matches!(known, Some(None)) {
            self.metrics.snapshots.unfit(stream);
        }
        if let Some(None) = known {
            return Ok((nothing, self.read_from(tenant, stream, 0).await?));
        }
        if let Some(last) = events.last()
            && events.len() as i64 >= PAGE - 1
        {
            let rest = self.read_from(tenant, stream, last.version + 1).await?;
            events.extend(rest);
        }
        Ok((known.flatten().unwrap_or(nothing), events))
    }

    /// Keeps a state in memory, and has its snapshot written when it is due.
    fn remember(&self, key: Key, mut known: Known) {
        if self.snapshots.take(&key, &known) {
            known.snapshot = known.version;
        }
        self.cache.put(key, known);
    }

    /// Whoever is invited or let in, as the log has it.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn seated(&self, tenant: Id) -> Result<BTreeSet<Id>, Refused> {
        Ok(self.administration(tenant).await?.seated())
    }

    /// Who may do what in a tenant, as the log has it. It is read whenever somebody who can do everything loses a right or
    /// a plan is set, which is seldom.
    async fn administration(&self, tenant: Id) -> Result<Administration, Refused> {
        let mut known = Administration::default();
        let mut query = Query {
            tenant: Some(tenant.to_string()),
            limit: PAGE,
            categories: administration::CATEGORIES.map(ToOwned::to_owned).to_vec(),
            types: administration::TYPES.map(ToOwned::to_owned).to_vec(),
            ..Query::default()
        };
        loop {
            let page = self.log.read_all(&query).await?;
            for event in &page {
                let Ok(id) = event.key().parse() else { continue };
                known
                    .take_in(event.category(), id, &event.kind, &event.data)
                    .map_err(|error| Refused::Broken(format!("{} does not decode: {error}", event.stream)))?;
            }
            query.after = page.last().map(|event| event.position);
            if (page.len() as i64) < PAGE {
                return Ok(known);
            }
        }
    }

    async fn read_from(&self, tenant: Id, stream: &str, mut from: i64) -> Result<Vec<Recorded>, Refused> {
        let tenant = tenant.to_string();
        let mut all = Vec::new();
        loop {
            let page = self.log.read_stream(&tenant, stream, from, Direction::Forward, PAGE).await?;
            from += PAGE;
            let full = page.len() as i64 == PAGE;
            all.extend(page);
            if !full {
                return Ok(all);
            }
        }
    }
}

/// The other records that a decision depends on, as they are loaded.
pub(crate) struct World<'a> {
    pub(crate) commands: &'a Commands,
    pub(crate) tenant: Id,
    sight: Sight,
    pub(crate) facts: Facts,
    relied: Vec<(Need, Known)>,
}

impl World<'_> {
    /// Loads what is new among these.
    pub(crate) async fn load(&mut self, needs: Vec<Need>) -> Result<(), Refused> {
        for need in needs {
            if need.kind == administration::KIND {
                if !self.facts.has(need.kind, need.id) {
                    let known = self.commands.administration(self.tenant).await?;
                    self.facts.insert(need.kind, need.id, AnyState::new(known));
                }
                continue;
            }
            if let Some((known, _)) =
                self.relied.iter_mut().find(|(known, _)| (known.kind, known.id) == (need.kind, need.id))
            {
                known.guarded |= need.guarded;
                continue;
            }
            let known = self.commands.known(&need, self.tenant, self.sight).await?;
            self.facts.insert(need.kind, need.id, known.state.clone());
            self.relied.push((need, known));
        }
        Ok(())
    }

    /// The record that goes on for one that was merged, through chains; a merge meanwhile would lead elsewhere.
    pub(crate) async fn survivor(&mut self, kind: &Kind, id: Id) -> Result<Id, Refused> {
        loop {
            let chain = merging::chain_of(kind, id, &self.facts);
            let last = chain.last().copied().unwrap_or(id);
            if self.facts.has(kind.name, last) {
                return Ok(last);
            }
            self.load(chain.into_iter().map(|id| Need { guarded: true, ..kind.need(id) }).collect()).await?;
        }
    }
}

/// Makes the stored events of one command.
struct Maker<'a> {
    envelope: &'a Envelope,
    now: Time,
    seed: String,
    /// What the command's first event tells of the records that it named.
    redirected: &'a [Redirected],
    next: u64,
    numbered: Vec<usize>,
}

impl Maker<'_> {
    fn event(&mut self, told: Echo, place: usize) -> NewEvent {
        let Echo { event_type: kind, data, counter, subject, .. } = told;
        self.next += 1;
        let number = counter.filter(|_| data.starts_with(UNNUMBERED)).map(|counter| {
            self.numbered.push(place);
            Number { counter: counter.to_owned(), offset: UNNUMBERED.len() - 1 }
        });
        let metadata = Metadata {
            actor: self.envelope.actor.clone(),
            via: self.envelope.via,
            command_id: self.seed.clone(),
            causation_id: self.envelope.causation_id.map(|id| id.to_string()),
            causation_position: self.envelope.causation_position,
            depth: self.envelope.depth,
            correlation_id: self.envelope.correlation_id.unwrap_or(self.envelope.command_id).to_string(),
            subject,
            redirected: if self.next == 1 { self.redirected.to_vec() } else { Vec::new() },
        };
        NewEvent {
            id: event_id(self.envelope.command_id, self.next),
            kind,
            occurred_at: self.envelope.occurred_at.map(|_| self.now),
            is_json: true,
            data: Bytes::from(data),
            metadata: Bytes::from(serde_json::to_vec(&metadata).unwrap_or_default()),
            number,
        }
    }
}

/// The id of the event that a command writes first, second, ... (from 1).
pub(crate) fn event_id(command: Uuid, number: u64) -> Uuid {
    Uuid::new_v5(&command, &number.to_be_bytes())
}

/// Whether JSON text holds an escaped U+0000: an odd number of backslashes before `u0000`.
fn holds_nul(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    text.match_indices("\\u0000").any(|(at, _)| {
        let before = text[..at].bytes().rev().take_while(|byte| *byte == b'\\').count();
        before % 2 == 0
    })
}

fn exactly(version: i64) -> Expected {
    if version < 0 { Expected::NoStream } else { Expected::Exact(version) }
}

/// The refusal for a record that whoever asks may not see.
fn unseen(kind: &str) -> Rejection {
    let called = kind.replace('_', " ");
    let detail = format!("There is no such {called}.");
    Rejection::missing("unknown", "").of(kind).because(detail)
}

/// The refusal of a name that another record has, which it tells to whoever may know.
fn taken(claims: &[domain::Claim], scope: &str, key: &str, owner: Option<Subject>) -> Refused {
    let Some(claim) = claims.iter().find(|claim| claim.scope == scope && claim.key == key) else {
        return Refused::Broken(format!("{scope} is taken"));
    };
    match owner {
        Some(owner) => claim.taken.clone().with(owner).into(),
        None => claim.taken.clone().into(),
    }
}

fn claim_of(claim: &domain::Claim, stream: &str) -> Claim {
    let action = if claim.take { ClaimAction::Take } else { ClaimAction::Release };
    Claim {
        scope: claim.scope.to_owned(),
        key: claim.key.clone(),
        stream: stream.to_owned(),
        global: claim.global,
        action,
    }
}

fn raw(data: &[u8]) -> Result<Box<RawValue>, Refused> {
    serde_json::from_slice(data).map_err(|error| Refused::Broken(format!("an event is no JSON: {error}")))
}

fn downcast<A: Any + Send + Sync + Default>(state: AnyState) -> Arc<A> {
    state.downcast::<A>().unwrap_or_default()
}
