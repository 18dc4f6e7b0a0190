//! Files that are brought in: what their columns mean, what would become of the rows, and how an import went.

use maud::{Markup, html};

use super::bulk::{collections, counted};
use crate::{
    frame::{View, below, inside},
    parts::{Field, choice, needs_script, words},
};

/// The page on which a file of records is brought in; `kind` is what it has, as far as one knows.
pub fn imports(view: &View, kind: &str) -> String {
    let known = view.person.as_ref().map(|person| person.collections.as_slice()).unwrap_or_default();
    let kinds = known.iter().filter(|collection| collection.imports);
    let kinds: Vec<(&str, String)> = [("", view.say("import-any"))]
        .into_iter()
        .chain(kinds.map(|collection| (collection.kind, view.say_of("kind", collection.kind))))
        .collect();
    let content = html! {
        (needs_script(view))
        p.lead { (view.say("imports-lead")) }
        form #import {
            section.part aria-labelledby="file-title" {
                h2 #file-title { (view.say("import-file")) }
                div.fields {
                    div.field {
                        label for="import-file" { (view.say("import-choose")) }
                        input #import-file name="file" type="file" accept=".csv,.tsv,.txt,text/csv" required;
                    }
                    (choice("import", "record", &view.say("import-record"), &kinds, kind))
                    (Field { form: "import", name: "source", label: view.say("import-source"), hint: Some(view.say("import-source-hint")),
                        ..Field::default() }.show())
                }
                p.fault role="alert" {}
            }
            section.part #meaning hidden aria-labelledby="meaning-title" {
                h2 #meaning-title { (view.say("import-meaning")) }
                p.hint #looks {}
                p.fault #lacks role="status" {}
                div.scrolls tabindex="0" role="group" aria-label=(view.say("import-meaning")) {
                    table {
                        thead { tr {
                            th scope="col" { (view.say("import-column")) }
                            th scope="col" { (view.say("import-examples")) }
                            th scope="col" { (view.say("import-says")) }
                        } }
                        tbody #columns {}
                    }
                }
                details {
                    summary { (view.say("import-mapping")) }
                    div.field {
                        label for="import-mapping" { (view.say("import-mapping-hint")) }
                        textarea #import-mapping name="mapping" rows="14" spellcheck="false" {}
                    }
                    p.actions { button.secondary type="button" #look-again { (view.say("import-again")) } }
                }
            }
            section.part #foreseen hidden aria-labelledby="foreseen-title" {
                h2 #foreseen-title { (view.say("import-foreseen")) }
                ol.rows #outcomes {}
            }
            div.actions #begin hidden {
                button.secondary type="submit" value="true" { (view.say("import-try")) }
                button type="submit" value="false" { (view.say("import-begin")) }
            }
        }
        section.part #job hidden aria-labelledby="job-title" {
            h2 #job-title tabindex="-1" { (view.say("import-tried")) }
            (job(view))
        }
        template #column {
            tr {
                th scope="row" data-fill="column" {}
                td data-label=(view.say("import-examples")) data-fill="examples" {}
                td data-label=(view.say("import-says")) {
                    select aria-label="{column}" autocomplete="off" { option value="" { (view.say("import-left")) } }
                }
            }
        }
        template #foreseen-row {
            li {
                div {
                    span { (view.say("import-row")) " " span data-fill="row" {} }
                    p.hint data-if="reason" data-fill="reason" {}
                    p.hint data-if="does" data-fill="does" {}
                }
                span.badge data-family="row" data-fill="outcome" {}
            }
        }
        (words(view, &["command", "field"]))
    };
    inside(view, &view.say("imports-title"), &["imports.js"], &content)
}

/// The page of an import, no older than a position of the log.
pub fn import(view: &View, id: &str, position: i64) -> String {
    let content = html! {
        (needs_script(view))
        p.fault role="alert" #fault {}
        section.part #job aria-labelledby="job-title" data-id=(id) data-position=(position) {
            h2 #job-title tabindex="-1" { (view.say("import-state")) }
            (job(view))
        }
    };
    let above = [("/imports", view.say("imports-title")), ("/records/imports", view.say_of("kind", "import"))];
    below(view, &above, &view.say("import-heading"), &["import.js"], &content)
}

/// How an import goes: filled by a script.
fn job(view: &View) -> Markup {
    let (paths, titles) = collections(view);
    html! {
        div #job-of data-collections=(paths) data-titles=(titles) aria-busy="true" {
            p.notice #tried hidden { (view.say("import-only-tried")) }
            p #job-about {}
            (counted(view))
            div.actions {
                button.secondary type="button" data-does="cancel" hidden { (view.say("import-cancel")) }
                button.secondary type="button" data-does="resume" hidden { (view.say("import-resume")) }
                @if view.may("bulk.run") { button.danger type="button" data-does="undo" hidden { (view.say("import-undo")) } }
            }
            div #rejected hidden {
                h3 { (view.say("import-rejected")) }
                ul.rows #rejected-rows {}
                p { a #report download href="" { (view.say("import-report")) } }
            }
            div #twice hidden {
                h3 { (view.say("import-duplicates")) }
                ul.rows #duplicates {}
            }
            template #rejected-row {
                li { div { span { (view.say("import-row")) " " span data-fill="row" {} } p.hint data-fill="reason" {} } span.badge data-fill="code" {} }
            }
            template #duplicate {
                li {
                    div { b data-fill="record" {} " " span.hint { (view.say("import-same-as")) } " " b data-fill="candidate" {} }
                    button.secondary type="button" data-merge="{merge}" data-into="{into}" { (view.say("import-merge")) }
                }
            }
        }
    }
}
