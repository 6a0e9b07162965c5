//! What Windows says about itself to a program without unsafe code: little.

use std::env;
use std::path::Path;
use std::process::Command;

use report::host::{Hint, Host};

use super::facts::Facts;

/// A program that wine brings along and Windows does not have.
const WINE_PROGRAM: &str = r"C:\windows\system32\winecfg.exe";

/// Only netsh tells, which takes a second.
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

/// Wine is not Windows: what it cannot do says nothing about a server there.
fn wine() -> Option<Hint> {
    let evidence = format!("{WINE_PROGRAM} exists");
    let hint = Hint { name: Host::WINE.into(), evidence: evidence.into() };
    Path::new(WINE_PROGRAM).exists().then_some(hint)
}

/// What `ver` prints, such as `Microsoft Windows [Version 10.0.26100.4351]`. `/d` keeps the
/// user's own start-up commands out.
fn version() -> Option<String> {
    let output = Command::new("cmd").args(["/d", "/c", "ver"]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!text.is_empty()).then_some(text)
}
