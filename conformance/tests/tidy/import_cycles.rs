//! Import cycles among the modules of a crate.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

use crate::modules::{Mention, Module, ModulePath, Modules, Tests};
use crate::repository::{Repository, Violation};

/// Which child of a module imports which, and where the first such import is written.
type Graph = BTreeMap<String, BTreeMap<String, Mention>>;

/// One import on a cycle.
struct Step {
    from: String,
    to: String,
    mention: Mention,
}

/// The children of a module, such as those of a crate's root, have no import cycle.
pub(crate) fn modules(repository: &Repository) -> Vec<Violation> {
    let read = |path: &str| repository.has(path).then(|| repository.text(path));
    let mut found = Vec::new();
    for target in repository.packages.iter().flat_map(|package| &package.targets) {
        let tests = match target.kind.as_str() {
            "test" | "bench" => Tests::Read,
            _ => Tests::LeftOut,
        };
        for cycle in all_cycles(&Modules::read(&target.source, tests, &read)) {
            found.push(Violation::new(&target.source, 0, describe(&cycle)));
        }
    }
    found
}

/// The import cycles among the children of each module.
fn all_cycles(modules: &Modules) -> Vec<Vec<Step>> {
    let imports = imports(modules);
    modules.all.keys().flat_map(|parent| find_cycles(&graph(&imports, parent))).collect()
}

/// Describes a cycle: the modules on it, and where each import is written.
fn describe(cycle: &[Step]) -> String {
    let names: Vec<&str> = cycle.iter().map(|step| step.from.as_str()).collect();
    let mut message = format!("{} -> {}", names.join(" -> "), names[0]);
    for step in cycle {
        let (Step { from, to, .. }, Mention { path, file, line }) = (step, &step.mention);
        let _ = write!(message, "\n    {from} -> {to}: {file}:{line}: {}", path.join("::"));
    }
    message
}

/// The importing module, the imported one, and where the import is written.
type ModuleImport = (ModulePath, ModulePath, Mention);

/// Every import within a crate, including those through `*`.
fn imports(modules: &Modules) -> Vec<ModuleImport> {
    let mut found = Vec::new();
    for (path, module) in &modules.all {
        let stars = module.imports.iter().filter(|import| import.name.is_none());
        let through_stars = stars.flat_map(|star| {
            let targets = modules.targets(path, &star.what.path);
            let used = |target: &ModulePath| {
                let imports = modules.all.get(target).into_iter().flat_map(|m| &m.imports);
                let names = imports.filter_map(|import| import.name.as_ref());
                names.filter_map(|name| module.names.get(name)).cloned().collect::<Vec<_>>()
            };
            targets.iter().flat_map(used).collect::<Vec<_>>()
        });
        let written = module.imports.iter().map(|import| &import.what).chain(&module.mentions);
        for mention in written.cloned().chain(through_stars) {
            let targets: BTreeSet<ModulePath> = modules.targets(path, &mention.path);
            found.extend(targets.into_iter().map(|to| (path.clone(), to, mention.clone())));
        }
        for call in module.calls.iter().filter(|call| !module.items.contains(&call.path[0])) {
            let defines = |other: &Module| other.macros.contains(&call.path[0]);
            for (target, _) in modules.all.iter().filter(|(_, other)| defines(other)) {
                found.push((path.clone(), target.clone(), call.clone()));
            }
        }
    }
    found
}

/// The imports among the children of `parent`. A child stands for everything below it. `parent`
/// itself is left out, because it names all its children.
fn graph(imports: &[ModuleImport], parent: &ModulePath) -> Graph {
    let child = |path: &ModulePath| {
        let below = path.starts_with(parent) && path.len() > parent.len();
        below.then(|| path[..=parent.len()].join("::"))
    };
    let mut graph = Graph::new();
    for (from, to, mention) in imports {
        if let (Some(from), Some(to)) = (child(from), child(to))
            && from != to
        {
            graph.entry(from).or_default().entry(to).or_insert_with(|| mention.clone());
        }
    }
    graph
}

/// The shortest cycle through each module that is on no cycle found before.
fn find_cycles(graph: &Graph) -> Vec<Vec<Step>> {
    let mut found: Vec<Vec<Step>> = Vec::new();
    for start in graph.keys() {
        if !found.iter().flatten().any(|step| step.from == *start) {
            found.extend(shortest_cycle(graph, start));
        }
    }
    found
}

/// The shortest cycle through `start`, if there is one.
fn shortest_cycle(graph: &Graph, start: &str) -> Option<Vec<Step>> {
    let mut before: BTreeMap<&str, &str> = BTreeMap::new();
    let mut pending = VecDeque::from([start]);
    while let Some(module) = pending.pop_front() {
        for next in graph.get(module).into_iter().flat_map(BTreeMap::keys) {
            if before.contains_key(next.as_str()) {
                continue;
            }
            before.insert(next, module);
            pending.push_back(next);
        }
        if before.contains_key(start) {
            break;
        }
    }
    let mut cycle = Vec::new();
    let mut to = start;
    while let Some(from) = before.get(to).copied() {
        let mention = graph[from][to].clone();
        cycle.push(Step { from: from.to_owned(), to: to.to_owned(), mention });
        to = from;
        if from == start {
            cycle.reverse();
            return Some(cycle);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The import cycles of a crate with these files and the root `lib.rs`.
    fn cycles_of(files: &[(&str, &str)]) -> Vec<String> {
        let read = |path: &str| {
            let file = files.iter().find(|(name, _)| format!("src/{name}") == path);
            file.map(|(_, text)| (*text).to_owned())
        };
        let modules = Modules::read("src/lib.rs", Tests::LeftOut, &read);
        all_cycles(&modules).iter().map(|one| describe(one)).collect()
    }

    /// The cycles of two modules: `b` imports `a`, and `a` has this text.
    fn cycles_with_b(a: &str) -> Vec<String> {
        cycles_of(&[("lib.rs", "mod a;\nmod b;\n"), ("a.rs", a), ("b.rs", "use crate::a::X;\n")])
    }

    const BOTH: &str = "a -> b -> a\n    a -> b: src/a.rs:2: ";

    #[track_caller]
    fn expect_cycle(a: &str, path: &str) {
        let found = cycles_with_b(&format!("\n{a}"));
        let expected = format!("{BOTH}{path}\n    b -> a: src/b.rs:1: crate::a::X");
        assert_eq!(found, [expected], "{a}");
    }

    #[track_caller]
    fn expect_no_cycle(a: &str) {
        assert_eq!(cycles_with_b(a), [""; 0], "{a}");
    }

    #[test]
    fn every_way_to_name_a_module_is_an_import() {
        for (a, path) in [
            ("use crate::b::Y;", "crate::b::Y"),
            ("use super::b::Y;", "super::b::Y"),
            ("pub(in crate::b) use crate::b;", "crate::b"),
            ("pub(crate) use crate::{b::{self, c::{D, E as F}}, x};", "crate::b"),
            ("use crate::b::*;", "crate::b"),
            ("fn f() { let y: crate::b::Y = 1; }", "crate::b::Y"),
            ("fn f() { super::b::g::<u8>(x.y) }", "super::b::g"),
            ("#[arg(value_parser = crate::b::parse)] struct X;", "crate::b::parse"),
            ("cfg_if! { if #[cfg(unix)] { use crate::b::Y; } else { } }", "crate::b::Y"),
            ("macro_rules! m { () => { $crate::b::f() } }", "crate::b::f"),
            ("mod c { use super::super::b::Y; }", "super::super::b::Y"),
        ] {
            expect_cycle(a, path);
        }
        let found = cycles_with_b("use crate::{\n    x::Y,\n    b::Z,\n};");
        assert!(found[0].contains("a -> b: src/a.rs:3: crate::b::Z\n"), "{found:?}");
    }

    #[test]
    fn what_only_looks_like_an_import_is_none() {
        for a in [
            "// use crate::b;\n/* crate::b::f() */\n/// See [`crate::b::f`].\nstruct X;",
            "const X: &str = \"crate::b::f\"; const Y: &str = r#\"\"use crate::b;\"#;",
            "use b::Y; fn f() { b::g(); }",
            "pub(in crate::b) struct X;",
            "fn f() -> impl Fn() + use<'_> { b::g }",
            "mod b {} use b::Y;",
        ] {
            expect_no_cycle(a);
        }
    }

    #[test]
    fn tests_may_import_what_they_like() {
        for a in [
            "#[cfg(test)]\nmod tests { use crate::b::Y; }",
            "#[cfg(test)] use crate::{b::Y, b};",
            "#[cfg(all(test, unix))] #[path = \"b.rs\"] mod b;",
            "#[test]\nfn f<A, B>(x: [u8; 2]) where A: B { crate::b::g() }",
            "#![cfg(test)]\nuse crate::b::Y;",
            "struct X { #[cfg(test)] y: crate::b::Y, z: u8 }",
        ] {
            expect_no_cycle(a);
        }
        let a = "#[cfg(test)] const X: Y = Y { z: 1 };\nuse crate::b;";
        assert!(cycles_with_b(a)[0].starts_with(BOTH));
        let a = "#[cfg(not(test))]\nuse crate::b;";
        assert!(cycles_with_b(a)[0].starts_with(BOTH));
    }

    #[test]
    fn the_module_that_defines_is_imported_through_the_root() {
        let found = cycles_of(&[
            ("lib.rs", "mod a;\nmod b;\npub use b::{Y as Z, q};\npub use a::*;\n"),
            ("a.rs", "use crate::Z;\npub struct X;\n"),
            ("b.rs", "pub fn f() { crate::X::new() }\npub struct Y;\n"),
        ]);
        let steps = "\n    a -> b: src/a.rs:1: crate::Z\n    b -> a: src/b.rs:1: crate::X::new";
        assert_eq!(found, [format!("a -> b -> a{steps}")]);
    }

    #[test]
    fn the_module_that_passes_on_is_imported_beside_the_one_that_defines() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c;"),
            ("b/mod.rs", "mod inner; pub(crate) use inner::X; pub use crate::c::*;"),
            ("b/inner.rs", "pub(crate) use crate::a::X;"),
            ("c.rs", "pub struct Y; pub struct X;"),
        ];
        let with = |a| cycles_of(&[files.as_slice(), &[("a.rs", a)]].concat());
        let passed = "a -> b -> a\n    a -> b: src/a.rs:1: crate::b::X";
        assert_eq!(with("use crate::b::X;").len(), 1);
        assert!(with("use crate::b::X;")[0].starts_with(passed));
        assert!(with("pub struct X; use crate::c::Y;").is_empty());
        let found = cycles_of(&[
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "use crate::b::{Y};"),
            ("b.rs", "pub use crate::c::Y;"),
            ("c.rs", "use crate::a; pub struct Y;"),
        ]);
        assert!(found[0].starts_with("a -> c -> a\n    a -> c: src/a.rs:1: crate::b::Y"));
    }

    #[test]
    fn names_that_a_star_brings_in_lead_to_where_they_come_from() {
        let found = cycles_of(&[
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "use crate::b::*;\nfn f() -> Y { g() }"),
            ("b.rs", "pub use crate::c::Y;"),
            ("c.rs", "use crate::a;"),
        ]);
        assert!(found[0].starts_with("a -> c -> a\n    a -> c: src/a.rs:2: Y\n"), "{found:?}");
    }

    #[test]
    fn macros_are_imported_by_their_name() {
        let found = cycles_of(&[
            ("lib.rs", "#[macro_use] mod a; mod b;"),
            ("a.rs", "macro_rules! wrong { () => {} }\nuse crate::b;"),
            ("b.rs", "fn f() { wrong!(); println!(); x != y }"),
        ]);
        assert_eq!(found.len(), 1);
        assert!(found[0].ends_with("b -> a: src/b.rs:1: wrong"), "{found:?}");
    }

    #[test]
    fn the_way_round_is_the_shortest() {
        let found = cycles_of(&[
            ("lib.rs", "mod a; mod b; mod c; mod d; mod e;"),
            ("a.rs", "use crate::{b, e};"),
            ("b.rs", "use crate::c;"),
            ("c/mod.rs", "#[path = \"../other.rs\"] mod inner;"),
            ("other.rs", "use super::super::d;"),
            ("d.rs", "use crate::{b, a};"),
            ("e.rs", "use std::fmt; use fmt::Write;"),
        ]);
        let first: Vec<_> = found.iter().filter_map(|way| way.lines().next()).collect();
        assert_eq!(first, ["a -> b -> c -> d -> a"]);
    }

    #[test]
    fn children_are_looked_at_on_every_level() {
        let found = cycles_of(&[
            ("lib.rs", "mod a;"),
            ("a/mod.rs", "mod b; mod c; use c as system; use b::f; pub struct X;"),
            ("a/b.rs", "use super::system; use super::X; pub fn f() {}"),
            ("a/c/mod.rs", "mod d; pub use d::Y;"),
            ("a/c/d.rs", "use crate::a::b::f; use super::super::X; pub struct Y;"),
        ]);
        let steps = [
            "\n    a::b -> a::c: src/a/b.rs:1: super::system",
            "\n    a::c -> a::b: src/a/c/d.rs:1: crate::a::b::f",
        ];
        assert_eq!(found, [format!("a::b -> a::c -> a::b{}", steps.concat())]);
    }

    #[test]
    fn tests_count_in_a_target_of_tests() {
        let read = |path: &str| match path {
            "tests/x/main.rs" => Some("mod a; mod b;".to_owned()),
            "tests/x/a.rs" => Some("#[test]\nfn f() { crate::b::g() }".to_owned()),
            "tests/x/b.rs" => Some("use crate::a::X;".to_owned()),
            _ => None,
        };
        let cycles = |tests| all_cycles(&Modules::read("tests/x/main.rs", tests, &read)).len();
        assert_eq!((cycles(Tests::Read), cycles(Tests::LeftOut)), (1, 0));
    }

    #[test]
    fn another_crate_of_the_same_name_is_no_circle() {
        let files = [("lib.rs", "mod a; mod b;"), ("b.rs", "use crate::a;")];
        let with = |a| cycles_of(&[files.as_slice(), &[("a.rs", a)]].concat());
        assert!(with("use x::x; use b::b; fn f() { x::y(); b::c() }").is_empty());
    }
}
