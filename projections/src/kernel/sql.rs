//! SQL that is put together at run time: text with placeholders and the values they stand for.

use std::sync::Arc;

use domain::{
    Id,
    kernel::{
        filter::{Condition, FieldKind, Filter, Scalar, Test},
        listing::Name,
    },
};
use jiff_sqlx::ToSqlx;
use serde_json::{Value, json};
use sqlx::{Postgres, postgres::PgArguments, query::QueryAs};

use crate::{
    Column, List, Sight,
    kernel::{earlier::Tables, registry},
};

/// A statement in the making.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sql {
    /// Common tables, which stand before the text.
    with: Vec<String>,
    /// Whether one of them is made of itself.
    pub(crate) is_recursive: bool,
    pub(crate) text: String,
    pub(crate) values: Vec<Bound>,
    /// The columns that filters name.
    pub(crate) columns: &'static [Column],
    /// What whoever asks sees: only by the names of that anything is found.
    pub(crate) sight: Sight,
    /// What differs from now, where a list is asked about as it was.
    pub(crate) past: Option<Arc<Tables>>,
}

/// A value that a placeholder stands for.
#[derive(Clone, Debug)]
pub(crate) enum Bound {
    One(Scalar),
    Texts(Vec<String>),
    Json(Value),
}

impl From<Scalar> for Bound {
    fn from(value: Scalar) -> Self {
        Bound::One(value)
    }
}

impl From<&str> for Bound {
    fn from(text: &str) -> Self {
        Bound::One(Scalar::Text(text.to_owned()))
    }
}

impl Sql {
    /// A statement over a tenant's list, as it is or as it was; the tenant is its first value.
    pub(crate) fn over(list: &'static List, tenant: Id, past: Option<&Arc<Tables>>) -> Sql {
        let mut sql = Sql { columns: list.columns, past: past.cloned(), ..Sql::default() };
        sql.values.push(Scalar::Text(tenant.to_string()).into());
        if let Some(past) = past {
            past.stand_in(&mut sql);
        }
        sql
    }

    /// Makes a common table of the text: `name as (...)`.
    pub(crate) fn common(&mut self) {
        self.with.push(std::mem::take(&mut self.text));
    }

    /// All of it.
    pub(crate) fn statement(&self) -> String {
        let with = if self.is_recursive { "with recursive" } else { "with" };
        if self.with.is_empty() { self.text.clone() } else { format!("{with} {} {}", self.with.join(", "), self.text) }
    }

    pub(crate) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    pub(crate) fn bind(&mut self, value: impl Into<Bound>) -> &mut Self {
        self.values.push(value.into());
        self.text.push_str(&format!("${}", self.values.len()));
        self
    }

    /// A value that the statement already has, and its placeholder.
    pub(crate) fn again(&mut self, index: usize) -> &mut Self {
        self.text.push_str(&format!("${}", index + 1));
        self
    }

    /// Gives the values to a query of this text.
    pub(crate) fn supply<'q, T>(
        values: Vec<Bound>,
        mut query: QueryAs<'q, Postgres, T, PgArguments>,
    ) -> QueryAs<'q, Postgres, T, PgArguments> {
        for value in values {
            query = match value {
                Bound::One(Scalar::Text(text)) => query.bind(text),
                Bound::One(Scalar::Integer(number)) => query.bind(number),
                Bound::One(Scalar::Decimal(number)) => query.bind(number),
                Bound::One(Scalar::Bool(value)) => query.bind(value),
                Bound::One(Scalar::Time(time)) => query.bind(time.to_sqlx()),
                Bound::One(Scalar::Date(date)) => query.bind(date.to_sqlx()),
                Bound::Texts(texts) => query.bind(texts),
                Bound::Json(json) => query.bind(json),
            };
        }
        query
    }

    /// The condition that a filter sets on `t`. Each part is true exactly when [`Filter::matches`] is; where it is not
    /// true it may be unknown instead of false, which keeps it fit for indexes.
    pub(crate) fn filter(&mut self, filter: &Filter) -> &mut Self {
        match filter {
            Filter::All(filters) => self.joined(filters, " and ", "true"),
            Filter::Any(filters) => self.joined(filters, " or ", "false"),
            Filter::Not(filter) => self.push("(").filter(filter).push(") is not true"),
            Filter::Condition(condition) => self.condition(condition),
        }
    }

    fn joined(&mut self, filters: &[Filter], word: &str, none: &str) -> &mut Self {
        if filters.is_empty() {
            return self.push(none);
        }
        for (index, filter) in filters.iter().enumerate() {
            self.push(if index == 0 { "(" } else { word }).push("(").filter(filter).push(")");
        }
        self.push(")")
    }

    fn condition(&mut self, Condition { field, kind, test }: &Condition) -> &mut Self {
        if let Some((column, path)) = field.split_once('.')
            && (column == "custom" || kind.is_set())
            && (matches!(test, Test::Exact(_))
                || !matches!(kind, FieldKind::Text | FieldKind::Email | FieldKind::Phone | FieldKind::Tags))
            && self.contained(column, path, *kind, test)
        {
            return self;
        }
        let known = self.columns.iter().find(|column| column.name == field);
        if let Some(name) = known.and_then(|column| column.names) {
            return self.called(name, test);
        }
        let column = known.map_or_else(|| column(field, *kind), |column| column.expression(self.past.is_some()));
        if kind.is_set() {
            return self.set(&column, *kind, test);
        }
        self.test(&column, *kind, test)
    }

    /// A condition on one value.
    fn test(&mut self, plain: &str, kind: FieldKind, test: &Test) -> &mut Self {
        let column = compared(plain, kind);
        match test {
            Test::Eq(value) => self.compare(&column, " = ", value),
            Test::Ne(value) => self.compare(&column, " is distinct from ", value),
            Test::In(values) => self.one_of(&column, values),
            Test::NotIn(values) => self.push("(").one_of(&column, values).push(") is not true"),
            Test::Lt(value) => self.compare(&column, " < ", value),
            Test::Lte(value) => self.compare(&column, " <= ", value),
            Test::Gt(value) => self.compare(&column, " > ", value),
            Test::Gte(value) => self.compare(&column, " >= ", value),
            Test::Between(from, to) => self.compare(&column, " >= ", from).push(" and ").compare(&column, " <= ", to),
            Test::Exact(value) => self.compare(plain, " = ", value),
            Test::Contains(text) => self.like(&searched(plain, kind), &format!("%{}%", escaped(text))),
            Test::StartsWith(text) => self.like(&searched(plain, kind), &format!("{}%", escaped(text))),
            Test::IsNull(true) => self.push(plain).push(" is null"),
            Test::IsNull(false) => self.push(plain).push(" is not null"),
        }
    }

    /// A condition on what the records are called that a column refers to. Those so called are found first, by the indexes
    /// of their own list, and the rows that refer to them by theirs.
    fn called(&mut self, name: &Name, test: &Test) -> &mut Self {
        let positive = match test {
            Test::Ne(value) => Test::Eq(value.clone()),
            Test::NotIn(values) => Test::In(values.clone()),
            Test::IsNull(true) => Test::IsNull(false),
            test => {
                self.push("(");
                for (index, kind) in name.kinds.iter().enumerate() {
                    self.push(if index == 0 { "" } else { " or " }).called_as(name, kind, test);
                }
                return self.push(")");
            }
        };
        self.called(name, &positive).push(" is not true")
    }

    fn called_as(&mut self, name: &Name, kind: &str, test: &Test) -> &mut Self {
        if let Some(by) = name.by {
            self.push("t.").push(by).push(" = '").push(kind).push("' and ");
        }
        let merges = domain::kernel::merging::KINDS.contains(&kind);
        self.push("t.").push(name.column).push(if name.kind.is_set() { " && array(" } else { " = any (array(" });
        // Only kinds whose records have names are named: see `NAMELESS`.
        let (view, title) = registry::listing(kind).unwrap_or_default();
        self.push("with called as (select n.id from ").push(view).push(" n where n.tenant_id = ");
        self.again(0).push(if merges { " and n.merged_into is null and " } else { " and " });
        self.test(&format!("n.{title}"), FieldKind::Text, test);
        match self.sight.of_kind(kind) {
            Some(true) => {}
            Some(false) => _ = self.push(" and false"),
            None => {
                let seen = self.sight.sees(self.values.len() + 1, &format!("'{kind}'::text collate \"C\""), "n.id");
                self.values.extend(self.sight.values().into_iter().map(Bound::Texts));
                self.push(" and ").push(&seen);
            }
        }
        self.push(") select id from called");
        if let Some(past) = self.past.clone().filter(|_| merges) {
            self.push(" union all select split_part(x.key, '-', 2) collate \"C\" from jsonb_each_text(");
            self.bind(Bound::Json(past.merged())).push(") x where x.key like '").push(kind);
            self.push("-%' and x.value collate \"C\" in (select id from called)");
        } else if merges {
            self.push(" union all select x.record_id from read_redirects x where x.tenant_id = ").again(0);
            self.push(" and x.kind = '").push(kind).push("' and x.into_id is not null and ");
            self.push("read_survivor(x.tenant_id, x.kind, x.record_id) in (select id from called)");
        }
        self.push(if name.kind.is_set() { ")" } else { "))" })
    }

    fn compare(&mut self, column: &str, op: &str, value: &Scalar) -> &mut Self {
        self.push(column).push(op).bind(value.clone())
    }

    fn one_of(&mut self, column: &str, values: &[Scalar]) -> &mut Self {
        let array = match values {
            [] => return self.push("false"),
            [value] => return self.compare(column, " = ", value),
            [Scalar::Text(_), ..] => "",
            [Scalar::Integer(_), ..] => "::text[]::bigint[]",
            [Scalar::Decimal(_), ..] => "::text[]::numeric[]",
            [Scalar::Bool(_), ..] => "::text[]::boolean[]",
            [Scalar::Time(_), ..] => "::text[]::timestamptz[]",
            [Scalar::Date(_), ..] => "::text[]::date[]",
        };
        let texts = values.iter().map(text).collect();
        self.push(column).push(" = any (").bind(Bound::Texts(texts)).push(array).push(")")
    }

    fn like(&mut self, searched: &str, pattern: &str) -> &mut Self {
        self.push(searched).push(" like ").bind(pattern)
    }

    fn set(&mut self, column: &str, kind: FieldKind, test: &Test) -> &mut Self {
        let column = match test {
            Test::Exact(_) | Test::IsNull(_) => column.to_owned(),
            _ => compared(column, kind),
        };
        let column = column.as_str();
        let (op, values, wanted) = match test {
            Test::Eq(value) | Test::Exact(value) => (" @> ", std::slice::from_ref(value), true),
            Test::Ne(value) => (" @> ", std::slice::from_ref(value), false),
            Test::In(values) => (" && ", values.as_slice(), true),
            Test::NotIn(values) => (" && ", values.as_slice(), false),
            Test::IsNull(true) => return self.push("coalesce(cardinality(").push(column).push("), 0) = 0"),
            Test::IsNull(false) => return self.push("cardinality(").push(column).push(") > 0"),
            _ => return self.push("false"),
        };
        let values = Bound::Texts(values.iter().map(text).collect());
        self.push(if wanted { "" } else { "(" }).push(column).push(op).bind(values).push("::text[]");
        self.push(if wanted { "" } else { ") is not true" })
    }

    /// Equality of a member of a JSON column as containment, which an index on the column serves. False when it cannot be
    /// said so.
    fn contained(&mut self, column: &str, path: &str, kind: FieldKind, test: &Test) -> bool {
        let values = match test {
            Test::Eq(value) | Test::Exact(value) => std::slice::from_ref(value),
            Test::In(values) if !values.is_empty() => values,
            _ => return false,
        };
        let wrap = |value: Value| {
            let value = if kind.is_set() { json!([value]) } else { value };
            path.rsplit('.').fold(value, |value, key| json!({ key: value }))
        };
        let documents: Option<Vec<Value>> = values
            .iter()
            .map(|value| match value {
                Scalar::Text(text) => Some(wrap(json!(text))),
                Scalar::Integer(number) => Some(wrap(json!(number))),
                Scalar::Bool(value) => Some(wrap(json!(value))),
                // Written in more than one way: 1.5 and 1.50.
                Scalar::Decimal(_) | Scalar::Time(_) | Scalar::Date(_) => None,
            })
            .collect();
        let Some(documents) = documents else { return false };
        for (index, document) in documents.into_iter().enumerate() {
            self.push(if index == 0 { "(t." } else { " or t." }).push(column);
            self.push(" @> ").bind(Bound::Json(document));
        }
        self.push(")");
        true
    }
}

/// A value as PostgreSQL reads it from text.
fn text(value: &Scalar) -> String {
    match value {
        Scalar::Text(text) => text.clone(),
        Scalar::Integer(number) => number.to_string(),
        Scalar::Decimal(number) => number.to_string(),
        Scalar::Bool(value) => value.to_string(),
        Scalar::Time(time) => time.to_string(),
        Scalar::Date(date) => date.to_string(),
    }
}

/// An expression in the form in which values of its kind are compared: what [`domain::kernel::text`] and [`domain::kernel::phone`] do to
/// the values that they are compared with.
pub(crate) fn compared(expression: &str, kind: FieldKind) -> String {
    match kind {
        FieldKind::Text | FieldKind::Email => format!("text_typed({expression})"),
        FieldKind::Tags => format!("texts_typed({expression})"),
        FieldKind::Phone => format!("phone_digits({expression})"),
        _ => expression.to_owned(),
    }
}

/// The same for `contains` and `starts_with`.
fn searched(expression: &str, kind: FieldKind) -> String {
    match kind {
        FieldKind::Phone => format!("phone_digits({expression})"),
        // Lower case as Unicode has it, whatever the locale of the database.
        FieldKind::Word => format!("lower({expression} collate \"und-x-icu\")"),
        _ => format!("text_loose({expression})"),
    }
}

/// The expression of a field of `t`: a column, a member of a JSON column such as `total.amount`, or a custom field.
pub(crate) fn column(field: &str, kind: FieldKind) -> String {
    match field.split_once('.') {
        Some(("custom", key)) => custom(key, kind),
        Some((column, path)) => member(column, path, kind),
        None if kind == FieldKind::Decimal => format!("(t.{field})::numeric"),
        None => format!("t.{field}"),
    }
}

/// A member of a JSON column, which has a value of its kind or none.
fn member(column: &str, path: &str, kind: FieldKind) -> String {
    let (above, name) = path.rsplit_once('.').unwrap_or(("", path));
    let above: String = above.split('.').filter(|key| !key.is_empty()).map(|key| format!("->'{key}'")).collect();
    let text = format!("t.{column}{above}->>'{name}'");
    match kind {
        kind if kind.is_text() || kind == FieldKind::Id => format!("({text}) collate \"C\""),
        FieldKind::Integer => format!("({text})::bigint"),
        FieldKind::Decimal => format!("({text})::numeric"),
        FieldKind::Bool => format!("({text})::boolean"),
        FieldKind::Date => format!("({text})::date"),
        FieldKind::Time => format!("({text})::timestamptz"),
        _ => format!("array(select jsonb_array_elements_text(t.{column}{above}->'{name}'))"),
    }
}

/// A custom field. A value that is none of its kind counts as no value.
fn custom(key: &str, kind: FieldKind) -> String {
    // Keys are small letters, digits and underscores: whoever made `Fields` has looked the key up.
    let plain = |name: &str| name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    let (key, text) = match key.split_once('.') {
        // A part of money: its kinds are text and decimal alone.
        Some((key, part)) => (plain(key), format!("t.custom->'{}'->>'{}'", plain(key), plain(part))),
        None => (plain(key), format!("t.custom->>'{}'", plain(key))),
    };
    match kind {
        kind if kind.is_text() || kind == FieldKind::Id => format!("({text}) collate \"C\""),
        FieldKind::Integer => format!("(case jsonb_typeof(t.custom->'{key}') when 'number' then ({text})::bigint end)"),
        FieldKind::Bool => format!("(case jsonb_typeof(t.custom->'{key}') when 'boolean' then ({text})::boolean end)"),
        FieldKind::Decimal => format!("(case when {text} ~ '^-?[0-9]+([.][0-9]+)?$' then ({text})::numeric end)"),
        FieldKind::Date => format!("(case when {text} ~ '^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}$' then ({text})::date end)"),
        FieldKind::Time => format!(
            "(case when {text} ~ '^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[Tt ][0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}([.][0-9]+)?)?([Zz]|[+-][0-9]{{2}}:[0-9]{{2}})$' \
             then ({text})::timestamptz end)"
        ),
        _ => format!(
            "(case jsonb_typeof(t.custom->'{key}') when 'array' \
             then array(select jsonb_array_elements_text(t.custom->'{key}')) end)"
        ),
    }
}

/// A text in a `like` pattern, standing for itself.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

#[cfg(test)]
mod tests {
    use domain::kernel::filter::Fields;

    use super::*;

    struct All;

    impl Fields for All {
        fn kind(&self, field: &str) -> Option<FieldKind> {
            Some(match field {
                "priority" => FieldKind::Integer,
                "kinds" | "criteria.kinds" => FieldKind::Set,
                "tags" | "criteria.cities" => FieldKind::Tags,
                "status" | "custom.size" => FieldKind::Word,
                "phone" => FieldKind::Phone,
                "email" => FieldKind::Email,
                "custom.price" | "area" | "total.amount" | "criteria.price.amount" => FieldKind::Decimal,
                _ => FieldKind::Text,
            })
        }

        fn names(&self) -> Vec<String> {
            vec![]
        }
    }

    fn sql(filter: &Value) -> String {
        let mut sql = Sql::default();
        sql.filter(&Filter::parse(filter, &All).unwrap());
        sql.text
    }

    #[test]
    fn conditions_stay_fit_for_indexes() {
        let field = |field: &str, op: &str, value: Value| json!({ "field": field, "op": op, "value": value });
        assert_eq!(sql(&json!({})), "true");
        assert_eq!(sql(&field("status", "eq", json!("open"))), "t.status = $1");
        assert_eq!(sql(&field("status", "in", json!(["open"]))), "t.status = $1");
        assert_eq!(sql(&field("status", "in", json!(["open", "closed"]))), "t.status = any ($1)");
        assert_eq!(sql(&field("kinds", "eq", json!("house"))), "t.kinds @> $1::text[]");
        assert_eq!(sql(&field("tags", "eq", json!("vip"))), "texts_typed(t.tags) @> $1::text[]");
        assert_eq!(sql(&field("tags", "exact", json!("vip"))), "t.tags @> $1::text[]");
        assert_eq!(sql(&field("name", "eq", json!("Anna"))), "text_typed(t.name) = $1");
        assert_eq!(sql(&field("name", "exact", json!("Anna"))), "t.name = $1");
        assert_eq!(sql(&field("name", "contains", json!("Anna"))), "text_loose(t.name) like $1");
        assert_eq!(sql(&field("phone", "eq", json!("112"))), "phone_digits(t.phone) = $1");
        assert_eq!(sql(&field("phone", "contains", json!("112"))), "phone_digits(t.phone) like $1");
        assert_eq!(sql(&field("email", "eq", json!("A@example.com"))), "text_typed(t.email) = $1");
        assert_eq!(sql(&field("custom.size", "eq", json!("m"))), "(t.custom @> $1)");
        assert_eq!(sql(&field("area", "gt", json!("1.5"))), "(t.area)::numeric > $1");
        assert_eq!(sql(&field("total.amount", "gt", json!("1.5"))), "(t.total->>'amount')::numeric > $1");
        let price = field("criteria.price.amount", "lte", json!(7));
        assert_eq!(sql(&price), "(t.criteria->'price'->>'amount')::numeric <= $1");
        assert_eq!(sql(&field("criteria.kinds", "contains", json!("house"))), "(t.criteria @> $1)");
        let not =
            json!({ "not": { "any": [field("status", "eq", json!("open")), field("priority", "gt", json!(1))] } });
        assert_eq!(sql(&not), "(((t.status = $1) or (t.priority > $2))) is not true");
    }

    #[test]
    fn what_is_special_in_a_pattern_stands_for_itself() {
        assert_eq!(escaped(r"100%_\"), r"100\%\_\\");
    }
}
