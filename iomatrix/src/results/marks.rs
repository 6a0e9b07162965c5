//! Finds out what a JSON text is, from its top-level fields. They are collected while the text is
//! read, so that the kind of a truncated text is known too. This also refuses what a parser would
//! accept silently and nobody would have meant: a field that occurs twice, and nesting without
//! limit.

use std::collections::HashSet;
use std::fmt;

use report::{Kind, Outside, outside};
use serde::Deserializer;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// How deep lists and objects may be nested. No result reaches this depth.
const MAX_DEPTH: usize = 64;

/// What a text claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    One(Kind),
    /// The documents of several files, as `iomatrix report` writes them.
    Several,
}

impl Content {
    /// The command that writes this content.
    pub(super) fn command(self) -> &'static str {
        match self {
            Self::One(kind) => kind.command(),
            Self::Several => "report",
        }
    }
}

/// The field `version` of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Version {
    #[default]
    Absent,
    Number(u64),
    /// Another value, as JSON.
    Other(Outside),
}

/// What the top-level fields of a text have shown so far.
#[derive(Debug, Default)]
pub(super) struct Marks {
    pub(super) content: Option<Content>,
    pub(super) version: Version,
    /// The documents of [`Content::Several`], with their versions.
    pub(super) inner_versions: Vec<(Kind, Version)>,
}

/// The only content with this top-level field, if there is one.
fn content_with_field(field: &str) -> Option<Content> {
    Some(Content::One(match field {
        "seed" | "profile" | "cells" => Kind::Run,
        "build" | "pinning" | "baseline" => Kind::Bench,
        "dimension" | "points" => Kind::Sweep,
        "measurements" => Kind::Load,
        "message_bytes" => Kind::Trace,
        "before" | "after" | "unpaired_before" | "unpaired_after" => Kind::Comparison,
        "sweeps" | "loads" | "traces" | "comparisons" => return Some(Content::Several),
        _ => return None,
    }))
}

/// The kind of the documents in the list of this name, in [`Content::Several`].
fn kind_of_list(list: &str) -> Option<Kind> {
    Some(match list {
        "runs" => Kind::Run,
        "benches" => Kind::Bench,
        "sweeps" => Kind::Sweep,
        "loads" => Kind::Load,
        "traces" => Kind::Trace,
        "comparisons" => Kind::Comparison,
        _ => return None,
    })
}

impl<'de> DeserializeSeed<'de> for &mut Marks {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Marks {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a result of iomatrix, which is an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            self.content = self.content.or(content_with_field(&name));
            if name == "version" {
                map.next_value_seed(VersionField(&mut self.version))?;
            } else if let Some(kind) = kind_of_list(&name) {
                map.next_value_seed(VersionList { kind, found: &mut self.inner_versions })?;
            } else {
                map.next_value_seed(AnyValue { depth: 1 })?;
            }
            expect_unique(&mut names, name)?;
        }
        Ok(())
    }
}

fn expect_unique<E: serde::de::Error>(names: &mut HashSet<String>, name: String) -> Result<(), E> {
    if names.contains(&name) {
        return Err(E::custom(format_args!("the field `{name}` stands twice in one object")));
    }
    names.insert(name);
    Ok(())
}

struct VersionField<'a>(&'a mut Version);

impl<'de> DeserializeSeed<'de> for VersionField<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let value = <Value as serde::Deserialize>::deserialize(deserializer)?;
        *self.0 =
            value.as_u64().map_or_else(|| Version::Other(outside!("{}", value)), Version::Number);
        Ok(())
    }
}

/// Reads a list of documents, and keeps their versions.
struct VersionList<'a> {
    kind: Kind,
    found: &'a mut Vec<(Kind, Version)>,
}

impl<'de> DeserializeSeed<'de> for VersionList<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for VersionList<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of results")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<(), S::Error> {
        let mut marks = Marks::default();
        while seq.next_element_seed(&mut marks)?.is_some() {
            self.found.push((self.kind, std::mem::take(&mut marks).version));
        }
        Ok(())
    }
}

/// Reads any value, and refuses duplicate fields and deep nesting.
struct AnyValue {
    depth: usize,
}

impl AnyValue {
    fn nested<E: serde::de::Error>(&self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom(format_args!(
                "more than {MAX_DEPTH} lists and objects are nested"
            )));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for AnyValue {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyValue {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            expect_unique(&mut names, name)?;
            map.next_value_seed(self.nested()?)?;
        }
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<(), S::Error> {
        while seq.next_element_seed(self.nested()?)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
