//! How pages are shown on standard output; how in files says `View::in_file`.

use report::{Ink, View, Width};

/// On standard output: as wide as its terminal; without one, as wide as in a file.
pub(crate) fn on_screen() -> View {
    let terminal = console::Term::stdout();
    if !terminal.is_term() {
        return View { ink: ink(), ..View::in_file() };
    }
    View { width: Width::of(terminal.size().1), ink: ink() }
}

fn ink() -> Ink {
    if console::colors_enabled() { Ink::Colour } else { Ink::Plain }
}
