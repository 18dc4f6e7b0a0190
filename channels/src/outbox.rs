//! What leaves: from the event that says so until it is known what became of it. Table: `react_outbox`.
//!
//! A reactor puts a row there for each message that is queued. One process at a time sends: it writes down that it tries
//! before it does, so that whoever comes after a crash knows of what it is not known whether it has left. Where a message that
//! is sent twice arrives once, it is then sent again; of any other a person decides. Nothing that the log says has left, failed
//! or is uncertain is ever sent, so that handling all events anew sends nothing.

mod api;
mod item;
mod message;
mod metrics;
mod notification;
pub mod push;
mod send;

use std::{sync::Arc, time::Duration};

use commands::{Clock, Commands, Refused};
use domain::{
    Aggregate, Id, Time,
    chat::{
        channel::Channel,
        conversation::{self, Conversation},
        email::Email,
    },
    desk::ticket::{self, Ticket},
    org::{notifying::Medium, user::User},
    work::notification::{Event as Notified, Notification},
};
use eventstore::{Failure, Handle, Handler, Recorded, Subscription, SubscriptionOptions};
use futures::future::BoxFuture;
use jiff_sqlx::ToSqlx;
use parking_lot::Mutex;
use prometheus::Registry;
use sqlx::PgConnection;
use tokio::task::JoinHandle;

pub use self::notification::{Reaching, Told, Wording, Words};
use self::{metrics::Metrics, send::Sender};
use crate::{calling::Silence, mail::outgoing::Outgoing, messengers::Messengers};

/// What of a channel's credentials is opened for whom: tenant, channel, and the id under which they are sealed.
pub type Secrets = Arc<dyn Fn(Id, Id, Id) -> BoxFuture<'static, Result<Option<String>, String>> + Send + Sync>;

/// What the outbox is told from outside.
pub struct Options {
    /// What time it is.
    pub clock: Clock,
    /// Opens credentials.
    pub secrets: Secrets,
    /// Whether programs at addresses of private networks may be called.
    pub private_addresses: bool,
    /// How long a program may take to answer.
    pub patience: Duration,
    /// How mail leaves.
    pub mail: Outgoing,
    /// How messengers are written to.
    pub messengers: Messengers,
    /// How colleagues are reached.
    pub reaching: Reaching,
    /// Where what it tells of itself is gathered.
    pub registry: Registry,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has left; the id that it has there.
    Sent {
        /// That id, if it was told.
        external_id: Option<String>,
    },
    /// It has not, and may later.
    Later {
        /// Why not.
        reason: String,
        /// Not before so long.
        after: Option<Duration>,
    },
    /// It never will.
    Failed {
        /// Why not.
        reason: String,
    },
    /// Nobody knows.
    Unknown {
        /// What happened.
        reason: String,
    },
}

impl From<Silence> for Outcome {
    fn from(silence: Silence) -> Outcome {
        match silence {
            Silence::Refused(reason) => Outcome::Failed { reason },
            Silence::Unreached(reason) => Outcome::Later { reason, after: None },
            Silence::Unknown(reason) => Outcome::Unknown { reason },
        }
    }
}

/// The outbox of this process.
pub struct Outbox {
    reactor: Mutex<Option<Handle>>,
    sender: Arc<Sender>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Outbox {
    /// Starts it.
    ///
    /// # Errors
    /// When its metrics are registered already.
    pub fn start(commands: &Commands, options: Options) -> Result<Outbox, prometheus::Error> {
        let metrics = Metrics::register(&options.registry)?;
        let log = commands.log();
        let durable = SubscriptionOptions { relaxed_commit: false, ..SubscriptionOptions::default() };
        let filler =
            Filler { commands: commands.clone(), clock: Arc::clone(&options.clock), mail: options.mail.clone() };
        let reactor = Subscription::spawn(log, filler, durable, log.metrics().clone());
        let sender = Arc::new(Sender::new(commands.clone(), options, metrics));
        let task = tokio::spawn(Arc::clone(&sender).run(reactor.position()));
        Ok(Outbox { reactor: Mutex::new(Some(reactor)), sender, task: Mutex::new(Some(task)) })
    }

    /// The clock was moved: what is due now is sent now.
    pub fn nudge(&self) {
        self.sender.nudge();
    }

    /// Waits until everything up to a position that is due now has been tried, by whatever process. Without limit: put a
    /// timeout around it.
    ///
    /// # Errors
    /// When it has stopped, or the database fails.
    pub async fn settle(&self, position: i64) -> Result<(), eventstore::Error> {
        let stopped = || eventstore::Error::Invalid("the outbox has stopped".into());
        let mut reached = self.reactor.lock().as_ref().map(Handle::position).ok_or_else(stopped)?;
        reached.wait_for(|reached| *reached >= position).await.map_err(|_| stopped())?;
        Ok(self.sender.idle().await?)
    }

    /// Finishes what is under way and gives up the leases.
    pub async fn stop(&self) {
        self.sender.stop();
        let (task, reactor) = (self.task.lock().take(), self.reactor.lock().take());
        if let Some(task) = task {
            // A task that panicked has been reported.
            let _ = task.await;
        }
        if let Some(reactor) = reactor {
            reactor.stop().await;
        }
    }
}

/// Puts into the outbox what is queued.
struct Filler {
    commands: Commands,
    clock: Clock,
    mail: Outgoing,
}

impl Handler for Filler {
    fn name(&self) -> &str {
        "react_outbox"
    }

    fn version(&self) -> i32 {
        1
    }

    fn categories(&self) -> &[&str] {
        &[Conversation::KIND, Email::KIND, Notification::KIND, Ticket::KIND]
    }

    fn concerns(&self, event: &Recorded) -> bool {
        CONCERNS.contains(&&*event.kind)
    }

    async fn handle(&mut self, transaction: &mut PgConnection, batch: &[Arc<Recorded>]) -> Result<(), Failure> {
        for event in batch.iter().filter(|event| self.concerns(event)) {
            let (Ok(tenant), Ok(id)) = (event.tenant.parse::<Id>(), event.key().parse::<Id>()) else { continue };
            let leaving = self.leaving(tenant, id, event).await.map_err(|refused| unavailable(&refused))?;
            for Leaving { sort, lane, item, channel, due_at } in leaving {
                sqlx::query(
                    "insert into react_outbox (tenant_id, position, sort, lane, item, channel_id, due_at)
                     values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing",
                )
                .bind(&*event.tenant)
                .bind(event.position)
                .bind(sort)
                .bind(lane)
                .bind(item.to_string())
                .bind(channel.to_string())
                .bind(due_at.to_sqlx())
                .execute(&mut *transaction)
                .await?;
            }
        }
        Ok(())
    }
}

/// Events by which something is queued.
const CONCERNS: &[&str] = &[
    "conversation.message_queued",
    "conversation.message_reaction_queued",
    "conversation.transcript_queued",
    "email.queued",
    "email.requeued",
    "notification.sent",
    "ticket.reply_queued",
];

/// What is put into the outbox.
struct Leaving {
    sort: &'static str,
    lane: String,
    item: Id,
    channel: Id,
    due_at: Time,
}

impl Filler {
    /// What leaves for an event; nothing where it does not wait any more, or a program sends, and says so.
    async fn leaving(&self, tenant: Id, id: Id, event: &Recorded) -> Result<Vec<Leaving>, Refused> {
        let leaving = match event.category() {
            Notification::KIND => return self.notification(tenant, id, event).await,
            Ticket::KIND => self.reply(tenant, id, event).await?,
            Email::KIND => self.email(tenant, id).await?,
            _ if &*event.kind == "conversation.transcript_queued" => self.transcript(tenant, id, event).await?,
            _ if &*event.kind == "conversation.message_reaction_queued" => self.reaction(tenant, id, event).await?,
            _ => self.message(tenant, id, event).await?,
        };
        Ok(leaving.into_iter().collect())
    }

    /// What a colleague is told leaves by each medium that calls him, and to each of his browsers.
    async fn notification(&self, tenant: Id, id: Id, event: &Recorded) -> Result<Vec<Leaving>, Refused> {
        let Ok(Notified::Sent(sent)) = Notification::decode(&event.kind, &event.data) else { return Ok(Vec::new()) };
        let (known, _) = self.commands.load_current::<Notification>(tenant, id).await?;
        let soon = sent.held_until.unwrap_or_else(|| (self.clock)());
        // Each goes by a pace of its own: a chat that wants to be left alone holds up no mail.
        let own = |medium: Medium| Id::named(&["notified", &sent.to.to_string(), medium.name()]);
        let mut leaving = Vec::new();
        for medium in &sent.medium {
            let (lane, channel) = (format!("{id}/{}", medium.name()), own(*medium));
            let (sort, lane, due_at) = match medium {
                Medium::InApp => continue,
                Medium::Email => (item::NOTIFICATION_EMAIL, lane, soon),
                Medium::Chat => (item::NOTIFICATION_CHAT, lane, soon),
                Medium::Digest => {
                    (item::NOTIFICATION_DIGEST, format!("{}/digest", sent.to), sent.digest_at.unwrap_or(soon))
                }
                Medium::Push => {
                    let (user, _) = self.commands.load_current::<User>(tenant, sent.to).await?;
                    for browser in user.browsers.iter().filter(|browser| known.waits(*medium, Some(**browser))) {
                        let lane = format!("{id}/{browser}");
                        let sort = item::NOTIFICATION_PUSH;
                        leaving.push(Leaving { sort, lane, item: *browser, channel, due_at: soon });
                    }
                    continue;
                }
            };
            if known.waits(*medium, None) {
                let item = match medium {
                    Medium::Digest => id,
                    medium => Id::named(&["notified", &id.to_string(), medium.name()]),
                };
                leaving.push(Leaving { sort, lane, item, channel, due_at });
            }
        }
        Ok(leaving)
    }

    async fn message(&self, tenant: Id, id: Id, event: &Recorded) -> Result<Option<Leaving>, Refused> {
        let Ok(conversation::Event::MessageQueued { message_id, .. }) = Conversation::decode(&event.kind, &event.data)
        else {
            return Ok(None);
        };
        let (known, _) = self.commands.load_current::<Conversation>(tenant, id).await?;
        let Some(channel) = known.channel().filter(|_| known.is_queued(message_id)) else { return Ok(None) };
        self.in_conversation(tenant, id, channel, item::MESSAGE, message_id).await
    }

    async fn reaction(&self, tenant: Id, id: Id, event: &Recorded) -> Result<Option<Leaving>, Refused> {
        let Ok(conversation::Event::MessageReactionQueued { message_id, .. }) =
            Conversation::decode(&event.kind, &event.data)
        else {
            return Ok(None);
        };
        let (known, _) = self.commands.load_current::<Conversation>(tenant, id).await?;
        let waits = known.waiting_reaction(message_id).is_some();
        let Some(channel) = known.channel().filter(|_| waits) else { return Ok(None) };
        self.in_conversation(tenant, id, channel, item::REACTION, message_id).await
    }

    /// What leaves in a conversation, unless a program sends what is said there.
    async fn in_conversation(
        &self,
        tenant: Id,
        id: Id,
        channel: Id,
        sort: &'static str,
        item: Id,
    ) -> Result<Option<Leaving>, Refused> {
        let carried = self.commands.find::<Channel>(tenant, channel).await?;
        let sends = carried.and_then(|channel| channel.can()).is_some_and(|can| can.sends);
        let due_at = (self.clock)();
        Ok(sends.then_some(Leaving { sort, lane: id.to_string(), item, channel, due_at }))
    }

    async fn reply(&self, tenant: Id, id: Id, event: &Recorded) -> Result<Option<Leaving>, Refused> {
        let Ok(ticket::Event::ReplyQueued { message_id, send_at, .. }) = Ticket::decode(&event.kind, &event.data)
        else {
            return Ok(None);
        };
        let Some((channel, undo)) = self.mail.leaves_by(tenant, id, message_id).await? else { return Ok(None) };
        let lane = match send_at {
            Some(_) => format!("{id}/{message_id}"),
            None => id.to_string(),
        };
        let due_at = due((self.clock)(), undo, send_at);
        Ok(Some(Leaving { sort: item::REPLY, lane, item: message_id, channel, due_at }))
    }

    async fn transcript(&self, tenant: Id, id: Id, event: &Recorded) -> Result<Option<Leaving>, Refused> {
        let Ok(conversation::Event::TranscriptQueued { transcript_id, .. }) =
            Conversation::decode(&event.kind, &event.data)
        else {
            return Ok(None);
        };
        let Some(channel) = self.mail.tells_by(tenant, id, transcript_id).await? else { return Ok(None) };
        let (lane, due_at) = (format!("{id}/{transcript_id}"), (self.clock)());
        Ok(Some(Leaving { sort: item::TRANSCRIPT, lane, item: transcript_id, channel, due_at }))
    }

    async fn email(&self, tenant: Id, id: Id) -> Result<Option<Leaving>, Refused> {
        let Some((channel, undo, send_at)) = self.mail.leaves(tenant, id).await? else { return Ok(None) };
        let due_at = due((self.clock)(), undo, send_at);
        Ok(Some(Leaving { sort: item::EMAIL, lane: id.to_string(), item: id, channel, due_at }))
    }
}

/// When something leaves that can be taken back for a while, and not before a time of its own.
fn due(from: Time, undo: Duration, send_at: Option<Time>) -> Time {
    let undone = from.checked_add(undo).unwrap_or(from);
    send_at.map_or(undone, |at| at.max(undone))
}

/// The log is out of reach: the batch is handled again.
fn unavailable(refused: &Refused) -> Failure {
    Failure::Store(sqlx::Error::Protocol(refused.to_string()))
}
