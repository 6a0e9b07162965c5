//! The little that Windows reports about itself to a program without unsafe code.

use std::env;
use std::path::Path;
use std::process::Command;

use report::host::{Hint, Host};

use super::facts::Facts;

/// A program that wine has and Windows does not.
const WINE_PROGRAM: &str = r"C:\windows\system32\winecfg.exe";

/// Only netsh reports them, and it takes 1 s.
pub(super) fn ephemeral_ports() -> Option<(u16, u16)> {
    None
}

pub(super) fn facts() -> Facts {
    Facts {
        kernel: version(),
        cpu_model: env::var("PROCESSOR_IDENTIFIER").ok(),
        virtualisation: wine(),
        ..Facts::default()
    }
}

/// Wine is not Windows: what wine cannot do says nothing about a server on Windows.
fn wine() -> Option<Hint> {
    let evidence = format!("{WINE_PROGRAM} exists");
    let hint = Hint { name: Host::WINE.into(), evidence: evidence.into() };
    Path::new(WINE_PROGRAM).exists().then_some(hint)
}

/// The output of `ver`, such as `Microsoft Windows [Version 10.0.26100.4351]`. `/d` keeps the
/// user's own start-up commands from running.
fn version() -> Option<String> {
    let output = Command::new("cmd").args(["/d", "/c", "ver"]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!text.is_empty()).then_some(text)
}
