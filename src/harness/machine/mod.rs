//! The machine that was measured on, and anything that makes its numbers doubtful.

pub mod page_cache;
pub mod watch;

pub use watch::Watch;

use serde::{Deserialize, Serialize};
use std::fs;

/// The machine, as far as it decides speed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// As the kernel names it.
    pub cpu: String,
    /// Logical cores that this process may use.
    pub cores: u32,
    /// CPU features that some kernel here can use and this CPU has.
    pub features: Vec<String>,
    pub memory: u64,
    /// `Debian GNU/Linux 12 (bookworm), Linux 6.18.0`.
    pub os: String,
}

impl Machine {
    pub fn here() -> Machine {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        let uname = rustix::system::uname();
        let kernel = format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy());
        let os = match fs::read_to_string("/etc/os-release").ok().and_then(|text| distribution(&text)) {
            Some(name) => format!("{name}, {kernel}"),
            None => kernel,
        };
        let cpu = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| cpu_model(&text));
        Machine {
            cpu: cpu.unwrap_or_else(|| format!("unknown {} CPU", std::env::consts::ARCH)),
            cores,
            features: features().into_iter().filter(|(_, here)| *here).map(|(name, _)| name.into()).collect(),
            memory: fs::read_to_string("/proc/meminfo").ok().and_then(|text| meminfo(&text, "MemTotal")).unwrap_or(0),
            os,
        }
    }

    /// What must be equal for times of two runs to be compared: a baseline of another machine says nothing of this one.
    pub fn fingerprint(&self) -> String {
        format!("{}, {} cores, {}", self.cpu, self.cores, self.features.join(" "))
    }
}

/// What makes numbers of this process doubtful before anything has run, each with what helps.
pub fn doubts() -> Vec<String> {
    let mut doubts = vec![];
    if cfg!(debug_assertions) {
        doubts.push("this is a debug build: nothing it measures holds; build with --release".into());
    }
    if under_valgrind() {
        doubts.push("this runs under valgrind: times mean nothing here, only counts of instructions do".into());
    }
    let governors = governors();
    if let Some(governor) = governors.iter().find(|governor| *governor != "performance") {
        doubts.push(format!(
            "the CPU frequency governor is {governor}: clocks follow the load; \
             `cpupower frequency-set -g performance` as root holds them"
        ));
    }
    if let Ok(text) = fs::read_to_string("/proc/meminfo") {
        doubts.extend(low_memory(&text));
    }
    doubts
}

fn low_memory(meminfo_text: &str) -> Option<String> {
    let (total, available) = (meminfo(meminfo_text, "MemTotal")?, meminfo(meminfo_text, "MemAvailable")?);
    let short = available < (total / 10).max(512 << 20);
    short.then(|| {
        let mib = available >> 20;
        format!(
            "only {mib} MiB of memory are free: data falls out of the cache; end other programs or take smaller data"
        )
    })
}

/// `model name` of x86 with the numbers behind it, as hypervisors call generations of processors by one name; or what ARM
/// kernels say instead.
fn cpu_model(cpuinfo: &str) -> Option<String> {
    let field = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
        Some(line.split_once(':')?.1.trim().to_string()).filter(|value| !value.is_empty())
    };
    let name = field("model name").map(|name| match (field("cpu family"), field("model"), field("stepping")) {
        (Some(family), Some(model), Some(stepping)) => {
            format!("{name} (family {family} model {model} stepping {stepping})")
        }
        _ => name,
    });
    name.or_else(|| field("Model")).or_else(|| {
        let (implementer, part) = (field("CPU implementer")?, field("CPU part")?);
        Some(format!("{} implementer {implementer} part {part}", std::env::consts::ARCH))
    })
}

/// A line of `/proc/meminfo`, in bytes.
fn meminfo(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
}

fn distribution(os_release: &str) -> Option<String> {
    let line = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(line.trim_matches('"').to_string()).filter(|name| !name.is_empty())
}

/// Its libraries are preloaded into every program it runs.
fn under_valgrind() -> bool {
    std::env::var("LD_PRELOAD").is_ok_and(|libraries| libraries.contains("vgpreload"))
        || fs::read_to_string("/proc/self/maps").is_ok_and(|maps| maps.contains("vgpreload"))
}

fn governors() -> Vec<String> {
    let Ok(cpus) = fs::read_dir("/sys/devices/system/cpu") else { return vec![] };
    let files = cpus.flatten().map(|cpu| cpu.path().join("cpufreq/scaling_governor"));
    files.filter_map(|file| fs::read_to_string(file).ok()).map(|text| text.trim().to_string()).collect()
}

#[cfg(target_arch = "x86_64")]
fn features() -> Vec<(&'static str, bool)> {
    use std::arch::is_x86_feature_detected as here;
    vec![
        ("sse4.1", here!("sse4.1")),
        ("bmi2", here!("bmi2")),
        ("avx2", here!("avx2")),
        ("avx512f", here!("avx512f")),
        ("avx512bw", here!("avx512bw")),
        ("avx512vl", here!("avx512vl")),
        ("avx512vbmi", here!("avx512vbmi")),
        ("aes", here!("aes")),
        ("vaes", here!("vaes")),
        ("pclmulqdq", here!("pclmulqdq")),
        ("vpclmulqdq", here!("vpclmulqdq")),
        ("sha_ni", here!("sha")),
        ("gfni", here!("gfni")),
    ]
}

#[cfg(target_arch = "aarch64")]
fn features() -> Vec<(&'static str, bool)> {
    use std::arch::is_aarch64_feature_detected as here;
    vec![
        ("neon", here!("neon")),
        ("aes", here!("aes")),
        ("sha2", here!("sha2")),
        ("sha3", here!("sha3")),
        ("sve", here!("sve")),
        ("sve2", here!("sve2")),
    ]
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn features() -> Vec<(&'static str, bool)> {
    vec![]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_described() {
        let machine = Machine::here();
        assert!(!machine.cpu.is_empty() && machine.cores >= 1, "{machine:?}");
        assert!(machine.memory > 64 << 20, "{machine:?}");
        assert!(machine.os.contains("Linux"), "{machine:?}");
        assert_eq!(machine.fingerprint(), Machine::here().fingerprint());
        // The kernel's flags and what the CPU itself says must agree; the kernel hides none of these.
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap();
        let flags = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
        for feature in ["avx2", "aes", "sha_ni", "gfni"].iter().filter(|_| cfg!(target_arch = "x86_64")) {
            let has = machine.features.iter().any(|f| f == feature);
            assert_eq!(has, flags.split_whitespace().any(|f| f == *feature), "{feature}");
        }
    }

    #[test]
    fn another_cpu_or_number_of_cores_is_another_machine() {
        let machine = Machine { cpu: "A".into(), cores: 2, features: vec!["avx2".into()], ..Machine::default() };
        assert_eq!(machine.fingerprint(), "A, 2 cores, avx2");
        assert_ne!(machine.fingerprint(), Machine { cores: 4, ..machine.clone() }.fingerprint());
        assert_eq!(machine.fingerprint(), Machine { os: "Linux 7".into(), ..machine.clone() }.fingerprint());
    }

    #[test]
    fn what_kernels_write_is_read() {
        assert_eq!(cpu_model("processor\t: 0\nmodel name\t: AMD EPYC 9\n").as_deref(), Some("AMD EPYC 9"));
        let x86 = "cpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\nstepping\t: 1\n";
        assert_eq!(cpu_model(x86).as_deref(), Some("AMD EPYC (family 25 model 17 stepping 1)"));
        let arm = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n";
        assert!(cpu_model(arm).unwrap().ends_with("implementer 0x41 part 0xd0c"));
        assert_eq!(cpu_model(""), None);
        assert_eq!(meminfo("MemTotal:        8000 kB\nMemFree: 1 kB\n", "MemTotal"), Some(8000 << 10));
        assert_eq!(distribution("NAME=x\nPRETTY_NAME=\"Debian 12\"\n").as_deref(), Some("Debian 12"));
    }

    #[test]
    fn little_memory_is_doubtful() {
        let text = |kib: u64| format!("MemTotal: 8000000 kB\nMemAvailable: {kib} kB\n");
        assert_eq!(low_memory(&text(7_000_000)), None);
        assert!(low_memory(&text(300_000)).unwrap().contains("only 292 MiB"));
    }

    #[test]
    fn a_debug_build_says_so() {
        assert_eq!(doubts().iter().any(|d| d.contains("debug build")), cfg!(debug_assertions));
    }
}
