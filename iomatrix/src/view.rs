//! How pages are shown on standard output. `View::in_file` says how they are shown in files.

use report::{Ink, View, Width};

/// As wide as the terminal. Without a terminal, as wide as in a file.
pub(crate) fn screen_view() -> View {
    let terminal = console::Term::stdout();
    if !terminal.is_term() {
        return View { ink: ink(), ..View::in_file() };
    }
    View { width: Width::new(terminal.size().1), ink: ink() }
}

fn ink() -> Ink {
    if console::colors_enabled() { Ink::Colour } else { Ink::Plain }
}
