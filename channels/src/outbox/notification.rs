//! Notifications of colleagues: how each leaves by mail, in a chat and to browsers, and how it hears what became of it.

use std::{sync::Arc, time::Duration};

use commands::{Commands, Envelope, Refused};
use domain::{
    Actor, Aggregate, Id, PartyKind, Time, Via, catalogue,
    chat::{conversation::Conversation, email::Address},
    crm::contact::Contact,
    kernel::{email as addresses, reference::Subject},
    org::{
        notifying::{Kind, Medium},
        tenant::{Direction, Tenant},
        user::{self, User},
    },
    work::notification::{Command, Notification, Sent},
};
use eventstore::Recorded;
use jiff_sqlx::ToSqlx;
use reqwest::{
    StatusCode,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE},
};
use serde_json::json;

use super::{
    Outcome, Secrets,
    api::answered,
    item,
    push::{Browser, Sender},
};
use crate::{
    address,
    calling::Caller,
    keyed::Keyed,
    mail::{
        compose::{Letter, write},
        outgoing::Outgoing,
        smtp::{self, Login, Server},
    },
};

/// Most bytes of an answer that are read.
const ANSWER: usize = 4096;
/// How long a push service keeps what it cannot deliver, in seconds.
const KEPT: &str = "86400";
/// Most notifications of which one mail tells.
const MOST: usize = 200;

/// What happened, for putting into words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Of what somebody is told.
    pub kind: Kind,
    /// The kind of the record.
    pub record_kind: String,
    /// What the record is called, where it is called anything.
    pub called: Option<String>,
    /// What whoever did it is called.
    pub by: Option<String>,
    /// Where the record is: a path.
    pub path: String,
    /// The same with where Deskfold is, if that is known.
    pub url: Option<String>,
}

/// The words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// What it is about.
    pub title: String,
    /// The rest.
    pub text: String,
}

/// Puts what happened into words, in a language (BCP 47), for a medium.
pub type Wording = Arc<dyn Fn(Option<&str>, Medium, &[Told]) -> Words + Send + Sync>;

/// What is needed to reach colleagues.
#[derive(Clone)]
pub struct Reaching {
    /// Opens what is kept of them.
    pub secrets: Secrets,
    /// Puts things into words.
    pub wording: Wording,
    /// Where Deskfold is for them, where a tenant has no host name of its own.
    pub home: Option<String>,
    /// By what push services know us; nobody is pushed anything without.
    pub push: Keyed<Option<Sender>>,
}

/// A notification that is to leave by a medium.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) tenant: Id,
    pub(super) medium: Medium,
    pub(super) notification: Id,
    /// The browser, where it is pushed to one.
    pub(super) browser: Option<Id>,
    /// Of the event by which it was sent.
    pub(super) position: i64,
    /// What it leaves one after the other in.
    pub(super) lane: String,
    /// Whose pace it goes by.
    pub(super) pace: Id,
}

/// How notifications leave.
pub(super) struct Notifying {
    pub(super) commands: Commands,
    pub(super) reaching: Reaching,
    pub(super) mail: Outgoing,
    pub(super) caller: Caller,
}

/// Why something does not leave.
enum Stop {
    Outcome(Outcome),
    Refused(Refused),
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Stop {
        Stop::Refused(refused)
    }
}

fn failed(reason: impl Into<String>) -> Stop {
    Stop::Outcome(Outcome::Failed { reason: reason.into() })
}

fn later(reason: impl Into<String>) -> Stop {
    Stop::Outcome(Outcome::Later { reason: reason.into(), after: None })
}

/// A further notification of which the same mail tells.
struct Other {
    position: i64,
    notification: Id,
}

impl Notifying {
    /// Whether it still waits to leave, as the log has it.
    pub(super) async fn waits(&self, item: &Item) -> Result<bool, Refused> {
        let (known, _) = self.commands.load_current::<Notification>(item.tenant, item.notification).await?;
        Ok(known.waits(item.medium, item.browser))
    }

    pub(super) async fn send(&self, item: &Item, now: Time) -> Outcome {
        match self.try_to(item, now).await {
            Ok(outcome) | Err(Stop::Outcome(outcome)) => outcome,
            Err(Stop::Refused(refused)) => Outcome::Later { reason: refused.to_string(), after: None },
        }
    }

    async fn try_to(&self, item: &Item, now: Time) -> Result<Outcome, Stop> {
        let (known, _) = self.commands.load_current::<Notification>(item.tenant, item.notification).await?;
        let sent = known.sent.as_ref().ok_or_else(|| failed("what was told is gone"))?;
        let (user, _) = self.commands.load_current::<User>(item.tenant, sent.to).await?;
        if !user.is_active() {
            return Err(failed("whoever is told is shut out"));
        }
        match item.medium {
            Medium::Digest => self.digest(item, sent, &user, now).await,
            medium => {
                let told = self.told(item.tenant, sent).await?;
                let told = [told.ok_or_else(|| failed("whoever is told does not see the record any more"))?];
                match medium {
                    Medium::Chat => self.chat(item, sent.to, &user, &told, now).await,
                    Medium::Push => self.push(item, sent, &user, &told, now).await,
                    _ => self.post(item, &user, Medium::Email, &told, now).await,
                }
            }
        }
    }

    /// What is told of a notification; nothing where whoever is told does not see the record by now.
    async fn told(&self, tenant: Id, sent: &Sent) -> Result<Option<Told>, Refused> {
        let record = &sent.record;
        let is_test = sent.kind == Kind::Test;
        if !is_test && !self.commands.user_sees(tenant, sent.to, record).await? {
            return Ok(None);
        }
        let plural = catalogue::kind(&record.kind).map_or(&*record.kind, |kind| kind.plural);
        let path = match &*record.kind {
            _ if is_test => "/notifications".to_owned(),
            Conversation::KIND => format!("/inbox?state=all&chat={}", record.id),
            _ => format!("/records/{plural}/{}", record.id),
        };
        let home = match &self.reaching.home {
            Some(home) => Some(home.clone()),
            None => {
                let (company, _) = self.commands.load::<Tenant>(tenant, tenant).await?;
                company.host_names.first().map(|host| format!("https://{host}"))
            }
        };
        let by = match sent.by {
            Some(by) if by.kind == PartyKind::User => {
                Some(self.commands.load::<User>(tenant, by.id).await?.0.profile.name.0.clone())
            }
            Some(by) if by.kind == PartyKind::Contact => {
                let subject = Subject::new(Contact::KIND, by.id);
                let seen = self.commands.user_sees(tenant, sent.to, &subject).await?;
                if seen { self.commands.called(tenant, &subject).await? } else { None }
            }
            _ => None,
        };
        let url = home.map(|home| format!("{home}{path}"));
        let called = if is_test { None } else { self.commands.called(tenant, record).await? };
        Ok(Some(Told { kind: sent.kind, record_kind: record.kind.clone(), called, by, path, url }))
    }

    fn worded(&self, user: &User, medium: Medium, told: &[Told]) -> Words {
        (self.reaching.wording)(user.profile.locale.as_deref(), medium, told)
    }

    async fn chat(&self, item: &Item, to: Id, user: &User, told: &[Told], now: Time) -> Result<Outcome, Stop> {
        let credential = user.chat_webhook.ok_or_else(|| failed("no chat is named any more"))?;
        let url = (self.reaching.secrets)(item.tenant, to, credential).await.map_err(later)?;
        let url = url.ok_or_else(|| failed("the address of the chat is gone"))?;
        let words = self.worded(user, Medium::Chat, told);
        let body = json!({ "text": words.text }).to_string();
        let headers = [(CONTENT_TYPE.as_str(), "application/json".to_owned())];
        Ok(match self.caller.post(&url, &headers, body.into(), now, ANSWER).await {
            Ok(answer) => answered(&answer),
            Err(silence) => silence.into(),
        })
    }

    async fn push(&self, item: &Item, sent: &Sent, user: &User, told: &[Told], now: Time) -> Result<Outcome, Stop> {
        let sender =
            self.reaching.push.get().map_err(later)?.as_ref().ok_or_else(|| failed("there is no key to push with"))?;
        let browser = item.browser.filter(|browser| user.browsers.contains(browser));
        let browser = browser.ok_or_else(|| failed("the browser takes no messages any more"))?;
        let kept = (self.reaching.secrets)(item.tenant, sent.to, browser).await.map_err(later)?;
        let kept = kept.ok_or_else(|| failed("the address of the browser is gone"))?;
        let at: Browser = serde_json::from_str(&kept).map_err(|error| failed(error.to_string()))?;
        let words = self.worded(user, Medium::Push, told);
        let path = told.first().map(|told| told.path.as_str());
        let tag = item.notification.to_string();
        let message = json!({ "title": words.title, "body": words.text, "url": path, "tag": tag });
        let body = at.encrypt(message.to_string().as_bytes()).map_err(failed)?;
        let url = address::check(&at.endpoint, self.mail.private).map_err(failed)?;
        let authorization = sender.authorization(&url.origin().ascii_serialization(), now);
        let headers = [
            (AUTHORIZATION.as_str(), authorization),
            (CONTENT_ENCODING.as_str(), "aes128gcm".to_owned()),
            (CONTENT_TYPE.as_str(), "application/octet-stream".to_owned()),
            ("ttl", KEPT.to_owned()),
            // What is said again takes the place of what was said before.
            ("topic", tag),
        ];
        let answer = match self.caller.post(&at.endpoint, &headers, body.into(), now, ANSWER).await {
            Ok(answer) => answer,
            Err(silence) => return Ok(silence.into()),
        };
        if matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::GONE) {
            let envelope = Envelope::new(item.tenant, sent.to, Actor::SYSTEM, Via::Rule, now);
            let command = user::Command::UnsubscribeBrowser { browser };
            match self.commands.dispatch::<User>(&envelope, command).await {
                Ok(_) | Err(Refused::Rejected(_)) => {}
                Err(refused) => return Err(refused.into()),
            }
        }
        Ok(answered(&answer))
    }

    /// Sends a mail that tells of these.
    async fn post(&self, item: &Item, user: &User, medium: Medium, told: &[Told], now: Time) -> Result<Outcome, Stop> {
        let (company, _) = self.commands.load::<Tenant>(item.tenant, item.tenant).await?;
        // The password of a tenant's own server is its channels'.
        let own = company.mail_server(Direction::Outgoing).filter(|server| server.username.is_none()).cloned();
        let usual = self.mail.usual.as_ref();
        let server = own.clone().or_else(|| usual.map(|usual| usual.server.clone()));
        let server = server.ok_or_else(|| failed("there is no server that mail leaves through"))?;
        let is_usual = usual.is_some_and(|usual| usual.server == server);
        let login = match (&server.username, usual.and_then(|usual| usual.password.clone())) {
            (Some(name), Some(password)) if is_usual => Login::Password(name.clone(), password),
            _ => Login::None,
        };
        let home = told.iter().find_map(|told| told.url.as_deref()).and_then(|url| reqwest::Url::parse(url).ok());
        let own_domain = || {
            let domain = self.mail.post.domain.as_ref();
            domain.map(|domain| format!("{}.{domain}", item.tenant.to_string().to_ascii_lowercase()))
        };
        let host = || home.as_ref().and_then(|home| home.domain()).map(ToOwned::to_owned);
        let from = match server.username.as_ref().filter(|name| name.contains('@')) {
            Some(address) => address.clone(),
            None => {
                let domain = company.alias_domain.clone().or_else(own_domain).or_else(host);
                let domain = domain
                    .ok_or_else(|| failed("there is no domain to write from: give the tenant one for its aliases"))?;
                format!("notifications@{domain}")
            }
        };
        let (_, domain) = from.rsplit_once('@').unwrap_or(("", "localhost"));
        let domain = addresses::ascii(domain).ok_or_else(|| failed(format!("{domain} is no domain")))?;
        let words = self.worded(user, medium, told);
        let unsubscribe = home.map(|home| format!("{}/notifications#wants-title", home.origin().ascii_serialization()));
        let of = (item.notification.to_string().to_ascii_lowercase(), medium.name());
        let called = company.name.clone().unwrap_or_else(|| "Deskfold".into());
        let letter = Letter {
            from: Address { name: Some(called.into()), address: from.clone().into() },
            reply_to: None,
            to: vec![Address { name: Some(user.profile.name.clone()), address: user.profile.email.clone() }],
            cc: Vec::new(),
            bcc: Vec::new(),
            subject: words.title,
            text: words.text,
            signature: None,
            message_id: format!("{}.{}@{domain}", of.0, of.1),
            in_reply_to: None,
            references: Vec::new(),
            date: now,
            automatic: true,
            unsubscribe,
            files: Vec::new(),
        };
        let written = write(&letter, None).map_err(failed)?;
        let private = self.mail.private || is_usual;
        let patience: Duration = self.mail.patience;
        let server = Server { at: &server, login, hello: &domain, private, patience };
        Ok(match smtp::send(&server, &written).await {
            Outcome::Sent { .. } => Outcome::Sent { external_id: None },
            outcome => outcome,
        })
    }

    /// Sends the mail of a day: of this notification and of all others that wait for the same one. What it tells of is written down
    /// before, so that whoever comes after a crash knows of what it is not known whether it has left.
    async fn digest(&self, item: &Item, first: &Sent, user: &User, now: Time) -> Result<Outcome, Stop> {
        let store = |error: sqlx::Error| later(error.to_string());
        let pool = self.commands.log().pool();
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "select position, item from react_outbox
             where tenant_id = $1 and lane = $2 and sort = $3 and state = 'waiting' and due_at <= $4
             order by position limit $5",
        )
        .bind(item.tenant.to_string())
        .bind(&item.lane)
        .bind(item::NOTIFICATION_DIGEST)
        .bind(now.to_sqlx())
        .bind(MOST as i64)
        .fetch_all(pool)
        .await
        .map_err(store)?;
        let mut told: Vec<Told> = self.told(item.tenant, first).await?.into_iter().collect();
        let lead_is_seen = !told.is_empty();
        let (mut others, mut unseen) = (Vec::new(), Vec::new());
        for (position, stored) in rows {
            let Ok(notification) = stored.parse::<Id>() else { continue };
            let (known, _) = self.commands.load_current::<Notification>(item.tenant, notification).await?;
            let sent = known.sent.as_ref().filter(|_| known.waits(Medium::Digest, None));
            let seen = match sent {
                Some(sent) => self.told(item.tenant, sent).await?,
                None => None,
            };
            let other = Other { position, notification };
            match seen {
                Some(seen) => {
                    told.push(seen);
                    others.push(other);
                }
                None => unseen.push(other),
            }
        }
        let reason = || "whoever is told does not see the record any more, or has read it".to_owned();
        for other in &unseen {
            self.end(item, other, Outcome::Failed { reason: reason() }, now).await?;
        }
        if told.is_empty() {
            return Err(failed(reason()));
        }
        self.move_on(item, &others, "trying").await.map_err(store)?;
        let outcome = match self.post(item, user, Medium::Digest, &told, now).await {
            Ok(outcome) | Err(Stop::Outcome(outcome)) => outcome,
            Err(Stop::Refused(refused)) => Outcome::Later { reason: refused.to_string(), after: None },
        };
        if let Outcome::Later { .. } = outcome {
            self.move_on(item, &others, "waiting").await.map_err(store)?;
            return Ok(outcome);
        }
        for other in &others {
            self.end(item, other, outcome.clone(), now).await?;
        }
        Ok(if lead_is_seen { outcome } else { Outcome::Failed { reason: reason() } })
    }

    async fn move_on(&self, item: &Item, others: &[Other], state: &str) -> Result<(), sqlx::Error> {
        sqlx::query(
            "update react_outbox set state = $4
             where tenant_id = $1 and lane = $2 and position = any ($3)",
        )
        .bind(item.tenant.to_string())
        .bind(&item.lane)
        .bind(others.iter().map(|other| other.position).collect::<Vec<_>>())
        .bind(state)
        .execute(self.commands.log().pool())
        .await?;
        Ok(())
    }

    /// Says what became of another one that the same mail tells of, and forgets its row.
    async fn end(&self, item: &Item, other: &Other, outcome: Outcome, now: Time) -> Result<(), Stop> {
        let of = Item { notification: other.notification, position: other.position, ..item.clone() };
        self.tell(&of, outcome, None, now).await?;
        sqlx::query("delete from react_outbox where tenant_id = $1 and lane = $2 and position = $3")
            .bind(item.tenant.to_string())
            .bind(&item.lane)
            .bind(other.position)
            .execute(self.commands.log().pool())
            .await
            .map_err(|error| later(error.to_string()))?;
        Ok(())
    }

    /// Tells the notification what became of it; an outcome that ends nothing says nothing.
    ///
    /// # Errors
    /// When the log cannot be reached.
    pub(super) async fn tell(
        &self,
        item: &Item,
        outcome: Outcome,
        event: Option<&Recorded>,
        now: Time,
    ) -> Result<(), Refused> {
        let (medium, device) = (item.medium, item.browser);
        let command = match outcome {
            Outcome::Sent { .. } => Command::MarkDelivered { medium, device },
            Outcome::Failed { reason } => Command::MarkFailed { medium, device, reason },
            Outcome::Unknown { reason } => Command::MarkUncertain { medium, device, reason },
            Outcome::Later { .. } => return Ok(()),
        };
        let envelope = Envelope::new(item.tenant, item.notification, Actor::SYSTEM, Via::Rule, now);
        let envelope = match event.and_then(commands::Cause::of) {
            Some(cause) => envelope.caused_by(&cause),
            None => envelope,
        };
        match self.commands.dispatch::<Notification>(&envelope, command).await {
            Ok(_) | Err(Refused::Rejected(_)) => Ok(()),
            Err(refused) => Err(refused),
        }
    }
}
