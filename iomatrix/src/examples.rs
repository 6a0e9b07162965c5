//! The examples at the end of each help text. A test parses every one of them.

pub(crate) const CHECK: &str = "\
Examples:
  iomatrix check --row tokio,uring --profile quick
  iomatrix check --case 'res/memory*'
  iomatrix check --command 'node server.mjs {addr}'
  iomatrix check --address 127.0.0.1:9000 --output text --output junit=result.xml";

pub(crate) const LIST: &str = "\
Examples:
  iomatrix list
  iomatrix list --findings
  iomatrix list --output json";

pub(crate) const EXPLAIN: &str = "\
Examples:
  iomatrix explain tcp-echo/one-byte
  iomatrix explain 'fair/*'";

pub(crate) const DOCTOR: &str = "\
Examples:
  iomatrix doctor
  iomatrix doctor --output json=host.json";

pub(crate) const LOAD: &str = "\
Examples:
  iomatrix load 127.0.0.1:9000
  iomatrix load localhost:9000 -c 1k -d 30s -p 1KiB
  iomatrix load 127.0.0.1:9000 -r 20k --fail-if 'p99>2ms'";

pub(crate) const BENCH: &str = "\
Examples:
  iomatrix bench --row tokio,compio-io_uring
  iomatrix bench --row tokio,uring -c 1k -p 16KiB --rounds 10";

pub(crate) const SWEEP: &str = "\
Examples:
  iomatrix sweep --row tokio,uring -c 1,8,64,512
  iomatrix sweep --row tokio,uring -r 10k,20k,40k --metric p99";

pub(crate) const COMPARE: &str = "\
Examples:
  iomatrix compare results/before results/after
  iomatrix compare before.json after.json --output markdown=changes.md";

pub(crate) const REPORT: &str = "\
Examples:
  iomatrix report results
  iomatrix report results --expect linux,macos --output markdown=page.md";

pub(crate) const TRACE: &str = "\
Examples:
  iomatrix trace tokio uring";

pub(crate) const COMPLETIONS: &str = "\
Examples:
  iomatrix completions bash > ~/.local/share/bash-completion/completions/iomatrix
  iomatrix completions zsh > ~/.zfunc/_iomatrix";

pub(crate) const MAN: &str = "\
Examples:
  iomatrix man | man -l -
  iomatrix man ~/.local/share/man/man1";

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::Arguments;

    #[test]
    fn every_example_can_be_typed() {
        let all = [
            CHECK,
            LIST,
            EXPLAIN,
            DOCTOR,
            LOAD,
            BENCH,
            SWEEP,
            COMPARE,
            REPORT,
            TRACE,
            COMPLETIONS,
            MAN,
        ];
        for line in all.iter().flat_map(|text| text.lines().skip(1)) {
            // The shell takes what follows a pipe or a redirection for itself.
            let typed = line.split(" | ").next().and_then(|line| line.split(" > ").next());
            let words = shell_words::split(typed.unwrap_or(line)).expect("a shell reads it");
            if let Err(error) = Arguments::try_parse_from(words) {
                panic!("{line}: {error}");
            }
        }
    }
}
