//! What a JSON text is, told by the fields at its top. They are collected while it is read, so that
//! a text that ends too early has told by then what it was to become.

use std::fmt;

use report::Kind;
use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};

/// What the fields at the top of a document have told.
#[derive(Debug, Default)]
pub(super) struct Marks {
    pub(super) kind: Option<Kind>,
    pub(super) version: Option<u64>,
}

/// The only kind that has this field at its top, if there is one.
fn kind_with(field: &str) -> Option<Kind> {
    Some(match field {
        "seed" | "profile" | "cells" => Kind::Run,
        "build" | "pinning" | "baseline" => Kind::Bench,
        "dimension" | "points" => Kind::Sweep,
        "measurements" => Kind::Load,
        "message_bytes" => Kind::Trace,
        "before" | "after" | "unpaired" => Kind::Comparison,
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
        while let Some(name) = map.next_key::<String>()? {
            self.kind = self.kind.or(kind_with(&name));
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
