//! How pages are shown on standard output. `View::in_file` says how they are shown in files.

use report::{Ink, View, Width};

/// As wide as the terminal. Without a terminal, as wide as `COLUMNS` says, else [`Width::PIPE`].
pub(crate) fn screen_view() -> View {
    let terminal = console::Term::stdout();
    let width = match terminal.is_term() {
        true => Width::new(terminal.size().1),
        false => Width::from_environment().unwrap_or(Width::PIPE),
    };
    View { width, ink: ink() }
}

fn ink() -> Ink {
    if console::colors_enabled() { Ink::Colour } else { Ink::Plain }
}
