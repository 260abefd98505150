//! What disturbed a run: CPU time of other programs, of the host, swapping, quotas. Load averages would count the run itself.

use std::fs;
use std::time::Instant;

/// The share of all CPU time that others may take before it is said.
const OTHERS: f64 = 0.03;
/// The same of time the host did not give (virtual machines).
const STOLEN: f64 = 0.01;
/// Shorter runs say nothing: the kernel counts in steps of 10 ms.
const SHORTEST_S: f64 = 0.5;

/// Counters when a run began.
#[derive(Debug, Clone, Default)]
pub struct Watch(Option<(Instant, Counters)>);

/// Counters of the kernel; times in seconds over all cores.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Counters {
    all: f64,
    busy: f64,
    stolen: f64,
    /// This process and its children that have ended.
    own: f64,
    swapped_pages: u64,
    throttled_s: f64,
}

impl Watch {
    /// From now on.
    pub fn start() -> Watch {
        Watch(Counters::now().map(|counters| (Instant::now(), counters)))
    }

    /// What disturbed this process since then, each with what helps.
    pub fn doubts(&self) -> Vec<String> {
        match (&self.0, Counters::now()) {
            (Some((start, before)), Some(after)) if start.elapsed().as_secs_f64() >= SHORTEST_S => {
                disturbances(before, &after)
            }
            _ => vec![],
        }
    }
}

impl Counters {
    fn now() -> Option<Counters> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let (all, busy, stolen) = cpu_times(&stat)?;
        let own = own_ticks(&fs::read_to_string("/proc/self/stat").ok()?)?;
        let swapped = fs::read_to_string("/proc/vmstat").ok().map_or(0, |text| swapped_pages(&text));
        let throttled_s = fs::read_to_string("/sys/fs/cgroup/cpu.stat").ok().map_or(0.0, |text| throttled(&text));
        let [all, busy, stolen, own] = [all, busy, stolen, own].map(|n| n as f64 / ticks);
        Some(Counters { all, busy, stolen, own, swapped_pages: swapped, throttled_s })
    }
}

fn disturbances(before: &Counters, after: &Counters) -> Vec<String> {
    let mut doubts = vec![];
    let all = (after.all - before.all).max(f64::MIN_POSITIVE);
    let own = after.own - before.own;
    let others = ((after.busy - before.busy) - own).max(0.0) / all;
    if others > OTHERS {
        let percent = others * 100.0;
        doubts.push(format!(
            "other programs took {percent:.0} % of the CPU time of this run: end them, or measure when they are quiet"
        ));
    }
    let stolen = (after.stolen - before.stolen) / all;
    if stolen > STOLEN {
        let percent = stolen * 100.0;
        doubts.push(format!(
            "the host kept {percent:.0} % of the CPU time (steal) from this virtual machine: \
             only ratios of interleaved rounds hold here"
        ));
    }
    let swapped = after.swapped_pages - before.swapped_pages;
    if swapped > 0 {
        doubts.push(format!("{swapped} pages were swapped during this run: end other programs or take smaller data"));
    }
    let throttled = after.throttled_s - before.throttled_s;
    if throttled > 0.0 {
        doubts.push(format!(
            "a CPU quota stopped this container for {throttled:.1} s during this run: \
             raise the quota, or use as few threads as it allows"
        ));
    }
    doubts
}

/// All, busy and stolen ticks of the first line of `/proc/stat` (proc_stat(5)).
fn cpu_times(stat: &str) -> Option<(u64, u64, u64)> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<u64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guest times are in user and nice already.
    let [user, nice, system, idle, iowait, irq, softirq, stolen] = *fields.first_chunk()?;
    let busy = user + nice + system + irq + softirq;
    Some((busy + idle + iowait + stolen, busy, stolen))
}

/// utime, stime, cutime and cstime of `/proc/self/stat`, whose second field may hold anything in parentheses.
fn own_ticks(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    fields.get(11..15)?.iter().map(|field| field.parse::<u64>().ok()).sum()
}

fn swapped_pages(vmstat: &str) -> u64 {
    let counts = vmstat.lines().filter_map(|line| line.split_once(' '));
    counts.filter(|(name, _)| ["pswpin", "pswpout"].contains(name)).filter_map(|(_, n)| n.parse::<u64>().ok()).sum()
}

fn throttled(cpu_stat: &str) -> f64 {
    let line = cpu_stat.lines().find_map(|line| line.strip_prefix("throttled_usec "));
    line.and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_the_kernel_are_read() {
        assert_eq!(cpu_times("cpu  10 2 5 80 3 1 1 7 9 9\ncpu0 1"), Some((109, 19, 7)));
        assert_eq!(cpu_times("cpu0 1 2"), None);
        let stat = "12 (a) b) (c) S 1 2 3 4 5 6 7 8 9 10 100 20 3 4 20 0 1 0 99";
        assert_eq!(own_ticks(stat), Some(127));
        assert_eq!(swapped_pages("pgpgin 5\npswpin 3\npswpout 4\n"), 7);
        assert_eq!(throttled("usage_usec 9\nthrottled_usec 1500000\n"), 1.5);
        assert!(Counters::now().is_some_and(|now| now.all > 0.0));
    }

    #[test]
    fn own_work_is_no_disturbance_and_work_of_others_is() {
        let before = Counters { all: 100.0, busy: 50.0, ..Counters::default() };
        let own = Counters { all: 120.0, busy: 69.9, own: 19.8, ..before };
        assert_eq!(disturbances(&before, &own), Vec::<String>::new());
        let others = Counters { own: 9.9, ..own };
        assert!(disturbances(&before, &others)[0].contains("other programs took 50 %"));
    }

    #[test]
    fn steal_swapping_and_quotas_are_said() {
        let before = Counters { all: 100.0, ..Counters::default() };
        let after = Counters { all: 110.0, stolen: 1.0, swapped_pages: 5, throttled_s: 2.0, ..before };
        let said = disturbances(&before, &after).join("\n");
        for part in ["kept 10 % of the CPU time", "5 pages were swapped", "stopped this container for 2.0 s"] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn work_of_this_process_is_counted_as_its_own() {
        let before = Counters::now().unwrap();
        let start = Instant::now();
        let mut n = 0u64;
        while start.elapsed().as_millis() < 200 {
            n = std::hint::black_box(n.wrapping_add(1));
        }
        let after = Counters::now().unwrap();
        assert!(after.own > before.own, "{before:?} {after:?} {n}");
    }
}
