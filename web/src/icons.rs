//! Small pictures that products and others are known by: lines on a square of 24, in any colour.

/// The icons by the names that products call them.
const ICONS: &[(&str, &str)] = &[
    ("book", "M4 4h7a1 1 0 0 1 1 1v15a2 2 0 0 0-2-1H4zM20 4h-7a1 1 0 0 0-1 1v15a2 2 0 0 1 2-1h6z"),
    ("box", "M12 2l9 5v10l-9 5-9-5V7zM3 7l9 5 9-5M12 12v10"),
    ("camera", "M3 7h5l2-3h4l2 3h5v13H3zM12 17a4 4 0 1 0 0-8 4 4 0 0 0 0 8z"),
    ("car", "M3 16v-4l2-5h14l2 5v4zM6 16v3M18 16v3M3 12h18"),
    ("cart", "M2 3h3l3 12h10l3-8H6M9 20h.01M17 20h.01"),
    ("chart", "M4 20V4M4 20h16M8 16v-5M12 16V7M16 16v-3"),
    ("chat", "M3 4h18v12H9l-6 5z"),
    ("cloud", "M7 18a4 4 0 0 1 0-8 6 6 0 0 1 11.5 1.5A3.5 3.5 0 0 1 18 18z"),
    ("database", "M4 6c0-3 16-3 16 0v12c0 3-16 3-16 0zM4 6c0 3 16 3 16 0M4 12c0 3 16 3 16 0"),
    ("gear", "M12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM12 2v4M12 18v4M2 12h4M18 12h4M5 5l3 3M16 16l3 3M5 19l3-3M16 8l3-3"),
    ("globe", "M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20zM2 12h20M12 2c5 6 5 14 0 20M12 2c-5 6-5 14 0 20"),
    ("home", "M3 11l9-8 9 8M5 10v11h14V10M10 21v-6h4v6"),
    ("key", "M7 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM11 12h10v4M17 12v3"),
    ("laptop", "M5 5h14v10H5zM2 19h20"),
    ("lock", "M5 11h14v10H5zM8 11V7a4 4 0 0 1 8 0v4"),
    ("mail", "M3 5h18v14H3zM3 6l9 7 9-7"),
    ("monitor", "M3 4h18v12H3zM8 20h8M12 16v4"),
    ("network", "M12 3v6M5 15h14M5 15v4M19 15v4M12 9v6M9 3h6M3 21h4M17 21h4"),
    ("phone", "M7 2h10v20H7zM11 19h2"),
    ("printer", "M7 8V3h10v5M7 17H4V8h16v9h-3M7 14h10v7H7z"),
    ("server", "M4 4h16v6H4zM4 14h16v6H4zM7 7h.01M7 17h.01"),
    ("shield", "M12 2l8 3v6c0 5-3 9-8 11-5-2-8-6-8-11V5z"),
    ("star", "M12 2l3 7 7 .5-5.5 4.5 2 7L12 17l-6.5 4 2-7L2 9.5 9 9z"),
    ("wifi", "M2 9a15 15 0 0 1 20 0M5 13a10 10 0 0 1 14 0M8.5 16.5a5 5 0 0 1 7 0M12 20h.01"),
    ("wrench", "M15 3a5 5 0 0 0-4.6 7L3 17.5 6.5 21l7.5-7.4A5 5 0 0 0 21 9l-3 3-3-3 3-3z"),
];

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    ICONS.iter().copied()
}

/// The lines of an icon; of a name that nobody drew, those of a box.
pub(crate) fn lines(name: &str) -> &'static str {
    let known = |wanted: &str| ICONS.iter().find(|(icon, _)| *icon == wanted).map(|(_, lines)| *lines);
    known(name).or_else(|| known("box")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_icon_is_drawn_and_a_strange_name_has_one_too() {
        assert!(all().all(|(name, lines)| lines.starts_with('M') && super::lines(name) == lines));
        assert_eq!(lines("unicorn"), lines("box"));
    }
}
