//! The suite's own test: each mutant must make its named case red with the named failure.

fn main() {
    conformance::launcher::run_if_asked();
}
