//! The modules of a crate: what each declares, defines and imports, read from its files.

use std::collections::{BTreeMap, BTreeSet};

use crate::paths::normalize;
use crate::sources::{Root, folder_of_modules};
use crate::syntax::{Word, after_bracket, words};

/// The names from the root of the crate to a module; empty for the root.
pub(crate) type ModulePath = Vec<String>;

/// A path that a module names, as it is written there.
#[derive(Clone, Debug)]
pub(crate) struct Mention {
    pub(crate) path: Vec<String>,
    pub(crate) file: String,
    pub(crate) line: usize,
}

/// One name that a `use` imports.
#[derive(Clone, Debug)]
pub(crate) struct Import {
    pub(crate) what: Mention,
    /// The name in the importing module; `None` for `*`.
    pub(crate) name: Option<String>,
}

#[derive(Default)]
pub(crate) struct Module {
    pub(crate) children: BTreeSet<String>,
    pub(crate) imports: Vec<Import>,
    pub(crate) items: BTreeSet<String>,
    pub(crate) macros: BTreeSet<String>,
    /// Paths in code, of at least two names.
    pub(crate) mentions: Vec<Mention>,
    /// Macros that are called by their bare name.
    pub(crate) calls: Vec<Mention>,
    /// Every name in the module, and where it first stands: shows which names of a `*` import are
    /// used.
    pub(crate) names: BTreeMap<String, Mention>,
}

/// Whether items with `#[cfg(test)]` or `#[test]` are read.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Tests {
    Read,
    LeftOut,
}

/// The modules of one crate.
pub(crate) struct Modules {
    pub(crate) all: BTreeMap<ModulePath, Module>,
}

impl Modules {
    /// Reads the crate whose root file is `root`. `read` returns the text of a file, if the file
    /// exists.
    pub(crate) fn read(root: &str, tests: Tests, read: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut all = BTreeMap::new();
        let mut pending = vec![(root.to_owned(), ModulePath::new(), Root::Yes)];
        while let Some((file, path, kind)) = pending.pop() {
            let Some(text) = read(&file) else {
                continue;
            };
            let mut reader = Reader {
                words: words(&text),
                at: 0,
                file: &file,
                kind,
                tests,
                inline: Vec::new(),
                path,
                all: &mut all,
                files: Vec::new(),
            };
            reader.read();
            let found = reader.files.into_iter().map(|(file, path)| (file, path, Root::No));
            pending.extend(found);
        }
        Self { all }
    }

    /// The modules that a path in `from` leads to: the one that defines the item, and each that
    /// re-exports it. Empty for an item of another crate.
    pub(crate) fn targets(&self, from: &ModulePath, path: &[String]) -> BTreeSet<ModulePath> {
        let mut found = BTreeSet::new();
        self.follow(from, path, &mut BTreeSet::new(), &mut found);
        found
    }

    /// Whether a path from the root leads to a module, or to a name in one.
    pub(crate) fn has(&self, path: &[&str]) -> bool {
        let Some((name, modules)) = path.split_last() else { return true };
        let module = modules.iter().map(|name| (*name).to_owned()).collect();
        self.knows(&module, name, &mut BTreeSet::new())
    }

    fn follow(
        &self,
        from: &ModulePath,
        path: &[String],
        seen: &mut BTreeSet<(ModulePath, Vec<String>)>,
        found: &mut BTreeSet<ModulePath>,
    ) {
        // `use x::x`, with `x` another crate, would be followed without end.
        if path.len() > MAX_NAMES || !seen.insert((from.clone(), path.to_vec())) {
            return;
        }
        let Some((first, rest)) = path.split_first() else {
            found.insert(from.clone());
            return;
        };
        let mut base = from.clone();
        match first.as_str() {
            "crate" => self.descend(&ModulePath::new(), rest, seen, found),
            "self" => self.descend(from, rest, seen, found),
            "super" => {
                base.pop();
                match rest.first().map(String::as_str) {
                    Some("super") => self.follow(&base, rest, seen, found),
                    _ => self.descend(&base, rest, seen, found),
                }
            }
            name if self.knows(from, name, &mut BTreeSet::new()) => {
                self.descend(from, path, seen, found);
            }
            _ => {}
        }
    }

    fn descend(
        &self,
        module: &ModulePath,
        path: &[String],
        seen: &mut BTreeSet<(ModulePath, Vec<String>)>,
        found: &mut BTreeSet<ModulePath>,
    ) {
        let (Some((name, rest)), Some(here)) = (path.split_first(), self.all.get(module)) else {
            found.insert(module.clone());
            return;
        };
        if here.children.contains(name) {
            return self.descend(&child(module, name), rest, seen, found);
        }
        let named = here.imports.iter().filter(|import| import.name.as_ref() == Some(name));
        let stars = here.imports.iter().filter(|import| {
            let knows = |target| self.knows(&target, name, &mut BTreeSet::new());
            import.name.is_none() && self.place(module, &import.what.path).is_some_and(knows)
        });
        let ways: Vec<Vec<String>> = match named.collect::<Vec<_>>() {
            some if !some.is_empty() => {
                some.iter().map(|import| [import.what.path.as_slice(), rest].concat()).collect()
            }
            _ if here.items.contains(name) => Vec::new(),
            _ => stars.map(|import| [import.what.path.as_slice(), path].concat()).collect(),
        };
        found.insert(module.clone());
        for way in ways {
            self.follow(module, &way, seen, found);
        }
    }

    /// Whether this module declares or imports the name.
    fn knows(&self, module: &ModulePath, name: &str, seen: &mut BTreeSet<ModulePath>) -> bool {
        let Some(here) = self.all.get(module).filter(|_| seen.insert(module.clone())) else {
            return false;
        };
        here.children.contains(name)
            || here.items.contains(name)
            || here.imports.iter().any(|import| import.name.as_deref() == Some(name))
            || here.imports.iter().filter(|import| import.name.is_none()).any(|star| {
                let target = self.place(module, &star.what.path);
                target.is_some_and(|target| self.knows(&target, name, seen))
            })
    }

    /// Resolves a path that consists only of modules, like most paths before `::*`.
    fn place(&self, from: &ModulePath, path: &[String]) -> Option<ModulePath> {
        let mut place = match path.first()?.as_str() {
            "crate" => ModulePath::new(),
            "self" | "super" => from.clone(),
            first if self.all.get(from)?.children.contains(first) => from.clone(),
            _ => return None,
        };
        for name in path {
            match name.as_str() {
                "crate" | "self" => {}
                "super" => {
                    place.pop()?;
                }
                name => place.push(name.to_owned()),
            }
        }
        self.all.contains_key(&place).then_some(place)
    }
}

pub(crate) fn child(module: &ModulePath, name: &str) -> ModulePath {
    let mut path = module.clone();
    path.push(name.to_owned());
    path
}

/// Reads one file into the modules that it contains.
struct Reader<'a> {
    words: Vec<Word<'a>>,
    at: usize,
    file: &'a str,
    kind: Root,
    tests: Tests,
    /// The inline modules around the current word, each with the position of its end.
    inline: Vec<(String, usize)>,
    /// The module that the file is the root of.
    path: ModulePath,
    all: &'a mut BTreeMap<ModulePath, Module>,
    /// The files of the modules that this file declares.
    files: Vec<(String, ModulePath)>,
}

/// A limit on the names of one path; no path in the sources has as many.
const MAX_NAMES: usize = 16;

const DEFINING_KEYWORDS: &[&str] =
    &["fn", "struct", "enum", "trait", "type", "const", "static", "union"];

impl<'a> Reader<'a> {
    fn read(&mut self) {
        self.module();
        let mut stated = None;
        while let Some(word) = self.words.get(self.at).copied() {
            while self.inline.last().is_some_and(|(_, end)| self.at >= *end) {
                self.inline.pop();
            }
            match word.text {
                "#" if self.tests == Tests::LeftOut && self.is_test() => {
                    if self.text(1) == "!" {
                        return;
                    }
                    self.skip_item();
                    continue;
                }
                "#" if self.text(2) == "path" => stated = Some(self.text(4).trim_matches('"')),
                "mod" => self.declare(stated.take()),
                "use" if self.text(1) != "<" => self.import(),
                "macro_rules" => {
                    let name = self.text(2).to_owned();
                    self.module().items.insert(name.clone());
                    self.module().macros.insert(name);
                }
                text if DEFINING_KEYWORDS.contains(&text) => {
                    let name = self.text(1).to_owned();
                    self.module().items.insert(name);
                }
                _ if word.is_name() => self.mention(),
                _ => {}
            }
            self.at += 1;
        }
    }

    /// The text of the word `ahead` words further on; empty after the last word.
    fn text(&self, ahead: usize) -> &'a str {
        self.words.get(self.at + ahead).map_or("", |word| word.text)
    }

    fn here(&self) -> ModulePath {
        let inline = self.inline.iter().map(|(name, _)| name.clone());
        self.path.iter().cloned().chain(inline).collect()
    }

    fn module(&mut self) -> &mut Module {
        let here = self.here();
        self.all.entry(here).or_default()
    }

    fn make_mention(&self, path: Vec<String>, line: usize) -> Mention {
        Mention { path, file: self.file.to_owned(), line }
    }

    /// Whether the attribute at the current word restricts what follows to tests.
    fn is_test(&self) -> bool {
        let open = if self.text(1) == "!" { 2 } else { 1 };
        let end = after_bracket(&self.words, self.at + open);
        let inside: Vec<&str> =
            self.words[self.at + open..end].iter().map(|word| word.text).collect();
        match inside.as_slice() {
            ["[", "test", "]"] => true,
            ["[", "cfg", "(", rest @ ..] => match rest {
                ["test", ..] => true,
                ["all", "(", ..] => rest.contains(&"test"),
                _ => false,
            },
            _ => false,
        }
    }

    /// Skips all attributes from the current word on, and the item that they belong to.
    fn skip_item(&mut self) {
        while self.text(0) == "#" {
            self.at = after_bracket(&self.words, self.at + 1);
        }
        let mut keyword = "";
        while let Some(word) = self.words.get(self.at) {
            match word.text {
                // `const` begins an item, or qualifies a function.
                "const" if self.text(1) == "fn" => {}
                "pub" | "unsafe" | "async" | "extern" => {}
                "(" | "[" => {
                    self.at = after_bracket(&self.words, self.at);
                    continue;
                }
                "{" => {
                    self.at = after_bracket(&self.words, self.at);
                    if !["use", "const", "static", "type", "let"].contains(&keyword) {
                        return;
                    }
                    continue;
                }
                ";" => {
                    self.at += 1;
                    return;
                }
                // A field, a variant or an arm.
                "," if !["fn", "impl", "struct", "enum", "trait"].contains(&keyword) => {
                    self.at += 1;
                    return;
                }
                "}" | ")" | "]" => return,
                text if keyword.is_empty() && word.is_name() => keyword = text,
                _ => {}
            }
            self.at += 1;
        }
    }

    /// `mod name;` or `mod name {`.
    fn declare(&mut self, stated: Option<&str>) {
        let (name, sign) = (self.text(1).to_owned(), self.text(2));
        if sign != ";" && sign != "{" {
            return;
        }
        self.module().children.insert(name.clone());
        self.at += 2;
        if sign == "{" {
            let end = after_bracket(&self.words, self.at);
            self.inline.push((name, end));
            self.module();
            return;
        }
        let path = child(&self.here(), &name);
        let (folder, _) = self.file.rsplit_once('/').unwrap_or((".", self.file));
        let inline: String = self.inline.iter().map(|(name, _)| format!("/{name}")).collect();
        let base = folder_of_modules(self.file, self.kind) + &inline;
        let files = match stated {
            Some(file) => vec![normalize(&format!("{folder}/{file}"))],
            None => vec![format!("{base}/{name}.rs"), format!("{base}/{name}/mod.rs")],
        };
        self.files.extend(files.into_iter().map(|file| (file, path.clone())));
    }

    fn import(&mut self) {
        self.at += 1;
        let start = if self.text(0) == "::" { vec![String::new()] } else { Vec::new() };
        let mut found = Vec::new();
        self.use_tree(&start, &mut found);
        for (path, name, line) in found {
            let what = self.make_mention(path, line);
            self.module().imports.push(Import { what, name });
        }
    }

    /// Reads one tree of a `use`, up to the sign that ends it.
    fn use_tree(
        &mut self,
        start: &[String],
        found: &mut Vec<(Vec<String>, Option<String>, usize)>,
    ) {
        let mut path = start.to_vec();
        while let Some(word) = self.words.get(self.at).copied() {
            match word.text {
                "{" => {
                    self.at += 1;
                    while !["}", ""].contains(&self.text(0)) {
                        self.use_tree(&path, found);
                        if self.text(0) == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                "*" => {
                    found.push((path, None, word.line));
                    self.at += 1;
                    return;
                }
                "::" => self.at += 1,
                "," | ";" | "}" => return,
                name => {
                    // `a::{self}` is `a`.
                    if name != "self" || path.is_empty() {
                        path.push(name.to_owned());
                    }
                    self.at += 1;
                    if self.text(0) == "as" {
                        let other = Some(self.text(1).to_owned());
                        found.push((path, other, word.line));
                        self.at += 2;
                        return;
                    }
                    if self.text(0) != "::" {
                        let name = path.last().cloned();
                        found.push((path, name, word.line));
                        return;
                    }
                }
            }
        }
    }

    /// Records a path in code, or the call of a macro.
    fn mention(&mut self) {
        let word = self.words[self.at];
        let before = self.at.checked_sub(1).map_or("", |at| self.words[at].text);
        let mut path = vec![word.text.to_owned()];
        while self.text(1) == "::" && self.words.get(self.at + 2).is_some_and(Word::is_name) {
            path.push(self.text(2).to_owned());
            self.at += 2;
        }
        // `pub(in crate::a)` is a visibility, and imports nothing.
        let visibility = before == "in" && self.text(1) == ")";
        if visibility || ["::", "."].contains(&before) {
            return;
        }
        let what = self.make_mention(path, word.line);
        let module = self.module();
        module.names.entry(word.text.to_owned()).or_insert_with(|| what.clone());
        if what.path.len() > 1 {
            module.mentions.push(what);
        } else if self.text(1) == "!" && self.text(2) != "=" {
            self.module().calls.push(what);
        }
    }
}

#[test]
fn a_path_leads_to_a_module_or_a_name() {
    let read = |path: &str| match path {
        "src/lib.rs" => Some("mod a; pub use a::{X, b::Y as Z};".to_owned()),
        "src/a/mod.rs" => Some("pub mod b; pub use b::*; pub struct X;".to_owned()),
        "src/a/b.rs" => Some("pub struct Y; pub fn f() {}".to_owned()),
        _ => None,
    };
    let modules = Modules::read("src/lib.rs", Tests::LeftOut, &read);
    for path in ["a", "X", "Z", "a::b", "a::X", "a::f", "a::b::Y"] {
        assert!(modules.has(&path.split("::").collect::<Vec<_>>()), "{path}");
    }
    for path in ["b", "Y", "b::Y", "a::c", "a::c::Y", "a::b::X"] {
        assert!(!modules.has(&path.split("::").collect::<Vec<_>>()), "{path}");
    }
}
