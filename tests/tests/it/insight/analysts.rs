//! Analysts, who query with SQL: what their logins see, and that they see nothing else.

use std::collections::{BTreeMap, BTreeSet};

use deskfold_tests::{Client, Server, root};
use domain::{Authority, catalogue, kernel::access::Reach};
use projections::{Stands, lists};
use reqwest::StatusCode;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection, query, query_as, query_scalar};

use crate::{
    data::imports::{extract, history},
    ground::program::{failure, output},
    org::auth::user_with,
    world::{contact, everything, pages},
};

/// An analyst's login, and a client with the same secret.
pub(crate) struct Analyst {
    name: String,
    password: String,
    sql: PgConnection,
    http: Client,
}

impl Analyst {
    /// Roles are of the whole server, which tests share: each takes the name of its database with it.
    pub(crate) async fn add(server: &Server, name: &str, user: &str, more: &[&str]) -> Analyst {
        let database: String =
            query_scalar("select current_database()").fetch_one(&server.database.pool).await.unwrap();
        let name = format!("{name}_{database}");
        let url = &server.database.url;
        let mut arguments =
            vec!["analyst", "add", &name, "--database-url", url, "--tenant", &server.tenant, "--user", user];
        arguments.extend(more);
        let told = output(&arguments).await;
        let password = told.lines().find_map(|line| line.strip_prefix("password ")).unwrap().to_owned();
        let options = server.database.pool.connect_options();
        let options = options.as_ref().clone().username(&name).password(&password);
        let sql = PgConnection::connect_with(&options).await.unwrap();
        Analyst { http: server.client(&password), name, password, sql }
    }

    /// How SQLAlchemy is told of the login.
    pub(crate) fn url(&self, server: &Server) -> String {
        let options = server.database.pool.connect_options();
        let socket = options.get_socket().expect("the tests' PostgreSQL has a socket").display().to_string();
        let (database, port) = (options.get_database().expect("a database"), options.get_port());
        format!("postgresql+psycopg://{}:{}@/{database}?host={socket}&port={port}", self.name, self.password)
    }

    async fn ids(&mut self, statement: &str) -> BTreeSet<String> {
        let found: Vec<String> =
            query_scalar(AssertSqlSafe(statement.to_owned())).fetch_all(&mut self.sql).await.unwrap();
        found.into_iter().collect()
    }

    async fn refusal(&mut self, statement: &str) -> String {
        let error = query(AssertSqlSafe(statement.to_owned())).execute(&mut self.sql).await.unwrap_err();
        error.as_database_error().unwrap().code().unwrap().into_owned()
    }

    pub(crate) async fn remove(self, server: &Server) {
        self.sql.close().await.unwrap();
        output(&["analyst", "remove", &self.name, "--database-url", &server.database.url]).await;
    }
}

#[tokio::test]
async fn every_view_shows_what_the_key_sees_and_no_more() {
    let server = Server::start().await;
    let admin = &server.admin;
    let all = everything(&server, admin, "Word").await;
    contact(&server.another_tenant("Other").await, "Nobody of ours").await;
    let mut people = Vec::new();
    for (name, patterns) in
        [("own", ["*:own", "user.read"]), ("team", ["*:team", "team.read"]), ("none", ["user.read", "role.read"])]
    {
        let (user, client) = user_with(&server, &format!("{name}@example.com"), &patterns).await;
        if name != "none" {
            let mine = client.create("/v1/contacts", json!({ "name": "Mine" })).await;
            client.create("/v1/deals", json!({ "name": "Mine too", "contact": mine })).await;
            let share = json!({ "grantee": user, "level": "read" });
            for (kind, ids) in [("contacts", &all["contacts"]), ("properties", &all["properties"])] {
                admin.run(&format!("/v1/{kind}/{}/share", ids[0]), share.clone()).await;
            }
        }
        people.push(format!("{name}@example.com"));
    }
    people.push("admin@localhost".to_owned());
    server.settle().await;
    let mut seen = BTreeMap::new();
    for (number, user) in people.iter().enumerate() {
        let mut analyst = Analyst::add(&server, &format!("analyst{number}"), user, &[]).await;
        server.settle().await;
        let mut compared = 0;
        let mut known = BTreeSet::new();
        for list in lists().filter(|list| list.listed) {
            let hidden = list.columns.iter().filter(|column| column.hides).map(|column| match column.kind {
                domain::kernel::filter::FieldKind::Bool => format!(" and not {}", column.name),
                _ => format!(" and {} is null", column.name),
            });
            let hidden: String = hidden.collect();
            let ids = analyst.ids(&format!("select id from analytics.{} where true{hidden}", list.path)).await;
            known.extend(analyst.ids(&format!("select '{}-' || id from analytics.{}", list.read, list.path)).await);
            let path = format!("/v1/{}", list.path);
            let reply = analyst.http.get(&path).await;
            if reply.status == StatusCode::NOT_FOUND {
                // A part of a record has no list of its own.
                continue;
            }
            if reply.status == StatusCode::FORBIDDEN {
                assert_eq!(ids, BTreeSet::new(), "{user}: {path}");
                continue;
            }
            let told = pages(&analyst.http, &path).await;
            let told: BTreeSet<String> = told.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
            match list.stands {
                // What somebody has is told by who reads people, of whatever kind it is: here of kinds one may read.
                Stands::For(..) => assert!(ids.is_subset(&told), "{user}: {path}"),
                _ => assert_eq!(ids, told, "{user}: {path}"),
            }
            compared += 1;
        }
        assert!(compared > if number == 2 { 1 } else { 25 }, "{user}: {compared} lists");
        for facts in ["fact_moments", "fact_values", "fact_intervals"] {
            let of = analyst.ids(&format!("select distinct kind || '-' || record_id from analytics.{facts}")).await;
            assert!(of.is_subset(&known), "{user}: {facts} of {:?}", of.difference(&known));
        }
        let named = analyst.ids("select kind || '-' || id from analytics.names").await;
        assert!(named.is_subset(&known), "{user}: {:?}", named.difference(&known));
        seen.insert(user.as_str(), known.len());
        analyst.remove(&server).await;
    }
    assert!(seen["none@example.com"] < seen["own@example.com"] && seen["own@example.com"] < seen["admin@localhost"]);
}

#[tokio::test]
async fn a_login_reads_the_views_alone_and_nothing_once_its_key_or_its_user_is_gone() {
    let server = Server::start().await;
    let admin = &server.admin;
    contact(admin, "Ada").await;
    let role = admin.create("/v1/roles", json!({ "name": "Contacts", "permissions": ["contact.read"] })).await;
    let (user, _) = user_with(&server, "ben@example.com", &["*.read"]).await;
    let mut analyst = Analyst::add(&server, "ben", "ben@example.com", &["--role", "contacts", "--days", "2"]).await;
    server.settle().await;
    let contacts = "select id from analytics.contacts";
    assert_eq!(analyst.ids(contacts).await.len(), 1);
    assert_eq!(
        analyst.ids("select name from contacts").await,
        BTreeSet::from(["Ada".to_owned()]),
        "it is the usual schema"
    );
    assert_eq!(analyst.ids("select id from users").await, BTreeSet::new(), "the key's role bounds it");
    for refused in [
        "select * from public.read_contacts",
        "select * from public.log_event",
        "select * from public.auth_analyst",
        "select * from public.read_contacts_v1",
        "select pg_read_file('/etc/hostname')",
        "set role deskfold",
    ] {
        let code = analyst.refusal(refused).await;
        assert!(["42501", "42P01", "22023", "42704"].contains(&code.as_str()), "{refused}: {code}");
    }
    assert_eq!(analyst.refusal("create temporary table mine (id int)").await, "25006");
    query("set default_transaction_read_only = off").execute(&mut analyst.sql).await.unwrap();
    for refused in ["create table public.mine (id int)", "delete from contacts", "create table analytics.mine (id int)"]
    {
        assert!(["42501", "55000"].contains(&analyst.refusal(refused).await.as_str()), "{refused}");
    }
    let limits: (i32, bool, bool) =
        query_as("select rolconnlimit, rolsuper or rolcreaterole or rolbypassrls, rolvaliduntil is not null from pg_roles where rolname = $1")
            .bind(&analyst.name)
            .fetch_one(&server.database.pool)
            .await
            .unwrap();
    assert_eq!(limits, (5, false, true));
    let timeout: String = query_scalar("show statement_timeout").fetch_one(&mut analyst.sql).await.unwrap();
    assert_eq!(timeout, "1min");
    // The password is a key of the API, and never stands in a statement.
    analyst.http.get("/v1/contacts").await.expect(StatusCode::OK);
    let stored: String = query_scalar("select rolpassword from pg_authid where rolname = $1")
        .bind(&analyst.name)
        .fetch_one(&server.database.pool)
        .await
        .unwrap();
    assert!(stored.starts_with("SCRAM-SHA-256$4096:"), "{stored}");
    // A leaking function is asked only about rows that are seen.
    let guarded: i64 = query_scalar(
        "select count(*) from pg_class where relnamespace = 'analytics'::regnamespace and relkind = 'v'
         and not coalesce(reloptions @> array['security_barrier=true'], false)",
    )
    .fetch_one(&server.database.pool)
    .await
    .unwrap();
    assert_eq!(guarded, 1, "fact_intervals, which is made of another");

    let body = json!({ "add": ["user.read"], "remove": ["contact.read"] });
    admin.run(&format!("/v1/roles/{role}/change_permissions"), body).await;
    server.settle().await;
    assert_eq!(analyst.ids(contacts).await.len(), 0, "its role permits it no longer");
    assert!(analyst.ids("select id from users").await.len() > 1);
    admin.run(&format!("/v1/users/{user}/deactivate"), json!({})).await;
    server.settle().await;
    assert_eq!(analyst.ids("select id from users").await.len(), 0, "its user is gone");
    admin.run(&format!("/v1/users/{user}/activate"), json!({})).await;
    server.settle().await;
    assert!(analyst.ids("select id from users").await.len() > 1);
    let keys = admin.read("/v1/api_keys").await;
    let key =
        keys["data"].as_array().unwrap().iter().find(|key| key["name"] == format!("analyst {}", analyst.name)).unwrap();
    admin.run(&format!("/v1/api_keys/{}/revoke", key["id"].as_str().unwrap()), json!({})).await;
    server.settle().await;
    assert_eq!(analyst.ids("select id from users").await.len(), 0, "its key is revoked");
    assert_eq!(analyst.ids("select tenant_id from me").await.len(), 0);

    let url = &server.database.url;
    let listed = output(&["analyst", "list", "--database-url", url]).await;
    assert!(listed.contains(&analyst.name) && listed.lines().count() == 1, "{listed}");
    let again = ["analyst", "add", &analyst.name, "--database-url", url, "--user", "admin@localhost"];
    assert!(failure(&again).await.contains("already"));
    assert!(
        failure(&["analyst", "add", "Dr. No", "--database-url", url, "--user", "admin@localhost"])
            .await
            .contains("lower-case")
    );
    assert!(
        failure(&["analyst", "remove", "nobody", "--database-url", url]).await.contains("there is no analyst nobody")
    );
    let name = analyst.name.clone();
    analyst.remove(&server).await;
    let left: i64 = query_scalar("select count(*) from pg_roles where rolname = $1")
        .bind(&name)
        .fetch_one(&server.database.pool)
        .await
        .unwrap();
    assert_eq!(left, 0);
    assert_eq!(output(&["analyst", "list", "--database-url", url]).await, "");
}

/// What the pure function says of patterns, SQL says of the same patterns.
#[tokio::test]
async fn what_roles_reach_is_the_same_in_sql() {
    let server = Server::start().await;
    let sets: [&[&str]; 9] = [
        &["*.read", "*.read_any"],
        &["quick_reply.*", "quick_reply.read_any:team"],
        &["*"],
        &["*.read"],
        &["*:own", "ticket.*:team", "contact.read"],
        &["ticket.read:own", "ticket.assign", "deal.*:team", "deal.read:own"],
        &["*.read:team", "user.*"],
        &["comment.edit:own"],
        &["*:own", "*.read:team", "lead.read"],
    ];
    let reach = |authority: &Authority| {
        let mut sets: BTreeMap<Reach, BTreeSet<&str>> = BTreeMap::new();
        for kind in catalogue::kinds() {
            if let Some(reach) = authority.reach(&format!("{}.read", kind.name)) {
                sets.entry(if kind.open.is_some() { Reach::All } else { reach }).or_default().insert(kind.name);
            }
        }
        [Reach::All, Reach::Team, Reach::Own].map(|reach| sets.remove(&reach).unwrap_or_default())
    };
    let authority = |patterns: &[&str]| Authority::of(&patterns.iter().map(|pattern| (*pattern).to_owned()).collect());
    for (number, patterns) in sets.iter().enumerate() {
        let email = format!("user{number}@example.com");
        user_with(&server, &email, patterns).await;
        let bound = sets[(number + 2) % sets.len()];
        let name = format!("Bound {number}");
        server.admin.create("/v1/roles", json!({ "name": name, "permissions": bound })).await;
        let role = std::sync::Arc::new(domain::org::role::Role {
            name: Some(name.clone()),
            permissions: bound.iter().map(|pattern| (*pattern).to_owned()).collect(),
            deleted: false,
        });
        for (more, expected) in
            [(vec![], authority(patterns)), (vec!["--role", name.as_str()], authority(patterns).within(role))]
        {
            let mut analyst = Analyst::add(&server, "reach", &email, &more).await;
            server.settle().await;
            let found: (Vec<String>, Vec<String>, Vec<String>) =
                query_as("select all_of, team_of, own_of from analytics.me").fetch_one(&mut analyst.sql).await.unwrap();
            let found = [found.0, found.1, found.2].map(BTreeSet::from_iter);
            let expected = reach(&expected).map(|set| set.into_iter().map(ToOwned::to_owned).collect::<BTreeSet<_>>());
            assert_eq!(found, expected, "{patterns:?} within {more:?}: {bound:?}");
            analyst.remove(&server).await;
        }
    }
}

/// What docs/read-schema.md says is what there is; `DESKFOLD_DOCS=write` writes it.
#[tokio::test]
async fn the_document_of_the_schema_is_true() {
    let server = Server::start().await;
    let mut transaction = server.database.pool.begin().await.unwrap();
    projections::analytics::install(&mut transaction).await.unwrap();
    let columns: Vec<(String, String, String, String, Option<String>)> = query_as(
        "select c.relname::text, coalesce(obj_description(c.oid, 'pg_class'), ''), a.attname::text,
             format_type(a.atttypid, a.atttypmod), col_description(c.oid, a.attnum)
         from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
         where c.relnamespace = 'analytics'::regnamespace order by c.relname, a.attnum",
    )
    .fetch_all(&mut *transaction)
    .await
    .unwrap();
    let mut said = "# The schema `analytics`\n\nWhat analysts query: see [analysts.md](analysts.md). A test holds this page true.\n".to_owned();
    let mut last = String::new();
    for (view, of_view, column, of_type, says) in columns {
        let says = says.unwrap_or_else(|| panic!("analytics.{view}.{column} is not explained"));
        if view != last {
            assert_ne!(of_view, "", "analytics.{view} is not explained");
            said += &format!("\n## {view}\n\n{of_view}\n\n| column | type | |\n|---|---|---|\n");
            last = view;
        }
        said += &format!("| `{column}` | {of_type} | {} |\n", says.replace('|', "\\|"));
    }
    let path = root().join("docs/read-schema.md");
    if std::env::var("DESKFOLD_DOCS").is_ok_and(|value| value == "write") {
        std::fs::write(&path, &said).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), said, "DESKFOLD_DOCS=write writes it");
}

/// Apache Superset knows the desk by a login, draws a chart of it, and has the numbers that a report has. `make superset` installs it;
/// the chart is then in target/artefacts.
#[tokio::test]
async fn superset_draws_a_chart_of_what_a_login_sees() {
    let program = root().join("target/superset/bin/python");
    if !program.exists() {
        eprintln!("SKIPPED: Superset is not installed; `make superset` installs it into target/superset and runs this");
        return;
    }
    let server = Server::start().await;
    history(&server.admin, &extract()).await;
    server.settle().await;
    let asked = json!({ "of": "ticket", "measures": ["opened"], "dimensions": ["status"], "values": "now" });
    let report = server.admin.post("/v1/reports/run", asked).await.expect(StatusCode::OK);
    let rows = report["rows"].as_array().unwrap().iter();
    let counts: serde_json::Map<String, serde_json::Value> =
        rows.map(|row| (row["key"]["status"].as_str().unwrap().to_owned(), row["values"]["opened"].clone())).collect();
    let analyst = Analyst::add(&server, "superset", "admin@localhost", &[]).await;
    let artefacts = root().join("target/artefacts");
    std::fs::create_dir_all(&artefacts).unwrap();
    let mut work = std::process::Command::new(program);
    work.arg(root().join("tests/superset.py")).arg(analyst.url(&server).replace("psycopg:", "psycopg2:"));
    work.arg(&artefacts).arg("chromium").stdin(std::process::Stdio::null());
    let output = tokio::task::spawn_blocking(move || work.output().unwrap()).await.unwrap();
    analyst.remove(&server).await;
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let drawn: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(drawn, serde_json::Value::Object(counts));
    assert!(std::fs::metadata(artefacts.join("superset.png")).unwrap().len() > 5_000);
}
