//! Logs of a few services: a file that grows, and rotated ones. The second version, a day later: the first service's were
//! rotated (each has the next number, the oldest is gone, a new one has begun), the others have grown.

use super::random::{Random, vocabulary};
use super::{Parameters, Tree};
use crate::harness::data::tree::Version;
use crate::harness::error::BenchError;

/// What a recipe says.
pub const PARAMETERS: &[&str] = &["seed", "services", "rotated", "lines"];

/// In the second version the growing files have this share of their lines more.
const GROWTH: u64 = 10;

/// Fills the tree.
pub fn fill(parameters: &Parameters, tree: &Tree<'_>) -> Result<(), BenchError> {
    let [seed, services, rotated, lines] = parameters.all(PARAMETERS);
    let words = vocabulary(&mut Random(seed), 400);
    for service in 0..services {
        let is_rotated = tree.is_second() && service == 0;
        // The age of a file: 0 is the one that grows in the first version, and it is made of the same lines wherever it lies.
        for age in 0..=rotated {
            let number = if is_rotated { age + 1 } else { age };
            if number > rotated {
                continue;
            }
            let grows = tree.is_second() && age == 0 && !is_rotated;
            let since = if grows { Version::Second } else { Version::First };
            let lines = if grows { lines + lines / GROWTH } else { lines };
            put(tree, Log { service, number, since, epoch: rotated - age, seed, lines }, &words)?;
        }
        if is_rotated {
            let begun =
                Log { service, number: 0, since: Version::Second, epoch: rotated + 1, seed, lines: lines / GROWTH };
            put(tree, begun, &words)?;
        }
    }
    Ok(())
}

struct Log {
    service: u64,
    /// 0: the one that grows.
    number: u64,
    since: Version,
    /// Which stretch of time it is of.
    epoch: u64,
    seed: u64,
    lines: u64,
}

fn put(tree: &Tree<'_>, log: Log, words: &[String]) -> Result<(), BenchError> {
    let end = if log.number == 0 { String::new() } else { format!(".{}", log.number) };
    let mut out = tree.file(&format!("service-{:02}.log{end}", log.service), log.since)?;
    let mut random = Random(log.seed + 1 + log.service * 1000 + log.epoch);
    let mut time = log.epoch * 86_400_000;
    for _ in 0..log.lines {
        // Some milliseconds later, seldom much later.
        time += random.skewed(300);
        out.put(line(&mut random, words, time, log.service).as_bytes())?;
    }
    out.finish()
}

/// A line as web servers and daemons write them.
fn line(random: &mut Random, words: &[String], time: u64, service: u64) -> String {
    let (day, ms) = (time / 86_400_000 % 28 + 1, time % 86_400_000);
    let stamp = format!(
        "2026-03-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        ms / 3_600_000,
        ms / 60_000 % 60,
        ms / 1000 % 60,
        ms % 1000
    );
    let mut word = |n: u64| words[random.skewed(n) as usize].clone();
    let (part, verb, object, other) = (word(20), word(60), word(400), word(400));
    let client = random.skewed(5000);
    let address = format!("10.{}.{}.{}", client >> 16, client >> 8 & 255, client & 255);
    match random.below(10) {
        0 => {
            let (kind, id) = (if random.below(4) == 0 { "ERROR" } else { "WARN" }, random.draw());
            format!(
                "{stamp} host-{service:02} {part}[{}]: {kind} {verb} {object} failed: {other} id={id:016x}\n",
                client % 900
            )
        }
        1..4 => format!("{stamp} host-{service:02} {part}[{}]: INFO {verb} {object} for {other}\n", client % 900),
        _ => {
            let status = [200, 200, 200, 200, 304, 404, 301, 500][random.skewed(8) as usize];
            let (bytes, ms) = (random.skewed(100_000), random.skewed(2000));
            format!(
                "{stamp} {address} \"GET /{object}/{other}?{verb}={} HTTP/1.1\" {status} {bytes} {ms}ms\n",
                client % 97
            )
        }
    }
}
