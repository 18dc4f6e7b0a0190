//! A chatbot in a conversation, and the ticket that a conversation becomes.

use serde::{Deserialize, Serialize};

use super::{BOT_TOO_LATE, Conversation, Event, MatchedBy, NOTHING_SAID, Source, Status};
use crate::{
    ActorKind, Aggregate, Country, Ctx, Decision, Echo, Id, Need, Party, PartyKind, Personal, Rejection,
    chat::{
        chatbot::{self, Chatbot},
        script::{self, Does, Script, Stands, Step},
    },
    crm::contact::{self, Contact, Identity, IdentityKind},
    desk::ticket::{self, Priority, TEAM_UNKNOWN, Ticket},
    kernel::{
        email,
        named::Either,
        phone,
        record::{self, Common},
        reference::REFERENCE_UNFIT,
    },
    org::{team::Team, tenant::Tenant},
};

/// So many messages of a conversation go into a ticket's description.
const TOLD: usize = 300;
/// So many characters of each.
const WORDS: usize = 4_000;
/// So many characters of what the visitor wrote first make a title.
const TITLE: usize = 120;

/// A chatbot that talks in a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) chatbot: Id,
    pub(super) version: u32,
    /// Whether it has said everything.
    pub(super) over: bool,
    /// How many messages there were when it asked: what was written before is no answer.
    pub(super) asked_at: usize,
}

impl Run {
    /// It has said nothing yet.
    pub(super) fn begins(chatbot: Id, version: u32) -> Run {
        Run { chatbot, version, over: false, asked_at: 0 }
    }
}

/// A message as a ticket tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) message_id: Id,
    pub(super) received: bool,
    pub(super) body: Personal<String>,
}

/// Keeps a message for the ticket that the conversation may become.
pub(super) fn remember(told: &mut Vec<Told>, message_id: Id, received: bool, body: &str) {
    if told.len() == TOLD {
        told.remove(0);
    }
    told.push(Told { message_id, received, body: Personal(body.chars().take(WORDS).collect()) });
}

/// A message says something else now, or nothing any more.
pub(super) fn reword(told: &mut Vec<Told>, message_id: Id, body: Option<&str>) {
    match body {
        Some(body) => {
            for told in told.iter_mut().filter(|told| told.message_id == message_id) {
                told.body = Personal(body.chars().take(WORDS).collect());
            }
        }
        None => told.retain(|told| told.message_id != message_id),
    }
}

/// The ticket that a conversation is to become.
pub(super) struct Wanted {
    pub(super) ticket: Option<Id>,
    pub(super) title: Option<Personal<String>>,
    pub(super) team: Option<Id>,
    pub(super) priority: Priority,
    pub(super) step: Option<String>,
}

/// What a bot does, one event after the other, each seen by the next.
struct Talk<'a> {
    state: Conversation,
    events: Vec<Event>,
    /// The contact who is known by an address that the visitor gave.
    known: Option<Id>,
    ctx: &'a Ctx<'a>,
}

impl Talk<'_> {
    fn happens(&mut self, event: Event) {
        self.state.evolve(&event);
        self.events.push(event);
    }

    fn say(&mut self, place: &str, text: &str, answers: &[String]) {
        let mut body = text.to_owned();
        for (number, answer) in (1..).zip(answers) {
            body.push_str(&format!("\n{number}. {answer}"));
        }
        self.happens(Event::MessageQueued {
            message_id: self.ctx.fresh(place),
            body: Personal(body),
            attachments: Vec::new(),
            quick_reply: None,
            label: None,
            again: false,
            template: None,
        });
    }

    /// Says what comes after a step, and does it.
    fn go_on(&mut self, script: &Script, after: Option<&str>) -> Result<(), Rejection> {
        let turn = script::next(script, &self.state.answers, after);
        for line in turn.says {
            self.happens(Event::BotStepShown { step: line.step.clone() });
            self.say(&format!("step {}", line.step), &line.text, &line.answers);
            let step = script.step(&line.step);
            if let Some(step) = step.filter(|step| step.does == Does::CreateTicket) {
                self.open_ticket(step)?;
            }
        }
        match turn.stands {
            Stands::Waits => {}
            Stands::Forwarded => self.happens(Event::HandedOver { reason: None }),
            Stands::Finished => self.happens(Event::BotFinished),
        }
        Ok(())
    }

    fn open_ticket(&mut self, step: &Step) -> Result<(), Rejection> {
        let born = || self.state.new_contact().map(|_| self.ctx.fresh(CONTACT));
        if let Some(contact) = self.known.or_else(born).filter(|_| self.state.contact.is_none()) {
            self.happens(Event::ContactLinked { contact, matched_by: MatchedBy::Identity });
        }
        let wanted = Wanted {
            ticket: None,
            title: step.title.clone().map(Personal),
            team: step.team,
            priority: Priority::LOW,
            step: Some(step.id.clone()),
        };
        let events = self.state.convert(wanted, self.ctx)?;
        events.into_iter().for_each(|event| self.happens(event));
        Ok(())
    }
}

/// Under which name the id of a contact is derived that comes into being with a ticket.
const CONTACT: &str = "contact";

impl Conversation {
    /// Which chatbot talks in it, as long as it does.
    pub fn chatbot(&self) -> Option<(Id, u32)> {
        self.run.as_ref().filter(|run| !run.over && !self.handed_over).map(|run| (run.chatbot, run.version))
    }

    /// The step of its script whose answer a chatbot waits for: which chatbot, and of which version.
    pub fn waits_for(&self) -> Option<(Id, u32, &str)> {
        let (chatbot, version) = self.chatbot()?;
        let step = self.bot.as_deref().filter(|step| !self.answers.contains_key(*step))?;
        let talks = self.status == Status::Open && self.assignee.is_none();
        talks.then_some((chatbot, version, step))
    }

    /// Where the visitor can be reached by what was written to a chatbot, these words included.
    pub fn addresses(&self, words: &str, country: Option<Country>) -> Vec<Identity> {
        let said = std::iter::once(words).chain(self.answers.values().map(|answer| answer.as_str()));
        said.filter_map(|words| address(words.trim(), country)).collect()
    }

    pub(super) fn start_bot(&self, chatbot: Id, version: Option<u32>, ctx: &Ctx<'_>) -> Decision<Event> {
        let version = bot_version(chatbot, version, ctx)?;
        if self.chatbot().is_some_and(|(running, _)| running == chatbot) {
            return Ok(vec![]);
        }
        if self.assignee.is_some() {
            return Err(BOT_TOO_LATE);
        }
        Ok(vec![Event::BotStarted { chatbot, version }])
    }

    /// What the bot says when it begins, or to a message of the visitor. Once people have taken over it says nothing.
    pub(super) fn let_bot_reply(
        &self,
        message: Option<(Id, &Personal<String>)>,
        known: Option<Id>,
        ctx: &Ctx<'_>,
    ) -> Decision<Event> {
        let (Some(run), Some((chatbot, version))) = (&self.run, self.chatbot()) else { return Ok(vec![]) };
        if self.status != Status::Open || self.assignee.is_some() {
            return Ok(vec![]);
        }
        let chatbot = ctx.fact::<Chatbot>(chatbot);
        let (_, script) = chatbot::version_of(&chatbot, Some(version)).map_err(|_| chatbot::UNPUBLISHED)?;
        let mut talk = Talk { state: self.clone(), events: Vec::new(), known, ctx };
        let waits = self.bot.as_ref().and_then(|step| script.step(step));
        match (message, waits) {
            (None, None) => talk.go_on(script, None)?,
            (Some((message, words)), Some(step)) if step.does.asks() && !self.answers.contains_key(&step.id) => {
                if self.messages.get(&message).is_none_or(|place| *place < run.asked_at) {
                    return Ok(vec![]); // Written before the bot had asked.
                }
                match script::answer(step, words, chatbot::country_of(ctx)) {
                    Ok(answer) => {
                        talk.happens(Event::BotAnswerGiven { step: step.id.clone(), answer: Personal(answer) });
                        let matched_by = match step.does {
                            Does::Email => Some(MatchedBy::Email),
                            Does::Phone => Some(MatchedBy::Phone),
                            _ => None,
                        };
                        let known = known.filter(|_| self.contact.is_none());
                        if let Some((contact, matched_by)) = known.zip(matched_by) {
                            talk.happens(Event::ContactLinked { contact, matched_by });
                        }
                        talk.go_on(script, Some(&step.id))?;
                    }
                    Err(refusal) => {
                        let code = refusal.code.into_owned();
                        talk.happens(Event::BotAnswerRefused { step: step.id.clone(), message_id: message, code });
                        talk.say(&format!("again {}", step.id), script::again(step), &step.answers);
                    }
                }
            }
            _ => {}
        }
        Ok(talk.events)
    }

    /// What must be known for that.
    pub(super) fn bot_needs(&self, known: Option<Id>, ctx: &Ctx<'_>) -> Vec<Need> {
        let Some((chatbot, version)) = self.chatbot() else { return Vec::new() };
        let mut needs = vec![Need::of::<Chatbot>(chatbot), Need::of::<Tenant>(ctx.tenant)];
        if !ctx.facts.has(Chatbot::KIND, chatbot) {
            return needs;
        }
        let chatbot = ctx.fact::<Chatbot>(chatbot);
        let Ok((_, script)) = chatbot::version_of(&chatbot, Some(version)) else { return needs };
        if script.opens_tickets() {
            let fresh = ctx.fresh(CONTACT);
            needs.push(Need::guarded::<Contact>(fresh));
            let create = Either::Common(Common::Create(placeholder()));
            needs.extend(Contact::default().needs(&create, &Ctx { id: fresh, ..*ctx }));
            let contacts: Vec<Id> = [self.contact, known, Some(fresh)].into_iter().flatten().collect();
            for step in script.steps.iter().filter(|step| step.does == Does::CreateTicket) {
                let id = ticket_id(None, Some(&step.id), ctx);
                needs.extend(contacts.iter().flat_map(|contact| ticket_needs(id, Some(*contact), step.team, ctx)));
            }
        } else {
            needs.extend(known.map(Need::guarded::<Contact>));
        }
        needs
    }

    /// Becomes a ticket: what was said so far is its description.
    pub(super) fn convert(&self, wanted: Wanted, ctx: &Ctx<'_>) -> Decision<Event> {
        let Wanted { ticket, title, team, priority, step } = wanted;
        let ticket = ticket_id(ticket, step.as_deref(), ctx);
        // What nobody can have meant before is not what is so already.
        if team.is_some_and(|team| ctx.fact::<Team>(team).name.is_none()) {
            return Err(TEAM_UNKNOWN.at("/team"));
        }
        if self.tickets.contains_key(&ticket) {
            return Ok(vec![]);
        }
        // Nothing was said since it last became one.
        if step.is_none() && title.is_none() && self.tickets.values().any(|until| *until == self.messages.len()) {
            return Ok(vec![]);
        }
        let (Some(first), Some(last)) = (self.told.first(), self.told.last()) else { return Err(NOTHING_SAID) };
        let messages = u32::try_from(self.told.len()).unwrap_or(u32::MAX);
        let source = Source { from: first.message_id, to: last.message_id, messages };
        let title = title.unwrap_or_else(|| self.title(ctx));
        let event = Event::ConvertedToTicket { ticket, title, team, priority, source, step };
        self.ticket_of(&event, ctx)?;
        Ok(vec![event])
    }

    /// The ticket that comes into being with an event; none with others.
    pub(super) fn ticket_of(&self, event: &Event, ctx: &Ctx<'_>) -> Result<Vec<Echo>, Rejection> {
        let Event::ConvertedToTicket { ticket, title, team, priority, .. } = event else { return Ok(Vec::new()) };
        let tenant = ctx.fact::<Tenant>(ctx.tenant);
        let medium = self.started.as_ref().map(|started| started.medium.clone());
        let new = ticket::New {
            title: title.clone(),
            description: Some(self.transcript(ctx)),
            requester: self.contact.map(|id| Party { kind: PartyKind::Contact, id }),
            team: *team,
            priority: *priority,
            channel: medium.filter(|medium| tenant.media().contains(medium)),
            origin: Some(origin(ctx.id)),
            ..ticket::New::default()
        };
        let born = self.contact.filter(|contact| *contact == ctx.fresh(CONTACT));
        let facts = match born {
            Some(id) => Some(ctx.facts.with::<Contact>(id, self.contact_born(id, ctx)?.0)),
            None => None,
        };
        let ctx = Ctx { facts: facts.as_ref().unwrap_or(ctx.facts), ..*ctx };
        Ok(Echo::of_new::<Ticket>(*ticket, ticket::Command::Open(new), &ctx)?.1)
    }

    /// The contact that comes into being when a chatbot opens a ticket for somebody not known.
    pub(super) fn contact_of(&self, contact: Id, ctx: &Ctx<'_>) -> Vec<Echo> {
        if contact != ctx.fresh(CONTACT) || ctx.actor.kind != ActorKind::Bot {
            return Vec::new();
        }
        self.contact_born(contact, ctx).map(|(_, echoes)| echoes).unwrap_or_default()
    }

    fn contact_born(&self, id: Id, ctx: &Ctx<'_>) -> Result<(Contact, Vec<Echo>), Rejection> {
        let new = self.new_contact().unwrap_or_else(placeholder);
        Echo::of_new::<Contact>(id, Either::Common(Common::Create(new)), ctx)
    }

    /// The visitor as a contact, as far as the answers to a chatbot say where to reach him.
    fn new_contact(&self) -> Option<record::New<contact::Fields>> {
        let answers = self.answers.values().map(|answer| answer.trim());
        let (mut email, mut phone) = (None, None);
        for identity in answers.filter_map(|answer| address(answer, None)) {
            match identity.kind {
                IdentityKind::Email => email = email.or(Some(identity.value)),
                _ => phone = phone.or(Some(identity.value)),
            }
        }
        let name = self.visitor_name().map(Personal).or_else(|| email.clone()).or_else(|| phone.clone())?;
        if email.is_none() && phone.is_none() {
            return None;
        }
        let source = self.started.as_ref().map(|started| started.medium.clone());
        Some(contact::described(name, email, phone, source))
    }

    fn visitor_name(&self) -> Option<String> {
        let started = self.started.as_ref()?;
        started.visitor.as_ref()?.name.as_ref().map(|name| name.0.clone()).filter(|name| !name.trim().is_empty())
    }

    /// What was said, one message after the other.
    fn transcript(&self, ctx: &Ctx<'_>) -> Personal<String> {
        let known = self.contact.filter(|contact| ctx.facts.has(Contact::KIND, *contact));
        let known = known.and_then(|contact| Some(ctx.fact::<Contact>(contact).fields.as_ref()?.name.0.clone()));
        let address = || Some(self.started.as_ref()?.identity.as_ref()?.value.0.clone());
        let they = known.or_else(|| self.visitor_name()).or_else(address).unwrap_or_else(|| "?".to_owned());
        let we = ctx.fact::<Tenant>(ctx.tenant).name.clone().unwrap_or_else(|| "Deskfold".to_owned());
        let earlier = self.messages.len().saturating_sub(self.told.len());
        let gap = (earlier > 0).then(|| format!("[… {earlier}]"));
        let lines = self.told.iter().map(|told| {
            let who = if told.received { &they } else { &we };
            format!("{who}: {}", told.body.as_str())
        });
        Personal(gap.into_iter().chain(lines).collect::<Vec<_>>().join("\n\n"))
    }

    /// The first words of the other side; of whom, if it wrote none.
    fn title(&self, ctx: &Ctx<'_>) -> Personal<String> {
        let first = self.told.iter().find(|told| told.received && !told.body.trim().is_empty());
        let line = first.and_then(|told| told.body.trim().lines().next().map(ToOwned::to_owned));
        let named = || self.visitor_name().unwrap_or_else(|| ctx.id.to_string());
        Personal(line.unwrap_or_else(named).chars().take(TITLE).collect())
    }
}

/// The id of the ticket that a conversation becomes: by a step of a script, or because somebody asks.
pub(super) fn ticket_id(ticket: Option<Id>, step: Option<&str>, ctx: &Ctx<'_>) -> Id {
    ticket.unwrap_or_else(|| step.map_or_else(|| ctx.fresh("ticket"), |step| ctx.fresh(&format!("ticket {step}"))))
}

/// What must be known to make a ticket of a conversation with a contact.
pub(super) fn ticket_needs(ticket: Id, contact: Option<Id>, team: Option<Id>, ctx: &Ctx<'_>) -> Vec<Need> {
    let requester = contact.map(|id| Party { kind: PartyKind::Contact, id });
    let new = ticket::New { requester, team, ..ticket::New::default() };
    let mut needs = vec![Need::guarded::<Ticket>(ticket), Need::of::<Tenant>(ctx.tenant)];
    needs.extend(contact.map(Need::of::<Contact>));
    needs.extend(Ticket::default().needs(&ticket::Command::Open(new), &Ctx { id: ticket, ..*ctx }));
    needs
}

/// By what a ticket leads back to the conversation that it came from.
pub fn origin(conversation: Id) -> String {
    format!("conversations/{conversation}")
}

/// The version that a chatbot begins with.
pub(super) fn bot_version(chatbot: Id, version: Option<u32>, ctx: &Ctx<'_>) -> Result<u32, Rejection> {
    let bot = ctx.fact::<Chatbot>(chatbot);
    if !bot.is_live() {
        return Err(REFERENCE_UNFIT.at("/chatbot"));
    }
    chatbot::version_of(&bot, version).map(|(version, _)| version).map_err(|refusal| refusal.at("/chatbot"))
}

/// An address that is all these words say.
fn address(words: &str, country: Option<Country>) -> Option<Identity> {
    if email::is_email(words) && words.contains('.') {
        return Some(Identity::new(IdentityKind::Email, words));
    }
    let number = phone::number(words, country)?.e164;
    Some(Identity::new(IdentityKind::Phone, number.as_str()))
}

/// Somebody of whom nothing is known yet but that there is a phone number, say.
fn placeholder() -> record::New<contact::Fields> {
    contact::described("?".into(), None, Some("+390655501".into()), None)
}
