//! How customers sign in to a portal: a code goes to an address, and whoever reads it there has it.

use axum::http::HeaderValue;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use commands::{Envelope, Refused};
use domain::{
    Actor, ActorKind, Aggregate, Authority, Facts, Id, Personal, Time, Via,
    chat::{
        channel::{Channel, Kind},
        email::{self, Address, Email},
    },
    crm::contact::{self, Contact, Identity, IdentityKind},
    kernel::{aggregate::AnyState, email as addresses, named::Either},
    org::{portal::Portal, tenant::Tenant},
};

use super::{
    attempts::Subject,
    browser::{Browser, Cookie},
};
use crate::{app::App, problem::Problem};

/// For how many minutes a code is good.
const CODE_MINUTES: i64 = 10;
/// For how many days a customer stays signed in.
const SESSION_DAYS: i64 = 30;

/// What became of asking for a code.
pub(crate) enum Asked {
    /// Whoever may sign in has it mailed; this says so, and comes back with the code.
    Mailed(String),
    /// No mail leaves here.
    Nothing,
}

/// What became of a code.
pub(crate) enum Entered {
    /// This cookie is the session.
    Signed(HeaderValue),
    /// It was wrong, or over, or was used before. The address it went to, where that is known.
    Wrong(Option<String>),
}

/// What a page says that comes back with a code.
struct Said {
    email: Id,
    until: i64,
    address: String,
}

impl Said {
    fn text(&self) -> String {
        format!("{}.{}.{}", self.email, self.until, URL_SAFE_NO_PAD.encode(&self.address))
    }

    fn read(text: &str) -> Option<Said> {
        let mut parts = text.split('.');
        let (email, until, address) = (parts.next()?, parts.next()?, parts.next()?);
        let address = String::from_utf8(URL_SAFE_NO_PAD.decode(address).ok()?).ok()?;
        Some(Said { email: email.parse().ok()?, until: until.parse().ok()?, address })
    }
}

fn purpose(tenant: Id) -> String {
    format!("portal {tenant}")
}

impl App {
    /// Mails a code to whoever may sign in with this address. The answer is the same for whoever may not.
    pub(crate) async fn ask_for_code(
        &self,
        tenant: Id,
        portal: &Portal,
        address: &str,
        mail: (String, String),
        browser: &Browser,
    ) -> Result<Asked, Problem> {
        let key = addresses::key(address);
        let (account, from) = (Subject::customer(tenant, &key), browser.address.map(Subject::address));
        let subjects: Vec<_> = from.iter().chain([&account]).collect();
        self.attempt(&subjects).await?;
        let email = self.new_id();
        let now = self.now();
        let until = now.as_millisecond() + CODE_MINUTES * 60_000;
        let contact = self.customer_at(tenant, address).await?;
        if contact.is_some() || portal.sign_up {
            let (subject, body) = mail;
            let new = email::New {
                channel: Some(Channel::of_team(portal.team, Kind::Email)),
                to: vec![Address { name: None, address: address.into() }],
                cc: Vec::new(),
                bcc: Vec::new(),
                subject: subject.into(),
                body: body.into(),
                attachments: Vec::new(),
                contact,
                ticket: None,
                send_at: None,
                sign_in_code: true,
            };
            let envelope = Envelope::new(tenant, email, Actor::SYSTEM, Via::Ui, now);
            let envelope = Envelope { authority: Authority::full(), ..envelope };
            match self.commands.dispatch::<Email>(&envelope, email::Command::Send(new)).await {
                Ok(_) => {}
                // The team has no mail: whoever runs the desk is to hear of it, and not whoever wants in.
                Err(Refused::Rejected(refusal)) => {
                    tracing::warn!(%tenant, %refusal, "a code for the portal cannot be mailed");
                    return Ok(Asked::Nothing);
                }
                Err(refused) => return Err(refused.into()),
            }
        }
        let said = Said { email, until, address: address.to_owned() }.text();
        let mark = self.sign_in.sign(&purpose(tenant), &said)?;
        Ok(Asked::Mailed(format!("{said}.{mark}")))
    }

    /// Lets whoever enters the right code in.
    pub(crate) async fn enter_code(
        &self,
        tenant: Id,
        portal: &Portal,
        token: &str,
        code: &str,
        browser: &Browser,
    ) -> Result<Entered, Problem> {
        let Some((said, mark)) = token.rsplit_once('.') else { return Ok(Entered::Wrong(None)) };
        if !self.sign_in.is_signed(&purpose(tenant), said, mark)? {
            return Ok(Entered::Wrong(None));
        }
        let Some(Said { email, until, address }) = Said::read(said) else { return Ok(Entered::Wrong(None)) };
        let (mailed, from) = (Subject::mailed(tenant, email), browser.address.map(Subject::address));
        let subjects: Vec<_> = from.iter().chain([&mailed]).collect();
        self.attempt(&subjects).await?;
        let tokens = self.post.tokens.get().map_err(|why| Problem::broken(&why))?;
        let known = tokens.code(tenant, email);
        let typed: String = code.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        // It takes as long whichever digit is wrong.
        let differs = known.bytes().zip(typed.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b));
        let right = typed.len() == known.len() && differs == 0;
        // What was never mailed has no code.
        let was_mailed = self.commands.load_current::<Email>(tenant, email).await?.0.is_live();
        if !right || !was_mailed || self.now().as_millisecond() > until {
            self.sign_in.count("failed");
            return Ok(Entered::Wrong(Some(address)));
        }
        let Some(contact) = self.customer_of(tenant, portal, &address, email).await? else {
            return Ok(Entered::Wrong(Some(address)));
        };
        let session = Id::named(&["portal session", &email.to_string()]);
        if self.commands.load_current::<Contact>(tenant, contact).await?.0.portal_session(session, self.now()).is_some()
        {
            return Ok(Entered::Wrong(Some(address)));
        }
        let expires_at = Time::from_second(self.now().as_second() + SESSION_DAYS * 86_400);
        let expires_at = expires_at.map_err(|error| Problem::broken(&error))?;
        let command = contact::Command::StartPortalSession { session, expires_at };
        self.commands.dispatch::<Contact>(&self.as_customer(tenant, contact, contact), Either::Own(command)).await?;
        let key = addresses::key(&address);
        self.succeeded(&Subject::customer(tenant, &key), from.as_ref()).await?;
        self.sign_in.count("signed_in");
        let said = format!("{contact}.{session}");
        let mark = self.sign_in.sign(&purpose(tenant), &said)?;
        let seconds = u64::try_from(SESSION_DAYS * 86_400).unwrap_or_default();
        Ok(Entered::Signed(browser.set(Cookie::Portal, &format!("{said}.{mark}"), seconds)?))
    }

    /// Who is signed in to a portal: as whom, by which session, and who goes on for that contact now.
    pub(crate) async fn customer(&self, tenant: Id, browser: &Browser) -> Result<Option<(Id, Id, Id)>, Problem> {
        let Some((said, mark)) = browser.cookie(Cookie::Portal).and_then(|cookie| cookie.rsplit_once('.')) else {
            return Ok(None);
        };
        if !self.sign_in.is_signed(&purpose(tenant), said, mark)? {
            return Ok(None);
        }
        let ids =
            said.split_once('.').and_then(|(contact, session)| Some((contact.parse().ok()?, session.parse().ok()?)));
        let Some((contact, session)) = ids else { return Ok(None) };
        let (known, _) = self.commands.load_current::<Contact>(tenant, contact).await?;
        if known.portal_session(session, self.now()) != Some(true) {
            return Ok(None);
        }
        Ok(self.commands.living(tenant, contact).await?.map(|living| (contact, session, living)))
    }

    /// As whom a customer acts.
    pub(crate) fn as_customer(&self, tenant: Id, contact: Id, id: Id) -> Envelope {
        let actor = Actor { kind: ActorKind::Customer, id: contact, on_behalf_of: None };
        let envelope = Envelope::new(tenant, id, actor, Via::Ui, self.now());
        Envelope { authority: Authority::full(), from_outside: true, ..envelope }
    }

    /// As whom somebody reads and says what he thinks, known or not.
    pub(crate) fn as_reader(&self, tenant: Id, contact: Id, id: Id) -> Envelope {
        let envelope = self.as_customer(tenant, contact, id);
        let kind = if contact == Id::NIL { ActorKind::Visitor } else { ActorKind::Customer };
        Envelope { actor: Actor { kind, ..envelope.actor.clone() }, ..envelope }
    }

    async fn customer_at(&self, tenant: Id, address: &str) -> Result<Option<Id>, Problem> {
        Ok(self.commands.contact_at(tenant, &self.reached_at(tenant, address).await?).await?)
    }

    async fn reached_at(&self, tenant: Id, address: &str) -> Result<Vec<Identity>, Problem> {
        let (settings, _) = self.commands.load::<Tenant>(tenant, tenant).await?;
        let mut facts = Facts::told(true);
        facts.insert(Tenant::KIND, tenant, AnyState::new((*settings).clone()));
        let envelope = self.as_customer(tenant, Id::NIL, Id::NIL);
        let ctx = envelope.ctx(envelope.now, "", &facts);
        Ok(vec![Identity::new(IdentityKind::Email, Personal(address.to_owned())).read(&ctx)])
    }

    /// The contact with an address that somebody has shown to be his; a new one where the portal lets everybody in.
    async fn customer_of(&self, tenant: Id, portal: &Portal, address: &str, email: Id) -> Result<Option<Id>, Problem> {
        if !portal.sign_up {
            return self.customer_at(tenant, address).await;
        }
        let id = Id::named(&["portal contact", &email.to_string()]);
        let new = contact::described(address.into(), Some(address.into()), None, Some("portal".to_owned()));
        let reached = self.reached_at(tenant, address).await?;
        // Whoever has the address is put away: then nobody signs in.
        Ok(self.commands.contact_or_new(&reached, &self.as_customer(tenant, id, id), new).await?.ok())
    }
}
