//! Which characters of a text a reader does not see: a terminal obeys them, they reverse the
//! direction of the text around them, or they make two names look alike.

/// The first and the last character of each invisible range: Default_Ignorable_Code_Point of
/// Unicode, which includes all marks of direction; the separators of lines and paragraphs; and the
/// marks of annotations.
const INVISIBLE: &[(char, char)] = &[
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Whether a character commands a terminal, changes the direction of text, or is invisible.
pub(crate) fn is_unseen(c: char) -> bool {
    let is_invisible = || INVISIBLE.iter().any(|(first, last)| (*first..=*last).contains(&c));
    c.is_control() || is_invisible() || is_noncharacter(c)
}

/// Whether Unicode guarantees that it is never a character. XML cannot hold some of these.
fn is_noncharacter(c: char) -> bool {
    matches!(c, '\u{fdd0}'..='\u{fdef}') || matches!(u32::from(c) & 0xffff, 0xfffe | 0xffff)
}
