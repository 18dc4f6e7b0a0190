//! `deskfold analyst`: roles of the database that see what an API key sees, in the schema `analytics`.

use std::num::NonZeroU32;

use base64::{Engine, engine::general_purpose::STANDARD};
use rand::TryRng;
use ring::{digest, hmac, pbkdf2};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use super::{Failure, key::Bench, print};
use crate::config::Analyst;

/// Rounds of a password's verifier, as PostgreSQL itself makes it.
const ROUNDS: NonZeroU32 = NonZeroU32::MIN.saturating_add(4095);

pub(super) async fn run(analyst: Analyst) -> Result<(), Failure> {
    let (Analyst::Add { database, .. } | Analyst::List(database) | Analyst::Remove { database, .. }) = &analyst;
    let bench = Bench::open(database).await?;
    let done = carry_out(&bench, &analyst).await;
    bench.close().await;
    for line in done? {
        print(&line)?;
    }
    Ok(())
}

/// What is to be told, line by line.
async fn carry_out(bench: &Bench, analyst: &Analyst) -> Result<Vec<String>, Failure> {
    let mut connection = bench.log.pool().acquire().await?;
    match analyst {
        Analyst::Add { .. } => add(bench, &mut connection, analyst).await,
        Analyst::List(_) => list(&mut connection).await,
        Analyst::Remove { name, .. } => {
            remove(bench, &mut connection, name).await?;
            Ok(vec![format!("{name} is removed.")])
        }
    }
}

async fn add(bench: &Bench, connection: &mut PgConnection, analyst: &Analyst) -> Result<Vec<String>, Failure> {
    let Analyst::Add { name, user, role, days, tenant, statement_timeout, connections, .. } = analyst else {
        return Ok(Vec::new());
    };
    let taken: bool = sqlx::query_scalar("select exists (select from pg_roles where rolname = $1)")
        .bind(name)
        .fetch_one(&mut *connection)
        .await?;
    if taken {
        return Err(format!("there is a role {name} in this server already").into());
    }
    let issued = bench.issue(user, &format!("analyst {name}"), role.as_deref(), *days, tenant.as_deref()).await?;
    let tenant = issued.tenant.to_string();
    let until = issued.expires_at.map_or(String::new(), |at| format!(" valid until '{at}'"));
    let verifier = verifier(&issued.secret)?;
    let milliseconds = statement_timeout.as_millis();
    let statement = format!(
        "create role {name} login nosuperuser nocreatedb nocreaterole noinherit noreplication connection limit {connections} \
             password '{verifier}'{until};
         alter role {name} set default_transaction_read_only = on;
         alter role {name} set statement_timeout = '{milliseconds}ms';
         alter role {name} set idle_in_transaction_session_timeout = '{milliseconds}ms';
         alter role {name} set search_path = analytics;
         grant usage on schema analytics to {name};
         do $$ begin execute format('grant connect on database %I to {name}', current_database()); end $$;"
    );
    let made = async {
        let mut transaction = connection.begin().await?;
        projections::analytics::install(&mut transaction).await?;
        transaction.execute(AssertSqlSafe(statement)).await?;
        sqlx::query("insert into auth_analyst (name, tenant_id, key_id) values ($1, $2, $3)")
            .bind(name)
            .bind(&tenant)
            .bind(issued.id.to_string())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    };
    if let Err(error) = made.await {
        bench.revoke(&issued.id.to_string(), Some(&tenant)).await?;
        return Err(told(error));
    }
    Ok(vec![
        format!("role     {name}"),
        format!("password {}", issued.secret),
        format!("tenant   {tenant}"),
        "schema   analytics".to_owned(),
    ])
}

async fn list(connection: &mut PgConnection) -> Result<Vec<String>, Failure> {
    let rows = sqlx::query(
        "select name, tenant_id, key_id, to_jsonb(added_at) #>> '{}' as added_at from auth_analyst order by name",
    )
    .fetch_all(connection)
    .await?;
    let mut lines = Vec::with_capacity(rows.len());
    for row in rows {
        let text = |column: &str| row.try_get::<String, _>(column);
        let (name, tenant, key, added) = (text("name")?, text("tenant_id")?, text("key_id")?, text("added_at")?);
        lines.push(json!({ "name": name, "tenant_id": tenant, "key_id": key, "added_at": added }).to_string());
    }
    Ok(lines)
}

async fn remove(bench: &Bench, connection: &mut PgConnection, name: &str) -> Result<(), Failure> {
    let found: Option<(String, String)> = sqlx::query_as("select tenant_id, key_id from auth_analyst where name = $1")
        .bind(name)
        .fetch_optional(&mut *connection)
        .await?;
    let (tenant, key) = found.ok_or(format!("there is no analyst {name}: `deskfold analyst list` tells them"))?;
    bench.revoke(&key, Some(&tenant)).await?;
    let mut transaction = connection.begin().await?;
    sqlx::query("delete from auth_analyst where name = $1").bind(name).execute(&mut *transaction).await?;
    // It may have been dropped by hand; whoever is connected sees nothing from now on.
    let drop = format!(
        "do $$ begin
             if exists (select from pg_roles where rolname = '{name}') then
                 execute 'drop owned by {name}'; execute 'drop role {name}';
             end if;
         end $$"
    );
    transaction.execute(AssertSqlSafe(drop)).await.map_err(told)?;
    transaction.commit().await?;
    Ok(())
}

/// What PostgreSQL keeps of a password under SCRAM-SHA-256 (RFC 5803): so that no statement, and no log of statements, has
/// the password itself.
fn verifier(password: &str) -> Result<String, Failure> {
    let mut salt = [0u8; 16];
    rand::rngs::SysRng.try_fill_bytes(&mut salt)?;
    Ok(scram(password, &salt))
}

fn scram(password: &str, salt: &[u8]) -> String {
    let mut salted = [0u8; digest::SHA256_OUTPUT_LEN];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, salt, password.as_bytes(), &mut salted);
    let salted = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let client = hmac::sign(&salted, b"Client Key");
    let stored = digest::digest(&digest::SHA256, client.as_ref());
    let server = hmac::sign(&salted, b"Server Key");
    let [salt, stored, server] = [salt, stored.as_ref(), server.as_ref()].map(|bytes| STANDARD.encode(bytes));
    format!("SCRAM-SHA-256${ROUNDS}:{salt}${stored}:{server}")
}

/// What to do about a database that does not let us.
fn told(error: sqlx::Error) -> Failure {
    let code = error.as_database_error().and_then(|error| error.code().map(std::borrow::Cow::into_owned));
    match code.as_deref() {
        Some("42501") => {
            format!("the database's user may not do this ({error}): let it create roles, `alter role ... createrole`")
                .into()
        }
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677: its client key and server key follow from the same salted password.
    #[test]
    fn a_verifier_is_the_one_that_postgresql_makes() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = scram("pencil", &salt);
        assert_eq!(
            verifier,
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
    }
}
