//! Parses what strace writes with `-f -o FILE` into calls. strace writes the beginning of a call
//! before it lets the thread enter the kernel, and the rest when the thread is back. So the length
//! of the file at some moment shows which calls had begun and which had returned, without any
//! clock.

use std::collections::BTreeMap;

/// One call of a thread, with its positions in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StraceCall {
    pub(super) thread: u32,
    pub(super) name: String,
    /// The arguments as strace wrote them, as far as they are known.
    pub(super) arguments: String,
    /// Position at which the line begins.
    pub(super) start: usize,
    /// How the call returned; `None` if it has not.
    pub(super) end: Option<Return>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Return {
    /// The text after `=`.
    pub(super) result: String,
    /// Position at which the line begins on which the call returned.
    pub(super) resumed: usize,
    /// Position at which that line ends.
    pub(super) at: usize,
}

const UNFINISHED: &str = "<unfinished ...>";

/// All calls, in the order in which they began.
pub(super) fn parse(output: &[u8]) -> Vec<StraceCall> {
    let mut calls: Vec<StraceCall> = Vec::new();
    // The index of the call in which each thread is.
    let mut open: BTreeMap<u32, usize> = BTreeMap::new();
    let mut at = 0;
    for bytes in output.split_inclusive(|&byte| byte == b'\n') {
        let start = at;
        at += bytes.len();
        let text = String::from_utf8_lossy(bytes);
        let Some((thread, text)) = split_thread(&text) else { continue };
        if let Some(rest) = split_resumed(text) {
            let Some(index) = open.remove(&thread) else { continue };
            let call = &mut calls[index];
            let (arguments, result) = split_result(rest);
            call.arguments.push_str(arguments);
            call.end =
                result.map(|result| Return { result: result.to_owned(), resumed: start, at });
        } else if let Some((name, rest)) = split_call_start(text) {
            let (arguments, result) = match rest.trim_end().strip_suffix(UNFINISHED) {
                Some(arguments) => (arguments.trim_end(), None),
                None => split_result(rest),
            };
            if result.is_none() {
                open.insert(thread, calls.len());
            }
            let end = result.map(|result| Return { result: result.to_owned(), resumed: start, at });
            let (name, arguments) = (name.to_owned(), arguments.to_owned());
            calls.push(StraceCall { thread, name, arguments, start, end });
        }
    }
    calls
}

/// The process that made the first call. It is the server, because strace starts it.
pub(super) fn first_thread(output: &[u8]) -> Option<u32> {
    let line = output.split(|&byte| byte == b'\n').next()?;
    split_thread(&String::from_utf8_lossy(line)).map(|(thread, _)| thread)
}

fn split_thread(line: &str) -> Option<(u32, &str)> {
    let (thread, text) = line.split_once(' ')?;
    Some((thread.parse().ok()?, text.trim_start()))
}

/// The text after `<... NAME resumed>`.
fn split_resumed(text: &str) -> Option<&str> {
    text.strip_prefix("<... ")?.split_once(" resumed>").map(|(_, rest)| rest)
}

/// The name and the text after the bracket; `None` for signals and the ends of threads.
fn split_call_start(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = text.split_once('(')?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(is_name)).then_some((name, rest))
}

/// Arguments and result, split at the last `=` that follows a bracket and blanks.
fn split_result(text: &str) -> (&str, Option<&str>) {
    let mut end = text.len();
    while let Some(equals) = text[..end].rfind("= ") {
        if let Some(arguments) = text[..equals].trim_end_matches(' ').strip_suffix(')') {
            return (arguments, Some(text[equals + 2..].trim_end()));
        }
        end = equals;
    }
    (text, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &[u8] = b"\
70    epoll_pwait(4<anon_inode:[eventpoll]>, [...], 1024, -1, NULL, 8) = 1
70    futex(0x55aca0310250, FUTEX_WAKE_PRIVATE, 1 <unfinished ...>
71    <... futex resumed>)              = 0
70    <... futex resumed>)              = 1
71    recvfrom(7<socket:[57]>,  <unfinished ...>
70    --- SIGCHLD {si_signo=SIGCHLD} ---
71    <... recvfrom resumed>\"\"..., 4096, 0, NULL, NULL) = 64
71    fcntl(3</a) = b>, F_GETFL) = 0x8002 (flags O_RDWR|O_LARGEFILE)
71    recvfrom(7<socket:[57]>, 0x55, 64, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily \
unavailable)
72    +++ exited with 0 +++
70    epoll_pwait(4<anon_inode:[eventpoll]>, ";

    fn results() -> Vec<(u32, String, Option<String>)> {
        let result = |call: &StraceCall| call.end.as_ref().map(|end| end.result.clone());
        parse(OUTPUT).iter().map(|call| (call.thread, call.name.clone(), result(call))).collect()
    }

    #[test]
    fn calls_are_put_together_again() {
        let expected = [
            (70, "epoll_pwait", Some("1")),
            (70, "futex", Some("1")),
            (71, "recvfrom", Some("64")),
            (71, "fcntl", Some("0x8002 (flags O_RDWR|O_LARGEFILE)")),
            (71, "recvfrom", Some("-1 EAGAIN (Resource temporarily unavailable)")),
            (70, "epoll_pwait", None),
        ];
        let own = |text: &str| text.to_owned();
        let expected = expected.map(|(thread, name, end)| (thread, own(name), end.map(own)));
        assert_eq!(results(), expected);
        assert_eq!(parse(OUTPUT)[2].arguments, "7<socket:[57]>,\"\"..., 4096, 0, NULL, NULL");
    }

    #[test]
    fn places_say_what_had_returned() {
        let calls = parse(OUTPUT);
        let end = calls[2].end.clone().unwrap();
        assert!(calls[2].start < end.resumed && end.resumed < end.at);
        assert!(OUTPUT[..end.at].ends_with(b") = 64\n"));
        assert!(OUTPUT[calls[2].start..].starts_with(b"71    recvfrom(7<socket:[57]>,  <unf"));
        assert_eq!(
            calls[5].start + "70    epoll_pwait(4<anon_inode:[eventpoll]>, ".len(),
            OUTPUT.len()
        );
    }

    #[test]
    fn the_server_made_the_first_call() {
        assert_eq!(first_thread(b"4711 execve(\"/x\", [...]"), Some(4711));
        assert_eq!(first_thread(b""), None);
    }
}
