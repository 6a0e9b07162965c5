//! Groups strace's lines into requests: decides which calls belong to which request.

use report::trace::{Call, Request};

use super::gist::gist;
use super::lines::{StraceCall, parse};
use super::rings::{RingReading, operations};

/// A moment at which the server was at rest.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    /// Length of strace's file at that moment, in bytes.
    pub(super) at: usize,
    /// The counters of the server's rings at that moment.
    pub(super) rings: RingReading,
}

/// The requests between one mark and the next.
pub(super) fn requests(output: &[u8], marks: &[Mark]) -> Vec<Request> {
    let end = marks.last().map_or(0, |mark| mark.at);
    let lines = parse(&output[..end.min(output.len())]);
    let mut threads = Vec::new();
    marks.windows(2).map(|pair| request(&lines, &pair[0], &pair[1], &mut threads)).collect()
}

/// Collects the calls of one request. A call belongs to the request in which it returned. If it
/// began earlier, its place is where it resumed, otherwise where it began. Within a thread this is
/// the order of the calls, and a call that wakes another thread precedes what that thread does
/// next.
fn request(lines: &[StraceCall], from: &Mark, to: &Mark, threads: &mut Vec<u32>) -> Request {
    let within = |place: usize| from.at <= place && place < to.at;
    let mut returned: Vec<(usize, &StraceCall)> = Vec::new();
    let mut waiting = Vec::new();
    for line in lines {
        match &line.end {
            Some(end) if from.at < end.at && end.at <= to.at => {
                let began_within = within(line.start);
                let place = if began_within { line.start } else { end.resumed.max(from.at) };
                returned.push((place, line));
            }
            end if within(line.start) && end.as_ref().is_none_or(|end| end.at > to.at) => {
                waiting.push(line);
            }
            Some(_) | None => {}
        }
    }
    returned.sort_by_key(|(place, _)| *place);
    let mut call = |line: &StraceCall| Call {
        thread: threads.iter().position(|known| *known == line.thread).unwrap_or_else(|| {
            threads.push(line.thread);
            threads.len() - 1
        }),
        name: line.name.clone().into(),
        gist: gist(line).into(),
    };
    let calls = returned.into_iter().map(|(_, line)| call(line)).collect();
    // The request ended before the call returned.
    let unfinished = |line: &&StraceCall| StraceCall { end: None, ..(*line).clone() };
    let waiting = waiting.iter().map(unfinished).map(|line| call(&line)).collect();
    Request { calls, waiting, operations: operations(&from.rings, &to.rings) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use report::outside;
    use report::trace::Operations;

    use super::*;

    /// `|` marks where the server was at rest.
    fn requests_of(output: &str) -> Vec<Request> {
        let places: Vec<usize> = output.match_indices('|').map(|(at, _)| at).collect();
        let marks: Vec<Mark> = places
            .iter()
            .enumerate()
            .map(|(before, at)| Mark { at: at - before, rings: Ok(BTreeMap::new()) })
            .collect();
        requests(output.replace('|', "").as_bytes(), &marks)
    }

    fn words(calls: &[Call]) -> Vec<String> {
        calls
            .iter()
            .map(|call| outside!("{} {} {}", call.thread, call.name, call.gist).on_terminal())
            .collect()
    }

    #[test]
    fn a_call_that_waited_belongs_to_the_request_that_woke_it() {
        let found = requests_of(
            "5 epoll_wait(4, [...], 8, -1) = 1\n\
             5 epoll_wait(4, |[...], 8, -1) = 1\n\
             5 recvfrom(7, \"\"..., 64, 0, NULL, NULL) = 64\n\
             5 sendto(7, \"\"..., 64, 0, NULL, 0) = 64\n\
             5 epoll_wait(4, |[...], 8, -1) = 1\n\
             5 close(7) = 0\n",
        );
        assert_eq!(found.len(), 1);
        let expected =
            ["0 epoll_wait -> 1 event", "0 recvfrom -> 64 bytes", "0 sendto -> 64 bytes"];
        assert_eq!(words(&found[0].calls), expected);
        assert_eq!(words(&found[0].waiting), ["0 epoll_wait "]);
        assert_eq!(found[0].operations, Operations::NoRing);
    }

    #[test]
    fn what_wakes_comes_before_what_is_woken() {
        let found = requests_of(
            "71 futex(0x5, FUTEX_WAIT_PRIVATE, 3, NULL <unfinished ...>\n\
             70 epoll_wait(4, |[...], 8, -1) = 1\n\
             70 futex(0x5, FUTEX_WAKE_PRIVATE, 1 <unfinished ...>\n\
             71 <... futex resumed>) = 0\n\
             70 <... futex resumed>) = 1\n\
             71 recvfrom(7, \"\"..., 64, 0, NULL, NULL) = 64\n\
             70 epoll_wait(4,  <unfinished ...>\n\
             71 sendto(7, \"\"..., 64, 0, NULL, 0) = 64\n\
             71 futex(0x5, FUTEX_WAIT_PRIVATE, 3, NULL|",
        );
        let expected = [
            "0 epoll_wait -> 1 event",
            "0 futex wake 1 -> 1 thread",
            "1 futex wait -> woken",
            "1 recvfrom -> 64 bytes",
            "1 sendto -> 64 bytes",
        ];
        assert_eq!(words(&found[0].calls), expected);
        assert_eq!(words(&found[0].waiting), ["0 epoll_wait ", "1 futex wait"]);
    }

    #[test]
    fn a_thread_that_sleeps_through_a_request_is_not_in_it() {
        let found =
            requests_of("9 futex(0x1, FUTEX_WAIT, 2, NULL|<unfinished ...>\n5 gettid() = 5\n|");
        assert_eq!(words(&found[0].calls), ["0 gettid -> 5"]);
        assert!(found[0].waiting.is_empty());
    }
}
