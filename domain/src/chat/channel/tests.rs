//! What a channel does, told by examples.

use super::*;
use crate::{
    kernel::given::{ANNA, BORIS, Given, TENANT, given},
    org::{
        role::{self, Role},
        team,
        tenant::Tenant,
        user,
    },
};

const FIRST: Id = Id::from_bits(0x10);
const SECOND: Id = Id::from_bits(0x11);
const THIRD: Id = Id::from_bits(0x12);

fn new(kind: Kind) -> New {
    New { kind, name: "Chat".into(), team: None }
}

fn channel(kind: Kind, events: impl IntoIterator<Item = Event>) -> Given<Channel> {
    given([Event::Connected(new(kind))].into_iter().chain(events))
}

fn chat(events: impl IntoIterator<Item = Event>) -> Given<Channel> {
    channel(Kind::LiveChat, events)
}

fn rule(path: &str) -> DisplayRule {
    DisplayRule { path_regex: Some(path.into()), ..DisplayRule::default() }
}

fn added(display_rule: Id, path: &str, before: Option<Id>) -> Event {
    Event::DisplayRuleAdded { display_rule, rule: rule(path), before }
}

fn active() -> [user::Event; 2] {
    let user::Command::Invite(profile) = User::examples().remove(0) else { unreachable!() };
    [user::Event::Invited(profile), user::Event::Activated]
}

#[test]
fn whoever_connects_it_is_its_first_operator() {
    let connect = || Command::Connect(new(Kind::LiveChat));
    let connected = || Event::Connected(new(Kind::LiveChat));
    let by_anna = given::<Channel>([]).with::<User>(ANNA, active());
    by_anna.when(connect()).then([connected(), Event::OperatorAdded { user: ANNA }]);
    given::<Channel>([]).when(connect()).then([connected()]);
    chat([]).when(connect()).nothing();
    chat([]).when(Command::Connect(new(Kind::Api))).rejected(EXISTS);
    given::<Channel>([]).when(Command::Enable).rejected(UNKNOWN);
    given::<Channel>([])
        .when(Command::Connect(New { name: " ".into(), ..new(Kind::Api) }))
        .rejected(valid::NAME_INVALID);
    let renamed = || Event::Renamed { from: "Chat".into(), to: "Help".into() };
    chat([]).when(Command::Rename { name: "Help".into() }).then([renamed()]);
    chat([renamed()]).when(Command::Rename { name: "Help".into() }).nothing();
}

#[test]
fn a_timer_goes_with_opening_by_itself_alone() {
    let looks = |display, delay_s| Appearance { greeting: Some("Hello".into()), color: None, display, delay_s };
    let change = |display, delay_s| Command::ChangeAppearance(looks(display, delay_s));
    for display in [Display::Show, Display::ShowWithNotification, Display::Hide] {
        chat([]).when(change(display, Some(1))).rejected(DELAY_INVALID);
        let changed = || Event::AppearanceChanged(looks(display, None));
        chat([]).when(change(display, None)).then([changed()]);
        chat([changed()]).when(change(display, None)).nothing();
    }
    let opens = Event::AppearanceChanged(looks(Display::AutoOpen, Some(9)));
    chat([]).when(change(Display::AutoOpen, Some(9))).then([opens]);
    let blank = Appearance { greeting: Some(" ".into()), ..Appearance::default() };
    chat([]).when(Command::ChangeAppearance(blank)).rejected(GREETING_INVALID);
    channel(Kind::Email, []).when(change(Display::Show, None)).rejected(UNABLE);
}

#[test]
fn colours_are_kept_as_hex_and_null_is_the_usual_one() {
    let read = |text: &str| serde_json::from_str::<Appearance>(text);
    let hex = read(r##"{ "color": "hsl(178.9, 100%, 31.4%)" }"##).unwrap().color.map(|color| color.to_string());
    assert_eq!(hex.as_deref(), Some("#00a09d"));
    assert_eq!(read(r#"{ "color": null }"#).unwrap().color, None);
    assert!(read(r#"{ "color": "teal" }"#).is_err());
}

#[test]
fn rules_have_an_order_and_the_first_that_fits_counts() {
    let add = |display_rule: Id, path: &str, before| Command::AddDisplayRule {
        display_rule: Some(display_rule),
        rule: rule(path),
        before,
    };
    chat([]).when(add(FIRST, "^/a", None)).then([added(FIRST, "^/a", None)]);
    chat([added(FIRST, "^/a", None)]).when(add(FIRST, "^/a", None)).nothing();
    chat([added(FIRST, "^/a", None)]).when(add(FIRST, "^/b", None)).rejected(RULE_EXISTS);
    chat([]).when(add(FIRST, "^/a", Some(SECOND))).rejected(RULE_UNKNOWN);
    let three = || chat([added(FIRST, "^/a", None), added(SECOND, "^/ab", Some(FIRST)), added(THIRD, "^/c", None)]);
    let order = |given: &Given<Channel>| given.state.display_rules.iter().map(|(id, _)| *id).collect::<Vec<_>>();
    assert_eq!(order(&three()), [SECOND, FIRST, THIRD]);
    let found = |path: &str| three().state.rule_for(path, None).map(|(id, _)| *id);
    assert_eq!((found("/abc"), found("/a"), found("/x")), (Some(SECOND), Some(FIRST), None));
    let to = |display_rule, before| Command::MoveDisplayRule { display_rule, before };
    three().when(to(SECOND, Some(FIRST))).nothing();
    three().when(to(THIRD, None)).nothing();
    let moved = Event::DisplayRuleMoved { display_rule: THIRD, before: Some(SECOND) };
    three().when(to(THIRD, Some(SECOND))).then([moved.clone()]);
    let mut state = three().state;
    state.evolve(&moved);
    assert_eq!(state.display_rules.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [THIRD, SECOND, FIRST]);
    let changed = Event::DisplayRuleChanged { display_rule: FIRST, rule: rule("^/z") };
    let change = |display_rule| Command::ChangeDisplayRule { display_rule, rule: rule("^/z") };
    three().when(change(FIRST)).then([changed]);
    chat([]).when(change(FIRST)).rejected(RULE_UNKNOWN);
    let removed = Event::DisplayRuleRemoved { display_rule: FIRST };
    three().when(Command::RemoveDisplayRule { display_rule: FIRST }).then([removed]);
    chat([]).when(Command::RemoveDisplayRule { display_rule: FIRST }).nothing();
}

#[test]
fn a_rule_asks_for_paths_in_linear_time_and_for_countries() {
    let check =
        |rule: DisplayRule| chat([]).when(Command::AddDisplayRule { display_rule: Some(FIRST), rule, before: None });
    for path in ["(", "(?=a)", r"(a)\1", &"a".repeat(501), "(a{1000}){1000}"] {
        check(rule(path)).rejected(PATH_INVALID);
    }
    let nowhere = DisplayRule { countries: ["ZZZ".into()].into(), ..DisplayRule::default() };
    check(nowhere).rejected(valid::COUNTRY_INVALID);
    let timed = DisplayRule { delay_s: Some(3), ..DisplayRule::default() };
    check(timed).rejected(DELAY_INVALID);
    check(DisplayRule { only_if_no_operator: true, ..DisplayRule::default() }).rejected(CHATBOT_MISSING);
    let countries = |of: &str| DisplayRule { countries: [of.into()].into(), ..rule("^/prices") };
    let event = Event::DisplayRuleAdded { display_rule: FIRST, rule: countries("IT"), before: None };
    check(countries(" it")).then([event]);
    let italian = countries("IT");
    assert!(italian.holds("/prices/1", Some("IT")));
    assert!(
        !italian.holds("/prices", Some("DE")) && !italian.holds("/prices", None) && !italian.holds("/", Some("IT"))
    );
    // What takes others forever takes no time.
    assert!(!rule("^(a+)+$").holds(&format!("{}!", "a".repeat(50_000)), None));
}

#[test]
fn operators_come_and_go() {
    let added = |user| Event::OperatorAdded { user };
    let add = || Command::AddOperators { users: [ANNA, BORIS].into() };
    chat([]).when(add()).then([added(ANNA), added(BORIS)]);
    chat([added(ANNA)]).when(add()).then([added(BORIS)]);
    chat([added(ANNA), added(BORIS)]).when(add()).nothing();
    chat([]).may(&["channel.*", "conversation.*:own"]).when(add()).rejected(DENIED);
    let removed = || Event::OperatorRemoved { user: ANNA };
    chat([added(ANNA)]).when(Command::RemoveOperator { user: ANNA }).then([removed()]);
    chat([]).when(Command::RemoveOperator { user: ANNA }).nothing();
    chat([]).with::<User>(ANNA, active()).when(Command::Join).then([added(ANNA)]);
    chat([added(ANNA)]).with::<User>(ANNA, active()).when(Command::Join).nothing();
    chat([]).when(Command::Join).rejected(NOT_A_USER);
    chat([added(ANNA)]).when(Command::Leave).then([removed()]);
    chat([]).when(Command::Leave).nothing();
}

#[test]
fn a_kind_is_asked_only_for_what_it_can() {
    let change = |kind, settings: Settings| channel(kind, []).when(Command::ChangeSettings(settings));
    let url = || Settings { url: Some("https://shop.example/hook".into()), dedupes: true, ..Settings::default() };
    change(Kind::LiveChat, url()).rejected(UNABLE);
    change(Kind::Api, url()).then([Event::SettingsChanged(url())]);
    change(Kind::Api, Settings { url: Some("shop".into()), ..Settings::default() }).rejected(valid::URL_INVALID);
    let origins = |origin: &str| Settings { allowed_origins: [origin.to_owned()].into(), ..Settings::default() };
    change(Kind::Email, origins("https://a.example")).rejected(UNABLE);
    change(Kind::LiveChat, origins("https://a.example:8443"))
        .then([Event::SettingsChanged(origins("https://a.example:8443"))]);
    for origin in ["a.example", "https://a.example/", "https://A.example", "ftp://a.example", "https://", "*"] {
        change(Kind::LiveChat, origins(origin)).rejected(ORIGIN_INVALID);
    }
    change(Kind::Form, Settings { reopen_after_s: Some(1), ..Settings::default() }).rejected(UNABLE);
    for kind in Kind::ALL {
        let can = kind.can();
        assert_eq!((can.kind, serde_json::to_value(kind).unwrap().as_str()), (kind, Some(kind.name())));
        assert_eq!(can.converses, kind.fits(kind.medium()));
        assert!(!can.sends || can.converses);
    }
    assert!(Kind::Api.fits("telegram") && !Kind::Telegram.fits("whatsapp") && !Kind::Form.fits("form"));
    // A messenger is carried once it has what that takes; until then a program does it.
    let account = Settings { account: Some("106540352242922".into()), ..Settings::default() };
    let token = Event::CredentialsRotated { credential: FIRST, of: Purpose::Channel };
    let sends = |kind, events: Vec<Event>| channel(kind, events).state.can().unwrap().sends;
    assert!(!sends(Kind::Telegram, vec![]) && sends(Kind::Telegram, vec![token.clone()]));
    assert!(!sends(Kind::Whatsapp, vec![token.clone()]));
    assert!(sends(Kind::Whatsapp, vec![token, Event::SettingsChanged(account.clone())]));
    change(Kind::Whatsapp, account.clone()).then([Event::SettingsChanged(account.clone())]);
    change(Kind::Telegram, account).rejected(UNABLE);
    change(Kind::Whatsapp, Settings { account: Some("../me".into()), ..Settings::default() }).rejected(ACCOUNT_INVALID);
    let app = || Command::RotateCredentials { credential: SECOND, of: Purpose::App };
    channel(Kind::Telegram, []).when(app()).rejected(UNABLE);
    channel(Kind::Whatsapp, []).when(app()).then([Event::CredentialsRotated { credential: SECOND, of: Purpose::App }]);
    assert!(!channel(Kind::Api, []).state.can().unwrap().dedupes);
    assert!(channel(Kind::Api, [Event::SettingsChanged(url())]).state.can().unwrap().dedupes);
}

#[test]
fn it_is_opened_closed_and_gets_other_credentials() {
    chat([]).when(Command::Enable).nothing();
    chat([]).when(Command::Disable).then([Event::Disabled]);
    chat([Event::Disabled]).when(Command::Disable).nothing();
    chat([Event::Disabled]).when(Command::Enable).then([Event::Enabled]);
    assert_eq!(chat([Event::Disabled]).state.must_converse(), Err(DISABLED));
    assert_eq!(chat([]).state.must_converse(), Ok(()));
    assert!(channel(Kind::Form, []).state.must_converse().is_err());
    let rotated = || Event::CredentialsRotated { credential: FIRST, of: Purpose::Channel };
    chat([]).when(Command::RotateCredentials { credential: FIRST, of: Purpose::Channel }).then([rotated()]);
    chat([rotated()]).when(Command::RotateCredentials { credential: FIRST, of: Purpose::Channel }).nothing();
    let closed = crate::kernel::given::at(0);
    let within = Settings { reopen_after_s: Some(60), ..Settings::default() };
    assert!(within.reopens(closed, crate::kernel::given::at(60)));
    assert!(!within.reopens(closed, crate::kernel::given::at(61)));
    assert!(Settings::default().reopens(closed, crate::kernel::given::at(1_000_000)));
}

fn asks(key: &str, asks: Asks, required: bool) -> Question {
    let label = (asks == Asks::Text).then(|| format!("{key}?"));
    Question { key: key.into(), asks, label, required }
}

#[test]
fn questions_are_asked_once_each_and_their_answers_are_what_they_ask_for() {
    let questions =
        vec![asks("who", Asks::Name, true), asks("mail", Asks::Email, true), asks("order", Asks::Text, false)];
    let changed = || Event::QuestionsChanged { questions: questions.clone() };
    chat([]).when(Command::AskBefore { questions: questions.clone() }).then([changed()]);
    chat([changed()]).when(Command::AskBefore { questions: questions.clone() }).nothing();
    for odd in [
        vec![asks("Who", Asks::Name, true)],
        vec![asks("a", Asks::Name, true), asks("a", Asks::Email, true)],
        vec![asks("a", Asks::Name, true), asks("b", Asks::Name, true)],
        vec![Question { label: None, ..asks("a", Asks::Text, true) }],
        (0..11).map(|number| asks(&format!("q{number}"), Asks::Text, false)).collect(),
    ] {
        chat([]).when(Command::AskBefore { questions: odd }).rejected(QUESTIONS_INVALID);
    }
    channel(Kind::Telegram, []).when(Command::AskBefore { questions: vec![] }).rejected(UNABLE);

    let known = chat([changed()]).state;
    let said = |answers: &[(&str, &str)]| {
        known.answered(&answers.iter().map(|(key, answer)| ((*key).to_owned(), (*answer).into())).collect(), None)
    };
    let read = said(&[("mail", " m@example.com "), ("who", "Maria"), ("order", " ")]).unwrap();
    let told: Vec<_> = read.iter().map(|one| (one.key.as_str(), one.answer.as_str())).collect();
    assert_eq!(told, [("who", "Maria"), ("mail", "m@example.com")]);
    assert_eq!(known.must_be_answered(&read), Ok(()));
    assert_eq!(identity(&read), Some(Identity::new(IdentityKind::Email, "m@example.com")));
    let missing = known.must_be_answered(&said(&[("order", "7")]).unwrap()).unwrap_err();
    let places: Vec<_> = missing.errors.iter().map(|error| error.pointer.as_str()).collect();
    assert_eq!((missing.code.as_ref(), places), (ANSWER_MISSING.code.as_ref(), vec!["/answers/who", "/answers/mail"]));
    assert_eq!(said(&[("mail", "nowhere")]).unwrap_err().code, valid::EMAIL_INVALID.code);
    assert_eq!(said(&[("who", &"x".repeat(1_001))]).unwrap_err().code, ANSWER_TOO_LONG.code);
    assert_eq!(said(&[("a/b", "x")]).unwrap_err().errors[0].pointer, "/answers/a~1b");
}

#[test]
fn an_address_is_kept_out_however_it_is_written_and_let_in_again() {
    let address = |value: &str| Identity::new(IdentityKind::Email, value);
    let blocked = || Event::IdentityBlocked { identity: address("spam@example.com") };
    chat([]).when(Command::BlockIdentity { identity: address("spam@example.com") }).then([blocked()]);
    chat([blocked()]).when(Command::BlockIdentity { identity: address("spam@EXAMPLE.com") }).nothing();
    assert!(chat([blocked()]).state.blocks(&address("spam@EXAMPLE.com")));
    let again = Event::IdentityUnblocked { identity: address("spam@EXAMPLE.com") };
    chat([blocked()]).when(Command::UnblockIdentity { identity: address("spam@EXAMPLE.com") }).then([again.clone()]);
    chat([blocked(), again]).when(Command::UnblockIdentity { identity: address("spam@example.com") }).nothing();
}

#[test]
fn what_protects_a_chat_can_be_asked() {
    let captcha = |url: &str, key: &str| Captcha { verify_url: url.into(), site_key: key.into() };
    let with = |captcha| Protection { proof_of_work: Some(12), captcha };
    let wanted = with(Some(captcha("https://captcha.example/siteverify", "key")));
    let sealed = || chat([Event::CredentialsRotated { credential: FIRST, of: Purpose::Captcha }]);
    sealed().when(Command::ChangeProtection(wanted.clone())).then([Event::ProtectionChanged(wanted.clone())]);
    // Without its secret nobody would be let in.
    chat([]).when(Command::ChangeProtection(wanted)).rejected(CAPTCHA_UNSEALED);
    for (url, key, refusal) in [("siteverify", "key", valid::URL_INVALID), ("https://a.example/", " ", CAPTCHA_INVALID)]
    {
        chat([]).when(Command::ChangeProtection(with(Some(captcha(url, key))))).rejected(refusal);
    }
    let rotated = || Event::CredentialsRotated { credential: SECOND, of: Purpose::Captcha };
    let known = chat([rotated()]);
    known.when(Command::RotateCredentials { credential: SECOND, of: Purpose::Captcha }).nothing();
    let known = chat([rotated()]).state;
    assert_eq!((known.credential, known.credential_of(Purpose::Captcha)), (None, Some(SECOND)));
}

#[test]
fn a_teams_own_channel_is_open_only_where_the_team_lets_it() {
    const TEAM: Id = Id::from_bits(0x7E);
    let id = Channel::of_team(TEAM, Kind::LiveChat);
    let connected = || Event::Connected(New { team: Some(TEAM), ..new(Kind::LiveChat) });
    let own = |events: Vec<Event>| given::<Channel>([connected()].into_iter().chain(events)).at(id);
    let created = || team::Event::Created(team::New { name: "Help".into(), alias: None });
    let kind = ChannelKind::LiveChat;
    let off = || [created(), team::Event::ChannelEnabled { kind }, team::Event::ChannelDisabled { kind }];
    let away = || [created(), team::Event::Archived { reason: None }];
    own(vec![Event::Disabled]).with::<Team>(TEAM, off()).when(Command::Enable).rejected(TEAM_CLOSED);
    own(vec![Event::Suspended]).with::<Team>(TEAM, away()).when(Command::Enable).rejected(TEAM_CLOSED);
    own(vec![Event::Disabled]).with::<Team>(TEAM, [created()]).when(Command::Enable).then([Event::Enabled]);
    // Another channel of the team is whoever's connected it.
    let other = given::<Channel>([connected(), Event::Disabled]).with::<Team>(TEAM, off());
    other.when(Command::Enable).then([Event::Enabled]);
    // It comes back as it was: what was closed by hand stays closed.
    let follow = |team| Command::FollowTeam { team };
    own(vec![]).when(follow(TeamHas::GoneAway)).then([Event::Suspended]);
    own(vec![Event::Suspended]).when(follow(TeamHas::ComeBack)).then([Event::Resumed]);
    own(vec![Event::Disabled]).when(follow(TeamHas::GoneAway)).nothing();
    own(vec![Event::Disabled]).when(follow(TeamHas::ComeBack)).nothing();
    own(vec![Event::Suspended]).when(Command::Disable).then([Event::Disabled]);
    own(vec![Event::Suspended]).when(follow(TeamHas::SwitchedOff)).then([Event::Disabled]);
    own(vec![Event::Disabled]).when(follow(TeamHas::SwitchedOn)).then([Event::Enabled]);
}

#[test]
fn a_colleague_is_invited_as_an_operator_at_once() {
    const EVA: Id = Id::from_bits(0xEA);
    const AGENT: Id = Id::from_bits(0xA6);
    let invitation = |role| Invitation { user: Some(EVA), email: "eva@example.com".into(), name: "Eva".into(), role };
    let invite = |role| Command::InviteOperator(invitation(role));
    let agent = || role::Event::Created(role::New { name: "Agent".into(), permissions: ["ticket.read".into()].into() });
    let events = [Event::OperatorInvited(invitation(Some(AGENT))), Event::OperatorAdded { user: EVA }];
    chat([]).with::<Role>(AGENT, [agent()]).when(invite(Some(AGENT))).then(events.clone());
    let told =
        chat([]).with::<Role>(AGENT, [agent()]).with::<Tenant>(TENANT, []).with::<User>(EVA, []).tells(&events[0]);
    let kinds: Vec<_> = told.iter().map(|echo| echo.event_type.as_str()).collect();
    assert_eq!(kinds, ["user.invited", "user.role_granted"]);
    chat(events).when(invite(Some(AGENT))).nothing();
    chat([]).when(invite(Some(AGENT))).rejected(user::ROLE_UNFIT);
    chat([]).with::<User>(EVA, active()).when(invite(None)).rejected(user::EXISTS);
    let wrong = Invitation { email: "eva".into(), ..invitation(None) };
    chat([]).when(Command::InviteOperator(wrong)).rejected(valid::EMAIL_INVALID);
    // Nobody gives what he does not have.
    chat([]).with::<Role>(AGENT, [agent()]).may(&["channel.*"]).when(invite(Some(AGENT))).rejected(DENIED);
}
