//! Rules rehearsed: what a draft would make of one past event, or would have made of all of them. Nothing is written.
//!
//! It is the same evaluation that runs live, over the same records as of the same events.

use domain::kernel::aggregate::Deprecated;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use domain::{
    Aggregate, Id, Time,
    kernel::{filter::Check, merging, reference::Subject},
    org::{field::Field, tenant::Tenant},
    work::{
        automation::{
            self, Answer, Asks, Compiled, CustomTypes, Dispatch, MAX_CAUSATION_DEPTH, Preparation, Scene, Trigger,
            TriggerRef, Verdict, Vocabulary, concerned,
        },
        rule::{self, Action, Definition, New, Rule},
        rule_run::{RuleRun, SkipReason},
        task::Task,
    },
};
use eventstore::{Log, Query, Recorded};
use futures::{Stream, StreamExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Commands, Envelope, Refused,
    directory::{self, Directory},
    rules::RuleBook,
    scene::{self, Eyes, World},
};

/// Events read at once.
const PAGE: i64 = 4096;
/// A tenant whose events are at least one in so many is read with all others, which goes faster.
const DENSE: i64 = 4;
/// Records kept in memory by a backtest.
const RECORDS: usize = 200_000;
/// Events that are gone through without letting others have a turn.
const TURN: usize = 128;

/// A rule that is not published.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// The rule whose next version it would be: it stands in for that rule among the others.
    #[serde(default)]
    pub rule: Option<Id>,
    /// The type of event that triggers it, such as `order.placed`.
    pub trigger: String,
    /// Its place among the rules with this trigger.
    #[serde(default = "default_rank")]
    pub rank: i64,
    /// What it does.
    pub definition: Definition,
    /// Whether the tenant's other rules are asked too, as they were: one of a higher rank may stop it.
    #[serde(default)]
    pub with_others: bool,
}

fn default_rank() -> i64 {
    rule::DEFAULT_RANK
}

/// Why a rehearsal does not take place.
#[derive(Debug, thiserror::Error)]
pub enum Unrehearsed {
    /// There is no such event.
    #[error("there is no such event")]
    NoEvent,
    /// The event is of another type than the draft's trigger.
    #[error("the event is {0}")]
    OtherEvent(String),
    /// The draft makes no sense, or the log cannot be read.
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl From<eventstore::Error> for Unrehearsed {
    fn from(error: eventstore::Error) -> Self {
        Unrehearsed::Refused(error.into())
    }
}

/// Whether a rule does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Says {
    /// It matches.
    Matched,
    /// It does nothing.
    Skipped,
}

/// What a rule says about an event.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Opinion {
    /// The rule; absent for the draft of a new one.
    pub rule: Option<Id>,
    /// Its version; 0 for the draft.
    pub version: u32,
    /// Its place among the rules with this trigger.
    pub rank: i64,
    /// Whether it does something.
    pub verdict: Says,
    /// Why it does nothing.
    pub reason: Option<SkipReason>,
    /// The rule that stopped it.
    pub stopped_by: Option<Id>,
    /// When it is carried out, if later.
    pub due_at: Option<Time>,
    /// Every condition with the value it found and its verdict.
    pub trace: Vec<Check>,
}

/// What a draft would make of an event.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DryRun {
    /// The event.
    pub trigger: TriggerRef,
    /// What the draft says.
    #[serde(flatten)]
    pub opinion: Opinion,
    /// Who would be chosen and what would be done; absent when it does nothing.
    pub preparation: Option<Preparation>,
    /// What the tenant's other rules say, in the order in which they are asked.
    pub others: Vec<Opinion>,
    /// Names in the draft that are called otherwise now; they still mean the same.
    pub deprecated: Vec<Deprecated>,
}

/// Events by what the draft says about them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Totals {
    /// Events of the trigger's type.
    pub asked: u64,
    /// Those that match.
    pub matched: u64,
    /// Those that do not.
    pub not_matched: u64,
    /// Those for which a rule of a higher rank stops it.
    pub stopped: u64,
    /// Those at the end of too long a chain of rules.
    pub too_deep: u64,
    /// Of those that match, carried out.
    pub executed: u64,
    /// Of those that match, called off by another event.
    pub cancelled_by_event: u64,
    /// Of those that match, called off because the conditions no longer held when it was due.
    pub cancelled_by_recheck: u64,
    /// Of those that match, not due by the end of the range.
    pub pending: u64,
    /// Tasks that would have been created.
    pub tasks: u64,
    /// Of these, for nobody.
    pub tasks_for_nobody: u64,
    /// Other commands that would have been issued.
    pub commands: u64,
    /// Runs in which a template names something that is not there.
    pub with_unknown: u64,
}

/// Tasks that a colleague would have got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ForUser {
    /// The colleague.
    pub user: Id,
    /// The colleague's name at the end of the range.
    pub name: Option<String>,
    /// How many.
    pub tasks: u64,
}

/// A run that would have been carried out.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RehearsedRun {
    /// The event that would have triggered it.
    pub trigger: TriggerRef,
    /// When that happened in the world.
    pub occurred_at: Time,
    /// Who would have been chosen, when, and what would have been done.
    pub preparation: Preparation,
}

/// What a draft would have made of a part of the log.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Backtest {
    /// The events after this position were asked about.
    pub after: i64,
    /// Up to and including this one.
    pub until: i64,
    /// How it went.
    pub totals: Totals,
    /// Who would have got how many tasks, most first.
    pub by_user: Vec<ForUser>,
    /// The first runs that would have been carried out.
    pub runs: Vec<RehearsedRun>,
    /// The position of the trigger of the last of these runs, when there are more.
    pub next: Option<i64>,
    /// Names in the draft that are called otherwise now; they still mean the same.
    pub deprecated: Vec<Deprecated>,
}

/// Which part of the log a backtest goes over, and which runs it tells.
#[derive(Clone, Copy, Debug)]
pub struct Over {
    /// Events after this position.
    pub after: i64,
    /// Up to and including this one.
    pub until: i64,
    /// What falls due by then is carried out, although nothing happened any more.
    pub end: Time,
    /// Runs whose trigger is beyond this position are told.
    pub beyond: i64,
    /// At most so many.
    pub limit: usize,
}

impl Commands {
    /// What a draft would make of the event at a position. `order` is whoever asks, under a new id.
    ///
    /// # Errors
    /// When there is no such event, it is of another type, or the draft makes no sense.
    pub async fn dry_run(&self, envelope: &Envelope, draft: Draft, position: i64) -> Result<DryRun, Unrehearsed> {
        let rule = self.compile(envelope, &draft).await?;
        let tenant: Arc<str> = envelope.tenant.to_string().into();
        let events = self.log().read_positions(&tenant, &[position]).await?;
        let event = events.first().ok_or(Unrehearsed::NoEvent)?;
        if *event.kind != *draft.trigger {
            return Err(Unrehearsed::OtherEvent(event.kind.to_string()));
        }
        let trigger = scene::metadata(event).and_then(|metadata| scene::trigger(event, &metadata));
        let trigger = trigger.ok_or(Unrehearsed::NoEvent)?;
        let mut world = World::new(self, RECORDS);
        let others = match draft.with_others {
            true => others(&mut RuleBook::load(self.log(), &tenant, position).await?, envelope.tenant, &draft),
            false => Vec::new(),
        };
        let all: Vec<&Compiled> = others.iter().chain([&rule]).collect();
        let scene = scene::scene(&mut world.at(&tenant, position), &trigger, &all).await?;
        let answers = automation::ask(others.iter().chain([&rule]), &trigger, &scene);
        let (own, others): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| std::ptr::eq(answer.rule, &rule));
        let own = own.first().ok_or(Unrehearsed::NoEvent)?;
        let preparation = match own.verdict {
            Verdict::Skipped { .. } => None,
            Verdict::Matched { due_at } => {
                let mut directory = Directory::new(envelope.tenant);
                directory.catch_up(self.log(), position).await?;
                let at = due_at.unwrap_or(trigger.occurred_at);
                let last = directory.last(rule.rule);
                let preparation = rule.prepare(&trigger, &scene, &directory.people_for(&rule, &scene), last, at);
                Some(scene::followed(&mut world.at(&tenant, position), preparation).await?)
            }
        };
        let opinion = Opinion { rule: draft.rule, ..Opinion::of(own) };
        let others = others.into_iter().map(Opinion::of).collect();
        let deprecated = automation::deprecated(&rule.definition);
        Ok(DryRun { trigger: trigger.reference(&scene), opinion, preparation, others, deprecated })
    }

    /// What a draft would have made of a part of the log: the tasks that would have been created, for whom and when.
    /// What it would have given people counts as theirs to do until the end.
    ///
    /// # Errors
    /// When the draft makes no sense or the log cannot be read.
    pub async fn backtest(&self, envelope: &Envelope, draft: Draft, over: Over) -> Result<Backtest, Unrehearsed> {
        let rule = self.compile(envelope, &draft).await?;
        let tenant: Arc<str> = envelope.tenant.to_string().into();
        let log = self.log();
        let directory = if rule.definition.selector.is_empty() {
            None
        } else {
            let mut directory = Directory::new(envelope.tenant);
            directory.catch_up(log, over.after).await?;
            Some(directory)
        };
        let book = match draft.with_others {
            true => Some(RuleBook::load(log, &tenant, over.after).await?),
            false => None,
        };
        let seen = Vocabulary::of(&draft.trigger, CustomTypes::new()).map(|vocabulary| vocabulary.kinds().clone());
        let mut categories: Vec<String> = seen.iter().flatten().map(|kind| (*kind).to_owned()).collect();
        let named = [&draft.trigger].into_iter().chain(&rule.definition.cancel_on);
        categories.extend(named.filter_map(|name| name.split_once('.')).map(|(kind, _)| kind.to_owned()));
        if directory.is_some() {
            categories.extend(directory::CATEGORIES.map(ToOwned::to_owned));
        }
        if book.is_some() {
            categories.extend(RuleBook::CATEGORIES.map(ToOwned::to_owned));
        }
        let acts = rule.definition.actions.iter().any(|action| matches!(action, Action::Command(_)));
        if acts || rule.asks_ids() || !rule.definition.cancel_on.is_empty() {
            categories.extend(merging::KINDS.iter().map(|kind| (*kind).to_owned()));
        }
        categories.sort();
        categories.dedup();
        let mut rehearsal = Rehearsal {
            tenant_id: envelope.tenant,
            tenant: Arc::clone(&tenant),
            log: log.clone(),
            world: World::new(self, RECORDS).with_rows(rule.asks() >= Asks::Rows),
            directory,
            book,
            draft,
            rule,
            over,
            totals: Totals::default(),
            by_user: HashMap::new(),
            runs: Vec::new(),
            more: false,
            waiting: BTreeMap::new(),
            by_subject: HashMap::new(),
        };
        let mut source = Source::new(log, &tenant, categories, over);
        let mut gone = 0;
        while let Some(page) = source.next().await? {
            for event in &page {
                rehearsal.take_in(event).await?;
                gone += 1;
                if gone % TURN == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
        rehearsal.finish().await
    }

    /// Checks a draft as if it were created, and makes it ready.
    async fn compile(&self, envelope: &Envelope, draft: &Draft) -> Result<Compiled, Unrehearsed> {
        let Draft { name, trigger, rank, definition, .. } = draft.clone();
        let new = New {
            name: name.unwrap_or_else(|| "Draft".into()),
            trigger,
            rank,
            definition: Some(definition.clone()),
            enabled: true,
        };
        let envelope = Envelope { dry_run: true, ..envelope.clone() };
        self.dispatch::<Rule>(&envelope, rule::Command::Create(new)).await?;
        let (settings, _) = self.load::<Tenant>(envelope.tenant, envelope.tenant).await?;
        let mut custom = CustomTypes::of(settings.default_country());
        for kind in rule::kinds_with_custom_fields(&draft.trigger) {
            let (field, _) = self.load::<Field>(envelope.tenant, Field::id_for(envelope.tenant, kind)).await?;
            custom.extend(rule::custom_types_of(kind, &field, false));
        }
        let id = draft.rule.unwrap_or(Id::NIL);
        let compiled = Compiled::new(id, 0, rank, &draft.trigger, definition, custom);
        Ok(compiled.map_err(|_| Refused::Broken("a draft was accepted and makes no sense".into()))?)
    }
}

/// The other rules with the draft's trigger.
fn others(book: &mut RuleBook, tenant: Id, draft: &Draft) -> Vec<Compiled> {
    let all = book.with_trigger(tenant, &draft.trigger);
    all.iter().filter(|other| draft.rule != Some(other.rule)).cloned().collect()
}

impl Opinion {
    fn of(answer: &Answer<'_>) -> Opinion {
        let (verdict, reason, stopped_by, due_at) = match answer.verdict {
            Verdict::Matched { due_at } => (Says::Matched, None, None, due_at),
            Verdict::Skipped { reason, stopped_by } => (Says::Skipped, Some(reason), stopped_by, None),
        };
        Opinion {
            rule: Some(answer.rule.rule),
            version: answer.rule.version,
            rank: answer.rule.rank,
            verdict,
            reason,
            stopped_by,
            due_at,
            trace: answer.asked.trace.clone(),
        }
    }
}

/// When a run is due, and the position of its trigger.
type Place = (Time, u64);

struct Rehearsal {
    tenant_id: Id,
    tenant: Arc<str>,
    log: Log,
    world: World,
    /// The colleagues, where the draft chooses among them.
    directory: Option<Directory>,
    /// The tenant's other rules, where they are asked.
    book: Option<RuleBook>,
    draft: Draft,
    rule: Compiled,
    over: Over,
    totals: Totals,
    by_user: HashMap<Id, u64>,
    runs: Vec<RehearsedRun>,
    more: bool,
    /// The triggers of runs that wait for their time.
    waiting: BTreeMap<Place, Trigger>,
    /// Where they are, by the records that they are about, or those that go on for them.
    by_subject: HashMap<Subject, Vec<Place>>,
}

impl Rehearsal {
    async fn take_in(&mut self, event: &Recorded) -> Result<(), Refused> {
        self.fire_until(event.recorded_at, event.position - 1).await?;
        self.world.take_in(event, true);
        if let Some(directory) = &mut self.directory {
            directory.take_in(event);
            directory.settle(&self.log, event.position).await?;
        }
        if let Some(book) = &mut self.book {
            book.take_in(event);
        }
        self.regroup(event).await?;
        let triggers = *event.kind == *self.draft.trigger;
        let cancels = self.rule.definition.cancel_on.iter().any(|name| **name == *event.kind);
        if !triggers && (!cancels || self.waiting.is_empty()) {
            return Ok(());
        }
        let Some(metadata) = scene::metadata(event) else { return Ok(()) };
        let Some(trigger) = scene::trigger(event, &metadata) else { return Ok(()) };
        if cancels {
            self.cancel(&trigger, event.position).await?;
        }
        if triggers {
            self.totals.asked += 1;
            if metadata.depth >= MAX_CAUSATION_DEPTH {
                self.totals.too_deep += 1;
            } else {
                self.ask(trigger, event).await?;
            }
        }
        Ok(())
    }

    async fn ask(&mut self, trigger: Trigger, event: &Recorded) -> Result<(), Refused> {
        let others = match &mut self.book {
            Some(book) => others(book, self.tenant_id, &self.draft),
            None => Vec::new(),
        };
        let all: Vec<&Compiled> = others.iter().chain([&self.rule]).collect();
        let scene = scene::scene(&mut self.world.at(&self.tenant, event.position), &trigger, &all).await?;
        let verdict = if others.is_empty() && !self.rule.matches(&scene) {
            // The usual case, without saying why.
            Some(Verdict::Skipped { reason: SkipReason::NotMatched, stopped_by: None })
        } else {
            let answers = automation::ask(others.iter().chain([&self.rule]), &trigger, &scene);
            answers.into_iter().find(|answer| std::ptr::eq(answer.rule, &self.rule)).map(|answer| answer.verdict)
        };
        match verdict {
            Some(Verdict::Matched { due_at }) => {
                self.totals.matched += 1;
                match due_at {
                    None => self.carry_out(trigger, scene, event.recorded_at, event.position).await?,
                    Some(due_at) => {
                        let place = (due_at, trigger.position);
                        if !self.rule.definition.cancel_on.is_empty() {
                            let mut eyes = self.world.at(&self.tenant, event.position);
                            let survivor = scene::survivor(&mut eyes, &trigger.subject).await?;
                            self.by_subject.entry(survivor).or_default().push(place);
                        }
                        self.waiting.insert(place, trigger);
                    }
                }
            }
            Some(Verdict::Skipped { reason: SkipReason::Stopped, .. }) => self.totals.stopped += 1,
            Some(Verdict::Skipped { .. }) | None => self.totals.not_matched += 1,
        }
        Ok(())
    }

    /// Has waiting runs follow their records when this event merges one or takes that back.
    async fn regroup(&mut self, event: &Recorded) -> Result<(), Refused> {
        if self.by_subject.is_empty() {
            return Ok(());
        }
        let mut eyes = self.world.at(&self.tenant, event.position);
        let Some(before) = scene::known_before(&mut eyes, event).await? else { return Ok(()) };
        for place in self.by_subject.remove(&before).unwrap_or_default() {
            let Some(waiting) = self.waiting.get(&place) else { continue };
            let survivor = scene::survivor(&mut eyes, &waiting.subject).await?;
            self.by_subject.entry(survivor).or_default().push(place);
        }
        Ok(())
    }

    /// Calls off the runs that wait and that this event comes before.
    async fn cancel(&mut self, trigger: &Trigger, position: i64) -> Result<(), Refused> {
        let mut eyes = self.world.at(&self.tenant, position);
        let own = eyes.see(&trigger.subject).await?;
        let subjects = concerned(&trigger.subject, &trigger.data, own.as_deref());
        let subjects = scene::survivors(&mut eyes, &subjects).await?;
        for subject in &subjects {
            let Some(places) = self.by_subject.get_mut(subject) else { continue };
            places.retain(|place| {
                let Some(waiting) = self.waiting.get(place) else { return false };
                let cancelled = self.rule.is_cancelled_by(&waiting.event_type, &trigger.event_type);
                if cancelled {
                    self.waiting.remove(place);
                    self.totals.cancelled_by_event += 1;
                }
                !cancelled
            });
        }
        Ok(())
    }

    /// Carries out what is due by then, with the records as of a position.
    async fn fire_until(&mut self, time: Time, position: i64) -> Result<(), Refused> {
        while let Some(first) = self.waiting.first_entry().filter(|first| first.key().0 <= time) {
            let ((due_at, _), trigger) = first.remove_entry();
            let scene = scene::scene(&mut self.world.at(&self.tenant, position), &trigger, &[&self.rule]).await?;
            if self.rule.definition.recheck && !self.rule.matches(&scene) {
                self.totals.cancelled_by_recheck += 1;
            } else {
                self.carry_out(trigger, scene, due_at, position).await?;
            }
        }
        Ok(())
    }

    async fn carry_out(&mut self, trigger: Trigger, scene: Scene, at: Time, position: i64) -> Result<(), Refused> {
        let preparation = match &mut self.directory {
            Some(directory) => {
                let last = directory.last(self.rule.rule);
                let preparation =
                    self.rule.prepare(&trigger, &scene, &directory.people_for(&self.rule, &scene), last, at);
                let preparation = scene::followed(&mut self.world.at(&self.tenant, position), preparation).await?;
                let run = RuleRun::id_for(self.rule.rule, self.rule.version, &trigger.event_id);
                directory.expect(run, self.rule.rule, &preparation);
                preparation
            }
            None => {
                let preparation = self.rule.prepare(&trigger, &scene, &[], None, at);
                scene::followed(&mut self.world.at(&self.tenant, position), preparation).await?
            }
        };
        self.totals.executed += 1;
        self.totals.with_unknown += u64::from(!preparation.unknown.is_empty());
        for Dispatch { kind, command, body, .. } in &preparation.actions {
            if kind != Task::KIND || command != Task::CREATE {
                self.totals.commands += 1;
                continue;
            }
            self.totals.tasks += 1;
            match body.get("assignee").and_then(|user| user.as_str()?.parse().ok()) {
                Some(user) => *self.by_user.entry(user).or_default() += 1,
                None => self.totals.tasks_for_nobody += 1,
            }
        }
        if i64::try_from(trigger.position).is_ok_and(|position| position > self.over.beyond) {
            if self.runs.len() < self.over.limit {
                let occurred_at = trigger.occurred_at;
                self.runs.push(RehearsedRun { trigger: trigger.reference(&scene), occurred_at, preparation });
            } else {
                self.more = true;
            }
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Backtest, Unrehearsed> {
        self.fire_until(self.over.end, self.over.until).await?;
        self.totals.pending = self.waiting.len() as u64;
        let directory = self.directory.as_ref();
        let name = |user| directory.and_then(|directory| directory.name(user));
        let by_user =
            self.by_user.iter().map(|(user, tasks)| ForUser { user: *user, name: name(*user), tasks: *tasks });
        let mut by_user: Vec<_> = by_user.collect();
        by_user.sort_by_key(|of| (std::cmp::Reverse(of.tasks), of.user));
        let last = self.runs.last().and_then(|run| i64::try_from(run.trigger.position).ok());
        Ok(Backtest {
            after: self.over.after,
            until: self.over.until,
            totals: self.totals,
            by_user,
            next: last.filter(|_| self.more),
            deprecated: automation::deprecated(&self.rule.definition),
            runs: self.runs,
        })
    }
}

type Pages = Box<dyn Stream<Item = Result<Vec<Recorded>, eventstore::Error>> + Send + Unpin>;

/// The tenant's events of some categories, in order: by their index, or out of the whole log where most of it is theirs.
struct Source {
    log: Log,
    tenant: Arc<str>,
    categories: Vec<String>,
    after: i64,
    until: i64,
    whole: Option<Pages>,
}

impl Source {
    fn new(log: &Log, tenant: &Arc<str>, categories: Vec<String>, over: Over) -> Source {
        let (log, tenant) = (log.clone(), Arc::clone(tenant));
        Source { log, tenant, categories, after: over.after, until: over.until, whole: None }
    }

    async fn next(&mut self) -> Result<Option<Vec<Recorded>>, eventstore::Error> {
        if let Some(whole) = &mut self.whole {
            let Some(page) = whole.next().await else { return Ok(None) };
            let concerns = |event: &Recorded| {
                event.tenant == self.tenant && self.categories.iter().any(|known| known == event.category())
            };
            return Ok(Some(page?.into_iter().filter(concerns).collect()));
        }
        let query = Query {
            tenant: Some(self.tenant.to_string()),
            after: Some(self.after),
            until: Some(self.until),
            limit: PAGE,
            categories: self.categories.clone(),
            ..Query::default()
        };
        let page = self.log.read_all(&query).await?;
        let Some(last) = page.last() else { return Ok(None) };
        if page.len() as i64 == PAGE && last.position - self.after < DENSE * PAGE {
            self.whole = Some(Box::new(self.log.replay(last.position, self.until)));
        }
        self.after = last.position;
        Ok(Some(page))
    }
}
