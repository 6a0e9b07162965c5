//! What a JSON text is, told by the fields at its top. They are collected while it is read, so that
//! a text that ends too early has told by then what it was to become.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};

/// The commands that write documents, and what tells each of those from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Check,
    Bench,
    Sweep,
    Load,
    Trace,
    Compare,
    Doctor,
    List,
}

/// What the fields at the top of a document have told.
#[derive(Debug, Default)]
pub(super) struct Marks {
    pub(super) kind: Option<Kind>,
    pub(super) version: Option<u64>,
}

impl Kind {
    /// The name of the command.
    pub(crate) fn command(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Bench => "bench",
            Self::Sweep => "sweep",
            Self::Load => "load",
            Self::Trace => "trace",
            Self::Compare => "compare",
            Self::Doctor => "doctor",
            Self::List => "list",
        }
    }

    /// The only kind that has this field at its top, if there is one.
    fn with_field(name: &str) -> Option<Self> {
        Some(match name {
            "seed" | "profile" | "cells" => Self::Check,
            "build" | "pinning" | "baseline" => Self::Bench,
            "dimension" | "points" => Self::Sweep,
            "measurements" => Self::Load,
            "message_bytes" => Self::Trace,
            "before" | "after" => Self::Compare,
            "drivers" | "counters" => Self::Doctor,
            "suites" => Self::List,
            _ => return None,
        })
    }
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
        while let Some(name) = map.next_key::<String>()? {
            self.kind = self.kind.or(Kind::with_field(&name));
            if name == "version" {
                let version: serde_json::Value = map.next_value()?;
                self.version = version.as_u64();
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}
