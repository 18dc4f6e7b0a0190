//! The colleagues of a tenant as rules choose among them: roles, teams, city, presence, and how much each has to do.
//!
//! It follows from the log alone. What a run has prepared counts as work at once, so that two runs that are prepared one
//! after the other do not find the same colleague idle.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
};

use domain::{
    Aggregate, Id, Metadata,
    chat::channel::{self, Channel},
    kernel::named::Undecodable,
    org::{role::Role, team::Team, tenant::Tenant, user::User},
    work::{
        automation::{Compiled, Person, Preparation, Scene},
        rule_run::{self, RuleRun},
        task::{self, Task},
    },
};
use eventstore::{Direction, Log, Query, Recorded};

use crate::Refused;

/// The kinds of record whose events it folds.
pub(crate) const CATEGORIES: [&str; 7] =
    [User::KIND, Role::KIND, Team::KIND, Task::KIND, RuleRun::KIND, Tenant::KIND, Channel::KIND];
/// Events read at once.
const PAGE: i64 = 4096;

/// What a run is going to give whom: task and user.
type Expected = Vec<(Id, Id)>;

/// The colleagues of one tenant at a position of the log.
pub(crate) struct Directory {
    tenant: Id,
    position: i64,
    settings: Tenant,
    users: BTreeMap<Id, User>,
    roles: HashMap<Id, Role>,
    teams: HashMap<Id, Team>,
    /// Who answers in each channel.
    operators: HashMap<Id, BTreeSet<Id>>,
    /// Open tasks, and those that runs are going to create, with who is to do them.
    tasks: HashMap<Id, Id>,
    /// Runs that are prepared and not over.
    expected: HashMap<Id, Expected>,
    /// Tasks that exist.
    created: HashSet<Id>,
    /// Whom each rule chose last.
    last: HashMap<Id, Id>,
    /// Tasks that were done and are to be done after all: who does them stands in their streams.
    reopened: Vec<Id>,
    people: Vec<Person>,
    /// Where in `people` a user is; empty when they must be listed anew.
    places: HashMap<Id, usize>,
}

impl Directory {
    /// Of this tenant, before the first event.
    pub(crate) fn new(tenant: Id) -> Directory {
        Directory {
            tenant,
            position: 0,
            settings: Tenant::default(),
            users: BTreeMap::new(),
            roles: HashMap::new(),
            teams: HashMap::new(),
            operators: HashMap::new(),
            tasks: HashMap::new(),
            expected: HashMap::new(),
            created: HashSet::new(),
            last: HashMap::new(),
            reopened: Vec::new(),
            people: Vec::new(),
            places: HashMap::new(),
        }
    }

    /// Takes in everything up to a position, by the index of the tenant's categories.
    pub(crate) async fn catch_up(&mut self, log: &Log, until: i64) -> Result<(), Refused> {
        while self.position < until {
            let query = Query {
                tenant: Some(self.tenant.to_string()),
                after: Some(self.position),
                until: Some(until),
                limit: PAGE,
                categories: CATEGORIES.map(ToOwned::to_owned).to_vec(),
                types: types(),
                ..Query::default()
            };
            let page = log.read_all(&query).await?;
            for event in &page {
                self.take_in(event);
            }
            let full = page.len() as i64 == PAGE;
            self.position = page.last().filter(|_| full).map_or(until, |last| last.position);
            self.look_up_reopened(log, self.position).await?;
        }
        Ok(())
    }

    /// Moves on by an event. One that cannot be understood says nothing of anybody.
    pub(crate) fn take_in(&mut self, event: &Recorded) {
        if let Err(error) = self.fold(event) {
            tracing::warn!(position = event.position, %error, "an event says nothing about colleagues");
        }
    }

    fn fold(&mut self, event: &Recorded) -> Result<(), Undecodable> {
        let Ok(id) = event.key().parse::<Id>() else { return Ok(()) };
        match event.category() {
            Tenant::KIND => self.settings.evolve(&Tenant::decode(&event.kind, &event.data)?),
            User::KIND => {
                self.users.entry(id).or_default().evolve(&User::decode(&event.kind, &event.data)?);
                self.places.clear();
            }
            Role::KIND => {
                self.roles.entry(id).or_default().evolve(&Role::decode(&event.kind, &event.data)?);
                self.places.clear();
            }
            Team::KIND => {
                self.teams.entry(id).or_default().evolve(&Team::decode(&event.kind, &event.data)?);
                self.places.clear();
            }
            Channel::KIND => match Channel::decode(&event.kind, &event.data)? {
                channel::Event::Connected(_) => drop(self.operators.entry(id).or_default()),
                channel::Event::OperatorAdded { user } => {
                    self.operators.entry(id).or_default().insert(user);
                }
                channel::Event::OperatorRemoved { user } => {
                    self.operators.entry(id).or_default().remove(&user);
                }
                _ => {}
            },
            Task::KIND => match Task::decode(&event.kind, &event.data)? {
                task::Event::Created(_) => drop(self.created.insert(id)),
                task::Event::Assigned { to, .. } => self.give(id, to),
                task::Event::Unassigned { .. } => self.take_away(id),
                task::Event::Completed { .. } | task::Event::Cancelled { .. } => {
                    self.created.remove(&id);
                    self.take_away(id);
                }
                task::Event::Reopened => self.reopened.push(id),
                _ => {}
            },
            RuleRun::KIND => match RuleRun::decode(&event.kind, &event.data)? {
                rule_run::Event::Prepared(preparation) => {
                    // A run is prepared in the name of its rule.
                    let rule = serde_json::from_slice::<Metadata>(&event.metadata).map(|metadata| metadata.actor.id);
                    self.expect(id, rule.unwrap_or(Id::NIL), &preparation);
                }
                rule_run::Event::Executed { .. } => drop(self.expected.remove(&id)),
                rule_run::Event::Parked { .. } | rule_run::Event::Cancelled { .. } => self.give_up(id),
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }

    async fn look_up_reopened(&mut self, log: &Log, until: i64) -> Result<(), Refused> {
        for id in std::mem::take(&mut self.reopened) {
            let mut task = Task::default();
            let (tenant, stream) = (self.tenant.to_string(), Task::stream(id));
            let events = log.read_stream(&tenant, &stream, 0, Direction::Forward, i64::MAX).await;
            for event in events? {
                if event.position <= until
                    && let Ok(event) = Task::decode(&event.kind, &event.data)
                {
                    task.evolve(&event);
                }
            }
            let open = matches!(task.status, task::Status::Open | task::Status::Started);
            if let Some(user) = task.assignee.filter(|_| open) {
                self.created.insert(id);
                self.give(id, user);
            }
        }
        Ok(())
    }

    /// The same for whoever takes events in one by one.
    pub(crate) async fn settle(&mut self, log: &Log, until: i64) -> Result<(), Refused> {
        if self.reopened.is_empty() { Ok(()) } else { self.look_up_reopened(log, until).await }
    }

    fn give(&mut self, task: Id, user: Id) {
        let before = self.tasks.insert(task, user);
        if before != Some(user) {
            self.count(user, 1);
            before.into_iter().for_each(|before| self.count(before, -1));
        }
    }

    fn take_away(&mut self, task: Id) {
        let before = self.tasks.remove(&task);
        before.into_iter().for_each(|before| self.count(before, -1));
    }

    fn count(&mut self, user: Id, by: i32) {
        if let Some(person) = self.places.get(&user).and_then(|place| self.people.get_mut(*place)) {
            person.load = person.load.saturating_add_signed(by);
        }
    }

    /// Counts what a run is going to create as work, and remembers whom the rule chose.
    pub(crate) fn expect(&mut self, run: Id, rule: Id, preparation: &Preparation) {
        let assigned = |action: &domain::work::automation::Dispatch| {
            let user = action.body.get("assignee")?.as_str()?.parse().ok()?;
            (action.kind == Task::KIND).then_some((action.id, user))
        };
        let expected: Expected = preparation.actions.iter().filter_map(assigned).collect();
        for (task, user) in &expected {
            if !self.created.contains(task) {
                self.give(*task, *user);
            }
        }
        if let Some(chosen) = preparation.chosen.last() {
            self.last.insert(rule, *chosen);
        }
        self.expected.insert(run, expected);
    }

    /// What a run was going to create will not be.
    pub(crate) fn give_up(&mut self, run: Id) {
        for (task, _) in self.expected.remove(&run).unwrap_or_default() {
            if !self.created.contains(&task) {
                self.take_away(task);
            }
        }
    }

    /// Whether a run is prepared and not over.
    pub(crate) fn expects(&self, run: Id) -> bool {
        self.expected.contains_key(&run)
    }

    /// The user whom a rule chose last.
    pub(crate) fn last(&self, rule: Id) -> Option<Id> {
        self.last.get(&rule).copied()
    }

    /// The colleagues among whom a rule chooses: nobody, when it is about orders and these are not to be distributed; the operators
    /// of its channel, when it gives somebody a conversation.
    pub(crate) fn people_for(&mut self, rule: &Compiled, scene: &Scene) -> Cow<'_, [Person]> {
        if rule.is_about_orders() && !self.settings.distributes_orders() {
            return Cow::Borrowed(&[]);
        }
        let operators = rule.channel(scene).and_then(|channel| self.operators.get(&channel).cloned());
        let people = self.people();
        match operators {
            Some(operators) => people.iter().filter(|person| operators.contains(&person.id)).cloned().collect(),
            None => Cow::Borrowed(people),
        }
    }

    /// The colleagues who can be given work: active ones with a role that exists.
    pub(crate) fn people(&mut self) -> &[Person] {
        if self.places.is_empty() {
            self.list();
        }
        &self.people
    }

    fn list(&mut self) {
        let mut teams: HashMap<Id, Vec<Id>> = HashMap::new();
        for (id, team) in self.teams.iter().filter(|(_, team)| !team.archived) {
            team.members.iter().for_each(|member| teams.entry(*member).or_default().push(*id));
        }
        let mut loads: HashMap<Id, u32> = HashMap::new();
        self.tasks.values().for_each(|user| *loads.entry(*user).or_default() += 1);
        let live = |role: Id| self.roles.get(&role).is_some_and(Role::exists);
        let able = self.users.iter().filter(|(_, user)| user.can_work(live));
        let person = |(id, user): (&Id, &User)| Person {
            id: *id,
            name: user.profile.name.to_string(),
            roles: user.roles.clone(),
            teams: teams.get(id).into_iter().flatten().copied().collect(),
            city: user.profile.city.clone(),
            presence: user.presence,
            load: loads.get(id).copied().unwrap_or_default(),
        };
        self.people = able.map(person).collect();
        self.places = self.people.iter().enumerate().map(|(place, person)| (person.id, place)).collect();
    }

    /// A colleague's name.
    pub(crate) fn name(&self, user: Id) -> Option<String> {
        self.users.get(&user).map(|user| user.profile.name.to_string())
    }
}

/// The types of events that say anything: most runs are skipped, and that says nothing.
fn types() -> Vec<String> {
    let kinds = [User::KIND, Role::KIND, Team::KIND, Task::KIND, Tenant::KIND, Channel::KIND]
        .into_iter()
        .filter_map(domain::catalogue::kind);
    let all = kinds.flat_map(|kind| kind.events.keys().map(move |event| format!("{}.{event}", kind.name)));
    let runs = ["prepared", "executed", "parked", "cancelled"].map(|event| format!("{}.{event}", RuleRun::KIND));
    all.chain(runs).collect()
}
