//! How a mail leaves: by SMTP (RFC 5321), to the server that its channel names. What is said until the last dot says that it has
//! not left; what breaks off afterwards says nothing.

use std::time::Duration;

use domain::org::tenant::{MailServer, Security};
use lettre::transport::smtp::{
    Error,
    authentication::{Credentials, Mechanism},
    client::{AsyncSmtpConnection, TlsParameters},
    commands::{Data, Mail, Rcpt},
    extension::{ClientId, Extension, MailBodyParameter, MailParameter},
};

use super::compose::Written;
use crate::{address, outbox::Outcome};

/// How one says who one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// Not at all.
    None,
    /// With a name and a password.
    Password(String, String),
    /// With a name and an access token (XOAUTH2).
    Token(String, String),
}

/// A server that mail leaves through.
#[derive(Clone, Debug)]
pub struct Server<'a> {
    /// Where it is.
    pub at: &'a MailServer,
    /// As whom.
    pub login: Login,
    /// What we call ourselves there.
    pub hello: &'a str,
    /// Whether it may be in a private network.
    pub private: bool,
    /// How long it may take to answer.
    pub patience: Duration,
}

fn told(error: &Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    match error.status() {
        Some(_) => error.to_string(),
        None => inner.to_string(),
    }
}

/// What an answer before the last dot means.
fn before(error: &Error, at: &str) -> Outcome {
    let reason = format!("{at}: {}", told(error));
    match error.is_permanent() || error.is_client() {
        true => Outcome::Failed { reason },
        false => Outcome::Later { reason, after: None },
    }
}

/// Sends a mail.
pub async fn send(server: &Server<'_>, mail: &Written) -> Outcome {
    match try_to(server, mail).await {
        Ok(outcome) | Err(outcome) => outcome,
    }
}

async fn try_to(server: &Server<'_>, mail: &Written) -> Result<Outcome, Outcome> {
    let MailServer { host, port, security, .. } = server.at;
    let at = address::resolve(host, *port, server.private).await.map_err(|(reason, passes)| match passes {
        true => Outcome::Later { reason, after: None },
        false => Outcome::Failed { reason },
    })?;
    let tls = || {
        let parameters = TlsParameters::new(host.clone());
        parameters.map_err(|error| Outcome::Later { reason: told(&error), after: None })
    };
    let hello = ClientId::Domain(server.hello.to_owned());
    let wrapped = match security {
        Security::Tls => Some(tls()?),
        Security::StartTls | Security::None => None,
    };
    let fails = |error: Error| match error.is_permanent() {
        true => before(&error, host),
        // What is not encrypted today may be tomorrow.
        false => Outcome::Later { reason: format!("{host}: {}", told(&error)), after: None },
    };
    let connected = AsyncSmtpConnection::connect_tokio1(at, Some(server.patience), &hello, wrapped, None);
    let mut connection = tokio::time::timeout(server.patience, connected)
        .await
        .map_err(|_| Outcome::Later { reason: format!("{host} does not answer"), after: None })?
        .map_err(fails)?;
    let slow = || Outcome::Later { reason: format!("{host} keeps us waiting"), after: None };
    let begun = tokio::time::timeout(server.patience, begin(&mut connection, server, &hello, tls, mail)).await;
    let begun = begun.unwrap_or_else(|_| Err(slow()));
    if let Err(outcome) = begun {
        connection.abort().await;
        return Err(outcome);
    }
    // From here on it may have left, whatever we hear.
    let sent = tokio::time::timeout(server.patience * 2, connection.message(&mail.bytes)).await;
    let outcome = match sent {
        Ok(Ok(answer)) if answer.is_positive() => Outcome::Sent { external_id: None },
        Ok(Ok(answer)) => Outcome::Failed { reason: format!("{host}: {}", answer.first_line().unwrap_or("refused")) },
        Ok(Err(error)) if error.is_permanent() || error.is_transient() => before(&error, host),
        Ok(Err(error)) => Outcome::Unknown { reason: format!("{host}: {}", told(&error)) },
        Err(_) => Outcome::Unknown { reason: format!("{host} did not say whether it has the mail") },
    };
    // It is polite, and nothing depends on it.
    let _ = tokio::time::timeout(Duration::from_secs(1), connection.quit()).await;
    Ok(outcome)
}

/// All that is said before the mail itself.
async fn begin(
    connection: &mut AsyncSmtpConnection,
    server: &Server<'_>,
    hello: &ClientId,
    tls: impl Fn() -> Result<TlsParameters, Outcome>,
    mail: &Written,
) -> Result<(), Outcome> {
    let host = &server.at.host;
    let fails = |error: Error| before(&error, host);
    if server.at.security == Security::StartTls {
        connection
            .starttls(tls()?, hello)
            .await
            .map_err(|error| Outcome::Later { reason: format!("{host}: {}", told(&error)), after: None })?;
    }
    let (mechanisms, credentials) = match &server.login {
        Login::None => (&[][..], None),
        Login::Password(name, password) => {
            (&[Mechanism::Plain, Mechanism::Login][..], Some(Credentials::new(name.clone(), password.clone())))
        }
        Login::Token(name, token) => (&[Mechanism::Xoauth2][..], Some(Credentials::new(name.clone(), token.clone()))),
    };
    if let Some(credentials) = credentials {
        // A password that is wrong is put right by somebody; what waits leaves then.
        connection.auth(mechanisms, &credentials).await.map_err(|error| Outcome::Later {
            reason: format!("{host} does not let us in: {}", told(&error)),
            after: None,
        })?;
    }
    let mut parameters = Vec::new();
    let info = connection.server_info();
    let international =
        mail.envelope.to().iter().chain(mail.envelope.from()).any(|address| !address.to_string().is_ascii());
    if international {
        if !info.supports_feature(Extension::SmtpUtfEight) {
            return Err(Outcome::Failed { reason: format!("{host} takes no addresses outside ASCII") });
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    if info.supports_feature(Extension::EightBitMime) && !mail.bytes.is_ascii() {
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    connection.command(Mail::new(mail.envelope.from().cloned(), parameters)).await.map_err(fails)?;
    for to in mail.envelope.to() {
        // One that is refused holds all of it up: whoever wrote it says to whom else it goes.
        let refused = |error: Error| before(&error, &format!("{host}, {to}"));
        connection.command(Rcpt::new(to.clone(), vec![])).await.map_err(refused)?;
    }
    connection.command(Data).await.map_err(fails)?;
    Ok(())
}
