//! What the tenant has set and switched off.

use maud::html;

use crate::{
    frame::{View, inside},
    parts::needs_script,
};

/// The page of settings. The values are the API's: a script fills them in.
pub fn settings(view: &View) -> String {
    let Some(person) = &view.person else { return String::new() };
    let tenant = format!("/v1/tenants/{}", person.tenant_id);
    let (may_set, may_switch) = (view.may("tenant.change_setting"), view.may("tenant.enable_feature"));
    let content = html! {
        (needs_script(view))
        p.fault role="alert" #fault {}
        section.part aria-labelledby="values-title" {
            h2 #values-title { (view.say("values")) }
            div #values aria-busy="true" {}
        }
        section.part aria-labelledby="features-title" {
            h2 #features-title { (view.say("features")) }
            p { (view.say("features-lead")) }
            ul.rows #features aria-busy="true" {}
        }
        template #value {
            form.setting method="post" action={ (tenant) "/change_setting" } data-api data-then="saved" {
                input type="hidden" name="key" value="{key}";
                div.field {
                    label for="value-{key}" data-fill="label" {}
                    select id="value-{key}" name="value" data-type="bool" data-if="is_bool" disabled[!may_set]
                        aria-describedby="about-{key}" {
                        option value="true" { (view.say("on")) }
                        option value="false" { (view.say("off")) }
                    }
                    textarea id="value-{key}" name="value" data-type="lines" data-if="is_names" rows="6" spellcheck="false"
                        disabled[!may_set] aria-describedby="about-{key}" {}
                    input id="value-{key}" name="value" data-type="number" data-if="is_number" inputmode="numeric"
                        disabled[!may_set] autocomplete="off" aria-describedby="about-{key}";
                    input id="value-{key}" name="value" data-type="null" data-if="is_text" disabled[!may_set]
                        autocomplete="off" spellcheck="false" aria-describedby="about-{key}";
                    p.hint id="about-{key}" data-fill="about" {}
                }
                p.fault role="alert" {}
                @if may_set { p.actions { button.secondary type="submit" { (view.say("save")) } } }
            }
        }
        template #feature {
            li {
                div { b data-fill="label" {} }
                @if may_switch {
                    form method="post" action={ (tenant) "/{order}" } data-api data-then="list" {
                        input type="hidden" name="feature" value="{feature}";
                        p.fault role="alert" {}
                        button.toggle type="submit" role="switch" aria-checked="{enabled}" aria-label="{label}" { span {} }
                    }
                } @else {
                    span data-if="enabled" { (view.say("on")) } span data-unless="enabled" { (view.say("off")) }
                }
            }
        }
    };
    inside(view, &view.say("settings-title"), &["settings.js"], &content)
}
