//! The rules of this repository that no compiler and no linter checks. Each check is a function
//! from the repository to the violations that it found. `EXCEPTIONS` lists what is excused, and
//! why.

mod findings;
mod import_cycles;
mod modules;
mod packages;
mod paths;
mod prose;
mod references;
mod registry;
mod repository;
mod rooms;
mod scripts;
mod sources;
mod syntax;
mod words;

use repository::{Repository, Violation};

type Check = fn(&Repository) -> Vec<Violation>;

/// A file that one check leaves alone. An exception that excuses nothing is red itself.
struct Exception {
    check: &'static str,
    path: &'static str,
    reason: &'static str,
}

const EXCEPTIONS: &[Exception] = &[Exception {
    check: "every_source_file_is_reachable",
    path: "conformance/tests/fixtures/backend/src/main.rs",
    reason: "a package only in the copy that ci/add-backend.sh makes",
}];

/// Generates a test per check, and the table of all checks.
macro_rules! checks {
    ($($name:ident: $check:path;)*) => {
        const CHECKS: &[(&str, Check)] = &[$((stringify!($name), $check)),*];
        $(
            #[test]
            fn $name() {
                expect_clean(stringify!($name), $check);
            }
        )*
    };
}

checks! {
    rows_and_folders_agree: registry::folders;
    row_names_say_package_flavor_and_driver: registry::names;
    rows_use_known_words: registry::words;
    waivers_are_complete: registry::waivers;
    findings_are_complete: findings::complete;
    findings_are_of_the_locked_versions: findings::versions;
    files_open_with_what_lives_there: sources::openings;
    rooms_are_small: rooms::sizes;
    files_and_lines_are_short: sources::lengths;
    imports_name_one_module: sources::imports;
    unsafe_code_is_listed: sources::unsafe_code;
    modules_import_in_no_circle: import_cycles::modules;
    every_source_file_is_reachable: sources::reachable;
    every_package_inherits_the_lints: packages::lints;
    versions_are_stated_once: packages::versions;
    dependencies_point_one_way: packages::directions;
    the_judge_links_no_async_runtime: packages::runtimes;
    paths_in_documents_exist: prose::paths;
    modules_in_documents_exist: prose::modules;
    links_in_documents_lead_somewhere: prose::links;
    commands_in_documents_exist: prose::commands;
    documents_and_comments_use_plain_words: words::plain;
    workflows_only_call_scripts: scripts::workflows;
    scripts_say_what_they_do: scripts::headers;
    scripts_named_by_scripts_exist: scripts::names;
    scripts_of_steps_are_in_contributing: scripts::scripts_in_contributing;
    nothing_refers_outside: references::paths;
    addresses_are_of_known_hosts: references::hosts;
}

#[test]
fn every_exception_excuses_something() {
    for exception in EXCEPTIONS {
        let (_, check) = CHECKS
            .iter()
            .find(|(name, _)| *name == exception.check)
            .unwrap_or_else(|| panic!("no check is called {}", exception.check));
        assert!(
            check(Repository::open()).iter().any(|violation| violation.path == exception.path),
            "{} no longer needs its exception from {} ({})",
            exception.path,
            exception.check,
            exception.reason,
        );
    }
}

/// Panics with every violation that `check` finds and no exception excuses.
#[track_caller]
fn expect_clean(name: &str, check: Check) {
    let excused = |violation: &Violation| {
        EXCEPTIONS.iter().any(|entry| entry.check == name && entry.path == violation.path)
    };
    let found: Vec<String> = check(Repository::open())
        .iter()
        .filter(|violation| !excused(violation))
        .map(Violation::to_string)
        .collect();
    assert!(found.is_empty(), "{name}: {} found\n  {}", found.len(), found.join("\n  "));
}
