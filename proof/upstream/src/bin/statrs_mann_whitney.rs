//! statrs 0.19.1 on its own: the exact p-value of Mann and Whitney's test is wrong where the first
//! sample is the shorter one, or as long as the other: one minus the probability.
//!
//! Of 2 numbers below 3 others, as of 3 above 2 others, the one-sided probability is 1 in 10.
//!
//! Ends with 0 when the fault shows.

use std::process::ExitCode;

use statrs::stats_tests::{
    Alternative,
    mannwhitneyu::{MannWhitneyUMethod, mannwhitneyu},
};

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
