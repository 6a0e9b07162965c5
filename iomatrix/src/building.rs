//! Shows which server is being built. The first build of a server can take minutes.

use std::io::IsTerminal as _;
use std::time::Duration;

use harness::binaries::BuildStep;
use indicatif::{ProgressBar, ProgressStyle};

use crate::notice::{is_silent, print_notice};

/// How often the terminal shows that the build still runs.
const TICK: Duration = Duration::from_millis(200);

/// Runs `work` with a function that shows each step: on a line that disappears afterwards, or in a
/// log as a line of its own.
pub(crate) fn show_builds<T>(work: impl FnOnce(&dyn Fn(BuildStep<'_>)) -> T) -> T {
    if !std::io::stderr().is_terminal() {
        return work(&|step| print_notice(step));
    }
    if is_silent() {
        return work(&|_| {});
    }
    let style = ProgressStyle::with_template("{elapsed_precise} {spinner} {msg}");
    let line = ProgressBar::new_spinner()
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    line.enable_steady_tick(TICK);
    let done = work(&|step| line.set_message(step.to_string()));
    line.finish_and_clear();
    done
}
