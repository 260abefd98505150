//! Makes the seeded data sets of `datasets/*.toml`: `cargo run --release --example dataset -- NAME FOLDER`.
//!
//! Equal to the byte on every machine. The kernel trees are packages, not made here: see their recipes.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// splitmix64 (Steele, Lea, Flood, OOPSLA 2014): small, seedable, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }
}

/// Text-like bytes: words of a fixed vocabulary with a few numbers, like small configuration and source files.
fn text(random: &mut Random, words: &[String], len: usize, out: &mut Vec<u8>) {
    out.clear();
    while out.len() < len {
        // The product makes early words frequent and late ones rare.
        let rank = random.below(words.len() as u64) * random.below(words.len() as u64) / words.len() as u64;
        match random.below(12) {
            0 => out.extend_from_slice(format!("{:x}", random.below(1 << 32)).as_bytes()),
            1 => out.push(b'\n'),
            _ => out.extend_from_slice(words[rank as usize].as_bytes()),
        }
        out.push(b' ');
    }
    out.truncate(len);
}

fn vocabulary(random: &mut Random) -> Vec<String> {
    let word = |random: &mut Random| (0..3 + random.below(8)).map(|_| (b'a' + random.below(26) as u8) as char).collect();
    (0..4000).map(|_| word(random)).collect()
}

/// Files below 2 KB, 500 a folder.
fn tiny(folder: &Path, files: u64) -> io::Result<()> {
    let mut random = Random(1);
    let words = vocabulary(&mut random);
    let mut bytes = Vec::new();
    for i in 0..files {
        let dir = folder.join(format!("d{:03}/e{:02}", i / 10_000, i / 500 % 20));
        if i % 500 == 0 {
            fs::create_dir_all(&dir)?;
        }
        let len = 600 + random.below(1400) as usize;
        text(&mut random, &words, len, &mut bytes);
        fs::write(dir.join(format!("file-{i:06}.conf")), &bytes)?;
    }
    Ok(())
}

/// 16 files of 64 MiB without any redundancy.
fn incompressible(folder: &Path) -> io::Result<()> {
    for i in 0..16 {
        let mut random = Random(1000 + i);
        let mut out = BufWriter::with_capacity(1 << 20, fs::File::create(folder.join(format!("media-{i:02}.bin")))?);
        for _ in 0..(64 << 20) / 8 {
            out.write_all(&random.next().to_le_bytes())?;
        }
        out.flush()?;
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, folder] = &args[..] else {
        eprintln!("usage: dataset tiny|tiny-small|incompressible FOLDER");
        std::process::exit(2);
    };
    let folder = Path::new(folder);
    fs::create_dir_all(folder)?;
    match name.as_str() {
        "tiny" => tiny(folder, 300_000),
        "tiny-small" => tiny(folder, 10_000),
        "incompressible" => incompressible(folder),
        _ => {
            eprintln!("no such data set: {name}");
            std::process::exit(2);
        }
    }
}
