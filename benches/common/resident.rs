//! What this process has in memory, and the most of it while it works.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Resident bytes: anonymous, of files, shared.
pub fn resident() -> [u64; 3] {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ["RssAnon:", "RssFile:", "RssShmem:"].map(|name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() << 10
    })
}

/// What this thread has taken of a processor: other work on the machine counts less than by the clock.
pub fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Runs `work` and gives the most anonymous and shared memory seen meanwhile, and the time.
pub fn watched<T>(work: impl FnOnce() -> T) -> (T, u64, Duration) {
    let (peak, done) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                let [anonymous, _, shared] = resident();
                peak.fetch_max(anonymous + shared, Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let start = processor_time();
        let result = work();
        let time = processor_time() - start;
        done.store(true, Relaxed);
        (result, peak.load(Relaxed), time)
    })
}

/// In MiB, for people.
pub fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64)
}
