//! Patterns for names, in which `*` stands for any text.

/// Whether `text` is `pattern`, in which each `*` stands for any text.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(tail) = text.strip_prefix(head) else { return false };
    (0..=tail.len()).filter(|&i| tail.is_char_boundary(i)).any(|i| matches(rest, &tail[i..]))
}

/// Whether `text` matches one of the patterns, or there are none.
#[must_use]
pub fn matches_any(patterns: &[String], text: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern, text))
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
