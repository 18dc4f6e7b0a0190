//! What stands before the first word in a chat on pages: questions, a proof that a program is not cheap, and who is not let in.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Channel;
use crate::{
    Country, Personal, Rejection, all,
    crm::contact::{Identity, IdentityKind},
    kernel::{custom, email, phone, text, valid},
    must,
};

/// What a question before a chat asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "PreChatAsks")]
pub enum Asks {
    /// How somebody is called.
    Name,
    /// An e-mail address.
    Email,
    /// A phone number.
    Phone,
    /// Words.
    Text,
}

/// A question to visitors before their first message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PreChatQuestion")]
pub struct Question {
    /// By what its answer goes: small letters, digits and underscores.
    #[schemars(length(min = 1, max = 64), extend("format" = "word"))]
    pub key: String,
    /// What it asks for. The name, the e-mail address and the phone number are asked for once.
    #[serde(rename = "type")]
    pub asks: Asks,
    /// The question as a visitor reads it; names, addresses and numbers are asked for in the visitor's own language without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub label: Option<String>,
    /// Whether nobody begins a chat without an answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
}

/// What a visitor answered before the first message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PreChatAnswer")]
pub struct Answered {
    /// By what the question goes.
    #[schemars(extend("format" = "word"))]
    pub key: String,
    /// What it asks for.
    #[serde(rename = "type")]
    pub asks: Asks,
    /// The question as it was put, if it had words of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The answer.
    pub answer: Personal<String>,
}

/// Somebody else tells people from programs: a service that answers as `siteverify` of hCaptcha and Turnstile does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CaptchaOfChannel")]
pub struct Captcha {
    /// Where it is asked: `https://challenges.cloudflare.com/turnstile/v0/siteverify`, `https://api.hcaptcha.com/siteverify`.
    pub verify_url: String,
    /// The key of the site there, which pages are told.
    #[schemars(length(min = 1, max = 200))]
    pub site_key: String,
}

/// What a page must have shown before a chat begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ProtectionOfChannel")]
pub struct Protection {
    /// How much a browser must reckon, in bits: each one more doubles it. 16 take a telephone less than a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 22))]
    pub proof_of_work: Option<u8>,
    /// Who tells people from programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub captcha: Option<Captcha>,
}

/// Whose secret it is that a channel keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "PurposeOfCredential")]
pub enum Purpose {
    /// The channel's own: what programs are signed for, or a site's users; the token of Telegram's bot, or Meta's access token.
    #[default]
    Channel,
    /// The one that the service behind a captcha knows it by.
    Captcha,
    /// The password of the mailbox that mail is fetched from, or what access tokens are had with.
    Incoming,
    /// The same of the server that mail leaves through.
    Outgoing,
    /// The key by which mail is signed that leaves.
    Dkim,
    /// The secret of Meta's app, by which what it brings is signed.
    App,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Purpose; 6] =
        [Purpose::Channel, Purpose::Captcha, Purpose::Incoming, Purpose::Outgoing, Purpose::Dkim, Purpose::App];

    /// Whether it is the channel's own.
    pub fn is_usual(&self) -> bool {
        *self == Purpose::Channel
    }
}

/// Questions that cannot be asked.
pub(super) const QUESTIONS_INVALID: Rejection = Rejection::invalid(
    "channel_questions_invalid",
    "At most 10 questions, each with a key of its own (small letters, digits, underscores), words where they ask for some, and one for each of name, e-mail and phone.",
);
/// A chat that does not begin without an answer.
pub const ANSWER_MISSING: Rejection =
    Rejection::invalid("channel_answer_missing", "A chat in this channel begins with an answer to this question.");
/// An answer to a question that is not asked.
pub const ANSWER_UNASKED: Rejection =
    Rejection::invalid("channel_answer_unasked", "The channel asks no such question before a chat.");
/// An answer of too many words.
pub const ANSWER_TOO_LONG: Rejection =
    Rejection::invalid("channel_answer_too_long", "An answer before a chat has at most 1,000 characters.");
/// A captcha that has none to ask.
pub(super) const CAPTCHA_INVALID: Rejection =
    Rejection::invalid("channel_captcha_invalid", "A captcha has a key of the site of 1 to 200 characters.");
/// A captcha whose secret is not there yet.
pub(super) const CAPTCHA_UNSEALED: Rejection = Rejection::conflict(
    "channel_captcha_unsealed",
    "The secret of the captcha comes first, by PUT /v1/channels/{id}/credentials with \"of\": \"captcha\": without it no visitor could be let in.",
);
/// Somebody who is not let in.
pub const BLOCKED: Rejection =
    Rejection::forbidden("visitor_blocked", "Whoever writes this was blocked in the channel by the desk.");
pub(super) const BLOCKS_FULL: Rejection =
    Rejection::conflict("channel_blocks_full", "A channel has at most 1,000 blocked addresses.");

/// Most questions of a channel.
const MOST_QUESTIONS: usize = 10;
/// Most characters of an answer.
const LONGEST: usize = 1_000;
/// Most addresses that a channel keeps out.
const MOST_BLOCKS: usize = 1_000;

/// Refuses questions that cannot be asked.
pub(super) fn check_questions(questions: &[Question]) -> Result<(), Rejection> {
    must(questions.len() <= MOST_QUESTIONS, QUESTIONS_INVALID, "/questions")?;
    let (mut keys, mut once) = (BTreeSet::new(), BTreeSet::new());
    let checks = questions.iter().enumerate().map(|(at, question)| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let key = (1..=64).contains(&question.key.len()) && question.key.chars().all(plain);
        let words = question.label.as_ref().map(|label| label.trim().chars().count());
        let said = words.map_or(question.asks != Asks::Text, |words| (1..=200).contains(&words));
        let alone = question.asks == Asks::Text || once.insert(question.asks);
        all([
            must(key && keys.insert(&question.key), QUESTIONS_INVALID, format!("/questions/{at}/key")),
            must(said, QUESTIONS_INVALID, format!("/questions/{at}/label")),
            must(alone, QUESTIONS_INVALID, format!("/questions/{at}/type")),
        ])
    });
    all(checks.collect::<Vec<_>>())
}

impl Protection {
    /// Refuses what protects nobody.
    pub(super) fn check(&self) -> Result<(), Rejection> {
        let Some(captcha) = &self.captcha else { return Ok(()) };
        let key = captcha.site_key.trim().chars().count();
        all([
            must(custom::is_url(&captcha.verify_url), valid::URL_INVALID, "/captcha/verify_url"),
            must((1..=200).contains(&key), CAPTCHA_INVALID, "/captcha/site_key"),
        ])
    }

    /// Whether anything must be shown at all.
    pub fn asks(&self) -> bool {
        self.proof_of_work.is_some() || self.captcha.is_some()
    }
}

impl Channel {
    /// What a visitor's answers mean, in the order of the questions; without words they are none.
    ///
    /// # Errors
    /// When one is not what its question asks for, or to a question that is not asked.
    pub fn answered(
        &self,
        answers: &BTreeMap<String, Personal<String>>,
        country: Option<Country>,
    ) -> Result<Vec<Answered>, Rejection> {
        let at = |key: &str| format!("/answers/{}", key.replace('~', "~0").replace('/', "~1"));
        let known = |key: &str| self.questions.iter().any(|question| question.key == key);
        all(answers.keys().map(|key| must(known(key), ANSWER_UNASKED, at(key))).collect::<Vec<_>>())?;
        let mut read = Vec::new();
        let mut checks = Vec::new();
        for question in &self.questions {
            let words = answers.get(&question.key).map(|answer| text::trimmed(answer)).unwrap_or_default();
            if words.is_empty() {
                continue;
            }
            let pointer = at(&question.key);
            let meant = match question.asks {
                Asks::Email if email::is_email(words) => Ok(words.to_owned()),
                Asks::Email => Err(valid::EMAIL_INVALID),
                Asks::Phone => phone::number(words, country).map(|number| number.e164).ok_or(valid::PHONE_INVALID),
                Asks::Name | Asks::Text if words.chars().count() <= LONGEST => Ok(words.to_owned()),
                Asks::Name | Asks::Text => Err(ANSWER_TOO_LONG),
            };
            match meant {
                Ok(answer) => read.push(Answered {
                    key: question.key.clone(),
                    asks: question.asks,
                    label: question.label.clone(),
                    answer: Personal(answer),
                }),
                Err(refusal) => checks.push(Err(refusal.at(pointer))),
            }
        }
        all(checks)?;
        Ok(read)
    }

    /// Refuses a chat that begins without an answer to what must be answered.
    ///
    /// # Errors
    /// With each question that lacks one.
    pub fn must_be_answered(&self, answers: &[Answered]) -> Result<(), Rejection> {
        let missing = |question: &&Question| question.required && answers.iter().all(|told| told.key != question.key);
        let told = self.questions.iter().filter(missing);
        all(told.map(|question| Err(ANSWER_MISSING.at(format!("/answers/{}", question.key)))).collect::<Vec<_>>())
    }

    /// Refuses one more who is kept out where there are too many.
    pub(in crate::chat) fn must_have_room(&self, identity: &Identity) -> Result<(), Rejection> {
        let room = self.blocks(identity) || self.blocked.len() < MOST_BLOCKS;
        if room { Ok(()) } else { Err(BLOCKS_FULL) }
    }

    /// Whether whoever has this address is kept out.
    pub fn blocks(&self, identity: &Identity) -> bool {
        self.blocked.contains_key(&identity.key())
    }
}

/// The first answer to a question of a sort.
pub fn answer(answers: &[Answered], asks: Asks) -> Option<&Personal<String>> {
    answers.iter().find(|told| told.asks == asks).map(|told| &told.answer)
}

/// Where a visitor is reached by what was answered: by mail before the telephone.
pub fn identity(answers: &[Answered]) -> Option<Identity> {
    let email = answer(answers, Asks::Email).map(|value| Identity::new(IdentityKind::Email, value.clone()));
    email.or_else(|| answer(answers, Asks::Phone).map(|value| Identity::new(IdentityKind::Phone, value.clone())))
}
