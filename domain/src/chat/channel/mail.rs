//! What is set about a channel of mail: its address, the servers it goes through, and what is made of what comes.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Rejection, all,
    kernel::{custom, email, valid},
    must,
    org::tenant::MailServer,
};

/// What becomes of a mail in an answer to a ticket that is closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ClosedTicketOnMail")]
pub enum WhenClosed {
    /// The ticket opens again.
    #[default]
    Reopen,
    /// A new ticket follows it up, with a link to it.
    FollowUp,
}

/// Where access tokens for a mail server are had (OAuth 2, RFC 6749): its secret is then the JSON
/// `{"refresh_token": ..., "client_secret": ...}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MailOauth")]
pub struct Oauth {
    /// The address of tokens, such as `https://oauth2.googleapis.com/token`.
    pub token_url: String,
    /// As whom Deskfold is registered there.
    #[schemars(length(min = 1, max = 500))]
    pub client_id: String,
    /// What is asked for, where it must be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000))]
    pub scope: Option<String>,
}

/// A mailbox that mail is fetched from (IMAP, RFC 9051). Its password is the channel's credential `of` `incoming`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MailboxOfChannel")]
pub struct Mailbox {
    /// Its server.
    pub server: MailServer,
    /// The folder that mail comes in.
    #[serde(default = "inbox")]
    #[schemars(length(min = 1, max = 200))]
    pub folder: String,
    /// The folder that goes to what was taken in; it stays where it is and is marked as seen without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub taken_folder: Option<String>,
    /// By access tokens instead of a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth: Option<Oauth>,
}

fn inbox() -> String {
    "INBOX".to_owned()
}

/// The server that mail leaves through (SMTP, RFC 5321). Its password is the channel's credential `of` `outgoing`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "OutgoingMailOfChannel")]
pub struct Outgoing {
    /// The server.
    pub server: MailServer,
    /// By access tokens instead of a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth: Option<Oauth>,
}

/// By what mail is signed that leaves (DKIM, RFC 6376). The private key, RSA as PEM (PKCS #1) or Ed25519 in base64, is the
/// channel's credential `of` `dkim`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DkimOfChannel")]
pub struct Dkim {
    /// Under which name in the domain's `_domainkey` the public key stands.
    #[schemars(length(min = 1, max = 63))]
    pub selector: String,
    /// The domain.
    pub domain: String,
}

/// When somebody writes too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MailFlood")]
pub struct Flood {
    /// So many mails of one address are taken in ...
    #[schemars(range(min = 1, max = 10_000))]
    pub messages: u32,
    /// ... within so many minutes; what comes beyond is kept for somebody to look at.
    #[schemars(range(min = 1, max = 10_080))]
    pub minutes: u32,
}

/// By how much more than people write machines are known.
const USUAL_FLOOD: Flood = Flood { messages: 30, minutes: 10 };

/// What is set about mail in a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "MailOfChannel")]
pub struct Mail {
    /// Its address; the team's alias under the usual domain without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 254))]
    pub address: Option<String>,
    /// The name that stands before the address in what leaves; the channel's without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub sender_name: Option<String>,
    /// Whether mail to the address with a plus and anything behind its name comes in too: answers are then known by where
    /// they go, whatever became of their headers. Under the usual domain it always does.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub plus_addresses: bool,
    /// The mailbox that mail is fetched from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incoming: Option<Mailbox>,
    /// The server that mail leaves through; the usual one without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outgoing: Option<Outgoing>,
    /// By what mail is signed that leaves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dkim: Option<Dkim>,
    /// The mail servers whose word is taken on who a sender is (`Authentication-Results`, RFC 8601), by the names they give
    /// themselves there.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub trusted_servers: BTreeSet<String>,
    /// Whether those whom a mail also goes to take part in its ticket.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cc_participates: bool,
    /// What becomes of an answer to a ticket that is closed.
    pub when_closed: WhenClosed,
    /// When somebody writes too much: beyond 30 mails in 10 minutes without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flood: Option<Flood>,
    /// Which headers say something of a new ticket: `priority`, `category`, `tags`, or `custom.` and the key of a field.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// What stands under what leaves. `{{ agent }}` is who writes, `{{ team }}` the channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4000))]
    pub signature: Option<String>,
    /// For so many seconds what is to leave can be taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3600))]
    pub undo_s: Option<u32>,
}

/// Settings of mail that make no sense.
pub(super) const MAIL_INVALID: Rejection = Rejection::invalid(
    "channel_mail_invalid",
    "A mail server has a host name, a folder and a name of a sender are one line, and a signature is 1 to 4,000 characters.",
);
pub(super) const HEADER_INVALID: Rejection = Rejection::invalid(
    "channel_mail_header_invalid",
    "A header has a name of printable ASCII without a colon, and says priority, category, tags, or custom. and the key of a field.",
);
/// The address that mail is to bear is another channel's.
pub(super) const ADDRESS_TAKEN: Rejection =
    Rejection::conflict("channel_address_taken", "Another channel has this address.");

/// The scope in which the addresses of channels are claimed, in all tenants: mail finds its channel by them.
pub const ADDRESS_SCOPE: &str = "channel.address";

fn is_line(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= 200 && !text.contains(char::is_control)
}

fn check_server(server: &MailServer, at: &str) -> Result<(), Rejection> {
    let host = !server.host.is_empty() && server.host.len() <= 253 && !server.host.contains(char::is_whitespace);
    must(host && server.port > 0, MAIL_INVALID, format!("{at}/server/host"))
}

fn check_oauth(oauth: Option<&Oauth>, at: &str) -> Result<(), Rejection> {
    let Some(oauth) = oauth else { return Ok(()) };
    all([
        must(custom::is_url(&oauth.token_url), valid::URL_INVALID, format!("{at}/oauth/token_url")),
        must(is_line(&oauth.client_id), MAIL_INVALID, format!("{at}/oauth/client_id")),
    ])
}

fn is_header(name: &str) -> bool {
    (1..=100).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')
}

fn is_attribute(attribute: &str) -> bool {
    matches!(attribute, "priority" | "category" | "tags") || attribute.strip_prefix("custom.").is_some_and(is_line)
}

impl Mail {
    /// What stands in the way of these settings.
    pub(super) fn check(&self) -> Result<(), Rejection> {
        let signature = self.signature.as_ref().map(|text| text.chars().count());
        all([
            must(self.address.as_deref().is_none_or(email::is_email), valid::EMAIL_INVALID, "/address"),
            must(self.sender_name.as_deref().is_none_or(is_line), MAIL_INVALID, "/sender_name"),
            must(signature.is_none_or(|length| (1..=4000).contains(&length)), MAIL_INVALID, "/signature"),
            must(self.trusted_servers.iter().all(|name| is_line(name)), MAIL_INVALID, "/trusted_servers"),
            self.dkim.as_ref().map_or(Ok(()), |dkim| {
                let label = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
                let named = (1..=63).contains(&dkim.selector.len()) && dkim.selector.chars().all(label);
                all([
                    must(named, MAIL_INVALID, "/dkim/selector"),
                    must(valid::is_domain(&dkim.domain), valid::DOMAIN_INVALID, "/dkim/domain"),
                ])
            }),
            must(self.headers.len() <= 50, HEADER_INVALID, "/headers"),
            must(
                self.headers.iter().all(|(name, attribute)| is_header(name) && is_attribute(attribute)),
                HEADER_INVALID,
                "/headers",
            ),
            self.incoming.as_ref().map_or(Ok(()), |mailbox| {
                all([
                    check_server(&mailbox.server, "/incoming"),
                    check_oauth(mailbox.oauth.as_ref(), "/incoming"),
                    must(is_line(&mailbox.folder), MAIL_INVALID, "/incoming/folder"),
                    must(
                        mailbox.taken_folder.as_ref().is_none_or(|taken| is_line(taken) && *taken != mailbox.folder),
                        MAIL_INVALID,
                        "/incoming/taken_folder",
                    ),
                ])
            }),
            self.outgoing.as_ref().map_or(Ok(()), |outgoing| {
                all([check_server(&outgoing.server, "/outgoing"), check_oauth(outgoing.oauth.as_ref(), "/outgoing")])
            }),
        ])
    }

    /// Beyond how much one address writes too much.
    pub fn flood(&self) -> Flood {
        self.flood.unwrap_or(USUAL_FLOOD)
    }
}
