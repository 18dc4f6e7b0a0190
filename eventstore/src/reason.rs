//! Why a database cannot be used, in words for whoever runs it, and its address without the password.

use std::io::ErrorKind;

use sqlx::postgres::PgConnectOptions;

/// Where a database is, as `DATABASE_URL` says it but without the password.
pub fn address(options: &PgConnectOptions) -> String {
    let (user, port) = (options.get_username(), options.get_port());
    let database = options.get_database().unwrap_or(user);
    match options.get_socket() {
        Some(directory) => format!("{database} of user {user} at {}/.s.PGSQL.{port}", directory.display()),
        None => format!("postgres://{user}@{}:{port}/{database}", options.get_host()),
    }
}

/// Why it cannot be used, and what to do about it.
pub fn reason(error: &sqlx::Error, options: &PgConnectOptions) -> String {
    let (user, host) = (options.get_username(), options.get_host());
    match error {
        sqlx::Error::Io(error) => unreachable(error, host),
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            let said = error.message();
            match &*code {
                "28P01" => format!("the password of user {user} is wrong or missing"),
                "28000" if said.contains("no encryption") => {
                    format!(
                        "the server lets user {user} in over TLS only ({said}): add ?sslmode=require to the address"
                    )
                }
                "28000" => format!("the server does not let user {user} in: {said}"),
                "3D000" => {
                    let database = options.get_database().unwrap_or(user);
                    format!("there is no database {database}: make it (`createdb {database}`), or correct the name")
                }
                "53300" => format!("the server has no connection to spare ({said}): raise its max_connections"),
                "57P03" => format!("the server does not accept connections now: {said}"),
                _ => format!("{said} ({code})"),
            }
        }
        sqlx::Error::Tls(error) => {
            format!("no TLS ({error}): set it up on the server, or ask for none with ?sslmode=disable")
        }
        sqlx::Error::Protocol(said) => {
            format!("what answers there does not speak PostgreSQL's protocol ({said}): is the port right?")
        }
        sqlx::Error::PoolTimedOut => "no connection came free in time".into(),
        error => error.to_string(),
    }
}

fn unreachable(error: &std::io::Error, host: &str) -> String {
    let said = error.to_string();
    // The standard library has no kind of its own for a name that does not resolve.
    if said.contains("lookup address") || said.contains("not known") || said.contains("resolve") {
        return format!("there is no host {host} ({said})");
    }
    match error.kind() {
        ErrorKind::ConnectionRefused => {
            "the connection is refused: PostgreSQL does not run there, or listens on another port or address".into()
        }
        ErrorKind::NotFound => "there is no such socket: PostgreSQL does not run, or keeps it elsewhere".into(),
        ErrorKind::PermissionDenied => "this user may not use the socket".into(),
        ErrorKind::TimedOut => "there is no answer".into(),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            format!("the connection was closed without an answer ({said}): is it PostgreSQL that listens there?")
        }
        ErrorKind::InvalidData => format!("TLS fails ({said}): trust its certificate with sslrootcert, or see sslmode"),
        _ => said,
    }
}

/// Whether a failure says that the database cannot be had now, and nothing about what was asked of it.
pub fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            code.starts_with("57P") || code.starts_with("08") || code.starts_with("53")
        }
        _ => false,
    }
}

/// Whether the server has no room left to write.
pub fn is_storage_full(error: &sqlx::Error) -> bool {
    // disk_full
    matches!(error, sqlx::Error::Database(error) if error.code().is_some_and(|code| code == "53100"))
}
