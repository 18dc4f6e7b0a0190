//! What each subcommand does.

mod analyst;
mod archive;
mod files;
mod health;
mod import;
mod key;
mod log;
mod mail_pipe;
mod rebuild;
mod relay;
mod serve;

use std::{error::Error, io::Write};

use futures::future::BoxFuture;

use crate::{
    config::{Cli, Command, Database, LogFormat},
    database::Connected,
    http::openapi,
};

/// Why a subcommand ended badly, for the person at the terminal.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Why a subcommand ended badly, where whoever calls it asks for a certain code.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct Exit {
    /// The code.
    pub code: u8,
    why: String,
}

impl Exit {
    fn new(code: u8, why: impl ToString) -> Exit {
        Exit { code, why: why.to_string() }
    }
}

/// Carries a command line out.
///
/// # Errors
/// Whatever went wrong, in a sentence.
pub fn run(cli: Cli) -> BoxFuture<'static, Result<(), Failure>> {
    // Boxed, it is compiled here once, and not again in every program that calls it.
    Box::pin(carry_out(cli))
}

async fn carry_out(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Serve(config) => {
            log_to_stderr(config.log_format);
            serve::run(*config).await
        }
        Command::Migrate(database) => {
            log_to_stderr(LogFormat::Text);
            migrate(&database).await
        }
        Command::Import(import) => import::run(import).await,
        Command::Log(command) => log::run(command).await,
        Command::Rebuild(rebuild) => {
            log_to_stderr(LogFormat::Text);
            rebuild::run(rebuild).await
        }
        Command::Relay(command) => relay::run(command).await,
        Command::Key(key) => key::run(key).await,
        Command::Analyst(analyst) => analyst::run(analyst).await,
        Command::Archive(archive) => {
            log_to_stderr(LogFormat::Text);
            archive::run(archive).await
        }
        Command::Files(command) => files::run(command).await,
        Command::Admin(admin) => key::admin(admin).await,
        Command::Tenant(tenant) => key::tenant(tenant).await,
        Command::Health(health) => health::run(health).await,
        Command::MailPipe(pipe) => mail_pipe::run(pipe).await,
        Command::Openapi => print(&serde_json::to_string_pretty(&openapi::document())?),
    }
}

async fn migrate(database: &Database) -> Result<(), Failure> {
    let connected = Connected::to(database).await?;
    let pool = connected.pool(1).await?;
    let done = eventstore::MIGRATOR.run(&pool).await;
    pool.close().await;
    connected.stop().await;
    done?;
    print("The schema is up to date.")
}

/// Log lines go to standard error, so that standard output is for what was asked.
fn log_to_stderr(format: LogFormat) {
    use tracing_subscriber::{EnvFilter, fmt};
    let filter =
        EnvFilter::try_from_env("DESKFOLD_LOG").unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn,async_nats=warn"));
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_target(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}

/// One line on standard output. A closed pipe is no error: whoever read has read enough.
fn print(line: &str) -> Result<(), Failure> {
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
