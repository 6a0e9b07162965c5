//! Result files of all commands: found in a folder, and told apart by what is in them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use report::Run;
use report::bench::{self, Bench};
use report::load::{self, LoadResult};
use report::run;
use report::sweep::{self, Sweep};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What a JSON file holds.
pub(crate) enum Document {
    /// Of `iomatrix check`.
    Run(Box<Run>),
    /// Of `iomatrix bench`.
    Bench(Box<Bench>),
    /// Of `iomatrix sweep`.
    Sweep(Box<Sweep>),
    /// Of `iomatrix load`.
    Load(Box<LoadResult>),
    /// Something else, and what to say of it.
    Other(String),
}

/// The file itself, or every .json file below a directory, sorted.
pub(crate) fn result_files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    let entries =
        std::fs::read_dir(path).with_context(|| format!("read directory {}", path.display()))?;
    for entry in entries {
        let entry = entry?.path();
        if entry.is_dir() {
            // Downloaded artifacts lie one directory deeper, each in a folder of its name.
            files.extend(result_files(&entry)?);
        } else if entry.extension().is_some_and(|extension| extension == "json") {
            files.push(entry);
        }
    }
    files.sort();
    Ok(files)
}

/// Reads a file, and tells what it is by a field that only one kind of document has.
///
/// # Errors
/// A sentence that names the file: it cannot be read, or another version has written it.
pub(crate) fn read(path: &Path) -> Result<Document, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|e| format!("read {shown}: {e}"))?;
    let Ok(value) = serde_json::from_str::<Value>(&text) else {
        return Ok(Document::Other(format!("{shown} is no JSON")));
    };
    let has = |field: &str| value.get(field).is_some();
    Ok(if has("cells") {
        Document::Run(Box::new(typed(value, path, run::FORMAT_VERSION)?))
    } else if has("baseline") {
        Document::Bench(Box::new(typed(value, path, bench::FORMAT_VERSION)?))
    } else if has("dimension") {
        Document::Sweep(Box::new(typed(value, path, sweep::FORMAT_VERSION)?))
    } else if has("measurements") {
        Document::Load(Box::new(typed(value, path, load::FORMAT_VERSION)?))
    } else {
        Document::Other(format!("{shown} is no result"))
    })
}

fn typed<T: DeserializeOwned>(value: Value, path: &Path, reads: u32) -> Result<T, String> {
    let version = value.get("version").and_then(Value::as_u64);
    if version != Some(reads.into()) {
        let version = version.map_or_else(|| "no version".to_owned(), |v| format!("format {v}"));
        return Err(format!("{} has {version}, this program reads {reads}", path.display()));
    }
    serde_json::from_value(value).map_err(|e| format!("{} is no result: {e}", path.display()))
}
