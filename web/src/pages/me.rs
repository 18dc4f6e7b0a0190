//! Oneself: profile, presence, how one signs in, where one is signed in, and one's keys.

use maud::{Markup, html};

use crate::{
    frame::{Person, View, inside},
    parts::{self, Field, PRESENCES, choice, hidden, moment, needs_script, submit},
    qr,
    texts::Language,
};

/// What somebody sees of oneself, beside the profile.
#[derive(Clone, Debug, Default)]
pub struct Me {
    /// Whether there is a picture.
    pub picture: bool,
    /// The phone number.
    pub phone: Option<String>,
    /// `online`, `away` or `offline`.
    pub presence: String,
    /// The names of the roles.
    pub roles: Vec<String>,
    /// Whether there is a password.
    pub password: bool,
    /// Whether a code is needed to sign in.
    pub second_factor: bool,
    /// How many recovery codes are left.
    pub recovery_codes: u32,
    /// The address that is wanted and not confirmed.
    pub wanted_email: Option<String>,
    /// Where one is signed in, the last used first.
    pub sessions: Vec<Session>,
}

/// A session that lasts.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// Whether it is this one.
    pub current: bool,
    /// How it began: `password`, `link` or `openid_connect`.
    pub method: String,
    /// From which address.
    pub address: Option<String>,
    /// What the browser calls itself.
    pub user_agent: Option<String>,
    /// When it began (RFC 3339).
    pub started_at: String,
    /// When it was last used (RFC 3339).
    pub last_seen_at: String,
}

/// The page about oneself.
pub fn me(view: &View, me: &Me) -> String {
    let Some(person) = &view.person else { return String::new() };
    let content = html! {
        (needs_script(view))
        (presence(view, me))
        (picture(view, person, me.picture))
        (profile(view, person, me))
        (email(view, person, me))
        (password(view, me))
        (second_factor(view, me))
        (sessions(view, me))
        @if view.may("report.read") { (addresses(view)) }
        (keys(view, person))
        (codes(view))
    };
    inside(view, &view.say("me-title"), &["me.js"], &content)
}

fn part(id: &str, title: &str, content: &Markup) -> Markup {
    html! { section.part aria-labelledby=(id) { h2 id=(id) { (title) } (content) } }
}

fn presence(view: &View, me: &Me) -> Markup {
    let content = html! {
        p { (view.say("presence-lead")) }
        form.switch method="post" action="/v1/me/set_presence" data-api {
            (hidden("next", "/me"))
            @for presence in PRESENCES {
                button type="submit" name="presence" value=(presence) aria-pressed=(me.presence == *presence) {
                    span.dot.(presence) aria-hidden="true" {} (view.say_of("presence", presence))
                }
            }
            p.fault role="alert" {}
        }
    };
    part("presence", &view.say("presence"), &content)
}

fn picture(view: &View, person: &Person, sent: bool) -> Markup {
    let content = html! {
        form.pictured #picture {
            (parts::face(&person.id, "large"))
            div {
                label for="picture-file" class="button secondary" { (view.say("picture-choose")) }
                input.unseen #picture-file type="file" accept="image/jpeg,image/png,image/webp";
                @if sent { " " button.quiet type="submit" { (view.say("picture-remove")) } }
                p.hint { (view.say("picture-hint")) }
                p.fault role="alert" {}
            }
        }
    };
    part("picture-title", &view.say("picture"), &content)
}

fn profile(view: &View, person: &Person, me: &Me) -> Markup {
    let set = person.locale.as_deref().unwrap_or_default();
    let mut languages = vec![("", view.say("as-the-browser"))];
    languages.extend(Language::ALL.map(|language| (language.tag(), language.name().to_owned())));
    // A dialect, or a language that the pages do not speak, stays what it is.
    if !languages.iter().any(|(tag, _)| *tag == set) {
        languages.push((set, set.to_owned()));
    }
    let content = html! {
        @if !me.roles.is_empty() { p.roles { (view.say("your-roles")) " " b { (me.roles.join(", ")) } } }
        form method="post" action="/v1/me/change_profile" data-api data-cleared="phone locale time_zone" {
            (hidden("next", "/me"))
            div.fields {
                (Field { form: "profile", name: "name", label: view.say("name"), autocomplete: "name", required: true,
                    value: &person.name, ..Field::default() }.show())
                (Field { form: "profile", name: "phone", label: view.say("phone"), kind: "tel", autocomplete: "tel",
                    value: me.phone.as_deref().unwrap_or_default(), ..Field::default() }.show())
                (choice("profile", "locale", &view.say("language"), &languages, set))
                (Field { form: "profile", name: "time_zone", label: view.say("time-zone"), list: Some("zones"),
                    value: person.time_zone.as_deref().unwrap_or_default(), hint: Some(view.say("time-zone-hint")),
                    ..Field::default() }.show())
            }
            datalist #zones {}
            (submit(&view.say("save")))
        }
    };
    part("profile", &view.say("profile"), &content)
}

/// Something that is done now and then, out of the way until it is wanted.
fn folded(label: &str, content: &Markup) -> Markup {
    html! { details { summary { (label) } (content) } }
}

/// Whose password a form asks for, so that a browser knows which one to fill in; it is not sent.
fn account(view: &View) -> Markup {
    let email = view.person.as_ref().map(|person| person.email.as_str());
    html! { input type="text" autocomplete="username" value=[email] readonly hidden; }
}

fn own_password(view: &View, form: &str) -> Markup {
    let field = Field {
        form,
        name: "password",
        label: view.say("your-password"),
        kind: "password",
        autocomplete: "current-password",
        required: true,
        ..Field::default()
    };
    html! { (account(view)) (field.show()) }
}

fn email(view: &View, person: &Person, me: &Me) -> Markup {
    let content = html! {
        p { b { (person.email) } }
        @if let Some(wanted) = &me.wanted_email {
            p.notice { (view.say_with("wanted-email", &[("email", wanted)])) }
        }
        @if me.password {
            (folded(&view.say("change-email"), &html! {
                form method="post" action="/v1/me/request_email" data-api {
                    (hidden("next", "/me"))
                    p { (view.say("change-email-lead")) }
                    (Field { form: "email", name: "email", label: view.say("new-email"), kind: "email",
                        autocomplete: "email", required: true, ..Field::default() }.show())
                    (own_password(view, "email"))
                    (submit(&view.say("change-email")))
                }
            }))
        }
    };
    part("email", &view.say("email"), &content)
}

fn password(view: &View, me: &Me) -> Markup {
    let content = html! {
        @if me.password {
            p { (view.say("password-lead")) }
            (folded(&view.say("change-password"), &html! {
                form method="post" action="/v1/me/change_password" data-api {
                    (hidden("next", "/me"))
                    (account(view))
                    (Field { form: "password", name: "current", label: view.say("your-password"), kind: "password",
                        autocomplete: "current-password", required: true, ..Field::default() }.show())
                    (Field { form: "password", name: "password", label: view.say("new-password"), kind: "password",
                        autocomplete: "new-password", required: true, hint: Some(view.say("password-hint")),
                        ..Field::default() }.show())
                    (submit(&view.say("change-password")))
                }
            }))
        } @else {
            p { (view.say("no-password")) }
        }
    };
    part("password", &view.say("password"), &content)
}

fn second_factor(view: &View, me: &Me) -> Markup {
    let content = html! {
        p { (view.say("factor-lead")) }
        @if me.second_factor {
            p { b { (view.say("factor-on")) } " " (view.count("recovery-left", me.recovery_codes)) }
            (folded(&view.say("recovery-replace"), &html! {
                form method="post" action="/v1/me/replace_recovery_codes" data-api data-then="codes" {
                    p { (view.say("recovery-replace-lead")) }
                    (own_password(view, "recovery"))
                    (submit(&view.say("recovery-replace")))
                }
            }))
            (folded(&view.say("factor-disable"), &html! {
                form method="post" action="/v1/me/disable_second_factor" data-api {
                    (hidden("next", "/me"))
                    (own_password(view, "disable"))
                    (submit(&view.say("factor-disable")))
                }
            }))
        } @else if me.password {
            p.actions { a.button href="/me/second_factor" { (view.say("factor-enable")) } }
        } @else {
            p { (view.say("no-password")) }
        }
    };
    part("factor", &view.say("factor"), &content)
}

/// The addresses at which anybody sees pictures of widgets: each may be taken back.
fn addresses(view: &View) -> Markup {
    let content = html! {
        p { (view.say("addresses-lead")) }
        ul.rows #handed-out aria-busy="true" {}
        template #address {
            li {
                div { b data-fill="widget" {} p.hint { (view.say("address-until")) " " time data-fill="expires_at" {} } }
                form method="post" action="/v1/me/withdraw_address" data-api data-then="addresses" {
                    input type="hidden" name="address" value="{id}";
                    p.fault role="alert" {}
                    button.secondary type="submit" aria-label={ (view.say("address-withdraw")) ": {widget}" } { (view.say("address-withdraw")) }
                }
            }
        }
    };
    part("addresses", &view.say("addresses-title"), &content)
}

fn sessions(view: &View, me: &Me) -> Markup {
    let content = html! {
        ul.rows {
            @for session in &me.sessions {
                li {
                    div {
                        b { (session.user_agent.as_deref().map_or_else(|| view.say("device-unknown"), device)) }
                        @if session.current { " " span.badge { (view.say("this-session")) } }
                        p.hint {
                            (view.say_of("method", &session.method))
                            @if let Some(address) = &session.address { " · " (address) }
                            " · " (view.say("last-seen")) " " (moment(&session.last_seen_at))
                        }
                    }
                    @if !session.current {
                        form method="post" action="/v1/me/end_session" data-api {
                            (hidden("session", &session.id))
                            (hidden("next", "/me"))
                            p.fault role="alert" {}
                            button.quiet type="submit" { (view.say("end-session")) }
                        }
                    }
                }
            }
        }
        form method="post" action="/v1/me/sign_out_everywhere" data-api {
            (hidden("next", "/sign_in"))
            p.fault role="alert" {}
            p.actions { button.secondary type="submit" { (view.say("sign-out-everywhere")) } }
        }
    };
    part("sessions", &view.say("sessions"), &content)
}

/// What a browser is called by people, out of what it calls itself.
fn device(user_agent: &str) -> String {
    let named = |names: &[(&str, &'static str)]| {
        names.iter().find(|(mark, _)| user_agent.contains(mark)).map(|(_, name)| *name)
    };
    let browsers =
        [("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari")];
    let systems = [
        ("Windows", "Windows"),
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Mac OS X", "macOS"),
        ("CrOS", "ChromeOS"),
        ("Linux", "Linux"),
    ];
    match (named(&browsers), named(&systems)) {
        (Some(browser), Some(system)) => format!("{browser} · {system}"),
        _ => user_agent.chars().take(60).collect(),
    }
}

fn keys(view: &View, person: &Person) -> Markup {
    if !person.may("api_key.read") {
        return Markup::default();
    }
    let content = html! {
        p { (view.say("keys-lead")) " " a href="/docs" { (view.say("docs-title")) } }
        ul.rows #keys data-user=(person.id) aria-busy="true" {}
        template #key {
            li {
                div {
                    b data-fill="name" {} " " code { span data-fill="prefix" {} "…" }
                    p.hint {
                        span data-if="last_used_at" { (view.say("last-used")) " " time data-fill="last_used_at" {} }
                        span data-unless="last_used_at" { (view.say("never-used")) }
                    }
                }
                @if person.may("api_key.revoke") {
                    form method="post" action="/v1/api_keys/{id}/revoke" data-api data-then="list" {
                        p.fault role="alert" {}
                        button.quiet type="submit" { (view.say("revoke")) }
                    }
                }
            }
        }
        @if person.may("api_key.issue") {
            form method="post" action="/v1/api_keys" data-api data-then="key" {
                (Field { form: "key", name: "name", label: view.say("key-name"), required: true,
                    hint: Some(view.say("key-hint")), ..Field::default() }.show())
                (submit(&view.say("issue-key")))
            }
            (once(view, "issued", &view.say("key-shown")))
        }
    };
    part("keys-title", &view.say("keys"), &content)
}

/// A secret that is shown this once, hidden until there is one.
pub(crate) fn once(view: &View, id: &str, lead: &str) -> Markup {
    html! {
        div.once id=(id) role="status" hidden {
            p { (lead) }
            p.secret { code data-secret {} }
            p.actions { button.secondary type="button" data-copies { (view.say("copy")) } }
        }
    }
}

/// Recovery codes, shown once in place of what asked for them.
fn codes(view: &View) -> Markup {
    html! {
        template #codes {
            div.once role="status" {
                h3 tabindex="-1" { (view.say("recovery-title")) }
                p { (view.say("recovery-lead")) }
                ol.codes {}
                p.actions {
                    button.secondary type="button" data-copies { (view.say("copy")) }
                    " " a.button href="/me" { (view.say("recovery-kept")) }
                }
            }
        }
    }
}

/// How far the way to a second factor has come.
#[derive(Clone, Debug)]
pub enum SecondFactor {
    /// The password is needed.
    Begun,
    /// The app is to be told the secret.
    Prepared {
        /// The secret, to be typed.
        secret: String,
        /// The same as an address, to be read from a picture.
        uri: String,
    },
}

/// The way to a second factor: the password, then the picture and the first code.
pub fn prepared(view: &View, factor: &SecondFactor) -> String {
    let content = match factor {
        SecondFactor::Begun => html! {
            p { (view.say("factor-lead")) }
            form.narrow method="post" action="/me/second_factor" {
                (own_password(view, "factor"))
                p.actions {
                    button type="submit" { (view.say("continue")) }
                    " " a.button.secondary href="/me" { (view.say("cancel")) }
                }
            }
        },
        SecondFactor::Prepared { secret, uri } => html! {
            (needs_script(view))
            div.factor {
                (qr::code(uri, &view.say("factor-picture")))
                form.narrow method="post" action="/v1/me/enable_second_factor" data-api data-then="codes" {
                    p { (view.say("factor-scan")) }
                    p.secret { code { (secret) } }
                    (Field { form: "factor", name: "code", label: view.say("code"), autocomplete: "one-time-code",
                        required: true, autofocus: true, ..Field::default() }.show())
                    (submit(&view.say("factor-enable")))
                }
            }
            (codes(view))
        },
    };
    inside(view, &view.say("factor"), &["me.js"], &content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_go_by_the_names_that_people_know() {
        let edge = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36 Edg/140.0";
        let phone =
            "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1 Version/19.0 Mobile Safari/604.1";
        assert_eq!(device(edge), "Edge · Windows");
        assert_eq!(device(phone), "Safari · iPhone");
        assert_eq!(device("Telephone/7"), "Telephone/7");
    }
}
