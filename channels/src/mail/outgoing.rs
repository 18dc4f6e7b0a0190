//! What leaves by mail: answers in tickets, mails of their own, and what was said in chats. How each is written, by what server it goes, and how its record
//! hears what became of it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use commands::{Cause, Refused};
use domain::{
    Actor, ActorKind, Aggregate, Id, Metadata, Party, PartyKind, Time,
    chat::{
        channel::{Channel, Kind, Purpose},
        conversation::{self, Conversation},
        email::{self, Address, Email, address_of},
    },
    crm::contact::Contact,
    desk::ticket::{self, Attachment, Ticket},
    kernel::email as addresses,
    org::{
        tenant::{Direction, MailServer, Tenant},
        user::User,
    },
};
use eventstore::{Direction as Reading, Recorded};
use serde_json::json;

use super::{
    Post,
    compose::{File, Letter, Signing, write},
    oauth,
    smtp::{self, Login, Server},
    tokens::Of,
};
use crate::outbox::{Outcome, Secrets};

/// The server that mail leaves through where neither its channel nor its tenant names one.
#[derive(Clone)]
pub struct Usual {
    /// The server.
    pub server: MailServer,
    /// The password there.
    pub password: Option<String>,
}

/// How mail leaves.
#[derive(Clone)]
pub struct Outgoing {
    /// What mail needs of this process.
    pub post: Post,
    /// The usual server, if there is one.
    pub usual: Option<Usual>,
    /// Opens credentials.
    pub secrets: Secrets,
    /// Whether servers in private networks may be called.
    pub private: bool,
    /// How long a server may take to answer.
    pub patience: Duration,
}

/// What is to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) tenant: Id,
    /// A ticket and its reply, or a mail twice.
    pub(crate) of: Of,
    pub(crate) message: Id,
    pub(crate) channel: Id,
    /// Of the event by which it was queued.
    pub(crate) position: i64,
}

/// Why something does not leave now.
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

/// Where tickets come in whose answers leave by mail; elsewhere a program carries them, and says so.
const BY_MAIL: &[&str] = &["email", "form", "live_chat", "portal", "website"];

/// The channel by which what is answered in a ticket leaves: the one that its first mail came by, or its team's.
async fn channel_of(post: &Post, tenant: Id, ticket: &Ticket) -> Result<Option<(Id, Arc<Channel>)>, Refused> {
    let Some(opened) = ticket.opened().filter(|opened| BY_MAIL.contains(&opened.channel.as_str())) else {
        return Ok(None);
    };
    let came = opened.origin.as_deref().and_then(|origin| origin.strip_prefix("emails/")?.parse::<Id>().ok());
    let came = match came {
        Some(email) => post.commands.find::<Email>(tenant, email).await?,
        None => None,
    };
    let came = came.and_then(|email| email.received.as_ref().map(|received| received.channel));
    let of_team = opened.team.map(|team| Channel::of_team(team, Kind::Email));
    for id in came.into_iter().chain(of_team) {
        let known = post.commands.find::<Channel>(tenant, id).await?;
        if let Some(known) = known.filter(|known| known.kind == Some(Kind::Email) && known.enabled) {
            return Ok(Some((id, known)));
        }
    }
    Ok(None)
}

impl Outgoing {
    /// The server that mail of a channel leaves through, if there is one.
    async fn server(&self, tenant: Id, channel: &Channel) -> Result<Option<MailServer>, Refused> {
        if let Some(own) = &channel.mail.outgoing {
            return Ok(Some(own.server.clone()));
        }
        let (company, _) = self.post.commands.load::<Tenant>(tenant, tenant).await?;
        let tenants = company.mail_server(Direction::Outgoing).cloned();
        Ok(tenants.or_else(|| self.usual.as_ref().map(|usual| usual.server.clone())))
    }

    /// By which channel a reply leaves, and for how long it can be taken back; `None` where nothing here sends it.
    pub(crate) async fn leaves_by(
        &self,
        tenant: Id,
        ticket: Id,
        message: Id,
    ) -> Result<Option<(Id, Duration)>, Refused> {
        let (known, _) = self.post.commands.load_current::<Ticket>(tenant, ticket).await?;
        if !known.is_queued(message) {
            return Ok(None);
        }
        let Some((id, channel)) = channel_of(&self.post, tenant, &known).await? else { return Ok(None) };
        self.sends(tenant, id, &channel).await
    }

    /// The same of a mail of its own.
    pub(crate) async fn leaves(&self, tenant: Id, email: Id) -> Result<Option<(Id, Duration, Option<Time>)>, Refused> {
        let (known, _) = self.post.commands.load_current::<Email>(tenant, email).await?;
        let Some(new) = known.new.as_ref().filter(|_| known.is_queued()) else { return Ok(None) };
        let id = match (new.channel, new.ticket) {
            (Some(id), _) => Some(id),
            (None, Some(ticket)) => {
                let (ticket, _) = self.post.commands.load_current::<Ticket>(tenant, ticket).await?;
                let opened = ticket.opened();
                let by_team = opened.and_then(|opened| opened.team).map(|team| Channel::of_team(team, Kind::Email));
                channel_of(&self.post, tenant, &ticket).await?.map(|(id, _)| id).or(by_team)
            }
            (None, None) => None,
        };
        // Where it cannot leave it is told why.
        let id = id.unwrap_or(Id::NIL);
        let channel = self.post.commands.find::<Channel>(tenant, id).await?;
        let undo = channel.and_then(|channel| channel.mail.undo_s).map(u64::from).unwrap_or_default();
        Ok(Some((id, Duration::from_secs(undo), new.send_at)))
    }

    /// The channel by which what was said in a conversation is told by mail: that of the team which answered.
    pub(crate) async fn tells_by(&self, tenant: Id, id: Id, transcript: Id) -> Result<Option<Id>, Refused> {
        let (known, _) = self.post.commands.load_current::<Conversation>(tenant, id).await?;
        let Some(held) = known.channel().filter(|_| known.transcript_queued(transcript).is_some()) else {
            return Ok(None);
        };
        let Some(team) = self.post.commands.find::<Channel>(tenant, held).await?.and_then(|held| held.team) else {
            return Ok(None);
        };
        let id = Channel::of_team(team, Kind::Email);
        let Some(channel) = self.post.commands.find::<Channel>(tenant, id).await? else { return Ok(None) };
        if !channel.enabled {
            return Ok(None);
        }
        Ok(self.sends(tenant, id, &channel).await?.map(|(id, _)| id))
    }

    async fn sends(&self, tenant: Id, id: Id, channel: &Channel) -> Result<Option<(Id, Duration)>, Refused> {
        let is_known = self.server(tenant, channel).await?.is_some();
        let has_address = self.post.address_of(tenant, channel).await?.is_some();
        let undo = Duration::from_secs(channel.mail.undo_s.map(u64::from).unwrap_or_default());
        Ok((is_known && has_address).then_some((id, undo)))
    }

    /// Whether something still waits to be sent, as the log has it: nothing else ever leaves.
    pub(crate) async fn waits(&self, item: &Item) -> Result<bool, Refused> {
        let commands = &self.post.commands;
        Ok(match item.of {
            Of::Ticket(ticket) => commands.load_current::<Ticket>(item.tenant, ticket).await?.0.is_queued(item.message),
            Of::Email(email) => commands.load_current::<Email>(item.tenant, email).await?.0.is_queued(),
            Of::Transcript(id) => {
                let (known, _) = commands.load_current::<Conversation>(item.tenant, id).await?;
                known.transcript_queued(item.message).is_some()
            }
        })
    }

    pub(crate) async fn send(&self, item: &Item, event: Option<Recorded>, now: Time) -> Outcome {
        match self.try_to(item, event, now).await {
            Ok(outcome) | Err(Stop::Outcome(outcome)) => outcome,
            Err(Stop::Refused(refused)) => Outcome::Later { reason: refused.to_string(), after: None },
        }
    }

    async fn try_to(&self, item: &Item, event: Option<Recorded>, now: Time) -> Result<Outcome, Stop> {
        let Item { tenant, channel: id, .. } = *item;
        let event = event.ok_or_else(|| failed("what was written is gone"))?;
        let (channel, _) = self.post.commands.load_current::<Channel>(tenant, id).await?;
        if channel.kind != Some(Kind::Email) || !channel.enabled {
            return Err(failed("the channel is disabled"));
        }
        let Some((address, plus)) = self.post.address_of(tenant, &channel).await? else {
            return Err(failed(
                "the channel has no address: give it one, or its team an alias and the tenant a domain",
            ));
        };
        let (_, domain) = address.rsplit_once('@').unwrap_or(("", "localhost"));
        let domain = addresses::ascii(domain).ok_or_else(|| failed(format!("{domain} is no domain")))?;
        let letter = self.letter(item, &event, &channel, (&address, plus), &domain, now).await?;
        let signing = match &channel.mail.dkim {
            Some(dkim) => {
                let key = self.secret(tenant, id, &channel, Purpose::Dkim).await?;
                Some((dkim, key.ok_or_else(|| failed("the channel has no key for DKIM"))?))
            }
            None => None,
        };
        let signing =
            signing.as_ref().map(|(dkim, key)| Signing { selector: &dkim.selector, domain: &dkim.domain, key });
        let written = write(&letter, signing.as_ref()).map_err(failed)?;
        let Some(server) = self.server(tenant, &channel).await? else {
            return Err(failed("there is no server that mail leaves through"));
        };
        let login = self.login(tenant, id, &channel, &server).await?;
        // Whoever runs this names the usual one.
        let private = self.private || self.usual.as_ref().is_some_and(|usual| usual.server == server);
        let server = Server { at: &server, login, hello: &domain, private, patience: self.patience };
        Ok(match smtp::send(&server, &written).await {
            Outcome::Sent { .. } => Outcome::Sent { external_id: Some(letter.message_id) },
            outcome => outcome,
        })
    }

    async fn secret(&self, tenant: Id, id: Id, channel: &Channel, of: Purpose) -> Result<Option<String>, Stop> {
        match channel.credential_of(of) {
            Some(credential) => (self.secrets)(tenant, id, credential).await.map_err(later),
            None => Ok(None),
        }
    }

    async fn login(&self, tenant: Id, id: Id, channel: &Channel, server: &MailServer) -> Result<Login, Stop> {
        let Some(name) = server.username.clone() else { return Ok(Login::None) };
        let usual = self.usual.as_ref().filter(|usual| usual.server == *server);
        let sealed = match self.secret(tenant, id, channel, Purpose::Outgoing).await? {
            Some(sealed) => Some(sealed),
            None => usual.and_then(|usual| usual.password.clone()),
        };
        let sealed = sealed.ok_or_else(|| later("the channel has no password for its server"))?;
        match channel.mail.outgoing.as_ref().and_then(|outgoing| outgoing.oauth.as_ref()) {
            Some(oauth) => {
                let token = oauth::token(oauth, &sealed, self.private, self.patience).await.map_err(later)?;
                Ok(Login::Token(name, token))
            }
            None => Ok(Login::Password(name, sealed)),
        }
    }

    async fn letter(
        &self,
        item: &Item,
        event: &Recorded,
        channel: &Channel,
        (address, plus): (&str, bool),
        domain: &str,
        now: Time,
    ) -> Result<Letter, Stop> {
        let tenant = item.tenant;
        let tokens = self.post.tokens.get().map_err(later)?;
        let message_id = tokens.message_id(tenant, item.of, item.message, domain);
        let token = tokens.token(tenant, item.of);
        let answers = plus.then(|| plus_address(address, &token)).flatten();
        let (agent, automatic) = self.agent(tenant, event).await?;
        let called = channel.mail.sender_name.clone().unwrap_or_else(|| channel.name.clone());
        let signature = match &channel.mail.signature {
            Some(template) => Some(rendered(template, &agent, &channel.name).map_err(failed)?),
            None => None,
        };
        let name = if agent.is_empty() { called } else { format!("{agent} ({called})") };
        let from = Address { name: Some(name.into()), address: address.into() };
        let letter = Letter {
            from,
            reply_to: answers,
            to: Vec::new(),
            cc: Vec::new(),
            bcc: Vec::new(),
            subject: String::new(),
            text: String::new(),
            signature,
            message_id,
            in_reply_to: None,
            references: Vec::new(),
            date: now,
            automatic,
            unsubscribe: None,
            files: Vec::new(),
        };
        match item.of {
            Of::Ticket(ticket) => self.reply(letter, tenant, ticket, event).await,
            Of::Email(email) => self.mail(letter, tenant, email).await,
            Of::Transcript(id) => self.transcript(letter, tenant, id, event).await,
        }
    }

    /// An answer in a ticket: to whoever asks, and all who take part.
    async fn reply(&self, letter: Letter, tenant: Id, ticket: Id, event: &Recorded) -> Result<Letter, Stop> {
        let Ok(ticket::Event::ReplyQueued { body, attachments, .. }) = Ticket::decode(&event.kind, &event.data) else {
            return Err(failed("what was written cannot be read"));
        };
        let (known, _) = self.post.commands.load_current::<Ticket>(tenant, ticket).await?;
        let Some(opened) = known.opened() else { return Err(failed("the ticket is gone")) };
        let to = match opened.requester {
            Some(party) => self.party(tenant, party).await?,
            None => None,
        };
        let mut cc = Vec::new();
        for contact in known.participants() {
            cc.extend(self.party(tenant, Party::contact(contact)).await?);
        }
        let mut seen: BTreeSet<String> = to.iter().map(Address::key).collect();
        cc.retain(|other| seen.insert(other.key()));
        let to = match to {
            Some(to) => vec![to],
            None if cc.is_empty() => return Err(failed("nobody who takes part has an e-mail address")),
            None => vec![cc.remove(0)],
        };
        let (in_reply_to, references) = self.thread(tenant, ticket, event.position).await?;
        let title = opened.title.trim();
        let again = title.get(..3).is_some_and(|begin| begin.eq_ignore_ascii_case("re:"));
        let title: String = title.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let subject = format!("{}{title} [#{}]", if again { "" } else { "Re: " }, opened.number);
        let files = self.files(tenant, &attachments).await?;
        Ok(Letter { to, cc, subject, text: body.0, in_reply_to, references, files, ..letter })
    }

    /// A mail of its own.
    async fn mail(&self, letter: Letter, tenant: Id, email: Id) -> Result<Letter, Stop> {
        let (known, _) = self.post.commands.load_current::<Email>(tenant, email).await?;
        let Some(new) = known.new.as_deref().cloned() else { return Err(failed("what was written is gone")) };
        let email::New { to, cc, bcc, subject, mut body, attachments, contact, sign_in_code, .. } = new;
        if sign_in_code {
            let code = self.post.tokens.get().map_err(later)?.code(tenant, email);
            body.0 = body.0.replace("{code}", &code);
        }
        let to = match (to.is_empty(), contact) {
            (true, Some(contact)) => self.party(tenant, Party::contact(contact)).await?.into_iter().collect(),
            _ => to,
        };
        if to.is_empty() {
            return Err(failed("the contact has no e-mail address any more"));
        }
        let files = self.files(tenant, &attachments).await?;
        Ok(Letter { to, cc, bcc, subject: subject.0, text: body.0, files, ..letter })
    }

    /// What was said in a conversation, up to where it was when somebody asked for it.
    async fn transcript(&self, letter: Letter, tenant: Id, id: Id, event: &Recorded) -> Result<Letter, Stop> {
        let Ok(conversation::Event::TranscriptQueued { email, up_to, language, .. }) =
            Conversation::decode(&event.kind, &event.data)
        else {
            return Err(failed("what was asked for cannot be read"));
        };
        let (company, _) = self.post.commands.load::<Tenant>(tenant, tenant).await?;
        let zone = jiff::tz::TimeZone::get(&company.time_zone()).unwrap_or(jiff::tz::TimeZone::UTC);
        let said = self.said(tenant, id, up_to, &zone).await?;
        if said.is_empty() {
            return Err(failed("nothing was said"));
        }
        let called = letter.from.name.as_ref().map(|name| name.0.clone()).unwrap_or_default();
        let language = language.or_else(|| company.language()).unwrap_or_default();
        let (subject, visitor) = words(&language);
        let name = |who: Option<String>| match who {
            None => visitor.to_owned(),
            Some(name) if name.is_empty() => called.clone(),
            Some(name) => name,
        };
        let text = said
            .into_iter()
            .map(|(at, who, text)| format!("{at}  {}\n{text}", name(who)))
            .collect::<Vec<_>>()
            .join("\n\n");
        let to = vec![Address { name: None, address: email }];
        Ok(Letter { to, subject: format!("{subject}: {called}"), text, automatic: true, ..letter })
    }

    /// When, by whom and what was said: the visitor has no name, a program an empty one.
    async fn said(
        &self,
        tenant: Id,
        id: Id,
        up_to: Id,
        zone: &jiff::tz::TimeZone,
    ) -> Result<Vec<(String, Option<String>, String)>, Stop> {
        use conversation::Event::{MessageDeleted, MessageEdited, MessageQueued, MessageReceived};
        let (tenant_key, stream) = (tenant.to_string(), Conversation::stream(id));
        let (mut from, mut all, mut whole) = (0, Vec::new(), false);
        loop {
            let page = self.post.commands.log().read_stream(&tenant_key, &stream, from, Reading::Forward, 500).await;
            let page = page.map_err(Refused::from)?;
            for event in &page {
                let (message, who, text) = match Conversation::decode(&event.kind, &event.data) {
                    Ok(MessageReceived { message_id, body, .. }) if !whole => (message_id, None, body),
                    Ok(MessageQueued { message_id, body, again: false, .. }) if !whole => {
                        (message_id, Some(self.agent(tenant, event).await?.0), body)
                    }
                    // What was changed or taken back since is told as it is now.
                    Ok(MessageEdited { message_id, body, .. }) => {
                        for (_, said) in all.iter_mut().filter(|(message, _)| *message == message_id) {
                            let (_, _, text): &mut (String, Option<String>, String) = said;
                            text.clone_from(&body.0);
                        }
                        continue;
                    }
                    Ok(MessageDeleted { message_id }) => {
                        all.retain(|(message, _)| *message != message_id);
                        continue;
                    }
                    _ => continue,
                };
                let at = event.occurred_at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string();
                all.push((message, (at, who, text.0)));
                whole = message == up_to;
            }
            match page.last() {
                Some(last) if page.len() == 500 => from = last.version + 1,
                _ => return Ok(all.into_iter().map(|(_, said)| said).collect()),
            }
        }
    }

    /// Where a party is reached by mail; whoever went on for it.
    async fn party(&self, tenant: Id, party: Party) -> Result<Option<Address>, Stop> {
        match party.kind {
            PartyKind::Contact => {
                let mut id = party.id;
                // Chains are short, and never go round in circles.
                for _ in 0..64 {
                    let (known, _) = self.post.commands.load_current::<Contact>(tenant, id).await?;
                    match known.merged_into() {
                        Some(into) => id = into,
                        None => return Ok(address_of(&known).filter(|to| addresses::is_email(&to.address))),
                    }
                }
                Ok(None)
            }
            PartyKind::User => {
                let (known, _) = self.post.commands.load_current::<User>(tenant, party.id).await?;
                let profile = Some(&known.profile).filter(|_| known.is_active());
                Ok(profile.map(|who| Address { name: Some(who.name.clone()), address: who.email.clone() }))
            }
            PartyKind::Company => Ok(None),
        }
    }

    /// The Message-IDs of what was said in a ticket before, oldest first, and the one that is answered: the last from outside.
    async fn thread(&self, tenant: Id, ticket: Id, until: i64) -> Result<(Option<String>, Vec<String>), Stop> {
        let (tenant, stream) = (tenant.to_string(), Ticket::stream(ticket));
        let (mut from, mut all, mut answered) = (0, Vec::new(), None);
        loop {
            let page = self.post.commands.log().read_stream(&tenant, &stream, from, Reading::Forward, 500).await;
            let page = page.map_err(Refused::from)?;
            for event in page.iter().filter(|event| event.position < until) {
                let known = match Ticket::decode(&event.kind, &event.data) {
                    Ok(ticket::Event::MessageReceived { external_id: Some(id), email: Some(_), .. }) => {
                        answered = Some(id.clone());
                        Some(id)
                    }
                    Ok(ticket::Event::ReplySent { external_id, .. }) => external_id,
                    _ => None,
                };
                all.extend(known.filter(|id| id.contains('@') && !id.contains(char::is_whitespace)));
            }
            match page.last() {
                Some(last) if page.len() == 500 && last.position < until => from = last.version + 1,
                _ => break,
            }
        }
        let answered = answered.filter(|id| all.contains(id)).or_else(|| all.last().cloned());
        Ok((answered, all))
    }

    /// Who wrote it, as those outside read it, and whether nobody did.
    async fn agent(&self, tenant: Id, event: &Recorded) -> Result<(String, bool), Stop> {
        let Ok(metadata) = serde_json::from_slice::<Metadata>(&event.metadata) else {
            return Ok((String::new(), true));
        };
        if metadata.actor.kind != ActorKind::User {
            return Ok((String::new(), metadata.actor.kind != ActorKind::Integration));
        }
        let (user, _) = self.post.commands.load::<User>(tenant, metadata.actor.principal()).await?;
        Ok((user.profile.name.0.clone(), false))
    }

    async fn files(&self, tenant: Id, attachments: &[Attachment]) -> Result<Vec<File>, Stop> {
        let mut files = Vec::new();
        for attachment in attachments {
            let found = self.post.files.content(tenant, attachment.upload_id).await;
            let found = found.map_err(|refusal| later(refusal.to_string()))?;
            let (file, content) =
                found.ok_or_else(|| failed(format!("the file {} is not kept any more", &*attachment.name)))?;
            files.push(File {
                name: attachment.name.0.clone(),
                media_type: file.media_type,
                content: content.to_vec(),
            });
        }
        Ok(files)
    }

    /// Tells the record what became of it; an outcome that ends nothing says nothing.
    ///
    /// # Errors
    /// When the log cannot be reached.
    pub(crate) async fn tell(&self, item: &Item, outcome: Outcome, cause: Option<Cause>) -> Result<(), Refused> {
        let Item { tenant, of, message, position, .. } = *item;
        let step = match &outcome {
            Outcome::Sent { .. } => "sent",
            Outcome::Failed { .. } => "failed",
            Outcome::Unknown { .. } => "uncertain",
            Outcome::Later { .. } => return Ok(()),
        };
        let (which, at) = (message.to_string(), position.to_string());
        let envelope = self.post.envelope(tenant, of.id(), Actor::SYSTEM, &["outbox", step, &which, &at]);
        let envelope = match cause {
            Some(cause) => envelope.caused_by(&cause),
            None => envelope,
        };
        let told = match of {
            Of::Ticket(_) => {
                let message_id = message;
                let command = match outcome {
                    Outcome::Sent { external_id } => ticket::Command::MarkReplySent { message_id, external_id },
                    Outcome::Failed { reason } => ticket::Command::MarkReplyFailed { message_id, error: reason },
                    Outcome::Unknown { reason } => ticket::Command::MarkReplyUncertain { message_id, reason },
                    Outcome::Later { .. } => return Ok(()),
                };
                self.post.commands.dispatch::<Ticket>(&envelope, command).await
            }
            Of::Email(_) => {
                let command = match outcome {
                    Outcome::Sent { external_id } => {
                        email::Command::MarkSent { message_id: external_id.unwrap_or_default() }
                    }
                    Outcome::Failed { reason } => email::Command::MarkFailed { error: reason },
                    Outcome::Unknown { reason } => email::Command::MarkUncertain { reason },
                    Outcome::Later { .. } => return Ok(()),
                };
                self.post.commands.dispatch::<Email>(&envelope, command).await
            }
            Of::Transcript(_) => {
                let transcript_id = message;
                let command = match outcome {
                    Outcome::Sent { .. } => conversation::Command::MarkTranscriptSent { transcript_id },
                    // Whoever asked may ask again.
                    Outcome::Failed { reason: error } | Outcome::Unknown { reason: error } => {
                        conversation::Command::MarkTranscriptFailed { transcript_id, error }
                    }
                    Outcome::Later { .. } => return Ok(()),
                };
                self.post.commands.dispatch::<Conversation>(&envelope, command).await
            }
        };
        match told {
            Ok(_) => Ok(()),
            // It has come further meanwhile, or is gone.
            Err(Refused::Rejected(refusal)) => {
                tracing::info!(%refusal, %message, "nobody is told what became of a mail");
                Ok(())
            }
            Err(refused) => Err(refused),
        }
    }
}

/// What a mail of what was said is called, and who is called nothing else, in the languages of the pages.
fn words(language: &str) -> (&'static str, &'static str) {
    match language.split(['-', '_']).next().unwrap_or_default() {
        "cs" => ("Náš rozhovor", "Vy"),
        "lt" => ("Mūsų pokalbis", "Jūs"),
        "ru" => ("Наш разговор", "Вы"),
        "uk" => ("Наша розмова", "Ви"),
        _ => ("Our conversation", "You"),
    }
}

/// An address with a token behind a plus, where it is no longer than a name may be (RFC 5321, section 4.5.3.1.1).
fn plus_address(address: &str, token: &str) -> Option<String> {
    let (local, domain) = address.rsplit_once('@')?;
    let local = format!("{local}+{token}");
    (local.len() <= 64).then(|| format!("{local}@{domain}"))
}

/// What stands under a mail.
fn rendered(template: &str, agent: &str, team: &str) -> Result<String, String> {
    let mut environment = minijinja::Environment::new();
    environment.set_fuel(Some(10_000));
    let context = json!({ "agent": agent, "team": team });
    let rendered = environment.render_str(template, minijinja::Value::from(minijinja::value::Serde(&context)));
    rendered.map_err(|error| format!("the signature: {error}"))
}
