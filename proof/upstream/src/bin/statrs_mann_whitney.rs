//! statrs 0.19.1 on its own: the exact p-value of the Mann-Whitney U test is wrong if the first
//! sample is not longer than the second. It is one minus the right value.
//!
//! If 2 numbers are all below 3 others, the one-sided p-value is 1 in 10, and so it is if 3 numbers
//! are all above 2 others.
//!
//! Exits with 0 if the fault shows.

use std::process::ExitCode;

use statrs::stats_tests::Alternative;
use statrs::stats_tests::mannwhitneyu::{MannWhitneyUMethod, mannwhitneyu};

fn main() -> ExitCode {
    let (low, high) = ([1, 2], [3, 4, 5]);
    let exact = |x: &[i32], y: &[i32], alternative| {
        mannwhitneyu(x, y, MannWhitneyUMethod::Exact, alternative).expect("a test").1
    };
    let less = exact(&low, &high, Alternative::Less);
    let greater = exact(&high, &low, Alternative::Greater);
    println!("2 numbers are less than 3: p = {less}; 3 numbers are greater than 2: p = {greater}");
    println!("expected: 0.1 and 0.1");
    if (less - 0.1).abs() > 1e-9 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
