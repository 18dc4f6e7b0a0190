//! What a report is to say, and whether that makes sense.

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Country, Faults, Rejection,
    catalogue::listed,
    insight::{
        calendar::{CALENDAR_INVALID, Calendar},
        clock::Division,
        facts::{self, How, Measure, Source},
    },
    kernel::{
        custom::{self, Definitions},
        filter::{FieldKind, Fields, Filter},
        valid::{TIME_ZONE_INVALID, is_time_zone},
    },
};

/// Most measures of one report.
pub const MAX_MEASURES: usize = 20;
/// Most dimensions of one report.
pub const MAX_DIMENSIONS: usize = 2;
/// Most columns of one report.
pub const MAX_COLUMNS: usize = 100;

/// What a report says. One with `measures` counts and measures, one with `columns` lists records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The kind of records it is about.
    #[serde(default = "ticket")]
    #[schemars(extend("format" = "word"))]
    pub of: String,
    /// What is counted or measured: `opened`, `backlog`, `resolution`, ...
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("items" = { "type": "string", "format": "word" }))]
    pub measures: Vec<String>,
    /// By what the numbers are divided: fields such as `product_id` or `custom.size`, and periods such as `month`. Two make a
    /// pivot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("items" = { "type": "string", "format": "word" }))]
    pub dimensions: Vec<String>,
    /// The fields that a list of records shows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("items" = { "type": "string", "format": "word" }))]
    pub columns: Vec<String>,
    /// How a list is ordered: `-priority,opened_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<String>,
    /// Only records that match this filter.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub filter: Map<String, Value>,
    /// Whether dimensions and conditions are as they were when something counted, or as they are now.
    #[serde(default)]
    pub values: Values,
    /// The time zone of its periods, from the IANA database; the tenant's by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The hours of work, by which lengths are business time; without them they are elapsed time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<Calendar>,
}

fn ticket() -> String {
    "ticket".to_owned()
}

/// Which values of a record count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Values {
    /// Those that it had when what is counted happened.
    #[default]
    Then,
    /// Those that it has now.
    Now,
}

/// Nothing of this name can be reported on.
pub const KIND_UNKNOWN: Rejection =
    Rejection::invalid("report_kind_unknown", "Reports are about no records of this kind.");
/// Neither measures nor columns, or both.
pub const SHAPE_INVALID: Rejection =
    Rejection::invalid("report_shape_invalid", "A report has measures, with dimensions if it likes, or else columns.");
/// Too much at once.
pub const TOO_LARGE: Rejection = Rejection::invalid(
    "report_too_large",
    "A report has at most 20 measures, 2 dimensions and 100 columns, each once.",
);
/// No such measure.
pub const MEASURE_UNKNOWN: Rejection = Rejection::invalid("report_measure_unknown", "There is no such measure.");
/// What has no end cannot be asked what there is at its end.
pub const MEASURE_UNFIT: Rejection = Rejection::invalid(
    "report_measure_unfit",
    "A backlog is divided by at most one period, and by none that comes again and again.",
);
/// No such dimension.
pub const DIMENSION_UNKNOWN: Rejection = Rejection::invalid("report_dimension_unknown", "There is no such dimension.");
/// No such column.
pub const COLUMN_UNKNOWN: Rejection = Rejection::invalid("report_column_unknown", "The list has no such column.");
/// No such field to sort by.
const SORT_UNKNOWN: Rejection =
    Rejection::invalid("sort_field_unknown", "There is no such field to sort by; the detail lists those there are.");
/// What may be wrong with a filter.
const FILTER: [Rejection; 4] = [
    Rejection::invalid("filter_malformed", "The filter is no filter tree; `errors` points at the place."),
    Rejection::invalid("filter_field_unknown", "The filter names a field that there is not."),
    Rejection::invalid("filter_op_unknown", "The field does not take that op; the detail lists those it takes."),
    Rejection::invalid("filter_value_invalid", "The value does not fit the field."),
];

/// What may be wrong with a definition.
pub fn refusals() -> Vec<Rejection> {
    let own = [
        KIND_UNKNOWN,
        SHAPE_INVALID,
        TOO_LARGE,
        MEASURE_UNKNOWN,
        MEASURE_UNFIT,
        DIMENSION_UNKNOWN,
        COLUMN_UNKNOWN,
        TIME_ZONE_INVALID,
        CALENDAR_INVALID,
        SORT_UNKNOWN,
    ];
    own.into_iter().chain(FILTER).collect()
}

/// By what numbers are divided.
#[derive(Clone, Debug, PartialEq)]
pub enum By {
    /// Over time.
    Period(Division),
    /// By a field.
    Field(String, FieldKind),
}

/// A definition that makes sense.
pub struct Compiled {
    /// What it is about.
    pub source: &'static Source,
    /// What it measures.
    pub measures: Vec<&'static Measure>,
    /// By what.
    pub by: Vec<By>,
    /// Only what matches.
    pub filter: Filter,
}

/// What reports know of a kind of record.
struct Known<'a> {
    source: &'static Source,
    custom: &'a Definitions,
    country: Option<Country>,
}

impl Known<'_> {
    /// Custom fields that hold nothing about a person.
    fn custom(&self, path: &str) -> Option<FieldKind> {
        let field = |key: &str| self.custom.get(key).filter(|field| !field.personal);
        custom::filtered(path, |key| field(key).map(|field| field.field_type))
    }
}

impl Fields for Known<'_> {
    fn kind(&self, field: &str) -> Option<FieldKind> {
        match field.strip_prefix("custom.") {
            Some(path) => self.custom(path),
            None => self.source.dimension(field).map(|dimension| dimension.kind),
        }
    }

    fn names(&self) -> Vec<String> {
        let custom = self.custom.iter().filter(|(_, field)| !field.personal);
        let custom = custom.flat_map(|(key, field)| custom::filter_names(key, field.field_type));
        let own = self.source.dimensions.iter().map(|dimension| dimension.name.to_owned());
        own.chain(custom.map(|path| format!("custom.{path}"))).collect()
    }

    fn country(&self) -> Option<Country> {
        self.country
    }
}

/// What lists know of a kind of record.
struct Listed<'a> {
    kind: &'a str,
    custom: &'a Definitions,
    country: Option<Country>,
}

impl Fields for Listed<'_> {
    fn kind(&self, field: &str) -> Option<FieldKind> {
        match field.strip_prefix("custom.") {
            Some(path) => custom::filtered(path, |key| self.custom.get(key).map(|field| field.field_type)),
            None => listed::kind_of(self.kind, field),
        }
    }

    fn names(&self) -> Vec<String> {
        let custom = self.custom.iter().flat_map(|(key, field)| custom::filter_names(key, field.field_type));
        let own = listed::fields(self.kind).map(|(name, _)| name.to_owned());
        own.chain(custom.map(|path| format!("custom.{path}"))).collect()
    }

    fn country(&self) -> Option<Country> {
        self.country
    }
}

/// Looks at each of some names, none of which may come twice.
fn each<'a>(
    names: &'a [String],
    place: &'static str,
    faults: &mut Faults,
    mut one: impl FnMut(&'a str) -> Result<(), Rejection>,
) {
    for (index, name) in names.iter().enumerate() {
        let fault = if names.iter().take(index).any(|before| before == name) { Err(TOO_LARGE) } else { one(name) };
        faults.check(fault.map_err(|fault| fault.at(format!("/{place}/{index}"))));
    }
}

fn among(refusal: Rejection, name: &str, known: impl Iterator<Item = impl AsRef<str>>) -> Rejection {
    let known: Vec<String> = known.map(|name| name.as_ref().to_owned()).collect();
    refusal.because(format!("There is no {name}; there are {}.", known.join(", ")))
}

impl Definition {
    /// Whether it lists records instead of counting them.
    pub fn is_list(&self) -> bool {
        !self.columns.is_empty()
    }

    /// What it means, with the custom fields of its kind; phone numbers of `country` are written without its code.
    ///
    /// # Errors
    /// When it makes no sense: with a pointer into it for each place at fault.
    pub fn compile(&self, custom: &Definitions, country: Option<Country>) -> Result<Compiled, Rejection> {
        let Some(source) = facts::counted().find(|source| source.kind == self.of) else {
            return Err(among(KIND_UNKNOWN, &self.of, facts::counted().map(|source| source.kind)).at("/of"));
        };
        let known = Known { source, custom, country };
        let mut faults = Faults::default();
        if self.measures.is_empty() == self.columns.is_empty() || self.is_list() && !self.dimensions.is_empty() {
            faults.add(SHAPE_INVALID.at("/measures"));
        }
        let sizes = [
            ("measures", self.measures.len(), MAX_MEASURES),
            ("dimensions", self.dimensions.len(), MAX_DIMENSIONS),
            ("columns", self.columns.len(), MAX_COLUMNS),
        ];
        for (place, _, _) in sizes.iter().filter(|(_, size, most)| size > most) {
            faults.add(TOO_LARGE.at(format!("/{place}")));
        }
        let mut by = Vec::new();
        each(&self.dimensions, "dimensions", &mut faults, |name| {
            let period = Division::named(name).map(By::Period);
            let field = || known.kind(name).map(|kind| By::Field(name.to_owned(), kind));
            let periods = Division::ALL.iter().map(|(name, _)| (*name).to_owned());
            by.push(
                period
                    .or_else(field)
                    .ok_or_else(|| among(DIMENSION_UNKNOWN, name, known.names().into_iter().chain(periods)))?,
            );
            Ok(())
        });
        let periods: Vec<Division> =
            by.iter().filter_map(|by| if let By::Period(division) = by { Some(*division) } else { None }).collect();
        let endless = periods.len() > 1 || periods.iter().any(|division| division.is_cyclic());
        let mut measures = Vec::new();
        each(&self.measures, "measures", &mut faults, |name| {
            let names = source.measures.iter().map(|measure| measure.name);
            let measure = source.measure(name).ok_or_else(|| among(MEASURE_UNKNOWN, name, names))?;
            if endless && matches!(measure.how, How::Level { .. }) {
                return Err(MEASURE_UNFIT);
            }
            measures.push(measure);
            Ok(())
        });
        each(&self.columns, "columns", &mut faults, |name| {
            let key = name.strip_prefix("custom.");
            if name == "id"
                || listed::kind_of(&self.of, name).is_some()
                || key.is_some_and(|key| custom.contains_key(key))
            {
                return Ok(());
            }
            let names = listed::fields(&self.of).map(|(name, _)| name.to_owned());
            Err(among(COLUMN_UNKNOWN, name, names.chain(custom.keys().map(|key| format!("custom.{key}")))))
        });
        if self.time_zone.as_deref().is_some_and(|zone| !is_time_zone(zone)) {
            faults.add(TIME_ZONE_INVALID.at("/time_zone"));
        }
        if let Some(calendar) = &self.calendar {
            faults.check(calendar.check("/calendar"));
        }
        let listed = Listed { kind: &self.of, custom, country };
        let sorted = self.sort.iter().flat_map(|sort| sort.split(','));
        let sorted = sorted.map(|step| step.trim().trim_start_matches(['-', '+']));
        for step in sorted.filter(|step| listed.kind(step).is_none()) {
            faults.add(among(SORT_UNKNOWN, step, listed.names().into_iter()).at("/sort"));
        }
        let filter = Value::Object(self.filter.clone());
        let filter = if self.is_list() { Filter::parse(&filter, &listed) } else { Filter::parse(&filter, &known) };
        let filter = filter.unwrap_or_else(|errors| {
            for error in errors {
                let refusal = FILTER.into_iter().find(|known| known.code == error.code).unwrap_or(SHAPE_INVALID);
                faults.add(refusal.because(error.detail).at(format!("/filter{}", error.pointer)));
            }
            Filter::EVERYTHING
        });
        faults.done()?;
        Ok(Compiled { source, measures, by, filter })
    }

    /// Its time zone, or else the tenant's.
    pub fn zone(&self, tenants: &str) -> TimeZone {
        TimeZone::get(self.time_zone.as_deref().unwrap_or(tenants)).unwrap_or(TimeZone::UTC)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(definition: Value) -> Vec<(String, String)> {
        let definition: Definition = serde_json::from_value(definition).unwrap();
        let refused = definition.compile(&Definitions::new(), None).err().map(|refused| refused.errors);
        let places = refused.into_iter().flatten().map(|error| (error.pointer, error.code.into_owned()));
        places.collect()
    }

    fn at(pointer: &str, code: &str) -> Vec<(String, String)> {
        vec![(pointer.to_owned(), code.to_owned())]
    }

    #[test]
    fn what_it_names_is_there_and_each_fault_is_told_with_its_place() {
        let fine = json!({ "measures": ["opened", "resolution"], "dimensions": ["product_id", "month"],
            "filter": { "field": "priority", "op": "gte", "value": 2 }, "time_zone": "Europe/Rome" });
        assert_eq!(refused(fine), []);
        assert_eq!(refused(json!({ "of": "user", "measures": ["opened"] })), at("/of", "report_kind_unknown"));
        assert_eq!(refused(json!({})), at("/measures", "report_shape_invalid"));
        assert_eq!(
            refused(json!({ "measures": ["opened"], "columns": ["title"] })),
            at("/measures", "report_shape_invalid")
        );
        assert_eq!(refused(json!({ "measures": ["opened", "sold"] })), at("/measures/1", "report_measure_unknown"));
        assert_eq!(refused(json!({ "measures": ["opened", "opened"] })), at("/measures/1", "report_too_large"));
        let dimensions = |names: Value| json!({ "measures": ["opened"], "dimensions": names });
        assert_eq!(refused(dimensions(json!(["assignee"]))), at("/dimensions/0", "report_dimension_unknown"));
        assert_eq!(refused(dimensions(json!(["custom.size"]))), at("/dimensions/0", "report_dimension_unknown"));
        assert_eq!(refused(dimensions(json!(["stage", "status", "tags"]))), at("/dimensions", "report_too_large"));
        assert_eq!(refused(json!({ "columns": ["title", "color"] })), at("/columns/1", "report_column_unknown"));
        let zone = json!({ "measures": ["opened"], "time_zone": "Europe/Atlantis" });
        assert_eq!(refused(zone), at("/time_zone", "time_zone_invalid"));
        let filter = |filter: Value| json!({ "measures": ["opened"], "filter": { "all": [filter] } });
        let unknown = json!({ "field": "title", "op": "eq", "value": "x" });
        assert_eq!(refused(filter(unknown)), at("/filter/all/0/field", "filter_field_unknown"));
        let unfit = json!({ "field": "team_id", "op": "eq", "value": "x" });
        assert_eq!(refused(filter(unfit)), at("/filter/all/0/value", "filter_value_invalid"));
    }

    #[test]
    fn a_backlog_is_what_there_is_at_an_end() {
        let backlog = |dimensions: Value| refused(json!({ "measures": ["backlog"], "dimensions": dimensions }));
        assert_eq!(backlog(json!(["month", "team_id"])), []);
        assert_eq!(backlog(json!(["hour_of_day"])), at("/measures/0", "report_measure_unfit"));
        assert_eq!(backlog(json!(["month", "day"])), at("/measures/0", "report_measure_unfit"));
    }
}
