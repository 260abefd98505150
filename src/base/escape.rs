//! Names and messages made safe for a terminal.
//!
//! Names come from file systems and from other members of a store: what a terminal would take as a command (C0 and C1
//! controls, DEL) or use to show another order than the bytes have (bidirectional controls) is shown as an escape.

/// A name (path, host, tag, label) for people: what is no UTF-8 or no harmless character as `\n`, `\xff`, `\u{202e}`,
/// and `\` doubled, so that two names never look alike.
pub fn name(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for piece in bytes.utf8_chunks() {
        for c in piece.valid().chars() {
            if c == '\\' {
                out.push_str("\\\\");
            } else {
                push(&mut out, c);
            }
        }
        piece.invalid().iter().for_each(|byte| push_byte(&mut out, *byte));
    }
    out
}

/// One line of a message, which may quote names: controls are escaped, the rest stays.
pub fn text(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    message.chars().for_each(|c| push(&mut out, c));
    out
}

/// A JSON text with every character that a terminal would obey as its `\\u` escape: the same value to a reader. Such
/// characters can only stand inside strings.
pub fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\x7f' || is_unsafe(c) {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    out
}

/// Lines of text that quote what was typed: line ends stay, other controls are escaped.
pub fn lines(message: &str) -> String {
    message.lines().map(text).collect::<Vec<_>>().join("\n")
}

fn push(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\0'..='\x1f' | '\x7f' => push_byte(out, c as u8),
        c if is_unsafe(c) => out.extend(c.escape_unicode()),
        c => out.push(c),
    }
}

fn push_byte(out: &mut String, byte: u8) {
    out.push_str(&format!("\\x{byte:02x}"));
}

/// C1 controls, line and paragraph separators, and the marks, embeddings, overrides and isolates of UAX #9.
fn is_unsafe(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn controls_are_shown_as_escapes_and_the_rest_as_it_is() {
        let cases: [(&[u8], &str); 8] = [
            (b"/etc/passwd", "/etc/passwd"),
            ("/home/Ünï/日本 😀".as_bytes(), "/home/Ünï/日本 😀"),
            (b"a\x1b[2Jb\x07", "a\\x1b[2Jb\\x07"),
            (b"line\nbreak\ttab\rcr", "line\\nbreak\\ttab\\rcr"),
            (b"bad\xff\xc3", "bad\\xff\\xc3"),
            ("c1\u{9b}31m \u{85}".as_bytes(), "c1\\u{9b}31m \\u{85}"),
            ("gpj\u{202e}exe".as_bytes(), "gpj\\u{202e}exe"),
            (b"back\\slash\x7f", "back\\\\slash\\x7f"),
        ];
        for (raw, shown) in cases {
            assert_eq!(name(raw), shown);
        }
        assert_eq!(text("cannot read a\\x: \u{1b}]0;title\u{7}"), "cannot read a\\x: \\x1b]0;title\\x07");
    }

    proptest! {
        #[test]
        fn nothing_a_terminal_obeys_comes_through(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let shown = name(&bytes);
            prop_assert!(!shown.chars().any(|c| c.is_control() || is_unsafe(c)), "{shown:?}");
        }

        #[test]
        fn different_names_look_different(
            a in prop::collection::vec(prop::sample::select(&b"\\xn\n\xff\x1bf1b"[..]), 0..8),
            b in prop::collection::vec(prop::sample::select(&b"\\xn\n\xff\x1bf1b"[..]), 0..8),
        ) {
            prop_assert_eq!(a == b, name(&a) == name(&b));
        }
    }
}
