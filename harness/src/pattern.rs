//! Patterns for names, in which `*` stands for any text.

use report::Outside;

/// A pattern that the user wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        matches(&self.0, name)
    }

    /// The pattern as the user wrote it.
    #[must_use]
    pub fn text(&self) -> Outside {
        (&self.0).into()
    }
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<&String> for Pattern {
    fn from(text: &String) -> Self {
        Self(text.clone())
    }
}

/// Whether `text` matches `pattern`, in which each `*` stands for any text.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(tail) = text.strip_prefix(head) else { return false };
    (0..=tail.len()).filter(|&i| tail.is_char_boundary(i)).any(|i| matches(rest, &tail[i..]))
}

/// Whether `name` matches one of the patterns. Without patterns, every name matches.
#[must_use]
pub fn matches_any(patterns: &[Pattern], name: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(name))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(matches("tokio*", "tokio-uring"));
        assert!(matches("*/*fin*", "tcp-half-close/echo-then-fin"));
        assert!(!matches("tokio", "tokio-uring"));
        assert!(!matches("*-echo/one", "tcp-echo/one-byte"));
    }
}
