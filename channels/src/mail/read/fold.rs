//! What is new in a mail: its text without what it quotes at its end, and without its signature.

/// What a line is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Blank,
    Quote,
    /// "On … wrote:", above a quote.
    Attribution,
}

/// What is left of a text; never empty unless the text is.
pub(super) fn answer(text: &str, subject: &str) -> String {
    let unsigned = without_armour(text);
    let lines: Vec<&str> = unsigned.lines().collect();
    for signature in [true, false] {
        let left = left(&lines, subject, signature);
        if !left.is_empty() {
            return left;
        }
    }
    text.trim().to_owned()
}

fn left(lines: &[&str], subject: &str, fold_signature: bool) -> String {
    let forwarded = lines.iter().position(|line| is_forward(line));
    let (kinds, hard) = kinds(lines, is_forwarding(subject));
    let keep = forwarded.filter(|at| hard.is_none_or(|hard| *at <= hard));
    let mut end = match keep {
        // What is passed on is what the mail is about.
        Some(_) => lines.len(),
        None => hard.unwrap_or(lines.len()),
    };
    if keep.is_none() {
        // Quotes, signatures, and the words of telephones, in whatever order.
        for _ in 0..6 {
            let before = end;
            while end > 0 && kinds[end - 1] != Kind::Text || end > 0 && is_rule(lines[end - 1]) && end < lines.len() {
                end -= 1;
            }
            if fold_signature {
                end = without_signature(&lines[..end], &kinds[..end]);
            }
            if end == before {
                break;
            }
        }
    }
    let mut begin = kinds.iter().take(end).position(|kind| *kind != Kind::Blank).unwrap_or(end);
    // An answer below one quote that has its attribution: what was asked is known.
    if kinds.get(begin) == Some(&Kind::Attribution) {
        let says = kinds[begin..end].iter().position(|kind| *kind == Kind::Text).map(|at| begin + at);
        if let Some(says) =
            says.filter(|says| kinds[*says..end].iter().all(|kind| matches!(kind, Kind::Text | Kind::Blank)))
        {
            begin = says;
        }
    }
    if begin >= end {
        return String::new();
    }
    lines[begin..end].join("\n").trim_end().trim_start_matches('\n').to_owned()
}

/// What each line is, and from where on all is quoted, whatever it looks like.
fn kinds(lines: &[&str], forwards: bool) -> (Vec<Kind>, Option<usize>) {
    let mut kinds: Vec<Kind> = lines.iter().map(|line| plain_kind(line)).collect();
    let mut place = 0;
    while place < lines.len() {
        if kinds[place] != Kind::Text {
            place += 1;
            continue;
        }
        let block = block(&lines[place..]);
        let separator = is_separator(lines[place]);
        if separator || block.is_some() && !forwards {
            let head = usize::from(separator);
            // The fields that stand below a separator, or make it.
            let below = lines[place + head..].iter().take_while(|line| line.trim().is_empty()).count();
            let fields = self::block(&lines[place + head + below..]).map_or(0, |fields| fields + below);
            let after = place + (head + fields).max(1);
            if !quote_follows(&kinds[after.min(kinds.len())..]) {
                return (kinds, Some(with_rule(lines, place)));
            }
            kinds[place..after].fill(Kind::Attribution);
            place = after;
            continue;
        }
        if let Some((count, strong)) = attribution(&lines[place..], &kinds[place..]) {
            let after = place + count;
            if quote_follows(&kinds[after..]) {
                kinds[place..after].fill(Kind::Attribution);
            } else if strong && kinds[after..].iter().any(|kind| *kind != Kind::Blank) {
                return (kinds, Some(with_rule(lines, place)));
            }
            place = after;
            continue;
        }
        place += 1;
    }
    (kinds, None)
}

fn plain_kind(line: &str) -> Kind {
    let line = line.trim_start();
    if line.trim_matches(['\u{A0}', ' ', '\t', '\u{200B}']).is_empty() {
        Kind::Blank
    } else if line.starts_with('>') {
        Kind::Quote
    } else {
        Kind::Text
    }
}

fn quote_follows(kinds: &[Kind]) -> bool {
    kinds.iter().take(4).find(|kind| **kind != Kind::Blank) == Some(&Kind::Quote)
}

/// A rule that stands right above a quote belongs to it.
fn with_rule(lines: &[&str], place: usize) -> usize {
    let above = lines[..place].iter().rposition(|line| !line.trim().is_empty());
    above.filter(|above| is_rule(lines[*above])).unwrap_or(place)
}

fn is_rule(line: &str) -> bool {
    let line = line.trim();
    line.len() >= 3 && line.chars().all(|c| matches!(c, '_' | '-' | '=' | '*' | '—' | '–')) && line != "--"
}

/// "-----Original Message-----", in many languages.
fn is_separator(line: &str) -> bool {
    const WORDS: &[&str] = &[
        "original message",
        "original email",
        "original e-mail",
        "original mail",
        "originalmail",
        "original appointment",
        "reply message",
        "původní zpráva",
        "původní e-mail",
        "původní email",
        "puvodni zprava",
        "исходное сообщение",
        "оригинальное сообщение",
        "исходное письмо",
        "вихідне повідомлення",
        "початкове повідомлення",
        "оригінальне повідомлення",
        "ursprüngliche nachricht",
        "originalnachricht",
        "original-nachricht",
        "ursprüngliche mitteilung",
        "mail original",
        "e-mail original",
        "oorspronkelijk bericht",
        "alkuperäinen viesti",
        "urspruengliche nachricht",
        "message d'origine",
        "message d’origine",
        "message original",
        "mensaje original",
        "wiadomość oryginalna",
        "oryginalna wiadomość",
        "originalus laiškas",
        "originalus pranešimas",
        "pradinis pranešimas",
        "messaggio originale",
    ];
    dashed(line).is_some_and(|inner| WORDS.contains(&inner.as_str()))
}

/// "---------- Forwarded message ----------", in many languages.
fn is_forward(line: &str) -> bool {
    const WORDS: &[&str] = &[
        "forwarded message",
        "forwarded mail",
        "forwarded by",
        "přeposlaná zpráva",
        "předaná zpráva",
        "přeposlaný e-mail",
        "preposlana zprava",
        "пересылаемое сообщение",
        "пересланное сообщение",
        "перенаправленное сообщение",
        "переслане повідомлення",
        "weitergeleitete nachricht",
        "weitergeleitete mail",
        "message transféré",
        "message transmis",
        "mensaje reenviado",
        "wiadomość przekazana",
        "przekazana wiadomość",
        "przesłana wiadomość",
        "persiųstas laiškas",
        "persiunčiamas laiškas",
        "persiųsta žinutė",
        "persiųstas pranešimas",
        "messaggio inoltrato",
    ];
    const ALONE: &[&str] = &[
        "begin forwarded message:",
        "začátek přeposlané zprávy:",
        "начало переадресованного сообщения:",
        "початок переадресованого повідомлення:",
        "anfang der weitergeleiteten nachricht:",
        "début du message réexpédié :",
        "inicio del mensaje reenviado:",
        "początek przekazywanej wiadomości:",
        "persiunčiamo laiško pradžia:",
    ];
    let said = line.trim().to_lowercase();
    ALONE.contains(&said.as_str())
        || dashed(line).is_some_and(|inner| WORDS.iter().any(|words| inner.starts_with(words)))
}

/// What stands between dashes.
fn dashed(line: &str) -> Option<String> {
    let line = line.trim().trim_matches('*');
    let dash = |c: char| matches!(c, '-' | '—' | '–' | '_');
    let inner = line.trim_matches(dash);
    let begun = line.len() - line.trim_start_matches(dash).len();
    (begun >= 2 && !inner.is_empty() && line.len() < 120).then(|| inner.trim().to_lowercase())
}

fn is_forwarding(subject: &str) -> bool {
    const STARTS: &[&str] = &[
        "fw:",
        "fwd:",
        "wg:",
        "tr:",
        "rv:",
        "pd:",
        "i:",
        "пересл:",
        "пер:",
        "переслано:",
        "fs:",
        "persiųsta:",
        "fwd :",
        "tr :",
    ];
    let subject = subject.trim_start().to_lowercase();
    STARTS.iter().any(|start| subject.starts_with(start))
}

const FROM: [&str; 13] =
    ["from", "von", "de", "od", "от", "від", "nuo", "da", "van", "från", "fra", "odesílatel", "отправитель"];
const SENT: [&str; 26] = [
    "sent",
    "date",
    "gesendet",
    "datum",
    "envoyé",
    "enviado",
    "enviado el",
    "fecha",
    "wysłano",
    "wysłane",
    "data",
    "odesláno",
    "posláno",
    "отправлено",
    "дата",
    "надіслано",
    "išsiųsta",
    "inviato",
    "verzonden",
    "skickat",
    "sendt",
    "date d'envoi",
    "envoyé le",
    "data wysłania",
    "відправлено",
    "sent at",
];
const TO: [&str; 12] = ["to", "an", "à", "a", "para", "do", "komu", "кому", "kam", "aan", "till", "til"];
const SUBJECT: [&str; 12] = [
    "subject",
    "betreff",
    "objet",
    "asunto",
    "temat",
    "předmět",
    "тема",
    "tema",
    "oggetto",
    "onderwerp",
    "ämne",
    "emne",
];

/// How many lines at the front are the fields that Outlook puts above what it quotes.
fn block(lines: &[&str]) -> Option<usize> {
    let label = |line: &str| {
        let line = line.trim().trim_start_matches(['*', '_']);
        let (label, _) = line.split_once([':', '：'])?;
        let label = label.trim_matches(|c: char| c.is_whitespace() || matches!(c, '*' | '_')).to_lowercase();
        (label.chars().count() <= 20).then_some(label)
    };
    let first = label(lines.first()?)?;
    if ![&FROM[..], &SENT[..], &SUBJECT[..]].iter().any(|labels| labels.contains(&first.as_str())) {
        return None;
    }
    let (mut from, mut sent, mut to, mut subject) = (false, false, false, None);
    let mut blank = 0;
    for (place, line) in lines.iter().enumerate().take(14) {
        if line.trim().is_empty() {
            blank += 1;
            // Mailers that make text of HTML put an empty line between any two.
            if blank > 6 || subject.is_some() {
                break;
            }
            continue;
        }
        match label(line).as_deref() {
            Some(label) if FROM.contains(&label) => from = true,
            Some(label) if SENT.contains(&label) => sent = true,
            Some(label) if SUBJECT.contains(&label) => subject = Some(place),
            Some(label) if TO.contains(&label) => to = true,
            Some(
                "cc" | "kopie" | "копия" | "копія" | "kopija" | "copie" | "importance" | "priority" | "reply-to"
                | "attachments" | "bcc",
            ) => {}
            // A long list of addresses goes on in the next line.
            _ if place > 0 && (line.contains('@') || line.contains(';')) => {}
            _ => break,
        }
    }
    subject.filter(|_| from && (sent || to)).map(|last| {
        // What may stand below the subject.
        let more = lines[last + 1..].iter().take(2).take_while(|line| {
            label(line).is_some_and(|label| {
                SENT.contains(&label.as_str()) || TO.contains(&label.as_str()) || label == "cc" || label == "importance"
            })
        });
        last + 1 + more.count()
    })
}

/// Whether the text goes on as somebody's who is named at the front: how many lines say so, and whether they say it so plainly
/// that what follows is a quote even where nothing marks it.
fn attribution(lines: &[&str], kinds: &[Kind]) -> Option<(usize, bool)> {
    let mut joined = String::new();
    for (place, line) in lines.iter().take(4).enumerate() {
        if kinds[place] != Kind::Text {
            return None;
        }
        joined.push_str(if joined.is_empty() { "" } else { " " });
        joined.push_str(line.trim());
        if joined.len() > 500 {
            return None;
        }
        let end = line.trim_end().trim_end_matches(['*', '_']).trim_end();
        if end.ends_with([':', '：']) || end.ends_with("wrote") {
            return said(&joined).map(|strong| (place + 1, strong));
        }
        // Only what begins like one may go on in the next line.
        if place == 0 && !opens(&joined) {
            return None;
        }
    }
    None
}

const OPENERS: [&str; 15] =
    ["on ", "am ", "le ", "el ", "dne ", "dňa ", "w dniu ", "em ", "il ", "op ", "den ", "в ", "у ", "-----on ", "за "];

fn opens(line: &str) -> bool {
    let lower = line.to_lowercase();
    OPENERS.iter().any(|opener| lower.starts_with(opener)) || lower.chars().filter(char::is_ascii_digit).count() >= 4
}

/// Whether somebody is said to have written something, and whether that is said plainly.
fn said(line: &str) -> Option<bool> {
    const VERBS: &[&str] = &[
        "wrote",
        "writes",
        "written",
        "said",
        "napsal",
        "napsala",
        "napsal(a)",
        "píše",
        "rašė",
        "parašė",
        "rašo",
        "пишет",
        "писал",
        "писала",
        "написал",
        "написала",
        "написал(а)",
        "писал(а)",
        "пише",
        "писав",
        "писала",
        "написав",
        "написала",
        "написав(ла)",
        "schrieb",
        "schreibt",
        "écrit",
        "escribió",
        "писали",
        "написали",
        "napísal",
        "napísala",
        "napísal(a)",
        "skrev",
        "schreef",
        "escreveu",
        "dixit",
        "escribe",
        "napisał",
        "napisała",
        "napisał(a)",
        "pisze",
        "scritto",
    ];
    let lower = line.to_lowercase();
    let words = lower.split(|c: char| c.is_whitespace() || matches!(c, ':' | '：' | ',' | '<' | '>'));
    let verb = words.clone().any(|word| VERBS.contains(&word));
    let digits = lower.chars().filter(char::is_ascii_digit).count();
    let trimmed = lower.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, ':' | '*' | '：' | '_'));
    // "5 янв. 2026 г. в 10:00, Имя <address>:" has no verb at all.
    let addressed = lower.contains('@')
        && (trimmed.ends_with('>') || trimmed.ends_with(')') || trimmed.ends_with(']'))
        && digits >= 4;
    (verb || addressed).then_some(digits >= 4 && (addressed || lower.contains('@') || opens(&lower)))
}

/// Where the signature begins, if there is one.
fn without_signature(lines: &[&str], kinds: &[Kind]) -> usize {
    let says = |end: usize| kinds[..end].contains(&Kind::Text);
    let marks = lines.iter().enumerate().filter(|(_, line)| line.trim_end() == "--" || line.trim() == "—");
    for (place, line) in marks {
        let most = if *line == "-- " { 60 } else { 15 };
        let after = &kinds[place + 1..];
        if after.len() <= most && !after.contains(&Kind::Quote) && says(place) {
            return place;
        }
    }
    let last = kinds.iter().rposition(|kind| *kind == Kind::Text);
    if let Some(last) = last
        && is_of_a_phone(lines[last])
        && says(last)
    {
        return last;
    }
    lines.len()
}

/// What phones and programs put below what is written with them.
fn is_of_a_phone(line: &str) -> bool {
    const STARTS: &[&str] = &[
        "sent from my ",
        "sent from a ",
        "sent from mobile",
        "obtener outlook para ",
        "obtenir outlook pour ",
        "télécharger outlook pour ",
        "holen sie sich outlook",
        "von outlook für",
        "pobierz program outlook",
        "pobierz outlook",
        "завантажити outlook",
        "gauti „outlook“",
        "outlook für ",
        "skickat från ",
        "enviado do meu ",
        "verstuurd vanaf ",
        "odoslané z ",
        "posláno z ",
        "sent from mail for windows",
        "sent from outlook",
        "sent from yahoo mail",
        "sent from samsung",
        "sent from proton",
        "sent from gmail mobile",
        "sent with proton",
        "sent with [proton",
        "get outlook for ",
        "sent using ",
        "odesláno z ",
        "odeslano z ",
        "odesláno pomocí ",
        "získat outlook pro ",
        "отправлено с ",
        "отправлено из ",
        "отправлено через ",
        "надіслано з ",
        "надіслано із ",
        "відправлено з ",
        "išsiųsta iš ",
        "siųsta iš ",
        "von meinem ",
        "gesendet von ",
        "gesendet mit ",
        "gesendet aus ",
        "envoyé de ",
        "envoyé depuis ",
        "envoyé à partir de ",
        "enviado desde ",
        "wysłane z ",
        "wysłano z ",
        "obter o outlook",
        "inviato da ",
        "скачать outlook для ",
    ];
    let lower = line.trim().trim_matches(['*', '_', '[', ']']).to_lowercase();
    // A sentence that begins so goes on.
    lower.chars().count() <= 110 && STARTS.iter().any(|start| lower.starts_with(start)) && !lower.ends_with(['?', '!'])
}

/// A text that is signed with OpenPGP within itself, without its armour.
fn without_armour(text: &str) -> String {
    if !text.contains("-----BEGIN PGP SIGNED MESSAGE-----") {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    // In the head of the armour, in what is signed, in the signature.
    let (mut head, mut signed, mut signature) = (false, false, false);
    for line in text.lines() {
        match line.trim_end() {
            "-----BEGIN PGP SIGNED MESSAGE-----" => (head, signed) = (true, true),
            "-----BEGIN PGP SIGNATURE-----" if signed => signature = true,
            "-----END PGP SIGNATURE-----" if signature => (signed, signature) = (false, false),
            "" if head => head = false,
            _ if head || signature => {}
            _ => {
                let line = if signed { line.strip_prefix("- ").unwrap_or(line) } else { line };
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out
}
