//! What the tests of this room share.

use crate::harness::random::Random;

/// Bytes without any pattern, the same in every run.
pub fn noise(len: usize) -> Vec<u8> {
    let mut random = Random(20);
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| random.draw().to_le_bytes()).collect();
    bytes.truncate(len);
    bytes
}

/// Lines of text with words that come again, the same in every run.
pub fn text(len: usize) -> Vec<u8> {
    const WORDS: [&str; 12] =
        ["if", "return", "struct", "page", "lock", "(&", ");", "->next", "= 0", "unsigned", "inode", "/* see */"];
    let mut random = Random(21);
    let mut bytes = Vec::with_capacity(len + 64);
    while bytes.len() < len {
        for _ in 0..3 + random.place(9) {
            bytes.extend_from_slice(WORDS[random.place(WORDS.len())].as_bytes());
            bytes.push(b' ');
        }
        bytes.extend_from_slice(format!("{}\n", random.place(100_000)).as_bytes());
    }
    bytes.truncate(len);
    bytes
}
