//! A dashboard: pages of widgets that show reports, lists, what waits, feeds and texts over one range of the clock.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Ctx, Decision, Faults, Need, Rejection, Time, all,
    insight::{
        definition::{self, Definition, Values},
        shipped::Shipped,
        widget::{self, FULL, Kind, MAX_PAGES, MAX_WIDGETS, OVERLAP, PLACE_INVALID, Page, Place, Shows, Widget},
        window::Window,
    },
    kernel::{
        custom::{self, Changes},
        listing::Nothing,
        named::Either,
        record::{self, Common, Record, Row},
        valid::{self, TIME_ZONE_INVALID, is_time_zone},
    },
    must,
    org::field::Field,
};

/// A dashboard.
pub type Dashboard = Record<Spec>;

/// What makes a record a dashboard.
#[derive(Clone, Default)]
pub struct Spec;

/// Attributes of a dashboard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Over what its widgets go, those aside that have a range of their own: the last 30 days by default.
    #[serde(default)]
    pub range: Window,
    /// The time zone of its days, from the IANA database; the tenant's by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The dashboard that Deskfold brings along of which it is a copy: its pages are those, unless others are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_shipped: Option<Shipped>,
    /// Its pages, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub pages: Vec<Page>,
}

/// What may be asked of a dashboard, besides what every record takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Adds an empty page after the others.
    AddPage {
        /// Its id among the pages of the dashboard.
        #[schemars(extend("format" = "word"))]
        page: String,
        /// Its name.
        name: String,
    },
    /// Gives a page another name.
    RenamePage {
        /// The page.
        #[schemars(extend("format" = "word"))]
        page: String,
        /// Its new name.
        name: String,
    },
    /// Puts the pages into another order.
    ReorderPages {
        /// All of them.
        #[schemars(length(max = 20), extend("items" = { "type": "string", "format": "word" }))]
        pages: Vec<String>,
    },
    /// Removes a page with its widgets.
    RemovePage {
        /// The page.
        #[schemars(extend("format" = "word"))]
        page: String,
    },
    /// Adds a widget.
    AddWidget {
        /// The page that is to show it.
        #[schemars(extend("format" = "word"))]
        page: String,
        /// The widget.
        widget: Widget,
    },
    /// Has a widget show something else.
    ConfigureWidget {
        /// The widget.
        #[schemars(extend("format" = "word"))]
        widget: String,
        /// What it is to show.
        shows: Shows,
    },
    /// Moves and resizes widgets, several at once where one makes room for another.
    PlaceWidgets {
        /// Where each is to stand.
        #[schemars(length(min = 1, max = 40))]
        places: Vec<Placed>,
    },
    /// Removes a widget.
    RemoveWidget {
        /// The widget.
        #[schemars(extend("format" = "word"))]
        widget: String,
    },
}

/// A widget with the place that it is to have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Placed {
    /// The widget.
    #[schemars(extend("format" = "word"))]
    pub widget: String,
    /// Its place.
    pub place: Place,
    /// The page that it moves to, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "word"))]
    pub page: Option<String>,
}

/// What has happened to a dashboard, besides what happens to every record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A page came after the others.
    PageAdded {
        /// Its id.
        #[schemars(extend("format" = "word"))]
        page: String,
        /// Its name.
        name: String,
    },
    /// A page has another name.
    PageRenamed {
        /// The page.
        #[schemars(extend("format" = "word"))]
        page: String,
        /// Before.
        from: String,
        /// After.
        to: String,
    },
    /// The pages are in another order.
    PagesReordered {
        /// All of them.
        #[schemars(extend("items" = { "type": "string", "format": "word" }))]
        pages: Vec<String>,
    },
    /// A page was removed, with its widgets.
    PageRemoved {
        /// The page.
        #[schemars(extend("format" = "word"))]
        page: String,
    },
    /// A widget was added.
    WidgetAdded {
        /// The page that shows it.
        #[schemars(extend("format" = "word"))]
        page: String,
        /// The widget.
        widget: Widget,
    },
    /// A widget shows something else.
    WidgetConfigured {
        /// The widget.
        #[schemars(extend("format" = "word"))]
        widget: String,
        /// What it shows.
        shows: Shows,
    },
    /// A widget stands elsewhere, or has another size.
    WidgetPlaced {
        /// The widget.
        #[schemars(extend("format" = "word"))]
        widget: String,
        /// The page that shows it.
        #[schemars(extend("format" = "word"))]
        page: String,
        /// Its place.
        place: Place,
    },
    /// A widget was removed.
    WidgetRemoved {
        /// The widget.
        #[schemars(extend("format" = "word"))]
        widget: String,
    },
}

const PAGE_UNKNOWN: Rejection = Rejection::missing("dashboard_page_unknown", "The dashboard has no such page.");
const WIDGET_UNKNOWN: Rejection = Rejection::missing("dashboard_widget_unknown", "The dashboard has no such widget.");
const PAGE_EXISTS: Rejection =
    Rejection::conflict("dashboard_page_exists", "Another page of the dashboard has this id.");
const WIDGET_EXISTS: Rejection =
    Rejection::conflict("dashboard_widget_exists", "Another widget of the dashboard has this id.");
const ORDER_INVALID: Rejection =
    Rejection::invalid("dashboard_order_invalid", "An order of pages names each of them once.");

/// The page of a widget, and the widget.
pub fn find<'a>(pages: &'a [Page], widget: &str) -> Option<(&'a Page, &'a Widget)> {
    pages.iter().find_map(|page| Some((page, page.widgets.iter().find(|known| known.id == widget)?)))
}

/// Takes an event into the pages.
fn take(pages: &mut Vec<Page>, event: &Event) {
    match event {
        Event::PageAdded { page, name } => {
            pages.push(Page { id: page.clone(), name: name.clone(), widgets: Vec::new() });
        }
        Event::PageRenamed { page, to, .. } => {
            pages.iter_mut().filter(|known| known.id == *page).for_each(|known| known.name.clone_from(to));
        }
        Event::PagesReordered { pages: order } => {
            pages.sort_by_key(|page| order.iter().position(|id| *id == page.id).unwrap_or(usize::MAX));
        }
        Event::PageRemoved { page } => pages.retain(|known| known.id != *page),
        Event::WidgetAdded { page, widget } => {
            let page = pages.iter_mut().find(|known| known.id == *page);
            page.into_iter().for_each(|page| page.widgets.push(widget.clone()));
        }
        Event::WidgetConfigured { widget, shows } => {
            let mut all = pages.iter_mut().flat_map(|page| &mut page.widgets);
            all.find(|known| known.id == *widget).into_iter().for_each(|known| known.shows = shows.clone());
        }
        Event::WidgetPlaced { widget, page, place } => {
            let Some((of, known)) = find(pages, widget) else { return };
            let (moves, placed) = (of.id != *page, Widget { place: *place, ..known.clone() });
            if moves {
                pages.iter_mut().for_each(|page| page.widgets.retain(|known| known.id != *widget));
                let page = pages.iter_mut().find(|known| known.id == *page);
                page.into_iter().for_each(|page| page.widgets.push(placed.clone()));
            } else {
                let mut all = pages.iter_mut().flat_map(|page| &mut page.widgets);
                all.find(|known| known.id == *widget).into_iter().for_each(|known| known.place = *place);
            }
        }
        Event::WidgetRemoved { widget } => {
            pages.iter_mut().for_each(|page| page.widgets.retain(|known| known.id != *widget));
        }
    }
}

/// What must happen to pages for them to become others.
fn steps(before: &[Page], after: &[Page]) -> Vec<Event> {
    let mut now = before.to_vec();
    let mut events = Vec::new();
    let mut happens = |now: &mut Vec<Page>, event: Event| {
        take(now, &event);
        events.push(event);
    };
    for page in before.iter().filter(|page| !after.iter().any(|known| known.id == page.id)) {
        happens(&mut now, Event::PageRemoved { page: page.id.clone() });
    }
    let gone: Vec<String> = now.iter().flat_map(|page| &page.widgets).map(|widget| widget.id.clone()).collect();
    for widget in gone.into_iter().filter(|id| find(after, id).is_none()) {
        happens(&mut now, Event::WidgetRemoved { widget });
    }
    for page in after {
        match now.iter().find(|known| known.id == page.id).map(|known| known.name.clone()) {
            None => happens(&mut now, Event::PageAdded { page: page.id.clone(), name: page.name.clone() }),
            Some(from) if from != page.name => {
                happens(&mut now, Event::PageRenamed { page: page.id.clone(), from, to: page.name.clone() });
            }
            Some(_) => {}
        }
    }
    for page in after {
        for widget in &page.widgets {
            let known = find(&now, &widget.id).map(|(of, known)| (of.id != page.id, known.clone()));
            let Some((moves, known)) = known else {
                happens(&mut now, Event::WidgetAdded { page: page.id.clone(), widget: widget.clone() });
                continue;
            };
            let id = || widget.id.clone();
            if known.shows != widget.shows {
                happens(&mut now, Event::WidgetConfigured { widget: id(), shows: widget.shows.clone() });
            }
            if moves || known.place != widget.place {
                happens(&mut now, Event::WidgetPlaced { widget: id(), page: page.id.clone(), place: widget.place });
            }
        }
    }
    if !now.iter().map(|page| &page.id).eq(after.iter().map(|page| &page.id)) {
        let pages = after.iter().map(|page| page.id.clone()).collect();
        happens(&mut now, Event::PagesReordered { pages });
    }
    events
}

/// Every kind of record that something to be written counts, wherever in it that is said.
fn counted(value: &Value, kinds: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            kinds.extend(members.get("of").and_then(Value::as_str).map(ToOwned::to_owned));
            members.values().for_each(|member| counted(member, kinds));
        }
        Value::Array(items) => items.iter().for_each(|item| counted(item, kinds)),
        _ => {}
    }
}

fn kinds_of(pages: &[Page]) -> impl Iterator<Item = String> {
    pages.iter().flat_map(|page| &page.widgets).flat_map(|widget| widget.shows.kinds()).map(ToOwned::to_owned)
}

/// Whether a widget says what there is to say; `at` is its place in the body.
fn fits(shows: &Shows, at: &str, ctx: &Ctx<'_>) -> Result<(), Rejection> {
    let facts: Vec<_> = shows.kinds().map(|of| (of, ctx.fact::<Field>(Field::id_for(ctx.tenant, of)))).collect();
    let custom = |of: &str| facts.iter().find(|(known, _)| *known == of).map(|(_, field)| &field.definitions);
    shows.fits(at, custom, None)
}

impl record::Spec for Spec {
    const KIND: &'static str = "dashboard";
    const PLURAL: &'static str = "dashboards";
    const ABOUT: &'static str = "Pages of charts, numbers, lists and texts.";
    type Fields = Fields;
    type Command = Command;
    type Event = Event;
    type Shown = Nothing;
    type State = ();

    fn shows(row: &mut Row<Spec>, event: &Event, _: Time) {
        take(&mut row.fields.pages, event);
    }

    fn complete(fields: &mut Fields) {
        if let (Some(shipped), true) = (fields.from_shipped, fields.pages.is_empty()) {
            fields.pages = shipped.pages();
        }
    }

    fn check(fields: &Fields) -> Result<(), Rejection> {
        let zone = fields.time_zone.as_deref().is_none_or(is_time_zone);
        all([
            valid::name(&fields.name, "/name"),
            must(zone, TIME_ZONE_INVALID, "/time_zone"),
            widget::check(&fields.pages),
        ])
    }

    fn fits(fields: &Fields, ctx: &Ctx<'_>) -> Result<(), Rejection> {
        let mut faults = Faults::default();
        for (page, number) in fields.pages.iter().zip(0..) {
            for (widget, place) in page.widgets.iter().zip(0..) {
                faults.check(fits(&widget.shows, &format!("/pages/{number}/widgets/{place}/shows"), ctx));
            }
        }
        faults.done()
    }

    fn needs(dashboard: &Dashboard, command: &record::Command<Spec>, ctx: &Ctx<'_>) -> Vec<Need> {
        let known = || dashboard.fields.iter().flat_map(|fields| kinds_of(&fields.pages));
        let mut kinds = BTreeSet::new();
        match command {
            Either::Common(Common::Create(new)) => {
                let mut fields = new.fields.clone();
                <Spec as record::Spec>::complete(&mut fields);
                kinds.extend(kinds_of(&fields.pages));
            }
            Either::Common(Common::Edit(patch)) => {
                patch.get("pages").into_iter().for_each(|pages| counted(pages, &mut kinds));
                kinds.extend(known());
            }
            Either::Own(Command::AddWidget { widget, .. }) => {
                kinds.extend(widget.shows.kinds().map(ToOwned::to_owned));
            }
            Either::Own(Command::ConfigureWidget { shows, .. }) => kinds.extend(shows.kinds().map(ToOwned::to_owned)),
            _ => {}
        }
        kinds.iter().map(|of| custom::needs(of, ctx)).collect()
    }

    fn named(before: &Fields, after: &Fields, changes: &mut Changes) -> Vec<Event> {
        changes.remove("pages").map(|_| steps(&before.pages, &after.pages)).unwrap_or_default()
    }

    fn decide(dashboard: &Dashboard, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        let pages = dashboard.fields.as_ref().map(|fields| fields.pages.as_slice()).unwrap_or_default();
        let page_of = |id: &str| pages.iter().find(|page| page.id == id).ok_or(PAGE_UNKNOWN.at("/page"));
        Ok(match command {
            Command::AddPage { page, name } => match page_of(&page) {
                Ok(known) if known.name == name => vec![],
                Ok(_) => return Err(PAGE_EXISTS.at("/page")),
                Err(_) => {
                    all([
                        widget::check_id(&page, "/page"),
                        valid::name(&name, "/name"),
                        must(pages.len() < MAX_PAGES, FULL, "/page"),
                    ])?;
                    vec![Event::PageAdded { page, name }]
                }
            },
            Command::RenamePage { page, name } => {
                let known = page_of(&page)?;
                valid::name(&name, "/name")?;
                let renamed =
                    (known.name != name).then(|| Event::PageRenamed { page, from: known.name.clone(), to: name });
                renamed.into_iter().collect()
            }
            Command::ReorderPages { pages: order } => {
                let now: Vec<&String> = pages.iter().map(|page| &page.id).collect();
                let each: BTreeSet<&String> = order.iter().collect();
                let same = each.len() == order.len() && each == now.iter().copied().collect();
                must(same, ORDER_INVALID, "/pages")?;
                if order.iter().eq(now) { vec![] } else { vec![Event::PagesReordered { pages: order }] }
            }
            Command::RemovePage { page } => {
                page_of(&page).map_or_else(|_| vec![], |_| vec![Event::PageRemoved { page }])
            }
            Command::AddWidget { page, widget } => {
                let of = page_of(&page)?;
                match find(pages, &widget.id) {
                    Some((known, same)) if known.id == page && *same == widget => return Ok(vec![]),
                    Some(_) => return Err(WIDGET_EXISTS.at("/widget/id")),
                    None => {}
                }
                let widgets: Vec<Widget> = of.widgets.iter().chain([&widget]).cloned().collect();
                all([
                    widget.check("/widget"),
                    fits(&widget.shows, "/widget/shows", ctx),
                    must(of.widgets.len() < MAX_WIDGETS, FULL, "/widget"),
                    must(widget::layout(&widgets).is_empty(), OVERLAP, "/widget/place"),
                ])?;
                vec![Event::WidgetAdded { page, widget }]
            }
            Command::ConfigureWidget { widget, shows } => {
                let (_, known) = find(pages, &widget).ok_or(WIDGET_UNKNOWN.at("/widget"))?;
                if known.shows == shows {
                    return Ok(vec![]);
                }
                all([shows.check("/shows"), fits(&shows, "/shows", ctx)])?;
                vec![Event::WidgetConfigured { widget, shows }]
            }
            Command::PlaceWidgets { places } => place(pages, &places)?,
            Command::RemoveWidget { widget } => {
                find(pages, &widget).map(|_| Event::WidgetRemoved { widget }).into_iter().collect()
            }
        })
    }

    fn evolve(dashboard: &mut Dashboard, event: &Event) {
        if let Some(fields) = &mut dashboard.fields {
            take(&mut fields.pages, event);
        }
    }

    fn refusals() -> Vec<Rejection> {
        let own = [PAGE_UNKNOWN, WIDGET_UNKNOWN, PAGE_EXISTS, WIDGET_EXISTS, ORDER_INVALID];
        own.into_iter().chain(widget::refusals()).chain(definition::refusals()).collect()
    }

    fn examples() -> (Fields, Vec<Command>) {
        let shows = |kind: Kind, dimensions: &[&str]| Shows {
            definition: Some(Definition {
                of: "ticket".into(),
                measures: vec!["opened".into()],
                dimensions: dimensions.iter().map(|name| (*name).to_owned()).collect(),
                columns: Vec::new(),
                sort: None,
                filter: serde_json::Map::new(),
                values: Values::Then,
                time_zone: None,
                calendar: None,
            }),
            ..Shows::new(kind)
        };
        let widget =
            |id: &str, x: u32, shows: Shows| Widget { id: id.into(), place: Place { x, y: 0, w: 4, h: 4 }, shows };
        let first = widget("opened_by_week", 0, shows(Kind::Line, &["week"]));
        let second = widget("opened_by_product", 4, shows(Kind::Bar, &["product_id"]));
        let page = Page { id: "overview".into(), name: "Overview".into(), widgets: vec![first] };
        let fields = Fields {
            name: "Help desk".into(),
            description: Some("What happens today.".into()),
            range: Window::default(),
            time_zone: Some("Europe/Rome".into()),
            from_shipped: None,
            pages: vec![page, Page { id: "later".into(), name: "Later".into(), widgets: Vec::new() }],
        };
        let (page, id) = (|| "overview".to_owned(), || "opened_by_week".to_owned());
        let place = Place { x: 8, y: 0, w: 4, h: 4 };
        let commands = vec![
            Command::AddPage { page: "hours".into(), name: "Hours".into() },
            Command::RenamePage { page: page(), name: "All of it".into() },
            Command::ReorderPages { pages: vec!["later".into(), page()] },
            Command::RemovePage { page: page() },
            Command::AddWidget { page: page(), widget: second },
            Command::ConfigureWidget { widget: id(), shows: shows(Kind::HeatMap, &["weekday", "hour_of_day"]) },
            Command::PlaceWidgets { places: vec![Placed { widget: id(), place, page: None }] },
            Command::RemoveWidget { widget: id() },
        ];
        (fields, commands)
    }
}

/// Moves and resizes widgets, if all of them have room then.
fn place(pages: &[Page], places: &[Placed]) -> Decision<Event> {
    let mut now = pages.to_vec();
    let mut faults = Faults::default();
    for (Placed { widget, place, page }, number) in places.iter().zip(0..) {
        let at = |member: &str| format!("/places/{number}/{member}");
        let Some((of, known)) = find(&now, widget) else {
            faults.add(WIDGET_UNKNOWN.at(at("widget")));
            continue;
        };
        let page = page.clone().unwrap_or_else(|| of.id.clone());
        if !now.iter().any(|known| known.id == page) {
            faults.add(PAGE_UNKNOWN.at(at("page")));
            continue;
        }
        let moved = Widget { place: *place, ..known.clone() };
        faults.check(must(moved.place.is_on_grid(), PLACE_INVALID, at("place")));
        take(&mut now, &Event::WidgetPlaced { widget: widget.clone(), page, place: *place });
    }
    faults.done()?;
    let mut faults = Faults::default();
    for page in &now {
        faults.check(must(page.widgets.len() <= MAX_WIDGETS, FULL, "/places"));
        for late in widget::layout(&page.widgets) {
            // Pointed at is one that moved, since nothing lay upon another before.
            let late = page.widgets.get(late);
            let meets = |placed: &&Placed| {
                let own = page.widgets.iter().find(|widget| widget.id == placed.widget);
                own.zip(late).is_some_and(|(own, late)| own.id == late.id || own.place.meets(late.place))
            };
            let number = places.iter().position(|placed| meets(&placed)).unwrap_or_default();
            faults.add(OVERLAP.at(format!("/places/{number}/place")));
        }
    }
    faults.done()?;
    Ok(steps(pages, &now))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::{
        given::{created, given, new},
        record::Spec as _,
    };

    fn widget(id: &str, (x, y, w, h): (u32, u32, u32, u32)) -> Widget {
        Widget { id: id.into(), place: Place { x, y, w, h }, shows: Shows::new(Kind::PendingWork) }
    }

    fn page(id: &str, widgets: Vec<Widget>) -> Page {
        Page { id: id.into(), name: id.to_uppercase(), widgets }
    }

    fn own(command: Command) -> record::Command<Spec> {
        Either::Own(command)
    }

    #[test]
    fn whatever_pages_become_the_steps_lead_there() {
        let here = vec![page("a", vec![widget("one", (0, 0, 4, 2)), widget("two", (4, 0, 4, 2))]), page("b", vec![])];
        let mut configured = widget("two", (4, 0, 4, 2));
        configured.shows.title = Some("Mine".into());
        let ends = [
            vec![],
            vec![page("b", vec![]), page("a", vec![widget("one", (0, 0, 4, 2)), configured.clone()])],
            vec![page("b", vec![widget("one", (1, 1, 2, 2)), widget("two", (4, 0, 4, 2))])],
            vec![page("a", vec![widget("one", (6, 0, 4, 2))]), page("c", vec![configured]), page("b", vec![])],
        ];
        for end in &ends {
            for (from, to) in [(&here, end), (end, &here)] {
                let mut now = from.clone();
                steps(from, to).iter().for_each(|event| take(&mut now, event));
                let sorted = |pages: &[Page]| {
                    let mut pages = pages.to_vec();
                    pages.iter_mut().for_each(|page| page.widgets.sort_by(|a, b| a.id.cmp(&b.id)));
                    pages
                };
                assert_eq!(sorted(&now), sorted(to));
                assert_eq!(steps(&now, to), []);
            }
        }
    }

    #[test]
    fn widgets_stand_on_the_grid_and_not_upon_each_other() {
        let place =
            |id: &str, x: u32, y: u32, w: u32| Placed { widget: id.into(), place: Place { x, y, w, h: 4 }, page: None };
        let add = |x: u32| {
            let widget = Widget { place: Place { x, y: 3, w: 4, h: 4 }, ..widget("next", (0, 0, 1, 1)) };
            own(Command::AddWidget { page: "overview".into(), widget })
        };
        given::<Dashboard>(created::<Spec>()).when(add(0)).rejected(OVERLAP);
        given::<Dashboard>(created::<Spec>()).when(add(9)).rejected(PLACE_INVALID);
        assert_eq!(given::<Dashboard>(created::<Spec>()).when(add(4)).events().len(), 1);
        // Two change places in one go.
        let [begun] = created::<Spec>();
        let second = Widget { id: "second".into(), ..widget("", (4, 0, 4, 4)) };
        let both =
            || [begun.clone(), Either::Own(Event::WidgetAdded { page: "overview".into(), widget: second.clone() })];
        let swap = |places: Vec<Placed>| own(Command::PlaceWidgets { places });
        let swapped = swap(vec![place("opened_by_week", 4, 0, 4), place("second", 0, 0, 4)]);
        assert_eq!(given::<Dashboard>(both()).when(swapped).events().len(), 2);
        let upon = swap(vec![place("second", 2, 0, 4)]);
        given::<Dashboard>(both()).when(upon).rejected(OVERLAP);
        given::<Dashboard>(both()).when(swap(vec![place("third", 0, 9, 4)])).rejected(WIDGET_UNKNOWN);
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_pointed_at() {
        let refused = |change: fn(&mut Fields)| {
            let mut fields = Spec::examples().0;
            change(&mut fields);
            let refused = Spec::check(&fields).unwrap_err();
            refused.errors.into_iter().map(|error| (error.pointer, error.code.into_owned())).collect::<Vec<_>>()
        };
        let at = |pointer: &str, code: &str| vec![(pointer.to_owned(), code.to_owned())];
        let shows = "/pages/0/widgets/0/shows";
        assert_eq!(refused(|f| f.time_zone = Some("Mars/Base".into())), at("/time_zone", "time_zone_invalid"));
        assert_eq!(refused(|f| f.pages[0].id = "Über".into()), at("/pages/0/id", "dashboard_id_invalid"));
        assert_eq!(
            refused(|f| f.pages.push(f.pages[0].clone())),
            [at("/pages/2/id", "dashboard_id_taken"), at("/pages/2/widgets/0/id", "dashboard_id_taken")].concat()
        );
        assert_eq!(
            refused(|f| f.pages[0].widgets[0].shows.kind = Kind::HeatMap),
            at(&format!("{shows}/definition"), "widget_shape_invalid")
        );
        assert_eq!(
            refused(|f| f.pages[0].widgets[0].shows = Shows::new(Kind::Text)),
            at(&format!("{shows}/text"), "widget_shape_invalid")
        );
        assert_eq!(
            refused(|f| f.pages[0].widgets[0].shows = Shows::new(Kind::Bar)),
            at(&format!("{shows}/kind"), "widget_shape_invalid")
        );
        let list = |of: &str, column: &str| {
            let collection = json!({ "of": of, "columns": [column] });
            let mut fields = Spec::examples().0;
            fields.pages[0].widgets[0].shows =
                Shows { collection: serde_json::from_value(collection).unwrap(), ..Shows::new(Kind::List) };
            Spec::check(&fields).err().map(|refused| refused.errors[0].code.clone())
        };
        assert_eq!(list("ticket", "title"), None);
        assert_eq!(list("ticket", "colour").as_deref(), Some("widget_field_unknown"));
        assert_eq!(list("unicorn", "title").as_deref(), Some("widget_kind_unknown"));
        // What its report counts is looked at as reports themselves are.
        let mut unknown = new::<Spec>();
        let shows = &mut unknown.fields.pages[0].widgets[0].shows;
        shows.definition.iter_mut().for_each(|definition| definition.measures.push("sold".into()));
        given::<Dashboard>([]).when(Either::Common(Common::Create(unknown))).rejected(definition::MEASURE_UNKNOWN);
    }

    #[test]
    fn an_edit_of_pages_is_told_step_by_step_and_a_copy_of_what_is_shipped_has_its_pages() {
        let patch = json!({ "pages": [{ "id": "overview", "name": "All", "widgets": [] }], "range": "this_month" });
        let Value::Object(patch) = patch else { unreachable!() };
        let edited = given::<Dashboard>(created::<Spec>()).when(Either::Common(Common::Edit(patch))).events();
        assert_eq!(edited.len(), 4, "{edited:?}");
        for shipped in Shipped::ALL {
            let mut fields = Fields { from_shipped: Some(*shipped), pages: vec![], ..Spec::examples().0 };
            Spec::complete(&mut fields);
            assert_eq!(Spec::check(&fields), Ok(()), "{shipped:?}");
            assert!(fields.pages.iter().all(|page| page.widgets.len() > 3), "{shipped:?}");
            for widget in fields.pages.iter().flat_map(|page| &page.widgets) {
                assert_eq!(widget.shows.fits("", |_| None, None), Ok(()), "{shipped:?}: {}", widget.id);
            }
        }
    }
}
