//! Carries out the runs of rules that are due: chooses who, issues the commands, records what came of it.
//!
//! Every step leaves a trace that makes it safe to take again: who was chosen and what is to be done is recorded before
//! anything is done, each command has an id that follows from the run and its place, and the end is recorded last.

use std::{collections::HashMap, sync::Arc};

use domain::{
    Actor, ActorKind, Aggregate, Authority, Id, Time, Via,
    kernel::reference::Subject,
    org::{field::Field, tenant::Tenant},
    work::{
        automation::{Compiled, CustomTypes, Dispatch, Preparation, Scene, Trigger},
        rule::{self, Definition, Rule},
        rule_run::{Asked, CancelReason, Command, RuleRun, Status},
    },
};
use eventstore::{Direction, Recorded};
use futures::FutureExt;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::{
    Accepted, Cause, Commands, Envelope, Refused,
    acting::{Due, Fired, Shared, at_once, command_id},
    directory::Directory,
    dispatch::event_id,
    scene::{self, Now},
};

/// Tenants whose colleagues are kept in memory.
const DIRECTORIES: usize = 1000;
/// Versions of rules that are kept in memory.
const VERSIONS: usize = 10_000;

/// Carries runs out.
pub(crate) struct Runs {
    commands: Commands,
    shared: Arc<Shared>,
    directories: Mutex<HashMap<Id, Arc<tokio::sync::Mutex<Directory>>>>,
    /// A version of a rule never changes.
    versions: quick_cache::sync::Cache<(Id, Id, u32), Arc<Compiled>>,
    authorities: quick_cache::sync::Cache<(Id, Id, u32), Authority>,
}

/// Why a run does not go on.
enum Halt {
    /// There is nothing to do any more.
    Over,
    /// Something is out of reach.
    Later(String),
    /// It cannot be carried out as things stand.
    Failed(String),
}

impl From<Refused> for Halt {
    fn from(refused: Refused) -> Halt {
        match refused {
            Refused::Unavailable(_) | Refused::Away(_) | Refused::StorageFull | Refused::Busy => {
                Halt::Later(refused.to_string())
            }
            refused => Halt::Failed(refused.to_string()),
        }
    }
}

impl From<eventstore::Error> for Halt {
    fn from(error: eventstore::Error) -> Halt {
        Halt::Later(error.to_string())
    }
}

/// A run that waits to be carried out.
struct Run<'a> {
    due: &'a Due,
    asked: Asked,
    attempts: u32,
    stage: Stage,
}

enum Stage {
    /// It is not clear yet who does what.
    Asked(Box<Sight>),
    /// It is, and which event says so.
    Prepared(Arc<Preparation>, Cause),
    /// It ends here.
    Halted(Halt),
}

/// What is looked at to prepare a run.
struct Sight {
    rule: Arc<Compiled>,
    trigger: Trigger,
    scene: Scene,
}

impl Commands {
    /// What a version of a rule says, whatever became of the rule since: its trigger, its definition, and what its commands
    /// may do.
    ///
    /// # Errors
    /// When the log cannot be read, or the rule cannot be understood.
    pub async fn rule_version(
        &self,
        tenant: Id,
        rule: Id,
        version: u32,
    ) -> Result<Option<(String, Definition, Authority)>, Refused> {
        let stream = Rule::stream(rule);
        let events = self.log().read_stream(&tenant.to_string(), &stream, 0, Direction::Forward, i64::MAX).await;
        let mut trigger = String::new();
        for event in events? {
            match Rule::decode(&event.kind, &event.data) {
                Ok(rule::Event::Created { trigger: named, .. }) => trigger = named,
                Ok(rule::Event::VersionPublished { version: number, definition, authority }) if number == version => {
                    let authority = definition.authority(authority.as_ref());
                    return Ok(Some((trigger, definition, authority)));
                }
                Ok(_) => {}
                Err(error) => return Err(Refused::Broken(format!("{stream} does not decode: {error}"))),
            }
        }
        Ok(None)
    }
}

impl Runs {
    pub(crate) fn new(commands: Commands, shared: Arc<Shared>) -> Runs {
        let (versions, authorities) =
            (quick_cache::sync::Cache::new(VERSIONS), quick_cache::sync::Cache::new(VERSIONS));
        Runs { commands, shared, directories: Mutex::default(), versions, authorities }
    }

    /// Carries out runs of one tenant; what came of each, in their order.
    pub(crate) async fn carry_out(&self, tenant: Id, due: &[Due]) -> Vec<Fired> {
        let mut runs = at_once(due.iter().map(|due| self.look(tenant, due).boxed()).collect()).await;
        if let Err(halt) = self.prepare(tenant, &mut runs).await {
            let why = match halt {
                Halt::Later(why) | Halt::Failed(why) => why,
                Halt::Over => String::new(),
            };
            tracing::warn!(%tenant, why, "runs of rules cannot be prepared now");
            self.directories.lock().remove(&tenant);
            for run in runs.iter_mut().filter(|run| matches!(run.stage, Stage::Asked(_))) {
                run.stage = Stage::Halted(Halt::Later(why.clone()));
            }
        }
        at_once(runs.into_iter().map(|run| self.act(tenant, run).boxed()).collect()).await
    }

    /// How far a run is, and what is to be seen to take it further.
    async fn look<'a>(&self, tenant: Id, due: &'a Due) -> Run<'a> {
        let nothing = Asked {
            rule: Id::NIL,
            version: 0,
            trigger: domain::work::automation::TriggerRef {
                event_id: String::new(),
                position: 0,
                event_type: String::new(),
                subject: Subject::new("", Id::NIL),
                person: None,
            },
            trace: Vec::new(),
        };
        let halted = |halt| Run { due, asked: nothing, attempts: 0, stage: Stage::Halted(halt) };
        let (run, _) = match self.commands.load::<RuleRun>(tenant, due.record).await {
            Ok(loaded) => loaded,
            Err(refused) => return halted(Halt::Later(refused.to_string())),
        };
        let waits = run.due_at.is_some_and(|due_at| due_at > (self.shared.clock)());
        let Some(asked) = run.asked.clone().filter(|_| run.status == Status::Pending && !waits) else {
            return halted(Halt::Over);
        };
        let stage = match &run.preparation {
            Some(preparation) => self.prepared(tenant, due, preparation.clone()).await,
            None => self.sight(tenant, due, &asked).await.map(|sight| Stage::Asked(Box::new(sight))),
        };
        Run { due, asked, attempts: run.attempts, stage: stage.unwrap_or_else(Stage::Halted) }
    }

    /// A run that was prepared before: by which event.
    async fn prepared(&self, tenant: Id, due: &Due, preparation: Preparation) -> Result<Stage, Halt> {
        let events = self.events(tenant, &RuleRun::stream(due.record)).await?;
        let prepared = events.iter().find(|event| &*event.kind == "rule_run.prepared");
        let prepared = prepared.ok_or_else(|| Halt::Later("the event that prepared it is not there yet".into()))?;
        let cause = Cause { event: prepared.id, position: prepared.position, ..due.cause };
        Ok(Stage::Prepared(Arc::new(preparation), cause))
    }

    async fn events(&self, tenant: Id, stream: &str) -> Result<Vec<Recorded>, eventstore::Error> {
        self.commands.log().read_stream(&tenant.to_string(), stream, 0, Direction::Forward, i64::MAX).await
    }

    async fn sight(&self, tenant: Id, due: &Due, asked: &Asked) -> Result<Sight, Halt> {
        let rule = self.version(tenant, asked.rule, asked.version).await?;
        let position = i64::try_from(asked.trigger.position).unwrap_or_default();
        let events = self.commands.log().read_positions(&tenant.to_string(), &[position]).await?;
        let trigger = events.first().and_then(|event| scene::trigger(event, &scene::metadata(event)?));
        let trigger = trigger.ok_or_else(|| Halt::Failed("the event that triggered it cannot be read".into()))?;
        let scene = scene::scene(&mut Now { commands: &self.commands, tenant }, &trigger, &[&rule]).await?;
        if rule.definition.recheck && rule.definition.delay_s > 0 {
            let (holds, trace) = rule.explain(&scene);
            if !holds {
                let cancel = Command::Cancel { reason: CancelReason::Recheck, event: None, trace };
                self.record(tenant, due, asked.rule, "cancel", cancel).await?;
                self.shared.metrics.runs("cancelled", 1);
                return Err(Halt::Over);
            }
        }
        Ok(Sight { rule, trigger, scene })
    }

    /// A version of a rule, whatever became of the rule since.
    async fn version(&self, tenant: Id, rule: Id, version: u32) -> Result<Arc<Compiled>, Halt> {
        if let Some(known) = self.versions.get(&(tenant, rule, version)) {
            return Ok(known);
        }
        let published = self.commands.rule_version(tenant, rule, version).await?;
        let missing = || Halt::Failed("the version of the rule is not there".into());
        let (trigger, definition, _) = published.ok_or_else(missing)?;
        // Fields may have been retired since; what they hold is still there.
        let (settings, _) = self.commands.load::<Tenant>(tenant, tenant).await?;
        let mut custom = CustomTypes::of(settings.default_country());
        for kind in rule::kinds_with_custom_fields(&trigger) {
            let (field, _) = self.commands.load::<Field>(tenant, Field::id_for(tenant, kind)).await?;
            custom.extend(rule::custom_types_of(kind, &field, true));
        }
        let compiled = Compiled::new(rule, version, 0, &trigger, definition, custom).map_err(|problems| {
            let detail = problems.into_iter().map(|problem| problem.detail).collect::<Vec<_>>().join(" ");
            Halt::Failed(format!("the rule makes no sense any more: {detail}"))
        })?;
        let compiled = Arc::new(compiled);
        self.versions.insert((tenant, rule, version), Arc::clone(&compiled));
        Ok(compiled)
    }

    /// What the commands of a version of a rule may do.
    async fn authority(&self, tenant: Id, rule: Id, version: u32) -> Result<Authority, Halt> {
        if let Some(known) = self.authorities.get(&(tenant, rule, version)) {
            return Ok(known);
        }
        let published = self.commands.rule_version(tenant, rule, version).await?;
        let authority = published.map_or_else(Authority::none, |(_, _, authority)| authority);
        self.authorities.insert((tenant, rule, version), authority.clone());
        Ok(authority)
    }

    fn directory(&self, tenant: Id) -> Arc<tokio::sync::Mutex<Directory>> {
        let mut directories = self.directories.lock();
        if directories.len() >= DIRECTORIES && !directories.contains_key(&tenant) {
            directories.clear();
        }
        let directory = directories.entry(tenant);
        Arc::clone(directory.or_insert_with(|| Arc::new(tokio::sync::Mutex::new(Directory::new(tenant)))))
    }

    /// Chooses who does what, for one run of the tenant after the other, wherever they are prepared: each sees what those
    /// before it gave whom.
    async fn prepare(&self, tenant: Id, runs: &mut [Run<'_>]) -> Result<(), Halt> {
        if !runs.iter().any(|run| matches!(run.stage, Stage::Asked(_))) {
            return Ok(());
        }
        let later = |error: sqlx::Error| Halt::Later(error.to_string());
        let directory = self.directory(tenant);
        let mut directory = directory.lock().await;
        let log = self.commands.log();
        let mut transaction = log.pool().begin().await.map_err(later)?;
        sqlx::query("select pg_advisory_xact_lock(hashtextextended($1, 0))")
            .bind(format!("rule_runs of {tenant}"))
            .execute(&mut *transaction)
            .await
            .map_err(later)?;
        // A statement of its own after the lock: whoever had it before has committed.
        directory.catch_up(log, log.head().await?).await?;
        let at = (self.shared.clock)();
        let mut prepared = Vec::new();
        for (place, run) in runs.iter().enumerate() {
            let Stage::Asked(sight) = &run.stage else { continue };
            if directory.expects(run.due.record) {
                // Prepared by another process just now; its next firing goes on from there.
                prepared.push((place, None));
                continue;
            }
            let last = directory.last(run.asked.rule);
            let preparation = sight.rule.prepare(
                &sight.trigger,
                &sight.scene,
                &directory.people_for(&sight.rule, &sight.scene),
                last,
                at,
            );
            let followed = scene::followed(&mut Now { commands: &self.commands, tenant }, preparation.clone()).await;
            let preparation = match followed {
                // Whoever is asked to do it will say what is wrong.
                Err(Refused::Broken(_)) => preparation,
                followed => followed?,
            };
            directory.expect(run.due.record, run.asked.rule, &preparation);
            prepared.push((place, Some(preparation)));
        }
        let record = prepared.into_iter().map(|(place, preparation): (usize, Option<Preparation>)| {
            let run = &runs[place];
            async move {
                let Some(preparation) = preparation else { return (place, Err(Halt::Over)) };
                let command = Command::Prepare(preparation.clone());
                let accepted = self.record(tenant, run.due, run.asked.rule, "prepare", command).await;
                (place, accepted.map(|accepted| (preparation, accepted)))
            }
            .boxed()
        });
        let recorded = at_once(record.collect()).await;
        let mut in_doubt = false;
        for (place, outcome) in recorded {
            let run = &mut runs[place];
            run.stage = match outcome {
                Ok((preparation, accepted)) if !accepted.events.is_empty() => {
                    let command = self.command_id(run.due, "prepare");
                    let cause = Cause { event: event_id(command, 1), position: accepted.position, ..run.due.cause };
                    Stage::Prepared(Arc::new(preparation), cause)
                }
                // Somebody else has prepared it: what was decided first stays decided.
                Ok(_) => {
                    directory.give_up(run.due.record);
                    Stage::Halted(Halt::Over)
                }
                Err(halt) => {
                    in_doubt |= matches!(halt, Halt::Later(_));
                    directory.give_up(run.due.record);
                    Stage::Halted(halt)
                }
            };
        }
        drop(directory);
        if in_doubt {
            self.directories.lock().remove(&tenant);
        }
        transaction.commit().await.map_err(later)
    }

    /// Issues the commands of a run and records how it ended.
    async fn act(&self, tenant: Id, run: Run<'_>) -> Fired {
        let Run { due, asked, attempts, stage } = run;
        let outcome = match stage {
            Stage::Prepared(preparation, cause) => {
                self.issue_all(tenant, due.record, &asked, &preparation.actions, &cause).await
            }
            Stage::Halted(halt) => Err(halt),
            Stage::Asked(_) => Err(Halt::Later("not prepared yet".into())),
        };
        let ended = match outcome {
            Ok(produced) => {
                let executed = self.record(tenant, due, asked.rule, "execute", Command::Execute { produced }).await;
                executed.inspect(|_| self.shared.metrics.runs("executed", 1))
            }
            Err(Halt::Failed(error)) => self.fail(tenant, due, asked.rule, attempts + 1, error).await,
            Err(halt) => Err(halt),
        };
        match ended {
            Ok(_) => Fired::Done,
            Err(Halt::Over) => Fired::Nothing,
            Err(Halt::Later(why) | Halt::Failed(why)) => {
                tracing::debug!(%tenant, run = %due.record, why, "a run of a rule is carried out later");
                Fired::Later
            }
        }
    }

    async fn issue_all(
        &self,
        tenant: Id,
        run: Id,
        asked: &Asked,
        actions: &[Dispatch],
        cause: &Cause,
    ) -> Result<Vec<Subject>, Halt> {
        let authority = self.authority(tenant, asked.rule, asked.version).await?;
        let mut produced: Vec<Subject> = Vec::new();
        for (index, action) in actions.iter().enumerate() {
            let envelope =
                Envelope::new(tenant, action.id, in_the_name_of(asked.rule), Via::Rule, (self.shared.clock)());
            let envelope = Envelope {
                authority: authority.clone(),
                command_id: Uuid::from_u128(Dispatch::command_id(run, index).bits()),
                remember: true,
                ..envelope.caused_by(cause)
            };
            let issued = self.commands.issue(&envelope, &action.kind, &action.command, action.body.0.clone()).await;
            issued.map_err(|refused| match Halt::from(refused) {
                Halt::Failed(error) => Halt::Failed(format!("{} {}: {error}", action.kind, action.command)),
                halt => halt,
            })?;
            let subject = Subject::new(&action.kind, action.id);
            if !produced.contains(&subject) {
                produced.push(subject);
            }
        }
        Ok(produced)
    }

    async fn fail(&self, tenant: Id, due: &Due, rule: Id, attempt: u32, error: String) -> Result<Accepted, Halt> {
        tracing::warn!(%tenant, run = %due.record, attempt, error, "a run of a rule failed");
        let failed = self.record(tenant, due, rule, "fail", Command::Fail { attempt, error }).await?;
        let parked = failed.events.iter().any(|event| event.kind == "rule_run.parked");
        self.shared.metrics.runs(if parked { "parked" } else { "failed" }, 1);
        Ok(failed)
    }

    /// One id for each step of each firing: a second one changes nothing.
    fn command_id(&self, due: &Due, step: &str) -> Uuid {
        command_id(&["timer", due.kind.name(), step, &due.record.to_string(), &due.cause.event.to_string()])
    }

    async fn record(&self, tenant: Id, due: &Due, rule: Id, step: &str, command: Command) -> Result<Accepted, Halt> {
        let now: Time = (self.shared.clock)();
        let envelope = Envelope::new(tenant, due.record, in_the_name_of(rule), Via::Timer, now).caused_by(&due.cause);
        let envelope = Envelope { command_id: self.command_id(due, step), ..envelope };
        match self.commands.dispatch::<RuleRun>(&envelope, command).await {
            Ok(accepted) => Ok(accepted),
            // Over or called off meanwhile.
            Err(Refused::Rejected(_)) => Err(Halt::Over),
            Err(refused) => Err(Halt::Later(refused.to_string())),
        }
    }
}

fn in_the_name_of(rule: Id) -> Actor {
    Actor { kind: ActorKind::Rule, id: rule, on_behalf_of: None }
}
