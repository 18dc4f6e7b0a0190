//! `deskfold serve`: start, say where, run until told to stop, stop in order.

use std::{
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::signal::unix::{SignalKind, signal};

use tokio::net::TcpSocket;

use super::{Failure, print};
use crate::{
    app::App,
    bootstrap::FirstAdmin,
    config::{Role, Serve},
    database::Connected,
    start::reserve,
};

/// How long answers that are being given may take once told to stop, and then work in the background.
const DRAIN: Duration = Duration::from_secs(20);

pub(super) async fn run(config: Serve) -> Result<(), Failure> {
    let mut stop = stop_signal()?;
    // A cluster is not started in vain.
    let socket = config.roles.contains(&Role::Api).then(|| reserve(config.listen)).transpose()?;
    let health = config.health_listen.map(reserve).transpose()?;
    let own = config.database.database_url.is_none();
    let connected = match own {
        true => Connected::start(&config.database.data_dir).await?,
        false => Connected::to(&config.database).await?,
    };
    let served = tokio::select! {
        served = serve(&config, &connected, socket, health, &mut stop) => served,
        // Whoever runs this process, systemd or Kubernetes, sees it fail and starts it again.
        gone = connected.gone() => return Err(gone.into()),
    };
    connected.stop().await;
    served
}

async fn serve(
    config: &Serve,
    connected: &Connected,
    socket: Option<TcpSocket>,
    health: Option<TcpSocket>,
    stop: &mut Stop,
) -> Result<(), Failure> {
    let pool = connected.pool(config.database.database_connections).await?;
    let (app, first) = App::start(config.clone(), pool.clone()).await?;
    connected.tell(app.log.presence());
    if let Some(first) = &first {
        let file = write_key(&config.database.data_dir, &first.key)?;
        welcome(first, &file, config)?;
    }
    if let Some(health) = health {
        // Nobody waits for these answers to be finished.
        let (address, _) = app.listen_for_health(health)?;
        tracing::info!("health and metrics are at http://{address}");
    }
    let serving = if let Some(socket) = socket {
        let (address, serving) = app.listen_on(socket)?;
        if let Err(error) = note_address(&config.database.data_dir, address, config.sign_in.public_url.as_deref()) {
            // Links are then given with --url.
            tracing::debug!(%error, "where this server listens is not written down");
        }
        tracing::info!("listening on http://{address}; the API's documentation is at http://{address}/docs");
        Some(serving)
    } else {
        tracing::info!("working without HTTP");
        None
    };
    stop.wait().await;
    tracing::info!("stopping");
    app.stopping.cancel();
    if let Some(serving) = serving
        && tokio::time::timeout(DRAIN, serving).await.is_err()
    {
        tracing::warn!("some answers were still being given after {} s", DRAIN.as_secs());
    }
    let stopped = async {
        app.stop().await;
        pool.close().await;
    };
    match tokio::time::timeout(DRAIN, stopped).await {
        Ok(()) => tracing::info!("stopped"),
        // A database that hangs keeps nobody from stopping; nothing acknowledged is lost by that.
        Err(_) => tracing::warn!("some work was still under way after {} s", DRAIN.as_secs()),
    }
    Ok(())
}

/// Where it stands in a data directory by what address people reach the server.
const ADDRESS: &str = "address";

/// Writes down by what address people reach this server, for whoever makes links beside it.
fn note_address(data_dir: &Path, listens: SocketAddr, public_url: Option<&str>) -> std::io::Result<()> {
    let reached = match listens.ip() {
        ip if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), listens.port()),
        _ => listens,
    };
    let address = public_url.map_or_else(|| format!("http://{reached}"), ToOwned::to_owned);
    std::fs::create_dir_all(data_dir)?;
    std::fs::write(data_dir.join(ADDRESS), address + "\n")
}

/// By what address people reach the server of a data directory, as it wrote down when it last began to listen.
pub(super) fn address_in(data_dir: &Path) -> String {
    let noted = std::fs::read_to_string(data_dir.join(ADDRESS)).unwrap_or_default();
    let noted = noted.trim();
    if noted.is_empty() { "http://127.0.0.1:8080".to_owned() } else { noted.to_owned() }
}

/// The first admin's key in a file that only its owner can read.
fn write_key(data_dir: &Path, key: &str) -> Result<PathBuf, Failure> {
    std::fs::create_dir_all(data_dir)?;
    let path = data_dir.join("admin.key");
    // Made anew, so that an older file's wider mode does not survive.
    if path.exists() {
        std::fs::remove_file(&path)?;
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    writeln!(file, "{key}")?;
    Ok(path)
}

fn welcome(first: &FirstAdmin, file: &Path, config: &Serve) -> Result<(), Failure> {
    print("")?;
    print("  Welcome to Deskfold. Your admin's API key, shown this once:")?;
    print("")?;
    print(&format!("      {}", first.key))?;
    print("")?;
    print(&format!(
        "  It is also in {}, readable only by you. Keys are for programs; to sign in with a",
        file.display()
    ))?;
    let address = &config.admin_email;
    print(&format!("  browser, set a password at the link that `deskfold admin link --user {address}` prints."))?;
    print("")
}

/// SIGINT or SIGTERM.
struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

fn stop_signal() -> std::io::Result<Stop> {
    Ok(Stop { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
}

impl Stop {
    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
