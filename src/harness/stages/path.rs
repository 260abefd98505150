//! Which code of a kernel runs on this processor: AVX-512, AVX2, …
//!
//! The crates choose when they are built and when they run, and tell nobody. So this asks what they ask, in their order:
//! the same `cfg`s (flags for rustc reach every crate of a build) and the same CPU features. BLAKE3 can be measured on
//! any path that is here ([`super::hasher`]), and so can cutting; the others offer no choice at run time, and a path that is
//! not the one in use is an error that says why. Nothing is ever measured on another path than was asked for.

use crate::chunking::ScanPath;
use crate::crypto::aead::{Aead, Bulk};
use crate::harness::BenchError;
use blake3::platform::Platform;

/// Kernels that can be measured on any path that is here.
const CHOOSABLE: [&str; 2] = ["blake3", "gear"];

/// The paths that were chosen and are not what is taken by itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Chosen {
    pub hash_on: Option<Platform>,
    /// Of the scan for cuts.
    pub cut_on: Option<ScanPath>,
}

/// The code that a kernel runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuPath {
    /// The kernel, as `--path` names it: `blake3`, `aead`, `chacha20`, `poly1305`, `gear`, `lz4`, `zstd`.
    pub kernel: &'static str,
    /// The path that runs here.
    pub used: &'static str,
    /// What this build has and this processor can run; the one that is used among them.
    pub here: Vec<&'static str>,
    /// All that the crate knows on this architecture.
    pub known: Vec<&'static str>,
    /// How another one comes into use.
    pub change: &'static str,
}

impl CpuPath {
    /// Asks for a path.
    fn demand(&self, path: &str) -> Result<(), BenchError> {
        let CpuPath { kernel, used, here, known, change } = self;
        if path == *used || (CHOOSABLE.contains(kernel) && here.contains(&path)) {
            return Ok(());
        }
        let here = here.join(", ");
        Err(BenchError::Missing(if self.here.contains(&path) {
            format!("{kernel} runs its {used} path here and offers no choice at run time; {change}")
        } else if known.contains(&path) {
            format!("{kernel} has no {path} path on this processor in this build; there is: {here}. {change}")
        } else {
            format!("{kernel} has no path {path:?}; there is: {here}")
        }))
    }
}

/// The paths of all kernels.
pub fn paths() -> Vec<CpuPath> {
    let scalar =
        |kernel, change| CpuPath { kernel, used: "scalar", here: vec!["scalar"], known: vec!["scalar"], change };
    vec![
        blake3_path(),
        CpuPath {
            kernel: "aead",
            used: Bulk::LIBRARY,
            here: vec![Bulk::LIBRARY],
            known: vec!["rustcrypto", "aws-lc"],
            change: "`cargo build --release --features aws-lc` seals packs by AWS-LC, a build without that feature by \
                     RustCrypto",
        },
        if cfg!(feature = "aws-lc") { aws_lc_path("chacha20") } else { chacha20_path() },
        if cfg!(feature = "aws-lc") { aws_lc_path("poly1305") } else { poly1305_path() },
        gear_path(),
        scalar("lz4", "LZ4 has one path: scalar code, the encoder of larder and the decoder of lz4_flex"),
        CpuPath {
            kernel: "zstd",
            used: if has("bmi2") { "bmi2" } else { "scalar" },
            here: if has("bmi2") { vec!["bmi2", "scalar"] } else { vec!["scalar"] },
            known: vec!["bmi2", "scalar"],
            change: "the C library takes BMI2 for its entropy coder wherever the processor has it",
        },
    ]
}

/// Sees to it that the words of `--path`, `KERNEL=PATH` each, name paths that are in use or can be. Gives those that have
/// to be chosen for it.
pub fn demand(words: &[String]) -> Result<Chosen, BenchError> {
    let (paths, mut chosen) = (paths(), Chosen::default());
    for word in words {
        let Some((kernel, path)) = word.split_once('=') else {
            return Err(BenchError::Invalid(format!("{word:?}: a path is asked for as KERNEL=PATH, e.g. blake3=avx2")));
        };
        let Some(found) = paths.iter().find(|p| p.kernel == kernel) else {
            let kernels: Vec<_> = paths.iter().map(|p| p.kernel).collect();
            return Err(BenchError::Invalid(format!(
                "there is no kernel {kernel:?}; there is: {}",
                kernels.join(", ")
            )));
        };
        found.demand(path)?;
        match kernel {
            "blake3" => {
                chosen.hash_on = blake3_platforms().into_iter().find(|p| name_of(p) == path && path != found.used);
            }
            "gear" => chosen.cut_on = ScanPath::here().into_iter().find(|p| p.name() == path && path != found.used),
            _ => {}
        }
    }
    Ok(chosen)
}

/// What BLAKE3 calls a path, as `--path` does.
pub fn name_of(platform: &Platform) -> &'static str {
    match format!("{platform:?}").as_str() {
        "AVX512" => "avx512",
        "AVX2" => "avx2",
        "SSE41" => "sse41",
        "SSE2" => "sse2",
        "NEON" => "neon",
        _ => "portable",
    }
}

fn blake3_path() -> CpuPath {
    CpuPath {
        kernel: "blake3",
        used: name_of(&Platform::detect()),
        here: blake3_platforms().iter().map(name_of).collect(),
        known: match () {
            _ if cfg!(target_arch = "x86_64") => vec!["avx512", "avx2", "sse41", "sse2", "portable"],
            _ if cfg!(target_arch = "aarch64") => vec!["neon", "portable"],
            _ => vec!["portable"],
        },
        change: "--path measures hashing on any path that is here; a backup takes the first of them",
    }
}

/// What BLAKE3 has and this processor can run, fastest first.
pub fn blake3_platforms() -> Vec<Platform> {
    #[cfg(target_arch = "x86_64")]
    {
        // AVX-512 is missing from a build without a C compiler, and so is its constructor: what is detected tells.
        let detected = Platform::detect();
        let avx512 = format!("{detected:?}") == "AVX512";
        let mut found: Vec<Platform> = if avx512 { vec![detected] } else { Vec::new() };
        found.extend([Platform::avx2(), Platform::sse41(), Platform::sse2()].into_iter().flatten());
        found.push(Platform::portable());
        found
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let detected = Platform::detect();
        if format!("{detected:?}") == "Portable" { vec![detected] } else { vec![detected, Platform::portable()] }
    }
}

fn gear_path() -> CpuPath {
    let names = |paths: &[ScanPath]| paths.iter().map(|path| path.name()).collect::<Vec<_>>();
    let here = names(&ScanPath::here());
    CpuPath {
        kernel: "gear",
        used: here[0],
        here,
        known: names(ScanPath::KNOWN),
        change: "--path measures cutting on any path that is here; a backup takes the first of them, and the scalar one \
                 in a store whose masks have few low bits",
    }
}

fn chacha20_path() -> CpuPath {
    let kernel = "chacha20";
    let forced = match () {
        _ if cfg!(chacha20_backend = "soft") => Some("soft"),
        _ if cfg!(all(chacha20_avx512, chacha20_backend = "avx512")) => Some("avx512"),
        _ if cfg!(chacha20_backend = "avx2") => Some("avx2"),
        _ if cfg!(chacha20_backend = "sse2") => Some("sse2"),
        _ => None,
    };
    let change = "build with RUSTFLAGS='--cfg chacha20_backend=\"avx2\"' (or \"sse2\", \"soft\"); AVX-512 takes \
                  --cfg chacha20_avx512, which the repository's .cargo/config.toml sets";
    if cfg!(target_arch = "x86_64") {
        let avx512 = cfg!(chacha20_avx512) && has("avx512f") && has("avx512vl");
        let detected = [(avx512, "avx512"), (has("avx2"), "avx2"), (has("sse2"), "sse2"), (true, "soft")];
        let detected: Vec<_> = detected.into_iter().filter(|(there, _)| *there).map(|(_, name)| name).collect();
        let here = forced.map_or(detected, |path| vec![path]);
        return CpuPath { kernel, used: here[0], here, known: vec!["avx512", "avx2", "sse2", "soft"], change };
    }
    let neon = cfg!(all(target_arch = "aarch64", target_feature = "neon")) && forced.is_none();
    let used = if neon { "neon" } else { "soft" };
    CpuPath { kernel, used, here: vec![used], known: vec!["neon", "soft"], change }
}

fn poly1305_path() -> CpuPath {
    let avx2 = has("avx2") && !cfg!(poly1305_backend = "soft");
    CpuPath {
        kernel: "poly1305",
        used: if avx2 { "avx2" } else { "soft" },
        here: if avx2 { vec!["avx2", "soft"] } else { vec!["soft"] },
        known: if cfg!(target_arch = "x86_64") { vec!["avx2", "soft"] } else { vec!["soft"] },
        change: "build with RUSTFLAGS='--cfg poly1305_backend=\"soft\"' for the portable one",
    }
}

/// AWS-LC has both in one loop, and asks for what its assembly asks for.
fn aws_lc_path(kernel: &'static str) -> CpuPath {
    let (known, there) = match () {
        _ if cfg!(target_arch = "x86_64") => {
            (vec!["avx2", "sse41", "soft"], vec![has("avx2") && has("bmi2"), has("sse4.1"), true])
        }
        _ if cfg!(target_arch = "aarch64") => (vec!["neon", "soft"], vec![true, true]),
        _ => (vec!["soft"], vec![true]),
    };
    let here: Vec<_> = known.iter().zip(there).filter(|(_, there)| *there).map(|(name, _)| *name).collect();
    let change = "AWS-LC takes the first that the processor has; small objects go through RustCrypto's all the same";
    CpuPath { kernel, used: here[0], here, known, change }
}

/// Whether this processor (and its system) has a feature.
fn has(feature: &str) -> bool {
    #[cfg(target_arch = "x86_64")]
    return match feature {
        "avx512f" => is_x86_feature_detected!("avx512f"),
        "avx512vl" => is_x86_feature_detected!("avx512vl"),
        "avx2" => is_x86_feature_detected!("avx2"),
        "sse2" => is_x86_feature_detected!("sse2"),
        "sse4.1" => is_x86_feature_detected!("sse4.1"),
        "bmi2" => is_x86_feature_detected!("bmi2"),
        _ => false,
    };
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = feature;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_can_be_demanded_and_what_cannot_be_had_is_an_error() {
        for path in paths() {
            assert!(path.here.contains(&path.used) && path.here.iter().all(|p| path.known.contains(p)), "{path:?}");
            let chosen = demand(&[format!("{}={}", path.kernel, path.used)]).unwrap();
            assert!(chosen.hash_on.is_none() && chosen.cut_on.is_none());
            for other in path.known.iter().filter(|p| **p != path.used) {
                let chosen = demand(&[format!("{}={other}", path.kernel)]);
                if CHOOSABLE.contains(&path.kernel) && path.here.contains(other) {
                    let Chosen { hash_on, cut_on } = chosen.unwrap();
                    let names = [hash_on.as_ref().map(name_of), cut_on.map(ScanPath::name)];
                    assert_eq!(names.into_iter().flatten().collect::<Vec<_>>(), [*other]);
                    continue;
                }
                let error = chosen.unwrap_err();
                assert!(matches!(error, BenchError::Missing(_)), "{error:?}");
                assert!(error.to_string().contains(path.used), "{error}");
            }
        }
    }

    #[test]
    fn the_library_that_seals_is_named_and_how_to_get_the_other_one() {
        let (used, other) = if cfg!(feature = "aws-lc") { ("aws-lc", "rustcrypto") } else { ("rustcrypto", "aws-lc") };
        assert!(demand(&[format!("aead={used}")]).is_ok());
        let error = demand(&[format!("aead={other}")]).unwrap_err().to_string();
        assert!(error.contains("cargo build --release --features aws-lc"), "{error}");
    }

    #[test]
    fn an_unknown_path_or_kernel_is_an_error_that_names_those_there_are() {
        let message = |word: &str| demand(&[word.into()]).unwrap_err().to_string();
        let used = paths()[0].used;
        assert!(message("blake3=avx1024").contains(used), "{}", message("blake3=avx1024"));
        assert!(message("sha1=avx2").contains("blake3, aead, chacha20, poly1305, gear, lz4, zstd"));
        assert!(message("avx2").contains("KERNEL=PATH"));
    }
}
