//! Messengers: how what comes is kept and taken in, and how what is said leaves: Telegram, and Meta's WhatsApp, Instagram and
//! Messenger.
//!
//! What a messenger brings is written down as it came (`react_messenger_update`), and only then is the messenger told so, or asked for
//! what comes next. One process takes it in, each chat in its order. Nothing that was taken in once is taken in again.

mod coming;
mod doing;
mod following;
pub(crate) mod leaving;
mod meta;
pub mod program;
mod store;
mod telegram;
mod wire;

use std::{fmt, sync::Arc, time::Duration};

use commands::{Clock, Commands};
use data_encoding::HEXLOWER;
use domain::{
    Id,
    chat::channel::{Channel, Purpose},
};
use ring::hmac;
use tokio::sync::Notify;

use self::wire::Wire;
pub use self::{
    doing::Working,
    meta::OfMeta,
    store::{Brought, State, bring},
    telegram::is_token,
};
use crate::{files::intake::Intake, keyed::Keyed, outbox::Secrets};

/// Where messengers are spoken to.
#[derive(Clone, Debug)]
pub struct Places {
    /// The Bot API of Telegram.
    pub telegram: String,
    /// The Graph API of Meta.
    pub meta: String,
    /// Where this server is found, if it is by TLS: there messengers bring what comes.
    pub public: Option<String>,
}

/// What messengers need of this process.
pub struct Options {
    /// Where commands go.
    pub commands: Commands,
    /// What time it is.
    pub clock: Clock,
    /// Where files are kept.
    pub files: Intake,
    /// Opens credentials.
    pub secrets: Secrets,
    /// Where they are.
    pub places: Places,
    /// What nobody else has, to know by whom one is called.
    pub key: Keyed<hmac::Key>,
    /// Whether files may be fetched from private networks.
    pub private: bool,
    /// How long a messenger may take to answer.
    pub patience: Duration,
}

/// The same, shared. Cheap to clone.
#[derive(Clone)]
pub struct Messengers(Arc<Shared>);

struct Shared {
    commands: Commands,
    clock: Clock,
    files: Intake,
    secrets: Secrets,
    places: Places,
    key: Keyed<hmac::Key>,
    wire: Wire,
    patience: Duration,
    nudge: Notify,
}

impl fmt::Debug for Messengers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Messengers").field(&self.0.places).finish()
    }
}

/// A channel that a messenger speaks to.
#[derive(Clone)]
pub struct Whose {
    /// Whose channel it is.
    pub tenant: Id,
    /// The channel.
    pub id: Id,
    /// The same, as it stands.
    pub channel: Arc<Channel>,
}

/// Why something cannot be done now, or never can.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stop {
    /// It may be later.
    #[error("{0}")]
    Later(String),
    /// It never will.
    #[error("{0}")]
    Never(String),
    /// It is about a message that is not known: one that is only being recorded, or of before there was a channel.
    #[error("nothing is known of the message that it is about")]
    Unknown,
}

impl From<commands::Refused> for Stop {
    fn from(refused: commands::Refused) -> Stop {
        match refused {
            commands::Refused::Rejected(refusal) => Stop::Never(format!("{}: {}", refusal.code, refusal.detail)),
            commands::Refused::Broken(why) => Stop::Never(why),
            refused => Stop::Later(refused.to_string()),
        }
    }
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Stop {
        Stop::Later(error.to_string())
    }
}

impl Messengers {
    /// Those of this process.
    pub fn new(options: Options) -> Messengers {
        let Options { commands, clock, files, secrets, places, key, private, patience } = options;
        let wire = Wire::new(private, patience);
        Messengers(Arc::new(Shared {
            commands,
            clock,
            files,
            secrets,
            places,
            key,
            wire,
            patience,
            nudge: Notify::new(),
        }))
    }

    /// Something was brought, or the clock was moved.
    pub fn nudge(&self) {
        self.0.nudge.notify_one();
    }

    /// Where a channel's messenger brings what comes; `None` where nobody has said how this server is found.
    pub fn address(&self, channel: Id) -> Option<String> {
        self.0.places.public.as_ref().map(|root| format!("{root}/hooks/{channel}"))
    }

    /// What only this server says of a channel, as long as the credential is the same.
    fn word(&self, what: &str, whose: &Whose, credential: Option<Id>) -> Result<String, String> {
        let credential = credential.map(|credential| credential.to_string()).unwrap_or_default();
        let told = format!("{what} {} {} {credential}", whose.tenant, whose.id);
        Ok(HEXLOWER.encode(hmac::sign(self.0.key.get()?, told.as_bytes()).as_ref()))
    }

    /// Whether two words are the same, in a time that tells nothing of how far they are.
    fn is_same(&self, said: &[u8], word: &str) -> Result<bool, String> {
        let key = self.0.key.get()?;
        Ok(hmac::verify(key, word.as_bytes(), hmac::sign(key, said).as_ref()).is_ok())
    }

    /// What Telegram says in `X-Telegram-Bot-Api-Secret-Token`: it follows from the channel's token, and is kept nowhere.
    fn hook_secret(&self, whose: &Whose) -> Result<String, String> {
        self.word("telegram", whose, whose.channel.credential)
    }

    /// Whether it is Telegram that calls.
    ///
    /// # Errors
    /// Why the key cannot be read.
    pub fn is_telegram(&self, whose: &Whose, said: &[u8]) -> Result<bool, String> {
        self.is_same(said, &self.hook_secret(whose)?)
    }

    /// What Meta is to say (`hub.verify_token`) when it asks whether this is the place.
    ///
    /// # Errors
    /// Why the key cannot be read.
    pub fn verify_token(&self, whose: &Whose) -> Result<String, String> {
        // It stays when the access token is another one: Meta asks once.
        Ok(self.word("meta", whose, None)?.chars().take(32).collect())
    }

    /// Whether Meta says the right word.
    ///
    /// # Errors
    /// Why the key cannot be read.
    pub fn may_verify(&self, whose: &Whose, said: &str) -> Result<bool, String> {
        self.is_same(said.as_bytes(), &self.verify_token(whose)?)
    }

    /// Whether it is Meta that calls: `X-Hub-Signature-256` is `sha256=` and the HMAC of the body under the secret of the app.
    ///
    /// # Errors
    /// When the secret cannot be opened now.
    pub async fn is_meta(&self, whose: &Whose, signature: &[u8], body: &[u8]) -> Result<bool, String> {
        let Some(secret) = self.secret(whose, Purpose::App).await? else { return Ok(false) };
        let Some(told) = signature.strip_prefix(b"sha256=") else { return Ok(false) };
        let Ok(told) = data_encoding::HEXLOWER_PERMISSIVE.decode(told) else { return Ok(false) };
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.trim().as_bytes());
        Ok(hmac::verify(&key, body, &told).is_ok())
    }

    /// A secret of a channel, opened.
    ///
    /// # Errors
    /// When it cannot be opened now.
    pub async fn secret(&self, whose: &Whose, of: Purpose) -> Result<Option<String>, String> {
        match whose.channel.credential_of(of) {
            Some(credential) => (self.0.secrets)(whose.tenant, whose.id, credential).await,
            None => Ok(None),
        }
    }
}

/// What an update of Telegram is, as it is kept.
///
/// # Errors
/// Why it is none.
pub fn of_telegram(body: &[u8]) -> Result<Vec<Brought>, String> {
    telegram::reading::brought(body).map(|one| vec![one])
}

/// What a batch of Meta's holds, each thing by itself.
///
/// # Errors
/// Why it is none.
pub fn of_meta(body: &[u8]) -> Result<Vec<OfMeta>, String> {
    meta::reading::brought(body)
}
