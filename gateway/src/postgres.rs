//! The newcomer's database: a private PostgreSQL cluster under the data directory, started and stopped with Deskfold.
//!
//! PostgreSQL runs under a small shell that also reads a pipe from us. When the pipe closes, because we stopped,
//! crashed or were killed, the shell shuts PostgreSQL down. So there is one way to stop, and no way to leave it behind.
//! When PostgreSQL itself ends, `supervisor.rs` starts it again.

use std::{
    ffi::{OsStr, OsString},
    fmt::Write as _,
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write as _},
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, symlink},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::storage;

/// The oldest major version whose SQL Deskfold speaks.
pub(crate) const OLDEST_VERSION: u32 = 15;
/// The database, and the superuser, that Deskfold makes for itself.
const NAME: &str = "deskfold";
/// Only the name of the socket's file depends on it: the cluster listens on no network.
const PORT: u16 = 5432;
/// A socket's path must fit into `sockaddr_un`: 104 bytes on macOS, 108 on Linux.
const LONGEST_SOCKET_PATH: usize = 100;
/// Linux's file system in memory.
const MEMORY: &str = "/dev/shm";
/// How long stopping may take: the last checkpoint of a busy cluster has much to write.
const STOP_LIMIT: Duration = Duration::from_secs(120);
/// A log longer than this many bytes is put aside at the next start.
const LONGEST_LOG: u64 = 16 << 20;

/// Runs the server (`$3...`) until it ends or standard input does; then sends it signal `$1` and deletes directory
/// `$2`.
/// The signal is repeated because a server that is only just starting may not hear it yet.
const KEEPER: &str = r#"
trap '' HUP INT TERM
signal=$1 discard=$2
shift 2
exec 3<&0 </dev/null
"$@" 3<&- &
server=$!
( read -r _ <&3; while kill -s "$signal" "$server" 2>/dev/null; do sleep 1; done ) &
watcher=$!
exec 3<&-
wait "$server"
status=$?
kill -s KILL "$watcher" 2>/dev/null
[ -z "$discard" ] || rm -rf -- "$discard"
exit "$status"
"#;

/// How the cluster is to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether a commit reaches the disk before it is acknowledged. Off only where losing everything is fine: in tests.
    pub fsync: bool,
    /// How many connections the server accepts.
    pub max_connections: u16,
    /// How long to wait for the server, which after a crash first recovers.
    pub start_limit: Duration,
    /// Where root's new cluster goes, linked to from the data directory, when the user PostgreSQL has to run as may not
    /// enter that. So it is with everything below `/root`.
    pub fallback: PathBuf,
    /// Further server settings, name and value; these win over ours.
    pub settings: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            fsync: true,
            max_connections: 200,
            start_limit: Duration::from_secs(300),
            fallback: "/var/lib/deskfold".into(),
            settings: Vec::new(),
        }
    }
}

/// Why there is no embedded PostgreSQL. Every message says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// PostgreSQL is not installed, or not where we look.
    #[error(
        "PostgreSQL's server programs (initdb, postgres) were not found in PG_BIN, PATH or the usual places. \
         Install them (Debian, Ubuntu: `apt-get install postgresql`; Fedora: `dnf install postgresql-server`; \
         Alpine: `apk add postgresql`; macOS: `brew install postgresql@17`), set PG_BIN to the directory they are in, \
         or set DATABASE_URL to use a PostgreSQL of your own"
    )]
    NotInstalled,
    /// `PG_BIN` names a directory without the programs.
    #[error("PG_BIN is {0:?}, but there is no initdb and postgres in it: correct it, or unset it to have them found")]
    WrongBin(PathBuf),
    /// Only old versions are installed.
    #[error("the PostgreSQL in {bin:?} is version {found}; Deskfold needs {OLDEST_VERSION} or newer")]
    TooOld {
        /// The directory of the newest programs found.
        bin: PathBuf,
        /// Their major version.
        found: u32,
    },
    /// The cluster was made by a major version that is not installed.
    #[error(
        "the cluster in {cluster:?} was made by PostgreSQL {needed}, but the programs found are of version {found}: \
         install PostgreSQL {needed} (Debian: `apt-get install postgresql-{needed}`) and, if need be, set PG_BIN to \
         its directory; or move the data over with pg_upgrade"
    )]
    VersionMismatch {
        /// The cluster's directory.
        cluster: PathBuf,
        /// The major version that made it.
        needed: String,
        /// The major version or versions found.
        found: String,
    },
    /// Another running Deskfold has this data directory.
    #[error("the data directory {data_dir:?} is in use by another deskfold{}: stop that one, or use another --data-dir",
        if owner.is_empty() { String::new() } else { format!(" (process {owner})") })]
    InUse {
        /// The data directory.
        data_dir: PathBuf,
        /// The other's process id as text, empty if it is not known.
        owner: String,
    },
    /// Processes of an earlier, killed PostgreSQL still use the cluster and do not end.
    #[error("processes {processes} of an earlier run still use the cluster in {cluster:?} and do not end: stop them")]
    Orphaned {
        /// The cluster's directory.
        cluster: PathBuf,
        /// Their process ids, separated by commas.
        processes: String,
    },
    /// The cluster's directory holds something else.
    #[error("{0:?} exists but is not a PostgreSQL cluster: move it away, or use another --data-dir")]
    NotACluster(PathBuf),
    /// The cluster belongs to somebody else.
    #[error(
        "the cluster in {cluster:?} belongs to user {owner}, so this user cannot run it: run deskfold as that \
         user or as root"
    )]
    NotOwner {
        /// The cluster's directory.
        cluster: PathBuf,
        /// The owner's numeric user id.
        owner: u32,
    },
    /// We are root, and the user PostgreSQL runs as cannot get to the cluster.
    #[error(
        "PostgreSQL refuses to run as root, and user `{user}`, under which it runs instead, may not enter {blocked:?}: \
         allow it (`chmod o+x {}`), use a --data-dir elsewhere, such as /var/lib/deskfold, or run deskfold as another \
         user",
        blocked.display()
    )]
    NotTraversable {
        /// The first directory on the way that is closed.
        blocked: PathBuf,
        /// The user PostgreSQL runs as.
        user: String,
    },
    /// We are root, and there is neither a user `postgres` nor a user `nobody`.
    #[error(
        "PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody` to run it: \
         add one (`useradd --system postgres`)"
    )]
    NoUser,
    /// `initdb` failed.
    #[error("initdb could not make the cluster in {cluster:?}: {output}")]
    Initialise {
        /// The cluster's directory.
        cluster: PathBuf,
        /// What initdb said.
        output: String,
    },
    /// PostgreSQL ended instead of becoming ready.
    #[error("PostgreSQL did not start: {cause}; its log ({log:?}) ends with:\n{tail}")]
    Start {
        /// What is wrong.
        cause: Cause,
        /// The whole log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// PostgreSQL starts and ends, again and again.
    #[error(
        "PostgreSQL ended {times} times, each time soon after its start: {cause}; its log ({log:?}) ends with:\n{tail}"
    )]
    Dying {
        /// How often.
        times: u32,
        /// What is wrong.
        cause: Cause,
        /// The whole log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// PostgreSQL did not become ready in time.
    #[error("PostgreSQL was not ready after {} seconds; its log ({log:?}) ends with:\n{tail}", limit.as_secs())]
    StartTooSlow {
        /// The limit given in [`Options`].
        limit: Duration,
        /// The whole log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// PostgreSQL did not stop in time. It has been told to and goes on stopping.
    #[error("PostgreSQL is still stopping after {} seconds", STOP_LIMIT.as_secs())]
    StopTooSlow,
    /// A file or process operation failed.
    #[error("could not {doing}")]
    Io {
        /// What we were about to do.
        doing: String,
        /// Why it failed.
        source: io::Error,
    },
    /// PostgreSQL runs but refused what the set-up needs.
    #[error("could not {doing} in the embedded PostgreSQL")]
    Database {
        /// What we were about to do.
        doing: &'static str,
        /// Why it failed.
        source: sqlx::Error,
    },
}

impl EmbeddedError {
    /// Whether trying again is no use until somebody has done something about it.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            EmbeddedError::Start { cause, .. } => cause.is_final(),
            EmbeddedError::StartTooSlow { .. } | EmbeddedError::Orphaned { .. } => false,
            EmbeddedError::Io { .. } | EmbeddedError::Database { .. } => false,
            _ => true,
        }
    }

    /// Whether it starts as soon as somebody has made room.
    pub(crate) fn wants_space(&self) -> bool {
        matches!(self, EmbeddedError::Start { cause: Cause::NoSpace, .. })
    }
}

/// What is wrong with a PostgreSQL that ended, as far as its log and its end tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The disk is full.
    NoSpace,
    /// Files do not belong to whom they should, or are not to be read or written.
    Permissions,
    /// Files are damaged or missing.
    Corrupted,
    /// Another server has its socket or its lock.
    Taken,
    /// There is not enough memory.
    NoMemory,
    /// A setting is wrong.
    Settings,
    /// It was killed.
    Killed,
    /// The log has to be read.
    Unknown,
}

impl Cause {
    /// What each looks like in the log.
    const SIGNS: [(Cause, &'static [&'static str]); 6] = [
        (Cause::NoSpace, &["No space left on device", "Disk quota exceeded"]),
        (Cause::Permissions, &["Permission denied", "invalid permissions", "wrong ownership", "Read-only file system"]),
        (
            Cause::Corrupted,
            &[
                "valid checkpoint record",
                "required checkpoint record",
                "incorrect checksum",
                "pg_control",
                "control file",
                "invalid page in block",
                "database files are incompatible",
                "Input/output error",
            ],
        ),
        (Cause::Taken, &["Address already in use", "Unix-domain socket", "lock file"]),
        (Cause::NoMemory, &["Cannot allocate memory", "shared memory"]),
        (Cause::Settings, &["configuration parameter", "for parameter", "configuration file", "contains errors"]),
    ];

    fn of(log: &str, status: ExitStatus) -> Cause {
        let grave =
            |line: &&str| ["FATAL:", "PANIC:", "ERROR:", "LOG:  could not"].iter().any(|word| line.contains(word));
        let graves: Vec<&str> = log.lines().filter(grave).collect();
        let found = Cause::SIGNS
            .iter()
            .find(|(_, signs)| graves.iter().any(|line| signs.iter().any(|sign| line.contains(sign))));
        // A shell tells of a signal by adding 128 to its number; 9 is SIGKILL.
        let killed = status.code() == Some(128 + 9);
        found.map_or(if killed { Cause::Killed } else { Cause::Unknown }, |(cause, _)| *cause)
    }

    /// Whether a new start would end the same way.
    fn is_final(self) -> bool {
        matches!(self, Cause::Permissions | Cause::Corrupted | Cause::Settings)
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Cause::NoSpace => "no space is left on its disk: make room, or enlarge it; nothing acknowledged is lost",
            Cause::Permissions => {
                "it may not use its files: they must belong to the user it runs as and be writable, its directory with \
                 mode 0700"
            }
            Cause::Corrupted => {
                "its files are damaged or missing: check the disk, keep a copy of the directory as it is, and restore a \
                 backup"
            }
            Cause::Taken => "another server has its socket or its lock: stop that one",
            Cause::NoMemory => "it cannot get the memory it needs: free some, or allow the container more",
            Cause::Settings => "a setting is wrong: correct postgresql.conf or postgresql.auto.conf in its directory",
            Cause::Killed => "it was killed: by somebody, or by the system for want of memory",
            Cause::Unknown => "see why below",
        })
    }
}

/// A running private cluster. It stops when [`Embedded::stop`] is called, when it is dropped and when the process ends,
/// however it ends.
#[derive(Debug)]
pub struct Embedded {
    server: Option<Server>,
    sockets: PathBuf,
    place: Place,
}

impl Embedded {
    /// Starts the cluster in `<data_dir>/postgres`, making it first if there is none, and returns once it accepts
    /// connections and has the database `deskfold`.
    ///
    /// # Errors
    /// Each [`EmbeddedError`] is one reason and says what to do.
    pub async fn start(data_dir: &Path, options: &Options) -> Result<Embedded, EmbeddedError> {
        let data_dir = data_dir.to_owned();
        Embedded::launch(options, false, move || Ok(data_dir)).await
    }

    /// Starts a throwaway cluster in a new directory under the temporary directory; stopping it deletes it. Without
    /// `fsync` it is kept in memory where there is plenty: cloning a database, which is hundreds of files, then takes
    /// milliseconds.
    ///
    /// # Errors
    /// As [`Embedded::start`].
    pub async fn temporary(options: &Options) -> Result<Embedded, EmbeddedError> {
        let may_be_lost = !options.fsync;
        let directory = move || {
            let in_memory = may_be_lost && has_memory_to_spare();
            let parent = if in_memory { PathBuf::from(MEMORY) } else { std::env::temp_dir() };
            short_directory(&parent, find_runner()?.as_ref())
        };
        Embedded::launch(options, true, directory).await
    }

    /// How to reach the cluster that another process, a running `deskfold serve`, has started in `data_dir`, if any.
    pub fn running(data_dir: &Path) -> Option<PgConnectOptions> {
        let lock = File::open(data_dir.join("lock")).ok()?;
        let Err(TryLockError::WouldBlock) = lock.try_lock() else { return None };
        let postmaster = Postmaster::read(&data_dir.join("postgres"))?;
        postmaster.ready.then(|| connect_options(&postmaster.sockets).database(NAME))
    }

    /// How to connect to the database `deskfold`.
    pub fn connect_options(&self) -> PgConnectOptions {
        self.connect_options_for(NAME)
    }

    /// How to connect to the named database of this cluster.
    pub fn connect_options_for(&self, database: &str) -> PgConnectOptions {
        connect_options(&self.sockets).database(database)
    }

    /// The URL of the named database, as `DATABASE_URL` takes it.
    pub fn url(&self, database: &str) -> String {
        self.connect_options_for(database).to_url_lossy().into()
    }

    /// The directory that holds the cluster, its log and its lock.
    pub fn data_dir(&self) -> &Path {
        &self.place.data_dir
    }

    /// Ends all sessions, writes everything to disk and returns when PostgreSQL has ended.
    ///
    /// # Errors
    /// [`EmbeddedError::StopTooSlow`] after two minutes; PostgreSQL then goes on stopping by itself.
    pub async fn stop(mut self) -> Result<(), EmbeddedError> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        drop(server.pipe.take());
        let status = tokio::time::timeout(STOP_LIMIT, server.ended()).await.map_err(|_| EmbeddedError::StopTooSlow)?;
        if !status.success() {
            tracing::warn!(%status, "PostgreSQL did not end cleanly; it will recover at the next start");
        }
        Ok(())
    }

    /// Waits until PostgreSQL has ended by itself; what is wrong, its log and the end of that.
    pub(crate) async fn ended(&mut self) -> (Cause, PathBuf, String) {
        let Some(server) = &mut self.server else { return (Cause::Unknown, PathBuf::new(), String::new()) };
        let status = server.ended().await;
        let tail = server.log.tail();
        (Cause::of(&tail, status), server.log.path.clone(), tail)
    }

    /// Starts PostgreSQL again after it has ended, so that it is reached as before.
    ///
    /// # Errors
    /// As [`Embedded::start`].
    pub(crate) async fn restart(&mut self) -> Result<(), EmbeddedError> {
        self.server = None;
        let (place, sockets) = (self.place.clone(), self.sockets.clone());
        let started = tokio::task::spawn_blocking(move || place.start(Some(sockets)));
        let (server, _) = started.await.map_err(io::Error::other).doing(|| "start PostgreSQL".into())??;
        self.server = Some(server);
        let prepared = self.prepare().await;
        if prepared.is_err()
            && let Some(mut server) = self.server.take()
        {
            drop(server.pipe.take());
            // The first error says more; and whoever tries again must not find this one still stopping.
            let _ = tokio::time::timeout(STOP_LIMIT, server.ended()).await;
        }
        prepared
    }

    async fn launch(
        options: &Options,
        temporary: bool,
        data_dir: impl FnOnce() -> Result<PathBuf, EmbeddedError> + Send + 'static,
    ) -> Result<Embedded, EmbeddedError> {
        let options = options.clone();
        let launched = tokio::task::spawn_blocking(move || {
            let place = Place::claim(&data_dir()?, options, temporary)?;
            let (server, sockets) = place.start(None)?;
            Ok(Embedded { server: Some(server), sockets, place })
        });
        let mut embedded = launched.await.map_err(io::Error::other).doing(|| "start PostgreSQL".into())??;
        if let Err(error) = embedded.prepare().await {
            // Whoever tries again must not find the data directory still in use. The first error says more.
            let _ = embedded.stop().await;
            return Err(error);
        }
        Ok(embedded)
    }

    async fn prepare(&mut self) -> Result<(), EmbeddedError> {
        self.wait_until_ready().await?;
        self.create_database()
            .await
            .map_err(|source| EmbeddedError::Database { doing: "create the database `deskfold`", source })
    }

    async fn wait_until_ready(&mut self) -> Result<(), EmbeddedError> {
        let limit = self.place.options.start_limit;
        let options = self.connect_options_for("postgres");
        let Some(server) = &self.server else { return Ok(()) };
        let log = &server.log;
        let (started, mut told) = (Instant::now(), Instant::now());
        loop {
            match PgConnection::connect_with(&options).await {
                Ok(connection) => {
                    // The answer is what counts; a failing goodbye says nothing.
                    let _ = connection.close().await;
                    return Ok(());
                }
                Err(error) if !is_not_ready(&error) => {
                    return Err(EmbeddedError::Database { doing: "open the first session", source: error });
                }
                Err(_) => {}
            }
            let ended = *server.status.borrow();
            if let Some(status) = ended {
                let tail = log.tail();
                return Err(EmbeddedError::Start { cause: Cause::of(&tail, status), log: log.path.clone(), tail });
            }
            if started.elapsed() > limit {
                return Err(EmbeddedError::StartTooSlow { limit, log: log.path.clone(), tail: log.tail() });
            }
            if told.elapsed() > Duration::from_secs(10) {
                told = Instant::now();
                tracing::info!(log = %log.path.display(), "waiting for PostgreSQL, which may be recovering");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn create_database(&self) -> sqlx::Result<()> {
        let mut connection = PgConnection::connect_with(&self.connect_options_for("postgres")).await?;
        let exists = sqlx::query_scalar::<_, bool>("select exists (select from pg_database where datname = $1)")
            .bind(NAME)
            .fetch_one(&mut connection)
            .await?;
        if !exists {
            sqlx::raw_sql(AssertSqlSafe(format!("create database {NAME}"))).execute(&mut connection).await?;
        }
        connection.close().await
    }
}

/// The shell that keeps PostgreSQL.
#[derive(Debug)]
struct Server {
    /// Closed, it stops PostgreSQL.
    pipe: Option<ChildStdin>,
    /// How the shell, and PostgreSQL with it, ended.
    status: watch::Receiver<Option<ExitStatus>>,
    log: Log,
}

impl Server {
    /// Waits for its end. Our claim on the data directory is held as long.
    fn keep(mut keeper: Child, log: Log, lock: Arc<Lock>) -> Result<Server, EmbeddedError> {
        let pipe = keeper.stdin.take();
        let (ended, status) = watch::channel(None);
        let wait = move || {
            // It is our child and nobody else waits for it, so that waiting cannot fail.
            let status = keeper.wait().unwrap_or_default();
            drop(lock);
            ended.send_replace(Some(status));
        };
        let thread = std::thread::Builder::new().name("keep-postgres".into()).spawn(wait);
        thread.doing(|| "start a thread that waits for PostgreSQL".into())?;
        Ok(Server { pipe, status, log })
    }

    async fn ended(&mut self) -> ExitStatus {
        let ended = self.status.wait_for(Option::is_some).await;
        ended.ok().and_then(|status| *status).unwrap_or_default()
    }
}

/// A data directory that is ours, and how a cluster runs in it.
#[derive(Clone, Debug)]
struct Place {
    data_dir: PathBuf,
    options: Options,
    temporary: bool,
    lock: Arc<Lock>,
}

/// Our claim on a data directory. A child of ours that has not begun its own program yet has the file open too, so that
/// closing it would not be enough.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Where it fails, closing the file does it.
        let _ = self.0.unlock();
    }
}

impl Place {
    fn claim(data_dir: &Path, options: Options, temporary: bool) -> Result<Place, EmbeddedError> {
        fs::create_dir_all(data_dir).doing(|| format!("create the data directory {}", data_dir.display()))?;
        let data_dir = data_dir.canonicalize().doing(|| format!("find {}", data_dir.display()))?;
        let lock = Arc::new(Lock(lock(&data_dir)?));
        Ok(Place { data_dir, options, temporary, lock })
    }

    /// Starts the server, with its socket where it was before if it was; where that is.
    fn start(&self, sockets: Option<PathBuf>) -> Result<(Server, PathBuf), EmbeddedError> {
        let Place { data_dir, options, temporary, .. } = self;
        let link = data_dir.join("postgres");
        let existing = existing_cluster(&link)?;
        let runner = match &existing {
            Some(cluster) => runner_of(cluster)?,
            None => find_runner()?,
        };
        let (cluster, programs) = match existing {
            Some(cluster) => {
                let programs = Programs::find(Some(&cluster))?;
                (cluster, programs)
            }
            None => {
                let programs = Programs::find(None)?;
                (initialise(&link, &programs, runner.as_ref(), options)?, programs)
            }
        };
        if let Some(blocked) = runner.as_ref().and_then(|runner| runner.blocked_on_the_way_to(&cluster)) {
            let user = runner.map(|runner| runner.name).unwrap_or_default();
            return Err(EmbeddedError::NotTraversable { blocked, user });
        }
        recover(&cluster, &programs, runner.as_ref())?;

        let socket = cluster.join(format!(".s.PGSQL.{PORT}"));
        let sockets = match sockets {
            // Its own directory has gone with the server before.
            Some(sockets) if sockets != cluster && !sockets.exists() => {
                private_directory(&sockets, runner.as_ref())?;
                sockets
            }
            Some(sockets) => sockets,
            None if socket.as_os_str().len() < LONGEST_SOCKET_PATH => cluster.clone(),
            None => short_directory(&std::env::temp_dir(), runner.as_ref())?,
        };
        let discard = if *temporary {
            data_dir.as_path()
        } else if sockets == cluster {
            Path::new("")
        } else {
            sockets.as_path()
        };

        let log = Log::open(data_dir.join("postgres.log"))?;
        let mut command = command("/bin/sh", runner.as_ref());
        command.args(["-c", KEEPER, "deskfold-postgres", if *temporary { "QUIT" } else { "INT" }]).arg(discard);
        command.arg(programs.path("postgres")).arg("-D").arg(&cluster);
        for (name, value) in settings(options, &cluster, &sockets, *temporary) {
            let mut setting = OsString::from(name);
            setting.push("=");
            setting.push(value);
            command.arg("-c").arg(setting);
        }
        // A group of its own, so that a Ctrl-C meant for Deskfold does not reach the database before Deskfold is done.
        command.process_group(0).stdin(Stdio::piped()).stdout(log.writer()?).stderr(log.writer()?);
        let keeper = command.spawn().doing(|| "start PostgreSQL".into())?;
        tracing::info!(version = programs.version, cluster = %cluster.display(), "starting the embedded PostgreSQL");
        Ok((Server::keep(keeper, log, Arc::clone(&self.lock))?, sockets))
    }
}

/// Claims the data directory for this process.
fn lock(data_dir: &Path) -> Result<File, EmbeddedError> {
    let path = data_dir.join("lock");
    let doing = || format!("lock {}", path.display());
    let mut lock = OpenOptions::new().create(true).read(true).write(true).truncate(false).open(&path).doing(doing)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            // Only makes the message better; the lock itself has answered.
            let _ = lock.read_to_string(&mut owner);
            return Err(EmbeddedError::InUse { data_dir: data_dir.to_owned(), owner: owner.trim().to_owned() });
        }
        Err(TryLockError::Error(source)) => return Err(EmbeddedError::Io { doing: doing(), source }),
    }
    lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).doing(doing)?;
    Ok(lock)
}

/// The cluster's real directory, if there is a cluster.
fn existing_cluster(link: &Path) -> Result<Option<PathBuf>, EmbeddedError> {
    match link.canonicalize() {
        Err(_) if link.is_symlink() => Err(EmbeddedError::NotACluster(link.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(EmbeddedError::Io { doing: format!("find {}", link.display()), source }),
        Ok(cluster) => match cluster.join("PG_VERSION").metadata() {
            Ok(_) => Ok(Some(cluster)),
            // Nobody but the owner may look inside; whoever may not is told whose it is.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Some(cluster)),
            Err(_) => Err(EmbeddedError::NotACluster(cluster)),
        },
    }
}

/// Makes a cluster and puts it at `link` in one step, so that a killed `initdb` leaves nothing that looks like one.
fn initialise(
    link: &Path,
    programs: &Programs,
    runner: Option<&Runner>,
    options: &Options,
) -> Result<PathBuf, EmbeddedError> {
    let data_dir = link.parent().unwrap_or(Path::new("/"));
    let blocked = runner.and_then(|runner| runner.blocked_on_the_way_to(data_dir));
    let new = match (&blocked, runner) {
        (Some(blocked), Some(runner)) => elsewhere(data_dir, blocked, runner, &options.fallback)?,
        _ => link.with_extension("new"),
    };
    if new.exists() {
        fs::remove_dir_all(&new).doing(|| format!("remove the unfinished {}", new.display()))?;
    }
    private_directory(&new, runner)?;

    let mut initdb = command(programs.path("initdb"), runner);
    initdb.arg("-D").arg(&new).args(["--encoding=UTF8", "--locale=C", "--auth=trust", "--no-instructions"]);
    initdb.arg(format!("--username={NAME}")).arg(if options.fsync { "--data-checksums" } else { "--no-sync" });
    let output = initdb.output().doing(|| format!("run {:?}", programs.path("initdb")))?;
    if !output.status.success() {
        return Err(EmbeddedError::Initialise { cluster: new, output: said(&output) });
    }
    if blocked.is_some() {
        symlink(&new, link).doing(|| format!("link {} to the cluster", link.display()))?;
        tracing::warn!(cluster = %new.display(), "PostgreSQL may not enter the data directory: its cluster is elsewhere");
    } else {
        fs::rename(&new, link).doing(|| format!("put the new cluster at {}", link.display()))?;
    }
    link.canonicalize().doing(|| format!("find {}", link.display()))
}

/// A path of its own under `shared` for the cluster of a `data_dir` that its user cannot enter.
fn elsewhere(data_dir: &Path, blocked: &Path, runner: &Runner, shared: &Path) -> Result<PathBuf, EmbeddedError> {
    let made = DirBuilder::new().recursive(true).mode(0o755).create(shared);
    if made.is_err() || runner.blocked_on_the_way_to(shared).is_some() {
        return Err(EmbeddedError::NotTraversable { blocked: blocked.to_owned(), user: runner.name.clone() });
    }
    let name = data_dir.file_name().unwrap_or(OsStr::new("data")).to_string_lossy();
    Ok(shared.join(format!("{name}-{}", Uuid::now_v7().simple())))
}

/// Ends what an earlier run left behind when it was killed together with its keeper.
///
/// A server that still runs is stopped. A `postmaster.pid` of one that does not is mostly PostgreSQL's own business, but
/// when its process id has meanwhile been given to another process (usual in containers) PostgreSQL would refuse to
/// start. It is removed only when no process at all works in the cluster, since a killed server's sessions may outlive
/// it.
fn recover(cluster: &Path, programs: &Programs, runner: Option<&Runner>) -> Result<(), EmbeddedError> {
    let Some(earlier) = Postmaster::read(cluster) else { return Ok(()) };
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let Some(processes) = processes_in(cluster, runner) else { return Ok(()) };
        if processes.is_empty() {
            break;
        }
        if processes.contains(&earlier.process) {
            tracing::warn!(process = earlier.process, "stopping the PostgreSQL that an earlier run left behind");
            let mut stop = command(programs.path("pg_ctl"), runner);
            stop.arg("-D").arg(cluster).args(["stop", "--mode=fast", "--wait", "--timeout=60"]);
            let output = stop.output().doing(|| "run pg_ctl".into())?;
            tracing::debug!(output = said(&output), "pg_ctl stop");
        }
        if Instant::now() > deadline {
            let processes = processes.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
            return Err(EmbeddedError::Orphaned { cluster: cluster.to_owned(), processes });
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let pid_file = cluster.join("postmaster.pid");
    match fs::remove_file(&pid_file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(EmbeddedError::Io { doing: format!("remove the stale {}", pid_file.display()), source: error });
        }
        _ => {}
    }
    let is_ours = earlier.sockets.file_name().is_some_and(|name| name.as_bytes().starts_with(b"deskfold-"));
    if is_ours && earlier.sockets != cluster {
        // An empty directory left in the temporary directory harms nobody.
        let _ = fs::remove_dir_all(&earlier.sockets);
    }
    Ok(())
}

/// The processes whose working directory is the cluster: PostgreSQL's are, all of them. `None` where the system cannot
/// say. Asked as the cluster's user, since a container's root may not look into other users' processes.
fn processes_in(cluster: &Path, runner: Option<&Runner>) -> Option<Vec<u32>> {
    let output = command("/bin/sh", runner).args(["-c", "ls -ld /proc/[0-9]*/cwd 2>/dev/null"]).output().ok()?;
    let mut target = b" -> ".to_vec();
    target.extend_from_slice(cluster.as_os_str().as_bytes());
    let links = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let mut found = Vec::new();
    let mut any = false;
    for link in links {
        any = true;
        if let Some(before) = link.strip_suffix(target.as_slice()) {
            let path = String::from_utf8_lossy(before);
            found.extend(path.rsplit('/').nth(1).and_then(|process| process.parse::<u32>().ok()));
        }
    }
    any.then_some(found)
}

/// What PostgreSQL writes into `postmaster.pid`.
struct Postmaster {
    process: u32,
    sockets: PathBuf,
    ready: bool,
}

impl Postmaster {
    fn read(cluster: &Path) -> Option<Postmaster> {
        let text = fs::read(cluster.join("postmaster.pid")).ok()?;
        let mut lines = text.split(|byte| *byte == b'\n');
        let process = str::from_utf8(lines.next()?).ok()?.trim().parse().ok()?;
        // Lines two to four: the cluster's directory, the start time, the port.
        let sockets = lines.nth(3).map(|line| PathBuf::from(OsStr::from_bytes(line))).unwrap_or_default();
        // Lines six and seven: the listen address and the shared memory's key.
        let ready = lines.nth(2).is_some_and(|line| line.starts_with(b"ready"));
        Some(Postmaster { process, sockets, ready })
    }
}

/// The server's settings. Ours win over `postgresql.conf`, so that they follow Deskfold's version; the caller's win over
/// ours.
fn settings(options: &Options, cluster: &Path, sockets: &Path, temporary: bool) -> Vec<(String, OsString)> {
    const MEBIBYTE: u64 = 1 << 20;
    let memory = memory();
    // The log of changes is no more than a small part of a small disk.
    let disk = storage::Space::of(cluster).map_or(u64::MAX, |space| space.total);
    let megabytes = |bytes: u64| OsString::from(format!("{}MB", bytes / MEBIBYTE));
    let switch = |on: bool| OsString::from(if on { "on" } else { "off" });
    // The setting is a list: quotes keep a comma or a space in the path.
    let mut quoted = OsString::from("\"");
    for (index, part) in sockets.as_os_str().as_bytes().split(|byte| *byte == b'"').enumerate() {
        quoted.push(if index == 0 { "" } else { "\"\"" });
        quoted.push(OsStr::from_bytes(part));
    }
    quoted.push("\"");

    let mut settings = vec![
        ("listen_addresses", "".into()),
        ("unix_socket_directories", quoted),
        ("unix_socket_permissions", "0700".into()),
        ("port", PORT.to_string().into()),
        ("max_connections", options.max_connections.to_string().into()),
        ("fsync", switch(options.fsync)),
        ("full_page_writes", switch(options.fsync)),
        ("timezone", "UTC".into()),
        ("log_timezone", "UTC".into()),
        ("logging_collector", "off".into()),
        ("log_destination", "stderr".into()),
        ("jit", "off".into()),
        ("random_page_cost", "1.1".into()),
        ("checkpoint_timeout", "15min".into()),
    ];
    if temporary {
        settings.push(("shared_buffers", "64MB".into()));
    } else {
        settings.extend([
            ("shared_buffers", megabytes((memory / 8).clamp(64 * MEBIBYTE, 4096 * MEBIBYTE))),
            ("effective_cache_size", megabytes(memory / 2)),
            ("maintenance_work_mem", megabytes((memory / 32).clamp(32 * MEBIBYTE, 512 * MEBIBYTE))),
            ("work_mem", megabytes((memory / 1024).clamp(4 * MEBIBYTE, 32 * MEBIBYTE))),
            ("wal_buffers", "16MB".into()),
            ("max_wal_size", megabytes((disk / 16).clamp(64 * MEBIBYTE, 4096 * MEBIBYTE))),
            ("min_wal_size", megabytes((disk / 32).clamp(32 * MEBIBYTE, 80 * MEBIBYTE))),
        ]);
    }
    let given = options.settings.iter().map(|(name, value)| (name.clone(), value.into()));
    settings.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(given).collect()
}

/// How many bytes of memory this machine, or the container's limit, gives us.
fn memory() -> u64 {
    let total = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
    });
    let limit = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    total.unwrap_or(4 << 30).min(limit.unwrap_or(u64::MAX))
}

/// Whether Linux's file system in memory has room for a throwaway cluster, and the machine memory to fill it.
fn has_memory_to_spare() -> bool {
    const ENOUGH: u64 = 4 << 30;
    storage::Space::of(Path::new(MEMORY)).is_ok_and(|space| space.free >= ENOUGH) && memory() >= 2 * ENOUGH
}

fn connect_options(sockets: &Path) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host("localhost")
        .socket(sockets)
        .port(PORT)
        .username(NAME)
        .ssl_mode(PgSslMode::Disable)
        .application_name(NAME)
}

/// Whether a failed connection means no more than "not yet".
fn is_not_ready(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        // cannot_connect_now: starting up or recovering.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code == "57P03"),
        _ => false,
    }
}

/// PostgreSQL's programs.
#[derive(Debug)]
struct Programs {
    bin: PathBuf,
    version: u32,
}

impl Programs {
    /// The programs for an existing cluster, or the first ones good enough for a new one.
    fn find(cluster: Option<&Path>) -> Result<Programs, EmbeddedError> {
        let found: Vec<Programs> = match std::env::var_os("PG_BIN").filter(|bin| !bin.is_empty()) {
            Some(bin) => vec![Programs::in_directory(&bin).ok_or(EmbeddedError::WrongBin(bin.into()))?],
            None => usual_directories().iter().filter_map(Programs::in_directory).collect(),
        };
        let Some(cluster) = cluster else { return Programs::choose(found) };

        let version_file = cluster.join("PG_VERSION");
        let needed = fs::read_to_string(&version_file).doing(|| format!("read {}", version_file.display()))?;
        Programs::choose_for(found, cluster, needed.trim())
    }

    fn choose(mut found: Vec<Programs>) -> Result<Programs, EmbeddedError> {
        if let Some(index) = found.iter().position(|programs| programs.version >= OLDEST_VERSION) {
            return Ok(found.swap_remove(index));
        }
        let newest = found.into_iter().max_by_key(|programs| programs.version).ok_or(EmbeddedError::NotInstalled)?;
        Err(EmbeddedError::TooOld { bin: newest.bin, found: newest.version })
    }

    fn choose_for(mut found: Vec<Programs>, cluster: &Path, needed: &str) -> Result<Programs, EmbeddedError> {
        if found.is_empty() {
            return Err(EmbeddedError::NotInstalled);
        }
        if let Some(index) = found.iter().position(|programs| programs.version.to_string() == needed) {
            return Ok(found.swap_remove(index));
        }
        let mut versions: Vec<u32> = found.iter().map(|programs| programs.version).collect();
        versions.sort_unstable();
        versions.dedup();
        let versions = versions.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        Err(EmbeddedError::VersionMismatch { cluster: cluster.to_owned(), needed: needed.into(), found: versions })
    }

    fn in_directory(bin: impl AsRef<Path>) -> Option<Programs> {
        let bin = bin.as_ref();
        // PATH may hold links to the programs; their real directory holds all of them.
        let postgres = bin.join("postgres").canonicalize().ok()?;
        let bin = postgres.parent()?.to_owned();
        bin.join("initdb").exists().then_some(())?;
        let output = command(&postgres, None).arg("--version").output().ok()?;
        // "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", or "17beta1" for the version.
        let text = String::from_utf8(output.stdout).ok()?;
        let number = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
        let major = number.split(|c: char| !c.is_ascii_digit()).next()?;
        Some(Programs { bin, version: major.parse().ok()? })
    }

    fn path(&self, program: &str) -> PathBuf {
        self.bin.join(program)
    }
}

/// Where PostgreSQL's programs are looked for: PATH, then what packagers use, newest version first.
fn usual_directories() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&path).filter(|entry| entry.is_absolute()).collect();
    for (parent, prefix, suffix) in [
        ("/usr/lib/postgresql", "", "bin"),
        ("/usr", "pgsql-", "bin"),
        ("/usr/libexec", "postgresql", ""),
        ("/opt/homebrew/opt", "postgresql", "bin"),
        ("/usr/local/opt", "postgresql", "bin"),
        ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
    ] {
        let Ok(entries) = fs::read_dir(parent) else { continue };
        let mut versions: Vec<(u32, PathBuf)> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let name = entry.file_name().to_str()?.strip_prefix(prefix)?.replace('@', "");
                let version = name.split('.').next().and_then(|major| major.parse().ok()).unwrap_or_default();
                Some((version, entry.path().join(suffix)))
            })
            .collect();
        versions.sort_unstable_by(|a, b| b.cmp(a));
        directories.extend(versions.into_iter().map(|(_, directory)| directory));
    }
    directories.extend(["/usr/local/pgsql/bin", "/opt/homebrew/bin", "/usr/local/bin"].map(PathBuf::from));
    directories
}

/// Another user, whom root runs PostgreSQL as.
#[derive(Debug)]
struct Runner {
    name: String,
    user: u32,
    group: u32,
}

impl Runner {
    /// The first directory on the way to `path`, itself included, that this user may not enter.
    fn blocked_on_the_way_to(&self, path: &Path) -> Option<PathBuf> {
        let mut way: Vec<&Path> = path.ancestors().collect();
        way.reverse();
        let may_enter = |directory: &Path| {
            let mut enter = command("/bin/sh", Some(self));
            let status = enter.args(["-c", r#"cd -- "$1""#, "sh"]).arg(directory).stderr(Stdio::null()).status();
            status.is_ok_and(|status| status.success())
        };
        if may_enter(path) {
            return None;
        }
        way.into_iter().find(|directory| !may_enter(directory)).map(Path::to_owned)
    }
}

/// Whom to run an existing cluster as: its owner, as PostgreSQL demands. `None` means as ourselves.
fn runner_of(cluster: &Path) -> Result<Option<Runner>, EmbeddedError> {
    let metadata = cluster.metadata().doing(|| format!("look at {}", cluster.display()))?;
    let (user, group) = (metadata.uid(), metadata.gid());
    let us = current_user()?;
    if us != 0 {
        let ours = us == user;
        return if ours { Ok(None) } else { Err(EmbeddedError::NotOwner { cluster: cluster.to_owned(), owner: user }) };
    }
    if user != 0 {
        return Ok(Some(Runner { name: user.to_string(), user, group }));
    }
    // Restored or copied by root: give it to the user who has to run it.
    let Some(runner) = find_runner()? else { return Ok(None) };
    let owner = format!("{}:{}", runner.user, runner.group);
    let output =
        command("chown", None).args(["-R", &owner, "--"]).arg(cluster).output().doing(|| "run chown".into())?;
    if !output.status.success() {
        let source = io::Error::other(said(&output));
        return Err(EmbeddedError::Io { doing: format!("give {} to {}", cluster.display(), runner.name), source });
    }
    fs::set_permissions(cluster, Permissions::from_mode(0o700))
        .doing(|| format!("make {} private", cluster.display()))?;
    Ok(Some(runner))
}

/// Whom to run a new cluster as: `postgres` or `nobody` if we are root, else ourselves (`None`).
fn find_runner() -> Result<Option<Runner>, EmbeddedError> {
    if current_user()? != 0 {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let (Ok(user), Ok(group)) = (id(&["-u", name]), id(&["-g", name])) {
            return Ok(Some(Runner { name: name.to_owned(), user, group }));
        }
    }
    Err(EmbeddedError::NoUser)
}

fn current_user() -> Result<u32, EmbeddedError> {
    id(&["-u"]).doing(|| "ask `id` for the current user".into())
}

fn id(arguments: &[&str]) -> io::Result<u32> {
    let output = command("id", None).args(arguments).output()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().map_err(io::Error::other)
}

/// A program with a clean environment, run as `runner` if there is one.
fn command(program: impl AsRef<OsStr>, runner: Option<&Runner>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        // PGPORT, PGDATA and their like would change what the server and its tools do.
        if name.as_bytes().starts_with(b"PG") {
            command.env_remove(name);
        }
    }
    // The other user may not be able to enter our directory.
    command.env("LC_ALL", "C").current_dir("/").stdin(Stdio::null());
    if let Some(runner) = runner {
        command.uid(runner.user).gid(runner.group);
    }
    command
}

fn said(output: &Output) -> String {
    let mut text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    // Writing into a string cannot fail.
    let _ = write!(text, "\n{}", String::from_utf8_lossy(&output.stderr).trim());
    text.trim().to_owned()
}

/// A new directory with a short path that only `runner` can enter: in `parent` if that is short and open, else in
/// `/tmp`.
fn short_directory(parent: &Path, runner: Option<&Runner>) -> Result<PathBuf, EmbeddedError> {
    let is_short = parent.as_os_str().len() <= 32;
    let is_open = runner.is_none_or(|runner| runner.blocked_on_the_way_to(parent).is_none());
    let parent = if is_short && is_open { parent } else { Path::new("/tmp") };
    let directory = parent.join(format!("deskfold-{}", Uuid::now_v7().simple()));
    private_directory(&directory, runner)?;
    Ok(directory)
}

/// Creates a directory that only `runner` can enter; fails if it exists.
fn private_directory(directory: &Path, runner: Option<&Runner>) -> Result<(), EmbeddedError> {
    let doing = || format!("create {}", directory.display());
    DirBuilder::new().mode(0o700).create(directory).doing(doing)?;
    match runner {
        Some(runner) => chown(directory, Some(runner.user), Some(runner.group)).doing(doing),
        None => Ok(()),
    }
}

/// The server's log, and where this start's part of it begins.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    start: u64,
}

impl Log {
    fn open(path: PathBuf) -> Result<Log, EmbeddedError> {
        let mut start = path.metadata().map(|metadata| metadata.len()).unwrap_or_default();
        if start > LONGEST_LOG {
            fs::rename(&path, path.with_extension("log.old")).doing(|| format!("put {} aside", path.display()))?;
            start = 0;
        }
        Ok(Log { path, start })
    }

    fn writer(&self) -> Result<File, EmbeddedError> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)
            .doing(|| format!("write to {}", self.path.display()))
    }

    /// The last lines since the start.
    fn tail(&self) -> String {
        let mut text = Vec::new();
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.start))?;
            file.read_to_end(&mut text)
        });
        if let Err(error) = read {
            return format!("(the log cannot be read: {error})");
        }
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// Says what an I/O error kept us from doing.
trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, EmbeddedError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, EmbeddedError> {
        self.map_err(|source| EmbeddedError::Io { doing: what(), source })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn installed(versions: &[u32]) -> Vec<Programs> {
        versions.iter().map(|version| Programs { bin: format!("/pg/{version}").into(), version: *version }).collect()
    }

    #[test]
    fn a_new_cluster_gets_the_first_programs_that_are_new_enough() {
        assert_eq!(Programs::choose(installed(&[13, 15, 17])).unwrap().version, 15);
    }

    #[test]
    fn what_is_missing_or_too_old_is_named() {
        let message = Programs::choose(installed(&[])).unwrap_err().to_string();
        assert!(message.contains("apt-get install postgresql") && message.contains("DATABASE_URL"), "{message}");
        let message = Programs::choose(installed(&[12, 14])).unwrap_err().to_string();
        assert!(message.contains("/pg/14") && message.contains("15 or newer"), "{message}");
    }

    #[test]
    fn an_existing_cluster_gets_the_programs_that_made_it() {
        let cluster = Path::new("/data/postgres");
        assert_eq!(Programs::choose_for(installed(&[17, 16, 15]), cluster, "16").unwrap().version, 16);
        let message = Programs::choose_for(installed(&[17, 15]), cluster, "16").unwrap_err().to_string();
        assert!(message.contains("of version 15, 17") && message.contains("postgresql-16"), "{message}");
    }

    #[test]
    fn what_is_wrong_is_read_from_the_log() {
        use std::os::unix::process::ExitStatusExt;
        // As the shell that keeps it ends: with its status, and 128 more for a signal.
        let ended = |status: i32| ExitStatus::from_raw(status << 8);
        for (line, cause) in [
            ("PANIC:  could not write to file \"pg_wal/xlogtemp.7\": No space left on device", Cause::NoSpace),
            ("FATAL:  could not extend file \"base/1/2\": No space left on device", Cause::NoSpace),
            ("FATAL:  data directory \"/data/postgres\" has invalid permissions", Cause::Permissions),
            ("FATAL:  could not open file \"global/pg_filenode.map\": Permission denied", Cause::Permissions),
            ("PANIC:  could not locate a valid checkpoint record", Cause::Corrupted),
            ("FATAL:  incorrect checksum in control file", Cause::Corrupted),
            ("FATAL:  lock file \"postmaster.pid\" already exists", Cause::Taken),
            ("FATAL:  could not create any Unix-domain sockets", Cause::Taken),
            ("FATAL:  could not map anonymous shared memory: Cannot allocate memory", Cause::NoMemory),
            ("FATAL:  invalid value for parameter \"shared_buffers\": \"much\"", Cause::Settings),
            ("LOG:  database system was shut down", Cause::Unknown),
        ] {
            assert_eq!(Cause::of(line, ended(1)), cause, "{line}");
        }
        assert_eq!(Cause::of("LOG:  ready", ended(137)), Cause::Killed);
        assert!(Cause::Corrupted.is_final() && !Cause::NoSpace.is_final() && !Cause::Killed.is_final());
    }

    #[test]
    fn the_callers_settings_come_last_and_so_win() {
        let options = Options { settings: vec![("jit".into(), "on".into())], ..Options::default() };
        let settings = settings(&options, Path::new("/"), Path::new("/a, \"b\""), false);
        assert_eq!(settings.iter().rfind(|(name, _)| name == "jit").unwrap().1, "on");
        let sockets = settings.iter().find(|(name, _)| name == "unix_socket_directories").unwrap();
        assert_eq!(sockets.1, "\"/a, \"\"b\"\"\"");
    }
}
