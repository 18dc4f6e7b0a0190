//! HTML of strangers, made fit to be shown: nothing runs, nothing is fetched, nothing leaves its box.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use ammonia::{Builder, UrlRelative};
use html5ever::tokenizer::{EndTag, Tag, TagToken, Token, TokenSink, TokenSinkResult};

use super::{Limits, html};

/// How HTML is shown.
pub struct Shown<'a> {
    /// Whether images are fetched from elsewhere. Those that only tell that a mail was opened never are.
    pub remote_images: bool,
    /// Where an image is that the mail brings itself, by its content id.
    pub inline: &'a dyn Fn(&str) -> Option<String>,
}

/// HTML that can be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sanitised {
    /// It: to be put into a page as it is.
    pub html: String,
    /// How many images were not fetched from elsewhere that would be, were they asked for.
    pub blocked: usize,
}

const TAGS: [&str; 62] = [
    "a",
    "abbr",
    "acronym",
    "address",
    "article",
    "aside",
    "b",
    "bdi",
    "bdo",
    "big",
    "blockquote",
    "br",
    "caption",
    "center",
    "cite",
    "code",
    "col",
    "colgroup",
    "dd",
    "del",
    "details",
    "dfn",
    "div",
    "dl",
    "dt",
    "em",
    "figcaption",
    "figure",
    "font",
    "footer",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "i",
    "img",
    "ins",
    "kbd",
    "li",
    "mark",
    "ol",
    "p",
    "pre",
    "q",
    "s",
    "samp",
    "section",
    "small",
    "span",
    "strike",
    "strong",
    "sub",
    "summary",
    "sup",
    "table",
    "tbody",
    "td",
    "th",
];
const MORE_TAGS: [&str; 7] = ["tfoot", "thead", "time", "tr", "tt", "u", "ul"];

/// Elements that go with all that is in them.
const WITH_CONTENT: [&str; 22] = [
    "script", "style", "title", "iframe", "object", "embed", "applet", "noscript", "template", "svg", "math", "audio",
    "video", "canvas", "select", "textarea", "xml", "noembed", "noframes", "frameset", "portal", "dialog",
];

/// Properties that stay within their box and point nowhere.
const PROPERTIES: [&str; 62] = [
    "background-color",
    "border",
    "border-bottom",
    "border-bottom-color",
    "border-bottom-style",
    "border-bottom-width",
    "border-collapse",
    "border-color",
    "border-left",
    "border-left-color",
    "border-left-style",
    "border-left-width",
    "border-radius",
    "border-right",
    "border-right-color",
    "border-right-style",
    "border-right-width",
    "border-spacing",
    "border-style",
    "border-top",
    "border-top-color",
    "border-top-style",
    "border-top-width",
    "border-width",
    "color",
    "direction",
    "display",
    "font",
    "font-family",
    "font-size",
    "font-style",
    "font-variant",
    "font-weight",
    "height",
    "letter-spacing",
    "line-height",
    "list-style-type",
    "margin",
    "margin-bottom",
    "margin-left",
    "margin-right",
    "margin-top",
    "max-width",
    "min-width",
    "padding",
    "padding-bottom",
    "padding-left",
    "padding-right",
    "padding-top",
    "table-layout",
    "text-align",
    "text-decoration",
    "text-indent",
    "text-transform",
    "unicode-bidi",
    "vertical-align",
    "white-space",
    "width",
    "word-break",
    "word-spacing",
    "word-wrap",
    "overflow-wrap",
];

/// Makes HTML fit to be shown.
#[must_use]
pub fn sanitised(html: &str, options: &Shown<'_>) -> Sanitised {
    let html = html.replace('\0', "");
    if html.len() > Limits::HTML {
        return as_text(&html);
    }
    let survey = html::tokens(&html, Survey::default());
    if survey.deepest.get() > Limits::NESTED || survey.work.get() > REOPENED {
        return as_text(&html);
    }
    let inline: BTreeMap<String, String> =
        html::content_ids(&html).into_iter().filter_map(|id| Some((id.clone(), (options.inline)(&id)?))).collect();
    let blocked = Arc::new(AtomicUsize::new(0));
    let rules = Rules {
        remote: options.remote_images,
        inline,
        pixels: survey.pixels.into_inner(),
        blocked: Arc::clone(&blocked),
    };
    let mut builder = Builder::empty();
    builder
        .tags(TAGS.into_iter().chain(MORE_TAGS).collect())
        .clean_content_tags(WITH_CONTENT.into())
        .generic_attributes(HashSet::from([
            "align", "dir", "lang", "style", "title", "valign", "bgcolor", "width", "height",
        ]))
        .tag_attributes(HashMap::from([
            ("a", HashSet::from(["href"])),
            ("img", HashSet::from(["src", "alt", "border"])),
            ("font", HashSet::from(["color", "face", "size"])),
            ("table", HashSet::from(["border", "cellpadding", "cellspacing"])),
            ("td", HashSet::from(["colspan", "rowspan", "nowrap"])),
            ("th", HashSet::from(["colspan", "rowspan", "nowrap"])),
            ("col", HashSet::from(["span"])),
            ("ol", HashSet::from(["start", "type"])),
            ("ul", HashSet::from(["type"])),
            ("hr", HashSet::from(["size", "noshade", "color"])),
            ("bdo", HashSet::from(["dir"])),
        ]))
        .url_schemes(HashSet::from(["http", "https", "mailto", "tel", "cid", "data"]))
        // Where an image of ours is.
        .url_relative(UrlRelative::PassThrough)
        .link_rel(Some("noopener noreferrer"))
        .set_tag_attribute_values(HashMap::from([("a", HashMap::from([("target", "_blank")]))]))
        .filter_style_properties(PROPERTIES.into())
        .strip_comments(true)
        .attribute_filter(move |element, attribute, value| rules.attribute(element, attribute, value));
    let html = builder.clean(&html).to_string();
    Sanitised { html, blocked: blocked.load(Ordering::Relaxed) }
}

/// What is too large or too deep is shown as the text that it is.
fn as_text(html: &str) -> Sanitised {
    let text = html::text(html);
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    Sanitised { html: format!("<div style=\"white-space:pre-wrap\">{text}</div>"), blocked: 0 }
}

struct Rules {
    remote: bool,
    inline: BTreeMap<String, String>,
    /// Images that nobody can see.
    pixels: BTreeSet<String>,
    blocked: Arc<AtomicUsize>,
}

impl Rules {
    fn attribute<'a>(&self, element: &str, attribute: &str, value: &'a str) -> Option<Cow<'a, str>> {
        match (element, attribute) {
            ("img", "src") => self.image(value),
            ("a", "href") => link(value),
            (_, "style") => style(value).map(Cow::Owned),
            (_, "width" | "height") => {
                let digits = value.trim().trim_end_matches(['%', ' ']).trim_end_matches("px");
                (digits.len() <= 5 && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
                    .then_some(Cow::Borrowed(value))
            }
            (_, "target" | "rel") => Some(Cow::Borrowed(value)),
            (_, "href" | "src") => None,
            _ => Some(Cow::Borrowed(value)),
        }
    }

    fn image<'a>(&self, value: &'a str) -> Option<Cow<'a, str>> {
        let address = squeezed(value);
        let lower = address.to_ascii_lowercase();
        if lower.starts_with("cid:") {
            let id = String::from_utf8_lossy(&super::word::percent(&address[4..])).into_owned();
            return self.inline.get(&id).cloned().map(Cow::Owned);
        }
        let pictures = ["data:image/png", "data:image/jpeg", "data:image/jpg", "data:image/gif", "data:image/webp"];
        if pictures.iter().any(|kind| lower.starts_with(kind)) {
            return Some(Cow::Borrowed(value));
        }
        // `//elsewhere` is elsewhere too, by whatever scheme the page has.
        let remote = ["http://", "https://", "//"].iter().any(|start| lower.starts_with(start));
        if !remote || self.pixels.contains(value) {
            return None;
        }
        if self.remote {
            return Some(if lower.starts_with("//") {
                Cow::Owned(format!("https:{address}"))
            } else {
                Cow::Borrowed(value)
            });
        }
        self.blocked.fetch_add(1, Ordering::Relaxed);
        None
    }
}

/// Browsers leave out of an address what cannot be seen.
fn squeezed(value: &str) -> String {
    value.trim().chars().filter(|c| !c.is_control()).collect()
}

fn link(value: &str) -> Option<Cow<'_, str>> {
    let lower = squeezed(value).to_ascii_lowercase();
    let fine = ["http://", "https://", "mailto:", "tel:"].iter().any(|scheme| lower.starts_with(scheme));
    fine.then_some(Cow::Borrowed(value))
}

/// A style without what could point elsewhere, hide what it says, or pull something over what is not the mail's.
fn style(value: &str) -> Option<String> {
    if value.contains("/*") || value.contains('\\') {
        return None;
    }
    let fits = |declaration: &&str| {
        let lower = declaration.to_ascii_lowercase();
        let Some((property, said)) = lower.split_once(':') else { return false };
        let bad =
            ["url", "expression", "javascript", "image", "var(", "attr(", "env(", "calc(", "@", "<", ">", "{", "}"];
        let negative =
            said.as_bytes().windows(2).any(|two| two[0] == b'-' && (two[1].is_ascii_digit() || two[1] == b'.'));
        PROPERTIES.contains(&property.trim()) && !negative && !bad.iter().any(|word| said.contains(word))
    };
    let kept: Vec<&str> = value.split(';').filter(fits).map(str::trim).collect();
    (!kept.is_empty()).then(|| kept.join(";"))
}

/// Elements that many leave open, and that are never within their like.
const ENDS_BY_ITSELF: [&str; 14] =
    ["p", "li", "dt", "dd", "td", "th", "tr", "tbody", "thead", "tfoot", "colgroup", "option", "html", "body"];

/// Elements that go on over the end of the block that they began in.
const FORMATTING: [&str; 14] =
    ["a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"];

/// How often an element may be opened again because it was left open, before it is too much work.
const REOPENED: usize = 2_000_000;

/// What is looked at before anything is shown.
#[derive(Default)]
struct Survey {
    open: RefCell<Open>,
    deepest: Cell<usize>,
    work: Cell<usize>,
    pixels: RefCell<BTreeSet<String>>,
}

impl Survey {
    fn image(&self, tag: &Tag) {
        let small = |name: &str| {
            html::attribute(tag, name)
                .is_some_and(|value| value.trim().trim_end_matches("px").parse::<f32>().is_ok_and(|size| size <= 3.0))
        };
        let style: String = html::attribute(tag, "style")
            .unwrap_or_default()
            .to_ascii_lowercase()
            .chars()
            .filter(|c| !c.is_whitespace())
            .collect();
        let styled = |name: &str| {
            style.split(';').filter_map(|declaration| declaration.split_once(':')).any(|(found, size)| {
                found == name
                    && size
                        .trim_end_matches("!important")
                        .trim_end_matches("px")
                        .parse::<f32>()
                        .is_ok_and(|size| size <= 3.0)
            })
        };
        let unseen = small("width") && small("height")
            || styled("width") && styled("height")
            || small("width") && styled("height")
            || styled("width") && small("height")
            || html::is_hidden(tag);
        if let Some(source) = html::attribute(tag, "src").filter(|_| unseen) {
            self.pixels.borrow_mut().insert(source.to_owned());
        }
    }
}

impl TokenSink for Survey {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let TagToken(tag) = token else { return TokenSinkResult::Continue };
        let name = &*tag.name;
        let mut open = self.open.borrow_mut();
        if tag.kind == EndTag {
            open.close(name);
            return TokenSinkResult::Continue;
        }
        if name == "img" || name == "image" {
            self.image(&tag);
        }
        // Each new block opens again what is open within the one before it.
        self.work.set(self.work.get() + open.formatting);
        if !(html::is_void(name) || open.foreign && tag.self_closing) {
            open.open(name);
            self.deepest.set(self.deepest.get().max(open.elements.len()));
        }
        html::raw_kind(name).map_or(TokenSinkResult::Continue, TokenSinkResult::RawData)
    }
}

/// Elements that are open, as far as it matters for how much work a tree of them is. It never counts too few.
#[derive(Default)]
struct Open {
    elements: Vec<String>,
    formatting: usize,
    /// Whether drawings or formulas are among them, in which anything nests.
    foreign: bool,
}

impl Open {
    fn open(&mut self, name: &str) {
        if ENDS_BY_ITSELF.contains(&name) && !self.foreign || self.elements.len() > Limits::NESTED {
            return;
        }
        self.foreign |= matches!(name, "svg" | "math");
        self.formatting += usize::from(FORMATTING.contains(&name));
        self.elements.push(name.to_owned());
    }

    fn close(&mut self, name: &str) {
        let Some(at) = self.elements.iter().rposition(|open| open == name) else { return };
        if FORMATTING.contains(&name) {
            // What was opened within it stays open.
            self.elements.remove(at);
            self.formatting -= 1;
            return;
        }
        // Nothing outside of a table is closed from within it.
        if name != "table" && self.elements[at..].iter().any(|open| open == "table") {
            return;
        }
        // What is only for looks is opened again after it.
        let within = self.elements.split_off(at);
        self.elements.extend(within.into_iter().filter(|open| FORMATTING.contains(&open.as_str())));
        self.foreign = self.elements.iter().any(|open| matches!(open.as_str(), "svg" | "math"));
    }
}
