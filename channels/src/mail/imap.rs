//! Mail that is fetched from a mailbox (IMAP, RFC 9051): what is new is taken in as soon as the server says so (IDLE), and looked
//! for once in a while where it does not. What was taken in is put aside; a mail that cannot be taken holds up no other.

mod mailboxes;

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use async_imap::{Authenticator, Client, Session, extensions::idle::IdleResponse};
use bytes::Bytes;
use domain::{
    Actor, Id,
    chat::channel::Mailbox,
    org::tenant::{MailServer, Security},
};
use futures::TryStreamExt;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, pki_types::ServerName},
};

pub use self::mailboxes::{Fetching, Options, State};
use super::{
    Post,
    addresses::Found,
    intake::{Fault, LARGEST},
};
use crate::address;

/// How long a server is waited for that says nothing of new mail: RFC 2177 asks to begin anew within half an hour.
const IDLE: Duration = Duration::from_secs(25 * 60);
/// How often it is looked where a server cannot say.
const LOOK: Duration = Duration::from_secs(60);

/// A connection, encrypted or not.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug> Wire for T {}

type Connected = Session<Box<dyn Wire>>;

/// How one says who one is.
pub(super) enum Login {
    /// With a password.
    Password(String),
    /// With an access token (XOAUTH2).
    Token(String),
}

/// Why nothing is fetched now.
pub(super) type Trouble = String;

struct Xoauth2(String);

impl Authenticator for Xoauth2 {
    type Response = String;

    fn process(&mut self, _: &[u8]) -> String {
        // What comes a second time is why it was refused; the answer to that is empty.
        std::mem::take(&mut self.0)
    }
}

/// A mailbox that is open.
pub(super) struct Open {
    session: Connected,
    validity: u32,
    idles: bool,
    moves: bool,
}

/// How far a mailbox has been fetched: up to which of its numbers, which mean nothing once their validity is another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reached {
    pub(super) validity: u32,
    pub(super) uid: u32,
}

async fn encrypted(stream: TcpStream, host: &str) -> Result<Box<dyn Wire>, Trouble> {
    let mut roots = RootCertStore::empty();
    // What this machine does not trust it does not trust here.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    Ok(Box::new(connected.map_err(|error| format!("{host}: {error}"))?))
}

async fn greeted(stream: Box<dyn Wire>) -> Result<Client<Box<dyn Wire>>, Trouble> {
    let mut client = Client::new(stream);
    match client.read_response().await {
        Ok(Some(_)) => Ok(client),
        Ok(None) => Err("the server hung up".into()),
        Err(error) => Err(error.to_string()),
    }
}

async fn connected(server: &MailServer, private: bool) -> Result<Client<Box<dyn Wire>>, Trouble> {
    let at = address::resolve(&server.host, server.port, private).await.map_err(|(why, _)| why)?;
    let stream = TcpStream::connect(at).await.map_err(|error| format!("{}: {error}", server.host))?;
    match server.security {
        Security::Tls => greeted(encrypted(stream, &server.host).await?).await,
        Security::None => greeted(Box::new(stream)).await,
        Security::StartTls => {
            let mut client = Client::new(stream);
            let greeting = client.read_response().await.map_err(|error| error.to_string())?;
            greeting.ok_or("the server hung up")?;
            client.run_command_and_check_ok("STARTTLS", None).await.map_err(|error| error.to_string())?;
            Ok(Client::new(encrypted(client.into_inner(), &server.host).await?))
        }
    }
}

impl Open {
    /// Opens a mailbox.
    pub(super) async fn new(
        mailbox: &Mailbox,
        login: Login,
        private: bool,
        patience: Duration,
    ) -> Result<Open, Trouble> {
        let opened = tokio::time::timeout(patience * 2, Open::begin(mailbox, login, private)).await;
        opened.unwrap_or_else(|_| Err(format!("{} keeps us waiting", mailbox.server.host)))
    }

    async fn begin(mailbox: &Mailbox, login: Login, private: bool) -> Result<Open, Trouble> {
        let told = |error: async_imap::error::Error| format!("{}: {error}", mailbox.server.host);
        let client = connected(&mailbox.server, private).await?;
        let name = mailbox.server.username.clone().unwrap_or_default();
        let mut session = match login {
            Login::Password(password) => client.login(name, password).await.map_err(|(error, _)| told(error))?,
            Login::Token(token) => {
                let said = Xoauth2(format!("user={name}\x01auth=Bearer {token}\x01\x01"));
                client.authenticate("XOAUTH2", said).await.map_err(|(error, _)| told(error))?
            }
        };
        let can = session.capabilities().await.map_err(told)?;
        let (idles, moves) = (can.has_str("IDLE"), can.has_str("MOVE"));
        let opened = session.select(&mailbox.folder).await.map_err(told)?;
        if let Some(taken) = &mailbox.taken_folder {
            // Where it is there already this is refused.
            let _ = session.create(taken).await;
        }
        Ok(Open { session, validity: opened.uid_validity.unwrap_or_default(), idles, moves })
    }

    /// The validity of the numbers of its mails.
    pub(super) fn validity(&self) -> u32 {
        self.validity
    }

    /// The numbers of what is new.
    pub(super) async fn new_ones(&mut self, reached: Reached) -> Result<Vec<u32>, Trouble> {
        let from = if reached.validity == self.validity { reached.uid + 1 } else { 1 };
        let found = self.session.uid_search(format!("UID {from}:*")).await.map_err(|error| error.to_string())?;
        // The last one is always found, however old.
        let found: BTreeSet<u32> = found.into_iter().filter(|uid| *uid >= from).collect();
        Ok(found.into_iter().collect())
    }

    /// A mail as it lies there; `None` of one that is gone or too large.
    pub(super) async fn mail(&mut self, uid: u32) -> Result<Option<Bytes>, Trouble> {
        let told = |error: async_imap::error::Error| error.to_string();
        let sizes = self.session.uid_fetch(uid.to_string(), "(UID RFC822.SIZE)").await.map_err(told)?;
        let sizes: Vec<_> = sizes.try_collect().await.map_err(told)?;
        let size = sizes.iter().find(|found| found.uid == Some(uid)).and_then(|found| found.size);
        if size.is_none_or(|size| u64::from(size) > LARGEST) {
            return Ok(None);
        }
        // Peeking leaves it unseen as long as it is not ours.
        let found = self.session.uid_fetch(uid.to_string(), "(UID BODY.PEEK[])").await.map_err(told)?;
        let found: Vec<_> = found.try_collect().await.map_err(told)?;
        let body = found.iter().find(|found| found.uid == Some(uid)).and_then(|found| found.body());
        Ok(body.map(Bytes::copy_from_slice))
    }

    /// Puts aside what was taken in.
    pub(super) async fn put_aside(&mut self, uid: u32, folder: Option<&str>) -> Result<(), Trouble> {
        let told = |error: async_imap::error::Error| error.to_string();
        let uid = uid.to_string();
        match folder {
            Some(folder) if self.moves => self.session.uid_mv(&uid, folder).await.map_err(told),
            Some(folder) => {
                self.session.uid_copy(&uid, folder).await.map_err(told)?;
                self.mark(&uid, "+FLAGS.SILENT (\\Deleted)").await?;
                let gone = self.session.expunge().await.map_err(told)?;
                let _: Vec<_> = gone.try_collect().await.map_err(told)?;
                Ok(())
            }
            None => self.mark(&uid, "+FLAGS.SILENT (\\Seen)").await,
        }
    }

    async fn mark(&mut self, uid: &str, flags: &str) -> Result<(), Trouble> {
        let told = |error: async_imap::error::Error| error.to_string();
        let marked = self.session.uid_store(uid, flags).await.map_err(told)?;
        let _: Vec<_> = marked.try_collect().await.map_err(told)?;
        Ok(())
    }

    /// Waits until there may be something new.
    pub(super) async fn wait(self) -> Result<Open, Trouble> {
        let Open { session, validity, idles, moves } = self;
        let told = |error: async_imap::error::Error| error.to_string();
        if !idles {
            tokio::time::sleep(LOOK).await;
            let mut session = session;
            session.noop().await.map_err(told)?;
            return Ok(Open { session, validity, idles, moves });
        }
        let mut idle = session.idle();
        idle.init().await.map_err(told)?;
        let (news, stop) = idle.wait_with_timeout(IDLE);
        let heard = news.await;
        drop(stop);
        match heard.map_err(told)? {
            IdleResponse::NewData(_) | IdleResponse::Timeout => {}
            IdleResponse::ManualInterrupt => return Err("interrupted".into()),
        }
        let session = idle.done().await.map_err(told)?;
        Ok(Open { session, validity, idles, moves })
    }
}

/// Takes in a mail that was fetched; whether it is ours, or never will be.
pub(super) async fn taken_in(post: &Post, found: &Found, raw: Bytes) -> Result<bool, Trouble> {
    match post.take_in(found, Actor::SYSTEM, None, raw).await {
        Ok(_) => Ok(true),
        Err(Fault::Refused(refusal)) => {
            tracing::warn!(channel = %found.id, %refusal, "a mail stays in its mailbox");
            Ok(false)
        }
        Err(Fault::Later(why)) => Err(why),
    }
}

/// Whose mailbox it is.
pub(super) type Whose = (Id, Id);
