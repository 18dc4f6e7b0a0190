//! HTML as plain text, from its tokens: as quick as it is long, however deep it is.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
};

use html5ever::tokenizer::{
    BufferQueue, CharacterTokens, EndTag, StartTag, Tag, TagToken, Token, TokenSink, TokenSinkResult, Tokenizer,
    TokenizerOpts,
    states::{RawKind, RawKind::Rawtext, RawKind::Rcdata, RawKind::ScriptData},
};

use super::Limits;

/// The text of HTML: paragraphs, lists, quotes and the addresses of links.
pub(super) fn text(html: &str) -> String {
    let writer = Writer::default();
    let writer = tokens(html, writer);
    let out = writer.out.into_inner();
    out.finish()
}

/// Hands the tokens of HTML to a sink.
pub(super) fn tokens<Sink: TokenSink>(html: &str, sink: Sink) -> Sink {
    let input = BufferQueue::default();
    let mut end = html.len().min(Limits::HTML);
    while !html.is_char_boundary(end) {
        end -= 1;
    }
    input.push_back(html[..end].into());
    let tokenizer = Tokenizer::new(sink, TokenizerOpts::default());
    while !input.is_empty() {
        // It stops at the end of a script, which nobody runs here.
        let _ = tokenizer.feed(&input);
    }
    tokenizer.end();
    tokenizer.sink
}

/// How what is within an element is read, which only a tree builder would tell the tokenizer.
pub(super) fn raw_kind(name: &str) -> Option<RawKind> {
    match name {
        "script" => Some(ScriptData),
        "style" | "xmp" | "iframe" | "noembed" | "noframes" => Some(Rawtext),
        "title" | "textarea" => Some(Rcdata),
        _ => None,
    }
}

/// An attribute of a tag.
pub(super) fn attribute<'a>(tag: &'a Tag, name: &str) -> Option<&'a str> {
    tag.attrs.iter().find(|attribute| &*attribute.name.local == name).map(|attribute| &*attribute.value)
}

/// Whether a style keeps an element from being seen.
pub(super) fn is_hidden(tag: &Tag) -> bool {
    let style = attribute(tag, "style").unwrap_or_default().to_ascii_lowercase();
    let style: String = style.chars().filter(|c| !c.is_whitespace()).collect();
    // Not `font-size: 0`: many put that around what has a size of its own.
    let tiny = ["max-height:0;", "max-height:0px", "opacity:0;"];
    style.contains("display:none")
        || style.contains("visibility:hidden")
        || tiny.iter().any(|tiny| format!("{style};").contains(tiny))
        || attribute(tag, "hidden").is_some()
}

/// Elements that have no end.
pub(super) fn is_void(name: &str) -> bool {
    matches!(
        name,
        "area"
            | "base"
            | "br"
            | "col"
            | "embed"
            | "hr"
            | "img"
            | "input"
            | "link"
            | "meta"
            | "param"
            | "source"
            | "track"
            | "wbr"
    )
}

#[derive(Default)]
struct Writer {
    out: RefCell<Out>,
    /// Elements whose content is not seen, that are open.
    hidden: RefCell<Vec<String>>,
    links: RefCell<Vec<Link>>,
    lists: RefCell<Vec<Option<u32>>>,
    preformatted: Cell<u32>,
}

struct Link {
    address: String,
    /// What was written before its own text.
    begins: usize,
}

/// Lines that come to be.
#[derive(Default)]
struct Out {
    text: String,
    /// Line ends that are due before the next word: one for a line, two for a paragraph.
    due: usize,
    space: bool,
    quotes: usize,
    /// How many quotes the line has that is being written.
    begun: bool,
    /// What a list puts before its next word.
    mark: Option<String>,
}

impl Out {
    fn end_line(&mut self, lines: usize) {
        self.due = self.due.max(lines);
        self.space = false;
    }

    fn begin(&mut self) {
        if self.begun && self.due > 0 {
            self.text.push('\n');
            for _ in 1..self.due.min(3) {
                self.quote(true);
                self.text.push('\n');
            }
            self.begun = false;
        }
        self.due = 0;
        if !self.begun {
            self.quote(false);
            self.begun = true;
            self.space = false;
        }
        if let Some(mark) = self.mark.take() {
            self.text.push_str(&mark);
        }
        if self.space {
            self.text.push(' ');
            self.space = false;
        }
    }

    fn quote(&mut self, empty: bool) {
        let depth = self.quotes.min(10);
        for _ in 0..depth {
            self.text.push('>');
        }
        if depth > 0 && !empty {
            self.text.push(' ');
        }
    }

    fn words(&mut self, text: &str) {
        for letter in text.chars() {
            match letter {
                ' ' | '\t' | '\n' | '\r' | '\u{C}' => self.space |= self.begun && self.due == 0,
                // Only there to break lines, or to fill the preview of a mail.
                '\u{200B}' | '\u{200C}' | '\u{34F}' | '\u{AD}' | '\u{FEFF}' => {}
                '\u{A0}' if !self.begun || self.due > 0 => {}
                '\u{A0}' => {
                    self.space = true;
                }
                _ => {
                    self.begin();
                    self.text.push(letter);
                }
            }
        }
    }

    fn verbatim(&mut self, text: &str) {
        for (place, line) in text.split('\n').enumerate() {
            if place > 0 {
                self.due += 1;
            }
            let line = line.trim_end_matches('\r');
            if !line.is_empty() {
                self.begin();
                self.text.push_str(line);
            }
        }
    }

    fn finish(self) -> String {
        let lines: Vec<&str> = self.text.lines().map(str::trim_end).collect();
        lines.join("\n").trim_matches('\n').to_owned()
    }
}

const BLOCKS: [&str; 35] = [
    "address",
    "article",
    "aside",
    "body",
    "caption",
    "center",
    "dd",
    "details",
    "dir",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "header",
    "html",
    "legend",
    "li",
    "main",
    "menu",
    "nav",
    "ol",
    "option",
    "section",
    "select",
    "summary",
    "table",
    "tbody",
    "tfoot",
    "thead",
    "tr",
    "ul",
];
const PARAGRAPHS: [&str; 8] = ["p", "h1", "h2", "h3", "h4", "h5", "h6", "pre"];
const UNSEEN: [&str; 16] = [
    "script", "style", "title", "xml", "template", "object", "applet", "noframes", "noembed", "svg", "math", "audio",
    "video", "canvas", "iframe", "map",
];

impl Writer {
    fn start(&self, tag: &Tag) -> Option<RawKind> {
        let name = &*tag.name;
        let raw = raw_kind(name);
        let mut hidden = self.hidden.borrow_mut();
        if name == "body" {
            hidden.clear();
        }
        if !hidden.is_empty() {
            let again = hidden.last().is_some_and(|open| open == name);
            if !again || is_void(name) || tag.self_closing {
                return raw;
            }
            if !matches!(name, "p" | "li" | "td" | "tr") {
                hidden.push(name.to_owned());
                return raw;
            }
            // It closes the one before, which nobody closed.
            hidden.pop();
            if !hidden.is_empty() {
                return raw;
            }
        }
        if (UNSEEN.contains(&name) || is_hidden(tag)) && !is_void(name) {
            // XML closes what HTML would not: nothing is within `<o:p/>`.
            if !tag.self_closing || raw.is_some() {
                hidden.push(name.to_owned());
            }
            return raw;
        }
        let mut out = self.out.borrow_mut();
        match name {
            "br" => {
                if out.begun && out.due == 0 {
                    out.due = 1;
                } else if out.begun {
                    out.due += 1;
                }
                out.space = false;
            }
            "hr" => {
                out.end_line(1);
                out.words("---");
                out.end_line(1);
            }
            "blockquote" => {
                out.end_line(1);
                if out.begun && out.due > 0 {
                    out.text.push('\n');
                    (out.begun, out.due) = (false, 0);
                }
                out.quotes += 1;
            }
            "img" => {
                let seen = !is_hidden(tag);
                if let Some(alt) = attribute(tag, "alt").map(str::trim).filter(|alt| seen && !alt.is_empty()) {
                    out.words(&format!("[{alt}]"));
                }
            }
            "td" | "th" => out.space |= out.begun && out.due == 0,
            "a" => {
                if let Some(address) = attribute(tag, "href") {
                    let begins = out.text.len();
                    let mut links = self.links.borrow_mut();
                    if links.len() < 100 {
                        links.push(Link { address: address.trim().to_owned(), begins });
                    }
                }
            }
            "ul" | "menu" | "ol" => {
                out.end_line(1);
                let mut lists = self.lists.borrow_mut();
                if lists.len() < 100 {
                    lists.push((name == "ol").then_some(0));
                }
            }
            "li" => {
                out.end_line(1);
                let mut lists = self.lists.borrow_mut();
                let depth = lists.len().saturating_sub(1).min(10);
                let mark = match lists.last_mut() {
                    Some(Some(number)) => {
                        *number += 1;
                        format!("{number}. ")
                    }
                    _ => "* ".to_owned(),
                };
                out.mark = Some("  ".repeat(depth) + &mark);
            }
            _ if BLOCKS.contains(&name) => out.end_line(1),
            _ if PARAGRAPHS.contains(&name) => out.end_line(2),
            _ => {}
        }
        if name == "pre" && !tag.self_closing {
            self.preformatted.set(self.preformatted.get() + 1);
        }
        raw
    }

    fn end(&self, name: &str) {
        let mut hidden = self.hidden.borrow_mut();
        if let Some(open) = hidden.last() {
            if open == name {
                hidden.pop();
            }
            return;
        }
        let mut out = self.out.borrow_mut();
        match name {
            "a" => {
                if let Some(link) = self.links.borrow_mut().pop() {
                    let shown = out.text.get(link.begins..).unwrap_or_default().trim().to_owned();
                    if let Some(address) = worth_saying(&link.address, &shown) {
                        out.space |= !shown.is_empty();
                        out.words(&format!("<{address}>"));
                    }
                }
            }
            "blockquote" => {
                out.end_line(1);
                if out.begun && out.due > 0 {
                    out.text.push('\n');
                    (out.begun, out.due) = (false, 0);
                }
                out.quotes = out.quotes.saturating_sub(1);
            }
            "ul" | "menu" | "ol" => {
                out.end_line(1);
                out.mark = None;
                self.lists.borrow_mut().pop();
            }
            "pre" => {
                self.preformatted.set(self.preformatted.get().saturating_sub(1));
                out.end_line(2);
            }
            "br" => out.due += 1,
            _ if BLOCKS.contains(&name) => out.end_line(1),
            _ if PARAGRAPHS.contains(&name) => out.end_line(2),
            _ => {}
        }
    }
}

/// The address of a link, unless its text says it already or it is no address for people.
fn worth_saying<'a>(address: &'a str, shown: &str) -> Option<&'a str> {
    let lower = address.to_ascii_lowercase();
    let told = ["http://", "https://", "tel:", "ftp://"].iter().any(|scheme| lower.starts_with(scheme));
    let bare = |text: &str| {
        let text = text.trim().trim_end_matches('/').to_ascii_lowercase();
        let text = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(&text).to_owned();
        text.strip_prefix("tel:").unwrap_or(&text).chars().filter(|c| !c.is_whitespace()).collect::<String>()
    };
    (told && !shown.is_empty() && bare(address) != bare(shown) && address.len() < 500).then_some(address)
}

impl TokenSink for Writer {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        match token {
            TagToken(tag) if tag.kind == StartTag => {
                if let Some(raw) = self.start(&tag) {
                    return TokenSinkResult::RawData(raw);
                }
            }
            TagToken(tag) if tag.kind == EndTag => self.end(&tag.name),
            CharacterTokens(text) if self.hidden.borrow().is_empty() => {
                let mut out = self.out.borrow_mut();
                if self.preformatted.get() > 0 { out.verbatim(&text) } else { out.words(&text) }
            }
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

/// What HTML points to by `cid:`.
pub(super) fn content_ids(html: &str) -> BTreeSet<String> {
    let lower = html.to_ascii_lowercase();
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '>' | '<' | ')' | ';');
    lower
        .match_indices("cid:")
        .take(Limits::PARTS)
        .map(|(at, _)| {
            let rest = &html[at + 4..];
            let id: String = rest.chars().take(500).take_while(|c| !ends(*c)).collect();
            String::from_utf8_lossy(&super::word::percent(&id)).into_owned()
        })
        .filter(|id| !id.is_empty())
        .collect()
}
