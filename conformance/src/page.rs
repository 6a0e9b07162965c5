//! The page of a case: why the case matters, what it sends and expects, where readiness and
//! completion differ, and public bugs that it would have caught. The texts are in
//! `conformance/pages/SUITE.toml`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use report::host::{group_digits, size};
use serde::{Deserialize, Deserializer};

use crate::case::{Case, Suite};
use crate::profile::Profile;
use crate::suites;

/// The file of each suite at build time.
macro_rules! files {
    ($($suite:literal),* $(,)?) => {
        [$(($suite, include_str!(concat!("../pages/", $suite, ".toml")))),*]
    };
}

const FILES: [(&str, &str); 19] = files![
    "tcp-echo",
    "tcp-content",
    "tcp-large",
    "tcp-half-close",
    "tcp-reset",
    "tcp-close",
    "tcp-backpressure",
    "tcp-accept",
    "tcp-concurrency",
    "udp",
    "unix",
    "unixdg",
    "ip6",
    "endurance",
    "fair",
    "idle",
    "res",
    "shutdown",
    "life",
];

/// What a reader needs to know about a case beyond its requirement. Each text is one paragraph.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct CasePage {
    #[serde(deserialize_with = "paragraph")]
    pub why: String,
    /// What the client does. Sizes are those of profile `default`, or of `full` if only `full` runs
    /// the case.
    #[serde(deserialize_with = "paragraph")]
    pub sent: String,
    /// What the client must see, with the limits.
    #[serde(deserialize_with = "paragraph")]
    pub expected: String,
    /// How readiness and completion designs differ here, if they do.
    #[serde(default, deserialize_with = "some_paragraph")]
    pub differs: Option<String>,
    /// Public bugs of the kind that the case catches.
    #[serde(default)]
    pub bugs: Vec<Bug>,
    /// What the sizes in the case's table row count or measure, if it has sizes: a noun, such as
    /// "resets".
    pub size: Option<String>,
    /// The unit of the sizes, if the case has any.
    #[serde(skip)]
    pub unit: Option<Unit>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub struct Bug {
    /// `repo#n` or `repo COMMIT`.
    pub citation: String,
    /// What went wrong.
    pub fault: String,
}

/// The unit of a case's sizes. The placeholder in the page's texts selects it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Whatever the page says: rounds, connections.
    Count,
    Bytes,
    /// Milliseconds.
    Time,
}

/// What is wrong with the pages, and in which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CasePageError {
    /// `FILES` lacks the file of a suite.
    Unlisted {
        suite: &'static str,
    },
    /// A file is not a table of pages.
    Syntax {
        suite: &'static str,
        /// The message names the line.
        error: toml::de::Error,
    },
    NoPage {
        suite: &'static str,
        case: &'static str,
    },
    /// A page has a name that no case has.
    NoCase {
        suite: &'static str,
        page: String,
    },
    /// The placeholders of a page do not fit the sizes of its case.
    Placeholder {
        suite: &'static str,
        case: &'static str,
        error: PlaceholderError,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlaceholderError {
    /// The case has sizes but the page has no placeholder.
    Missing,
    /// The case has sizes but the page does not say what they count or measure.
    Unnamed,
    /// The page has a placeholder, or names the size, but the case has no sizes.
    Sizeless(&'static str),
    /// The page has placeholders of several units.
    Several,
    /// A text has a placeholder that does not exist.
    Unknown {
        /// The whole text.
        text: String,
    },
}

/// A text that does not cite a public bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BugError {
    text: String,
}

/// The names of a suite and of a case.
type Id = (&'static str, &'static str);
type CasePages = BTreeMap<Id, CasePage>;

impl CasePage {
    /// The page of a case, with its placeholders filled in.
    ///
    /// # Errors
    /// The first error in any page, or [`CasePageError::NoPage`].
    pub fn find(suite: &Suite, case: &Case) -> Result<&'static Self, CasePageError> {
        static PAGES: LazyLock<Result<CasePages, CasePageError>> = LazyLock::new(load);
        let pages = PAGES.as_ref().map_err(CasePageError::clone)?;
        let page = pages.get(&(suite.name, case.name));
        page.ok_or(CasePageError::NoPage { suite: suite.name, case: case.name })
    }

    /// The size of the case in each profile, if it has sizes.
    #[must_use]
    pub fn sizes(&self, case: &Case) -> Option<String> {
        let (unit, noun) = (self.unit?, self.size.as_ref()?);
        if case.smallest_profile == Profile::Full {
            return Some(format!(
                "{} in full only ({noun})",
                unit.amount(case.sizes.for_profile(Profile::Full))
            ));
        }
        // Adjacent profiles with the same size share it: "500 in quick and default, 5,000 in full".
        let sizes: Vec<String> = Profile::ALL
            .chunk_by(|a, b| case.sizes.for_profile(*a) == case.sizes.for_profile(*b))
            .map(|profiles| {
                let amount = unit.amount(case.sizes.for_profile(profiles[0]));
                let names: Vec<&str> = profiles.iter().map(|profile| profile.name()).collect();
                match names.len() {
                    3 => format!("{amount} in every profile"),
                    _ => format!("{amount} in {}", names.join(" and ")),
                }
            })
            .collect();
        Some(format!("{} ({noun})", sizes.join(", ")))
    }

    /// Replaces the placeholders by the size of the case.
    fn with_sizes(mut self, case: &Case) -> Result<Self, PlaceholderError> {
        let has_size = Profile::ALL.iter().any(|profile| case.sizes.for_profile(*profile) > 0);
        let own = [&mut self.why, &mut self.sent, &mut self.expected];
        let mut texts: Vec<&mut String> = own.into_iter().chain(&mut self.differs).collect();
        let mut written = Unit::ALL.to_vec();
        written.retain(|unit| texts.iter().any(|text| text.contains(unit.placeholder())));
        let unit = match (written.as_slice(), has_size) {
            ([], false) => None,
            ([unit], true) => Some(*unit),
            ([], true) => return Err(PlaceholderError::Missing),
            ([unit, ..], false) => return Err(PlaceholderError::Sizeless(unit.placeholder())),
            ([_, _, ..], true) => return Err(PlaceholderError::Several),
        };
        if has_size != self.size.is_some() {
            let error = PlaceholderError::Sizeless("size");
            return Err(if has_size { PlaceholderError::Unnamed } else { error });
        }
        if let Some(unit) = unit {
            let amount =
                unit.amount(case.sizes.for_profile(case.smallest_profile.max(Profile::Default)));
            for text in &mut texts {
                **text = text.replace(unit.placeholder(), &amount);
            }
        }
        if let Some(text) = texts.iter().find(|text| text.contains(['{', '}'])) {
            return Err(PlaceholderError::Unknown { text: (*text).clone() });
        }
        self.unit = unit;
        Ok(self)
    }
}

impl Unit {
    const ALL: [Self; 3] = [Self::Count, Self::Bytes, Self::Time];

    /// The text in a page that stands for the size.
    fn placeholder(self) -> &'static str {
        match self {
            Self::Count => "{count}",
            Self::Bytes => "{bytes}",
            Self::Time => "{time}",
        }
    }

    /// A size as text: `1,000`, `64 KiB`, `1.5 s`.
    #[must_use]
    pub fn amount(self, amount: u64) -> String {
        match self {
            Self::Count => group_digits(amount),
            Self::Bytes => size(amount),
            Self::Time if amount >= 1000 && amount.is_multiple_of(100) => {
                format!("{} s", amount as f64 / 1000.0)
            }
            Self::Time => format!("{amount} ms"),
        }
    }
}

impl TryFrom<String> for Bug {
    type Error = BugError;

    fn try_from(text: String) -> Result<Self, BugError> {
        match text.split_once(": ") {
            Some((citation, fault)) if is_citation(citation) && !fault.trim().is_empty() => {
                Ok(Self { citation: citation.to_owned(), fault: fault.trim().to_owned() })
            }
            _ => Err(BugError { text }),
        }
    }
}

/// Whether it is `repo#n`, `owner/repo#n`, `repo COMMIT` or `owner/repo COMMIT`.
fn is_citation(text: &str) -> bool {
    let is_repository = |name: &str| {
        let mut parts = name.split('/');
        parts.clone().count() <= 2
            && parts.all(|part| {
                !part.is_empty()
                    && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            })
    };
    let is_commit = |hash: &str| {
        let is_hexadecimal = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        (7..=40).contains(&hash.len()) && hash.chars().all(is_hexadecimal)
    };
    match (text.split_once('#'), text.split_once(' ')) {
        (Some((name, number)), None) => is_repository(name) && number.parse::<u32>().is_ok(),
        (None, Some((name, hash))) => is_repository(name) && is_commit(hash),
        (Some(_), Some(_)) | (None, None) => false,
    }
}

fn load() -> Result<CasePages, CasePageError> {
    let mut pages = CasePages::new();
    for suite in suites::ALL {
        let Suite { name: suite, cases, .. } = suite;
        let text = FILES.iter().find(|(name, _)| name == suite).map(|(_, text)| *text);
        let text = text.ok_or(CasePageError::Unlisted { suite })?;
        let mut written = parse(text).map_err(|error| CasePageError::Syntax { suite, error })?;
        for case in *cases {
            let Some(page) = written.remove(case.name) else { continue };
            let wrong = |error| CasePageError::Placeholder { suite, case: case.name, error };
            pages.insert((*suite, case.name), page.with_sizes(case).map_err(wrong)?);
        }
        if let Some(page) = written.into_keys().next() {
            return Err(CasePageError::NoCase { suite, page });
        }
    }
    Ok(pages)
}

fn parse(text: &str) -> Result<BTreeMap<String, CasePage>, toml::de::Error> {
    toml::from_str(text)
}

fn path(suite: &str) -> String {
    format!("conformance/pages/{suite}.toml")
}

impl std::error::Error for CasePageError {}

impl fmt::Display for CasePageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlisted { suite } => {
                write!(f, "{} is not in the list of conformance::page", path(suite))
            }
            Self::Syntax { suite, error } => write!(f, "{}: {error}", path(suite)),
            Self::NoPage { suite, case } => {
                write!(f, "{} has no page [{case}]: add why, sent and expected", path(suite))
            }
            Self::NoCase { suite, page } => {
                let path = path(suite);
                write!(f, "{path} has a page [{page}], but the suite has no such case")
            }
            Self::Placeholder { suite, case, error } => {
                write!(f, "{} [{case}]: {error}", path(suite))
            }
        }
    }
}

impl std::error::Error for PlaceholderError {}

impl fmt::Display for PlaceholderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Unit::ALL.map(Unit::placeholder).join(", ");
        match self {
            Self::Missing => {
                write!(f, "the case has sizes: write one of {known} where it is meant")
            }
            Self::Unnamed => {
                write!(f, "the case has sizes: write what they count or measure, size = \"resets\"")
            }
            Self::Sizeless(place) => write!(f, "{place} in a case without sizes"),
            Self::Several => write!(f, "a case has one size, not two of {known}"),
            Self::Unknown { text } => {
                write!(f, "a placeholder that is none of {known}, in '{text}'")
            }
        }
    }
}

impl std::error::Error for BugError {}

impl fmt::Display for BugError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text } = self;
        write!(
            f,
            "a bug is 'repo#n: what went wrong' or 'repo COMMIT: what went wrong', not '{text}'"
        )
    }
}

/// A text without the line breaks of its file.
fn paragraph<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn some_paragraph<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    paragraph(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The longest text in characters. A page must be readable at a glance in a terminal.
    const LONGEST: usize = 600;

    fn flaws(page: &CasePage) -> Vec<String> {
        let texts = [&page.why, &page.sent, &page.expected].into_iter().chain(&page.differs);
        texts
            .chain(page.bugs.iter().map(|bug| &bug.fault))
            .filter(|text| text.is_empty() || text.chars().count() > LONGEST)
            .map(|text| format!("empty, or more than {LONGEST} characters: '{text}'"))
            .collect()
    }

    #[test]
    fn every_case_has_a_page_and_every_page_a_case() {
        let names: Vec<&str> = suites::ALL.iter().map(|suite| suite.name).collect();
        assert_eq!(FILES.map(|(suite, _)| suite).as_slice(), names);
        for suite in suites::ALL {
            for case in suite.cases {
                let page = CasePage::find(suite, case).unwrap_or_else(|e| panic!("{e}"));
                let flaws = flaws(page);
                assert!(flaws.is_empty(), "{}/{}: {flaws:?}", suite.name, case.name);
            }
        }
    }

    #[test]
    fn a_size_is_filled_in_and_names_its_unit() {
        let page = |sent: &str| {
            let text =
                format!("[x]\nsize = 'rounds'\nwhy = 'w'\nsent = '''{sent}'''\nexpected = 'e'");
            parse(&text).unwrap().remove("x").unwrap()
        };
        let case = Case::must("x", "").sizes(500, 65_536, 1_000_000);
        let filled = page("sends\n  {bytes} bytes").with_sizes(&case).unwrap();
        assert_eq!(filled.sent, "sends 64 KiB bytes");
        let sizes = filled.sizes(&case).unwrap();
        assert_eq!(sizes, "500 bytes in quick, 64 KiB in default, 976.5 KiB in full (rounds)");
        let sizes = |quick, default, full| {
            let case = Case::must("x", "").sizes(quick, default, full);
            page("{count}").with_sizes(&case).unwrap().sizes(&case).unwrap()
        };
        assert_eq!(sizes(1, 2, 2), "1 in quick, 2 in default and full (rounds)");
        assert_eq!(sizes(2, 2, 2), "2 in every profile (rounds)");
        let refusal =
            |sent: &str, case: &Case| page(sent).with_sizes(case).unwrap_err().to_string();
        assert!(refusal("{bytes} {time}", &case).contains("one size"));
        assert!(refusal("{bytes} {size}", &case).contains("none of {count}, {bytes}, {time}"));
        assert!(refusal("nothing", &case).contains("the case has sizes"));
        assert!(refusal("{count}", &Case::must("x", "")).contains("{count} in a case without"));
        assert!(refusal("nothing", &Case::must("x", "")).contains("size in a case without"));
        let unnamed = CasePage { size: None, ..page("{count}") }.with_sizes(&case).unwrap_err();
        assert!(unnamed.to_string().contains("count or measure"));
        assert_eq!(Unit::Time.amount(1_500), "1.5 s");
        assert_eq!(Unit::Time.amount(50_000), "50 s");
        assert_eq!(Unit::Time.amount(300), "300 ms");
        assert_eq!(Unit::Count.amount(5_000), "5,000");
    }

    #[test]
    fn a_bug_is_cited_by_number_or_commit() {
        let bug = |text: &str| Bug::try_from(text.to_owned());
        let spin = bug("netty#7801: spin: always").unwrap();
        assert_eq!((spin.citation.as_str(), spin.fault.as_str()), ("netty#7801", "spin: always"));
        for right in ["joyent/libuv#690", "uvloop 6476aad", "tiny-http#283"] {
            assert!(is_citation(right), "{right}");
        }
        for wrong in ["netty", "netty#", "netty#7801 and more", "#7801", "uvloop master", "a/b/c#1"]
        {
            assert!(!is_citation(wrong), "{wrong}");
        }
        assert!(bug("netty#7801").unwrap_err().to_string().contains("not 'netty#7801'"));
        assert!(bug("netty#7801: ").is_err());
    }
}
