//! A flat, house or plot that is for sale or to let.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    Ctx, Decision, Id, Money, Need, Rejection, Time, all,
    kernel::{
        custom::{self, Changes},
        money,
        named::Either,
        record::{self, Common, Record, Row},
        valid,
    },
    must,
    org::{settings, tenant::Tenant},
};

/// A property.
pub type Property = Record<Spec>;

/// What makes a record a property.
#[derive(Clone, Default)]
pub struct Spec;

/// What sort of property.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A flat.
    #[default]
    Apartment,
    /// A room in a flat.
    Room,
    /// A house.
    House,
    /// A plot of land.
    Land,
    /// Offices, shops, halls.
    Commercial,
    /// A garage or parking space.
    Garage,
    /// Anything else.
    Other,
}

/// Whether it is sold or let.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// For sale.
    #[default]
    Sale,
    /// To let.
    Rent,
}

/// A place on the map, in degrees (WGS 84).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// North of the equator, as text: `59.9386`.
    #[schemars(extend("x-minimum" = "-90", "x-maximum" = "90"))]
    pub latitude: Decimal,
    /// East of Greenwich, as text: `30.3141`.
    #[schemars(extend("x-minimum" = "-180", "x-maximum" = "180"))]
    pub longitude: Decimal,
}

/// Attributes of a property.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// The title of its advertisement.
    pub name: String,
    /// What sort of property.
    #[serde(default)]
    pub kind: Kind,
    /// Whether it is sold or let.
    #[serde(default)]
    pub purpose: Purpose,
    /// What it costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Money>,
    /// Street and number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// City.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// Country, ISO 3166-1 alpha-2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Where it lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Area in square metres, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-minimum" = "0", "x-maximum" = "100000000"))]
    pub area: Option<Decimal>,
    /// Rooms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub rooms: Option<u16>,
    /// Its floor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -20, max = 300))]
    pub floor: Option<i16>,
    /// Floors of the building.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 300))]
    pub floors: Option<u16>,
    /// What it has: `balcony`, `lift`, ...
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub features: BTreeSet<String>,
    /// The text of its advertisement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// What sort of picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MediaKind {
    /// A photograph.
    #[default]
    Photo,
    /// A film.
    Video,
    /// A walk through in three dimensions.
    Tour,
    /// A floor plan.
    Plan,
}

/// A picture of a property: an upload, or an address elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Media {
    /// Its id; made for you when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_id: Option<Id>,
    /// What sort of picture.
    #[serde(default)]
    pub kind: MediaKind,
    /// Its upload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "upload"))]
    pub upload_id: Option<Id>,
    /// Its address elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
}

/// What may be asked of a property, besides what every record takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Adds a photo, video, tour or plan after the others.
    AddMedia(Media),
    /// Removes one.
    RemoveMedia {
        /// Which one.
        media_id: Id,
    },
    /// Puts them into another order.
    ReorderMedia {
        /// All of them, the first one first.
        order: Vec<Id>,
    },
    /// Has it advertised on a property portal.
    PublishToPortal {
        /// The portal's name, one of the setting `portals`; `website` is the sites of one's own.
        portal: String,
    },
    /// Has it advertised there no longer.
    UnpublishFromPortal {
        /// The portal's name.
        portal: String,
    },
    /// Records that a portal has turned it down.
    MarkPortalRejected {
        /// The portal's name.
        portal: String,
        /// What the portal says.
        error: String,
    },
}

/// What has happened to a property, besides what happens to every record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It costs something else.
    PriceChanged {
        /// Before.
        from: Option<Money>,
        /// After.
        to: Option<Money>,
    },
    /// A picture was added.
    MediaAdded(Media),
    /// A picture was removed.
    MediaRemoved {
        /// Which one.
        media_id: Id,
    },
    /// Pictures are in another order.
    MediaReordered {
        /// Before.
        from: Vec<Id>,
        /// After.
        to: Vec<Id>,
    },
    /// It is advertised on a portal.
    PublishedToPortal {
        /// The portal's name.
        portal: String,
    },
    /// It is advertised there no longer.
    Unpublished {
        /// The portal's name.
        portal: String,
    },
    /// A portal has turned it down.
    PortalRejected {
        /// The portal's name.
        portal: String,
        /// What the portal says.
        error: String,
    },
}

/// What a property's own commands must remember.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    media: Vec<Media>,
    portals: BTreeMap<String, Option<String>>,
}

/// The portal that the sites of the tenant itself are: channels of kind `website` show what is advertised on it.
pub const SITE: &str = "website";

const MEDIA_INVALID: Rejection =
    Rejection::invalid("property_media_invalid", "A picture is an upload or an http address, one of the two.");
const MEDIA_EXISTS: Rejection =
    Rejection::conflict("property_media_exists", "A picture with this id shows something else.");
const FLOOR_INVALID: Rejection =
    Rejection::invalid("property_floor_invalid", "A floor lies within the building: at most as high as it has floors.");
const ORDER_INVALID: Rejection =
    Rejection::invalid("property_media_order_invalid", "The order names every picture once.");
const PORTAL_INVALID: Rejection =
    Rejection::invalid("property_portal_invalid", "A portal is one of those in the setting portals, or website.");

impl State {
    fn order(&self) -> Vec<Id> {
        self.media.iter().filter_map(|media| media.media_id).collect()
    }
}

/// What its list shows of a property besides its attributes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shown {
    /// Photos, videos, tours and plans, the first one first.
    pub media: Vec<Media>,
    /// The portals on which it is advertised.
    #[schemars(extend("items" = json!({ "type": "string", "format": "word" })))]
    pub portals: BTreeSet<String>,
    /// The portals that have turned it down, with what they say.
    pub portal_errors: BTreeMap<String, String>,
}

impl record::Spec for Spec {
    const KIND: &'static str = "property";
    const PLURAL: &'static str = "properties";
    const ABOUT: &'static str = "A flat, house or plot that is for sale or to let.";
    const ORDER: &'static str = "-created_at";
    const FILES: bool = true;
    type Fields = Fields;
    type Command = Command;
    type Event = Event;
    type Shown = Shown;
    type State = State;

    fn shows(row: &mut Row<Spec>, event: &Event, _: Time) {
        let Shown { media, portals, portal_errors } = &mut row.shown;
        match event.clone() {
            Event::PriceChanged { to, .. } => row.fields.price = to,
            Event::MediaAdded(added) => media.push(added),
            Event::MediaRemoved { media_id } => media.retain(|media| media.media_id != Some(media_id)),
            Event::MediaReordered { to, .. } => {
                media.sort_by_key(|media| to.iter().position(|id| media.media_id == Some(*id)));
            }
            Event::PublishedToPortal { portal } => {
                portal_errors.remove(&portal);
                portals.insert(portal);
            }
            Event::Unpublished { portal } => {
                portal_errors.remove(&portal);
                portals.remove(&portal);
            }
            Event::PortalRejected { portal, error } => {
                portals.remove(&portal);
                portal_errors.insert(portal, error);
            }
        }
    }

    fn check(fields: &Fields) -> Result<(), Rejection> {
        all([
            valid::name(&fields.name, "/name"),
            valid::country(fields.country.as_deref()),
            valid::price(fields.price.as_ref()),
            must(
                fields.floor.zip(fields.floors).is_none_or(|(at, of)| i32::from(at) <= i32::from(of)),
                FLOOR_INVALID,
                "/floor",
            ),
        ])
    }

    fn named(before: &Fields, after: &Fields, changes: &mut Changes) -> Vec<Event> {
        let price = changes.remove("price").map(|_| Event::PriceChanged { from: before.price, to: after.price });
        price.into_iter().collect()
    }

    /// What is put away is advertised no longer.
    fn uploads(property: &Property) -> BTreeSet<Id> {
        property.state.media.iter().filter_map(|media| media.upload_id).collect()
    }

    fn put_away(property: &Property) -> Vec<Event> {
        property.state.portals.keys().map(|portal| Event::Unpublished { portal: portal.clone() }).collect()
    }

    fn takes_archived(command: &Command) -> bool {
        matches!(command, Command::UnpublishFromPortal { .. } | Command::MarkPortalRejected { .. })
    }

    fn undo(property: &Property, event: &Event) -> Option<Vec<record::Command<Self>>> {
        let price = |price: &Option<Money>| {
            let price = serde_json::to_value(price).unwrap_or_default();
            Either::Common(Common::Edit(Map::from_iter([("price".to_owned(), price)])))
        };
        Some(vec![match event {
            Event::PriceChanged { from, .. } => price(from),
            Event::MediaAdded(media) => Either::Own(Command::RemoveMedia { media_id: media.media_id? }),
            Event::MediaRemoved { media_id } => {
                let media = property.state.media.iter().find(|media| media.media_id == Some(*media_id));
                Either::Own(Command::AddMedia(media?.clone()))
            }
            Event::MediaReordered { from, .. } => Either::Own(Command::ReorderMedia { order: from.clone() }),
            Event::PublishedToPortal { portal } => Either::Own(Command::UnpublishFromPortal { portal: portal.clone() }),
            Event::Unpublished { portal } => Either::Own(Command::PublishToPortal { portal: portal.clone() }),
            Event::PortalRejected { .. } => return None,
        }])
    }

    fn decide(property: &Property, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        let state = &property.state;
        Ok(match command {
            Command::AddMedia(media) => return add_media(state, media, ctx),
            Command::RemoveMedia { media_id } if state.order().contains(&media_id) => {
                vec![Event::MediaRemoved { media_id }]
            }
            Command::RemoveMedia { .. } => vec![],
            Command::ReorderMedia { order } if order == state.order() => vec![],
            Command::ReorderMedia { order } => {
                let from = state.order();
                let same = order.len() == from.len() && order.iter().all(|id| from.contains(id));
                if !same || order.iter().collect::<BTreeSet<_>>().len() != order.len() {
                    return Err(ORDER_INVALID.at("/order"));
                }
                vec![Event::MediaReordered { from, to: order }]
            }
            Command::PublishToPortal { portal } => {
                if state.portals.get(&portal) == Some(&None) {
                    return Ok(vec![]);
                }
                // One's own sites need no setting.
                if portal != SITE {
                    let portals = ctx.fact::<Tenant>(ctx.tenant).portals();
                    settings::check_name(&portals, &portal, PORTAL_INVALID, "/portal")?;
                }
                vec![Event::PublishedToPortal { portal }]
            }
            Command::UnpublishFromPortal { portal } if state.portals.contains_key(&portal) => {
                vec![Event::Unpublished { portal }]
            }
            Command::MarkPortalRejected { portal, error } if state.portals.get(&portal) == Some(&None) => {
                vec![Event::PortalRejected { portal, error }]
            }
            Command::UnpublishFromPortal { .. } | Command::MarkPortalRejected { .. } => vec![],
        })
    }

    fn evolve(property: &mut Property, event: &Event) {
        let state = &mut property.state;
        match event {
            Event::PriceChanged { to, .. } => {
                if let Some(fields) = &mut property.fields {
                    fields.price = *to;
                }
            }
            Event::MediaAdded(media) if state.media.contains(media) => {}
            Event::MediaAdded(media) => state.media.push(media.clone()),
            Event::MediaRemoved { media_id } => state.media.retain(|media| media.media_id != Some(*media_id)),
            Event::MediaReordered { to, .. } => {
                state.media.sort_by_key(|media| to.iter().position(|id| media.media_id == Some(*id)));
            }
            Event::PublishedToPortal { portal } => drop(state.portals.insert(portal.clone(), None)),
            Event::Unpublished { portal } => drop(state.portals.remove(portal)),
            Event::PortalRejected { portal, error } => {
                state.portals.insert(portal.clone(), Some(error.clone()));
            }
        }
    }

    fn needs(_: &Property, command: &record::Command<Self>, ctx: &Ctx<'_>) -> Vec<Need> {
        let publish = matches!(command, Either::Own(Command::PublishToPortal { .. }));
        publish.then(|| Need::of::<Tenant>(ctx.tenant)).into_iter().collect()
    }

    fn document(property: &Property, document: &mut Map<String, Value>) {
        let there = property.state.portals.iter().filter(|(_, error)| error.is_none());
        document.insert("portals".into(), there.map(|(portal, _)| portal.clone()).collect());
    }

    fn refusals() -> Vec<Rejection> {
        let mut refusals = vec![MEDIA_INVALID, MEDIA_EXISTS, FLOOR_INVALID, ORDER_INVALID, PORTAL_INVALID];
        refusals.extend(money::REFUSALS);
        refusals.extend([valid::NAME_INVALID, valid::COUNTRY_INVALID, valid::PRICE_INVALID]);
        refusals
    }

    fn examples() -> (Fields, Vec<Command>) {
        let media_id = Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_000C);
        let portal = || "casa".to_owned();
        let fields = Fields {
            name: "Three rooms on Via Roma".into(),
            kind: Kind::Apartment,
            purpose: Purpose::Sale,
            price: serde_json::from_str(r#"{"amount":"310000","currency":"EUR"}"#).ok(),
            address: Some("Via Roma 1".into()),
            city: Some("Roma".into()),
            country: Some("IT".into()),
            location: Some(Location { latitude: Decimal::new(419_028, 4), longitude: Decimal::new(124_964, 4) }),
            area: Some(Decimal::new(785, 1)),
            rooms: Some(3),
            floor: Some(2),
            floors: Some(5),
            features: ["balcony".to_owned(), "lift".to_owned()].into(),
            description: Some("Quiet, to the courtyard.".into()),
        };
        let photo = Media {
            media_id: Some(media_id),
            kind: MediaKind::Photo,
            upload_id: Some(media_id),
            url: None,
            caption: Some("Kitchen".into()),
        };
        let commands = vec![
            Command::AddMedia(photo),
            Command::RemoveMedia { media_id },
            Command::ReorderMedia { order: vec![] },
            Command::PublishToPortal { portal: portal() },
            Command::UnpublishFromPortal { portal: portal() },
            Command::MarkPortalRejected { portal: portal(), error: "No photos".into() },
        ];
        (fields, commands)
    }
}

fn add_media(state: &State, media: Media, ctx: &Ctx<'_>) -> Decision<Event> {
    let sound = match (&media.upload_id, &media.url) {
        (Some(_), None) => true,
        (None, Some(url)) => custom::is_url(url),
        _ => false,
    };
    let media = Media { media_id: media.media_id.or_else(|| Some(ctx.fresh("media"))), ..media };
    match state.media.iter().find(|known| known.media_id == media.media_id) {
        _ if !sound => Err(MEDIA_INVALID),
        None => Ok(vec![Event::MediaAdded(media)]),
        Some(known) if *known == media => Ok(vec![]),
        Some(_) => Err(MEDIA_EXISTS.at("/media_id")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::{
        given::{Given, created, given},
        named::Either,
        record::{Common, Happened, Spec as _},
    };

    fn flat(events: impl IntoIterator<Item = Event>) -> Given<Property> {
        given(created::<Spec>().into_iter().chain(events.into_iter().map(Either::Own)))
    }

    fn own(command: Command) -> record::Command<Spec> {
        Either::Own(command)
    }

    fn photo(last: u128) -> Media {
        let upload = Some(Id::from_bits(last));
        Media { media_id: upload, kind: MediaKind::Photo, upload_id: upload, url: None, caption: Some("Hall".into()) }
    }

    #[test]
    fn a_new_price_has_an_event_of_its_own() {
        let from = Spec::examples().0.price;
        let to = from.map(|money| Money { amount: 299_000.into(), ..money });
        let edit = || Either::Common(Common::Edit(json!({ "price": to }).as_object().unwrap().clone()));
        flat([]).when(edit()).then([Either::Own(Event::PriceChanged { from, to })]);
        flat([Event::PriceChanged { from, to }]).when(edit()).nothing();
    }

    #[test]
    fn pictures_come_go_and_change_places() {
        let added = || [Event::MediaAdded(photo(1)), Event::MediaAdded(photo(2))];
        flat([]).when(own(Command::AddMedia(photo(1)))).then([Either::Own(Event::MediaAdded(photo(1)))]);
        flat(added()).when(own(Command::AddMedia(photo(2)))).nothing();
        let other = Media { caption: None, ..photo(2) };
        flat(added()).when(own(Command::AddMedia(other))).rejected(MEDIA_EXISTS);
        let nowhere = Media { upload_id: None, ..photo(3) };
        flat([]).when(own(Command::AddMedia(nowhere.clone()))).rejected(MEDIA_INVALID);
        let tour =
            Media { url: Some("https://tour.example/1".into()), kind: MediaKind::Tour, media_id: None, ..nowhere };
        assert_eq!(flat([]).when(own(Command::AddMedia(tour))).events().len(), 1);

        let order = |ids: &[u128]| ids.iter().map(|id| Id::from_bits(*id)).collect::<Vec<_>>();
        let reorder = |ids: &[u128]| own(Command::ReorderMedia { order: order(ids) });
        let reordered = || Event::MediaReordered { from: order(&[1, 2]), to: order(&[2, 1]) };
        flat(added()).when(reorder(&[2, 1])).then([Either::Own(reordered())]);
        flat(added().into_iter().chain([reordered()])).when(reorder(&[2, 1])).nothing();
        for wrong in [&[1][..], &[1, 1], &[1, 3], &[1, 2, 3]] {
            flat(added()).when(reorder(wrong)).rejected(ORDER_INVALID);
        }
        let removed = Event::MediaRemoved { media_id: Id::from_bits(1) };
        let remove = || own(Command::RemoveMedia { media_id: Id::from_bits(1) });
        flat(added()).when(remove()).then([Either::Own(removed)]);
        flat([]).when(remove()).nothing();
    }

    #[test]
    fn portals_take_it_or_turn_it_down() {
        let portal = || "casa".to_owned();
        let publish = || own(Command::PublishToPortal { portal: portal() });
        let published = || Event::PublishedToPortal { portal: portal() };
        flat([]).when(publish()).then([Either::Own(published())]);
        flat([published()]).when(publish()).nothing();
        let rejected = || Event::PortalRejected { portal: portal(), error: "No photos".into() };
        let reject = || own(Command::MarkPortalRejected { portal: portal(), error: "No photos".into() });
        flat([published()]).when(reject()).then([Either::Own(rejected())]);
        flat([published(), rejected()]).when(publish()).then([Either::Own(published())]);
        let unpublish = || own(Command::UnpublishFromPortal { portal: portal() });
        flat([published()]).when(unpublish()).then([Either::Own(Event::Unpublished { portal: portal() })]);
        flat([]).when(unpublish()).nothing();
        // What is put away is advertised no longer; what was put away before may still be taken down.
        let archive = || Either::Common(Common::Archive { reason: None });
        let archived = || Either::Common(Happened::Archived { reason: None });
        flat([published()]).when(archive()).then([Either::Own(Event::Unpublished { portal: portal() }), archived()]);
        let before = created::<Spec>().into_iter().chain([Either::Own(published()), archived()]);
        given::<Property>(before.clone())
            .when(unpublish())
            .then([Either::Own(Event::Unpublished { portal: portal() })]);
        given::<Property>(before).when(publish()).rejected(Property::put_away());
        flat([]).when(own(Command::PublishToPortal { portal: " ".into() })).rejected(PORTAL_INVALID);
    }
}
