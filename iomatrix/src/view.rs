//! How pages are shown: the one rule for the width of a page, and whether it has colours.

use report::{Ink, View, Width};

/// The columns of a page that nobody looks at in a terminal: as many as a log shows.
const COLUMNS: u16 = 120;

/// As wide as the terminal on standard output; without one, as wide as `COLUMNS` says, else 120
/// columns.
pub(crate) fn view() -> View {
    let terminal = console::Term::stdout();
    let columns = if terminal.is_term() { Some(terminal.size().1) } else { asked() };
    let ink = if console::colors_enabled() { Ink::Colour } else { Ink::Plain };
    View { width: Width::of(columns.unwrap_or(COLUMNS)), ink }
}

fn asked() -> Option<u16> {
    std::env::var("COLUMNS").ok()?.parse().ok()
}
