//! The way to JetStream: one connection, one stream of events, and whether that stream agrees with the log.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::header::HeaderMap;
use async_nats::jetstream::{self, ErrorCode, context, stream};
use async_nats::{ConnectOptions, Event, ServerAddr};
use prometheus::{Gauge, IntCounter, IntGauge, Opts, Registry};
use tokio::sync::watch;

use crate::Recorded;
use crate::error::Error;
use crate::log::Log;
use crate::tail;

/// How long a request to NATS, or an acknowledgement, may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a silent connection is tried.
const PING: Duration = Duration::from_secs(5);
/// How long JetStream remembers ids of messages, as a second guard beside the expected sequence.
const DUPLICATES: Duration = Duration::from_secs(2 * 60);

/// Headers of a message, beside those of JetStream.
pub(crate) const EVENT_ID: &str = "Deskfold-Event-Id";
pub(crate) const RECORDED_AT: &str = "Deskfold-Recorded-At";
pub(crate) const TENANT: &str = "Deskfold-Tenant";

/// How NATS is reached, and what is kept there.
#[derive(Clone)]
pub struct NatsOptions {
    /// Servers as URLs, separated by commas; they may hold a user and a password, or a token.
    pub servers: String,
    /// A credentials file (`.creds`).
    pub credentials: Option<PathBuf>,
    /// Name of the stream. Its subjects begin with the same in lower case.
    pub stream: String,
    /// How long JetStream keeps events.
    pub max_age: Duration,
    /// How many bytes of events JetStream keeps; 0 for no limit.
    pub max_bytes: u64,
    /// Copies in a NATS cluster.
    pub replicas: usize,
    /// What is counted; `None` counts for nobody.
    pub metrics: Option<NatsMetrics>,
}

impl fmt::Debug for NatsOptions {
    /// Without the servers: their URLs may hold a password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NatsOptions").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// What relay and connection tell Prometheus.
#[derive(Clone, Debug)]
pub struct NatsMetrics {
    pub(crate) connected: IntGauge,
    pub(crate) reconnects: IntCounter,
    pub(crate) position: IntGauge,
    pub(crate) lag_positions: IntGauge,
    pub(crate) lag_seconds: Gauge,
    pub(crate) published: IntCounter,
    pub(crate) refusals: IntCounter,
    pub(crate) refusing: IntGauge,
}

impl NatsMetrics {
    /// Makes them and registers them as `deskfold_nats_*` and `deskfold_relay_*`.
    ///
    /// # Errors
    /// When the registry already has metrics of these names.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self::unregistered()?;
        registry.register(Box::new(metrics.connected.clone()))?;
        registry.register(Box::new(metrics.reconnects.clone()))?;
        registry.register(Box::new(metrics.position.clone()))?;
        registry.register(Box::new(metrics.lag_positions.clone()))?;
        registry.register(Box::new(metrics.lag_seconds.clone()))?;
        registry.register(Box::new(metrics.published.clone()))?;
        registry.register(Box::new(metrics.refusals.clone()))?;
        registry.register(Box::new(metrics.refusing.clone()))?;
        Ok(metrics)
    }

    fn unregistered() -> Result<Self, prometheus::Error> {
        let named = |name: &str, help: &str| Opts::new(name, help).namespace("deskfold");
        let counter = |name: &str, help: &str| IntCounter::with_opts(named(name, help));
        let gauge = |name: &str, help: &str| IntGauge::with_opts(named(name, help));
        Ok(Self {
            connected: gauge("nats_connected", "Whether this process is connected to NATS.")?,
            reconnects: counter("nats_reconnects_total", "Connections to NATS after the first.")?,
            position: gauge("relay_position", "The last event that is known to be in JetStream.")?,
            lag_positions: gauge("relay_lag_positions", "Events that are not in JetStream yet.")?,
            lag_seconds: Gauge::with_opts(named("relay_lag_seconds", "Age of the oldest event not in JetStream yet."))?,
            published: counter("relay_published_total", "Events this process has published to JetStream.")?,
            refusals: counter(
                "relay_refusals_total",
                "Times JetStream refused an event, or the relay refused a stream that is not the log's.",
            )?,
            refusing: gauge(
                "relay_refusing",
                "1 while JetStream holds what is not the log's, and somebody must decide.",
            )?,
        })
    }
}

/// The connection to NATS. It is made, and made again, in the background. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Nats {
    shared: Arc<Shared>,
}

struct Shared {
    context: jetstream::Context,
    options: NatsOptions,
    metrics: NatsMetrics,
    connection: watch::Receiver<Connection>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.options.fmt(formatter)
    }
}

/// How the connection stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Connection {
    pub(crate) up: bool,
    /// How often it has come and gone: what was asked before may never be answered.
    pub(crate) changes: u64,
}

/// The stream, and how it stands to the log.
#[derive(Debug)]
pub(crate) struct Found {
    /// The stream as JetStream describes it; `None` when there is none.
    pub(crate) info: Option<stream::Info>,
    /// The last position the log had.
    pub(crate) head: i64,
    pub(crate) standing: Standing,
}

/// How a stream stands to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It ends with the log's event at this position: 0 when it is empty and new, or missing.
    Agrees(i64),
    /// It ends beyond the log: the log is older than what was published of it.
    Ahead(i64),
    /// Its last message is not the log's event at that position.
    Foreign(i64),
}

impl Standing {
    /// Why this stream is not to be touched or followed; `None` when it is fine.
    pub(crate) fn refusal(self) -> Option<String> {
        match self {
            Self::Agrees(_) => None,
            Self::Ahead(last) => Some(format!(
                "JetStream ends at {last}, beyond the end of the log: was the log restored from a backup? \
                 `deskfold relay rebuild` empties the stream and publishes again"
            )),
            Self::Foreign(at) => Some(format!(
                "JetStream's message {at} is not the log's event {at}: was the log restored from a backup, or has \
                 somebody else published there? `deskfold relay rebuild` empties the stream and publishes again"
            )),
        }
    }
}

impl Nats {
    /// Begins to connect. It succeeds also when no server can be reached yet.
    ///
    /// # Errors
    /// When the servers are no URLs, the stream's name cannot be one, or the credentials cannot be read.
    pub async fn connect(options: NatsOptions) -> Result<Nats, Error> {
        // What was given may hold a password: it is not repeated.
        let invalid = |what: &str| Error::Invalid(what.to_owned());
        let unreadable =
            || invalid("NATS_URL is not an address such as nats://host:4222, or several with commas between");
        let servers = options.servers.split(',').map(|server| server.trim().parse::<ServerAddr>());
        let servers: Vec<ServerAddr> = servers.collect::<Result<_, _>>().map_err(|_| unreadable())?;
        let word = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
        if options.stream.is_empty() || !options.stream.chars().all(word) {
            return Err(invalid("the name of the NATS stream has letters, digits, _ and - only"));
        }
        let metrics = match &options.metrics {
            Some(metrics) => metrics.clone(),
            None => NatsMetrics::unregistered().map_err(|error| Error::Invalid(error.to_string()))?,
        };
        let (told, connection) = watch::channel(Connection::default());
        let (seen, before) = (metrics.clone(), AtomicBool::new(false));
        let mut connect = ConnectOptions::new()
            .name("deskfold")
            .retry_on_initial_connect()
            .max_reconnects(None)
            .connection_timeout(PATIENCE)
            .ping_interval(PING)
            .reconnect_delay_callback(|attempts| Duration::from_millis(50 * attempts.min(20) as u64))
            .event_callback(move |event| {
                let up = match event {
                    Event::Connected => Some(true),
                    Event::Disconnected | Event::Closed => Some(false),
                    _ => None,
                };
                if let Some(up) = up {
                    tracing::info!(connected = up, "the connection to NATS");
                    seen.connected.set(i64::from(up));
                    if up && before.swap(true, Ordering::Relaxed) {
                        seen.reconnects.inc();
                    }
                    told.send_modify(|known| *known = Connection { up, changes: known.changes + 1 });
                }
                async {}
            });
        let named = servers.iter().find(|server| server.has_user_pass());
        connect = match named.map(|server| (server.username(), server.password())) {
            Some((Some(user), Some(password))) => connect.user_and_password(unescaped(user), unescaped(password)),
            Some((Some(token), None)) => connect.token(unescaped(token)),
            _ => connect,
        };
        if let Some(file) = &options.credentials {
            let unreadable = |error| Error::Invalid(format!("the NATS credentials {}: {error}", file.display()));
            let text = std::fs::read_to_string(file).map_err(unreadable)?;
            connect = connect.credentials(&text).map_err(unreadable)?;
        }
        let client = connect.connect(servers).await.map_err(|_| unreadable())?;
        let context = context::ContextBuilder::new().timeout(PATIENCE).build(client);
        Ok(Nats { shared: Arc::new(Shared { context, options, metrics, connection }) })
    }

    pub(crate) fn context(&self) -> &jetstream::Context {
        &self.shared.context
    }

    pub(crate) fn options(&self) -> &NatsOptions {
        &self.shared.options
    }

    pub(crate) fn metrics(&self) -> &NatsMetrics {
        &self.shared.metrics
    }

    pub(crate) fn connection(&self) -> watch::Receiver<Connection> {
        self.shared.connection.clone()
    }

    /// Waits until a server is reached.
    ///
    /// # Errors
    /// When none is reached in that time.
    pub async fn connected(&self, within: Duration) -> Result<(), Error> {
        let mut connection = self.connection();
        let up = connection.wait_for(|connection| connection.up);
        let up = tokio::time::timeout(within, up).await.is_ok_and(|up| up.is_ok());
        up.then_some(()).ok_or_else(|| Error::Invalid("NATS cannot be reached".into()))
    }

    /// The subjects of all events.
    pub(crate) fn subjects(&self) -> String {
        format!("{}.>", self.prefix())
    }

    fn prefix(&self) -> String {
        self.shared.options.stream.to_ascii_lowercase()
    }

    /// The subject of an event: `deskfold.<tenant>.<category>.<id>.<type>`.
    pub(crate) fn subject(&self, event: &Recorded) -> String {
        subject(&self.prefix(), event)
    }

    /// What the stream should be like.
    pub(crate) fn config(&self) -> stream::Config {
        let options = &self.shared.options;
        stream::Config {
            name: options.stream.clone(),
            subjects: vec![self.subjects()],
            description: Some("Deskfold's events; the sequence is the position in the log.".into()),
            storage: stream::StorageType::File,
            retention: stream::RetentionPolicy::Limits,
            discard: stream::DiscardPolicy::Old,
            max_age: options.max_age,
            max_bytes: i64::try_from(options.max_bytes).ok().filter(|bytes| *bytes > 0).unwrap_or(-1),
            num_replicas: options.replicas,
            duplicate_window: DUPLICATES.min(options.max_age),
            ..stream::Config::default()
        }
    }

    /// The stream as it is; `None` when there is none.
    pub(crate) async fn info(&self) -> Result<Option<stream::Info>, String> {
        match self.context().get_stream(&self.options().stream).await {
            Ok(stream) => Ok(Some(stream.cached_info().clone())),
            Err(error) => match error.kind() {
                context::GetStreamErrorKind::JetStream(told) if told.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                    Ok(None)
                }
                _ => Err(explained("the stream", &error)),
            },
        }
    }

    /// Compares the end of the stream with the log.
    pub(crate) async fn standing(&self, log: &Log) -> Result<Found, String> {
        let info = self.info().await?;
        // Read after the stream: whatever was published by then was in the log before.
        let head = log.head().await.map_err(|error| error.to_string())?;
        let found = |info, standing| Ok(Found { info, head, standing });
        let Some(info) = info else { return found(None, Standing::Agrees(0)) };
        let last = i64::try_from(info.state.last_sequence).unwrap_or(i64::MAX);
        if last > head {
            return found(Some(info), Standing::Ahead(last));
        }
        if info.state.messages == 0 {
            return found(Some(info), Standing::Agrees(last));
        }
        let stream = self.context().get_stream_no_info(&self.options().stream).await;
        let stream = stream.map_err(|error| explained("the stream", &error))?;
        let message = match stream.get_raw_message(info.state.last_sequence).await {
            Ok(message) => message,
            // It has just grown too old.
            Err(error) if error.kind() == stream::LastRawMessageErrorKind::NoMessageFound => {
                return found(Some(info), Standing::Agrees(last));
            }
            Err(error) => return Err(explained("the stream's last message", &error)),
        };
        let event = tail::read(log.pool(), last - 1, 1).await.map_err(|error| error.to_string())?;
        let same = event.first().is_some_and(|event| is_of(&message.headers, event));
        found(Some(info), if same { Standing::Agrees(last) } else { Standing::Foreign(last) })
    }
}

/// An error of the client with its cause, which it does not print itself.
pub(crate) fn explained(what: &str, error: &(dyn std::error::Error + 'static)) -> String {
    match error.source() {
        Some(source) => format!("{what}: {error}: {source}"),
        None => format!("{what}: {error}"),
    }
}

/// Whether a message is that of this event: an event written anew after a restore has another time.
fn is_of(headers: &HeaderMap, event: &Recorded) -> bool {
    let says = |name: &str, value: String| headers.get(name).is_some_and(|known| known.as_str() == value);
    says(EVENT_ID, event.id.to_string()) && says(RECORDED_AT, event.recorded_at.to_string())
}

/// Part of a URL without its percent signs.
fn unescaped(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The headers of an event's message.
pub(crate) fn headers(event: &Recorded) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("Deskfold-Position", event.position.to_string());
    headers.insert("Deskfold-Version", event.version.to_string());
    headers.insert(EVENT_ID, event.id.to_string());
    headers.insert(RECORDED_AT, event.recorded_at.to_string());
    for (name, value) in [(TENANT, &event.tenant), ("Deskfold-Stream", &event.stream), ("Deskfold-Type", &event.kind)] {
        // A line break cannot be in a header; whoever named a stream so finds it in the body.
        if let Ok(value) = value.parse::<async_nats::HeaderValue>() {
            headers.insert(name, value);
        }
    }
    headers
}

/// Tenant, category and id are one token each, however they are written; the type is told without its category.
fn subject(prefix: &str, event: &Recorded) -> String {
    let mut subject = prefix.to_owned();
    let kind = &*event.kind;
    let kind = kind.strip_prefix(event.category()).and_then(|rest| rest.strip_prefix('.')).unwrap_or(kind);
    for token in [&event.tenant, event.category(), event.key()].into_iter().chain(kind.split('.')) {
        subject.push('.');
        push_token(&mut subject, token);
    }
    subject
}

/// Letters, digits, `_` and `-` stay; every other byte becomes `%` and two hexadecimal digits. Nothing becomes `%`.
fn push_token(subject: &mut String, token: &str) {
    if token.is_empty() {
        subject.push('%');
    }
    for byte in token.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') {
            subject.push(byte.into());
        } else {
            subject.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn event(tenant: &str, stream: &str, kind: &str) -> Recorded {
        Recorded {
            position: 1,
            tenant: tenant.into(),
            stream: stream.into(),
            version: 0,
            id: uuid::Uuid::nil(),
            kind: kind.into(),
            occurred_at: jiff::Timestamp::UNIX_EPOCH,
            recorded_at: jiff::Timestamp::UNIX_EPOCH,
            is_json: true,
            data: "{}".into(),
            metadata: "{}".into(),
        }
    }

    #[test]
    fn a_subject_says_whose_event_of_what_it_is() {
        for (stream, kind, expected) in [
            ("ticket-01K9", "ticket.opened", "deskfold.T1.ticket.01K9.opened"),
            ("ticket-01K9", "ticket.opened.v2", "deskfold.T1.ticket.01K9.opened.v2"),
            ("quick_reply-a-b", "quick_reply.created", "deskfold.T1.quick_reply.a-b.created"),
            ("ticket-01K9", "activity.noted", "deskfold.T1.ticket.01K9.activity.noted"),
            ("odd-a.b *>é", "odd.x y", "deskfold.T1.odd.a%2Eb%20%2A%3E%C3%A9.x%20y"),
            ("plain", "", "deskfold.T1.plain.%.%"),
        ] {
            assert_eq!(subject("deskfold", &event("T1", stream, kind)), expected);
        }
    }

    #[test]
    fn a_password_may_have_any_letter() {
        for (written, meant) in [("plain", "plain"), ("p%40s%2Fs", "p@s/s"), ("50%", "50%"), ("%zz%C3%A9", "%zzé")] {
            assert_eq!(unescaped(written), meant);
        }
    }

    #[tokio::test]
    async fn secrets_are_in_no_debug_output_and_no_error() {
        let options = |servers: &str, stream: &str| NatsOptions {
            servers: servers.into(),
            credentials: None,
            stream: stream.into(),
            max_age: Duration::from_secs(1),
            max_bytes: 0,
            replicas: 1,
            metrics: None,
        };
        let secret = options("nats://user:hunter2@:nowhere", "S");
        assert!(!format!("{secret:?}").contains("hunter2"));
        let refused = Nats::connect(secret).await.unwrap_err().to_string();
        assert!(refused.contains("NATS_URL") && !refused.contains("hunter2"), "{refused}");
        assert!(Nats::connect(options("nats://127.0.0.1:1", "a.b")).await.is_err());
    }
}
