//! Bytes to text: in whatever charset they are said to be, and in whatever they are.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{
    BIG5, EUC_JP, EUC_KR, Encoding, GB18030, GBK, IBM866, ISO_2022_JP, ISO_8859_5, KOI8_R, KOI8_U, SHIFT_JIS, UTF_8,
    UTF_16BE, UTF_16LE, WINDOWS_1250, WINDOWS_1251, WINDOWS_1252, WINDOWS_1257,
};

/// What a charset's label means.
#[derive(Clone, Copy)]
enum Charset {
    Known(&'static Encoding),
    Utf7,
    Utf32,
    Iso2022Kr,
    Hz,
    /// A code page of DOS: what its upper half means.
    Dos(&'static str),
    /// ASCII, or nothing at all: whatever is beyond it has to be guessed.
    Unsaid,
}

/// Bytes as text. `label` is what they are said to be in, `domain` the last part of the sender's domain, which helps to guess.
pub(super) fn decode(bytes: &[u8], label: Option<&str>, domain: Option<&str>) -> String {
    if let Some((encoding, _)) = Encoding::for_bom(bytes) {
        return encoding.decode(bytes).0.into_owned();
    }
    match label.map_or(Charset::Unsaid, named) {
        Charset::Unsaid => guessed(bytes, domain),
        Charset::Utf7 if bytes.is_ascii() => utf7(bytes),
        Charset::Utf32 => utf32(bytes),
        Charset::Iso2022Kr => EUC_KR.decode(&shifted(bytes)).0.into_owned(),
        Charset::Hz => GBK.decode(&hz(bytes)).0.into_owned(),
        Charset::Dos(table) => as_utf8(bytes).map_or_else(|| dos(bytes, table), str::to_owned),
        Charset::Known(encoding) => checked(bytes, encoding, domain),
        Charset::Utf7 => guessed(bytes, domain),
    }
}

/// The encoding that a label names, leniently.
fn named(label: &str) -> Charset {
    let label = label.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ';' | ','));
    let label = label.split(['*', ';', ' ']).next().unwrap_or_default().to_ascii_lowercase();
    let label = label.strip_prefix("charset=").unwrap_or(&label);
    match label {
        "us-ascii" | "ascii" | "ansi_x3.4-1968" | "iso646-us" | "us" | "7bit" | "8bit" | "binary" | "unknown"
        | "unknown-8bit" | "x-unknown" | "default" | "default_charset" | "none" | "null" | "" | "_autodetect"
        | "autodetect" | "x-user-defined" | "user-defined" | "charset" => return Charset::Unsaid,
        "utf-7" | "utf7" | "unicode-1-1-utf-7" | "csunicode11utf7" | "x-unicode-2-0-utf-7" => return Charset::Utf7,
        "utf-32" | "utf32" | "utf-32le" | "utf-32be" | "ucs-4" => return Charset::Utf32,
        "iso-2022-kr" | "csiso2022kr" => return Charset::Iso2022Kr,
        "hz-gb-2312" | "hz" => return Charset::Hz,
        _ => {}
    }
    if let Some(encoding) = Encoding::for_label(label.as_bytes()).filter(|found| found.name() != "replacement") {
        return Charset::Known(encoding);
    }
    // Spelt as nobody has registered it: `win-1251`, `windows1251`, `cp-1251`, `koi8r`, `utf8mb4`.
    let bare: String = label.chars().filter(char::is_ascii_alphanumeric).collect();
    let bare = bare.strip_prefix('x').unwrap_or(&bare);
    let number = bare.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let encoding = match bare {
        _ if bare.starts_with("utf8") || bare == "unicode" => UTF_8,
        _ if bare.starts_with("koi8u") || bare.starts_with("koi8ru") => KOI8_U,
        _ if bare.starts_with("koi8") || bare == "koi" => KOI8_R,
        _ if bare.starts_with("iso2022jp") || bare == "jis" => ISO_2022_JP,
        _ if bare.starts_with("eucjp") || bare == "ujis" => EUC_JP,
        _ if bare.starts_with("gb18030") => GB18030,
        _ if bare.starts_with("gb") || bare == "euccn" => GBK,
        _ if bare.starts_with("big5") => BIG5,
        _ if bare.starts_with("ksc5601") || bare == "uhc" => EUC_KR,
        _ => match number {
            "437" => return Charset::Dos(CP437),
            "850" | "858" => return Charset::Dos(CP850),
            "852" => return Charset::Dos(CP852),
            "775" => return Charset::Dos(CP775),
            "866" => IBM866,
            "932" => SHIFT_JIS,
            "936" => GBK,
            "949" => EUC_KR,
            "950" => BIG5,
            "1200" => UTF_16LE,
            "1201" => UTF_16BE,
            "65001" => UTF_8,
            _ => {
                let spelt = match number {
                    "1250" | "1251" | "1252" | "1253" | "1254" | "1255" | "1256" | "1257" | "1258" | "874" => {
                        format!("windows-{number}")
                    }
                    _ if bare.starts_with("iso8859") => format!("iso-8859-{}", number.trim_start_matches("8859")),
                    _ if bare.starts_with("latin") => format!("latin{number}"),
                    _ => return Charset::Unsaid,
                };
                return Encoding::for_label(spelt.as_bytes()).map_or(Charset::Unsaid, Charset::Known);
            }
        },
    };
    Charset::Known(encoding)
}

/// Text in the charset it is said to be in, unless what comes out is plainly not what was written.
fn checked(bytes: &[u8], encoding: &'static Encoding, domain: Option<&str>) -> String {
    if bytes.is_ascii() && encoding != ISO_2022_JP && encoding != UTF_16LE && encoding != UTF_16BE {
        return ascii(bytes);
    }
    if encoding == UTF_8 {
        return as_utf8(bytes).map_or_else(|| broken_utf8(bytes, domain), str::to_owned);
    }
    if encoding == UTF_16LE || encoding == UTF_16BE {
        // Said of plain bytes by those who mean "Unicode".
        return match as_utf8(bytes) {
            Some(text) if !bytes.contains(&0) => text.to_owned(),
            _ => encoding.decode_without_bom_handling(bytes).0.into_owned(),
        };
    }
    let (text, broken) = encoding.decode_without_bom_handling(bytes);
    // Hardly anything in another charset is UTF-8 by chance.
    if let Some(meant) = as_utf8(bytes)
        && (encoding.is_single_byte() || broken || meant.chars().filter(|c| !c.is_ascii()).count() >= 4)
    {
        return meant.to_owned();
    }
    if broken {
        return if encoding == ISO_2022_JP && bytes.iter().all(|byte| *byte < 0x80) {
            text.into_owned()
        } else {
            let guess = guess(bytes, domain);
            let (other, worse) = guess.decode_without_bom_handling(bytes);
            // A few broken letters within are no reason to read all others differently.
            if worse || holes(&text) * 20 < text.chars().filter(|c| !c.is_ascii()).count() { text } else { other }
                .into_owned()
        };
    }
    let western = [WINDOWS_1252, WINDOWS_1250, WINDOWS_1257].contains(&encoding);
    if western && mostly_beyond_ascii(bytes) {
        let guess = guess(bytes, domain);
        if CYRILLIC.contains(&guess) || !guess.is_single_byte() {
            let (other, broken) = guess.decode_without_bom_handling(bytes);
            if !broken {
                return other.into_owned();
            }
        }
    }
    if CYRILLIC.contains(&encoding) && bytes.iter().filter(|byte| **byte >= 0x80).count() >= 12 {
        let like = |text: &str| {
            let letters = text.chars().filter(|c| !c.is_ascii());
            let small = letters.clone().filter(|c| matches!(c, 'а'..='я' | 'ё' | 'і' | 'ї' | 'є' | 'ґ' | 'ў')).count();
            (small * 100).checked_div(letters.count()).unwrap_or_default()
        };
        let guess = guess(bytes, domain);
        if like(&text) < 40 && guess != encoding && CYRILLIC.contains(&guess) {
            let (other, broken) = guess.decode_without_bom_handling(bytes);
            if !broken && like(&other) > 70 {
                return other.into_owned();
            }
        }
    }
    text.into_owned()
}

const CYRILLIC: [&Encoding; 5] = [WINDOWS_1251, KOI8_R, KOI8_U, IBM866, ISO_8859_5];

fn as_utf8(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.is_ascii())
}

fn ascii(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether more of its letters are beyond ASCII than in any language that is written in Latin.
fn mostly_beyond_ascii(bytes: &[u8]) -> bool {
    let beyond = bytes.iter().filter(|byte| **byte >= 0xA8).count();
    let within = bytes.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    beyond >= 6 && beyond > within
}

fn holes(text: &str) -> usize {
    text.chars().filter(|c| *c == '\u{FFFD}').count()
}

/// What is said to be UTF-8 and is not: cut or damaged in places, or something else altogether.
fn broken_utf8(bytes: &[u8], domain: Option<&str>) -> String {
    if bytes.is_ascii() {
        return ascii(bytes);
    }
    let text = String::from_utf8_lossy(bytes);
    let sound = text.chars().filter(|c| !c.is_ascii() && *c != '\u{FFFD}').count();
    if sound > holes(&text) {
        text.into_owned()
    } else {
        guess(bytes, domain).decode_without_bom_handling(bytes).0.into_owned()
    }
}

/// Text in a charset that nobody names.
fn guessed(bytes: &[u8], domain: Option<&str>) -> String {
    if bytes.is_ascii() {
        let escapes = bytes.windows(3).any(|three| matches!(three, b"\x1b$B" | b"\x1b$@" | b"\x1b(J"));
        return if escapes { ISO_2022_JP.decode(bytes).0.into_owned() } else { ascii(bytes) };
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => broken_utf8(bytes, domain),
    }
}

/// Whether it may stand in the last part of a domain.
pub(super) fn is_of_domain(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}

fn guess(bytes: &[u8], domain: Option<&str>) -> &'static Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    // So much says it all, and is quick.
    detector.feed(&bytes[..bytes.len().min(200_000)], true);
    let domain = domain.filter(|domain| domain.bytes().all(is_of_domain) && !domain.is_empty());
    detector.guess(domain.map(str::as_bytes), Utf8Detection::Deny)
}

fn dos(bytes: &[u8], table: &str) -> String {
    let upper: Vec<char> = table.chars().collect();
    let one = |byte: &u8| match byte.checked_sub(0x80) {
        Some(place) => upper.get(usize::from(place)).copied().unwrap_or('\u{FFFD}'),
        None => char::from(*byte),
    };
    bytes.iter().map(one).collect()
}

fn utf32(bytes: &[u8]) -> String {
    let little = !bytes.starts_with(&[0, 0]);
    let one = |four: &[u8]| {
        let four = <[u8; 4]>::try_from(four).ok()?;
        let number = if little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) };
        Some(char::from_u32(number).unwrap_or('\u{FFFD}'))
    };
    bytes.chunks_exact(4).filter_map(one).filter(|c| *c != '\u{FEFF}').collect()
}

/// ISO-2022-KR as EUC-KR: what is between shift out and shift in has its high bits.
fn shifted(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let (mut high, mut rest) = (false, bytes);
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            0x0E => high = true,
            0x0F => high = false,
            0x1B if after.starts_with(b"$)C") => rest = &after[3..],
            b'\n' => {
                high = false;
                out.push(b'\n');
            }
            byte if high && *byte > 0x20 => out.push(byte | 0x80),
            byte => out.push(*byte),
        }
    }
    out
}

/// HZ as GBK: what is between `~{` and `~}` has its high bits.
fn hz(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let (mut high, mut rest) = (false, bytes);
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after.first()) {
            (b'~', Some(b'{')) => (high, rest) = (true, &after[1..]),
            (b'~', Some(b'}')) => (high, rest) = (false, &after[1..]),
            (b'~', Some(b'~')) => {
                out.push(b'~');
                rest = &after[1..];
            }
            (b'~', Some(b'\n')) => rest = &after[1..],
            (byte, _) if high && *byte > 0x20 => out.push(byte | 0x80),
            (byte, _) => out.push(*byte),
        }
    }
    out
}

/// UTF-7 (RFC 2152), leniently.
fn utf7(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'+' {
            out.push(char::from(*byte));
            continue;
        }
        if after.first() == Some(&b'-') {
            out.push('+');
            rest = &after[1..];
            continue;
        }
        let end = after.iter().position(|byte| sextet(*byte).is_none()).unwrap_or(after.len());
        let (mut bits, mut held, mut units) = (0u32, 0, Vec::new());
        for value in after[..end].iter().filter_map(|byte| sextet(*byte)) {
            (bits, held) = (bits << 6 | u32::from(value), held + 6);
            if held >= 16 {
                held -= 16;
                units.push((bits >> held) as u16);
                bits &= (1 << held) - 1;
            }
        }
        if units.is_empty() {
            // A plus that encodes nothing is a plus.
            out.push('+');
            continue;
        }
        out.extend(char::decode_utf16(units).map(|unit| unit.unwrap_or('\u{FFFD}')));
        rest = &after[end..];
        if rest.first() == Some(&b'-') {
            rest = &rest[1..];
        }
    }
    out
}

/// What a letter of base64 stands for.
pub(super) fn sextet(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

/// Text without what no text has: U+0000 and other controls; each line ends in one `\n`.
pub(super) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\r' => {
                // `\r\r\n` is one end of a line, written by what could not leave it alone.
                while letters.next_if_eq(&'\r').is_some() {}
                letters.next_if_eq(&'\n');
                out.push('\n');
            }
            '\n' | '\t' => out.push(letter),
            '\u{B}' | '\u{C}' | '\u{85}' | '\u{2028}' | '\u{2029}' => out.push('\n'),
            '\u{FEFF}' => {}
            _ if letter.is_control() => {}
            _ => out.push(letter),
        }
    }
    out
}

/// Text in one line, without what turns it round on a screen: names and subjects.
pub(super) fn line(text: &str) -> String {
    let one = |letter: char| match letter {
        '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}' => None,
        _ if letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}') => Some(' ').filter(|_| letter != '\0'),
        _ => Some(letter),
    };
    text.chars().filter_map(one).collect::<String>().trim().to_owned()
}

/// The upper half of code page 437.
const CP437: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{A0}";
/// The upper half of code page 850.
const CP850: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜø£Ø×ƒáíóúñÑªº¿®¬½¼¡«»░▒▓│┤ÁÂÀ©╣║╗╝¢¥┐└┴┬├─┼ãÃ╚╔╩╦╠═╬¤ðÐÊËÈıÍÎÏ┘┌█▄¦Ì▀ÓßÔÒõÕµþÞÚÛÙýÝ¯´\u{AD}±‗¾¶§÷¸°¨·¹³²■\u{A0}";
/// The upper half of code page 852.
const CP852: &str = "ÇüéâäůćçłëŐőîŹÄĆÉĹĺôöĽľŚśÖÜŤťŁ×čáíóúĄąŽžĘę¬źČş«»░▒▓│┤ÁÂĚŞ╣║╗╝Żż┐└┴┬├─┼Ăă╚╔╩╦╠═╬¤đĐĎËďŇÍÎě┘┌█▄ŢŮ▀ÓßÔŃńňŠšŔÚŕŰýÝţ´\u{AD}˝˛ˇ˘§÷¸°¨˙űŘř■\u{A0}";
/// The upper half of code page 775.
const CP775: &str = "ĆüéāäģåćłēŖŗīŹÄÅÉæÆōöĢ¢ŚśÖÜø£Ø×¤ĀĪóŻżź”¦©®¬½¼Ł«»░▒▓│┤ĄČĘĖ╣║╗╝ĮŠ┐└┴┬├─┼ŲŪ╚╔╩╦╠═╬Žąčęėįšųūž┘┌█▄▌▐▀ÓßŌŃõÕµńĶķĻļņĒŅ’\u{AD}±“¾¶§÷„°∙·¹³²■\u{A0}";
