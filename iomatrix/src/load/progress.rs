//! Live progress of a load: a bar on standard error if that is a terminal, otherwise nothing.

use indicatif::{ProgressBar, ProgressStyle};
use loadgen::{Progress, Watch};
use report::load::{Amount, Workload};

use super::is_watched;

/// A bar that disappears when it is dropped.
pub(crate) struct Bar {
    bar: ProgressBar,
    warmup: f64,
    amount: Amount,
    last: Option<Progress>,
}

impl Bar {
    pub(crate) fn new(workload: &Workload) -> Self {
        let bar = if is_watched() { ProgressBar::new(1000) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {wide_msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("=> "));
        bar.set_message("opening connections");
        Self { bar, warmup: workload.warmup_seconds, amount: workload.amount, last: None }
    }

    /// How much of the load is done, in thousandths.
    fn done(&self, progress: &Progress) -> u64 {
        let part = match self.amount {
            Amount::Seconds(seconds) => progress.seconds / (self.warmup + seconds),
            Amount::Messages(messages) => progress.echoed as f64 / messages as f64,
        };
        (part.clamp(0.0, 1.0) * 1000.0) as u64
    }
}

impl Watch for Bar {
    fn progress(&mut self, progress: &Progress) {
        if progress.seconds < 0.0 {
            self.bar.tick();
            return;
        }
        let before = self.last.replace(*progress);
        let since = before.map_or((0.0, 0), |before| (before.seconds, before.echoed));
        let rate = (progress.echoed - since.1) as f64 / (progress.seconds - since.0).max(1e-9);
        let phase = if progress.seconds < self.warmup { "warm-up, " } else { "" };
        self.bar.set_position(self.done(progress));
        self.bar.set_message(format!("{phase}{rate:.0} messages/s"));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
