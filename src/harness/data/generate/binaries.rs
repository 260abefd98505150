//! Executables as a linker writes them: code full of relative addresses, strings, a table of absolute addresses, zeros. The
//! second version is a new build: in each file some functions are longer, some new, so everything behind them moves and
//! each address across a change is another.

use super::random::{Random, vocabulary};
use super::{Parameters, Tree};
use crate::harness::error::BenchError;

/// What a recipe says.
pub const PARAMETERS: &[&str] = &["seed", "files", "file_mib", "changed_per_10000"];

/// Of 16 parts of a file this many are code.
const CODE: u64 = 10;
/// The same for strings, and for the table of addresses; the rest is zeros.
const STRINGS: u64 = 3;
const TABLE: u64 = 2;
/// Where the code lies in memory, for absolute addresses.
const BASE: u64 = 0x40_0000;
/// Functions begin at multiples of this.
const ALIGNMENT: u64 = 16;
/// How far a call mostly reaches, in functions.
const NEAR: u64 = 200;

/// Fills the tree.
pub fn fill(parameters: &Parameters, tree: &Tree<'_>) -> Result<(), BenchError> {
    let [seed, files, file_mib, changed] = parameters.all(PARAMETERS);
    let templates = templates(&mut Random(seed));
    let words = vocabulary(&mut Random(seed + 1), 3000);
    for i in 0..files {
        let part = (file_mib << 20) / 16;
        let mut functions = functions(seed + 2 + i, part * CODE);
        if tree.is_second() {
            rebuild(&mut functions, seed + 1_000_000 + i, changed);
        }
        let addresses = addresses(&functions);
        let mut out = tree.file(&format!("program-{i:02}"), tree.version())?;
        out.put(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0")?;
        out.put(&[0; 4096 - 24])?;
        let mut code = vec![];
        for (f, function) in functions.iter().enumerate() {
            code.clear();
            body(function, f, &addresses, &templates, &mut code);
            code.resize((function.len.next_multiple_of(ALIGNMENT)) as usize, 0x90);
            out.put(&code)?;
        }
        strings(&mut Random(seed + 2_000_000 + i), &words, part * STRINGS, &mut |bytes| out.put(bytes))?;
        let mut random = Random(seed + 3_000_000 + i);
        // A new build refers to the same functions.
        let both = functions.iter().zip(&addresses).filter(|(function, _)| !function.is_new);
        let known: Vec<u64> = both.map(|(_, address)| *address).collect();
        for _ in 0..part * TABLE / 16 {
            out.put(&(BASE + known[random.below(known.len() as u64) as usize]).to_le_bytes())?;
            out.put(&(random.skewed(64)).to_le_bytes())?;
        }
        let zeros = part * (16 - CODE - STRINGS - TABLE);
        for _ in 0..zeros / 4096 {
            out.put(&[0; 4096])?;
        }
        out.finish()?;
    }
    Ok(())
}

/// One function: what it is made from, and how long it is.
struct Function {
    seed: u64,
    len: u64,
    is_new: bool,
}

fn functions(seed: u64, bytes: u64) -> Vec<Function> {
    let mut random = Random(seed);
    let (mut made, mut total) = (vec![], 0);
    while total < bytes {
        let len = 24 + random.skewed(1500);
        total += len.next_multiple_of(ALIGNMENT);
        made.push(Function { seed: random.draw(), len, is_new: false });
    }
    made
}

/// Some functions get a few instructions more, a quarter as many are new.
fn rebuild(functions: &mut Vec<Function>, seed: u64, changed_per_10000: u64) {
    let mut random = Random(seed);
    let mut made = Vec::with_capacity(functions.len() + functions.len() / 64);
    for mut function in functions.drain(..) {
        let draw = random.below(40_000);
        if draw < 4 * changed_per_10000 {
            function.len += 5 + random.below(60);
        } else if draw < 5 * changed_per_10000 {
            made.push(Function { seed: random.draw(), len: 24 + random.skewed(1500), is_new: true });
        }
        made.push(function);
    }
    *functions = made;
}

/// Where each function begins.
fn addresses(functions: &[Function]) -> Vec<u64> {
    let begin = |at: &mut u64, function: &Function| {
        let begin = *at;
        *at += function.len.next_multiple_of(ALIGNMENT);
        Some(begin)
    };
    functions.iter().scan(0, begin).collect()
}

/// An instruction: its bytes, and whether a relative address follows.
struct Template {
    bytes: Vec<u8>,
    has_address: bool,
}

fn templates(random: &mut Random) -> Vec<Template> {
    let template = |i: usize| {
        let mut bytes = vec![0; 1 + random.below(5) as usize];
        random.fill(&mut bytes);
        Template { bytes, has_address: i % 12 == 5 }
    };
    (0..600).map(template).collect()
}

/// The instructions of a function; the same seed gives the same ones, but for the addresses.
fn body(function: &Function, own: usize, addresses: &[u64], templates: &[Template], code: &mut Vec<u8>) {
    let mut random = Random(function.seed);
    while (code.len() as u64) < function.len {
        let template = &templates[random.skewed(templates.len() as u64) as usize];
        code.extend_from_slice(&template.bytes);
        if template.has_address {
            let distance = random.skewed(2 * NEAR) as i64 - NEAR as i64 / 2;
            let target = (own as i64 + distance).clamp(0, addresses.len() as i64 - 1) as usize;
            let here = addresses[own] + code.len() as u64 + 4;
            code.extend_from_slice(&(addresses[target].wrapping_sub(here) as u32).to_le_bytes());
        } else if random.below(6) == 0 {
            code.extend_from_slice(&(random.skewed(256) as u32).to_le_bytes());
        }
    }
    code.truncate(function.len as usize);
}

type Put<'a> = dyn FnMut(&[u8]) -> Result<(), BenchError> + 'a;

/// Messages and names, each with a zero behind it.
fn strings(random: &mut Random, words: &[String], bytes: u64, put: &mut Put<'_>) -> Result<(), BenchError> {
    let mut written = 0;
    while written < bytes {
        let mut text = String::new();
        for i in 0..=random.skewed(9) {
            text += if i == 0 { "" } else { [" ", "_", "::", ": "][random.skewed(4) as usize] };
            text += &words[random.skewed(words.len() as u64) as usize];
        }
        text.push('\0');
        text.truncate((bytes - written) as usize);
        put(text.as_bytes())?;
        written += text.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_build_moves_what_lies_behind_a_change_and_keeps_the_rest() {
        let (mut old, mut new) = (functions(7, 1 << 20), functions(7, 1 << 20));
        rebuild(&mut new, 9, 100);
        assert!(new.len() > old.len());
        assert_eq!(addresses(&old)[..3], addresses(&new)[..3]);
        assert!(addresses(&new).last() > addresses(&old).last());
        let kept = old.iter().filter(|f| new.iter().any(|g| (g.seed, g.len) == (f.seed, f.len))).count();
        assert!(kept * 100 > old.len() * 97 && kept < old.len(), "{kept} of {}", old.len());
        rebuild(&mut old, 9, 0);
        assert_eq!(addresses(&old).len(), functions(7, 1 << 20).len());
    }
}
