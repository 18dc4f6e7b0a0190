//! What a search finds: candidates by an index, the newest first and never more than a few hundred; then the records that they
//! lead to, as whoever asks sees them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::{
    Country, Id, Time,
    kernel::{
        filter::{Filter, Scalar},
        merging, phone,
        reference::Subject,
        search::{
            Piece, Query, Wanted,
            marked::{beginning, marked},
            words::quoted,
        },
    },
};
use jiff_sqlx::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use super::{SPANS, author_mark, kind_mark, span_mark, tenant_mark};
use crate::{
    Error, List, ListRequest, Sight,
    kernel::{
        list, redirects,
        sight::Seen,
        sql::{Bound, Sql},
    },
};

/// Most rows that are looked at closely, of whatever many match.
const CANDIDATES: usize = 300;
/// So many rows are enough, of whatever many match: for few hits of each kind, and for many.
const MANY: (usize, usize) = (60, CANDIDATES);
/// Most records that are looked for one by one.
const FEW: i64 = 2000;
/// Enough records: what is looked for less exactly is not looked for then.
const ENOUGH: usize = 5;
/// Most rows that are looked at for a phrase, once it is found at all.
const LOOKED: i64 = 2_000;
/// Which size of spans tells how many rows have the words of a phrase.
const DENSE: usize = 1;
/// Most kinds that are looked for by their marks.
const FEW_KINDS: usize = 3;
/// Most terms that are looked for apart from each other.
const APART: usize = 5;
/// Most letters of a fragment.
const FRAGMENT: usize = 180;
/// Letters of a title that are shown at most.
const TITLE: usize = 200;

/// What is asked.
#[derive(Debug)]
pub struct Asked {
    /// What is searched for.
    pub query: Query,
    /// In records of which kinds: those that may be read.
    pub kinds: Vec<&'static str>,
    /// Of kinds whose records must meet conditions besides.
    pub only: BTreeMap<&'static str, Only>,
    /// Who must have written it: messages alone.
    pub writers: Option<Vec<Id>>,
    /// Records of each kind.
    pub limit: usize,
    /// Whether what is put away is found too.
    pub archived: bool,
    /// Whether what only colleagues may see is left out.
    pub outside: bool,
    /// Where phone numbers are written without their country's code.
    pub country: Option<Country>,
    /// What whoever asks sees.
    pub sight: Sight,
}

/// The conditions that records of a kind must meet: a part of its list.
#[derive(Debug)]
pub struct Only {
    /// The list.
    pub list: &'static List,
    /// What is asked of it.
    pub request: ListRequest,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Page {
    /// By kind, the best first.
    pub data: Vec<Group>,
    /// Whether nothing matches as it was typed, and what is told is merely similar.
    pub similar: bool,
}

/// What was found of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Group {
    /// The kind.
    pub kind: String,
    /// How many records were found.
    pub count: usize,
    /// Whether there are more than were counted: of what many records have, the newest alone are looked at.
    pub more: bool,
    /// The best of them, the best first.
    pub hits: Vec<Hit>,
}

/// A record that was found.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Hit {
    /// Its kind.
    pub kind: String,
    /// Its id.
    pub id: Id,
    /// What it is called, those parts told that match; empty where it has no name.
    pub title: Vec<Piece>,
    /// Its number, where it has one.
    pub number: Option<i64>,
    /// When anything last happened to it.
    pub happened_at: Time,
    /// Whether it is put away.
    pub archived: bool,
    /// The record merged into this one in which it was found.
    pub merged: Option<Id>,
    /// What it is about: of comments.
    pub about: Option<Subject>,
    /// Whether it was found by its number.
    pub exact: bool,
    /// Where else it matches.
    pub fragments: Vec<Fragment>,
}

/// A part of a text that matches.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Fragment {
    /// The attribute; `body` of a message.
    pub field: String,
    /// The message, note or remark; none for an attribute of the record itself.
    pub part: Option<Id>,
    /// Who wrote it.
    pub writer: Option<Writer>,
    /// Its text, cut to where it matches.
    pub text: Vec<Piece>,
}

/// Who wrote something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Writer {
    /// What sort of author.
    pub kind: String,
    /// The user, contact, rule or key.
    pub id: Option<Id>,
}

/// A row that matches.
#[derive(Clone, Debug, sqlx::FromRow)]
struct Found {
    id: String,
    kind: String,
    record_id: String,
    part: Option<String>,
    rank: f32,
    exact: bool,
}

/// Which records are looked at.
#[derive(Debug, Default)]
struct Scope {
    /// All of these kinds.
    whole: Vec<String>,
    /// These records, by kind.
    few: BTreeMap<&'static str, Vec<String>>,
    /// What is seen of these kinds.
    seen: Vec<String>,
    /// What meets conditions, of these kinds.
    met: Vec<(&'static str, &'static List, Filter)>,
}

impl Scope {
    async fn of(asked: &Asked, db: &mut PgConnection, tenant: Id) -> Result<Scope, Error> {
        let mut scope = Scope::default();
        for kind in &asked.kinds {
            if let Some(Only { list, request }) = asked.only.get(kind) {
                let ids = list::ids(list, db, tenant, request, FEW).await?;
                match i64::try_from(ids.len()).unwrap_or(i64::MAX) > FEW {
                    true => {
                        let filter = redirects::followed(list, &mut *db, tenant, &request.filter, None).await?;
                        scope.met.push((kind, list, filter));
                    }
                    false => drop(scope.few.insert(kind, ids)),
                }
                continue;
            }
            match asked.sight.of_kind(kind) {
                Some(true) => scope.whole.push((*kind).to_owned()),
                Some(false) => {}
                None => {
                    let list = crate::lists().find(|list| list.lists(kind));
                    let seen = match list {
                        Some(list) => asked.sight.over(list, db, tenant).await?,
                        None => Seen::Many(asked.sight.clone()),
                    };
                    match seen.ids() {
                        Some(ids) => drop(scope.few.insert(kind, ids.to_vec())),
                        None => scope.seen.push((*kind).to_owned()),
                    }
                }
            }
        }
        Ok(scope)
    }

    /// Whether all of it is a few records.
    fn is_few(&self) -> bool {
        self.whole.is_empty() && self.seen.is_empty() && self.met.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.is_few() && self.few.values().all(Vec::is_empty)
    }

    /// Adds the condition that a row `s` is of one of these records.
    fn condition(&self, asked: &Asked, sql: &mut Sql) {
        sql.push(" and (s.kind = any (").bind(Bound::Texts(self.whole.clone())).push("::text[])");
        for (kind, ids) in &self.few {
            sql.push(" or s.kind = ").bind(*kind).push(" and s.record_id = any (");
            sql.bind(Bound::Texts(ids.clone())).push("::text[])");
        }
        if !self.seen.is_empty() {
            sql.push(" or s.kind = any (").bind(Bound::Texts(self.seen.clone())).push("::text[]) and ");
            self.sees(asked, sql);
        }
        for (kind, list, filter) in &self.met {
            sql.columns = list.columns;
            sql.push(" or s.kind = ").bind(*kind).push(" and exists (select");
            list::condition(list, sql, filter, &Seen::Everything(asked.sight.clone()), &[]);
            sql.push(" and t.id = s.record_id)");
            if asked.sight.of_kind(kind) != Some(true) {
                sql.push(" and ");
                self.sees(asked, sql);
            }
        }
        sql.push(")");
    }

    fn sees(&self, asked: &Asked, sql: &mut Sql) {
        let first = sql.values.len() + 1;
        sql.values.extend(asked.sight.values().into_iter().map(Bound::Texts));
        sql.push(&asked.sight.sees(first, "s.kind", "s.record_id"));
    }
}

/// How closely words are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// In all their forms; what is being typed as a beginning of names.
    Usual,
    /// And what is being typed as a beginning of any word.
    Wide,
}

struct Finder<'a> {
    asked: &'a Asked,
    scope: Scope,
    tenant: Id,
    /// How far the read model has come.
    position: i64,
}

impl Finder<'_> {
    /// A statement whose first value is the tenant, as whoever asks sees records.
    fn sql(&self) -> Sql {
        let mut sql = Sql::default();
        sql.sight = self.asked.sight.clone();
        sql.values.push(Scalar::Text(self.tenant.to_string()).into());
        sql
    }

    fn tsquery<'w>(&self, wanted: impl IntoIterator<Item = &'w Wanted>, way: Way, between: &str) -> String {
        let spellings = |digits: &str| phone::spellings(digits, self.asked.country);
        let abroad = |digits: &str| {
            let mut all = spellings(digits);
            all.extend(spellings(&format!("+{digits}")));
            all
        };
        let each: Vec<String> =
            wanted.into_iter().map(|wanted| format!("({})", wanted.tsquery(&abroad, way == Way::Wide))).collect();
        each.join(between)
    }

    /// Marks by which what is rare is found among all else: of few kinds, and of those who wrote.
    fn narrowed(&self) -> String {
        let any = |marks: Vec<String>| {
            let marks: Vec<String> = marks.iter().map(|mark| quoted(mark)).collect();
            format!(" & ({})", marks.join(" | "))
        };
        let mut narrowed = String::new();
        if self.asked.kinds.len() <= FEW_KINDS {
            narrowed += &any(self.asked.kinds.iter().map(|kind| kind_mark(kind)).collect());
        }
        if let Some(writers) = &self.asked.writers {
            narrowed += &any(writers.iter().map(|writer| author_mark(*writer)).collect());
        }
        narrowed
    }

    /// The rows that match, the newest of them, and whether there may be more.
    async fn newest(&self, db: &mut PgConnection, words: &str) -> Result<(Vec<Found>, bool), Error> {
        if self.scope.is_few() {
            let mut found = self.rows(db, words, words).await?;
            let more = found.len() > CANDIDATES;
            found.truncate(CANDIDATES);
            return Ok((found, more));
        }
        let many = (self.asked.limit * 12).clamp(MANY.0, MANY.1);
        let narrowed = self.narrowed();
        let within = |words: &str, place: usize| {
            let (marks, all) = self.span(place);
            (format!("({words}) & {marks}{narrowed}"), all)
        };
        let whole = || format!("({words}){narrowed}");
        // An index knows no order: whatever has all words of a phrase is looked at.
        let apart = words.replace(" <-> ", " & ");
        let mut dense = None;
        let mut place = 0;
        let (mut found, cut) = loop {
            let (mut matching, all) = within(words, place);
            if all && self.is_most(db).await? {
                matching = whole();
            }
            let found = self.rows(db, &matching, words).await?;
            if found.len() >= many || all {
                break (found, !all);
            }
            let mut next = further(place, found.len(), many);
            if apart != words {
                let dense = match dense {
                    Some(dense) => dense,
                    None => *dense.insert(self.count(db, &within(&apart, DENSE).0).await?),
                };
                while next > place + 1 && self.looked_at(next, dense) > LOOKED {
                    next -= 1;
                }
                if !found.is_empty() && self.looked_at(next, dense) > LOOKED {
                    break (found, true);
                }
            }
            place = next;
        };
        let more = cut || found.len() > CANDIDATES;
        found.truncate(CANDIDATES);
        Ok((found, more))
    }

    /// The marks of the newest two spans of a size, and whether these are all there is; beyond the last size, all of the tenant.
    fn span(&self, place: usize) -> (String, bool) {
        let tenant = tenant_mark(&self.tenant.to_string());
        let Some(bits) = SPANS.get(place) else { return (quoted(&tenant), true) };
        let last = self.position >> bits;
        let spans = [last, last - 1].into_iter().filter(|span| *span >= 0);
        let marks: Vec<String> = spans.map(|span| quoted(&span_mark(&tenant, *bits, span))).collect();
        (format!("({})", marks.join(" | ")), last <= 1)
    }

    /// Whether a good part of all rows is the tenant's, as far as the database has counted: its mark, which nearly all of them have, narrows
    /// nothing down then, and takes long to read.
    async fn is_most(&self, db: &mut PgConnection) -> Result<bool, Error> {
        let mut rows = [0.0; 2];
        for (rows, which) in rows.iter_mut().zip([format!("where tenant_id = '{}'", self.tenant), String::new()]) {
            let planned = format!("explain (format json) select from read_search {which}");
            let plan: serde_json::Value =
                sqlx::query_scalar(AssertSqlSafe(planned)).persistent(false).fetch_one(&mut *db).await?;
            *rows = plan[0]["Plan"]["Plan Rows"].as_f64().unwrap_or_default();
        }
        Ok(rows[0] * 4.0 >= rows[1])
    }

    /// How many rows are looked at in the newest spans of a size, if so many are in those of [`DENSE`].
    fn looked_at(&self, place: usize, dense: i64) -> i64 {
        let bits = |place: usize| SPANS.get(place).copied().unwrap_or_else(|| self.position.max(1).ilog2());
        dense.saturating_mul(1 << bits(place).saturating_sub(bits(DENSE)))
    }

    /// How many rows match.
    async fn count(&self, db: &mut PgConnection, matching: &str) -> Result<i64, Error> {
        let counted = "select count(*) from read_search s where s.words @@ $1::text::tsquery";
        Ok(sqlx::query_scalar(counted).bind(matching).fetch_one(db).await?)
    }

    /// The newest rows that match; `words` alone say how well.
    async fn rows(&self, db: &mut PgConnection, matching: &str, words: &str) -> Result<Vec<Found>, Error> {
        let mut sql = self.sql();
        sql.push("select s.id, s.kind, s.record_id, s.part, ts_rank('{0.2, 0.3, 0.6, 1.0}', s.words, ");
        sql.bind(words).push("::tsquery) as rank, false as exact from (select s.* from ");
        if self.scope.is_few() {
            let pairs =
                self.scope.few.iter().flat_map(|(kind, ids)| ids.iter().map(|id| ((*kind).to_owned(), id.clone())));
            let (kinds, ids): (Vec<String>, Vec<String>) = pairs.unzip();
            sql.push("unnest(").bind(Bound::Texts(kinds)).push("::text[], ").bind(Bound::Texts(ids));
            sql.push("::text[]) few (kind, record_id) join read_search s on s.tenant_id = $1 ");
            sql.push(
                "and s.kind = few.kind collate \"C\" and s.record_id = few.record_id collate \"C\" where s.words @@ ",
            );
            sql.bind(matching).push("::tsquery");
        } else {
            // Not by an index of the tenant's rows: they are all of them, most of the time.
            sql.push("read_search s where s.words @@ ").bind(matching).push("::tsquery and s.tenant_id || '' = $1");
            self.scope.condition(self.asked, &mut sql);
        }
        self.further(&mut sql);
        sql.push(&format!(" order by s.marked_position desc limit {}) s", CANDIDATES + 1));
        Ok(Sql::supply(sql.values, sqlx::query_as(AssertSqlSafe(sql.text.as_str()))).fetch_all(db).await?)
    }

    /// What else is asked of a row `s`.
    fn further(&self, sql: &mut Sql) {
        if self.asked.outside {
            sql.push(" and not s.internal");
        }
        if let Some(writers) = &self.asked.writers {
            let ids = writers.iter().map(ToString::to_string).collect();
            sql.push(" and s.author_id = any (").bind(Bound::Texts(ids)).push("::text[])");
        }
    }

    /// The records of this number.
    async fn numbered(&self, db: &mut PgConnection, number: i64) -> Result<Vec<Found>, Error> {
        let mut sql = self.sql();
        sql.push("select s.id, s.kind, s.record_id, s.part, 1::real as rank, true as exact from read_search s ");
        sql.push("where s.tenant_id = $1 and s.number = ").bind(Scalar::Integer(number)).push(" and s.part is null");
        self.scope.condition(self.asked, &mut sql);
        self.further(&mut sql);
        sql.push(" limit 20");
        Ok(Sql::supply(sql.values, sqlx::query_as(AssertSqlSafe(sql.text.as_str()))).fetch_all(db).await?)
    }

    /// Records that have all that is sought, though no row of theirs has all of it: those of what fewest have, of which others have
    /// the rest.
    async fn apart(&self, db: &mut PgConnection, way: Way) -> Result<(Vec<Found>, bool), Error> {
        let terms: Vec<String> = self.asked.query.sought().map(|wanted| self.tsquery([wanted], way, "")).collect();
        if !(2..=APART).contains(&terms.len()) {
            return Ok((Vec::new(), false));
        }
        let mut rarest: Option<(usize, Vec<Found>, bool)> = None;
        for (index, term) in terms.iter().enumerate() {
            let (found, more) = self.newest(db, term).await?;
            if found.is_empty() {
                return Ok((Vec::new(), false));
            }
            if rarest.as_ref().is_none_or(|(_, known, _)| found.len() < known.len()) {
                rarest = Some((index, found, more));
            }
        }
        let Some((index, found, more)) = rarest else { return Ok((Vec::new(), false)) };
        let mut sql = self.sql();
        sql.push("select f.id from unnest(").bind(Bound::Texts(found.iter().map(|found| found.id.clone()).collect()));
        sql.push("::text[], ").bind(Bound::Texts(found.iter().map(|found| found.kind.clone()).collect()));
        sql.push("::text[], ").bind(Bound::Texts(found.iter().map(|found| found.record_id.clone()).collect()));
        sql.push("::text[]) f (id, kind, record_id) where true");
        for (_, term) in terms.iter().enumerate().filter(|(other, _)| *other != index) {
            sql.push(
                " and exists (select from read_search s where s.tenant_id = $1 and s.kind = f.kind collate \"C\" ",
            );
            sql.push("and s.record_id = f.record_id collate \"C\" and s.words @@ ")
                .bind(term.as_str())
                .push("::tsquery");
            self.further(&mut sql);
            sql.push(")");
        }
        let ids: Vec<(String,)> =
            Sql::supply(sql.values, sqlx::query_as(AssertSqlSafe(sql.text.as_str()))).fetch_all(db).await?;
        let ids: BTreeSet<String> = ids.into_iter().map(|(id,)| id).collect();
        Ok((found.into_iter().filter(|found| ids.contains(&found.id)).collect(), more))
    }

    /// Records that are called almost so.
    async fn similar(&self, db: &mut PgConnection) -> Result<Vec<Found>, Error> {
        let mut is_looser = false;
        let each = self.asked.query.sought().map(|wanted| {
            let similar = wanted.tsquery_of_similar();
            is_looser |= similar.is_some();
            similar.unwrap_or_else(|| self.tsquery([wanted], Way::Usual, ""))
        });
        let words = each.collect::<Vec<_>>().join(" & ");
        if !is_looser || self.asked.writers.is_some() {
            return Ok(Vec::new());
        }
        Ok(self.newest(db, &words).await?.0)
    }

    /// The records that meet the conditions, where nothing else is asked.
    async fn listed(&self, db: &mut PgConnection) -> Result<(Vec<Found>, bool), Error> {
        let mut sql = self.sql();
        sql.push("select s.id, s.kind, s.record_id, s.part, 0::real as rank, false as exact from read_search s where s.tenant_id = $1");
        sql.push(" and s.part is null");
        self.scope.condition(self.asked, &mut sql);
        self.further(&mut sql);
        sql.push(&format!(" order by s.happened_at desc limit {}", CANDIDATES + 1));
        let mut found: Vec<Found> =
            Sql::supply(sql.values, sqlx::query_as(AssertSqlSafe(sql.text.as_str()))).fetch_all(db).await?;
        let more = found.len() > CANDIDATES;
        found.truncate(CANDIDATES);
        Ok((found, more))
    }

    /// Everything that is found, whether there may be more, and whether it is merely similar.
    async fn all(&self, db: &mut PgConnection) -> Result<(Vec<Found>, bool, bool), Error> {
        let query = &self.asked.query;
        if query.sought().next().is_none() {
            // Conditions of lists were met by few records; whole kinds are read from the newest on.
            let (found, more) = match self.scope.is_few() && self.asked.writers.is_none() {
                true => self.listed(db).await?,
                false => {
                    let kinds: Vec<String> = self.asked.kinds.iter().map(|kind| quoted(&kind_mark(kind))).collect();
                    self.newest(db, &kinds.join(" | ")).await?
                }
            };
            return Ok((found, more, false));
        }
        let mut found = match query.number().and_then(|number| i64::try_from(number).ok()) {
            Some(number) if self.asked.writers.is_none() => self.numbered(db, number).await?,
            _ => Vec::new(),
        };
        let mut more = false;
        for way in [Way::Usual, Way::Wide] {
            let words = self.tsquery(query.sought(), way, " & ");
            if way == Way::Wide && words == self.tsquery(query.sought(), Way::Usual, " & ") {
                break;
            }
            let (together, further) = self.newest(db, &words).await?;
            found.extend(together);
            more |= further;
            if records(&found) < ENOUGH {
                let (apart, further) = self.apart(db, way).await?;
                found.extend(apart);
                more |= further;
            }
            if records(&found) >= ENOUGH {
                break;
            }
        }
        if found.is_empty() {
            let found = self.similar(db).await?;
            let is_similar = !found.is_empty();
            return Ok((found, false, is_similar));
        }
        Ok((found, more, false))
    }
}

/// Which size of spans comes next: that in which there are enough, if there are as many as in those of the size before. Where nothing was
/// found, little is looked at in larger ones.
fn further(place: usize, found: usize, many: usize) -> usize {
    const RARE: u32 = 15;
    let bits = SPANS.get(place).copied().unwrap_or(u32::MAX);
    let wanted = match found {
        0 if bits >= RARE => u32::MAX,
        0 => RARE,
        found => bits + (many / found + 1).ilog2(),
    };
    SPANS.iter().position(|bits| *bits >= wanted).unwrap_or(SPANS.len()).max(place + 1)
}

/// How many records these rows lead to.
fn records(found: &[Found]) -> usize {
    found.iter().map(|found| (&found.kind, &found.record_id)).collect::<BTreeSet<_>>().len()
}

/// A record to which rows lead.
#[derive(Clone, Debug, sqlx::FromRow)]
struct Led {
    kind: String,
    record_id: String,
    survivor: String,
    id: String,
    title: Option<String>,
    number: Option<i64>,
    happened_at: Timestamp,
    archived: bool,
    about: serde_json::Value,
    age: f64,
}

/// A record that was found, with the rows by which.
struct Record {
    led: Led,
    merged: Option<Id>,
    score: f64,
    exact: bool,
    /// The best row of its own or of a part of it, by rank.
    rows: Vec<(f32, String)>,
}

/// Searches, as the read model is at `position`.
///
/// # Errors
/// When the database fails.
pub async fn search(pool: &PgPool, tenant: Id, position: i64, asked: &Asked) -> Result<Page, Error> {
    let mut db = pool.acquire().await?;
    let scope = Scope::of(asked, &mut db, tenant).await?;
    if scope.is_empty() || asked.writers.as_ref().is_some_and(Vec::is_empty) {
        return Ok(Page { data: Vec::new(), similar: false });
    }
    let finder = Finder { asked, scope, tenant, position };
    let (found, more, similar) = finder.all(&mut db).await?;
    let records = led(&finder, &mut db, found).await?;
    let mut groups: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    for record in records {
        groups.entry(record.led.kind.clone()).or_default().push(record);
    }
    let mut groups: Vec<(String, Vec<Record>)> = groups.into_iter().collect();
    for (_, records) in &mut groups {
        records.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| b.led.survivor.cmp(&a.led.survivor)));
    }
    let best = |records: &[Record]| records.first().map_or(0.0, |record| record.score);
    groups.sort_by(|(_, a), (_, b)| best(b).total_cmp(&best(a)));
    let counts: Vec<usize> = groups.iter().map(|(_, records)| records.len()).collect();
    for (_, records) in &mut groups {
        records.truncate(asked.limit);
    }
    let mut texts = texts(&mut db, tenant, groups.iter().flat_map(|(_, records)| records)).await?;
    let abouts =
        groups.iter().flat_map(|(_, records)| records).flat_map(|record| subjects(&record.led.about)).collect();
    let abouts = asked.sight.among(&mut *db, tenant, abouts).await?;
    let sought: Vec<&Wanted> = asked.query.sought().collect();
    let data = groups.into_iter().zip(counts).map(|((kind, records), count)| {
        let hits = records.into_iter().map(|record| told(record, &sought, &abouts, &mut texts)).collect();
        Group { kind, count, more, hits }
    });
    Ok(Page { data: data.collect(), similar })
}

fn subjects(about: &serde_json::Value) -> Vec<Subject> {
    serde_json::from_value(about.clone()).unwrap_or_default()
}

/// The records to which rows lead, those that go on for merged ones, without what is put away and what is not wanted.
async fn led(finder: &Finder<'_>, db: &mut PgConnection, found: Vec<Found>) -> Result<Vec<Record>, Error> {
    let asked = finder.asked;
    let pairs: BTreeSet<(String, String)> =
        found.iter().map(|found| (found.kind.clone(), found.record_id.clone())).collect();
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = Sql::default();
    sql.values.push(Scalar::Text(finder.tenant.to_string()).into());
    let (kinds, ids): (Vec<String>, Vec<String>) = pairs.into_iter().unzip();
    sql.push("select f.kind, f.record_id, v.survivor, m.id, m.title, m.number, m.happened_at, m.archived, m.about, ");
    sql.push("greatest(extract(epoch from now() - m.happened_at), 0)::float8 as age from unnest(");
    sql.bind(Bound::Texts(kinds)).push("::text[], ").bind(Bound::Texts(ids)).push("::text[]) f (kind, record_id) ");
    let merging = merging::KINDS.join(",");
    sql.push(&format!(
        "cross join lateral (select case when f.kind = any ('{{{merging}}}') and exists (select from read_redirects x \
         where x.tenant_id = $1 and x.kind = f.kind collate \"C\" and x.record_id = f.record_id collate \"C\" and x.into_id is not null) \
         then read_survivor($1, f.kind, f.record_id) else f.record_id end collate \"C\" as survivor offset 0) v "
    ));
    sql.push("join read_search m on m.tenant_id = $1 and m.kind = f.kind collate \"C\" and m.record_id = v.survivor and m.part is null");
    if !asked.archived {
        sql.push(" and not m.archived");
    }
    sql.push(" where true");
    for unwanted in asked.query.unwanted() {
        let query = finder.tsquery([unwanted], Way::Usual, "");
        sql.push(
            " and not exists (select from read_search s where s.tenant_id = $1 and s.kind = f.kind collate \"C\" ",
        );
        sql.push("and s.record_id in (f.record_id collate \"C\", v.survivor) and s.words @@ ")
            .bind(query.as_str())
            .push("::tsquery");
        if asked.outside {
            sql.push(" and not s.internal");
        }
        sql.push(")");
    }
    let rows: Vec<Led> =
        Sql::supply(sql.values, sqlx::query_as(AssertSqlSafe(sql.text.as_str()))).fetch_all(&mut *db).await?;
    // Whoever sees the one that was merged need not see the one that goes on.
    let subject = |led: &Led| Some(Subject::new(&led.kind, led.survivor.parse().ok()?));
    let moved = rows.iter().filter(|led| led.survivor != led.record_id).filter_map(subject).collect();
    let seen = asked.sight.among(&mut *db, finder.tenant, moved).await?;
    let mut known: HashMap<(String, String), Led> = HashMap::new();
    for led in rows {
        if led.survivor == led.record_id || subject(&led).is_some_and(|record| seen.contains(&record)) {
            known.insert((led.kind.clone(), led.record_id.clone()), led);
        }
    }
    let mut records: HashMap<(String, String), Record> = HashMap::new();
    for found in found {
        let Some(led) = known.get(&(found.kind.clone(), found.record_id.clone())) else { continue };
        let recent = (-led.age / (180.0 * 86_400.0)).exp();
        let exact = if found.exact { 1000.0 } else { 0.0 };
        let score = exact + f64::from(found.rank.max(0.01)) * (0.4 + 0.6 * recent);
        let merged = if led.survivor == led.record_id { None } else { led.record_id.parse().ok() };
        let new = || Record { led: led.clone(), merged, score: 0.0, exact: false, rows: Vec::new() };
        let record = records.entry((led.kind.clone(), led.survivor.clone())).or_insert_with(new);
        // What is found in the record that goes on itself needs no other.
        record.merged = record.merged.filter(|_| led.survivor != led.record_id);
        record.score = record.score.max(score);
        record.exact |= found.exact;
        if found.part.is_some() || found.id != led.id {
            record.rows.push((found.rank, found.id));
        }
    }
    Ok(records.into_values().collect())
}

/// The texts of a row.
#[derive(sqlx::FromRow)]
struct Texts {
    id: String,
    part: Option<String>,
    texts: sqlx::types::Json<BTreeMap<String, String>>,
    author_kind: Option<String>,
    author_id: Option<String>,
}

/// Most rows of a record of which a part is shown.
const SHOWN: usize = 2;

/// The texts of records and of their parts that match best.
async fn texts(
    db: &mut PgConnection,
    tenant: Id,
    records: impl Iterator<Item = &Record>,
) -> Result<HashMap<String, Texts>, Error> {
    let mut ids: BTreeSet<String> = BTreeSet::new();
    for record in records {
        ids.insert(record.led.id.clone());
        ids.extend(best(&record.rows).into_iter().map(|(_, id)| id.clone()));
    }
    let rows: Vec<Texts> = sqlx::query_as(
        "select id, part, texts, author_kind, author_id from read_search where tenant_id = $1 and id = any ($2)",
    )
    .bind(tenant.to_string())
    .bind(ids.into_iter().collect::<Vec<_>>())
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id.clone(), row)).collect())
}

/// The rows of highest rank.
fn best(rows: &[(f32, String)]) -> Vec<&(f32, String)> {
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_by(|(a, x), (b, y)| b.total_cmp(a).then_with(|| y.cmp(x)));
    rows.dedup_by(|(_, x), (_, y)| x == y);
    rows.truncate(SHOWN);
    rows
}

fn told(record: Record, sought: &[&Wanted], abouts: &BTreeSet<Subject>, texts: &mut HashMap<String, Texts>) -> Hit {
    let Record { led, merged, exact, rows, .. } = record;
    let title = led.title.as_deref().unwrap_or_default();
    let own = [led.id.clone()].into_iter().chain(best(&rows).into_iter().map(|(_, id)| id.clone()));
    let mut fragments = Vec::new();
    for id in own {
        let Some(row) = texts.get(&id) else { continue };
        for (attribute, text) in &row.texts.0 {
            let field = attribute.split_once(':').map_or(attribute.as_str(), |(field, _)| field);
            if super::role(attribute).is_none() || row.part.is_none() && led.title.as_deref() == Some(text) {
                continue;
            }
            let Some(text) = marked(text, sought, FRAGMENT) else { continue };
            let writer = row
                .author_kind
                .clone()
                .map(|kind| Writer { kind, id: row.author_id.as_deref().and_then(|id| id.parse().ok()) });
            let part = row.part.as_deref().and_then(|id| id.parse().ok());
            fragments.push(Fragment { field: field.to_owned(), part, writer, text });
        }
    }
    fragments.truncate(3);
    Hit {
        id: led.survivor.parse().unwrap_or(Id::NIL),
        title: marked(title, sought, TITLE).unwrap_or_else(|| beginning(title, TITLE)),
        number: led.number,
        happened_at: led.happened_at.to_jiff(),
        archived: led.archived,
        merged,
        about: subjects(&led.about).into_iter().find(|subject| abouts.contains(subject)),
        exact,
        fragments,
        kind: led.kind,
    }
}
