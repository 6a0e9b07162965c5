//! How thorough a check is, and the size of each case that follows from it.

use std::str::FromStr;
use std::time::Duration;

use report::UnknownWord;

/// The size of a case in each profile.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    quick: u64,
    default: u64,
    full: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// About ten seconds per server.
    Quick,
    /// What `cargo test` runs.
    Default,
    /// The counts of the catalogue.
    Full,
}

impl Sizes {
    #[must_use]
    pub const fn new(quick: u64, default: u64, full: u64) -> Self {
        Self { quick, default, full }
    }

    #[must_use]
    pub fn for_profile(self, profile: Profile) -> u64 {
        match profile {
            Profile::Quick => self.quick,
            Profile::Default => self.default,
            Profile::Full => self.full,
        }
    }
}

impl Profile {
    /// From the smallest to the largest.
    pub const ALL: [Self; 3] = [Self::Quick, Self::Default, Self::Full];

    /// The longest that a cell may take on an idle host, whatever progress it makes.
    #[must_use]
    pub fn cell_limit(self) -> Duration {
        Duration::from_secs(if self == Self::Full { 300 } else { 40 })
    }

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
