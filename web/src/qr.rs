//! A QR code as a picture of the page itself: what is in it goes nowhere else.

use maud::{Markup, html};
use qrcode::{Color, QrCode};

/// The quiet zone that readers need around it, in modules.
const QUIET: usize = 4;

/// The code that says this; nothing where the text is too long for one.
pub(crate) fn code(text: &str, label: &str) -> Markup {
    let Ok(code) = QrCode::new(text) else { return Markup::default() };
    let (width, modules) = (code.width(), code.to_colors());
    let mut path = String::new();
    for (index, _) in modules.iter().enumerate().filter(|(_, module)| **module == Color::Dark) {
        path.push_str(&format!("M{} {}h1v1h-1z", index % width + QUIET, index / width + QUIET));
    }
    let side = width + 2 * QUIET;
    html! {
        svg.qr role="img" aria-label=(label) viewBox={ "0 0 " (side) " " (side) } shape-rendering="crispEdges" {
            rect width=(side) height=(side) fill="#fff" {}
            path d=(path) fill="#000" {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_a_picture_of_dark_squares_in_a_quiet_zone() {
        let svg = code("otpauth://totp/Desk:anna@example.com?secret=ABC", "Scan \"me\"").into_string();
        assert!(svg.starts_with("<svg class=\"qr\" role=\"img\" aria-label=\"Scan &quot;me&quot;\""), "{svg}");
        // The first square of the finder pattern at the upper left.
        assert!(svg.contains("d=\"M4 4h1v1h-1z"), "{svg}");
        assert!(svg.matches("h1v1h-1z").count() > 200);
        assert_eq!(code(&"x".repeat(8000), "").into_string(), "");
    }
}
