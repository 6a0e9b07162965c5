//! Content that some servers interpret: runs of one byte, text, commands of other protocols, frames
//! with lengths, and random bytes without a stamp. A stamped stream contains none of it: it has no
//! long runs of one byte, and on average one byte in 256 is a line feed.

use std::iter::repeat_n;
use std::sync::Arc;

use fastrand::Rng;

/// What a connection carries instead of stamps: a named list of messages.
#[derive(Clone, Copy, Debug)]
pub struct Content {
    /// The name in failures.
    pub name: &'static str,
    messages: fn(&mut Rng) -> Vec<Vec<u8>>,
}

impl Content {
    const fn new(name: &'static str, messages: fn(&mut Rng) -> Vec<Vec<u8>>) -> Self {
        Self { name, messages }
    }

    /// The messages. None of them is empty.
    #[must_use]
    pub fn messages(&self, random: &mut Rng) -> Vec<Vec<u8>> {
        let mut messages = (self.messages)(random);
        messages.retain(|message| !message.is_empty());
        messages
    }
}

/// The messages joined into one stream.
#[must_use]
pub fn stream(messages: &[Vec<u8>]) -> Arc<[u8]> {
    messages.concat().into()
}

/// Runs of one byte or one page, which compressors, sparse files and caches handle specially.
pub const MONOTONOUS: &[Content] = &[
    Content::new("zeros", |_| runs_of(0)),
    Content::new("bytes 0xff", |_| runs_of(0xff)),
    Content::new("letters a without a line feed", |_| runs_of(b'a')),
    Content::new("line feeds", |_| runs_of(b'\n')),
    Content::new("a page again and again", |random| {
        let page = random_bytes(random, PAGE);
        vec![page.clone(), page.repeat(2), page.repeat(5), page]
    }),
    Content::new("the same message again and again", |random| vec![random_bytes(random, 100); 20]),
    Content::new("runs of all lengths between random bytes", runs),
    Content::new("pages of zeros between random pages", |random| {
        (0..8).map(|n| [random_bytes(random, n * 700), vec![0; PAGE]].concat()).collect()
    }),
];

/// Lines, documents and characters, valid and invalid.
pub const TEXTUAL: &[Content] = &[
    Content::new("lines", |random| lines(random, &["\n"])),
    Content::new("lines with carriage returns", |random| lines(random, &["\r\n"])),
    Content::new("lines of mixed ends", |random| {
        lines(
            random,
            &["\n", "\r\n", "\r", "\n\r", "\r\r\n", "\n\n\n", "\x0b", "\x0c", "\u{85}", ""],
        )
    }),
    Content::new("line ends cut in two", |_| {
        let pieces = ["one\r", "\ntwo\r", "\n", "\r", "\n\r", "\n", "three\n", "\n", "four", "\n"];
        pieces.map(|text| text.as_bytes().to_vec()).into()
    }),
    Content::new("lines longer than any buffer for one", |random| {
        [1_000, 8_191, 8_192, 8_193, 65_536, 70_000].map(|length| letters(random, length)).into()
    }),
    Content::new("spaces and tabs around lines", |random| {
        (0..40).map(|n| format!("{}\t{} \t\r\n", " ".repeat(n), word(random)).into()).collect()
    }),
    Content::new("JSON", |random| (0..40).map(|n| json(random, n).into()).collect()),
    Content::new("HTTP", http),
    Content::new("characters of UTF-8, cut anywhere", |random| {
        let text = "aß€𝄞é\u{301}\u{202e}\u{feff}\u{2028}한ﷺ\u{10ffff}\u{fffd}".repeat(8);
        text.as_bytes().chunks(random.usize(2..7)).map(<[u8]>::to_vec).collect()
    }),
    Content::new("what is no UTF-8", |_| {
        let wrong: [&[u8]; 9] = [
            b"\x80",
            b"\xc0\x80",
            b"\xc3",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"d\xe9j\xe0 vu\n",
            b"\xff\xfeU\0T\0F\0\n\0",
            b"\xe2\x82",
            b"ok\xf0\x9f\x98",
        ];
        wrong.map(<[u8]>::to_vec).into()
    }),
    Content::new("escapes", |_| {
        let escapes = [
            "%00%0a%s%n%d",
            "\\n\\0\\x00\\u0000",
            "&amp;&lt;&#0;",
            "=3D=\r\n",
            "${HOME}`id`$(id)",
            "'; DROP TABLE t; --",
            "#!/bin/sh\n",
            "<?php ?>",
            "{{7*7}}",
            "..\r\n.\r\n..\r\n",
        ];
        escapes.map(|text| text.as_bytes().to_vec()).into()
    }),
];

/// Commands and headers that other servers obey, at the start of a connection and in the middle.
pub const WORDS: &[Content] = &[
    Content::new("telnet commands", |_| {
        let commands: [&[u8]; 9] = [
            b"\xff\xf4\xff\xfd\x06",
            b"\xff\xff",
            b"\xff",
            b"text\xff\xfb\x01text",
            b"\xff\xf1",
            b"\xff\xfa\x18\x01\xff\xf0",
            b"a\xff\xffb",
            b"\xff\xec\xff\xed\xff\xee",
            b"\r\0\r\n",
        ];
        commands.map(<[u8]>::to_vec).into()
    }),
    Content::new("control characters", |_| {
        let alone = (0..=0x20).chain([0x7f, 0x80, 0x9b, 0xff]).map(|byte| vec![byte]);
        let within = (0..0x20).map(|byte| [b"before", &[byte][..], b"after\r\n"].concat());
        let escapes =
            ["\x1b[2J\x1b[31m", "\x1b]0;title\x07", "\x1bc", "\x03\x03", "\x04\n", "\x1a\n"];
        alone.chain(within).chain(escapes.map(|text| text.as_bytes().to_vec())).collect()
    }),
    Content::new("commands", |_| {
        let words = [
            "quit",
            "exit",
            "bye",
            "close",
            "logout",
            "q",
            "end",
            "eof",
            "stop",
            "shutdown",
            "halt",
            "kill",
            "reset",
            "restart",
            "help",
            "stats",
            "version",
            "ping",
            "noop",
            "abort",
            "disconnect",
            "done",
            ".",
            "\\q",
            ":q",
            "+++",
            "ath0",
            "ehlo localhost",
            "user root",
        ];
        let forms = |word: &str| {
            let upper = word.to_uppercase();
            [format!("{word}\n"), format!("{upper}\r\n"), format!("{word}\0"), word.to_owned()]
        };
        words.iter().flat_map(|word| forms(word)).map(String::into_bytes).collect()
    }),
    Content::new("heads of other protocols", |_| {
        let heads: [&[u8]; 12] = [
            b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n",
            b"PROXY UNKNOWN\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\0\x01\0\x02",
            b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
            b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
            b"\x16\x03\x01\0\x05\x01\0\0\x01\0",
            b"\x15\x03\x03\0\x02\x01\0",
            b"\x88\x02\x03\xe8",
            b"\x05\x01\0",
            b"SSH-2.0-client\r\n",
            b"*1\r\n$4\r\nQUIT\r\n",
        ];
        heads.map(<[u8]>::to_vec).into()
    }),
    Content::new("commands typed key by key", |_| {
        let keys = "quit\n exit \r\n\u{8}logout\x7f\n".bytes().map(|byte| vec![byte]);
        let telnet = [0xff, 0xf4, 0xff, 0xfd, 0x06, 0xff, 0xff, 0xff, 0xec].map(|byte| vec![byte]);
        keys.chain(telnet).collect()
    }),
    Content::new("heads of files", |_| {
        let heads: [&[u8]; 15] = [
            b"\x1f\x8b\x08\0\0\0\0\0\0\x03",
            b"\x78\x9c",
            b"BZh9",
            b"\xfd7zXZ\0",
            b"\x28\xb5\x2f\xfd",
            b"PK\x03\x04",
            b"\x89PNG\r\n\x1a\n",
            b"\xff\xd8\xff\xe0",
            b"%PDF-1.7\n%%EOF",
            b"\x7fELF",
            b"MZ\x90\0",
            b"\xca\xfe\xba\xbe",
            b"\xac\xed\0\x05",
            b"\x80\x04\x95",
            b"From somebody\n>From\n",
        ];
        heads.map(<[u8]>::to_vec).into()
    }),
    Content::new("texts that end with NUL", |random| {
        (0..40).map(|_| format!("{}\0{}\0", word(random), word(random)).into()).collect()
    }),
];

/// Messages that state a length, correct or wrong.
pub const STRUCTURED: &[Content] = &[
    Content::new("lengths of one byte", |random| {
        prefixed_messages(random, 255, |length| vec![length as u8])
    }),
    Content::new("lengths of two bytes, high byte first", |random| {
        prefixed_messages(random, 3000, |length| (length as u16).to_be_bytes().into())
    }),
    Content::new("lengths of four bytes, low byte first", |random| {
        prefixed_messages(random, 3000, |length| (length as u32).to_le_bytes().into())
    }),
    Content::new("lengths of four bytes, high byte first", |random| {
        prefixed_messages(random, 3000, |length| (length as u32).to_be_bytes().into())
    }),
    Content::new("lengths and what they are of, apart", |random| {
        let messages =
            prefixed_messages(random, 600, |length| (length as u16).to_be_bytes().into());
        messages.iter().flat_map(|message| [message[..2].to_vec(), message[2..].to_vec()]).collect()
    }),
    Content::new("lengths in decimal", |random| {
        let netstring = |length: usize| format!("{length}:").into();
        let mut messages = prefixed_messages(random, 500, netstring);
        messages.extend(prefixed_messages(random, 500, |length| format!("{length:x}\r\n").into()));
        messages
    }),
    Content::new("lengths that are wrong", |random| {
        let claims = [0, 1, 127, 128, 255, 256, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, u32::MAX];
        let both = |claim: u32| [claim.to_be_bytes(), claim.to_le_bytes()];
        let claims = claims.into_iter().flat_map(both);
        claims.map(|claim| [&claim[..], &random_bytes(random, 20)].concat()).collect()
    }),
    Content::new("numbers that count", |_| {
        let numbers = |range: std::ops::Range<u32>| range.flat_map(u32::to_be_bytes).collect();
        (0..16).map(|n| numbers(n * 250..(n + 1) * 250)).collect()
    }),
];

/// Random bytes without a stamp, from all values or from some only.
pub const RANDOM: &[Content] = &[
    Content::new("random bytes", |random| {
        [1, 3, 64, 1000, 1024, 4096, 20_000].map(|length| random_bytes(random, length)).into()
    }),
    Content::new("random bytes of seven bits", |random| masked_bytes(random, |byte| byte & 0x7f)),
    Content::new("random bytes with the high bit", |random| {
        masked_bytes(random, |byte| byte | 0x80)
    }),
    Content::new("random zeros and ones", |random| masked_bytes(random, |byte| byte & 1)),
    Content::new("random letters", |random| {
        [5, 500, 5_000, 50_000].map(|length| letters(random, length)).into()
    }),
];

pub const ALL: [&[Content]; 5] = [MONOTONOUS, TEXTUAL, WORDS, STRUCTURED, RANDOM];

/// The size of a memory page on most systems, in bytes.
const PAGE: usize = 4096;
/// Lengths at the usual limits of run lengths and buffers.
const RUNS: [usize; 17] =
    [1, 2, 3, 4, 100, 127, 128, 129, 255, 256, 257, 1024, 4095, 4096, 4097, 20_000, 66_000];

fn runs_of(byte: u8) -> Vec<Vec<u8>> {
    RUNS.map(|length| vec![byte; length]).into()
}

fn runs(random: &mut Rng) -> Vec<Vec<u8>> {
    let run = |length: usize| {
        let byte = random.u8(..);
        let between = random.usize(1..40);
        [random_bytes(random, between), vec![byte; length], random_bytes(random, 1)].concat()
    };
    RUNS.map(run).into()
}

fn random_bytes(random: &mut Rng, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes
}

fn masked_bytes(random: &mut Rng, mask: fn(u8) -> u8) -> Vec<Vec<u8>> {
    let message = |length| random_bytes(random, length).into_iter().map(mask).collect();
    [1, 64, 1000, 5000].map(message).into()
}

fn letters(random: &mut Rng, length: usize) -> Vec<u8> {
    repeat_n((), length).map(|()| random.alphanumeric() as u8).collect()
}

fn word(random: &mut Rng) -> String {
    let length = random.usize(1..12);
    repeat_n((), length).map(|()| random.lowercase()).collect()
}

fn lines(random: &mut Rng, ends: &[&str]) -> Vec<Vec<u8>> {
    let line = |number: usize| {
        let words: Vec<String> = repeat_n((), number % 14).map(|()| word(random)).collect();
        format!("{}{}", words.join(" "), ends[number % ends.len()]).into_bytes()
    };
    (0..70).map(line).collect()
}

fn json(random: &mut Rng, number: u32) -> String {
    let (key, text, value) = (word(random), word(random), random.i64(..));
    match number % 4 {
        0 => format!("{{\"{key}\": [{value}, null, true, 1e400, \"\\u0000\\ud800\"]}}\n"),
        1 => format!("{{\"{key}\": {{\"{text}\": {{}}}}}}{{\"{key}\": \"\"}}"),
        2 => format!("\"{text}\"\n{value}\n"),
        _ => format!("{}{}", "[".repeat(200), "]".repeat(199)),
    }
}

fn http(random: &mut Rng) -> Vec<Vec<u8>> {
    let body = word(random).repeat(20);
    let length = body.len();
    let texts = [
        format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}"),
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
        ),
        format!("GET /{body} HTTP/1.0\r\nExpect: 100-continue\r\nX: {}\r\n\r\n", body.repeat(60)),
        "GET /\r\n\r\n".to_owned(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n".to_owned(),
    ];
    texts.map(String::into_bytes).into()
}

/// Messages that begin with the length of the rest.
fn prefixed_messages(
    random: &mut Rng,
    longest: usize,
    prefix: impl Fn(usize) -> Vec<u8>,
) -> Vec<Vec<u8>> {
    let lengths = [0, 1, 2, longest / 2, longest];
    let lengths = lengths.into_iter().chain(repeat_n((), 15).map(|()| random.usize(..longest)));
    let lengths: Vec<usize> = lengths.collect();
    let message = |length| [prefix(length), random_bytes(random, length)].concat();
    lengths.into_iter().map(message).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_content_has_a_name_and_messages_of_some_bytes() {
        let mut names = BTreeSet::new();
        for content in ALL.into_iter().flatten() {
            assert!(names.insert(content.name), "{}", content.name);
            let messages = content.messages(&mut Rng::with_seed(1));
            assert!(messages.len() > 2, "{}", content.name);
            assert_eq!(messages, content.messages(&mut Rng::with_seed(1)), "{}", content.name);
        }
    }
}
