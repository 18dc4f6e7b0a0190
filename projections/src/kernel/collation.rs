//! In which order names stand: the collations of the database by language.

use std::{borrow::Cow, collections::HashMap, sync::LazyLock};

use parking_lot::Mutex;
use sqlx::PgPool;

/// The order of all languages together (the root of CLDR), in which every database of ours has indexes.
pub const ROOT: &str = "und-x-icu";

/// Languages whose collation has been asked for, in this process.
static KNOWN: LazyLock<Mutex<HashMap<String, String>>> = LazyLock::new(Mutex::default);
/// Most of them that are remembered: nobody has that many in earnest.
const MOST: usize = 1000;

/// The collation for a language (BCP 47): of the language as it is given, else of fewer of its subtags, else [`ROOT`].
///
/// # Errors
/// When the database fails.
pub async fn of(pool: &PgPool, language: Option<&str>) -> Result<Cow<'static, str>, sqlx::Error> {
    let Some(language) = language else { return Ok(Cow::Borrowed(ROOT)) };
    if let Some(known) = KNOWN.lock().get(language) {
        return Ok(Cow::Owned(known.clone()));
    }
    let subtags: Vec<&str> = language.split('-').collect();
    let names: Vec<String> = (1..=subtags.len()).map(|count| format!("{}-x-icu", subtags[..count].join("-"))).collect();
    let found: Option<String> = sqlx::query_scalar(
        "select collname::text from pg_collation where collprovider = 'i' and collisdeterministic
         and lower(collname::text) = any (select lower(name) from unnest($1::text[]) name)
         order by length(collname::text) desc limit 1",
    )
    .bind(names)
    .fetch_optional(pool)
    .await?;
    let collation = found.unwrap_or_else(|| ROOT.to_owned());
    let mut known = KNOWN.lock();
    if known.len() >= MOST {
        known.clear();
    }
    known.insert(language.to_owned(), collation.clone());
    Ok(Cow::Owned(collation))
}
