//! How pages are shown: the one rule for the width of a page, and whether it has colours.

use report::{Ink, View, Width};

/// On standard output: as wide as its terminal; without one, as wide as in a file.
pub(crate) fn on_screen() -> View {
    let terminal = console::Term::stdout();
    if !terminal.is_term() {
        return View { ink: ink(), ..in_file() };
    }
    View { width: Width::of(terminal.size().1), ink: ink() }
}

/// In a file: as wide as `COLUMNS` says, else 120 columns, and without colours.
pub(crate) fn in_file() -> View {
    let asked = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    View::plain(asked.map_or(Width::OF_A_LOG, Width::of))
}

fn ink() -> Ink {
    if console::colors_enabled() { Ink::Colour } else { Ink::Plain }
}
