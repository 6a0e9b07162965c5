//! What Windows says about itself to a program without unsafe code: little.

use std::env;
use std::process::Command;

use super::facts::Facts;

pub(super) fn facts() -> Facts {
    Facts {
        kernel: version(),
        cpu_model: env::var("PROCESSOR_IDENTIFIER").ok(),
        ..Facts::default()
    }
}

/// What `ver` prints, such as `Microsoft Windows [Version 10.0.26100.4351]`. `/d` keeps the
/// user's own start-up commands out.
fn version() -> Option<String> {
    let output = Command::new("cmd").args(["/d", "/c", "ver"]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!text.is_empty()).then_some(text)
}
