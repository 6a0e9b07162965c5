//! How thorough a check is, and how large each case then is.

use std::str::FromStr;
use std::time::Duration;

use report::UnknownWord;

/// A case's size in each profile.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    quick: u64,
    default: u64,
    full: u64,
}

/// How much a check does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// About ten seconds a server.
    Quick,
    /// What `cargo test` runs.
    Default,
    /// The catalogue's counts.
    Full,
}

impl Sizes {
    /// The sizes in `quick`, `default` and `full`.
    #[must_use]
    pub const fn new(quick: u64, default: u64, full: u64) -> Self {
        Self { quick, default, full }
    }

    /// The size for a profile.
    #[must_use]
    pub fn of(self, profile: Profile) -> u64 {
        match profile {
            Profile::Quick => self.quick,
            Profile::Default => self.default,
            Profile::Full => self.full,
        }
    }
}

impl Profile {
    /// Every profile, the smallest first.
    pub const ALL: [Self; 3] = [Self::Quick, Self::Default, Self::Full];

    /// No cell takes longer, whatever progress it makes.
    #[must_use]
    pub fn cell_limit(self) -> Duration {
        Duration::from_secs(if self == Self::Full { 300 } else { 40 })
    }

    /// `quick`, `default` or `full`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Default => "default",
            Self::Full => "full",
        }
    }
}

impl FromStr for Profile {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let found = Self::ALL.into_iter().find(|profile| profile.name() == text);
        found.ok_or_else(|| UnknownWord::new(text, "profile", Self::ALL.map(Self::name)))
    }
}
