//! Calls that come again and again, told once with how often.

use super::Call;

/// The longest sequence of calls that is looked for again right behind itself.
const LONGEST: usize = 6;
/// Fewer repeats are shown as they are.
const LEAST: usize = 3;

/// Some calls in sequence, and how often they came one after the other.
#[derive(Debug)]
pub(super) struct CallSequence<'a> {
    pub(super) times: usize,
    pub(super) steps: Vec<Step<'a>>,
}

/// A call of a sequence.
#[derive(Debug)]
pub(super) struct Step<'a> {
    pub(super) call: &'a Call,
    pub(super) who: Who,
}

/// Which thread made a call, each time that it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Always this one.
    Thread(usize),
    /// One, and then another.
    Several,
}

/// The calls as sequences, in order; what does not come again is a sequence of one call. Calls with
/// the same name and gist are the same, whichever thread makes them.
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
    Step { call, who: if same { Who::Thread(call.thread) } else { Who::Several } }
}

/// How often the first calls come one after the other, and how many they are: of all such
/// sequences the one that covers most, and of these the shortest.
fn longest_run(calls: &[Call]) -> (usize, usize) {
    let mut best = (1, 1);
    for length in 1..=LONGEST.min(calls.len()) {
        let again = calls
            .chunks_exact(length)
            .take_while(|chunk| chunk.iter().zip(calls).all(|(a, b)| is_same(a, b)));
        let times = again.count();
        if times >= LEAST && times * length > best.0 * best.1 {
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

    /// A call for each letter; its thread is 1 for capitals.
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
            let name = |step: &Step| match step.who {
                Who::Thread(0) => step.call.name.open().to_owned(),
                Who::Thread(_) => step.call.name.open().to_uppercase(),
                Who::Several => format!("{}*", step.call.name.open()),
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
