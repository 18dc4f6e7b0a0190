//! What mail needs of the configuration: its domain, the usual server, the key of its tokens.

use std::{str::FromStr, sync::Arc};

use channels::{
    keyed::Keyed,
    mail::{
        Post,
        outgoing::{Outgoing, Usual},
        tokens::Tokens,
    },
};
use commands::Commands;
use domain::org::tenant::{MailServer, Security};
use reqwest::Url;

use crate::{app::App, config::Serve, sign_in::Seal};

/// A server that mail leaves through, as an address: `smtps://` from the first byte encrypted, `smtp://` after a greeting in the
/// clear, `smtp+plain://` not at all.
#[derive(Clone)]
pub struct SmtpUrl {
    server: MailServer,
    password: Option<String>,
}

impl std::fmt::Debug for SmtpUrl {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SmtpUrl").field(&self.server).finish()
    }
}

impl FromStr for SmtpUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<SmtpUrl, String> {
        let unfit = || "write it like smtps://name:password@mail.example.com, smtp://… or smtp+plain://…".to_owned();
        let url = Url::parse(text).map_err(|_| unfit())?;
        let (security, port) = match url.scheme() {
            "smtps" => (Security::Tls, 465),
            "smtp" => (Security::StartTls, 587),
            "smtp+plain" => (Security::None, 25),
            _ => return Err(unfit()),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(unfit)?.to_owned();
        let decoded = |text: &str| percent_decoded(text);
        let username = (!url.username().is_empty()).then(|| decoded(url.username()));
        let server = MailServer { host, port: url.port().unwrap_or(port), security, username };
        Ok(SmtpUrl { server, password: url.password().map(decoded) })
    }
}

/// A part of an address as it is meant.
fn percent_decoded(text: &str) -> String {
    // It is read as the value of a form's field, in which a plus would be a space.
    let query = format!("x={}", text.replace('+', "%2B"));
    let url = Url::parse(&format!("x:?{query}"));
    url.ok().and_then(|url| url.query_pairs().next().map(|(_, value)| value.into_owned())).unwrap_or_default()
}

/// For what the key of tokens is derived.
const PURPOSE: &str = "mail tokens";

/// What mail needs of this process.
pub(crate) fn post(
    config: &Serve,
    commands: &Commands,
    clock: commands::Clock,
    files: &channels::files::intake::Intake,
    seal: &Arc<Seal>,
) -> Post {
    let seal = Arc::clone(seal);
    let tokens = Keyed::new(move || Ok(Tokens::new(&seal.derived(PURPOSE).map_err(|problem| problem.to_string())?)));
    Post { commands: commands.clone(), clock, files: files.clone(), tokens, domain: config.mail.mail_domain.clone() }
}

/// How mail leaves.
pub(crate) fn outgoing(config: &Serve, post: Post, secrets: channels::outbox::Secrets) -> Outgoing {
    let usual = config.mail.smtp_url.clone();
    let usual = usual.map(|SmtpUrl { server, password }| Usual { server, password });
    Outgoing { post, usual, secrets, private: config.private_addresses, patience: config.send_timeout }
}

impl App {
    /// What mail needs of this process.
    pub(crate) fn post(&self) -> &Post {
        &self.post
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_by_an_address() {
        let url: SmtpUrl = "smtps://desk%40example.com:p%40ss@mail.example.com".parse().unwrap();
        assert_eq!((url.server.host.as_str(), url.server.port), ("mail.example.com", 465));
        assert_eq!((url.server.security, url.server.username.as_deref()), (Security::Tls, Some("desk@example.com")));
        assert_eq!(url.password.as_deref(), Some("p@ss"));
        assert!(!format!("{url:?}").contains("p@ss"));
        let plain: SmtpUrl = "smtp+plain://127.0.0.1:2525".parse().unwrap();
        assert_eq!((plain.server.port, plain.server.security), (2525, Security::None));
        for wrong in ["mail.example.com", "http://mail.example.com", "smtp://"] {
            assert!(wrong.parse::<SmtpUrl>().is_err(), "{wrong}");
        }
    }
}
