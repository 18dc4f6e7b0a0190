//! The pages, one by one.

mod bulk;
mod chat;
mod dashboards;
mod hosted_form;
mod imports;
mod inbox;
mod link;
mod me;
mod notices;
mod notifications;
mod people;
mod plan;
mod portal;
mod records;
mod roles;
mod search;
mod settings;
mod sign_in;
mod start;
mod webhooks;

pub use self::{
    bulk::bulk,
    chat::chat,
    dashboards::{
        Behind, Content, Counted, Counts, Dashboard, Dashboards, Happened, Listed, Records, Widget, behind, dashboard,
        dashboards, picture, shipped,
    },
    hosted_form::{
        HostedCondition, HostedField, HostedForm, HostedInput, TOKEN, TRAP, form, form_flooded, form_help_first,
        form_missing, form_script, form_thanks,
    },
    imports::{import, imports},
    inbox::inbox,
    link::{Link, LinkPurpose, link, link_over},
    me::{Me, SecondFactor, Session, me, prepared},
    notices::notices,
    notifications::notifications,
    people::people,
    plan::{Plan, plan},
    portal::{
        ONCE, PortalArticle, PortalFrame, PortalHelp, PortalLink, PortalMessage, PortalNew, PortalOrder, PortalProduct,
        PortalShelf, PortalSignIn, PortalThread, PortalTicket, lead_of, portal_article, portal_help, portal_mail,
        portal_missing, portal_new, portal_orders, portal_rest, portal_sheet, portal_sign_in, portal_ticket,
        portal_tickets,
    },
    records::{list, record, records},
    roles::roles,
    search::{Found, FoundGroup, FoundHit, Part, search},
    settings::settings,
    sign_in::{Tenant, Ways, code, forgotten, missing, sent, sign_in, step_over, tenants},
    start::start,
    webhooks::webhooks,
};

pub(crate) use self::search::seek;

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::{
        Collection, Form as CommandForm, FormField, Input, Language, Person, Refusal, Theme, View, asset,
        charts::{Dimension, Form, Measure, Report, Row, Unit, Way},
    };

    /// What somebody may type who wants to do harm.
    const TYPED: &str = "<script>alert('x')</script>\"&";

    /// One that has everything that a collection may have.
    static DEALS: LazyLock<Collection> = LazyLock::new(|| Collection {
        path: "deals",
        kind: "deal",
        context: "crm",
        title: Some("name"),
        told: vec!["description"],
        searched: vec!["name"],
        states: vec!["stage"],
        holders: vec!["owner_id"],
        changed: "updated_at",
        references: vec![("contact_id", "contact".into())],
        commands: vec!["edit"],
        shares: true,
        forms: vec![CommandForm {
            command: "edit".into(),
            fields: [
                Input::Text,
                Input::Lines,
                Input::Number,
                Input::Switch,
                Input::Choice(vec!["won".into()]),
                Input::Moment,
                Input::Day,
                Input::Record("user".into()),
                Input::Record("deal".into()),
                Input::Json,
            ]
            .into_iter()
            .enumerate()
            .map(|(number, input)| FormField { name: format!("field_{number}"), input, required: number == 0 })
            .collect(),
        }],
        imports: true,
    });

    fn view(language: Language) -> View {
        let every = ["user.read", "user.invite", "user.grant_role", "user.revoke_role", "user.issue_link", "role.read"];
        let more = ["user.deactivate", "user.activate", "role.create", "role.change_permissions", "role.rename"];
        let rest = [
            "dashboard.create",
            "role.delete",
            "tenant.read",
            "tenant.change_setting",
            "api_key.read",
            "api_key.issue",
            "bulk.run",
            "conversation.read",
            "deal.edit",
            "delivery.correct",
            "delivery.dismiss",
            "delivery.try_again",
            "system_notice.clear",
            "system_notice.read",
            "import.run",
        ];
        let permissions = [&every[..], &more, &rest].concat();
        let person = Person {
            id: "01K9Z3T8W0QX6V5N4M3K2J1H0G".into(),
            name: TYPED.into(),
            email: TYPED.into(),
            tenant: TYPED.into(),
            tenant_id: TYPED.into(),
            locale: Some(TYPED.into()),
            time_zone: Some(TYPED.into()),
            permissions: permissions.into_iter().map(ToOwned::to_owned).collect(),
            collections: vec![&DEALS],
        };
        View { language, theme: Theme::Dark, path: format!("/me?{TYPED}"), person: Some(person), refusal: None }
    }

    /// A dashboard of which everything was typed.
    fn board() -> Dashboard {
        let typed = || TYPED.to_owned();
        let report = Report {
            dimensions: vec![Dimension { name: "city".into(), ..Dimension::default() }],
            measures: vec![Measure { name: "placed".into(), unit: Unit::Count, spread: false }],
            rows: vec![Row {
                key: [("city".to_owned(), TYPED.into())].into_iter().collect(),
                values: [("placed".to_owned(), 3.into())].into_iter().collect(),
            }],
            ..Report::default()
        };
        let way = || Way(typed());
        let (form, records) = (Form::Bar, || Records {
            kind: "ticket".into(),
            columns: vec!["title".into(), typed()],
            rows: vec![(Some(typed()), vec![TYPED.into(), TYPED.into()])],
            more: true,
        });
        let contents = [
            Content::Numbers { report: report.clone(), before: Some(report.clone()), way: way() },
            Content::Chart { form, report: report.clone(), way: way() },
            Content::Table { report, way: way() },
            Content::List(records()),
            Content::Pending(records()),
            Content::Feed(vec![Happened { summary: typed(), actor: Some(typed()), at: typed() }]),
            Content::Text(typed()),
            Content::Fault(typed(), typed()),
        ];
        let widget = |(number, content)| Widget {
            id: format!("w{number}"),
            title: Some(typed()),
            place: [0, number, 12, 1],
            range: Some(typed()),
            zone: Some(typed()),
            content,
            shows: Some(typed()),
        };
        Dashboard {
            id: typed(),
            name: typed(),
            shipped: false,
            pages: vec![("one".into(), typed()), ("two".into(), typed())],
            page: "one".into(),
            range: typed(),
            from: Some(typed()),
            to: None,
            as_of: Some(typed()),
            past: true,
            zone: typed(),
            position: 7,
            may_edit: true,
            may_create: true,
            reports: vec![(typed(), typed())],
            counted: vec![Counted {
                kind: "ticket",
                measures: vec!["opened"],
                dimensions: vec!["product_id", "week"],
                fields: vec![("status", "word")],
            }],
            widgets: (0..).zip(contents).map(widget).collect(),
        }
    }

    /// Every page there is, each with its name.
    fn every(language: Language) -> Vec<(&'static str, String)> {
        let view = view(language);
        let told = Refusal { code: TYPED.into(), detail: TYPED.into(), fields: vec![TYPED.into()] };
        let refused = View { refusal: Some(told), ..view.clone() };
        let typed = || TYPED.to_owned();
        let tenant = Tenant { id: typed(), name: typed() };
        let ways = Ways { tenant: Some(tenant.clone()), provider: Some((typed(), typed())), asked: Some(typed()) };
        let handed = |purpose| Link { secret: typed(), purpose, tenant: typed(), name: typed(), email: typed() };
        let session = Session {
            id: typed(),
            method: "password".into(),
            address: Some(typed()),
            user_agent: Some(typed()),
            started_at: typed(),
            last_seen_at: typed(),
            current: false,
        };
        let oneself = |second_factor| Me {
            picture: true,
            phone: Some(typed()),
            presence: "online".into(),
            roles: vec![typed()],
            password: true,
            second_factor,
            recovery_codes: 3,
            wanted_email: Some(typed()),
            sessions: vec![session.clone()],
        };
        let agreed = Plan {
            name: typed(),
            seats: Some(25),
            price: Some((typed(), typed())),
            period: "month",
            renews_on: Some(typed()),
            payer: vec![typed()],
            method: Some(typed()),
        };
        let searched = View { path: format!("/search?q={TYPED}"), ..view.clone() };
        let hit = FoundHit {
            path: "/records/deals/7".into(),
            title: vec![(typed(), true)],
            number: Some(7),
            happened_at: typed(),
            lines: vec![vec![(typed(), false), (typed(), true)]],
        };
        let group = FoundGroup { kind: "deal".into(), count: "300+".into(), hits: vec![hit] };
        let found = Found { groups: vec![group], similar: true };
        let asks = |input, key: &str| HostedField {
            key: key.into(),
            input,
            label: typed(),
            label_position: "left",
            help: Some(typed()),
            placeholder: Some(typed()),
            default: Some(typed()),
            required: true,
            options: vec![(typed(), typed())],
            conditions: vec![HostedCondition { field: "one".into(), values: vec![typed()] }],
            autocomplete: "off",
            animation: Some(typed()),
        };
        let asked = HostedForm {
            tenant: typed(),
            action: "/forms/x/y".into(),
            title: typed(),
            text: Some(typed()),
            button: Some(typed()),
            website: Some(typed()),
            token: typed(),
            fields: vec![
                asks(HostedInput::Text, "one"),
                asks(HostedInput::Select, "two"),
                asks(HostedInput::Textarea, "three"),
                asks(HostedInput::Checkbox, "four"),
            ],
            values: [("one".to_owned(), typed())].into(),
            faults: [("one".to_owned(), "form_value_missing".to_owned())].into(),
        };
        vec![
            ("form", form(&view, &asked)),
            ("form_thanks", form_thanks(&view, TYPED, Some(TYPED), Some(TYPED))),
            ("form_help_first", form_help_first(&view, &asked, "/forms/x/y", Some("/portal/x"))),
            ("form_missing", form_missing(&view)),
            ("form_flooded", form_flooded(&view, TYPED)),
            ("search", search(&searched, TYPED, true, Some(&found))),
            ("unsearched", search(&searched, "", false, None)),
            ("sign_in", sign_in(&view, &ways, TYPED)),
            ("tenants", tenants(&view, &[tenant], TYPED)),
            ("code", code(&view, TYPED)),
            ("step_over", step_over(&view, TYPED)),
            ("forgotten", forgotten(&view)),
            ("sent", sent(&view)),
            ("missing", missing(&view)),
            ("invitation", link(&view, &handed(LinkPurpose::Invitation))),
            ("reset", link(&view, &handed(LinkPurpose::Password))),
            ("confirm", link(&view, &handed(LinkPurpose::Email))),
            ("link_over", link_over(&view)),
            ("start", start(&view)),
            ("me", me(&view, &oneself(false))),
            ("me_with_factor", me(&view, &oneself(true))),
            ("factor_begun", prepared(&view, &SecondFactor::Begun)),
            ("refused", forgotten(&refused)),
            ("factor", prepared(&view, &SecondFactor::Prepared { secret: typed(), uri: typed() })),
            ("people", people(&view)),
            ("roles", roles(&view)),
            ("settings", settings(&view)),
            ("plan", plan(&view, Some(&agreed), 25)),
            ("no_plan", plan(&view, None, 3)),
            ("dashboards", {
                let listed = Listed { path: typed(), name: typed(), description: Some(typed()), owner: Some(typed()) };
                dashboards(
                    &view,
                    &Dashboards { mine: vec![listed.clone()], others: vec![listed], shipped: vec!["desk"] },
                )
            }),
            ("dashboard", dashboard(&view, &board())),
            ("behind", {
                let value = Some(typed());
                let records =
                    vec![Counts { path: value.clone(), name: typed(), at: value.clone(), seconds: Some(9.0), value }];
                let board = (typed(), typed());
                let further = Some(typed());
                let told = Behind { board, records, next: further.clone(), measure: typed(), ..Behind::default() };
                behind(&view, &Behind { list: further.clone(), then: further, ..told })
            }),
            ("records", records(&view)),
            ("list", list(&view, &DEALS, 7)),
            ("nameless", list(&view, &Collection { title: None, holders: vec![], ..DEALS.clone() }, 7)),
            ("record", record(&view, &DEALS, TYPED, 7)),
            ("chat", chat(&view, TYPED, TYPED)),
            ("inbox", inbox(&view)),
            ("notices", notices(&view)),
            ("notifications", notifications(&view)),
            ("webhooks", webhooks(&view)),
            ("bulk", bulk(&view, TYPED, 7)),
            ("imports", imports(&view, "deal")),
            ("import", import(&view, TYPED, 7)),
        ]
        .into_iter()
        .chain(portal_pages(&view))
        .collect()
    }

    /// Those of a portal of which everything was typed.
    fn portal_pages(view: &View) -> Vec<(&'static str, String)> {
        let typed = || TYPED.to_owned();
        let some = || Some(typed());
        let frame = PortalFrame { name: typed(), home: "/portal/x".into(), customer: some(), ..PortalFrame::default() };
        let frame = PortalFrame { help: true, tickets: true, orders: true, ..frame };
        let link = PortalLink { path: "/portal/x/y".into(), title: typed(), lead: some() };
        let shelf = PortalShelf { name: some(), description: some(), articles: vec![link] };
        let help = PortalHelp { welcome: some(), sought: typed(), shelves: vec![shelf], form: some() };
        let article = PortalArticle {
            path: "/portal/x/y".into(),
            title: typed(),
            body: typed(),
            language: Some("cs".into()),
            published_at: some(),
            category: some(),
            voted: false,
            form: some(),
        };
        let ticket = PortalTicket {
            path: "/portal/x/y".into(),
            number: 7,
            title: typed(),
            state: "closed",
            changed_at: typed(),
            product: some(),
            requester: some(),
        };
        let said = PortalMessage {
            author: some(),
            body: some(),
            at: typed(),
            files: vec![("/files/x".into(), typed())],
            ..PortalMessage::default()
        };
        let thread = PortalThread {
            ticket: ticket.clone(),
            messages: vec![said.clone(), PortalMessage { own: true, body: None, ..said }],
            rating: Some(3),
            once: typed(),
            fault: some(),
            typed: typed(),
        };
        let product = PortalProduct { id: typed(), name: typed(), lead: some(), icon: some(), color: None };
        let new =
            PortalNew { products: vec![product], once: typed(), fault: some(), typed: (typed(), typed(), typed()) };
        let order = PortalOrder { number: typed(), status: typed(), total: some(), paid: true, placed_at: typed() };
        let address = PortalSignIn::Address { typed: typed(), fault: Some("address") };
        let code = PortalSignIn::Code { address: typed(), token: typed(), fault: Some("code") };
        vec![
            ("portal_help", portal_help(view, &frame, &help)),
            ("portal_article", portal_article(view, &frame, &article)),
            ("portal_address", portal_sign_in(view, &frame, &address)),
            ("portal_code", portal_sign_in(view, &frame, &code)),
            ("portal_tickets", portal_tickets(view, &frame, &[ticket], Some("/portal/x/tickets?after=y"))),
            ("portal_ticket", portal_ticket(view, &frame, &thread)),
            ("portal_new", portal_new(view, &frame, &new)),
            ("portal_orders", portal_orders(view, &frame, &[order], None)),
            ("portal_missing", portal_missing(view, None)),
        ]
    }

    #[test]
    fn what_people_type_is_text_and_never_markup() {
        for (name, page) in every(Language::English) {
            assert!(page.contains("&lt;script&gt;"), "{name} shows what was typed");
            assert!(!page.contains("<script>") && !page.contains("alert('x')</script"), "{name}: {page}");
            // Nobody gets out of an attribute.
            assert!(!page.contains("</script>\"&"), "{name}");
        }
    }

    #[test]
    fn a_script_for_other_sites_holds_what_people_type_as_data() {
        let view = view(Language::Lithuanian);
        let asked = HostedForm { title: TYPED.into(), tenant: TYPED.into(), ..HostedForm::default() };
        let script = form_script(&view, &asked, "https://desk.example", Some(TYPED));
        assert!(!script.contains("<script>") && !script.contains("\"FORM\""), "{script}");
        assert!(script.contains("\\u003cscript>") && !script.contains("innerHTML"));
    }

    #[test]
    fn pages_load_what_is_there_and_nothing_inline() {
        for (name, page) in every(Language::Czech) {
            let mut loaded = 0;
            for text in page.split('"').filter(|text| text.starts_with("/assets/")) {
                assert!(asset(text).is_some(), "{name} loads {text}");
                loaded += 1;
            }
            assert!(loaded >= 3, "{name}");
            for inline in [" style=", "<style", " onclick", " onsubmit", "javascript:", "http://", "https://"] {
                assert!(!page.contains(inline), "{name} has {inline}");
            }
        }
    }

    #[test]
    fn every_page_has_one_heading_a_language_and_labels_for_what_is_filled_in() {
        for language in Language::ALL {
            for (name, page) in every(language) {
                assert!(
                    page.starts_with(&format!("<!DOCTYPE html><html lang=\"{}\" data-theme=\"dark\"", language.tag()))
                );
                assert_eq!(page.matches("<h1>").count(), 1, "{name}");
                for field in page.split("<input ").skip(1).map(|rest| rest.split('>').next().unwrap()) {
                    if field.contains("type=\"hidden\"") || field.ends_with(" hidden") {
                        continue;
                    }
                    let id = field.split("id=\"").nth(1).expect(name).split('"').next().unwrap();
                    assert!(page.contains(&format!("<label for=\"{id}\"")), "{name}: {id} has no label");
                }
                let mut ids: Vec<_> =
                    page.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
                let all = ids.len();
                ids.sort_unstable();
                ids.dedup();
                assert!(name == "settings" || ids.len() == all, "{name}: an id stands twice");
            }
        }
    }

    #[test]
    fn nobody_is_offered_what_he_may_not_do() {
        let mut view = view(Language::English);
        let person = view.person.as_mut().unwrap();
        person.permissions.clear();
        person.collections.clear();
        let pages =
            [start(&view), people(&view), roles(&view), settings(&view), records(&view), plan(&view, None, 1)].concat();
        let ways = ["/inbox\"", "/people\"", "/roles\"", "/settings\"", "/plan\"", "/records\"", "/records/"];
        for offered in ways.into_iter().chain(["/v1/users\"", "/grant_role", "/change_permissions"]) {
            assert!(!pages.contains(offered), "{offered}");
        }
        assert!(pages.contains("href=\"/docs\"") && pages.contains("href=\"/me\""));
    }
}
