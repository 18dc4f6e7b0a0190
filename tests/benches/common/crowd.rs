//! Read models that are yet to come, without rows: together with those there are, ninety.

use domain::{Aggregate, Id, desk::ticket::Ticket};
use eventstore::Recorded;
use projections::{Keys, ReadModel, Unreadable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, PgPool};

/// How many there are in all.
pub const ALL: usize = 90;

/// One of them. It is shown every event of a ticket, and none concerns it.
struct Empty<const N: usize>;

impl<const N: usize> Empty<N> {
    const LETTERS: [u8; 8] = [b'e', b'm', b'p', b't', b'y', b'_', b'0' + (N / 10) as u8, b'0' + (N % 10) as u8];
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct Nothing {}

impl<const N: usize> ReadModel for Empty<N> {
    const NAME: &'static str = match std::str::from_utf8(&Self::LETTERS) {
        Ok(name) => name,
        Err(_) => "empty",
    };
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[Ticket::KIND];
    type Row = Nothing;

    fn keys(_: &Recorded) -> Keys {
        Keys::None
    }

    fn apply(_: Id, row: Option<Nothing>, _: &Recorded) -> Result<Option<Nothing>, Unreadable> {
        Ok(row)
    }
}

/// Does the same for as many as are missing.
macro_rules! each {
    ($do:ident, $($number:literal)*) => {{
        let missing = ALL.saturating_sub(projections::names().len());
        $(if $number < missing { $do!($number); })*
    }};
}

macro_rules! each_of_them {
    ($do:ident) => {
        each!($do, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39
            40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59)
    };
}

/// Adds them to this process.
pub fn register() {
    macro_rules! add {
        ($number:literal) => {
            projections::register::<Empty<$number>>()
        };
    }
    each_of_them!(add);
}

/// Creates their tables.
pub async fn create(pool: &PgPool) {
    let mut names = Vec::new();
    macro_rules! name {
        ($number:literal) => {
            names.push(Empty::<$number>::NAME)
        };
    }
    each_of_them!(name);
    for name in names {
        let table = format!(
            "create table read_{name}_v1 (tenant_id text collate \"C\" not null, id text collate \"C\" not null,
             version bigint not null, position bigint not null, primary key (tenant_id, id))"
        );
        sqlx::query(AssertSqlSafe(table)).execute(pool).await.unwrap();
    }
}
