//! The kernels of `larder bench gate`, each beside the reference that its time is a ratio of, in the order ours, reference,
//! reference, ours. `cargo bench --bench gate`, then `larder bench gate --tiers c --criterion target/criterion`.
//!
//! The program launches itself several times, a short run each: see `larder::harness::gate::criterion`.

use criterion::{Criterion, SamplingMode, Throughput, criterion_group};
use larder::harness::BenchError;
use larder::harness::gate::criterion::{LAUNCHES, ORDER, Origin, group, launch};
use larder::harness::gate::kernels::{BYTES, Bench, KERNELS};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

fn kernels(c: &mut Criterion) {
    let mut bench = Bench::new().expect("the default parameters are allowed");
    for kernel in KERNELS {
        let mut group = c.benchmark_group(group(&kernel));
        group
            .throughput(Throughput::Bytes(BYTES as u64))
            .sampling_mode(SamplingMode::Flat)
            .sample_size(10)
            .nresamples(1001);
        group.warm_up_time(Duration::from_millis(40)).measurement_time(Duration::from_millis(100));
        for (name, is_reference) in ORDER {
            group.bench_function(name, |b| {
                b.iter(|| if is_reference { bench.run_reference(kernel) } else { bench.run(kernel) });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, kernels);

/// Where criterion writes to, as it finds it itself; it asks cargo where this takes the place of this program,
/// `target/release/deps/gate-…`.
fn folder() -> PathBuf {
    let built = || {
        let this = std::env::current_exe().unwrap_or_default();
        this.ancestors().nth(3).unwrap_or(Path::new("target")).to_path_buf()
    };
    match std::env::var_os("CRITERION_HOME") {
        Some(home) => home.into(),
        None => std::env::var_os("CARGO_TARGET_DIR").map_or_else(built, PathBuf::from).join("criterion"),
    }
}

/// Set for the launches of this program by itself.
const LAUNCHED: &str = "LARDER_GATE_LAUNCH";

fn main() -> Result<(), BenchError> {
    let bench = std::env::args_os().any(|word| word == "--bench");
    if !bench || std::env::var_os(LAUNCHED).is_some() {
        benches();
        Criterion::default().configure_from_args().final_summary();
        return Ok(());
    }
    let folder = folder();
    let origin = Origin::begin(&folder)?;
    let this = std::env::current_exe().map_err(BenchError::io("find", Path::new("this program")))?;
    for which in 0..LAUNCHES {
        let mut again = Command::new(&this);
        again.args(std::env::args_os().skip(1)).env(LAUNCHED, "1").env("CRITERION_HOME", launch(&folder, which));
        let status = again.status().map_err(BenchError::io("start", &this))?;
        if !status.success() {
            return Err(BenchError::NotMeasured(format!("launch {which} of {} ended with {status}", this.display())));
        }
    }
    origin.keep(&folder)
}
