//! A colour, whichever way it is written, kept as `#rrggbb`.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, de};

/// A colour. Read from `#rgb`, `#rrggbb`, `rgb(r, g, b)` or `hsl(h, s%, l%)`; written as `#rrggbb`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Color([u8; 3]);

impl FromStr for Color {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Color, &'static str> {
        let text = text.trim().to_ascii_lowercase();
        hex(&text)
            .or_else(|| function(&text, "rgb").and_then(rgb))
            .or_else(|| function(&text, "hsl").and_then(hsl))
            .map(Color)
            .ok_or("a colour is #rrggbb, rgb(r, g, b) or hsl(h, s%, l%)")
    }
}

fn hex(text: &str) -> Option<[u8; 3]> {
    let digits: Vec<u8> = text
        .strip_prefix('#')?
        .chars()
        .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
        .collect::<Option<_>>()?;
    match digits[..] {
        [r, g, b] => Some([r * 17, g * 17, b * 17]),
        [a, b, c, d, e, f] => Some([a * 16 + b, c * 16 + d, e * 16 + f]),
        _ => None,
    }
}

fn function<'a>(text: &'a str, name: &str) -> Option<[&'a str; 3]> {
    let inner = text.strip_prefix(name)?.trim_start().strip_prefix('(')?.strip_suffix(')')?;
    let mut parts = inner.split(',').map(str::trim);
    let three = [parts.next()?, parts.next()?, parts.next()?];
    parts.next().is_none().then_some(three)
}

fn rgb(parts: [&str; 3]) -> Option<[u8; 3]> {
    Some([parts[0].parse().ok()?, parts[1].parse().ok()?, parts[2].parse().ok()?])
}

fn hsl([h, s, l]: [&str; 3]) -> Option<[u8; 3]> {
    let share = |text: &str| text.strip_suffix('%')?.parse::<f64>().ok().filter(|x| (0.0..=100.0).contains(x));
    let hue = h.trim_end_matches("deg").parse::<f64>().ok().filter(|hue| hue.is_finite())?.rem_euclid(360.0);
    let (s, l) = (share(s)? / 100.0, share(l)? / 100.0);
    // The short formula of CSS Color 4, section 7.1.
    let channel = |n: f64| {
        let k = (n + hue / 30.0) % 12.0;
        let value = l - s * l.min(1.0 - l) * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0);
        // Between 0 and 255 after rounding: the cast keeps the value.
        (value * 255.0).round().clamp(0.0, 255.0) as u8
    };
    Some([channel(0.0), channel(8.0), channel(4.0)])
}

impl Color {
    /// One of so much red, green and blue.
    pub const fn rgb(red: u8, green: u8, blue: u8) -> Color {
        Color([red, green, blue])
    }

    /// Black or white, whichever is read better on it (WCAG 2.2, relative luminance).
    pub fn readable(self) -> Color {
        let linear = |value: u8| {
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        let [red, green, blue] = self.0.map(linear);
        let luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
        if (luminance + 0.05).powi(2) > 1.05 * 0.05 { Color([0; 3]) } else { Color([255; 3]) }
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [r, g, b] = self.0;
        write!(f, "#{r:02x}{g:02x}{b:02x}")
    }
}

impl fmt::Debug for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Color {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Color {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Color {
    fn schema_name() -> Cow<'static, str> {
        "Color".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "word",
            "description": "#rgb, #rrggbb, rgb(r, g, b) or hsl(h, s%, l%); kept as #rrggbb.",
            "examples": ["#00a09d"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_on_it_can_be_read() {
        let on = |color: &str| color.parse::<Color>().unwrap().readable().to_string();
        for (color, text) in
            [("#000000", "#ffffff"), ("#ffffff", "#000000"), ("#1d4ed8", "#ffffff"), ("#ffd400", "#000000")]
        {
            assert_eq!(on(color), text, "on {color}");
        }
    }

    #[test]
    fn every_way_of_writing_it_is_kept_as_hex() {
        for text in ["#00A09D", "rgb(0, 160, 157)", " RGB(0,160,157) ", "hsl(178.9, 100%, 31.4%)"] {
            assert_eq!(text.parse::<Color>().unwrap().to_string(), "#00a09d", "{text}");
        }
        assert_eq!("#fa0".parse::<Color>().unwrap().to_string(), "#ffaa00");
        assert_eq!("hsl(0, 0%, 100%)".parse::<Color>().unwrap().to_string(), "#ffffff");
        for text in ["", "red", "#12", "#12345g", "rgb(0,0,256)", "rgb(0,0)", "hsl(0, 101%, 0%)", "hsl(nan, 1%, 1%)"] {
            assert!(text.parse::<Color>().is_err(), "{text}");
        }
    }
}
