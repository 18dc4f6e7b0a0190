//! Runs bulks: one process takes a job, keeps its lease, and records each window of items.

use std::time::Duration;

use commands::{Accepted, Envelope, Refused};
use domain::{
    Rejection, Via, catalogue,
    data::bulk::{Bulk, Command, Counts, Request, Status},
};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{
    Outcome, Stop, command_id,
    store::{self, Item, Job, KEEP_EVERY},
    story, undo,
};
use crate::{app::App, auth::Caller};

/// Items that are recorded together.
const WINDOW: i64 = 256;
/// Items that are dealt with at once: the log writes them in common batches.
const CONCURRENT: usize = 64;
/// Bulks that a process runs at once.
const JOBS: usize = 4;
/// How often a runner looks for jobs that another process left.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long a job waits when something was out of reach.
const PAUSE: Duration = Duration::from_secs(5);
/// How often a command that others kept from being carried out is asked for again.
const PATIENCE: usize = 5;

/// Takes jobs until the system stops.
pub(crate) async fn run(app: App) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = app.bulks.notified() => {}
            Some(_) = running.join_next() => {}
            () = app.stopping.cancelled() => break,
        }
        while running.len() < JOBS {
            let runner = Uuid::now_v7();
            match store::claim(&app.pool, runner).await {
                Ok(Some(job)) => drop(running.spawn(Runner { app: app.clone(), runner, job }.work())),
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, "cannot look for bulks");
                    break;
                }
            }
        }
    }
    while running.join_next().await.is_some() {}
}

/// Waits until no bulk is to be worked at.
pub(crate) async fn idle(pool: &PgPool) -> sqlx::Result<()> {
    while store::busy(pool).await? {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

struct Runner {
    app: App,
    runner: Uuid,
    job: Job,
}

impl Runner {
    async fn work(self) {
        let bulk = self.job.bulk;
        let stop = tokio::select! {
            outcome = self.carry_out() => outcome,
            lost = self.keep_lease() => Err(lost),
        };
        let settled = match stop {
            Ok(counts) => self.complete(counts).await,
            Err(Stop::Never(reason)) => self.fail(reason).await,
            Err(Stop::Halted) => self.rest("halted", None).await,
            Err(Stop::Ended) => self.rest("ended", None).await,
            Err(stop) => Err(stop),
        };
        let pause = match settled {
            Ok(()) => return,
            Err(Stop::Later(why)) => {
                tracing::warn!(%bulk, why, "a bulk is interrupted; it goes on later");
                PAUSE
            }
            Err(_) => Duration::ZERO,
        };
        if let Err(error) = store::release(&self.app.pool, self.runner, &self.job, pause).await {
            tracing::warn!(%bulk, %error, "cannot give a bulk back; its lease will run out");
        }
    }

    /// Ends only when the lease is lost or the system stops.
    async fn keep_lease(&self) -> Stop {
        loop {
            tokio::select! {
                () = tokio::time::sleep(KEEP_EVERY) => {}
                () = self.app.stopping.cancelled() => return Stop::Elsewhere,
            }
            match store::keep(&self.app.pool, self.runner, &self.job).await {
                Ok(true) => {}
                Ok(false) => return Stop::Elsewhere,
                // The lease may last until the database is back; a checkpoint finds out.
                Err(error) => tracing::warn!(%error, "cannot keep the lease of a bulk"),
            }
        }
    }

    /// What this bulk itself records.
    fn envelope(&self, what: &str) -> Envelope {
        let Job { tenant, bulk, actor, .. } = &self.job;
        let mut envelope = Envelope::new(*tenant, *bulk, actor.clone(), Via::Api, self.app.now());
        // Of this attempt: one that is resumed may fail again.
        envelope.command_id = Uuid::new_v5(&story(*bulk), format!("{what} {}", self.runner).as_bytes());
        envelope.correlation_id = Some(story(*bulk));
        envelope
    }

    async fn complete(&self, counts: Counts) -> Result<(), Stop> {
        match self.app.commands.dispatch::<Bulk>(&self.envelope("complete"), Command::Complete { counts }).await {
            Ok(_) => {}
            // Halted or cancelled at the last moment: that stands.
            Err(Refused::Rejected(_)) => return Err(self.check_running().await.err().unwrap_or(Stop::Ended)),
            Err(refused) => return Err(refused.into()),
        }
        let Counts { items, applied, unchanged, refused, events } = counts;
        tracing::info!(bulk = %self.job.bulk, items, applied, unchanged, refused, events, "a bulk is complete");
        self.rest("ended", None).await
    }

    async fn fail(&self, reason: String) -> Result<(), Stop> {
        tracing::warn!(bulk = %self.job.bulk, reason, "a bulk failed");
        let fail = Command::Fail { reason: reason.clone() };
        match self.app.commands.dispatch::<Bulk>(&self.envelope("fail"), fail).await {
            Ok(_) | Err(Refused::Rejected(_)) => {}
            Err(refused) => return Err(refused.into()),
        }
        self.rest("ended", Some(&reason)).await
    }

    /// Rests the job, as the log has its bulk.
    async fn rest(&self, state: &str, reason: Option<&str>) -> Result<(), Stop> {
        store::rest(&self.app.pool, &self.job, state, reason).await?;
        // Whoever resumed it meanwhile found the job still at work, and left it alone.
        if self.bulk().await?.status == Status::Running {
            store::ready(&self.app.pool, self.job.tenant, self.job.bulk).await?;
            self.app.bulks.notify_one();
        }
        Ok(())
    }

    /// The bulk as the log has it: another process may have changed that a moment ago.
    async fn bulk(&self) -> Result<std::sync::Arc<Bulk>, Stop> {
        Ok(self.app.commands.load_current::<Bulk>(self.job.tenant, self.job.bulk).await?.0)
    }

    async fn check_running(&self) -> Result<Box<Request>, Stop> {
        let bulk = self.bulk().await?;
        match bulk.status {
            Status::Running => bulk.request.clone().ok_or(Stop::Ended),
            Status::Paused => Err(Stop::Halted),
            Status::Cancelled | Status::Failed | Status::Completed => Err(Stop::Ended),
            // Nobody asked in the end.
            Status::Missing => {
                store::discard(&self.app.pool, self.job.tenant, self.job.bulk).await?;
                Err(Stop::Elsewhere)
            }
        }
    }

    async fn carry_out(&self) -> Result<Counts, Stop> {
        let job = &self.job;
        let request = self.check_running().await?;
        if let (Some(undone), None) = (&request.undoes, job.progress.items_total) {
            let items = undo::items(&self.app, job, undone).await?;
            store::replace(&self.app.pool, job, &items).await?;
        }
        let mut counts = job.progress.counts;
        let mut interrupted = job.attempt;
        loop {
            let done = i64::try_from(counts.items).unwrap_or(i64::MAX);
            let window = store::window(&self.app.pool, job, done, WINDOW).await?;
            if window.is_empty() {
                return Ok(counts);
            }
            self.check_running().await?;
            // What he may now counts, not what he might when he asked.
            let Some(caller) = self.app.standing(job.tenant, &job.actor, job.key).await? else {
                let reason = "whoever asked for it is no longer let in: the user is deactivated, or the key revoked";
                return Err(Stop::Never(reason.into()));
            };
            let was_interrupted = std::mem::take(&mut interrupted);
            let dealt_with = stream::iter(window)
                .map(|item| {
                    let (caller, request) = (&caller, &request);
                    async move {
                        let outcome = self.deal_with(caller, request, &item, was_interrupted).await?;
                        Ok::<_, Stop>((item.number, outcome))
                    }
                })
                .buffered(CONCURRENT);
            let outcomes: Vec<(i64, Outcome)> = dealt_with.try_collect().await?;
            for (_, outcome) in &outcomes {
                counts.items += 1;
                match outcome {
                    Outcome::Applied { events, .. } => {
                        counts.applied += 1;
                        counts.events += events.len() as u64;
                    }
                    Outcome::Unchanged => counts.unchanged += 1,
                    Outcome::Refused { .. } => counts.refused += 1,
                }
            }
            if !store::checkpoint(&self.app.pool, self.runner, job, &counts, &outcomes).await? {
                return Err(Stop::Elsewhere);
            }
        }
    }

    async fn deal_with(
        &self,
        caller: &Caller,
        request: &Request,
        item: &Item,
        was_interrupted: bool,
    ) -> Result<Outcome, Stop> {
        let Job { tenant, bulk, actor, .. } = &self.job;
        let mut envelope = Envelope::new(*tenant, item.record, actor.clone(), Via::Api, self.app.now());
        envelope.authority = caller.authority.clone();
        envelope.correlation_id = Some(story(*bulk));
        envelope.must_exist = true;
        envelope.dry_run = request.dry_run;
        if !request.dry_run {
            envelope.command_id = command_id(*bulk, item.number);
            envelope.remember = true;
        }
        let dealt_with = if request.undoes.is_some() {
            if was_interrupted
                && !request.dry_run
                && let Some(stored) = self.carried_out_before(&envelope, item).await?
            {
                return Ok(stored);
            }
            undo::take_back(&self.app, caller, &envelope, item).await?
        } else {
            self.issue(caller, &envelope, request, item).await?
        };
        Ok(match dealt_with {
            Ok(accepted) => applied(&accepted, request.dry_run),
            Err(outcome) => outcome,
        })
    }

    /// The answer that an item got before this bulk was interrupted.
    async fn carried_out_before(&self, envelope: &Envelope, item: &Item) -> Result<Option<Outcome>, Stop> {
        let Some(stored) = self.app.log.stored_command(envelope.command_id).await? else { return Ok(None) };
        if stored.last_position < stored.first_position {
            return Ok(Some(Outcome::Unchanged));
        }
        let positions: Vec<i64> = (stored.first_position..=stored.last_position).collect();
        let events = self.app.log.read_positions(&envelope.tenant.to_string(), &positions).await?;
        let of = format!("{}-{}", item.kind, item.record);
        let events = events.iter().map(|event| told(&event.kind, (*event.stream != *of).then_some(&*event.stream)));
        Ok(Some(Outcome::Applied { events: events.collect(), position: stored.last_position }))
    }

    /// Gives a record the command of this bulk.
    async fn issue(
        &self,
        caller: &Caller,
        envelope: &Envelope,
        request: &Request,
        item: &Item,
    ) -> Result<Result<Accepted, Outcome>, Stop> {
        let name = request.command.as_deref().unwrap_or_default();
        let permission = format!("{}.{name}", item.kind);
        if !caller.may(&permission) {
            let denied = domain::org::authority::DENIED.because(format!("This needs the permission {permission}."));
            return Ok(Err(denied.into()));
        }
        let body = Value::Object(request.body.clone());
        for _ in 0..PATIENCE {
            match self.app.commands.issue(envelope, &item.kind, name, body.clone()).await {
                Err(Refused::Busy) => tokio::task::yield_now().await,
                Ok(accepted) => return Ok(Ok(accepted)),
                Err(Refused::Rejected(rejection)) => return Ok(Err(rejection.into())),
                Err(Refused::Absent) => return Ok(Err(absent(&item.kind).into())),
                Err(refused) => return Err(refused.into()),
            }
        }
        Err(Stop::Later("others change a record all the time".into()))
    }
}

/// There is no such record, or whoever asks does not see it.
fn absent(kind: &str) -> Rejection {
    let called = catalogue::kind(kind).map_or(kind, |kind| kind.name).replace('_', " ");
    Rejection {
        code: format!("{kind}_unknown").into(),
        ..Rejection::missing("unknown", "").because(format!("There is no such {called}."))
    }
}

fn told(event_type: &str, stream: Option<&str>) -> Value {
    match stream {
        Some(stream) => json!({ "type": event_type, "stream": stream }),
        None => json!({ "type": event_type }),
    }
}

/// What came of a command: types of events, with their data where they are not in the log.
fn applied(accepted: &Accepted, dry_run: bool) -> Outcome {
    if accepted.events.is_empty() {
        return Outcome::Unchanged;
    }
    let events = accepted.events.iter().map(|event| {
        let mut said = told(&event.kind, event.stream.as_deref());
        if dry_run {
            let data = catalogue::told(&event.kind, &event.data);
            said["data"] = serde_json::from_str(data.get()).unwrap_or_default();
        }
        said
    });
    Outcome::Applied { events: events.collect(), position: accepted.position }
}
