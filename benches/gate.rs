//! The kernels of `larder bench gate`, each beside the reference that its time is a ratio of, in the order ours, reference,
//! reference, ours. `cargo bench --bench gate`, then `larder bench gate --tiers c --criterion target/criterion`.

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use larder::harness::gate::criterion::{ORDER, group};
use larder::harness::gate::kernels::{BYTES, Bench, KERNELS};
use std::time::Duration;

fn kernels(c: &mut Criterion) {
    let mut bench = Bench::new().expect("the default parameters are allowed");
    for kernel in KERNELS {
        let mut group = c.benchmark_group(group(&kernel));
        group.throughput(Throughput::Bytes(BYTES as u64)).sampling_mode(SamplingMode::Flat).sample_size(20);
        group.warm_up_time(Duration::from_millis(150)).measurement_time(Duration::from_millis(500));
        for (name, is_reference) in ORDER {
            group.bench_function(name, |b| {
                b.iter(|| if is_reference { bench.run_reference(kernel) } else { bench.run(kernel) });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, kernels);
criterion_main!(benches);
