//! An echo server that is correct by default and wrong on purpose with `--fault NAME`: the proof
//! that each case of the suites can fail. It shares no code with the backends, so that a fault can
//! sit anywhere; `fault.rs` names the faults, `hooks.rs` the points where they strike.

mod announcement;
mod capability;
mod connection;
mod datagrams;
mod fault;
mod faults;
mod hooks;
mod listener;
mod log;
mod options;
mod server;
mod start;
mod stop;

use std::io;
use std::process::ExitCode;

use clap::ValueEnum;

use crate::fault::Fault;
use crate::listener::{Bound, Name};
use crate::options::Options;
use crate::server::Server;
use crate::stop::Stop;

/// What was asked is not offered (`EX_UNAVAILABLE` of sysexits.h).
const UNAVAILABLE: u8 = 69;

fn main() -> ExitCode {
    // Without a backtrace, whose symbols would cost a second of CPU a death, a few hundred times.
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    if std::env::args_os().nth(1).is_some_and(|first| first == faults::CHILD) {
        let done = faults::be_child();
        return if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let options = match options::parse() {
        Ok(options) => options,
        Err(error) => error.exit(),
    };
    if options.list_faults {
        print!("{}", fault_list());
        return ExitCode::SUCCESS;
    }
    if let Some(reason) = options.unsupported() {
        return refuse(&options, &reason);
    }
    if let Some(end) = start::misbehave(options.fault) {
        return end;
    }
    match serve(&options) {
        Ok(end) => end,
        Err(error) => {
            log::line(format_args!("mutant: {error}"));
            start::failed(options.fault)
        }
    }
}

fn serve(options: &Options) -> io::Result<ExitCode> {
    let listeners = listener::open(options)?;
    let locks = start::lock(options, &listeners)?;
    let paths: Vec<Name> = listeners.iter().filter_map(Bound::path).map(Name::of).collect();
    start::count_starts(options, &listeners)?;
    let mut server = Server::new(options, &listeners)?;
    let stop = Stop::watch(options, server.waker()?)?;
    start::before_announcing(options.fault)?;
    announcement::print(options, &listeners)?;
    start::after_announcing(options, &listeners)?;
    server.listen(listeners)?;
    let cut = server.run(&stop)?;
    log::line(format_args!("stopped, {cut} connections cut"));
    for lock in locks {
        std::fs::remove_file(lock)?;
    }
    paths.iter().for_each(|name| name.leave(options.fault));
    Ok(stop::exit_code(options.fault))
}

/// Both signs of "not offered": the reason on standard output and the exit status.
fn refuse(options: &Options, reason: &str) -> ExitCode {
    if options.fault != Some(Fault::UnsupportedWithoutReason) {
        println!("{}", announcement::unsupported(reason));
    }
    match options.fault {
        Some(Fault::UnsupportedExits1) => ExitCode::FAILURE,
        Some(_) | None => ExitCode::from(UNAVAILABLE),
    }
}

/// One line a fault: its name and its sentence.
fn fault_list() -> String {
    let lines = Fault::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let lines = lines.map(|value| {
        let sentence = value.get_help().map(ToString::to_string).unwrap_or_default();
        format!("{:<32} {sentence}\n", value.get_name())
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_sentence() {
        for line in fault_list().lines() {
            let (name, sentence) = line.split_once(' ').unwrap();
            assert!(sentence.trim().len() > 10, "{name} has no sentence");
        }
    }

    /// Faults that a test of the harness drives, not a case.
    const OF_THE_HARNESS: [Fault; 10] = [
        Fault::NeverAnnounces,
        Fault::PrintsGarbage,
        Fault::DiesEarly,
        Fault::Hangs,
        Fault::FloodsStderr,
        Fault::FloodsClients,
        Fault::Drips,
        Fault::ClosesStreams,
        Fault::LeavesChild,
        Fault::LacksCapabilities,
    ];

    #[test]
    fn the_table_has_every_fault_and_no_other() {
        let table: toml::Table = include_str!("../mutants.toml").parse().unwrap();
        let rows = ["mutant", "odd"].map(|kind| table[kind].as_array().unwrap().clone()).concat();
        let named: Vec<Fault> = rows
            .iter()
            .map(|row| Fault::from_str(row["fault"].as_str().unwrap(), false).unwrap())
            .collect();
        for fault in Fault::value_variants() {
            let is_in_table = named.contains(fault);
            assert_eq!(is_in_table, !OF_THE_HARNESS.contains(fault), "{fault:?}");
        }
    }
}
