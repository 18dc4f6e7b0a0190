//! Which record goes on for one that was merged, and what refers to either. Table: `read_redirects`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use domain::{
    Id, catalogue,
    kernel::{
        filter::{Condition, FieldKind, Filter, Scalar, Test},
        merging::KINDS,
    },
};
use eventstore::{Log, Recorded};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::PgExecutor;

use crate::{
    AsOf, Column, Error, Keys, List, ReadModel, Unreadable,
    kernel::{as_of, earlier::Tables, sql},
    org::fields::Fields,
};

/// Records that were ever merged.
#[derive(Clone, Copy, Debug)]
pub struct Redirects;

/// What a column of ids refers to, so that lists follow merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refers {
    /// To records of this kind.
    To(&'static str),
    /// To a record of the kind that another column names.
    By(&'static str),
    /// To records of any kind, each with its kind in a JSON column.
    Listed(&'static str),
    /// To records of any kind.
    Any,
    /// To what the custom fields of this kind of record refer to, which stand in one JSON column.
    Custom(&'static str),
}

/// A record that was merged at least once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Its kind.
    pub kind: String,
    /// The record.
    pub record_id: Id,
    /// The record that it is merged into now; none once that was taken back.
    pub into_id: Option<Id>,
}

/// The part of an event that says into which.
#[derive(Deserialize)]
struct Merged {
    into: Id,
}

impl ReadModel for Redirects {
    const NAME: &'static str = "redirects";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = KINDS;
    const OWN: bool = false;
    type Row = Row;

    fn keys(event: &Recorded) -> Keys {
        let merging = matches!(event.kind.split_once('.'), Some((_, "merged" | "unmerged")));
        match event.key().parse::<Id>() {
            // Ids are unique within a kind.
            Ok(id) if merging => Keys::One(Id::named(&["redirect", event.category(), &id.to_string()])),
            _ => Keys::None,
        }
    }

    fn apply(_: Id, _: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let unreadable = |error: String| Unreadable(error);
        let record_id = event.key().parse().map_err(|_| Unreadable("the stream is no record's".into()))?;
        let into_id = match event.kind.ends_with(".merged") {
            true => Some(event.decode::<Merged>().map_err(|error| unreadable(error.to_string()))?.into),
            false => None,
        };
        Ok(Some(Row { kind: event.category().to_owned(), record_id, into_id }))
    }
}

/// The columns of a list that refer to records; that of its custom fields may.
fn referring(list: &'static List) -> impl Iterator<Item = Column> {
    let custom = list.custom.map(|kind| Column::id("custom").of(Refers::Custom(kind)));
    list.columns.iter().copied().chain(custom).filter(|column| column.refers.is_some())
}

/// The read models that decide what a list shows besides its own: whoever waits for a position waits for them too.
pub(crate) fn follows(list: &'static List) -> impl Iterator<Item = &'static str> {
    let redirects = referring(list).next().map(|_| Redirects::NAME);
    list.follows.iter().copied().chain(redirects).chain(list.custom.map(|_| Fields::NAME))
}

/// Where the rows of a list, aliased `t`, come from, with what they refer to as `r`: a column for each that refers to
/// records, with those that go on for merged ones. `past` is the placeholder of a JSON object that says who went on for
/// whom, `kind-id` for `kind-id`, at a point in the past.
pub(crate) fn shown(list: &'static List, source: &str, past: Option<&str>) -> String {
    let mut columns = vec![format!("{}::jsonb as past", past.unwrap_or("null"))];
    let survivors = Survivors { past };
    let all = referring(list).flat_map(|column| survivors.shown(&column));
    columns.extend(all.map(|(name, value)| format!("{value} as {name}")));
    format!("{source} t cross join lateral (select {} offset 0) r {}", columns.join(", "), list.joins)
}

/// Who goes on for merged records: as it is now, or as a JSON object at this placeholder says.
#[derive(Clone, Copy)]
struct Survivors<'a> {
    past: Option<&'a str>,
}

impl Survivors<'_> {
    /// The record that goes on for the one of this kind with this id, both SQL.
    fn of(self, kind: &str, id: &str) -> String {
        match self.past {
            Some(past) => format!("coalesce({past}::jsonb->>({kind} || '-' || {id}), {id})"),
            None => format!("read_survivor(t.tenant_id, {kind}, {id})"),
        }
    }

    /// Hardly any record was merged: only for those that were, which a condition on `x` finds, somebody is looked for.
    fn guarded(self, condition: &str, merged: String, usual: &str) -> String {
        match self.past {
            Some(_) => merged,
            None => format!(
                "case when exists (select from read_redirects x where x.tenant_id = t.tenant_id \
                 and x.into_id is not null and {condition}) then {merged} else {usual} end"
            ),
        }
    }

    /// The ids in a column of `t`, those that go on for merged ones.
    fn ids(self, column: &Column, refers: Refers) -> String {
        let t = sql::column(column.name, column.kind);
        let several = |ids: String| self.guarded(&format!("x.record_id = any ({t})"), ids, &t);
        let each = |survivor: String| {
            several(format!("array(select distinct {survivor} collate \"C\" from unnest({t}) u (id) order by 1)"))
        };
        let one = |kind: &str| self.guarded(&format!("x.kind = {kind} and x.record_id = {t}"), self.of(kind, &t), &t);
        match refers {
            Refers::To(kind) if column.kind == FieldKind::Set => each(self.of(&format!("'{kind}'"), "u.id")),
            Refers::To(kind) => one(&format!("'{kind}'")),
            Refers::By(other) => one(&format!("t.{other}")),
            Refers::Any => each(KINDS.iter().fold("u.id".to_owned(), |id, kind| self.of(&format!("'{kind}'"), &id))),
            Refers::Listed(json) => several(format!(
                "array(select distinct {} collate \"C\" from jsonb_array_elements(t.{json}) e (s) order by 1)",
                self.of("(s->>'kind')", "(s->>'id')")
            )),
            Refers::Custom(kind) => self.custom(kind),
        }
    }

    /// The custom fields of `t`, a record of this kind.
    fn custom(self, kind: &str) -> String {
        let kinds = KINDS.join(",");
        // While an older table of fields serves, which knows of no references, it has no such column.
        let target = "(to_jsonb(f)->>'target')";
        let each = self.of(target, "(t.custom->>f.key)");
        let merged = format!(
            "t.custom || coalesce((select jsonb_object_agg(f.key, {each}) from read_fields f \
             where f.tenant_id = t.tenant_id and f.entity = '{kind}' and f.type = 'reference' \
             and {target} = any ('{{{kinds}}}') and t.custom->>f.key is not null), '{{}}')"
        );
        self.guarded("x.record_id in (select c.value from jsonb_each_text(t.custom) c)", merged, "t.custom")
    }

    /// What is shown of a column of `t`, by the names of the columns of `r`.
    fn shown(self, column: &Column) -> Vec<(&'static str, String)> {
        let Some(refers) = column.refers else { return Vec::new() };
        let ids = self.ids(column, refers);
        if let Some((json, member)) = column.name.split_once('.') {
            let whole = format!("jsonb_set(t.{json}, '{{{member}}}', to_jsonb({ids}), false)");
            return vec![(json, whole)];
        }
        let Refers::Listed(json) = refers else { return vec![(column.name, ids)] };
        let each = self.of("(s->>'kind')", "(s->>'id')");
        let subjects = format!(
            "(select coalesce(jsonb_agg(one order by place), '[]') from (\
             select jsonb_build_object('kind', s->>'kind', 'id', {each}) as one, min(place) as place \
             from jsonb_array_elements(t.{json}) with ordinality e (s, place) group by 1) listed)"
        );
        let any = format!("x.record_id = any (t.{})", column.name);
        vec![(column.name, ids), (json, self.guarded(&any, subjects, &format!("t.{json}")))]
    }
}

/// The value of a field that refers to records, with those that go on for merged ones; `None` when it refers to none. `past` is
/// the placeholder that [`shown`] takes.
pub(crate) fn totalled(list: &'static List, field: &str, kind: FieldKind, past: Option<&str>) -> Option<String> {
    let survivors = Survivors { past };
    match refers(list, field, kind)? {
        Refers::Custom(of) => {
            let t = sql::column(field, kind);
            let key = field.strip_prefix("custom.")?;
            let next = format!("(({})->>'{key}') collate \"C\"", survivors.custom(of));
            Some(survivors.guarded(&format!("x.record_id = {t}"), next, &t))
        }
        refers => {
            let column = list.columns.iter().find(|column| column.name == field)?;
            Some(survivors.ids(column, refers))
        }
    }
}

/// The kinds of records that a column may refer to.
fn kinds(refers: Refers) -> &'static [&'static str] {
    match refers {
        Refers::To(kind) => KINDS.iter().find(|known| **known == kind).map_or(&[], std::slice::from_ref),
        Refers::By(_) | Refers::Listed(_) | Refers::Any | Refers::Custom(_) => KINDS,
    }
}

/// Who belongs together: for a kind and an id, the ids of all that are one with it. Those that are alone have no entry.
pub(crate) type Families = BTreeMap<(&'static str, String), Vec<String>>;

/// The same filter, with every record that it names taken for the one that goes on for it and for all that are merged into
/// that one: now, or in the past.
///
/// # Errors
/// When the database fails.
pub(crate) async fn followed(
    list: &'static List,
    db: impl PgExecutor<'_>,
    tenant: Id,
    filter: &Filter,
    past: Option<&Arc<Tables>>,
) -> Result<Filter, sqlx::Error> {
    let mut asked: BTreeSet<(&'static str, String)> = BTreeSet::new();
    filter.conditions(&mut |condition| {
        let Some(refers) = refers(list, &condition.field, condition.kind) else { return };
        for id in condition.test.named() {
            let Scalar::Text(id) = id else { continue };
            asked.extend(kinds(refers).iter().map(|kind| (*kind, id.clone())));
        }
    });
    if asked.is_empty() {
        return Ok(filter.clone());
    }
    let families = match past {
        None => families(db, tenant, &asked).await?,
        Some(tables) => tables.families(asked),
    };
    Ok(if families.is_empty() { filter.clone() } else { widened(list, filter, &families) })
}

/// What a field of a list refers to.
fn refers(list: &'static List, field: &str, kind: FieldKind) -> Option<Refers> {
    if field.starts_with("custom.") {
        return list.custom.filter(|_| kind == FieldKind::Id).map(Refers::Custom);
    }
    list.columns.iter().find(|column| column.name == field).and_then(|column| column.refers)
}

fn widened(list: &'static List, filter: &Filter, families: &Families) -> Filter {
    let each = |filters: &[Filter]| filters.iter().map(|filter| widened(list, filter, families)).collect();
    match filter {
        Filter::All(filters) => Filter::All(each(filters)),
        Filter::Any(filters) => Filter::Any(each(filters)),
        Filter::Not(filter) => Filter::Not(Box::new(widened(list, filter, families))),
        Filter::Condition(condition) => {
            let Some(refers) = refers(list, &condition.field, condition.kind) else { return filter.clone() };
            let mut wide: BTreeSet<String> = BTreeSet::new();
            let mut wider = false;
            for id in condition.test.named() {
                let Scalar::Text(id) = id else { return filter.clone() };
                wide.insert(id.clone());
                for kind in kinds(refers) {
                    let family = families.get(&(*kind, id.clone()));
                    wider |= family.is_some();
                    wide.extend(family.into_iter().flatten().cloned());
                }
            }
            if !wider {
                return filter.clone();
            }
            let values = wide.into_iter().map(Scalar::Text).collect();
            let test = match condition.test {
                Test::Ne(_) | Test::NotIn(_) => Test::NotIn(values),
                _ => Test::In(values),
            };
            Filter::Condition(Condition { test, ..condition.clone() })
        }
    }
}

/// Everybody who is one with these records.
async fn families(
    db: impl PgExecutor<'_>,
    tenant: Id,
    asked: &BTreeSet<(&'static str, String)>,
) -> Result<Families, sqlx::Error> {
    let kinds: Vec<&str> = asked.iter().map(|(kind, _)| *kind).collect();
    let ids: Vec<&str> = asked.iter().map(|(_, id)| id.as_str()).collect();
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "select a.kind, a.id, f.id from unnest($2::text[], $3::text[]) a (kind, id)
         cross join lateral read_family($1, a.kind, a.id) f (id)
         where exists (select from read_redirects x where x.tenant_id = $1 and x.kind = a.kind
               and x.record_id = a.id and x.into_id is not null)
            or exists (select from read_redirects x where x.tenant_id = $1 and x.kind = a.kind and x.into_id = a.id)",
    )
    .bind(tenant.to_string())
    .bind(kinds)
    .bind(ids)
    .fetch_all(db)
    .await?;
    let mut families = Families::new();
    for (kind, id, member) in rows {
        let Some(kind) = KINDS.iter().find(|known| **known == kind) else { continue };
        families.entry((kind, id)).or_default().push(member);
    }
    Ok(families)
}

/// Who went on for whom at a point in the past.
#[derive(Debug, Default)]
pub(crate) struct Past {
    /// By record, the one that it was merged into then.
    into: BTreeMap<(String, Id), Option<Id>>,
}

impl Past {
    /// What the records that a row refers to had become by then: `kind-id` by `kind-id`.
    pub(crate) async fn of(
        &mut self,
        list: &'static List,
        log: &Log,
        tenant: Id,
        row: &Value,
        at: AsOf,
    ) -> Result<Map<String, Value>, Error> {
        let mut named: BTreeSet<(String, Id)> = BTreeSet::new();
        let text = |value: &Value| value.as_str().and_then(|text| text.parse::<Id>().ok());
        for column in referring(list) {
            let Some(refers) = column.refers else { continue };
            let value = row.pointer(&format!("/{}", column.name.replace('.', "/"))).unwrap_or(&Value::Null);
            let listed = value.as_array().into_iter().flatten().chain([value]).filter_map(text);
            match refers {
                Refers::To(kind) => named.extend(listed.map(|id| (kind.to_owned(), id))),
                Refers::By(other) => {
                    let kind = row[other].as_str().unwrap_or_default();
                    named.extend(listed.map(|id| (kind.to_owned(), id)));
                }
                Refers::Any => {
                    named.extend(listed.flat_map(|id| KINDS.iter().map(move |kind| ((*kind).to_owned(), id))));
                }
                Refers::Custom(_) => {
                    let values = value.as_object().into_iter().flat_map(|fields| fields.values()).filter_map(text);
                    named.extend(values.flat_map(|id| KINDS.iter().map(move |kind| ((*kind).to_owned(), id))));
                }
                Refers::Listed(json) => named.extend(
                    row[json]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .filter_map(|subject| Some((subject["kind"].as_str()?.to_owned(), text(&subject["id"])?))),
                ),
            }
        }
        let mut became = Map::new();
        for (kind, id) in named.into_iter().filter(|(kind, _)| KINDS.contains(&&**kind)) {
            let mut chain = vec![id];
            while let Some(last) = chain.last().copied() {
                match self.into(log, tenant, &kind, last, at).await?.filter(|next| !chain.contains(next)) {
                    Some(next) => chain.push(next),
                    None => break,
                }
            }
            if let Some(last) = chain.last().filter(|last| **last != id) {
                became.insert(format!("{kind}-{id}"), last.to_string().into());
            }
        }
        Ok(became)
    }

    async fn into(&mut self, log: &Log, tenant: Id, kind: &str, id: Id, at: AsOf) -> Result<Option<Id>, Error> {
        let key = (kind.to_owned(), id);
        if let Some(known) = self.into.get(&key) {
            return Ok(*known);
        }
        let mut into = None;
        if let Some(known) = catalogue::kind(kind) {
            let events = as_of::events(log, tenant, kind, id, at).await?;
            let fold = known.need(id).fold;
            let state = fold(None, &mut events.iter().map(|event| (&*event.kind, &*event.data, &*event.metadata)));
            into = known.merged_into(&state.map_err(Unreadable::from)?);
        }
        self.into.insert(key, into);
        Ok(into)
    }
}

#[cfg(test)]
mod tests {
    use domain::desk::ticket::Ticket;

    use super::*;
    use crate::kernel::fold::tests::{id, recorded};

    #[test]
    fn a_merge_leads_on_until_it_is_taken_back() {
        use domain::desk::ticket::Event;
        let merged = recorded::<Ticket>(1, &Event::Merged { into: id(9) });
        let row = Redirects::apply(id(1), None, &merged).unwrap();
        assert_eq!(row.as_ref().and_then(|row| row.into_id), Some(id(9)));
        let unmerged = recorded::<Ticket>(2, &Event::Unmerged { from: id(9) });
        assert_eq!(Redirects::keys(&merged), Redirects::keys(&unmerged));
        assert_eq!(Redirects::apply(id(1), row, &unmerged).unwrap().unwrap().into_id, None);
        assert_eq!(Redirects::keys(&recorded::<Ticket>(3, &Event::Closed { stage: None })), Keys::None);
        let broken = Recorded { data: "{}".into(), ..merged };
        assert!(Redirects::apply(id(1), None, &broken).is_err());
    }
}
