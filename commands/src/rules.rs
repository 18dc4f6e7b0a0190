//! The reactor of rules: asks a tenant's rules about every event, and records what each of them says.
//!
//! It only records; what a rule that matched has done is the business of timers. Rules and records are seen as of the
//! event, so that whoever asks again, after a crash or from the first event on, gets the same answers; and a run whose id
//! follows from rule, version and event exists once.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use domain::{
    Actor, ActorKind, Aggregate, Id, Metadata, Time, Via,
    kernel::reference::Subject,
    org::{field::Field, settings::FEATURE_DISABLED, tenant::Tenant},
    work::{
        automation::{self, Answer, Compiled, CustomTypes, MAX_CAUSATION_DEPTH, Trigger, TriggerRef, concerned},
        rule::{self, Rule},
        rule_run::{self, Asked, CancelReason, RuleRun, SkipReason},
    },
};
use eventstore::{Failure, Handler, Log, Query, Recorded};
use futures::{StreamExt, TryStreamExt, stream};
use sqlx::PgConnection;

use crate::{
    Cause, Commands, Envelope, Refused,
    acting::{Shared, command_id},
    scene::{self, Eyes, World},
};

/// Commands under way at once: the log writes them in common batches.
const CONCURRENT: usize = 64;
/// Records of all tenants that are kept in memory.
const RECORDS: usize = 20_000;
/// Events read at once.
const PAGE: i64 = 4096;

/// The rules of one tenant at a position of the log.
#[derive(Default)]
pub(crate) struct RuleBook {
    rules: BTreeMap<Id, Rule>,
    fields: HashMap<Id, Field>,
    /// Which features are on.
    settings: Tenant,
    /// By trigger, as far as somebody has asked since they last changed.
    ready: HashMap<String, Arc<Vec<Compiled>>>,
    /// Types of events that call runs off, of all versions there ever were.
    cancels: HashSet<String>,
}

impl RuleBook {
    /// Of a tenant, with everything up to a position.
    pub(crate) async fn load(log: &Log, tenant: &str, until: i64) -> Result<RuleBook, eventstore::Error> {
        let mut book = RuleBook::default();
        let mut after = 0;
        loop {
            let query = Query {
                tenant: Some(tenant.to_owned()),
                after: Some(after),
                until: Some(until),
                limit: PAGE,
                categories: RuleBook::CATEGORIES.map(ToOwned::to_owned).to_vec(),
                ..Query::default()
            };
            let page = log.read_all(&query).await?;
            page.iter().for_each(|event| book.take_in(event));
            match page.last() {
                Some(last) if page.len() as i64 == PAGE => after = last.position,
                _ => return Ok(book),
            }
        }
    }

    /// The kinds of record whose events it folds.
    pub(crate) const CATEGORIES: [&str; 3] = [Rule::KIND, Field::KIND, Tenant::KIND];

    /// Moves on by an event. A rule that cannot be understood does not work.
    pub(crate) fn take_in(&mut self, event: &Recorded) {
        let Ok(id) = event.key().parse::<Id>() else { return };
        match event.category() {
            Rule::KIND => match Rule::decode(&event.kind, &event.data) {
                Ok(happened) => {
                    if let rule::Event::VersionPublished { definition, .. } = &happened {
                        self.cancels.extend(definition.cancel_on.iter().cloned());
                    }
                    self.rules.entry(id).or_default().evolve(&happened);
                }
                Err(error) => {
                    tracing::warn!(rule = %id, position = event.position, %error, "a rule cannot be understood");
                    self.rules.remove(&id);
                }
            },
            Field::KIND => {
                if let Ok(happened) = Field::decode(&event.kind, &event.data) {
                    self.fields.entry(id).or_default().evolve(&happened);
                }
            }
            Tenant::KIND => {
                if let Ok(happened) = Tenant::decode(&event.kind, &event.data) {
                    self.settings.evolve(&happened);
                }
            }
            _ => return,
        }
        self.ready.clear();
    }

    /// The rules that work and have this trigger.
    pub(crate) fn with_trigger(&mut self, tenant: Id, trigger: &str) -> Arc<Vec<Compiled>> {
        if let Some(ready) = self.ready.get(trigger) {
            return Arc::clone(ready);
        }
        let working = |rule: &Rule| rule.is_working() && rule.trigger == trigger;
        let mut ready = Vec::new();
        let on = self.settings.missing_feature(Rule::KIND).is_none();
        if on && self.rules.values().any(working) {
            let custom = self.custom_types(tenant, trigger);
            for (id, rule) in self.rules.iter().filter(|(_, rule)| working(rule)) {
                match rule.compile(*id, custom.clone()) {
                    Some(compiled) => ready.push(compiled),
                    None => tracing::warn!(rule = %id, "a rule does not fit what it asks about any more"),
                }
            }
        }
        let ready = Arc::new(ready);
        self.ready.insert(trigger.to_owned(), Arc::clone(&ready));
        ready
    }

    fn custom_types(&self, tenant: Id, trigger: &str) -> CustomTypes {
        let mut types = CustomTypes::of(self.settings.default_country());
        for kind in rule::kinds_with_custom_fields(trigger) {
            if let Some(field) = self.fields.get(&Field::id_for(tenant, kind)) {
                types.extend(rule::custom_types_of(kind, field, false));
            }
        }
        types
    }

    fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

/// The reactor.
pub(crate) struct Rules {
    commands: Commands,
    shared: Arc<Shared>,
    /// Everything up to here is in what is kept in memory.
    reached: i64,
    books: HashMap<Arc<str>, RuleBook>,
    world: World,
}

/// What follows from a batch.
#[derive(Default)]
struct Work {
    asked: Vec<(Envelope, rule_run::Command)>,
    cancelled: Vec<(Envelope, rule_run::Command)>,
    /// By tenant, runs that are over.
    over: Vec<(String, String)>,
}

impl Rules {
    /// Of its subscription: read models have the plain names.
    pub(crate) const NAME: &'static str = "react_rules";

    pub(crate) fn new(commands: Commands, shared: Arc<Shared>) -> Rules {
        let world = World::new(&commands, RECORDS);
        Rules { commands, shared, reached: 0, books: HashMap::new(), world }
    }

    fn forget(&mut self) {
        self.books.clear();
        self.world.clear();
    }

    /// Moves the tenant's rules and records on by an event; whether the tenant has any rule.
    async fn take_in(&mut self, event: &Recorded) -> Result<bool, Failure> {
        let has_rules = match self.books.get_mut(&event.tenant) {
            Some(book) => {
                book.take_in(event);
                !book.is_empty()
            }
            None => {
                let book = RuleBook::load(self.commands.log(), &event.tenant, event.position).await.map_err(store)?;
                let has_rules = !book.is_empty();
                self.books.insert(Arc::clone(&event.tenant), book);
                has_rules
            }
        };
        self.world.take_in(event, has_rules);
        Ok(has_rules)
    }

    async fn consider(
        &mut self,
        transaction: &mut PgConnection,
        event: &Recorded,
        work: &mut Work,
    ) -> Result<(), Failure> {
        let Some(book) = self.books.get_mut(&event.tenant) else { return Ok(()) };
        let Ok(tenant) = event.tenant.parse::<Id>() else { return Ok(()) };
        if matches!(&*event.kind, "rule_run.executed" | "rule_run.cancelled") && !book.cancels.is_empty() {
            work.over.push((event.tenant.to_string(), event.key().to_owned()));
        }
        let rules = book.with_trigger(tenant, &event.kind);
        let cancels = book.cancels.contains(&*event.kind);
        if !book.cancels.is_empty() {
            self.regroup(transaction, tenant, event).await?;
        }
        if rules.is_empty() && !cancels {
            return Ok(());
        }
        // What other programs wrote into the log triggers nothing.
        let Some(metadata) = scene::metadata(event) else { return Ok(()) };
        let Some(trigger) = scene::trigger(event, &metadata) else { return Ok(()) };
        if cancels {
            self.cancel(transaction, tenant, event, &metadata, &trigger, work).await?;
        }
        // What an import tells is history: nobody is to call a customer of three years ago.
        if rules.is_empty() || metadata.via == Via::Import || metadata.depth > MAX_CAUSATION_DEPTH {
            return Ok(());
        }
        let cause = scene::cause(event, &metadata, 1);
        let now = event.recorded_at;
        if metadata.depth == MAX_CAUSATION_DEPTH {
            for (run, rule, command) in too_deep(&rules, &trigger) {
                work.asked.push((envelope(tenant, run, rule, &cause, now), command));
            }
            return Ok(());
        }
        let mut eyes = self.world.at(&event.tenant, event.position);
        let scene = scene::scene(&mut eyes, &trigger, &rules.iter().collect::<Vec<_>>()).await;
        let scene = scene.map_err(|refused| poison(event, refused))?;
        for answer in automation::ask(rules.iter(), &trigger, &scene) {
            let command = answer.command();
            if matches!(command, rule_run::Command::Match { .. }) && !answer.rule.definition.cancel_on.is_empty() {
                let survivor = scene::survivor(&mut eyes, &trigger.subject).await;
                let survivor = survivor.map_err(|refused| poison(event, refused))?;
                remember(transaction, tenant, &answer, &trigger, survivor.id).await?;
            }
            work.asked.push((envelope(tenant, answer.run(), answer.rule.rule, &cause, now), command));
        }
        Ok(())
    }

    /// Has waiting runs follow their records when this event merges one or takes that back.
    async fn regroup(&mut self, transaction: &mut PgConnection, tenant: Id, event: &Recorded) -> Result<(), Failure> {
        let mut eyes = self.world.at(&event.tenant, event.position);
        let before = scene::known_before(&mut eyes, event).await.map_err(|refused| poison(event, refused))?;
        let Some(before) = before else { return Ok(()) };
        let waiting: Vec<String> = sqlx::query_scalar(
            "select distinct subject_id from react_pending_run
             where tenant_id = $1 and subject_kind = $2 and survivor_id = $3",
        )
        .bind(tenant.to_string())
        .bind(&before.kind)
        .bind(before.id.to_string())
        .fetch_all(&mut *transaction)
        .await?;
        for subject in waiting.iter().filter_map(|id| Some(Subject::new(&before.kind, id.parse().ok()?))) {
            let survivor = scene::survivor(&mut eyes, &subject).await.map_err(|refused| poison(event, refused))?;
            sqlx::query(
                "update react_pending_run set survivor_id = $5
                 where tenant_id = $1 and subject_kind = $2 and survivor_id = $3 and subject_id = $4",
            )
            .bind(tenant.to_string())
            .bind(&before.kind)
            .bind(before.id.to_string())
            .bind(subject.id.to_string())
            .bind(survivor.id.to_string())
            .execute(&mut *transaction)
            .await?;
        }
        Ok(())
    }

    /// Calls off the runs that wait and that this event comes before.
    async fn cancel(
        &mut self,
        transaction: &mut PgConnection,
        tenant: Id,
        event: &Recorded,
        metadata: &Metadata,
        trigger: &Trigger,
        work: &mut Work,
    ) -> Result<(), Failure> {
        let own = self.world.at(&event.tenant, event.position).see(&trigger.subject).await;
        let own = own.map_err(|refused| poison(event, refused))?;
        let subjects = concerned(&trigger.subject, &trigger.data, own.as_deref());
        let meant = scene::survivors(&mut self.world.at(&event.tenant, event.position), &subjects).await;
        let meant = meant.map_err(|refused| poison(event, refused))?;
        let pending = waiting(transaction, tenant, event, &meant).await?;
        let scene = automation::Scene::new(trigger, []);
        let person = subjects.iter().find(|subject| subject.kind == "contact").map(|subject| subject.id);
        for run in pending {
            let first = TriggerRef { person, ..trigger.reference(&scene) };
            let command =
                rule_run::Command::Cancel { reason: CancelReason::Event, event: Some(first), trace: Vec::new() };
            let cause = scene::cause(event, metadata, 0);
            let mut envelope = envelope(tenant, run, Id::NIL, &cause, event.recorded_at);
            envelope.actor = Actor::SYSTEM;
            envelope.command_id = command_id(&["rule_run_cancel", &run.to_string(), &event.id.to_string()]);
            work.cancelled.push((envelope, command));
        }
        Ok(())
    }

    async fn carry_out(&self, work: Vec<(Envelope, rule_run::Command)>, over: bool) -> Result<(), Failure> {
        let dispatch = |(envelope, command): (Envelope, rule_run::Command)| async move {
            let outcome = match command {
                rule_run::Command::Match { .. } => "matched",
                rule_run::Command::Skip { .. } => "skipped",
                _ => "cancelled",
            };
            match self.commands.dispatch::<RuleRun>(&envelope, command).await {
                Ok(accepted) => {
                    if !accepted.events.is_empty() {
                        self.shared.metrics.runs(outcome, 1);
                    }
                    Ok(())
                }
                // Carried out or called off meanwhile.
                Err(Refused::Rejected(_)) if over => Ok(()),
                // Rules were switched off since: nobody is to hear of them.
                Err(Refused::Rejected(refusal)) if refusal == FEATURE_DISABLED => Ok(()),
                Err(refused) => Err(unavailable(&refused)),
            }
        };
        stream::iter(work.into_iter().map(dispatch)).buffer_unordered(CONCURRENT).try_collect::<()>().await
    }
}

impl Handler for Rules {
    fn name(&self) -> &str {
        Rules::NAME
    }

    fn version(&self) -> i32 {
        1
    }

    fn categories(&self) -> &[&str] {
        // Any event may trigger a rule.
        &[]
    }

    async fn handle(&mut self, transaction: &mut PgConnection, batch: &[Arc<Recorded>]) -> Result<(), Failure> {
        let mut work = Work::default();
        for event in batch {
            if event.position != self.reached + 1 {
                self.forget();
            }
            self.reached = event.position;
            if self.take_in(event).await? {
                self.consider(transaction, event, &mut work).await?;
            }
        }
        let Work { asked, cancelled, over } = work;
        let any = !asked.is_empty();
        self.carry_out(asked, false).await?;
        self.carry_out(cancelled, true).await?;
        if !over.is_empty() {
            forget(transaction, over).await?;
        }
        if any {
            self.shared.nudge.notify_one();
        }
        Ok(())
    }

    fn rolled_back(&mut self) {
        self.reached = 0;
        self.forget();
    }
}

/// What records an answer: in the name of the rule.
fn envelope(tenant: Id, run: Id, rule: Id, cause: &Cause, now: Time) -> Envelope {
    let actor = Actor { kind: ActorKind::Rule, id: rule, on_behalf_of: None };
    let envelope = Envelope::new(tenant, run, actor, Via::Rule, now).caused_by(cause);
    Envelope { command_id: command_id(&["rule_run_ask", &run.to_string()]), ..envelope }
}

/// The answer of every rule to an event at the end of too long a chain.
fn too_deep<'a>(rules: &'a [Compiled], trigger: &'a Trigger) -> impl Iterator<Item = (Id, Id, rule_run::Command)> + 'a {
    let scene = automation::Scene::new(trigger, []);
    rules.iter().map(move |rule| {
        let trigger = trigger.reference(&scene);
        let asked = Asked { rule: rule.rule, version: rule.version, trigger, trace: Vec::new() };
        let run = asked.id();
        (run, rule.rule, rule_run::Command::Skip { asked, reason: SkipReason::TooDeep, stopped_by: None })
    })
}

/// Remembers a run that another event may call off.
async fn remember(
    transaction: &mut PgConnection,
    tenant: Id,
    answer: &Answer<'_>,
    trigger: &Trigger,
    survivor: Id,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into react_pending_run
             (tenant_id, run_id, subject_kind, subject_id, trigger_type, trigger_position, cancel_on, survivor_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing",
    )
    .bind(tenant.to_string())
    .bind(answer.run().to_string())
    .bind(&trigger.subject.kind)
    .bind(trigger.subject.id.to_string())
    .bind(&trigger.event_type)
    .bind(i64::try_from(trigger.position).unwrap_or(i64::MAX))
    .bind(&answer.rule.definition.cancel_on)
    .bind(survivor.to_string())
    .execute(transaction)
    .await?;
    Ok(())
}

/// Runs that wait and that an event calls off which concerns these records, none of which is merged.
async fn waiting(
    transaction: &mut PgConnection,
    tenant: Id,
    event: &Recorded,
    subjects: &[Subject],
) -> Result<Vec<Id>, sqlx::Error> {
    let (kinds, ids): (Vec<&str>, Vec<String>) =
        subjects.iter().map(|subject| (&*subject.kind, subject.id.to_string())).unzip();
    let runs: Vec<String> = sqlx::query_scalar(
        "select p.run_id from unnest($2::text[], $3::text[]) concerned (kind, id)
         join react_pending_run p
           on p.tenant_id = $1 and p.subject_kind = concerned.kind and p.survivor_id = concerned.id
         where $4 = any (p.cancel_on) and p.trigger_type <> $4 and p.trigger_position < $5
         order by p.trigger_position, p.run_id",
    )
    .bind(tenant.to_string())
    .bind(kinds)
    .bind(ids)
    .bind(&*event.kind)
    .bind(event.position)
    .fetch_all(transaction)
    .await?;
    Ok(runs.iter().filter_map(|run| run.parse().ok()).collect())
}

/// Forgets runs that are over.
async fn forget(transaction: &mut PgConnection, over: Vec<(String, String)>) -> Result<(), sqlx::Error> {
    let (tenants, runs): (Vec<String>, Vec<String>) = over.into_iter().unzip();
    sqlx::query(
        "delete from react_pending_run p using unnest($1::text[], $2::text[]) over (tenant_id, run_id)
         where p.tenant_id = over.tenant_id and p.run_id = over.run_id",
    )
    .bind(tenants)
    .bind(runs)
    .execute(transaction)
    .await?;
    Ok(())
}

fn store(error: eventstore::Error) -> Failure {
    match error {
        eventstore::Error::Database(error) => Failure::Store(error),
        other => Failure::Store(sqlx::Error::Protocol(other.to_string())),
    }
}

/// The log is out of reach: the batch is handled again.
fn unavailable(refused: &Refused) -> Failure {
    Failure::Store(sqlx::Error::Protocol(refused.to_string()))
}

/// A record that cannot be read stands in the way of this event alone.
fn poison(event: &Recorded, refused: Refused) -> Failure {
    match refused {
        Refused::Broken(reason) => Failure::Poison { position: event.position, reason },
        refused => unavailable(&refused),
    }
}
