//! What somebody sees of records, in SQL: the same as [`Viewer::sees`] says of one record, for lists, totals and feeds.
//!
//! Whoever sees few records is shown those, found by the index of what is his; whoever sees many is asked about each
//! record on the way, in the order of the list.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use domain::{
    Id, catalogue,
    kernel::{
        access::{EVERYBODY, FOLLOWING, Reach, STEPS, Viewer},
        reference::Subject,
    },
};
use sqlx::{AssertSqlSafe, PgConnection, PgExecutor};

use crate::{
    List,
    kernel::{
        access::{held_by, shared_with},
        sql::{Bound, Sql},
    },
};

/// Most records that are looked for one by one.
const FEW: i64 = 2000;
/// Most records of one's own among which those of a list are looked for.
const SOME: i64 = 20_000;

/// The common table of the records that are sought for, and the one that says whether they are few: whoever sees more has none in
/// the first.
pub(crate) const MINE: &str = "mine";
pub(crate) const IS_FEW: &str = "is_few";

/// What of a list's row is the record that somebody must see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// The row itself.
    Itself,
    /// The record of the list's kind that this column names: the row is a part of it.
    PartOf(&'static str),
    /// The record whose kind and id these columns name.
    For(&'static str, &'static str),
}

/// What somebody sees.
#[derive(Clone, Debug, Default)]
pub enum Sight {
    /// Whatever the permissions name.
    #[default]
    Everything,
    /// What the permissions reach.
    Walled(Arc<Walls>),
}

/// How far somebody sees, by kind of record, and by what.
#[derive(Debug)]
pub struct Walls {
    user: Id,
    kinds: BTreeMap<&'static str, Reach>,
    own: Vec<String>,
    team: Vec<String>,
}

impl Sight {
    /// That of a viewer.
    pub fn of(viewer: &Viewer<'_>) -> Sight {
        if !viewer.authority.is_walled() {
            return Sight::Everything;
        }
        // Without a scope nothing is out of reach but what is somebody's alone: what is permitted at all is asked elsewhere.
        let otherwise = (!viewer.authority.is_scoped()).then_some(Reach::All);
        let reach = |kind: &catalogue::Kind| {
            let reach = viewer.authority.reach(&format!("{}.read", kind.name)).or(otherwise)?;
            Some((kind.name, if kind.open.is_some() { Reach::All } else { reach }))
        };
        let teams = viewer.teams.of(viewer.user);
        let mut own = vec![held_by(viewer.user), shared_with(viewer.user), shared_with(EVERYBODY)];
        own.extend(teams.iter().copied().chain(viewer.teams.channels_of(viewer.user)).map(shared_with));
        let further = teams.iter().copied().chain(viewer.teams.colleagues(viewer.user)).map(held_by);
        let team = own.iter().cloned().chain(further).collect();
        let kinds = catalogue::kinds().filter_map(reach).collect();
        Sight::Walled(Arc::new(Walls { user: viewer.user, kinds, own, team }))
    }
}

/// What of a list somebody sees, once it is known how much that is, and what of others.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    /// All of it.
    Everything(Sight),
    /// These records.
    Few(Few),
    /// Those that the common table [`MINE`] of the same statement has: it is not known yet how many they are.
    Sought(Sight),
    /// What is asked about record by record.
    Many(Sight),
}

/// Few records that somebody sees, and what of others.
#[derive(Clone, Debug)]
pub(crate) struct Few {
    ids: Vec<String>,
    sight: Sight,
}

impl Few {
    /// The records.
    pub(crate) fn ids(&self) -> &[String] {
        &self.ids
    }
}

/// Where in a statement what [`Walls`] says of somebody stands, and the tenant.
pub(crate) struct Places {
    tenant: String,
    own: String,
    team: String,
    all: String,
    of_own: String,
    of_team: String,
}

impl Walls {
    fn kinds(&self, reach: Reach) -> Vec<String> {
        let of = self.kinds.iter().filter(|(_, known)| **known == reach);
        of.map(|(kind, _)| (*kind).to_owned()).collect()
    }

    /// What is bound, in the order of [`Places::from`].
    fn values(&self) -> [Vec<String>; 5] {
        [self.own.clone(), self.team.clone(), self.kinds(Reach::All), self.kinds(Reach::Own), self.kinds(Reach::Team)]
    }
}

impl Places {
    /// Those that begin with this number.
    fn from(first: usize) -> Places {
        let place = |further: usize| format!("${}::text[]", first + further);
        let (own, team, all, of_own, of_team) = (place(0), place(1), place(2), place(3), place(4));
        Places { tenant: "$1".to_owned(), own, team, all, of_own, of_team }
    }

    /// Those of somebody of whom a view has one row, under these names.
    pub(crate) fn told_by(view: &str) -> Places {
        let set = |column: &str| format!("(select {column} from {view})::text[]");
        Places {
            tenant: format!("(select tenant_id from {view})"),
            own: set("own"),
            team: set("team"),
            all: set("all_of"),
            of_own: set("own_of"),
            of_team: set("team_of"),
        }
    }

    /// Whether a record of this kind with this id, both SQL, is seen.
    pub(crate) fn sees(&self, kind: &str, id: &str) -> String {
        self.within(kind, id, STEPS)
    }

    fn within(&self, kind: &str, id: &str, steps: usize) -> String {
        let Places { tenant, own, team, all, of_own, of_team } = self;
        let held = |principals: &str| {
            format!(
                "exists (select from read_record_principal g where g.tenant_id = {tenant} and g.kind = {kind} \
                 and g.record_id = {id} and g.principal = any ({principals}) and g.holds)"
            )
        };
        let about = match steps.checked_sub(1) {
            None => String::new(),
            Some(steps) => {
                let a = format!("a{steps}");
                let subject = self.within(&format!("{a}.about_kind"), &format!("{a}.about_id"), steps);
                format!(
                    " or ({kind} = any ({of_own}) or {kind} = any ({of_team})) and exists (select from read_record_about {a} \
                     where {a}.tenant_id = {tenant} and {a}.kind = {kind} and {a}.record_id = {id} and {a}.holds and {} and {subject})",
                    opens(&a, tenant),
                )
            }
        };
        format!(
            "({kind} = any ({all}) or {kind} = any ({of_own}) and {} or {kind} = any ({of_team}) and {}{about})",
            held(own),
            held(team),
        )
    }
}

/// Whether what a record is about, a row of `read_record_about` under this alias, opens it: what everybody sees does only
/// where all that it is about is such.
fn opens(a: &str, tenant: &str) -> String {
    static OPEN: LazyLock<String> = LazyLock::new(|| {
        let open = catalogue::kinds().filter(|kind| kind.open.is_some()).map(|kind| kind.name);
        open.collect::<Vec<_>>().join(",")
    });
    let closed = |row: &str| format!("{row}.about_kind <> all ('{{{}}}')", *OPEN);
    format!(
        "({} or not exists (select from read_record_about o where o.tenant_id = {tenant} and o.kind = {a}.kind \
         and o.record_id = {a}.record_id and o.holds and {}))",
        closed(a),
        closed("o")
    )
}

/// The kind whose records a list shows, if they are all of one.
fn kind_of(list: &List) -> Option<&'static str> {
    match list.stands {
        Stands::For(..) => None,
        Stands::Itself | Stands::PartOf(_) => Some(list.read),
    }
}

impl Sight {
    /// Whether a record of this kind with this id, both SQL, is seen. `$1` is the tenant; placeholders from `first` on
    /// take [`Sight::values`].
    pub(crate) fn sees(&self, first: usize, kind: &str, id: &str) -> String {
        match self {
            Sight::Everything => "true".to_owned(),
            Sight::Walled(_) => Places::from(first).sees(kind, id),
        }
    }

    /// What is bound for [`Sight::sees`], in order.
    pub(crate) fn values(&self) -> Vec<Vec<String>> {
        match self {
            Sight::Everything => Vec::new(),
            Sight::Walled(walls) => walls.values().into(),
        }
    }

    /// What somebody sees of a list.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn over(&self, list: &List, db: &mut PgConnection, tenant: Id) -> Result<Seen, sqlx::Error> {
        match kind_of(list) {
            Some(kind) => self.over_kind(kind, db, tenant).await,
            None => Ok(match self {
                Sight::Everything => Seen::Everything(Sight::Everything),
                Sight::Walled(_) => Seen::Many(self.clone()),
            }),
        }
    }

    /// What somebody sees of the records of a kind.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn over_kind(&self, kind: &str, db: &mut PgConnection, tenant: Id) -> Result<Seen, sqlx::Error> {
        let sight = self.clone();
        let Sight::Walled(walls) = self else { return Ok(Seen::Everything(sight)) };
        match walls.kinds.get(kind) {
            None => Ok(Seen::Few(Few { ids: Vec::new(), sight })),
            Some(Reach::All) => Ok(Seen::Everything(sight)),
            Some(_) => Ok(match walls.few(kind, db, tenant).await? {
                Some(ids) => Seen::Few(Few { ids, sight }),
                None => Seen::Many(sight),
            }),
        }
    }

    /// What somebody sees of a list, if it may be few records, sought for by the statement that finds the rows: that is one
    /// statement less, and no ids go to and fro. Its common tables take what is bound next to the tenant.
    pub(crate) fn sought(&self, list: &List, sql: &mut Sql) -> Option<Seen> {
        let Sight::Walled(walls) = self else { return None };
        let kind = kind_of(list)?;
        if matches!(walls.kinds.get(kind)?, Reach::All) || sql.values.len() != 1 || sql.past.is_some() {
            return None;
        }
        sql.values.extend(walls.values().map(Bound::Texts));
        sql.values.push(kind.into());
        let (found, some) = Walls::finds(kind);
        sql.is_recursive = true;
        sql.push(&format!(
            "{found}, {IS_FEW} (is_few) as materialized (select (select count(*) from seed) < {some} and (select count(*) from found) <= {FEW}),
             {MINE} (ids) as materialized (select array(select record_id from found) from {IS_FEW} where is_few)"
        ));
        sql.common();
        Some(Seen::Sought(self.clone()))
    }

    /// Whether the names of all records of a kind may be told, or of none; `None` where it depends on the record. Those of kinds
    /// that are open are told wherever they stand.
    pub(crate) fn of_kind(&self, kind: &str) -> Option<bool> {
        let Sight::Walled(walls) = self else { return Some(true) };
        let is_open = || catalogue::kind(kind).is_some_and(|kind| kind.open.is_some());
        match walls.kinds.get(kind) {
            Some(Reach::All) => Some(true),
            Some(_) => None,
            None => Some(is_open()),
        }
    }

    /// Whether this is whoever asks.
    pub(crate) fn is_oneself(&self, id: Id) -> bool {
        matches!(self, Sight::Walled(walls) if walls.user == id)
    }

    /// Those of the records that are seen.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn among(
        &self,
        db: impl PgExecutor<'_>,
        tenant: Id,
        records: BTreeSet<Subject>,
    ) -> Result<BTreeSet<Subject>, sqlx::Error> {
        if matches!(self, Sight::Everything) || records.is_empty() {
            return Ok(records);
        }
        let statement = format!(
            "select s.kind, s.id from unnest($2::text[], $3::text[]) s (kind, id) where {}",
            self.sees(4, "s.kind", "s.id")
        );
        let (kinds, ids): (Vec<String>, Vec<String>) =
            records.into_iter().map(|record| (record.kind, record.id.to_string())).unzip();
        let mut query = sqlx::query_as(AssertSqlSafe(statement)).bind(tenant.to_string()).bind(kinds).bind(ids);
        for value in self.values() {
            query = query.bind(value);
        }
        let seen: Vec<(String, String)> = query.fetch_all(db).await?;
        Ok(seen.into_iter().filter_map(|(kind, id)| Some(Subject::new(&kind, id.parse().ok()?))).collect())
    }
}

impl Walls {
    /// The common tables that find the records of a kind that are seen, one's own and what is about them, the last of them `found`;
    /// and how many may be begun with. `$1` is the tenant, `$2` to `$6` are [`Walls::values`], `$7` the kind.
    fn finds(kind: &str) -> (String, i64) {
        // What is about others is found among all that is one's own.
        let follows = FOLLOWING.contains(&kind);
        let (seeds, some) = if follows { ("", SOME) } else { (" and g.kind = $7", FEW + 1) };
        let own = |number: usize, kinds: usize| {
            format!(
                "(select g.kind, g.record_id, 0 from read_record_principal g where g.tenant_id = $1 \
                 and g.principal = any (${number}::text[]) and g.kind = any (${kinds}::text[]){seeds} and g.holds limit {some})"
            )
        };
        let open = if follows {
            format!(
                " union all (select a.kind, a.record_id, 1 from read_record_about a where a.tenant_id = $1 \
                 and a.about_kind = any ($4::text[]) and (a.kind = any ($5::text[]) or a.kind = any ($6::text[])) \
                 and a.holds and {} limit {some})",
                opens("a", "$1"),
            )
        } else {
            " union all select null, null, null where $4::text[] is null".to_owned()
        };
        let tables = format!(
            "seed (kind, record_id, step) as materialized ({} union all {}{open}),
             seen (kind, record_id, step) as (
                 select kind, record_id, step from seed
                 union
                 select a.kind, a.record_id, s.step + 1 from seen s
                 join read_record_about a on a.tenant_id = $1 and a.about_kind = s.kind and a.about_id = s.record_id
                 where a.holds and {} and s.step < {STEPS} and (a.kind = any ($5::text[]) or a.kind = any ($6::text[]))
             ),
             found (record_id) as materialized (select distinct record_id from seen where kind = $7 limit {})",
            own(2, 5),
            own(3, 6),
            opens("a", "$1"),
            FEW + 1,
        );
        (tables, some)
    }

    /// The records of a kind that are seen, if they are few: one's own, and what is about them.
    async fn few(&self, kind: &str, db: &mut PgConnection, tenant: Id) -> Result<Option<Vec<String>>, sqlx::Error> {
        let (tables, some) = Walls::finds(kind);
        let statement = format!("with recursive {tables} select record_id, (select count(*) from seed) from found");
        let mut query = sqlx::query_as(AssertSqlSafe(statement)).bind(tenant.to_string());
        for value in self.values() {
            query = query.bind(value);
        }
        let found: Vec<(String, i64)> = query.bind(kind).fetch_all(db).await?;
        let most = found.first().is_some_and(|(_, seeds)| *seeds >= some);
        Ok((!most && found.len() as i64 <= FEW).then(|| found.into_iter().map(|(id, _)| id).collect()))
    }
}

impl Seen {
    /// What is seen of other records.
    pub(crate) fn sight(&self) -> &Sight {
        match self {
            Seen::Everything(sight) | Seen::Many(sight) | Seen::Sought(sight) => sight,
            Seen::Few(few) => &few.sight,
        }
    }

    /// The records that are seen, where they are few.
    pub(crate) fn ids(&self) -> Option<&[String]> {
        match self {
            Seen::Few(few) => Some(&few.ids),
            Seen::Everything(_) | Seen::Many(_) | Seen::Sought(_) => None,
        }
    }

    /// Whether the rows of a page are looked for by their ids and then put in order.
    pub(crate) fn is_by_ids(&self) -> bool {
        matches!(self, Seen::Few(_) | Seen::Sought(_))
    }

    /// Adds the condition to those of a list, whose rows are `t`.
    pub(crate) fn condition(&self, list: &List, sql: &mut Sql) {
        let column = match list.stands {
            Stands::Itself => "t.id".to_owned(),
            Stands::PartOf(column) => format!("t.{column}"),
            Stands::For(_, id) => format!("t.{id}"),
        };
        match self {
            Seen::Everything(_) => {}
            Seen::Few(Few { ids, .. }) => {
                sql.push(" and ").push(&column).push(" = any (").bind(Bound::Texts(ids.clone())).push("::text[])");
            }
            Seen::Sought(_) => {
                sql.push(&format!(" and {column} = any ((select ids from {MINE})::text[])"));
            }
            Seen::Many(sight) => {
                let first = sql.values.len() + 1;
                sql.values.extend(sight.values().into_iter().map(Bound::Texts));
                let kind = match list.stands {
                    Stands::For(kind, _) => format!("t.{kind}"),
                    _ => format!("'{}'::text collate \"C\"", list.read),
                };
                sql.push(" and ").push(&sight.sees(first, &kind, &column));
            }
        }
    }
}
