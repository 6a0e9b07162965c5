//! Prints the floor alone: `floor CONNECTIONS BYTES ROUNDS` prints the CPU nanoseconds per message,
//! as `ci/yardstick/floor.c` does, with which it is compared.

use std::process::ExitCode;

fn main() -> ExitCode {
    let numbers: Vec<usize> = std::env::args().skip(1).flat_map(|text| text.parse()).collect();
    let [connections, bytes, rounds] = numbers.as_slice() else {
        eprintln!("floor CONNECTIONS BYTES ROUNDS");
        return ExitCode::from(2);
    };
    match loadgen::floor_ns(*connections, *bytes, *rounds) {
        Ok(nanoseconds) => {
            println!("{nanoseconds:.0}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("floor: {error}");
            ExitCode::FAILURE
        }
    }
}
