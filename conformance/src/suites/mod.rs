//! The suites: one file each, its table of cases at the top.

mod tcp_echo;
mod tcp_half_close;

use crate::case::Suite;

/// Every suite, in the order of the matrix.
pub const ALL: &[&Suite] = &[&tcp_echo::SUITE, &tcp_half_close::SUITE];
