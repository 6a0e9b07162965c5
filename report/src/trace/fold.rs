//! Folds repeated calls into one sequence, with the number of repetitions.

use super::Call;

/// Repetitions of longer sequences of calls are not looked for.
const LONGEST_SEQUENCE: usize = 6;
/// Fewer repetitions are shown as they are.
const MIN_REPETITIONS: usize = 3;

/// A sequence of calls, and how many times it came consecutively.
#[derive(Debug)]
pub(super) struct CallSequence<'a> {
    pub(super) times: usize,
    pub(super) steps: Vec<Step<'a>>,
}

#[derive(Debug)]
pub(super) struct Step<'a> {
    pub(super) call: &'a Call,
    pub(super) caller: Caller,
}

/// Which thread made a call, over all repetitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// Always this thread.
    Thread(usize),
    /// Not always the same thread.
    Several,
}

/// Splits calls into sequences, in order. A call that does not repeat is a sequence of one call.
/// Calls with the same name and gist are equal, whichever thread makes them.
pub(super) fn fold(calls: &[Call]) -> Vec<CallSequence<'_>> {
    let mut sequences = Vec::new();
    let mut rest = calls;
    while !rest.is_empty() {
        let (times, length) = longest_run(rest);
        let (run, others) = rest.split_at(times * length);
        let steps = (0..length).map(|index| step(run, index, length)).collect();
        sequences.push(CallSequence { times, steps });
        rest = others;
    }
    sequences
}

fn step(run: &[Call], index: usize, length: usize) -> Step<'_> {
    let call = &run[index];
    let same = run.iter().skip(index).step_by(length).all(|other| other.thread == call.thread);
    Step { call, caller: if same { Caller::Thread(call.thread) } else { Caller::Several } }
}

/// Finds the repeated sequence at the start that covers the most calls, and the shortest if there
/// are several. Returns how many times it comes, and its length.
fn longest_run(calls: &[Call]) -> (usize, usize) {
    let mut best = (1, 1);
    for length in 1..=LONGEST_SEQUENCE.min(calls.len()) {
        let again = calls
            .chunks_exact(length)
            .take_while(|chunk| chunk.iter().zip(calls).all(|(a, b)| is_same(a, b)));
        let times = again.count();
        if times >= MIN_REPETITIONS && times * length > best.0 * best.1 {
            best = (times, length);
        }
    }
    best
}

fn is_same(a: &Call, b: &Call) -> bool {
    (&a.name, &a.gist) == (&b.name, &b.gist)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outside::Outside;

    /// One call per letter. The thread is 1 for a capital letter, and else 0.
    fn calls(names: &str) -> Vec<Call> {
        let call = |c: char| Call {
            thread: usize::from(c.is_uppercase()),
            name: c.to_lowercase().collect::<String>().into(),
            gist: Outside::default(),
        };
        names.chars().map(call).collect()
    }

    #[track_caller]
    fn assert_folds(names: &str, expected: &[(usize, &str)]) {
        let all = calls(names);
        let sequences = fold(&all);
        let names = |steps: &[Step]| -> String {
            let name = |step: &Step| match step.caller {
                Caller::Thread(0) => step.call.name.open().to_owned(),
                Caller::Thread(_) => step.call.name.open().to_uppercase(),
                Caller::Several => format!("{}*", step.call.name.open()),
            };
            steps.iter().map(name).collect()
        };
        let found: Vec<_> =
            sequences.iter().map(|sequence| (sequence.times, names(&sequence.steps))).collect();
        let expected: Vec<_> =
            expected.iter().map(|(times, names)| (*times, (*names).to_owned())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_comes_three_times_is_told_once() {
        assert_folds("errsw", &[(1, "e"), (1, "r"), (1, "r"), (1, "s"), (1, "w")]);
        assert_folds("ersrsrs", &[(1, "e"), (3, "rs")]);
        assert_folds("aaaaab", &[(5, "a"), (1, "b")]);
        assert_folds("", &[]);
    }

    #[test]
    fn threads_that_do_the_same_are_told_together() {
        assert_folds("rRr", &[(3, "r*")]);
        assert_folds("rSrSrs", &[(3, "rs*")]);
        assert_folds("RSRSRS", &[(3, "RS")]);
    }
}
