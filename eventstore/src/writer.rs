//! Group commit: appends that wait together are written together, a few batches in flight at once.
//!
//! An append meets its like here twice. In the queue, an append that shares a stream, a claimed key or a command id with
//! one before it waits until that one is answered: so callers of one stream are served in the order they came, and no
//! batch needs to care. In the database, locks do the same between processes (see the function `log_append`).

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use jiff::Timestamp;
use parking_lot::Mutex;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::append::{Append, AppendError, Appended, ClaimAction, Expected, StreamWrite};
use crate::event::Recorded;
use crate::options::Options;
use crate::partition;
use crate::presence::Lost;
use crate::reason::is_away;
use crate::short::{Finishing, Head, Lane, Tried};
use crate::surroundings::{Surroundings, connect, is_lost};
use crate::wire::Instant;

/// The queue in front of the writers.
#[derive(Clone, Debug)]
pub(crate) struct Writers {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// One per writer.
    wake: Vec<Notify>,
    drained: watch::Sender<bool>,
    hasher: RandomState,
    around: Surroundings,
    runtime: Handle,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Pending>,
    /// Keys of the appends in flight.
    busy: HashSet<u64, Identity>,
    /// Batches in flight, and the appends in them.
    batches: usize,
    in_flight: usize,
    pace: Pace,
    /// Writers with nothing to do. The one that stopped last goes first: its PostgreSQL process is warm.
    idle: Vec<usize>,
    /// A writer is about to take what is waiting, see [`Writer::gather`].
    gathering: bool,
    /// The last batch was one of several appends: more of their kind are about to come, and one commit will do for all.
    crowded: bool,
    /// For an append that meets nobody; gone while it is used.
    lane: Option<Lane>,
    /// The newest event that this process wrote; `None` when the database may have become another one since.
    head: Option<Head>,
    closed: bool,
}

/// What batches cost, in seconds, as of late.
#[derive(Debug)]
struct Pace {
    /// The part of an append that can be done while another batch commits: everything up to the head.
    ahead: f64,
    /// A commit, which is mostly the disk.
    commit: f64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { ahead: 15e-6, commit: 200e-6 }
    }
}

impl Pace {
    fn learn(&mut self, timing: &Timing) {
        let toward = |old: f64, new: f64| old + (new - old) / 16.0;
        self.ahead = toward(self.ahead, timing.ahead);
        self.commit = toward(self.commit, timing.commit);
    }
}

#[derive(Debug)]
struct Pending {
    append: Append,
    keys: Vec<u64>,
    reply: Reply,
    /// It may have been written on the short way: then a duplicate is our own.
    sent: bool,
}

/// Where a caller waits for his answer.
type Reply = oneshot::Sender<Result<Outcome, AppendError>>;

/// What he is told.
type Answer = (Reply, Result<Outcome, AppendError>);

/// What became of an append.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Written now.
    Accepted(Appended),
    /// Its command was applied before; perhaps by an earlier try of the same batch if `ours`.
    Stored { first: i64, last: i64, recorded_at: Instant, ours: bool },
}

/// Which way an append goes.
enum Way {
    Short(Finishing<Result<Appended, Answering>>),
    Long(Answering),
}

/// Where a caller's answer comes from.
type Answering = oneshot::Receiver<Result<Outcome, AppendError>>;

/// What is needed to answer for a stored command, after the append itself has gone to its writer.
#[derive(Debug)]
pub(crate) struct Brief {
    pub(crate) command_id: Uuid,
    /// The streams, each with the number of events for it.
    pub(crate) streams: Vec<(String, usize)>,
}

/// Hashes that are hashes already.
#[derive(Clone, Copy, Debug, Default)]
struct Identity(u64);

impl BuildHasher for Identity {
    type Hasher = Self;
    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

impl std::hash::Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl Writers {
    /// Queues an append and waits for its answer.
    pub(crate) async fn append(&self, append: Append) -> Result<(Brief, Outcome), AppendError> {
        let brief = Brief {
            command_id: append.command_id,
            streams: append.writes.iter().map(|write| (write.stream.clone(), write.events.len())).collect(),
        };
        let keys = self.keys(&append);
        let answer = match self.shared.admit(append, keys)? {
            Way::Long(answer) => answer,
            Way::Short(written) => match written.await {
                Ok(appended) => return Ok((brief, Outcome::Accepted(appended))),
                Err(answer) => answer,
            },
        };
        match answer.await {
            Ok(outcome) => Ok((brief, outcome?)),
            Err(_) => Err(AppendError::Unavailable("the writer stopped".into())),
        }
    }

    /// What two appends may not have in common within a batch. A collision only makes one of them wait.
    fn keys(&self, append: &Append) -> Vec<u64> {
        let hasher = &self.shared.hasher;
        let mut keys = Vec::with_capacity(1 + append.writes.len() + append.claims.len());
        keys.push(hasher.hash_one(append.command_id));
        keys.extend(append.writes.iter().map(|write| hasher.hash_one((&append.tenant, &write.stream))));
        keys.extend(append.claims.iter().map(|claim| {
            let tenant = if claim.global { "" } else { &append.tenant };
            hasher.hash_one((tenant, &claim.scope, &claim.key))
        }));
        keys
    }

    pub(crate) fn close(&self) {
        self.shared.queue.lock().closed = true;
        self.shared.wake.iter().for_each(Notify::notify_one);
    }

    pub(crate) async fn drained(&self) {
        // An error means that the writers are gone, and with them the queue.
        let _ = self.shared.drained.subscribe().wait_for(|drained| *drained).await;
    }
}

impl Queue {
    /// Commits come one after the other, so a second batch in flight saves what it does ahead of its turn and costs a
    /// commit more: worth it when the first exceeds the second, for as many appends as there are.
    fn pays_to_work_ahead(&self, appends: usize) -> bool {
        appends as f64 * self.pace.ahead > self.pace.commit
    }

    /// One batch may always go; a second one of about the same size if it pays.
    fn worth_a_batch(&self) -> bool {
        let (waiting, in_flight) = (self.waiting.len(), self.in_flight);
        let second = || waiting >= in_flight.div_ceil(2) && self.pays_to_work_ahead(waiting + in_flight);
        !self.gathering && (self.batches == 0 || second())
    }

    /// Takes what can be written together, in order, leaving what must wait for something before it.
    fn take(&mut self, options: &Options) -> Vec<Pending> {
        let mut batch = Vec::new();
        if !self.worth_a_batch() {
            return batch;
        }
        let (mut events, mut bytes, mut claims) = (0, 0, 0);
        let mut deferred = VecDeque::new();
        let mut held = HashSet::<u64, Identity>::default();
        let mut keys = Vec::new();
        while let Some(pending) = self.waiting.pop_front() {
            // Nobody waits for it any more, and nothing of it has been sent.
            if pending.reply.is_closed() {
                continue;
            }
            let shared = |key: &u64| self.busy.contains(key) || held.contains(key);
            if pending.keys.iter().any(shared) {
                held.extend(&pending.keys);
                deferred.push_back(pending);
                if deferred.len() >= options.batch_appends {
                    break;
                }
                continue;
            }
            events += pending.append.events();
            bytes += pending.append.bytes();
            claims += pending.append.claims.len();
            let full = events > options.batch_events || bytes > options.batch_bytes || claims > options.batch_appends;
            if full && !batch.is_empty() {
                deferred.push_back(pending);
                break;
            }
            held.extend(&pending.keys);
            keys.extend(&pending.keys);
            batch.push(pending);
            if batch.len() >= options.batch_appends {
                break;
            }
        }
        while let Some(pending) = deferred.pop_back() {
            self.waiting.push_front(pending);
        }
        if !batch.is_empty() {
            self.depart(&keys, batch.len());
        }
        batch
    }

    /// The lane and the head behind which to write, for an append that nothing and nobody stands before. `newest` is the
    /// newest position there is, as far as this process has heard.
    fn short_way(&mut self, newest: i64) -> Option<(Lane, Head)> {
        let alone = self.batches == 0 && self.waiting.is_empty() && !self.gathering && !self.crowded;
        let head = self.head.filter(|head| alone && head.position == newest)?;
        if !self.lane.as_mut()?.is_rested() {
            return None;
        }
        Some((self.lane.take()?, head))
    }

    /// A batch of so many appends goes to the database.
    fn depart(&mut self, keys: &[u64], appends: usize) {
        self.busy.extend(keys);
        self.batches += 1;
        self.in_flight += appends;
    }

    /// It is back.
    fn arrive(&mut self, keys: &[u64], appends: usize) {
        for key in keys {
            self.busy.remove(key);
        }
        self.batches -= 1;
        self.in_flight -= appends;
    }

    /// The newest event written, as far as its writer knows.
    fn learn_head(&mut self, head: Head) {
        if self.head.is_none_or(|known| known.position < head.position) {
            self.head = Some(head);
        }
    }

    /// Frees the keys of a batch. True if its writer should let those it answers come again before it takes the next.
    fn done(&mut self, keys: &[u64], appends: usize, timing: Option<Timing>) -> bool {
        if let Some(timing) = timing {
            self.pace.learn(&timing);
        }
        self.arrive(keys, appends);
        self.crowded = appends > 1;
        // Who is alone is served at once: stepping aside would only cost a wake-up.
        let gather = appends > 1 && !self.pays_to_work_ahead(appends + self.waiting.len() + self.in_flight);
        self.gathering |= gather;
        gather
    }
}

impl Shared {
    fn wake(&self, writer: usize) {
        if let Some(wake) = self.wake.get(writer) {
            wake.notify_one();
        }
    }

    /// Sends an append on its way: at once when nobody is before it and it needs nothing but its stream's version, else
    /// through the queue.
    fn admit(self: &Arc<Self>, append: Append, keys: Vec<u64>) -> Result<Way, AppendError> {
        let newest = append.single().map(|_| self.around.tail.last());
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(AppendError::Unavailable("the log is closed".into()));
        }
        if queue.waiting.len() >= self.around.options.queue {
            return Err(AppendError::Unavailable("too many appends are waiting".into()));
        }
        if let Some((lane, head)) = newest.and_then(|newest| queue.short_way(newest)) {
            queue.depart(&keys, 1);
            let written = Arc::clone(self).write_alone(lane, head, append, keys);
            return Ok(Way::Short(Finishing::new(written, &self.runtime)));
        }
        let (reply, answer) = oneshot::channel();
        queue.waiting.push_back(Pending { append, keys, reply, sent: false });
        let wake = if queue.worth_a_batch() { queue.idle.pop() } else { None };
        drop(queue);
        if let Some(writer) = wake {
            self.wake(writer);
        }
        Ok(Way::Long(answer))
    }

    /// Writes an append on the short way; if that does not do, it is the first in the queue.
    async fn write_alone(
        self: Arc<Self>,
        mut lane: Lane,
        head: Head,
        append: Append,
        keys: Vec<u64>,
    ) -> Result<Appended, Answering> {
        let tried = lane.write(&self.around, &append, head).await;
        let written = match tried {
            Tried::Written(recorded_at) => {
                self.around.metrics.append_batch_size.observe(1.0);
                self.around.metrics.append_short.inc();
                let written = self.around.accepted_alone(append, head, recorded_at);
                Ok(written)
            }
            Tried::Nothing | Tried::Unknown => Err(append),
        };
        let mut queue = self.queue.lock();
        queue.arrive(&keys, 1);
        queue.lane = Some(lane);
        let result = match written {
            Ok(appended) => {
                queue.learn_head(Head { position: appended.last_position, recorded_at: appended.recorded_at });
                Ok(appended)
            }
            Err(append) => {
                let sent = matches!(tried, Tried::Unknown);
                if sent {
                    queue.head = None;
                }
                let (reply, answer) = oneshot::channel();
                queue.waiting.push_front(Pending { append, keys, reply, sent });
                Err(answer)
            }
        };
        let wake = if !queue.waiting.is_empty() && queue.worth_a_batch() { queue.idle.pop() } else { None };
        let closed = queue.closed;
        drop(queue);
        if closed {
            self.wake.iter().for_each(Notify::notify_one);
        } else if let Some(writer) = wake {
            self.wake(writer);
        }
        result
    }
}

impl Surroundings {
    /// Counts an accepted append, and adds its events to those of its batch if somebody wants them.
    fn accepted(&self, append: Append, appended: &Appended, before: &[i64], events: Option<&mut Vec<Recorded>>) {
        self.metrics.appends.inc();
        for event in append.writes.iter().flat_map(|write| &write.events) {
            self.metrics.append_events.with_label_values(&[&event.kind]).inc();
        }
        if let Some(events) = events {
            record(append, appended, before, events);
        }
    }

    /// Tells whom it concerns that positions are taken.
    fn committed(&self, first: i64, last: i64, events: Vec<Recorded>) {
        self.keeper.moved(first, last);
        self.tail.committed(first, last, events);
    }

    /// The same for an append that was written alone.
    fn accepted_alone(&self, append: Append, head: Head, recorded_at: Timestamp) -> Appended {
        let before: Vec<i64> = append.writes.iter().map(|write| sent_version(write.expected)).collect();
        let after = |(write, before): (&StreamWrite, &i64)| before + signed(write.events.len());
        let appended = Appended {
            duplicate: false,
            first_position: head.position + 1,
            last_position: head.position + signed(append.events()),
            recorded_at,
            versions: append.writes.iter().zip(&before).map(after).collect(),
            numbers: Vec::new(),
        };
        let mut events = Vec::new();
        let wanted = self.tail.wanted().then_some(&mut events);
        self.accepted(append, &appended, &before, wanted);
        self.committed(appended.first_position, appended.last_position, events);
        appended
    }
}

/// Starts the writers.
pub(crate) fn start(around: Surroundings) -> (Writers, Vec<JoinHandle<()>>) {
    let writers = around.options.writers.max(1);
    let queue = Queue { lane: Some(Lane::default()), ..Queue::default() };
    let shared = Arc::new(Shared {
        queue: Mutex::new(queue),
        wake: (0..writers).map(|_| Notify::new()).collect(),
        drained: watch::Sender::new(false),
        hasher: RandomState::new(),
        around,
        runtime: Handle::current(),
    });
    let tasks = (0..writers)
        .map(|index| {
            tokio::spawn(
                Writer { index, shared: Arc::clone(&shared), connection: None, timing: None, sent: false }.run(),
            )
        })
        .collect();
    (Writers { shared }, tasks)
}

struct Writer {
    index: usize,
    shared: Arc<Shared>,
    connection: Option<PgConnection>,
    timing: Option<Timing>,
    /// Whether any of the batch at hand may have reached the database.
    sent: bool,
}

/// Where the time of a batch went, in seconds.
struct Timing {
    /// On one of its appends, before the head.
    ahead: f64,
    /// On the commit.
    commit: f64,
}

/// What an event costs where no clock of ours stands: on its way through the socket, in PostgreSQL's parser, at its caller.
const UNSEEN: f64 = 4e-6;

/// How often a writer steps aside before it takes a batch, as long as more keeps coming.
const GATHERINGS: usize = 3;

/// What to do about a batch that failed.
enum Failed {
    /// Some stream is not as expected, or some command was applied before: the same again, with a verdict for each.
    Unexpected,
    /// Lost race or connection: the same again.
    Again,
    /// One more partition, then the same again.
    NoPartition,
    /// There is no room to write it.
    Full,
    /// Something in it cannot be stored.
    Data,
    /// Nothing will help.
    Hopeless,
}

impl Writer {
    async fn run(mut self) {
        loop {
            let batch = {
                let mut queue = self.shared.queue.lock();
                let batch = queue.take(&self.shared.around.options);
                if batch.is_empty() && queue.closed && queue.waiting.is_empty() && queue.batches == 0 {
                    drop(queue);
                    self.shared.drained.send_replace(true);
                    self.shared.wake.iter().for_each(Notify::notify_one);
                    return;
                }
                if batch.is_empty() && !queue.idle.contains(&self.index) {
                    queue.idle.push(self.index);
                }
                batch
            };
            if batch.is_empty() {
                self.idle().await;
                continue;
            }
            let appends = batch.len();
            let keys: Vec<u64> = batch.iter().flat_map(|pending| pending.keys.iter().copied()).collect();
            self.shared.around.metrics.append_batch_size.observe(f64::from(u32::try_from(appends).unwrap_or(u32::MAX)));
            let answered = self.write(batch).await;
            // Keys are free before callers hear of it: whoever answers at once is not deferred by his own last append.
            let gather = self.shared.queue.lock().done(&keys, appends, self.timing.take());
            for (reply, outcome) in answered {
                // A caller who has gone away needs no answer.
                let _ = reply.send(outcome);
            }
            if gather {
                self.gather().await;
            }
        }
    }

    async fn idle(&self) {
        match self.shared.wake.get(self.index) {
            Some(wake) => wake.notified().await,
            None => tokio::task::yield_now().await,
        }
    }

    /// Lets callers who are about to append do so first: those just answered. Saves them a whole commit.
    async fn gather(&self) {
        let mut waiting = 0;
        for _ in 0..GATHERINGS {
            tokio::task::yield_now().await;
            let now = self.shared.queue.lock().waiting.len();
            if now == waiting {
                break;
            }
            waiting = now;
        }
        self.shared.queue.lock().gathering = false;
    }

    /// Writes a batch, halving it as often as needed to find what cannot be stored.
    async fn write(&mut self, batch: Vec<Pending>) -> Vec<Answer> {
        let mut answered = Vec::with_capacity(batch.len());
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            match self.attempt(&part).await {
                Ok(outcomes) => self.settle(part, outcomes, &mut answered),
                Err((Failed::Data, _)) if part.len() > 1 => {
                    let second = part.split_off(part.len() / 2);
                    parts.push(second);
                    parts.push(part);
                }
                Err((failed, error)) => {
                    let error = Arc::new(error);
                    for pending in part {
                        let refusal = match failed {
                            Failed::Data => AppendError::Invalid(error.to_string()),
                            Failed::Full => AppendError::StorageFull,
                            _ if is_away(&error) => AppendError::Away(Lost::because(&error)),
                            Failed::Again | Failed::NoPartition | Failed::Unexpected => {
                                AppendError::Unavailable(error.to_string())
                            }
                            Failed::Hopeless => AppendError::Store(Arc::clone(&error)),
                        };
                        answered.push((pending.reply, Err(refusal)));
                    }
                }
            }
        }
        answered
    }

    /// Sends a batch until it is written, refused for good, or patience runs out.
    async fn attempt(&mut self, batch: &[Pending]) -> Result<Written, (Failed, sqlx::Error)> {
        let mut began: Option<Clock> = None;
        let mut pause = Duration::from_millis(1);
        let mut unsure = false;
        self.sent = batch.iter().any(|pending| pending.sent);
        let mut careful = batch.iter().any(|pending| pending.append.needs_care());
        loop {
            let presence = self.shared.around.presence.clone();
            // A server that hangs is left alone; what comes of this on it is found out by sending it again.
            let sent = presence.guard(self.send(batch, careful)).await.unwrap_or_else(|lost| Err(lost.into()));
            let error = match sent {
                Ok(mut written) => {
                    written.retried = unsure;
                    return Ok(written);
                }
                Err(error) => error,
            };
            let failed = diagnose(&error);
            if !careful && matches!(failed, Failed::Unexpected) {
                careful = true;
                continue;
            }
            if is_lost(&error) {
                // It may have been committed all the same: from now on a duplicate may be our own.
                unsure = true;
                self.connection = None;
                self.shared.queue.lock().head = None;
            }
            let events: usize = batch.iter().map(|pending| pending.append.events()).sum();
            match failed {
                Failed::Data | Failed::Hopeless => return Err((failed, error)),
                Failed::Full => {
                    self.shared.around.room.ran_out();
                    tracing::error!(%error, "PostgreSQL has no room left to write");
                    return Err((failed, error));
                }
                Failed::NoPartition => {
                    let ahead = i32::from(self.shared.around.options.partitions_ahead);
                    if let Err(error) =
                        partition::create(&self.shared.around.pool, ahead, i64::try_from(events).unwrap_or(0)).await
                    {
                        tracing::warn!(%error, "cannot make a partition of the log, trying again");
                    }
                }
                Failed::Again | Failed::Unexpected => {}
            }
            let elapsed = began.get_or_insert_with(Clock::now).elapsed();
            // What has not been sent is not sent behind the back of callers who have been told that it cannot be.
            if elapsed >= self.shared.around.options.patience || (!self.sent && !self.shared.around.presence.is_there())
            {
                return Err((failed, error));
            }
            self.shared.around.metrics.append_retries.inc();
            tracing::debug!(%error, appends = batch.len(), "a batch is sent again");
            let presence = &self.shared.around.presence;
            if presence.is_there() {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(500));
            } else {
                // Its callers have been told; it is sent again because it may have been committed.
                let left = self.shared.around.options.patience.saturating_sub(elapsed);
                let _ = tokio::time::timeout(left, presence.found()).await;
            }
        }
    }

    async fn send(&mut self, batch: &[Pending], careful: bool) -> Result<Written, sqlx::Error> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(connect(self.shared.around.pool.connect_options().as_ref()).await?),
        };
        let prepared = Clock::now();
        let arrays = Arrays::of(batch);
        let (order, expected) = (arrays.order.clone(), arrays.write_expected.clone());
        let query = arrays.query(careful, self.shared.around.options.notify && self.shared.around.tail.others());
        let began = Clock::now();
        self.sent = true;
        let row = query.fetch_one(&mut *connection).await?;
        let (whole, preparing) = (began.elapsed().as_secs_f64(), (began - prepared).as_secs_f64());
        let written = Written::from_row(&row, &order, &expected)?;
        let unseen = UNSEEN * batch.iter().map(|pending| pending.append.events().max(1)).sum::<usize>() as f64;
        self.timing = written.before_and_in_all.map(|(before, in_all)| Timing {
            ahead: (preparing + before + unseen) / batch.len() as f64,
            commit: (whole - in_all - unseen).max(0.0),
        });
        Ok(written)
    }

    /// Turns the function's answer into one answer per append, and tells the tail.
    fn settle(&self, batch: Vec<Pending>, written: Written, answered: &mut Vec<Answer>) {
        let metrics = &self.shared.around.metrics;
        let wanted = self.shared.around.tail.wanted();
        let mut events = Vec::new();
        let mut position = written.head;
        let (mut write, mut claim, mut number) = (0, 0, 0);
        for (index, pending) in batch.into_iter().enumerate() {
            let Pending { append, reply, sent, .. } = pending;
            let (writes, claims) = (append.writes.len(), append.claims.len());
            let drawn =
                append.writes.iter().flat_map(|write| &write.events).filter(|event| event.number.is_some()).count();
            let outcome = match written.statuses.as_ref().and_then(|statuses| statuses.get(index)).copied().unwrap_or(0)
            {
                0 => {
                    let before = written.before.get(write..write + writes).unwrap_or_default();
                    let numbers = written.numbers.get(number..number + drawn).unwrap_or_default();
                    let numbers: Vec<i64> = numbers.iter().copied().flatten().collect();
                    let count = append.events();
                    let after = |(write, before): (&StreamWrite, &i64)| before + signed(write.events.len());
                    let appended = Appended {
                        duplicate: false,
                        first_position: position + 1,
                        last_position: position + signed(count),
                        recorded_at: written.recorded_at,
                        versions: append.writes.iter().zip(before).map(after).collect(),
                        numbers,
                    };
                    self.shared.around.accepted(append, &appended, before, wanted.then_some(&mut events));
                    position = appended.last_position;
                    Ok(Outcome::Accepted(appended))
                }
                1 => Ok(Outcome::Stored {
                    first: at(&written.stored_first, index),
                    last: at(&written.stored_last, index),
                    recorded_at: Instant(
                        written
                            .stored_at
                            .get(index)
                            .copied()
                            .flatten()
                            .map_or(written.recorded_at, |instant| instant.0),
                    ),
                    ours: written.retried || sent,
                }),
                2 => {
                    metrics.append_conflicts.inc();
                    let refused = written.refusing_stream(index).and_then(|place| place.checked_sub(write));
                    Err(refused.and_then(|refused| Some((refused, append.writes.get(refused)?))).map_or_else(
                        lost_detail,
                        |(refused, stream)| AppendError::Conflict {
                            stream: stream.stream.clone(),
                            expected: stream.expected,
                            actual: written.before.get(write + refused).copied().unwrap_or(-1),
                        },
                    ))
                }
                3 => {
                    metrics.append_conflicts.inc();
                    let refused = written.detail(index).and_then(|detail| detail.checked_sub(claim));
                    Err(refused.and_then(|refused| append.claims.get(refused)).map_or_else(lost_detail, |claim| {
                        AppendError::Claimed {
                            scope: claim.scope.clone(),
                            key: claim.key.clone(),
                            owner_stream: written.owners.get(index).cloned().flatten().unwrap_or_default(),
                        }
                    }))
                }
                _ => Err(AppendError::CommandReused),
            };
            (write, claim, number) = (write + writes, claim + claims, number + drawn);
            answered.push((reply, outcome));
        }
        if position > written.head {
            self.shared.around.committed(written.head + 1, position, events);
            self.shared.queue.lock().learn_head(Head { position, recorded_at: written.recorded_at });
        }
    }
}

/// The events of an append as a reader would find them.
fn record(append: Append, appended: &Appended, before: &[i64], events: &mut Vec<Recorded>) {
    let tenant: Arc<str> = append.tenant.into();
    let mut position = appended.first_position;
    let mut numbers = appended.numbers.iter();
    for (write, before) in append.writes.into_iter().zip(before) {
        let stream: Arc<str> = write.stream.into();
        for (event, version) in write.events.into_iter().zip(before + 1..) {
            let data = match event.number.and_then(|number| Some((number.offset, numbers.next()?))) {
                Some((offset, number)) => {
                    let (start, end) = (event.data.slice(..offset), event.data.slice(offset + 1..));
                    [&start, number.to_string().as_bytes(), &end].concat().into()
                }
                None => event.data,
            };
            events.push(Recorded {
                position,
                tenant: Arc::clone(&tenant),
                stream: Arc::clone(&stream),
                version,
                id: event.id,
                kind: event.kind.into(),
                occurred_at: event.occurred_at.map_or(appended.recorded_at, microseconds),
                recorded_at: appended.recorded_at,
                is_json: event.is_json,
                data,
                metadata: event.metadata,
            });
            position += 1;
        }
    }
}

/// An instant as the database keeps it.
fn microseconds(instant: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(instant.as_microsecond()).unwrap_or(instant)
}

fn lost_detail() -> AppendError {
    AppendError::Unavailable("the log's answer does not fit the batch".into())
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn at(values: &[i64], index: usize) -> i64 {
    values.get(index).copied().unwrap_or(0)
}

fn diagnose(error: &sqlx::Error) -> Failed {
    let sqlx::Error::Database(database) = error else {
        return match error {
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
                Failed::Again
            }
            _ => Failed::Hopeless,
        };
    };
    let code = database.code().unwrap_or_default();
    match &*code {
        "LG001" => Failed::Unexpected,
        // A stream or a command id taken before, or meanwhile by another process.
        "23505" if matches!(database.table(), Some("log_command" | "log_stream")) => Failed::Unexpected,
        "23514" if database.message().starts_with("no partition of relation") => Failed::NoPartition,
        // Lost races, lost connections, a server that starts, stops or is full, a plan made before a migration.
        "40001" | "40P01" | "55P03" | "0A000" | "25006" => Failed::Again,
        "53100" => Failed::Full,
        code if code.starts_with("08") || code.starts_with("53") || code.starts_with("57") => Failed::Again,
        code if code.starts_with("22") || code.starts_with("23") || code.starts_with("54") => Failed::Data,
        _ => Failed::Hopeless,
    }
}

/// What `log_append` answers.
struct Written {
    head: i64,
    recorded_at: Timestamp,
    /// Versions found, in the order of the batch.
    before: Vec<i64>,
    /// For each stream as it was sent, its place in the batch.
    order: Vec<usize>,
    statuses: Option<Vec<i32>>,
    details: Vec<i32>,
    stored_first: Vec<i64>,
    stored_last: Vec<i64>,
    stored_at: Vec<Option<Instant>>,
    owners: Vec<Option<String>>,
    numbers: Vec<Option<i64>>,
    /// Seconds the function worked before it waited for the head, and in all; `None` if it never came to the head.
    before_and_in_all: Option<(f64, f64)>,
    retried: bool,
}

impl Written {
    /// Reads the answer, and puts what it says of streams back into the order of the batch.
    fn from_row(row: &PgRow, order: &[usize], expected: &[i64]) -> Result<Self, sqlx::Error> {
        let statuses: Option<Vec<i32>> = row.try_get(3)?;
        let mut written = Self {
            head: row.try_get::<Option<_>, _>(0)?.unwrap_or(0),
            recorded_at: row.try_get::<Option<Instant>, _>(1)?.map_or(Timestamp::UNIX_EPOCH, |instant| instant.0),
            before: vec![-1; order.len()],
            order: order.to_vec(),
            statuses: None,
            details: Vec::new(),
            stored_first: Vec::new(),
            stored_last: Vec::new(),
            stored_at: Vec::new(),
            owners: Vec::new(),
            numbers: row.try_get::<Option<_>, _>(9)?.unwrap_or_default(),
            before_and_in_all: None,
            retried: false,
        };
        if let Some(Instant(waiting)) = row.try_get::<Option<Instant>, _>(11)? {
            let Instant(began) = row.try_get(10)?;
            let Instant(ended) = row.try_get(13)?;
            let seconds = |instant: Timestamp| instant.duration_since(began).as_secs_f64();
            written.before_and_in_all = Some((seconds(waiting), seconds(ended)));
        }
        let found: Option<Vec<i64>> = row.try_get(2)?;
        for (version, place) in found.as_deref().unwrap_or(expected).iter().zip(order) {
            if let Some(before) = written.before.get_mut(*place) {
                *before = *version;
            }
        }
        if statuses.is_some() {
            written.statuses = statuses;
            written.details = row.try_get(4)?;
            written.stored_first = row.try_get(5)?;
            written.stored_last = row.try_get(6)?;
            written.stored_at = row.try_get(7)?;
            written.owners = row.try_get(8)?;
        }
        Ok(written)
    }

    /// Which stream of the batch refused an append.
    fn refusing_stream(&self, index: usize) -> Option<usize> {
        self.order.get(self.detail(index)?).copied()
    }

    /// The index, from 0, of the stream or claim that refused an append.
    fn detail(&self, index: usize) -> Option<usize> {
        usize::try_from(self.details.get(index)? - 1).ok()
    }
}

/// A batch as parallel arrays, as `log_append` describes them.
#[derive(Default)]
struct Arrays<'a> {
    command_ids: Vec<Uuid>,
    /// `None` for a command that is not remembered.
    fingerprints: Vec<Option<i64>>,
    tenants: Vec<&'a str>,
    append_first: Vec<i64>,
    append_last: Vec<i64>,
    /// For each stream as it is sent, sorted, its place in the batch.
    order: Vec<usize>,
    write_append: Vec<i32>,
    write_stream: Vec<&'a str>,
    write_expected: Vec<i64>,
    write_events: Vec<i64>,
    some_new: bool,
    some_old: bool,
    event_write: Vec<i32>,
    event_place: Vec<i64>,
    event_version: Vec<i64>,
    event_ids: Vec<Uuid>,
    event_types: Vec<&'a str>,
    event_occurred: Vec<Option<Instant>>,
    event_json: Vec<bool>,
    event_data: Vec<&'a [u8]>,
    event_metadata: Vec<&'a [u8]>,
    claim_append: Vec<i32>,
    claim_tenant: Vec<&'a str>,
    claim_scope: Vec<&'a str>,
    claim_key: Vec<&'a str>,
    claim_stream: Vec<&'a str>,
    claim_take: Vec<bool>,
    number_append: Vec<i32>,
    number_event: Vec<i32>,
    number_counter: Vec<&'a str>,
    number_offset: Vec<i32>,
    back_dated: bool,
    opaque: bool,
}

impl<'a> Arrays<'a> {
    fn of(batch: &'a [Pending]) -> Self {
        let mut arrays = Self::default();
        let mut writes: Vec<(&str, &StreamWrite, i32)> = Vec::with_capacity(batch.len());
        for (pending, append) in batch.iter().zip(1..) {
            writes.extend(pending.append.writes.iter().map(|write| (pending.append.tenant.as_str(), write, append)));
        }
        arrays.order = (0..writes.len()).collect();
        let key = |place: usize| writes.get(place).map(|(tenant, write, _)| (*tenant, write.stream.as_str()));
        arrays.order.sort_unstable_by_key(|place| key(*place));
        let mut sent = vec![0; writes.len()];
        for (place, index) in arrays.order.clone().into_iter().zip(1..) {
            let (Some((_, write, append)), Some(sent)) = (writes.get(place), sent.get_mut(place)) else {
                continue;
            };
            *sent = index;
            arrays.write_append.push(*append);
            arrays.write_stream.push(&write.stream);
            arrays.write_expected.push(sent_version(write.expected));
            arrays.write_events.push(signed(write.events.len()));
            arrays.some_new |= write.expected == Expected::NoStream;
            arrays.some_old |= matches!(write.expected, Expected::Exact(_));
        }
        let mut sent = sent.into_iter();
        for (pending, append) in batch.iter().zip(1..) {
            arrays.append(&pending.append, append, &mut sent);
        }
        // Most batches occur now and are JSON: then these columns stay at home.
        if !arrays.back_dated {
            arrays.event_occurred.clear();
        }
        if !arrays.opaque {
            arrays.event_json.clear();
        }
        arrays
    }

    fn append(&mut self, append: &'a Append, index: i32, sent: &mut impl Iterator<Item = i32>) {
        self.command_ids.push(append.command_id);
        self.fingerprints.push(append.is_remembered().then_some(append.fingerprint));
        self.tenants.push(&append.tenant);
        self.append_first.push(signed(self.event_write.len()) + 1);
        for (write, index_of_write) in append.writes.iter().zip(sent) {
            let first = sent_version(write.expected).max(-1) + 1;
            for (event, version) in write.events.iter().zip(first..) {
                self.event_write.push(index_of_write);
                self.event_place.push(signed(self.event_write.len()));
                self.event_version.push(version);
                self.event_ids.push(event.id);
                self.event_types.push(&event.kind);
                self.event_occurred.push(event.occurred_at.map(Instant));
                self.back_dated |= event.occurred_at.is_some();
                self.event_json.push(event.is_json);
                self.opaque |= !event.is_json;
                self.event_data.push(&event.data);
                self.event_metadata.push(&event.metadata);
                if let Some(number) = &event.number {
                    self.number_append.push(index);
                    self.number_event.push(ordinal(self.event_write.len()));
                    self.number_counter.push(&number.counter);
                    self.number_offset.push(ordinal(number.offset));
                }
            }
        }
        self.append_last.push(signed(self.event_write.len()));
        for claim in &append.claims {
            self.claim_append.push(index);
            self.claim_tenant.push(if claim.global { "" } else { &append.tenant });
            self.claim_scope.push(&claim.scope);
            self.claim_key.push(&claim.key);
            self.claim_stream.push(&claim.stream);
            self.claim_take.push(claim.action == ClaimAction::Take);
        }
    }

    fn query(self, careful: bool, hint: bool) -> sqlx::query::Query<'a, sqlx::Postgres, sqlx::postgres::PgArguments> {
        sqlx::query(
            "select * from log_append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
             $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32)",
        )
        .bind(careful)
        .bind(hint)
        .bind(self.command_ids)
        .bind(self.fingerprints)
        .bind(self.tenants)
        .bind(self.append_first)
        .bind(self.append_last)
        .bind(self.write_append)
        .bind(self.write_stream)
        .bind(self.write_expected)
        .bind(self.write_events)
        .bind(self.some_new)
        .bind(self.some_old)
        .bind(self.event_write)
        .bind(self.event_place)
        .bind(self.event_version)
        .bind(self.event_ids)
        .bind(self.event_types)
        .bind(self.event_occurred)
        .bind(self.event_json)
        .bind(self.event_data)
        .bind(self.event_metadata)
        .bind(self.claim_append)
        .bind(self.claim_tenant)
        .bind(self.claim_scope)
        .bind(self.claim_key)
        .bind(self.claim_stream)
        .bind(self.claim_take)
        .bind(self.number_append)
        .bind(self.number_event)
        .bind(self.number_counter)
        .bind(self.number_offset)
    }
}

/// An expected version as `log_append` takes it.
fn sent_version(expected: Expected) -> i64 {
    match expected {
        Expected::Exact(version) => version,
        Expected::NoStream => -1,
        Expected::Any => -2,
        Expected::StreamExists => -4,
    }
}

/// Counts from 1, as PostgreSQL's arrays do; for an offset, the offset itself.
fn ordinal(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
