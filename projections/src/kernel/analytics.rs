//! What analysts query with SQL: the schema `analytics`, whose views show each login of theirs what its key sees, and nothing
//! else.
//!
//! A login is a role of the database that the table `auth_analyst` binds to an API key. Whether the key is valid, what its
//! user's roles permit, which teams there are: all that is asked of the read models with every query, so that a key that
//! is revoked sees nothing from then on. The views belong to Deskfold's own role; logins have no rights to any table.

use std::{collections::HashMap, fmt::Write as _};

use domain::{
    catalogue,
    kernel::access::{EVERYBODY, Reach},
    org::settings,
};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};

use crate::{
    List, Stands,
    kernel::{access::shared_with, model::Model, registry::view, sight::Places},
    lists,
};

/// The schema.
pub const SCHEMA: &str = "analytics";
/// The read model whose further tables are the facts that reports count.
const FACTS: &str = "facts";
/// The one of them that has the values of dimensions.
const VALUES: &str = "fact_values";
/// Who a login is and what it sees, within each view: asked once for each query.
const ME: &str = "me";
const ASKED: &str = "with me as materialized (select * from analytics.caller())";

/// The lists that are shown, each under the name of its collection.
fn shown() -> impl Iterator<Item = &'static List> {
    lists().filter(|list| list.listed)
}

/// What a view shows of one other, whose rows are `t`.
struct View {
    name: String,
    source: String,
    condition: String,
}

impl View {
    fn of(list: &'static List, places: &Places) -> View {
        let (kind, id) = match list.stands {
            Stands::Itself => (format!("'{}'", list.read), "t.id".to_owned()),
            Stands::PartOf(column) => (format!("'{}'", list.read), format!("t.{column}")),
            Stands::For(kind, id) => (format!("t.{kind}"), format!("t.{id}")),
        };
        let mut condition = places.sees(&kind, &id);
        if let Some((only, _)) = list.only {
            let _ = write!(condition, " and ({only})");
        }
        if let Some(about) = list.about {
            let _ = write!(condition, " and t.{about} <> all ((select off from {ME})::text[])");
        }
        View { name: list.path.to_owned(), source: view(list.name), condition }
    }

    /// One of facts, which each name a record.
    fn facts(name: &str, places: &Places) -> View {
        let mut condition = places.sees("t.kind", "t.record_id");
        if name == VALUES {
            // What people say of themselves in fields of their own stays where it can be erased.
            condition += " and not exists (select from read_fields f where f.tenant_id = t.tenant_id and f.entity = t.kind \
                          and f.personal and t.dimension = 'custom.' || f.key)";
        }
        View { name: name.to_owned(), source: view(name), condition }
    }

    fn sql(&self, columns: &str) -> String {
        let View { name, source, condition } = self;
        format!(
            "create view {SCHEMA}.{name} with (security_barrier) as {ASKED} select {columns} from {source} t\n\
             where t.tenant_id = (select tenant_id from {ME}) and {condition};\n\
             select read_model_describe('{SCHEMA}.{name}', '{source}');\n"
        )
    }
}

/// Who a login is, and what it sees: [`domain::Authority::reach`] and [`crate::Sight::of`] in SQL. A function, since what a
/// view says would be planned anew wherever another one asks it; and by whom somebody connected, since it runs as ours.
fn me() -> String {
    let number = |reach: Reach| match reach {
        Reach::Own => 1,
        Reach::Team => 2,
        Reach::All => 3,
    };
    let kinds = catalogue::kinds().map(|kind| {
        let feature =
            settings::feature_of(kind.name).map_or("null".to_owned(), |feature| format!("'{}'", feature.name));
        format!(
            "('{}', {}, {}, {feature}, {})",
            kind.name,
            kind.open.is_some(),
            kind.private,
            !catalogue::UNSCOPED.contains(&&*format!("{}.read", kind.name))
        )
    });
    let kinds: Vec<_> = kinds.collect();
    let (own, team, all) = (number(Reach::Own), number(Reach::Team), number(Reach::All));
    format!(
        "create function {SCHEMA}.caller() returns table (
    tenant_id text, user_id text, all_of text[], team_of text[], own_of text[], off text[], own text[], team text[]
) language sql stable security definer rows 1 set search_path from current as $$
with caller as (
    select a.tenant_id, k.user_id, k.role_id, u.role_ids, t.features
    from auth_analyst a
    join read_api_keys k on k.tenant_id = a.tenant_id and k.id = a.key_id
        and k.status = 'active' and (k.expires_at is null or now() < k.expires_at)
    join read_users u on u.tenant_id = a.tenant_id and u.id = k.user_id and u.status in ('invited', 'active')
    join read_tenants t on t.tenant_id = a.tenant_id and t.id = a.tenant_id
    where a.name = session_user
), pattern (bound, covers, reach) as (
    select p.bound, split_part(p.pattern, ':', 1),
        case split_part(p.pattern, ':', 2) when '' then {all} when 'team' then {team} when 'own' then {own} end
    from (
        select false, unnest(r.permissions) from caller c
        join read_roles r on r.tenant_id = c.tenant_id and r.id = any (c.role_ids)
        union all
        select true, unnest(r.permissions) from caller c
        join read_roles r on r.tenant_id = c.tenant_id and r.id = c.role_id
    ) p (bound, pattern)
), kind (kind, open, private, feature, scoped) as (
    values {kinds}
), permitted (kind, open, private, feature, reads, others) as (
    select k.kind, k.open, k.private, k.feature,
        case when c.role_id is null or bool_or(p.bound and p.reads) then least(
            max(p.reach) filter (where p.reads and not p.bound), max(p.reach) filter (where p.reads and p.bound)) end
            * (case when bool_or(p.reads and not p.bound) then 1 end),
        case when c.role_id is null or bool_or(p.bound and p.others) then least(
            max(p.reach) filter (where p.others and not p.bound), max(p.reach) filter (where p.others and p.bound)) end
            * (case when bool_or(p.others and not p.bound) then 1 end)
    from kind k cross join caller c
    left join lateral (
        select q.bound, q.reach, q.covers in ('*', '*.*', '*.read', k.kind || '.*', k.kind || '.read') as reads,
            q.covers in ('*', '*.*', '*.read_any', k.kind || '.read_any') as others
        from pattern q
    ) p on k.scoped or p.reach = {all}
    group by 1, 2, 3, 4, c.role_id
), sees (kind, reach) as (
    select p.kind, case
        when p.open then {all}
        when p.private then least(p.reads, coalesce(p.others, {own}))
        else p.reads
    end
    from permitted p cross join caller c
    where p.reads is not null and (p.feature is null or p.feature = any (c.features))
), member (id, user_id) as (
    select t.id, unnest(t.member_ids) from caller c join read_teams t on t.tenant_id = c.tenant_id
), mine (id) as (
    select m.id from caller c join member m on m.user_id = c.user_id
), own (principal) as (
    select unnest(array['holds:' || c.user_id, 'shared:' || c.user_id, '{everybody}']) from caller c
    union select 'shared:' || id from mine
    union select 'shared:' || h.id from caller c join read_channels h on h.tenant_id = c.tenant_id
        where h.operator_ids @> array[c.user_id]
), team (principal) as (
    select principal from own
    union select 'holds:' || id from mine
    union select 'holds:' || m.user_id from member m join mine on mine.id = m.id
)
select c.tenant_id, c.user_id,
    array(select kind from sees where reach = {all} order by 1) as all_of,
    array(select kind from sees where reach = {team} order by 1) as team_of,
    array(select kind from sees where reach = {own} order by 1) as own_of,
    array(select k.kind from kind k where k.feature <> all (c.features) order by 1) as off,
    array(select principal from own order by 1) as own,
    array(select principal from team order by 1) as team
from caller c
$$;
create view {SCHEMA}.me with (security_barrier) as select * from {SCHEMA}.caller();
",
        kinds = kinds.join(",\n        "),
        everybody = shared_with(EVERYBODY),
    ) + &comments(
        "me",
        "Who this login is, and what it sees. No row: it sees nothing, since its key or its user is no longer valid.",
        &[
            ("tenant_id", "The tenant."),
            ("user_id", "The user whose key it is."),
            ("all_of", "Kinds of record of which it sees all."),
            (
                "team_of",
                "Kinds of which it sees what belongs to a team of the user, or to somebody in it, or is the user's own.",
            ),
            ("own_of", "Kinds of which it sees what is the user's own or shared with the user."),
            ("off", "Kinds of features that the tenant has switched off."),
            (
                "own",
                "By what relations a record is the user's own: `holds:` or `shared:` and the id of a user, team or channel, 0 for everybody.",
            ),
            ("team", "The same for a team of the user's."),
        ],
    )
}

fn comments(name: &str, view: &str, columns: &[(&str, &str)]) -> String {
    let text = |text: &str| text.replace('\'', "''");
    let mut sql = format!("comment on view {SCHEMA}.{name} is '{}';\n", text(view));
    for (column, says) in columns {
        let _ = writeln!(sql, "comment on column {SCHEMA}.{name}.{column} is '{}';", text(says));
    }
    sql
}

/// What follows from others.
fn derived(places: &Places) -> String {
    let titled = shown().filter(|list| list.lists(list.read)).filter_map(|list| Some((list, list.title()?)));
    let titled = titled.map(|(list, title)| {
        let only = list.only.map_or(String::new(), |(only, _)| format!(" and ({only})"));
        let source = view(list.name);
        format!(
            "select '{}', t.id, t.{title} from {source} t where t.tenant_id = (select tenant_id from {ME}){only}",
            list.read
        )
    });
    let mut sql = format!(
        "create view {SCHEMA}.names with (security_barrier) as {ASKED}\n\
         select t.kind, t.id, t.name from (\n{}\n) t (kind, id, name) where {};\n",
        titled.collect::<Vec<_>>().join("\nunion all "),
        places.sees("t.kind", "t.id"),
    );
    sql += &comments(
        "names",
        "What records are called, of every kind, for joining on what refers to them.",
        &[("kind", "Kind of the record."), ("id", "The record."), ("name", "Its name, or what stands for one.")],
    );
    sql += &format!(
        "create view {SCHEMA}.fact_intervals as
select f.kind, f.dimension, f.record_id, f.part, f.value, f.value #>> '{{}}' as value_text, f.at as from_at,
    lead(f.at) over w as until_at, f.position, f.actor_id
from {SCHEMA}.fact_values f
window w as (partition by f.kind, f.dimension, f.record_id, f.part order by f.at, f.position);\n"
    );
    sql += &comments(
        "fact_intervals",
        "From when until when dimensions of records had their values, as is known now: fact_values with the end of each.",
        &[
            ("kind", "Kind of the record."),
            ("dimension", "The dimension, as lists call the field: team_id, status, custom.size, ..."),
            ("record_id", "The record."),
            ("part", "Of a dimension with several values, such as tags, which of them; else empty."),
            ("value", "The value; null when it had none, or had this one of several no longer."),
            ("value_text", "The value as text."),
            ("from_at", "Since when it had the value."),
            ("until_at", "Until when; null for the value that it has now."),
            ("position", "Position in the log of the event that says so."),
            ("actor_id", "Who changed it."),
        ],
    );
    sql
}

/// Who goes on for merged records, at the end of every chain.
fn survivors(places: &Places) -> String {
    format!(
        "create view {SCHEMA}.survivors with (security_barrier) as
with recursive me as materialized (select * from {SCHEMA}.caller()), step (kind, id, into_id, steps) as (
    select r.kind, r.record_id, r.into_id, 1 from read_redirects r
    where r.tenant_id = (select tenant_id from {ME}) and r.into_id is not null
    union all
    select s.kind, s.id, r.into_id, s.steps + 1 from step s
    join read_redirects r on r.tenant_id = (select tenant_id from {ME}) and r.kind = s.kind and r.record_id = s.into_id
        and r.into_id is not null
    where s.steps < 1000
)
select t.kind, t.id, t.into_id from (
    select distinct on (kind, id) kind, id, into_id from step order by kind, id, steps desc
) t where {};\n",
        places.sees("t.kind", "t.into_id"),
    ) + &comments(
        "survivors",
        "Which record goes on for each that was merged. What refers to a merged one keeps its id.",
        &[
            ("kind", "Kind of both records."),
            ("id", "The record that was merged."),
            ("into_id", "The record that goes on for it, at the end of the chain."),
        ],
    )
}

/// The columns of some views, by view, but for the tenant, which all rows of a login share.
async fn columns(connection: &mut PgConnection, sources: &[&str]) -> Result<HashMap<String, String>, sqlx::Error> {
    let columns: Vec<(String, String)> = sqlx::query_as(
        "select s.name, string_agg('t.' || quote_ident(a.attname), ', ' order by a.attnum)
         from unnest($1::text[]) s (name)
         join pg_attribute a on a.attrelid = s.name::regclass and a.attnum > 0 and not a.attisdropped
         where a.attname <> 'tenant_id' group by s.name",
    )
    .bind(sources)
    .fetch_all(connection)
    .await?;
    Ok(columns.into_iter().collect())
}

/// All that makes the schema, as the read models are now.
async fn definition(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    let places = Places::told_by(ME);
    let mut sql = format!("create schema {SCHEMA};\n") + &me();
    let mut views: Vec<View> = shown().map(|list| View::of(list, &places)).collect();
    let facts = Model::named(FACTS).into_iter().flat_map(|model| model.further);
    views.extend(facts.map(|name| View::facts(name, &places)));
    let sources: Vec<&str> = views.iter().map(|view| view.source.as_str()).collect();
    let columns = columns(connection, &sources).await?;
    for view in &views {
        sql += &view.sql(columns.get(&view.source).map_or("null", String::as_str));
    }
    sql += &survivors(&places);
    sql += &derived(&places);
    // Rows are for logins that are registered; who else may look at the schema sees none.
    let _ = writeln!(sql, "grant select on all tables in schema {SCHEMA} to public;");
    Ok(sql)
}

/// Makes the schema `analytics`, or makes it anew where read models have other columns than it shows.
///
/// # Errors
/// When the database fails.
pub async fn install(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('analytics', 0))").execute(&mut *connection).await?;
    let sql = definition(connection).await?;
    let views = sql.matches("\ncreate view ").count() as i64;
    let (digest, known): (String, bool) = sqlx::query_as(
        "select md5($1), coalesce(obj_description(to_regnamespace($2), 'pg_namespace') like '%' || md5($1)
             and (select count(*) from pg_class where relnamespace = to_regnamespace($2) and relkind = 'v') = $3, false)",
    )
    .bind(&sql)
    .bind(SCHEMA)
    .bind(views)
    .fetch_one(&mut *connection)
    .await?;
    if known {
        return Ok(());
    }
    let all = format!(
        "drop schema if exists {SCHEMA} cascade;\n{sql}
         comment on schema {SCHEMA} is 'What analysts query: docs/analysts.md. {digest}';
         do $$ declare login text; begin
             for login in select a.name from auth_analyst a join pg_roles r on r.rolname = a.name loop
                 execute format('grant usage on schema {SCHEMA} to %I', login);
             end loop;
         end $$;"
    );
    connection.execute(AssertSqlSafe(all)).await?;
    Ok(())
}

/// The same at the start of a process, where there are analysts; it does not wait long for those who are querying.
///
/// # Errors
/// When the database fails, or somebody queries for too long.
pub(crate) async fn renew(pool: &PgPool) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query("set local lock_timeout = '5s'").execute(&mut *transaction).await?;
    follow(&mut transaction).await?;
    transaction.commit().await
}

/// The same where there are analysts. While the table that serves is one of older code it may lack what a view shows: then
/// the schema is made once the next one serves.
///
/// # Errors
/// When the database fails.
pub(crate) async fn follow(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let there = "select to_regnamespace($1) is not null";
    if !sqlx::query_scalar::<_, bool>(there).bind(SCHEMA).fetch_one(&mut *connection).await? {
        return Ok(());
    }
    let mut savepoint = connection.begin().await?;
    match install(&mut savepoint).await {
        Ok(()) => savepoint.commit().await,
        // "undefined column".
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42703") => {
            tracing::info!(%error, "analysts see the rest once every read model serves");
            savepoint.rollback().await
        }
        Err(error) => Err(error),
    }
}
