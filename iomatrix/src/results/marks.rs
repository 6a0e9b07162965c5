//! What a JSON text is, told by the fields at its top. They are collected while it is read, so that
//! a text that ends too early has told by then what it was to become. What a parser would take
//! silently, and a person would not have meant, is refused here: a field that stands twice, and
//! lists in lists without end.

use std::collections::HashSet;
use std::fmt;

use report::{Kind, Outside, outside};
use serde::Deserializer;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// More than this many lists and objects inside each other are in no result.
const DEEPEST: usize = 64;

/// What a text is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A document.
    One(Kind),
    /// All documents that `iomatrix report` has read.
    Several,
}

impl Content {
    /// The command that writes it.
    pub(super) fn command(self) -> &'static str {
        match self {
            Self::One(kind) => kind.command(),
            Self::Several => "report",
        }
    }
}

/// What a document says of its version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Version {
    #[default]
    Absent,
    Number(u64),
    /// Something else, as JSON.
    Other(Outside),
}

/// What the fields at the top of a document have told.
#[derive(Debug, Default)]
pub(super) struct Marks {
    pub(super) content: Option<Content>,
    pub(super) version: Version,
    /// Of [`Content::Several`], the documents with their versions.
    pub(super) inside: Vec<(Kind, Version)>,
}

/// What alone has this field at its top, if anything does.
fn content_with(field: &str) -> Option<Content> {
    Some(Content::One(match field {
        "seed" | "profile" | "cells" => Kind::Run,
        "build" | "pinning" | "baseline" => Kind::Bench,
        "dimension" | "points" => Kind::Sweep,
        "measurements" => Kind::Load,
        "message_bytes" => Kind::Trace,
        "before" | "after" | "unpaired" => Kind::Comparison,
        "sweeps" | "loads" | "traces" | "comparisons" => return Some(Content::Several),
        _ => return None,
    }))
}

/// What the documents are that are a list of this name in [`Content::Several`].
fn kind_in(list: &str) -> Option<Kind> {
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
            self.content = self.content.or(content_with(&name));
            if name == "version" {
                map.next_value_seed(VersionField(&mut self.version))?;
            } else if let Some(kind) = kind_in(&name) {
                map.next_value_seed(Inside { kind, found: &mut self.inside })?;
            } else {
                map.next_value_seed(Plain { depth: 1 })?;
            }
            expect_new(&mut names, name)?;
        }
        Ok(())
    }
}

fn expect_new<E: serde::de::Error>(names: &mut HashSet<String>, name: String) -> Result<(), E> {
    if names.contains(&name) {
        return Err(E::custom(format_args!("the field `{name}` stands twice in one object")));
    }
    names.insert(name);
    Ok(())
}

/// The value of a field `version`.
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

/// A list of documents, of which the versions are kept.
struct Inside<'a> {
    kind: Kind,
    found: &'a mut Vec<(Kind, Version)>,
}

impl<'de> DeserializeSeed<'de> for Inside<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Inside<'_> {
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

/// Any value, to be looked at for what no result has.
struct Plain {
    depth: usize,
}

impl Plain {
    fn inner<E: serde::de::Error>(&self) -> Result<Self, E> {
        if self.depth == DEEPEST {
            return Err(E::custom(format_args!(
                "more than {DEEPEST} lists and objects are nested"
            )));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Plain {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Plain {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            expect_new(&mut names, name)?;
            map.next_value_seed(self.inner()?)?;
        }
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<(), S::Error> {
        while seq.next_element_seed(self.inner()?)?.is_some() {}
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
