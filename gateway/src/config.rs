//! Configuration: every flag, its environment variable and its default. The docstrings are the manual.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use channels::files::{Fault, Files};
use clap::{Args, Parser, Subcommand, ValueEnum};
use eventstore::{NatsMetrics, NatsOptions};

use crate::{mail::SmtpUrl, storage::MinFree};

/// Help desk, chat inbox, CRM and task automation on an event log.
#[derive(Debug, Parser)]
#[command(name = "deskfold", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server. Without configuration it needs nothing but PostgreSQL's programs on this machine.
    Serve(Box<Serve>),
    /// Bring the database's schema up to date and end.
    Migrate(Database),
    /// Bring data from elsewhere in.
    #[command(subcommand)]
    Import(Import),
    /// Read the log: print events, list subscriptions and parked events, replay those.
    #[command(subcommand)]
    Log(LogCommand),
    /// Rebuild read models from the log while the old ones serve.
    Rebuild(Rebuild),
    /// The way of the events to NATS: how it stands, and begin anew.
    #[command(subcommand)]
    Relay(Relay),
    /// Issue, list and revoke API keys.
    #[command(subcommand)]
    Key(Key),
    /// Logins of analysts, who query the schema `analytics` with SQL: add, list and remove them.
    #[command(subcommand)]
    Analyst(Analyst),
    /// A whole tenant as one file, out of this Deskfold and into another: write, check and take in archives.
    #[command(subcommand)]
    Archive(Archive),
    /// Files that people sent: compare those there are with the log.
    #[command(subcommand)]
    Files(FilesCommand),
    /// Let somebody do everything again when nobody can.
    #[command(subcommand)]
    Admin(Admin),
    /// Create tenants.
    #[command(subcommand)]
    Tenant(Tenant),
    /// Ask a running server whether it lives, or can work, and end with an error if not: for containers, which have no curl.
    Health(Health),
    /// Hand a mail over that a mail server pipes in, by a channel of mail.
    MailPipe(MailPipe),
    /// Print the OpenAPI document of the HTTP API.
    Openapi,
}

/// Which database.
#[derive(Clone, Debug, Args)]
pub struct Database {
    /// Your PostgreSQL 15 or newer, as postgres://user:password@host/database. Without it Deskfold runs a private
    /// cluster in the data directory.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Where the private cluster and the first admin's key are kept.
    #[arg(long, env = "DESKFOLD_DATA_DIR", default_value = "./data")]
    pub data_dir: PathBuf,
    /// Connections for reading and for workers; the log's writers have their own.
    #[arg(long, env = "DESKFOLD_DATABASE_CONNECTIONS", default_value_t = 16)]
    pub database_connections: u32,
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Answers HTTP.
    Api,
    /// Folds events into read models.
    Project,
    /// Reacts to events with commands: rules, timers.
    React,
    /// Publishes events to NATS, where one is configured.
    Relay,
}

/// Which NATS.
#[derive(Clone, Args)]
pub struct Nats {
    /// NATS with JetStream, as nats://host:4222, several servers separated by commas; with nats://user:password@host or
    /// nats://token@host if it asks for that. Without it nothing is published.
    #[arg(long, env = "NATS_URL", hide_env_values = true)]
    pub nats_url: Option<String>,
    /// A NATS credentials file (.creds).
    #[arg(long, env = "NATS_CREDENTIALS")]
    pub nats_credentials: Option<PathBuf>,
    /// The JetStream stream; subjects begin with its name in lower case. Each deployment needs its own.
    #[arg(long, env = "DESKFOLD_NATS_STREAM", default_value = "DESKFOLD")]
    pub nats_stream: String,
    /// How long JetStream keeps events, such as 168h.
    #[arg(long, env = "DESKFOLD_NATS_MAX_AGE", default_value = "168h", value_parser = duration)]
    pub nats_max_age: Duration,
    /// How many bytes of events JetStream keeps; 0 for no limit.
    #[arg(long, env = "DESKFOLD_NATS_MAX_BYTES", default_value_t = 1 << 30)]
    pub nats_max_bytes: u64,
    /// Copies of each event in a NATS cluster.
    #[arg(long, env = "DESKFOLD_NATS_REPLICAS", default_value_t = 1)]
    pub nats_replicas: usize,
}

/// How mail comes in and leaves.
#[derive(Clone, Debug, Args)]
pub struct Mail {
    /// The domain under which every tenant has one of its own for the aliases of its teams: mail to `support@ID.DOMAIN`, ID being
    /// the tenant's, comes in without anything else being set. Its mail must be brought here.
    #[arg(long, env = "DESKFOLD_MAIL_DOMAIN")]
    pub mail_domain: Option<String>,
    /// The server that mail leaves through where neither its channel nor its tenant names one, as smtps://name:password@host,
    /// smtp://… (encrypted after the greeting) or smtp+plain://….
    #[arg(long, env = "DESKFOLD_SMTP_URL", hide_env_values = true)]
    pub smtp_url: Option<SmtpUrl>,
    /// Where to listen for LMTP, by which a mail server hands over what it has for us, such as 127.0.0.1:2424: not where the
    /// world can reach it.
    #[arg(long, env = "DESKFOLD_LMTP")]
    pub lmtp: Option<SocketAddr>,
}

/// Where messengers are spoken to.
#[derive(Clone, Debug, Args)]
pub struct Messaging {
    /// The Bot API of Telegram; another one where you run your own server of it.
    #[arg(long, env = "DESKFOLD_TELEGRAM_URL", default_value = "https://api.telegram.org", value_parser = place_url)]
    pub telegram_url: String,
    /// The Graph API of Meta (WhatsApp, Instagram, Messenger), with its version.
    #[arg(long, env = "DESKFOLD_META_URL", default_value = "https://graph.facebook.com/v24.0", value_parser = place_url)]
    pub meta_url: String,
}

impl fmt::Debug for Nats {
    /// Without the address, which may hold a password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Nats").field("stream", &self.nats_stream).finish_non_exhaustive()
    }
}

impl Nats {
    /// What the event store needs to know; `None` without NATS.
    pub(crate) fn options(&self, metrics: Option<NatsMetrics>) -> Option<NatsOptions> {
        Some(NatsOptions {
            servers: self.nats_url.clone()?,
            credentials: self.nats_credentials.clone(),
            stream: self.nats_stream.clone(),
            max_age: self.nats_max_age,
            max_bytes: self.nats_max_bytes,
            replicas: self.nats_replicas,
            metrics,
        })
    }
}

/// How people sign in.
#[derive(Clone, Debug, Args)]
pub struct SignIn {
    /// Where people find this server, such as `https://desk.example.com`: what links begin with. With https, cookies go over TLS
    /// alone. Without it, links begin with what the request was sent to.
    #[arg(long, env = "DESKFOLD_PUBLIC_URL", value_parser = public_url)]
    pub public_url: Option<String>,
    /// Addresses or networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed, such as
    /// 10.0.0.0/8,::1; several separated by commas.
    #[arg(long, env = "DESKFOLD_TRUSTED_PROXIES", value_delimiter = ',')]
    pub trusted_proxies: Vec<Network>,
    /// How long a session lasts that nobody uses, such as 12h.
    #[arg(long, env = "DESKFOLD_SESSION_IDLE", default_value = "12h", value_parser = duration)]
    pub session_idle: Duration,
    /// How long a session lasts at the most, such as 720h.
    #[arg(long, env = "DESKFOLD_SESSION_LIFETIME", default_value = "720h", value_parser = duration)]
    pub session_lifetime: Duration,
    /// How long an invitation is good for, such as 168h.
    #[arg(long, env = "DESKFOLD_INVITATION_LIFETIME", default_value = "168h", value_parser = duration)]
    pub invitation_lifetime: Duration,
    /// How long another link is good for: for a forgotten password, or to confirm an address.
    #[arg(long, env = "DESKFOLD_LINK_LIFETIME", default_value = "24h", value_parser = duration)]
    pub link_lifetime: Duration,
    /// Under what secrets are sealed that must be read again (of second factors, OpenID clients and channels): 64 hexadecimal digits,
    /// the same for all processes. By default a key is made in the data directory, in secret.key.
    #[arg(long, env = "DESKFOLD_SECRET_KEY", hide_env_values = true)]
    pub secret_key: Option<SecretKey>,
    /// Under what secrets were sealed before, separated by commas: they still open what was, while everything is sealed anew by
    /// the key of now.
    #[arg(long, env = "DESKFOLD_FORMER_SECRET_KEYS", hide_env_values = true, value_delimiter = ',')]
    pub former_secret_keys: Vec<SecretKey>,
}

/// Where files are kept that people send.
#[derive(Clone, Debug, Args)]
pub struct FilesPlace {
    /// Where files are kept that people send: s3://bucket or s3://bucket/prefix, with the usual settings of AWS' tools
    /// (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL and AWS_ALLOW_HTTP for another S3). By
    /// default the folder files in the data directory.
    #[arg(long, env = "DESKFOLD_FILES_URL")]
    pub files_url: Option<String>,
}

impl FilesPlace {
    /// That place.
    pub(crate) fn open(&self, data_dir: &std::path::Path) -> Result<Files, Fault> {
        if self.files_url.is_some() {
            crate::install_crypto_provider();
        }
        Files::open(self.files_url.as_deref(), &data_dir.join("files"))
    }
}

/// A key that never shows.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(pub(crate) [u8; 32]);

impl fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("(secret)")
    }
}

impl FromStr for SecretKey {
    type Err = String;

    fn from_str(text: &str) -> Result<SecretKey, String> {
        let unfit = || "a secret key is 64 hexadecimal digits, such as `openssl rand -hex 32` prints".to_owned();
        let text = text.trim();
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(unfit());
        }
        let mut key = [0; 32];
        for (byte, index) in key.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&text[index..index + 2], 16).map_err(|_| unfit())?;
        }
        Ok(SecretKey(key))
    }
}

/// An address, or all that begin like it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether an address belongs to it.
    pub fn has(&self, address: IpAddr) -> bool {
        let bits = |address: IpAddr| match address.to_canonical() {
            IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        let ((own, width), (other, other_width)) = (bits(self.address), bits(address));
        let differ = own ^ other;
        width == other_width && differ.leading_zeros() >= u32::from(self.bits)
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Network, String> {
        let unfit = || format!("{text} is neither an address nor a network such as 10.0.0.0/8");
        let (address, bits) = text.trim().split_once('/').map_or((text.trim(), None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_| unfit())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(width), |bits| bits.parse().map_err(|_| unfit()))?;
        if bits > width { Err(unfit()) } else { Ok(Network { address, bits }) }
    }
}

fn place_url(text: &str) -> Result<String, String> {
    let url = text.trim().trim_end_matches('/');
    match reqwest::Url::parse(url) {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") && parsed.host_str().is_some() => Ok(url.to_owned()),
        _ => Err("write it like https://api.example.com".into()),
    }
}

fn public_url(text: &str) -> Result<String, String> {
    let url = text.trim().trim_end_matches('/').to_lowercase();
    let host = url.strip_prefix("https://").or(url.strip_prefix("http://"));
    let sound = |host: &str| !host.is_empty() && !host.contains(|c: char| "/?#@".contains(c) || c.is_whitespace());
    match host.filter(|host| sound(host)) {
        Some(_) => Ok(url),
        None => Err("write it like https://desk.example.com, without a path".into()),
    }
}

/// The server.
#[derive(Clone, Debug, Args)]
pub struct Serve {
    /// Which database.
    #[command(flatten)]
    pub database: Database,
    /// Which NATS.
    #[command(flatten)]
    pub nats: Nats,
    /// How mail comes in and leaves.
    #[command(flatten)]
    pub mail: Mail,
    /// Where messengers are spoken to.
    #[command(flatten)]
    pub messaging: Messaging,
    /// A streaming replica of the database that answers lists, reports, threads and exports, as
    /// postgres://user:password@host/database. While it is gone or far behind, the database itself does.
    #[arg(long, env = "DATABASE_READ_URL", hide_env_values = true)]
    pub database_read_url: Option<String>,
    /// Where to listen for HTTP.
    #[arg(long, env = "DESKFOLD_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Where /healthz, /readyz and /metrics are answered besides, such as 0.0.0.0:9090: by a process that has not the role
    /// api and so listens nowhere else, and on a port that the world cannot reach.
    #[arg(long, env = "DESKFOLD_HEALTH_LISTEN")]
    pub health_listen: Option<SocketAddr>,
    /// What this process does; everything by default.
    #[arg(long, env = "DESKFOLD_ROLES", value_delimiter = ',', default_value = "api,project,react,relay")]
    pub roles: Vec<Role>,
    /// Requests per minute that one API key may make; 0 for no limit.
    #[arg(long, env = "DESKFOLD_RATE_LIMIT", default_value_t = 6000)]
    pub rate_limit: u32,
    /// Messages per minute that visitors of one address may write, and each of them; 0 for no limit.
    #[arg(long, env = "DESKFOLD_VISITOR_RATE_LIMIT", default_value_t = 60)]
    pub visitor_rate_limit: u32,
    /// Streams that visitors of one address may have open at once in a process, and each visitor a tenth of them; 0 for no limit.
    #[arg(long, env = "DESKFOLD_VISITOR_STREAMS", default_value_t = 100)]
    pub visitor_streams: u32,
    /// The header in which a trusted proxy says from which country a visitor comes (ISO 3166-1), such as CF-IPCountry; none is believed
    /// without it, and none of whoever is no trusted proxy.
    #[arg(long, env = "DESKFOLD_COUNTRY_HEADER")]
    pub country_header: Option<String>,
    /// A MaxMind file (.mmdb) with the countries of addresses, such as GeoLite2-Country.mmdb: where no header tells, it does. It is read
    /// once, at the start.
    #[arg(long, env = "DESKFOLD_COUNTRY_DATABASE")]
    pub country_database: Option<PathBuf>,
    /// Largest request body in bytes; uploads of imports have their own limit.
    #[arg(long, env = "DESKFOLD_BODY_LIMIT", default_value_t = 1 << 20)]
    pub body_limit: usize,
    /// Largest uploaded import file in bytes.
    #[arg(long, env = "DESKFOLD_UPLOAD_LIMIT", default_value_t = 1 << 30)]
    pub upload_limit: usize,
    /// How long a request may take, such as 30s.
    #[arg(long, env = "DESKFOLD_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub timeout: Duration,
    /// How long a query waits for its read model to reach Deskfold-Min-Position, such as 5s.
    #[arg(long, env = "DESKFOLD_READ_WAIT", default_value = "5s", value_parser = duration)]
    pub read_wait: Duration,
    /// How long a retried command is recognised by its Idempotency-Key, in days; at least 1.
    #[arg(long, env = "DESKFOLD_COMMAND_RETENTION_DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    pub command_retention_days: u32,
    /// How many aggregates are kept in memory.
    #[arg(long, env = "DESKFOLD_CACHED_AGGREGATES", default_value_t = 100_000)]
    pub cached_aggregates: usize,
    /// E-mail address of the first admin, who is created when the log is empty.
    #[arg(long, env = "DESKFOLD_ADMIN_EMAIL", default_value = "admin@localhost")]
    pub admin_email: String,
    /// Name of the first tenant, which is created when the log is empty.
    #[arg(long, env = "DESKFOLD_TENANT_NAME", default_value = "Deskfold")]
    pub tenant_name: String,
    /// Free space below which writes are refused while reads go on, such as 512MiB or 5%; 0 for never. By default a
    /// twentieth of the disk, at least 64 MiB and at most 2 GiB.
    #[arg(long, env = "DESKFOLD_MIN_FREE_SPACE", default_value = "auto")]
    pub min_free_space: MinFree,
    /// Where your PostgreSQL keeps its files, if this process can see it, so that its free space is watched; several
    /// directories separated by commas. The private cluster's place is known.
    #[arg(long, env = "DESKFOLD_STORAGE_DIR", value_delimiter = ',')]
    pub storage_dir: Vec<PathBuf>,
    /// Let messages and events go to programs at addresses of private networks and of this machine: right where everybody who may connect a
    /// channel may reach those anyway.
    #[arg(long, env = "DESKFOLD_PRIVATE_ADDRESSES")]
    pub private_addresses: bool,
    /// For how many days it is kept what was sent to webhooks and what they answered.
    #[arg(long, env = "DESKFOLD_WEBHOOK_LOG_DAYS", default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub webhook_log_days: u32,
    /// How long a program that a message or an event goes to may take to answer, such as 15s.
    #[arg(long, env = "DESKFOLD_SEND_TIMEOUT", default_value = "15s", value_parser = duration)]
    pub send_timeout: Duration,
    /// How log lines look.
    #[arg(long, env = "DESKFOLD_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// How people sign in.
    #[command(flatten)]
    pub sign_in: SignIn,
    /// Where files are kept.
    #[command(flatten)]
    pub files: FilesPlace,
    /// Largest file that is taken in bytes, whatever tenants set.
    #[arg(long, env = "DESKFOLD_FILE_LIMIT", default_value_t = 1 << 30)]
    pub file_limit: u64,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What can be imported.
#[derive(Debug, Subcommand)]
pub enum Import {
    /// Another help desk's history, with its own times, through a running server.
    History(ImportFile),
    /// Who owns which product, through a running server.
    Entitlements(ImportFile),
    /// Contacts, companies, products, orders, tasks and other records, through a running server.
    Records(ImportFile),
}

/// A file for a running server.
#[derive(Debug, Args)]
pub struct ImportFile {
    /// The server's address.
    #[arg(long, env = "DESKFOLD_SERVER", default_value = "http://127.0.0.1:8080")]
    pub server: String,
    /// An API key with the permission import.run.
    #[arg(long, env = "DESKFOLD_KEY", hide_env_values = true)]
    pub key: String,
    /// What the columns mean (TOML); see docs/import.md. Entitlements need one only when their columns have other names; records
    /// do with the name of a shipped one, such as hubspot-contacts, or with what the server suggests.
    #[arg(long)]
    pub mapping: Option<PathBuf>,
    /// The system the file comes from, such as old-desk; by default what the mapping says.
    #[arg(long)]
    pub source: Option<String>,
    /// Where to write the report of rejected rows (CSV); by default beside the file.
    #[arg(long)]
    pub report: Option<PathBuf>,
    /// Check and count only; write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// The file (CSV with a header).
    pub file: PathBuf,
}

/// What can be asked of the log.
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Print events as JSON, one a line.
    Events {
        /// Which database.
        #[command(flatten)]
        database: Database,
        /// Only after this position.
        #[arg(long, default_value_t = 0)]
        after: i64,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: i64,
        /// Only this stream, such as ticket-01J....
        #[arg(long)]
        stream: Option<String>,
        /// Only these types, such as ticket.opened,ticket.closed.
        #[arg(long, value_delimiter = ',')]
        types: Vec<String>,
        /// Only this tenant.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Read the whole log and check that no position and no version is missing. Prints one JSON object with the SHA-256 over
    /// every event: two logs with the same one hold the same events, as a backup and what was restored from it must.
    Verify {
        /// Which database.
        #[command(flatten)]
        database: Database,
        /// Only up to this position, itself included; by default all.
        #[arg(long)]
        until: Option<i64>,
    },
    /// List subscriptions: where each is and how far behind.
    Subscriptions(Database),
    /// List events that a subscription could not take.
    Parked(Database),
    /// Hand a subscription's parked events to it again.
    Replay {
        /// Which database.
        #[command(flatten)]
        database: Database,
        /// The subscription, such as ticket_list.
        subscription: String,
    },
}

/// Which server, and what of it.
#[derive(Debug, Args)]
pub struct Health {
    /// The server's address.
    #[arg(long, env = "DESKFOLD_SERVER", default_value = "http://127.0.0.1:8080")]
    pub server: String,
    /// Whether it can work, and not only whether it lives.
    #[arg(long)]
    pub ready: bool,
}

/// Where a mail goes that is piped in.
#[derive(Args)]
pub struct MailPipe {
    /// The server's address.
    #[arg(long, env = "DESKFOLD_SERVER", default_value = "http://127.0.0.1:8080")]
    pub server: String,
    /// The channel of mail.
    #[arg(long)]
    pub channel: String,
    /// The address that it was delivered to, such as ${original_recipient} in Postfix.
    #[arg(long)]
    pub recipient: Option<String>,
    /// An API key that may channel.receive; better in a file, since others see what programs are called with.
    #[arg(long, env = "DESKFOLD_KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// The file that holds it.
    #[arg(long)]
    pub key_file: Option<PathBuf>,
}

impl fmt::Debug for MailPipe {
    /// Without the key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MailPipe").field("channel", &self.channel).finish_non_exhaustive()
    }
}

/// Which read models to rebuild.
#[derive(Debug, Args)]
pub struct Rebuild {
    /// Which database.
    #[command(flatten)]
    pub database: Database,
    /// Only prove, by folding the whole log afresh, that each is what the log says, row by row: tells rows, position and
    /// checksum of each table, and ends with an error where a row differs. What serves stays as it is.
    #[arg(long)]
    pub verify: bool,
    /// Read models such as ticket_list; all when none is named.
    pub read_models: Vec<String>,
}

/// What can be done with the relay.
#[derive(Debug, Subcommand)]
pub enum Relay {
    /// Compare JetStream with the log; prints one JSON object.
    Status(RelayOf),
    /// Empty JetStream and publish the events of its window again. Consumers of the stream must be made anew.
    Rebuild(RelayOf),
}

/// Which log, and which NATS.
#[derive(Debug, Args)]
pub struct RelayOf {
    /// Which database.
    #[command(flatten)]
    pub database: Database,
    /// Which NATS.
    #[command(flatten)]
    pub nats: Nats,
}

/// What can be done with API keys.
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Issue a key and print it; it is shown this once.
    Issue {
        /// Which database.
        #[command(flatten)]
        database: Database,
        /// E-mail address of the user the key acts as.
        #[arg(long)]
        user: String,
        /// What the key is for.
        #[arg(long, default_value = "command line")]
        name: String,
        /// The role that bounds it, by name; by default the user's own roles.
        #[arg(long)]
        role: Option<String>,
        /// Days until it expires; never by default.
        #[arg(long)]
        days: Option<u32>,
        /// The tenant's id; needed only when there are several.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Revoke a key by its id.
    Revoke {
        /// Which database.
        #[command(flatten)]
        database: Database,
        /// The key's id.
        id: String,
        /// The tenant's id; needed only when there are several.
        #[arg(long)]
        tenant: Option<String>,
    },
}

/// What can be done with logins of analysts.
#[derive(Debug, Subcommand)]
pub enum Analyst {
    /// Add a role of the database that may query `analytics` and nothing else, and print its password, which is shown this
    /// once. It sees what an API key of this user sees, which is issued with it: the password is that key.
    Add {
        /// Which database. Its user must be allowed to create roles.
        #[command(flatten)]
        database: Database,
        /// The name of the role: lower-case letters, digits and _.
        #[arg(value_parser = login)]
        name: String,
        /// E-mail address of the user whose records it sees.
        #[arg(long)]
        user: String,
        /// The role that bounds what it sees, by name; by default the user's own roles.
        #[arg(long)]
        role: Option<String>,
        /// Days until it expires; never by default.
        #[arg(long)]
        days: Option<u32>,
        /// The tenant's id; needed only when there are several.
        #[arg(long)]
        tenant: Option<String>,
        /// How long a query may take, such as 60s.
        #[arg(long, default_value = "60s", value_parser = duration)]
        statement_timeout: Duration,
        /// How many connections it may have at once.
        #[arg(long, default_value_t = 5)]
        connections: u32,
    },
    /// List them as JSON, one a line: the name, the tenant, the key and since when.
    List(Database),
    /// Remove one, and revoke its key.
    Remove {
        /// Which database.
        #[command(flatten)]
        database: Database,
        /// The name of the role.
        name: String,
    },
}

/// A name for a role that needs no quotes wherever it is written.
fn login(text: &str) -> Result<String, String> {
    let sound = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let begins = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    if begins && text.len() <= 63 && text.chars().all(sound) && !text.starts_with("pg_") {
        Ok(text.to_owned())
    } else {
        Err("write up to 63 lower-case letters, digits and _, the first no digit, and not pg_".into())
    }
}

/// What can be done with archives of tenants.
#[derive(Debug, Subcommand)]
pub enum Archive {
    /// Write everything that a tenant has into a file (.tar.gz), while it is worked with. Passwords and other secrets stay where they
    /// are. Prints one JSON object that tells what is in it.
    Export {
        /// Which database.
        #[command(flatten)]
        database: Database,
        /// Where its files are.
        #[command(flatten)]
        files: FilesPlace,
        /// The tenant's id; needed only when there are several.
        #[arg(long)]
        tenant: Option<String>,
        /// The file.
        file: PathBuf,
    },
    /// Read a file and check that all of it is as it was written. Needs no database.
    Verify {
        /// The file.
        file: PathBuf,
    },
    /// Take a file in, positions and times as they were. The log must be empty: no `deskfold serve` may have been run on the
    /// database. All of it is taken in, or nothing.
    Import {
        /// Which database.
        #[command(flatten)]
        database: Database,
        /// Where its files go.
        #[command(flatten)]
        files: FilesPlace,
        /// The file.
        file: PathBuf,
    },
}

/// What can be done with files that people sent.
#[derive(Debug, Subcommand)]
pub enum FilesCommand {
    /// Compare the files that there are with those that the log knows; prints one JSON object, and fails where one is missing.
    Verify {
        /// Which database.
        #[command(flatten)]
        database: Database,
        /// Where they are.
        #[command(flatten)]
        files: FilesPlace,
        /// Read every file, and compare its bytes with its digest.
        #[arg(long)]
        digests: bool,
    },
}

/// What can be done with administrators.
#[derive(Debug, Subcommand)]
pub enum Admin {
    /// Give a user every permission and a key, and print the key; whatever became of users, roles and keys. A user who is
    /// deactivated is let in again, one who does not exist is created, and so is a role that permits everything.
    Restore {
        /// Which database.
        #[command(flatten)]
        database: Database,
        /// E-mail address of the user.
        #[arg(long)]
        user: String,
        /// The tenant's id; needed only when there are several.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Print a link at which a user sets a password and is signed in; good once, for a day. It replaces any earlier one.
    Link {
        /// Which database.
        #[command(flatten)]
        database: Database,
        /// E-mail address of the user.
        #[arg(long)]
        user: String,
        /// Where people reach the server; by default where the server of this data directory listens, or has last listened.
        #[arg(long, env = "DESKFOLD_PUBLIC_URL", value_parser = public_url)]
        url: Option<String>,
        /// The tenant's id; needed only when there are several.
        #[arg(long)]
        tenant: Option<String>,
    },
}

/// What can be done with tenants.
#[derive(Debug, Subcommand)]
pub enum Tenant {
    /// Create a tenant with its own admin, and print the admin's key.
    Create {
        /// Which database.
        #[command(flatten)]
        database: Database,
        /// The tenant's name.
        #[arg(long)]
        name: String,
        /// E-mail address of its admin.
        #[arg(long)]
        admin_email: String,
    },
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration = text.parse().map_err(|error| format!("{error}; write it like 30s or 2m"))?;
    Duration::try_from(parsed).map_err(|_| "a duration is not negative".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_that_begin_like_it() {
        let has = |network: &str, address: &str| network.parse::<Network>().unwrap().has(address.parse().unwrap());
        assert!(has("10.0.0.0/8", "10.200.3.4") && !has("10.0.0.0/8", "11.0.0.1"));
        assert!(has("127.0.0.1", "127.0.0.1") && !has("127.0.0.1", "127.0.0.2"));
        assert!(has("10.0.0.0/8", "::ffff:10.1.2.3") && has("0.0.0.0/0", "9.9.9.9") && !has("0.0.0.0/0", "::1"));
        assert!(has("fd00::/8", "fd12::1") && !has("fd00::/8", "fe80::1"));
        for odd in ["10.0.0.0/33", "desk", "", "10.0.0.0/x"] {
            assert!(odd.parse::<Network>().is_err(), "{odd}");
        }
    }

    #[test]
    fn a_secret_key_never_shows() {
        let key: SecretKey = "0123456789abcdef".repeat(4).parse().unwrap();
        assert_eq!((format!("{key:?}").as_str(), key.0[1]), ("(secret)", 0x23));
        assert!("0123".parse::<SecretKey>().is_err() && "é".repeat(32).parse::<SecretKey>().is_err());
        assert_eq!(public_url("https://Desk.example.com/").as_deref(), Ok("https://desk.example.com"));
        assert!(public_url("desk.example.com").is_err() && public_url("https://a/b").is_err());
    }
}
