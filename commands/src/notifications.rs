//! The reactor of notifications: whom an event concerns besides whoever did it, and that he is told of it once.
//!
//! Notices are another thing: they ask whoever looks after the system for attention. A notification is one person's.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use domain::{
    Actor, ActorKind, Aggregate, Id, Metadata, Party, Via, catalogue,
    chat::conversation::Conversation,
    crm::comment::{self, Comment},
    desk::ticket::{self, Ticket},
    kernel::{
        mention::{self, Person},
        reference::Subject,
    },
    org::{notifying::Kind, user::User},
    work::{
        notification::{Command, New, Notification},
        task::{self, Task},
    },
};
use eventstore::{Direction, Failure, Handler, Query, Recorded};
use futures::FutureExt;
use parking_lot::Mutex;
use serde::Deserialize;
use sqlx::PgConnection;

use crate::{
    Clock, Commands, Envelope, Refused,
    acting::{at_once, command_id},
    scene,
};

/// Events that concern colleagues, besides that records are given another owner.
const CONCERNS: &[&str] = &[
    "comment.added",
    "comment.edited",
    "conversation.assigned",
    "task.assigned",
    "task.became_due_soon",
    "task.became_overdue",
    "ticket.assigned",
    "ticket.message_received",
    "ticket.note_added",
    "ticket.reply_queued",
];
/// That a record has another owner.
const OWNER_CHANGED: &str = ".owner_changed";
/// Events of users by which it is known what they are called.
const NAMING: [&str; 4] = ["user.invited", "user.activated", "user.deactivated", "user.profile_changed"];
/// Such events that are read at once.
const PAGE: i64 = 1000;

/// The colleagues of a tenant, as far as they can be named.
#[derive(Clone, Default)]
struct Colleagues {
    position: i64,
    users: BTreeMap<Id, User>,
}

/// The reactor.
pub(crate) struct Notifications {
    commands: Commands,
    clock: Clock,
    colleagues: Mutex<BTreeMap<Id, Arc<Colleagues>>>,
}

/// Whom an event concerns: of what he is told, and with which record, the first of these that he sees.
type Concerned = BTreeMap<Id, (Kind, Vec<Subject>)>;

/// Somebody who is given something.
#[derive(Deserialize)]
struct Given {
    to: Option<Id>,
}

impl Notifications {
    pub(crate) fn new(commands: Commands, clock: Clock) -> Notifications {
        Notifications { commands, clock, colleagues: Mutex::default() }
    }

    async fn answer(&self, event: &Recorded) -> Result<(), Refused> {
        let (Ok(tenant), Ok(id)) = (event.tenant.parse::<Id>(), event.key().parse::<Id>()) else { return Ok(()) };
        let Some(metadata) = scene::metadata(event) else { return Ok(()) };
        // What is brought in from elsewhere happened there.
        if metadata.via == Via::Import {
            return Ok(());
        }
        let concerned = self.concerned(tenant, id, event).await?;
        let (who, by) = done_by(&metadata.actor);
        for (to, (kind, records)) in concerned {
            // Nobody is told of his own deed. What a rule does is the rule's.
            if who == Some(to) {
                continue;
            }
            let Some(record) = self.seen(tenant, to, event, id, records).await? else { continue };
            self.tell(tenant, event, &metadata, New { to, kind, record, by, quietly: false, only: None }).await?;
        }
        Ok(())
    }

    /// The first of these records that somebody sees, if he sees what happened too.
    async fn seen(
        &self,
        tenant: Id,
        to: Id,
        event: &Recorded,
        id: Id,
        records: Vec<Subject>,
    ) -> Result<Option<Subject>, Refused> {
        let own = Subject::new(event.category(), id);
        if !self.commands.user_sees(tenant, to, &own).await? {
            return Ok(None);
        }
        for record in records {
            if record == own || self.commands.user_sees(tenant, to, &record).await? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    async fn tell(&self, tenant: Id, event: &Recorded, metadata: &Metadata, new: New) -> Result<(), Refused> {
        let cause = event.id.to_string();
        let id = Notification::id_for(tenant, &cause, new.to);
        let quietly = is_one_of_many(metadata);
        let envelope = Envelope::new(tenant, id, Actor::SYSTEM, Via::Rule, (self.clock)());
        let envelope = envelope.caused_by(&scene::cause(event, metadata, 0));
        let command_id = command_id(&["notification", &id.to_string()]);
        // In the list they stand in the order in which things happened, in whatever order they are written.
        let envelope = Envelope { command_id, occurred_at: Some(event.occurred_at), ..envelope };
        match self.commands.dispatch::<Notification>(&envelope, Command::Send(New { quietly, ..new })).await {
            Ok(_) | Err(Refused::Rejected(_)) => Ok(()),
            Err(refused) => Err(refused),
        }
    }

    /// Whom an event concerns.
    async fn concerned(&self, tenant: Id, id: Id, event: &Recorded) -> Result<Concerned, Refused> {
        let record = || vec![Subject::new(event.category(), id)];
        let only = |to: Option<Id>, kind| to.map(|to| (to, (kind, record()))).into_iter().collect::<Concerned>();
        let broken = |error: domain::kernel::named::Undecodable| Refused::Broken(error.to_string());
        Ok(match event.category() {
            Task::KIND => match Task::decode(&event.kind, &event.data).map_err(broken)? {
                task::Event::Assigned { to, rule_run: Some(_), .. } => only(Some(to), Kind::RuleTask),
                task::Event::Assigned { to, .. } => only(Some(to), Kind::Assigned),
                task::Event::BecameDueSoon { .. } => only(self.assignee(tenant, id).await?, Kind::DueSoon),
                task::Event::BecameOverdue { .. } => only(self.assignee(tenant, id).await?, Kind::Overdue),
                _ => Concerned::new(),
            },
            Ticket::KIND => match Ticket::decode(&event.kind, &event.data).map_err(broken)? {
                ticket::Event::Assigned { to, .. } => only(Some(to), Kind::Assigned),
                ticket::Event::NoteAdded { body, .. } => {
                    let mentioned = self.mentioned(tenant, event.position, &body).await?;
                    self.told_of_ticket(tenant, id, mentioned).await?
                }
                ticket::Event::MessageReceived { .. } | ticket::Event::ReplyQueued { again: false, .. } => {
                    self.told_of_ticket(tenant, id, BTreeSet::new()).await?
                }
                _ => Concerned::new(),
            },
            Comment::KIND => match Comment::decode(&event.kind, &event.data).map_err(broken)? {
                comment::Event::Added(new) => {
                    let mentioned = self.mentioned(tenant, event.position, &new.text).await?;
                    let mut told = Concerned::new();
                    for subject in &new.subjects {
                        for holder in self.holders(tenant, subject).await? {
                            told.entry(holder).or_insert_with(|| (Kind::Replied, new.subjects.clone()));
                        }
                    }
                    told.extend(mentioned.into_iter().map(|to| (to, (Kind::Mentioned, new.subjects.clone()))));
                    told
                }
                comment::Event::Edited { from, to } => {
                    let before = self.mentioned(tenant, event.position, &from).await?;
                    let after = self.mentioned(tenant, event.position, &to).await?;
                    let (comment, _) = self.commands.load_current::<Comment>(tenant, id).await?;
                    let subjects = comment.added.as_ref().map(|new| new.subjects.clone()).unwrap_or_default();
                    after.difference(&before).map(|to| (*to, (Kind::Mentioned, subjects.clone()))).collect()
                }
                comment::Event::Deleted { .. } => Concerned::new(),
            },
            // Of what is said in chats the inbox tells.
            _ => match event.decode::<Given>() {
                Ok(Given { to }) => only(to, Kind::Assigned),
                Err(_) => Concerned::new(),
            },
        })
    }

    /// Those who are told of what is said in a ticket: whoever was named is told that.
    async fn told_of_ticket(&self, tenant: Id, id: Id, mentioned: BTreeSet<Id>) -> Result<Concerned, Refused> {
        let (ticket, _) = self.commands.load_current::<Ticket>(tenant, id).await?;
        let record = || vec![Subject::new(Ticket::KIND, id)];
        let mut told: Concerned = ticket.concerned().into_iter().map(|to| (to, (Kind::Replied, record()))).collect();
        told.extend(mentioned.into_iter().map(|to| (to, (Kind::Mentioned, record()))));
        Ok(told)
    }

    async fn assignee(&self, tenant: Id, id: Id) -> Result<Option<Id>, Refused> {
        Ok(self.commands.load_current::<Task>(tenant, id).await?.0.assignee)
    }

    /// Those whose a record is, of whatever kind.
    async fn holders(&self, tenant: Id, subject: &Subject) -> Result<BTreeSet<Id>, Refused> {
        if subject.kind == Ticket::KIND {
            return Ok(self.commands.load_current::<Ticket>(tenant, subject.id).await?.0.concerned());
        }
        let access = self.commands.access(tenant, subject).await?;
        Ok(access.assignee.into_iter().chain(access.owner).collect())
    }

    /// The colleagues whom a text names, as they were called then.
    async fn mentioned(&self, tenant: Id, position: i64, text: &str) -> Result<BTreeSet<Id>, Refused> {
        if !mention::mentions_anybody(text) {
            return Ok(BTreeSet::new());
        }
        let colleagues = self.colleagues(tenant, position).await?;
        let active = colleagues.users.iter().filter(|(_, user)| user.is_active());
        let person =
            |(id, user): (&Id, &'_ User)| (*id, user.profile.name.as_str().to_owned(), user.profile.email.0.clone());
        let people: Vec<(Id, String, String)> = active.map(person).collect();
        let people: Vec<Person<'_>> = people.iter().map(|(id, name, email)| Person { id: *id, name, email }).collect();
        Ok(mention::mentioned(text, &people))
    }

    /// The colleagues of a tenant up to a position at least.
    async fn colleagues(&self, tenant: Id, position: i64) -> Result<Arc<Colleagues>, Refused> {
        let mut known = self.colleagues.lock().get(&tenant).cloned().unwrap_or_default();
        if known.position >= position {
            return Ok(known);
        }
        let mut query = Query {
            tenant: Some(tenant.to_string()),
            after: Some(known.position),
            until: Some(position),
            direction: Direction::Forward,
            limit: PAGE,
            categories: vec![User::KIND.to_owned()],
            types: NAMING.map(ToOwned::to_owned).to_vec(),
            ..Query::default()
        };
        let colleagues = Arc::make_mut(&mut known);
        loop {
            let page = self.commands.log().read_all(&query).await?;
            for event in &page {
                let Ok(id) = event.key().parse::<Id>() else { continue };
                match User::decode(&event.kind, &event.data) {
                    Ok(happened) => colleagues.users.entry(id).or_default().evolve(&happened),
                    Err(error) => tracing::warn!(position = event.position, %error, "a name is not understood"),
                }
            }
            query.after = page.last().map(|event| event.position);
            if (page.len() as i64) < PAGE {
                break;
            }
        }
        colleagues.position = position;
        self.colleagues.lock().insert(tenant, Arc::clone(&known));
        Ok(known)
    }
}

/// The person who did something, and as whom he is named; nobody for what a rule or Deskfold itself did.
fn done_by(actor: &Actor) -> (Option<Id>, Option<Party>) {
    match actor.kind {
        ActorKind::User | ActorKind::Integration => (Some(actor.principal()), Some(Party::user(actor.principal()))),
        ActorKind::Customer => (Some(actor.id), Some(Party::contact(actor.id))),
        ActorKind::Visitor | ActorKind::Rule | ActorKind::Bot | ActorKind::System => (None, None),
    }
}

/// Whether something was done to many records at once: whoever is given hundreds finds them in the list.
fn is_one_of_many(metadata: &Metadata) -> bool {
    // What is done at once is one story that nobody's single command began.
    let single = metadata.correlation_id == metadata.command_id;
    metadata.causation_id.is_none() && !single
}

impl Handler for Notifications {
    fn name(&self) -> &str {
        "react_notifications"
    }

    fn version(&self) -> i32 {
        1
    }

    fn categories(&self) -> &[&str] {
        static CATEGORIES: std::sync::LazyLock<Vec<&'static str>> = std::sync::LazyLock::new(|| {
            let own = [Comment::KIND, Conversation::KIND, Task::KIND, Ticket::KIND];
            let owned = catalogue::kinds().filter(|kind| kind.commands.contains("change_owner")).map(|kind| kind.name);
            own.into_iter().chain(owned).collect()
        });
        &CATEGORIES
    }

    fn concerns(&self, event: &Recorded) -> bool {
        CONCERNS.contains(&&*event.kind) || event.kind.ends_with(OWNER_CHANGED)
    }

    async fn handle(&mut self, transaction: &mut PgConnection, batch: &[Arc<Recorded>]) -> Result<(), Failure> {
        let this = &*self;
        let concerning: Vec<_> = batch.iter().filter(|event| this.concerns(event)).collect();
        let Some(last) = concerning.last() else { return Ok(()) };
        // What was looked at is not told of anew, though others may see it by now.
        let place: i64 = sqlx::query_scalar("select position from react_notification_place for update")
            .fetch_one(&mut *transaction)
            .await?;
        sqlx::query("update react_notification_place set position = greatest(position, $1)")
            .bind(last.position)
            .execute(&mut *transaction)
            .await?;
        let answers = concerning.into_iter().filter(|event| event.position > place).map(|event| {
            async move {
                this.answer(event).await.map_err(|refused| match refused {
                    Refused::Broken(reason) => Failure::Poison { position: event.position, reason },
                    refused => Failure::Store(sqlx::Error::Protocol(refused.to_string())),
                })
            }
            .boxed()
        });
        at_once(answers.collect()).await.into_iter().collect()
    }
}
