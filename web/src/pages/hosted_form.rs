//! A form on a web site, as whoever fills it in sees it: on a page of its own, or built by a script on another site's.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde_json::{Value, json};

use crate::{
    frame::{View, visited},
    parts::hidden,
};

/// A form to fill in.
#[derive(Clone, Debug, Default)]
pub struct HostedForm {
    /// Whose it is.
    pub tenant: String,
    /// Where it is sent.
    pub action: String,
    /// What stands above it.
    pub title: String,
    /// What is said before the fields.
    pub text: Option<String>,
    /// What the button says.
    pub button: Option<String>,
    /// The web site that it belongs to.
    pub website: Option<String>,
    /// What says when the page was made.
    pub token: String,
    /// Its fields.
    pub fields: Vec<HostedField>,
    /// What was filled in.
    pub values: BTreeMap<String, String>,
    /// What was wrong with it, by field, in codes.
    pub faults: BTreeMap<String, String>,
}

/// How a field is filled in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostedInput {
    /// In a line.
    #[default]
    Text,
    /// With an e-mail address.
    Email,
    /// With a phone number.
    Tel,
    /// With a web address.
    Url,
    /// With a number.
    Number,
    /// With a day.
    Date,
    /// By choosing.
    Select,
    /// By ticking.
    Checkbox,
    /// In several lines.
    Textarea,
    /// By choosing a file.
    File,
}

impl HostedInput {
    fn name(self) -> &'static str {
        match self {
            HostedInput::Text => "text",
            HostedInput::Select => "select",
            HostedInput::Textarea => "textarea",
            HostedInput::Email => "email",
            HostedInput::Tel => "tel",
            HostedInput::Url => "url",
            HostedInput::Number => "number",
            HostedInput::Date => "date",
            HostedInput::Checkbox => "checkbox",
            HostedInput::File => "file",
        }
    }
}

/// What another field must hold for a field to be shown.
#[derive(Clone, Debug, Default)]
pub struct HostedCondition {
    /// The key of the other field.
    pub field: String,
    /// One of these; anything when there are none.
    pub values: Vec<String>,
}

/// A field of a form.
#[derive(Clone, Debug, Default)]
pub struct HostedField {
    /// Its key.
    pub key: String,
    /// How it is filled in.
    pub input: HostedInput,
    /// Its name.
    pub label: String,
    /// Where that stands: `above`, `left` or `hidden`.
    pub label_position: &'static str,
    /// What is good to know.
    pub help: Option<String>,
    /// What it shows as long as it is empty.
    pub placeholder: Option<String>,
    /// What it holds at first.
    pub default: Option<String>,
    /// Whether it must be filled in, where it is shown.
    pub required: bool,
    /// Its options: values, and what they are called.
    pub options: Vec<(String, String)>,
    /// When it is shown; always when there are none.
    pub conditions: Vec<HostedCondition>,
    /// What a browser may fill in.
    pub autocomplete: &'static str,
    /// How it appears.
    pub animation: Option<String>,
}

/// What whoever sends a form must leave empty: programs that fill in everything do not.
pub const TRAP: &str = "_link";
/// The field with what says when the page was made.
pub const TOKEN: &str = "_page";

/// What is told of a field in words of its own.
const TOLD: [&str; 8] = [
    "form_value_missing",
    "form_value_too_long",
    "email_invalid",
    "phone_invalid",
    "url_invalid",
    "upload_too_large",
    "upload_type_refused",
    "upload_empty",
];

/// What is wrong with a field, in the language of whoever looks.
fn wrong(view: &View, code: &str) -> String {
    let told = match code {
        _ if TOLD.contains(&code) => code,
        _ => "form_value_invalid",
    };
    view.say_of("problem", told)
}

impl HostedField {
    /// What it is called among the elements of the page.
    fn id(&self) -> String {
        format!("field-{}", self.key)
    }

    fn control(&self, view: &View, value: &str, invalid: bool, described: Option<&str>) -> Markup {
        let id = self.id();
        // Whether one that is shown only sometimes must be filled in, the script and the server say.
        let required = self.required && self.conditions.is_empty();
        let sometimes = (self.required && !required).then_some("true");
        let invalid = invalid.then_some("true");
        html! {
            @match self.input {
                HostedInput::Textarea => {
                    textarea id=(id) name=(self.key) rows="5" placeholder=[self.placeholder.as_deref()]
                        required[required] data-required=[sometimes] aria-invalid=[invalid] aria-describedby=[described]
                        autocomplete=(self.autocomplete) { (value) }
                }
                HostedInput::Select => {
                    select id=(id) name=(self.key) required[required] data-required=[sometimes] aria-invalid=[invalid]
                        aria-describedby=[described] autocomplete=(self.autocomplete) {
                        option value="" selected[value.is_empty()] {
                            (self.placeholder.clone().unwrap_or_else(|| view.say("form-choose")))
                        }
                        @for (known, label) in &self.options {
                            option value=(known) selected[known == value] { (label) }
                        }
                    }
                }
                HostedInput::Checkbox => {
                    input id=(id) name=(self.key) type="checkbox" value="true" checked[!value.is_empty()]
                        required[required] data-required=[sometimes] aria-invalid=[invalid] aria-describedby=[described];
                }
                HostedInput::File => {
                    input id=(id) name=(self.key) type="file" required[required] data-required=[sometimes]
                        aria-invalid=[invalid] aria-describedby=[described];
                }
                _ => {
                    input id=(id) name=(self.key) type=(self.input.name()) value=(value)
                        step=[(self.input == HostedInput::Number).then_some("any")]
                        placeholder=[self.placeholder.as_deref()] required[required] data-required=[sometimes]
                        aria-invalid=[invalid] aria-describedby=[described] autocomplete=(self.autocomplete);
                }
            }
        }
    }

    /// On what it depends, for scripts.
    fn depends(&self) -> Value {
        let conditions = self.conditions.iter();
        conditions.map(|condition| json!({ "field": condition.field, "values": condition.values })).collect()
    }

    /// All of it, for a script that builds it.
    fn built(&self) -> Value {
        json!({
            "key": self.key,
            "input": self.input.name(),
            "label": self.label,
            "label_position": self.label_position,
            "help": self.help,
            "placeholder": self.placeholder,
            "default": self.default,
            "required": self.required,
            "options": self.options,
            "conditions": self.depends(),
            "autocomplete": self.autocomplete,
            "animation": self.animation,
        })
    }

    /// Says in words when it is to be filled in, for whoever has no scripts.
    fn when(&self, view: &View, all: &[HostedField]) -> Option<String> {
        let parts: Vec<String> = self
            .conditions
            .iter()
            .filter_map(|condition| {
                let other = all.iter().find(|field| field.key == condition.field)?;
                let called = |value: &String| {
                    other
                        .options
                        .iter()
                        .find(|(known, _)| known == value)
                        .map_or(value.clone(), |(_, label)| label.clone())
                };
                let values: Vec<String> = condition.values.iter().map(called).collect();
                Some(match values.is_empty() || other.input == HostedInput::Checkbox {
                    true => other.label.clone(),
                    false => format!("{}: {}", other.label, values.join(" / ")),
                })
            })
            .collect();
        (!parts.is_empty()).then(|| view.say_with("form-only-if", &[("what", &parts.join(", "))]))
    }

    fn show(&self, view: &View, form: &HostedForm) -> Markup {
        let id = self.id();
        let sent = !form.values.is_empty();
        let value = match form.values.get(&self.key) {
            Some(value) => value.as_str(),
            None if sent => "",
            None => self.default.as_deref().unwrap_or_default(),
        };
        let fault = form.faults.get(&self.key);
        let help = self.help.as_ref().map(|_| format!("{id}-help"));
        let wrong_id = fault.map(|_| format!("{id}-wrong"));
        let described: Vec<String> = help.iter().chain(&wrong_id).cloned().collect();
        let described = (!described.is_empty()).then(|| described.join(" "));
        let conditions = (!self.conditions.is_empty()).then(|| self.depends().to_string());
        let tick = self.input == HostedInput::Checkbox;
        let optional = !self.required && !tick;
        let control = self.control(view, value, fault.is_some(), described.as_deref());
        let label = html! {
            label for=(id) {
                (self.label)
                @if optional { " " span.optional { (view.say("form-optional")) } }
            }
        };
        html! {
            div.field.(if tick { "tick" } else { self.label_position }) data-if=[conditions]
                data-animation=[self.animation.as_deref()] {
                @if tick { div.check { (control) (label) } }
                @else {
                    (label)
                    (control)
                }
                @if let Some(help) = &self.help { p.hint id={ (id) "-help" } { (help) } }
                @if let Some(code) = fault { p.wrong id={ (id) "-wrong" } { (wrong(view, code)) } }
                @if let Some(when) = self.when(view, &form.fields) { noscript { p.hint { (when) } } }
            }
        }
    }
}

/// The page of a form.
pub fn form(view: &View, form: &HostedForm) -> String {
    let content = html! {
        @if let Some(text) = &form.text { p.lead { (text) } }
        @if !form.faults.is_empty() { p.fault #refusal role="alert" { (view.say("form-faults")) } }
        @let files = form.fields.iter().any(|field| field.input == HostedInput::File);
        form.asks method="post" action=(form.action) enctype=[files.then_some("multipart/form-data")] {
            (hidden(TOKEN, &form.token))
            div.trap aria-hidden="true" {
                label for="trap" { (view.say("form-trap")) }
                input #trap name=(TRAP) type="text" value="" tabindex="-1" autocomplete="off";
            }
            @for field in &form.fields { (field.show(view, form)) }
            p.actions {
                button type="submit" { (form.button.clone().unwrap_or_else(|| view.say("form-send"))) }
            }
        }
        (to_website(view, form.website.as_deref()))
    };
    visited(view, &form.tenant, &form.title, &["form.js"], &content)
}

fn to_website(view: &View, website: Option<&str>) -> Markup {
    html! {
        @if let Some(website) = website {
            p.aside { a href=(website) rel="noreferrer" { (view.say("form-website")) } }
        }
    }
}

/// What is shown once a form was sent.
pub fn form_thanks(view: &View, tenant: &str, thanks: Option<&str>, website: Option<&str>) -> String {
    let content = html! {
        p { (thanks.map_or_else(|| view.say("form-sent"), ToOwned::to_owned)) }
        (to_website(view, website))
    };
    visited(view, tenant, &view.say("form-sent-title"), &[], &content)
}

/// What comes first where a help centre is published: whoever finds nothing there contacts people.
pub fn form_help_first(view: &View, form: &HostedForm, contact: &str, help: Option<&str>) -> String {
    let content = html! {
        p { (view.say("form-help-first")) }
        @if let Some(help) = help { p.actions { a.button href=(help) { (view.say("portal-help")) } } }
        (to_website(view, form.website.as_deref()))
        p.actions { a.button href=(contact) { (view.say("form-contact-us")) } }
    };
    visited(view, &form.tenant, &view.say("form-help-title"), &[], &content)
}

/// There is no such form, or not now.
pub fn form_missing(view: &View) -> String {
    let content = html! { p { (view.say("form-missing")) } };
    visited(view, "", &view.say("form-missing-title"), &[], &content)
}

/// Too much was sent from one address.
pub fn form_flooded(view: &View, tenant: &str) -> String {
    let content = html! { p { (view.say("form-flooded")) } };
    visited(view, tenant, &view.say("form-flooded-title"), &[], &content)
}

/// The script that shows a form on another site: it stands where the script stands, behind a shadow of its own.
pub fn form_script(view: &View, form: &HostedForm, origin: &str, thanks: Option<&str>) -> String {
    let codes = TOLD.into_iter().chain(["form_value_invalid"]);
    let mut says: BTreeMap<&'static str, String> = codes.map(|code| (code, wrong(view, code))).collect();
    says.insert("choose", view.say("form-choose"));
    says.insert("optional", view.say("form-optional"));
    says.insert("faults", view.say("form-faults"));
    says.insert("unreachable", view.say_of("problem", "unreachable"));
    let built = json!({
        "action": format!("{origin}{}", form.action),
        "language": view.language.tag(),
        "title": form.title,
        "text": form.text,
        "button": form.button.clone().unwrap_or_else(|| view.say("form-send")),
        "token": [TOKEN, &form.token],
        "trap": [TRAP, &view.say("form-trap")],
        "fields": form.fields.iter().map(HostedField::built).collect::<Vec<_>>(),
        "thanks": thanks.map_or_else(|| view.say("form-sent"), ToOwned::to_owned),
        "says": says,
    });
    // Nothing in it can end the script element of a page that holds it.
    let built = built.to_string().replace('<', "\\u003c");
    let built = built.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    include_str!("../../embed/form.js").replacen("\"FORM\"", &built, 1)
}
