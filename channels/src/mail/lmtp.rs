//! LMTP (RFC 2033): a mail server hands over what it has for us, and hears of each recipient what became of it. What is answered
//! with 250 is kept and recorded; whatever else happens, the server still has it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use domain::Actor;
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

use super::{
    Post,
    addresses::Found,
    intake::{Fault, LARGEST},
};

/// Connections at once.
const CONNECTIONS: usize = 64;
/// Mails that are taken in at once, each held in memory.
const AT_ONCE: usize = 4;
/// Most bytes of a command (RFC 5321, section 4.5.3.1.4, and what extensions add).
const LINE: u64 = 4096;
/// Most recipients of a mail.
const RECIPIENTS: usize = 100;
/// How long a server may keep us waiting (RFC 5321, section 4.5.3.2.7).
const PATIENCE: Duration = Duration::from_secs(300);

/// Answers LMTP until it is told to stop.
pub async fn serve(post: Post, listener: TcpListener, stopping: CancellationToken) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let memory = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
        let (stream, from) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection of LMTP");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = stopping.cancelled() => return,
        };
        let (post, memory, stopping) = (post.clone(), Arc::clone(&memory), stopping.clone());
        tokio::spawn(async move {
            let _permit = permit;
            tokio::select! {
                ended = session(&post, stream, &memory) => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, %from, "a connection of LMTP broke off");
                    }
                }
                () = stopping.cancelled() => {}
            }
        });
    }
}

/// Where to listen.
///
/// # Errors
/// When nobody can.
pub async fn listen(at: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(at).await
}

/// A mail that is being handed over.
#[derive(Default)]
struct Transaction {
    from: Option<String>,
    to: Vec<(String, Found)>,
}

enum Line {
    Text(String),
    TooLong,
    End,
}

async fn line(reader: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Line> {
    let mut bytes = Vec::new();
    let mut bounded = (&mut *reader).take(LINE);
    let read = bounded.read_until(b'\n', &mut bytes);
    let read = tokio::time::timeout(PATIENCE, read).await.map_err(|_| std::io::ErrorKind::TimedOut)??;
    if read == 0 {
        return Ok(Line::End);
    }
    if bytes.last() != Some(&b'\n') {
        // The rest of it is not another command.
        let mut rest = Vec::new();
        while !matches!((&mut *reader).take(LINE).read_until(b'\n', &mut rest).await?, 0) && rest.last() != Some(&b'\n')
        {
            rest.clear();
        }
        return Ok(Line::TooLong);
    }
    let text = String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned();
    Ok(Line::Text(text))
}

/// The address between angle brackets behind a keyword, without what stands behind it.
fn path(rest: &str, keyword: &str) -> Option<String> {
    let named = rest.get(..keyword.len())?;
    if !named.eq_ignore_ascii_case(keyword) {
        return None;
    }
    let inner = rest[keyword.len()..].trim_start().strip_prefix('<')?;
    let end = inner.rfind('>')?;
    let inner = &inner[..end];
    // A source route is ignored (RFC 5321, appendix C).
    let inner = inner.strip_prefix('@').and_then(|route| route.split_once(':')).map_or(inner, |(_, address)| address);
    (!inner.contains(char::is_control)).then(|| inner.to_owned())
}

async fn say(writer: &mut (impl AsyncWrite + Unpin), text: &str) -> std::io::Result<()> {
    writer.write_all(text.as_bytes()).await?;
    writer.write_all(b"\r\n").await?;
    writer.flush().await
}

async fn session(post: &Post, stream: TcpStream, memory: &Semaphore) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::with_capacity(64 << 10, reader);
    say(&mut writer, "220 Deskfold LMTP").await?;
    let mut mail = Transaction::default();
    loop {
        let text = match line(&mut reader).await? {
            Line::Text(text) => text,
            Line::TooLong => {
                say(&mut writer, "500 5.5.2 The line is too long").await?;
                continue;
            }
            Line::End => return Ok(()),
        };
        let (word, rest) = text.split_once(' ').unwrap_or((&text, ""));
        let rest = rest.trim();
        match word.to_ascii_uppercase().as_str() {
            "LHLO" => {
                mail = Transaction::default();
                let greeting = format!(
                    "250-Deskfold\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE {LARGEST}"
                );
                say(&mut writer, &greeting).await?;
            }
            "HELO" | "EHLO" => say(&mut writer, "500 5.5.1 This is LMTP: say LHLO").await?,
            "MAIL" => match path(rest, "FROM:") {
                _ if mail.from.is_some() => say(&mut writer, "503 5.5.1 There is a sender already").await?,
                Some(from) if too_large(rest) => {
                    drop(from);
                    say(&mut writer, "552 5.3.4 The mail is too large").await?;
                }
                Some(from) => {
                    mail.from = Some(from);
                    say(&mut writer, "250 2.1.0 OK").await?;
                }
                None => say(&mut writer, "501 5.5.4 Say MAIL FROM:<address>").await?,
            },
            "RCPT" => say(&mut writer, &recipient(post, &mut mail, rest).await).await?,
            "DATA" if mail.from.is_none() || mail.to.is_empty() => {
                say(&mut writer, "503 5.5.1 There is no recipient").await?;
            }
            "DATA" => {
                let Ok(_permit) = memory.acquire().await else { return Ok(()) };
                say(&mut writer, "354 Go on; end with a dot on a line of its own").await?;
                let data = data(&mut reader).await?;
                let Transaction { from, to } = std::mem::take(&mut mail);
                for (recipient, found) in to {
                    let answer = match &data {
                        Some(data) => taken_in(post, from.as_deref(), &recipient, &found, data).await,
                        None => "552 5.3.4 The mail is too large".to_owned(),
                    };
                    say(&mut writer, &answer).await?;
                }
            }
            "RSET" => {
                mail = Transaction::default();
                say(&mut writer, "250 2.0.0 OK").await?;
            }
            "NOOP" => say(&mut writer, "250 2.0.0 OK").await?,
            "VRFY" => say(&mut writer, "252 2.5.2 Send it and see").await?,
            "QUIT" => {
                say(&mut writer, "221 2.0.0 Good-bye").await?;
                return Ok(());
            }
            _ => say(&mut writer, "500 5.5.1 There is no such command").await?,
        }
    }
}

/// Whether a mail says of itself that it is too large (RFC 1870).
fn too_large(rest: &str) -> bool {
    let size =
        rest.split_whitespace().filter_map(|word| word.to_ascii_uppercase().strip_prefix("SIZE=")?.parse().ok()).next();
    size.is_some_and(|size: u64| size > LARGEST)
}

async fn recipient(post: &Post, mail: &mut Transaction, rest: &str) -> String {
    if mail.from.is_none() {
        return "503 5.5.1 There is no sender".into();
    }
    let Some(address) = path(rest, "TO:") else { return "501 5.5.4 Say RCPT TO:<address>".into() };
    if mail.to.len() >= RECIPIENTS {
        return "452 4.5.3 There are too many recipients".into();
    }
    match post.channel_at(&address).await {
        Ok(Some(found)) if !found.channel.enabled => "550 5.2.1 This mailbox is closed".into(),
        Ok(Some(found)) => {
            mail.to.push((address, found));
            "250 2.1.5 OK".into()
        }
        Ok(None) => "550 5.1.1 There is no such mailbox".into(),
        Err(refused) => {
            tracing::warn!(%refused, "cannot look up whose an address is");
            "451 4.3.0 Try again".into()
        }
    }
}

/// What stands before the dot, with doubled dots made single; `None` of what is too large.
async fn data(reader: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Vec<u8>>> {
    let most = usize::try_from(LARGEST).unwrap_or(usize::MAX);
    let (mut all, mut fits) = (Vec::new(), true);
    let mut begins = true;
    loop {
        let mut piece = Vec::new();
        let mut bounded = (&mut *reader).take(64 << 10);
        let read = bounded.read_until(b'\n', &mut piece);
        let read = tokio::time::timeout(PATIENCE, read).await.map_err(|_| std::io::ErrorKind::TimedOut)??;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if begins && matches!(&piece[..], b".\r\n" | b".\n") {
            return Ok(fits.then_some(all));
        }
        let stuffed = begins && piece.first() == Some(&b'.');
        begins = piece.last() == Some(&b'\n');
        fits &= all.len() + piece.len() <= most;
        if fits {
            all.extend_from_slice(if stuffed { &piece[1..] } else { &piece });
        } else {
            all = Vec::new();
        }
    }
}

async fn taken_in(post: &Post, from: Option<&str>, recipient: &str, found: &Found, data: &[u8]) -> String {
    // Whoever delivers last says from whom and to whom (RFC 5321, section 4.4).
    let traced = format!("Return-Path: <{}>\r\nDelivered-To: {recipient}\r\n", from.unwrap_or_default());
    let raw = Bytes::from([traced.as_bytes(), data].concat());
    match post.take_in(found, Actor::SYSTEM, Some(recipient), raw).await {
        Ok(accepted) => format!("250 2.0.0 Kept as {}", accepted.id),
        Err(Fault::Refused(refusal)) => format!("550 5.6.0 {}", refusal.detail),
        Err(Fault::Later(why)) => {
            tracing::warn!(why, "a mail cannot be taken in now");
            "451 4.3.0 Try again".into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stands_between_brackets() {
        assert_eq!(path("FROM:<a@b.example> SIZE=10", "FROM:").as_deref(), Some("a@b.example"));
        assert_eq!(path("from: <>", "FROM:").as_deref(), Some(""));
        assert_eq!(path("TO:<@relay.example:a@b.example>", "TO:").as_deref(), Some("a@b.example"));
        assert_eq!(path("TO:<\"a>b\"@c.example>", "TO:").as_deref(), Some("\"a>b\"@c.example"));
        assert_eq!(path("TO:a@b.example", "TO:"), None);
        assert!(too_large("FROM:<a@b> SIZE=99999999999") && !too_large("FROM:<a@b> SIZE=10"));
    }

    #[tokio::test]
    async fn dots_are_made_single_and_one_alone_ends_it() {
        let mut reader = BufReader::new(&b"a\r\n..b\r\n.c\r\nx.\r\n.\r\nQUIT\r\n"[..]);
        assert_eq!(data(&mut reader).await.unwrap().as_deref(), Some(&b"a\r\n.b\r\nc\r\nx.\r\n"[..]));
        assert!(matches!(line(&mut reader).await.unwrap(), Line::Text(text) if text == "QUIT"));
        assert!(data(&mut BufReader::new(&b"a\r\n"[..])).await.is_err(), "what breaks off is no mail");
    }
}
