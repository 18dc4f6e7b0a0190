//! Dashboards: what their widgets show, pictures of them, and what changes.

use domain::{
    Aggregate,
    insight::{
        dashboard::{Dashboard, Fields},
        shipped::Shipped,
    },
    org::user::User,
};
use serde_json::{Map, Value, json};

use super::{
    super::{
        insight::dashboards::{
            Address, Addresses, BoardData, BoardOptions, ImageOptions, ShippedBoards, Signed, WhichAddress,
            WidgetWanted,
        },
        kernel::stream::{ChangedWidgets, Since},
    },
    Document,
    operation::{Operation, in_path},
    problems::{self, Code},
};

/// Adds them.
pub(super) fn describe(document: &mut Document) {
    let shipped = Shipped::ALL.iter().map(|shipped| format!("`{}`", shipped.id())).collect::<Vec<_>>().join(", ");
    let id = || {
        let about = format!("The dashboard: its id, or the name of one that Deskfold brings along: {shipped}.");
        in_path("id", &about, json!({ "type": "string" }))
    };
    let options = document.schemas.properties::<BoardOptions>("");
    let image_options = document.schemas.properties::<ImageOptions>("");
    let data = document.schemas.of::<BoardData>("Dashboard");
    let boards = document.schemas.of::<ShippedBoards>("Dashboard");
    let fields = document.schemas.of::<Fields>("Dashboard");
    let shared = ["Deskfold-Min-Position", "Deskfold-On-Behalf-Of"];
    let common = || Code::of(&[problems::PARAMETERS, problems::QUERY, problems::REPORT, problems::BOARD]);
    let widgets = "Each widget shows what the caller may see. One that cannot be told says why in its place, and the others are told.";

    let about = format!("Answers all that the widgets of a dashboard show, in one answer. {widgets}");
    Operation::new("dashboard_data", Dashboard::PLURAL, about)
        .permission("report.read")
        .parameter(id())
        .query(options.clone())
        .shared(&shared)
        .answer(200, "What it shows.", data.clone(), &["Deskfold-Position"])
        .problems("DashboardNumbers", common())
        .problems("DashboardData", Code::unknown(Dashboard::KIND))
        .at(document, "get", "/v1/dashboards/{id}/data");

    let about = format!("Answers what a dashboard would show that is not saved. Writes nothing. {widgets}");
    Operation::new("dashboard_preview", Dashboard::PLURAL, about)
        .permission("report.read")
        .query(options)
        .shared(&shared)
        .body(fields, true, example())
        .answer(200, "What it shows.", data, &["Deskfold-Position"])
        .problems("DashboardNumbers", common())
        .problems("DashboardPreview", [Code::of(&[problems::BODY]), Code::refusals::<Dashboard>()].concat())
        .at(document, "post", "/v1/dashboards/preview");

    let about = format!(
        "Lists the dashboards that Deskfold brings along: {shipped}. One that is created with such a name as `from_shipped` has its pages."
    );
    Operation::new("dashboards_shipped", Dashboard::PLURAL, about)
        .permission("report.read")
        .shared(&["Deskfold-On-Behalf-Of"])
        .answer(200, "All of them.", boards, &[])
        .problems("Plain", Code::of(&[problems::PARAMETERS]))
        .at(document, "get", "/v1/dashboards/shipped");

    // Generators of clients that know no pictures take the first for what it is: bytes.
    let file = json!({ "schema": { "type": "string", "format": "binary" } });
    let svg = json!({ "application/octet-stream": file, "image/svg+xml": file });
    let drawn = || [common(), Code::unknown(Dashboard::KIND), Code::of(&[problems::BOARD_IMAGE])].concat();
    let about = "Draws a chart or a number as SVG that needs no style sheet and no script: for mails and wikis.";
    Operation::new("dashboard_widget_image", Dashboard::PLURAL, about)
        .permission("report.read")
        .parameter(id())
        .parameter(in_path("image", "The widget with `.svg` behind it: `opened.svg`.", json!({ "type": "string" })))
        .query(image_options.clone())
        .shared(&shared)
        .answer_as(200, "The picture.", svg.clone(), &["Deskfold-Position"])
        .problems("DashboardImage", drawn())
        .at(document, "get", "/v1/dashboards/{id}/widgets/{image}");

    let about = "Draws the same, of a widget whose dashboard stands before it.";
    let image = "The dashboard and the widget with dots between: `desk.opened.svg`.";
    Operation::new("widget_image", Dashboard::PLURAL, about)
        .permission("report.read")
        .parameter(in_path("image", image, json!({ "type": "string" })))
        .query(image_options)
        .shared(&shared)
        .answer_as(200, "The picture.", svg.clone(), &["Deskfold-Position"])
        .problems("DashboardImage", drawn())
        .at(document, "get", "/v1/widgets/{image}");

    let wanted = document.schemas.of::<WidgetWanted>("");
    let address = document.schemas.of::<Address>("");
    let about = "Hands out an address at which anybody sees the picture of a widget, as one sees it oneself at that moment: for mails and \
        wikis. Nothing is seen there once it is too old or taken back, or whoever has handed it out is deactivated or sees the dashboard no \
        longer. Only whoever is signed in does this.";
    let like = json!({ "widget": "desk.opened_and_closed", "days": 90, "range": "last_7_days" });
    let own = || Code::of(&[problems::PARAMETERS, problems::BODY, problems::SESSION]);
    Operation::new("my_widget_address", "sign_in", about)
        .body(wanted, true, Map::from_iter([("example1".to_owned(), json!({ "value": like }))]))
        .answer(201, "The address.", address, &[])
        .problems("AddressWidget", [own(), drawn(), Code::refusals::<User>()].concat())
        .at(document, "post", "/v1/me/address_widget");
    let addresses = document.schemas.of::<Addresses>("");
    Operation::new(
        "my_widget_addresses",
        "sign_in",
        "Lists the addresses that one has handed out and that are still good.",
    )
    .answer(200, "The addresses.", addresses, &[])
    .problems("WidgetAddresses", Code::of(&[problems::PARAMETERS, problems::SESSION]))
    .at(document, "get", "/v1/me/widget_addresses");
    let which = document.schemas.of::<WhichAddress>("");
    let like = json!({ "address": "01K9Z3T8W0QX6V5N4M3K2J1H0G" });
    Operation::new("my_widget_address_withdraw", "sign_in", "Takes an address back: nothing is seen there any more.")
        .body(which, true, Map::from_iter([("example1".to_owned(), json!({ "value": like }))]))
        .answer_as(204, "Done.", json!({}), &[])
        .problems("WithdrawAddress", [own(), Code::of(&[problems::PICTURE_ADDRESS]), Code::refusals::<User>()].concat())
        .at(document, "post", "/v1/me/withdraw_address");
    let signed = document.schemas.properties::<Signed>("");
    let image = "The dashboard and the widget with dots between: `desk.opened.svg`.";
    Operation::new(
        "widget_at_address",
        Dashboard::PLURAL,
        "The picture at an address that somebody has handed out. It needs no key.",
    )
    .open()
    .parameter(in_path("image", image, json!({ "type": "string" })))
    .query(signed)
    .answer_as(200, "The picture.", svg, &["Deskfold-Position"])
    .problems("WidgetAtAddress", Code::of(&[problems::PARAMETERS, problems::PICTURE_ADDRESS]))
    .at(document, "get", "/v1/pictures/{image}");

    let changed = document.schemas.of::<ChangedWidgets>("");
    let example = "id: 42\nevent: changed\ndata: {\"widgets\":[\"opened\"],\"position\":42}\n\n";
    let schema = json!({ "type": "string", "contentMediaType": "application/json", "contentSchema": changed });
    let content = json!({ "text/event-stream": { "schema": schema, "example": example } });
    let since = document.schemas.properties::<Since>("");
    let about = "Follows a dashboard over server-sent events: `changed` says which widgets may show something else than \
        before, as far as the caller sees why. A client that reconnects with `Last-Event-ID` misses nothing.";
    Operation::new("dashboard_stream", Dashboard::PLURAL, about)
        .permission("report.read")
        .parameter(id())
        .query(since)
        .shared(&["Last-Event-ID", "Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
        .answer_as(200, "Messages until the client leaves or the server stops.", content, &[])
        .problems("Log", Code::of(&[problems::PARAMETERS, problems::QUERY]))
        .problems("Changes", Code::of(&[problems::STREAM]))
        .problems("DashboardStream", Code::unknown(Dashboard::KIND))
        .at(document, "get", "/v1/dashboards/{id}/stream");
}

fn example() -> Map<String, Value> {
    let shows =
        json!({ "kind": "bar", "definition": { "measures": ["opened"], "dimensions": ["product_id"] }, "top": 10 });
    let widget = json!({ "id": "products", "place": { "x": 0, "y": 0, "w": 6, "h": 4 }, "shows": shows });
    let board = json!({ "name": "Today", "range": "last_7_days", "pages": [{ "id": "one", "name": "One", "widgets": [widget] }] });
    Map::from_iter([("example1".to_owned(), json!({ "value": board }))])
}
