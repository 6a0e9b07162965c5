//! What strace writes with `-f -o FILE`, as calls. strace writes the beginning of a call before it
//! lets the thread go on into the kernel, and the rest once it is back, so how long the file was at
//! a moment says which calls had begun and which had returned. No clock is needed for that.

use std::collections::BTreeMap;

/// One call of a thread, with its places in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// The thread's number.
    pub(super) thread: u32,
    pub(super) name: String,
    /// As strace wrote them, as far as they are known.
    pub(super) arguments: String,
    /// Where it begins.
    pub(super) began: usize,
    /// How it ended, if it has.
    pub(super) end: Option<Return>,
}

/// How a call returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Return {
    /// What stands behind `=`.
    pub(super) result: String,
    /// Where the line begins on which it returned.
    pub(super) resumed: usize,
    /// Where that line ends.
    pub(super) at: usize,
}

const UNFINISHED: &str = "<unfinished ...>";

/// All calls, in the order in which they began.
pub(super) fn parse(output: &[u8]) -> Vec<Line> {
    let mut calls: Vec<Line> = Vec::new();
    // For each thread the call in which it is.
    let mut open: BTreeMap<u32, usize> = BTreeMap::new();
    let mut at = 0;
    for bytes in output.split_inclusive(|&byte| byte == b'\n') {
        let start = at;
        at += bytes.len();
        let text = String::from_utf8_lossy(bytes);
        let Some((thread, text)) = split_thread(&text) else { continue };
        if let Some(rest) = resumed(text) {
            let Some(index) = open.remove(&thread) else { continue };
            let call = &mut calls[index];
            let (arguments, result) = split_result(rest);
            call.arguments.push_str(arguments);
            call.end =
                result.map(|result| Return { result: result.to_owned(), resumed: start, at });
        } else if let Some((name, rest)) = begun(text) {
            let (arguments, result) = match rest.trim_end().strip_suffix(UNFINISHED) {
                Some(arguments) => (arguments.trim_end(), None),
                None => split_result(rest),
            };
            if result.is_none() {
                open.insert(thread, calls.len());
            }
            let end = result.map(|result| Return { result: result.to_owned(), resumed: start, at });
            let (name, arguments) = (name.to_owned(), arguments.to_owned());
            calls.push(Line { thread, name, arguments, began: start, end });
        }
    }
    calls
}

/// The process in which the first call was made: the server's, since strace starts it.
pub(super) fn first_thread(output: &[u8]) -> Option<u32> {
    let line = output.split(|&byte| byte == b'\n').next()?;
    split_thread(&String::from_utf8_lossy(line)).map(|(thread, _)| thread)
}

fn split_thread(line: &str) -> Option<(u32, &str)> {
    let (thread, text) = line.split_once(' ')?;
    Some((thread.parse().ok()?, text.trim_start()))
}

/// What stands behind `<... NAME resumed>`.
fn resumed(text: &str) -> Option<&str> {
    text.strip_prefix("<... ")?.split_once(" resumed>").map(|(_, rest)| rest)
}

/// The name and what follows the bracket; nothing for signals and ends of threads.
fn begun(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = text.split_once('(')?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(is_name)).then_some((name, rest))
}

/// Arguments and result: the last `=` right behind a bracket and blanks.
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
        let result = |call: &Line| call.end.as_ref().map(|end| end.result.clone());
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
        assert!(calls[2].began < end.resumed && end.resumed < end.at);
        assert!(OUTPUT[..end.at].ends_with(b") = 64\n"));
        assert!(OUTPUT[calls[2].began..].starts_with(b"71    recvfrom(7<socket:[57]>,  <unf"));
        assert_eq!(
            calls[5].began + "70    epoll_pwait(4<anon_inode:[eventpoll]>, ".len(),
            OUTPUT.len()
        );
    }

    #[test]
    fn the_server_made_the_first_call() {
        assert_eq!(first_thread(b"4711 execve(\"/x\", [...]"), Some(4711));
        assert_eq!(first_thread(b""), None);
    }
}
