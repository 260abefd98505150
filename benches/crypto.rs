//! What hashing (keyed, to ids) and sealing cost: blobs of two sizes, the cipher alone, a pack's keys, small objects, opening
//! a slot, signatures. `cargo bench --bench crypto`; `cargo bench --features aws-lc --bench crypto -- aead` has the cipher of
//! both libraries side by side.

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use larder::base::id::StoreId;
use larder::base::limits::{GROUP_BYTES, KIB, MIB};
use larder::crypto::aead::{Aead, NONCE_LEN, RustCrypto};
use larder::crypto::hash::content_id;
use larder::crypto::lanes::ManyHasher;
use larder::crypto::pack::{NonceInput, PackKey};
use larder::crypto::seal::{open_small, seal_small};
use larder::crypto::sign::{Domain, SigningKey, verify};
use larder::crypto::slot::{Credential, KdfCost, unwrap, wrap};
use larder::format::blob::{BlobKind, SEAL_OVERHEAD};
use larder::format::envelope::{Envelope, ObjectKind};
use larder::format::keyslot::KeyBundle;
use std::hint::black_box;
use std::time::Duration;
use zeroize::Zeroizing;

const STORE: StoreId = StoreId([1; 16]);

fn bulk(c: &mut Criterion) {
    let key = PackKey::new(&[1; 32], b"header");
    for len in [4 * KIB, GROUP_BYTES] {
        let mut group = c.benchmark_group(format!("crypto/{} KiB", len / KIB));
        group.throughput(Throughput::Bytes(len as u64));
        let plain = vec![7; len];
        group.bench_function("hash", |b| b.iter(|| content_id(&[2; 32], black_box(&plain))));
        let mut blob = vec![7; len + SEAL_OVERHEAD];
        let ids = || NonceInput::Ids { codec: 0, plain_len: len as u32, ids: &[3; 32] };
        group.bench_function("seal", |b| b.iter(|| key.seal(BlobKind::Chunks, 9, ids(), black_box(&mut blob))));
        // Opening works in place, so each round seals first.
        group.bench_function("seal and open", |b| {
            b.iter(|| {
                key.seal(BlobKind::Chunks, 9, ids(), black_box(&mut blob));
                assert!(key.open(BlobKind::Chunks, 9, &mut blob).is_ok());
            });
        });
        group.finish();
    }
}

/// What this thread has taken of a processor: other work on the machine counts less than by the clock.
struct ThreadTime;

impl Measurement for ThreadTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }

    fn end(&self, start: Duration) -> Duration {
        self.start() - start
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// The cipher alone, of each library in this build, in CPU time.
fn aead(c: &mut Criterion<ThreadTime>) {
    let mut group = c.benchmark_group("crypto/aead");
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    for len in [KIB, 16 * KIB, 256 * KIB, MIB] {
        group.throughput(Throughput::Bytes(len as u64));
        seal_and_open::<RustCrypto>(&mut group, len);
        #[cfg(feature = "aws-lc")]
        seal_and_open::<larder::crypto::aead::AwsLc>(&mut group, len);
    }
    group.finish();
}

fn seal_and_open<A: Aead>(group: &mut BenchmarkGroup<'_, ThreadTime>, len: usize) {
    let (cipher, nonce, associated) = (A::new(&[1; 32]), [2; NONCE_LEN], [3; 5]);
    let mut text = vec![7; len];
    let name = |what: &str| BenchmarkId::new(format!("{} {what}", A::LIBRARY), format!("{} KiB", len / KIB));
    group.bench_function(name("seal"), |b| b.iter(|| cipher.seal(&nonce, &associated, black_box(&mut text))));
    let tag = cipher.seal(&nonce, &associated, &mut text);
    // Opening works in place, so each round takes a copy, made while no clock runs; few at once, so that they stay in
    // the cache as a text that is sealed does.
    let copies = BatchSize::NumIterations((MIB / len) as u64);
    group.bench_function(name("open"), |b| {
        b.iter_batched_ref(
            || text.clone(),
            |text| assert!(cipher.open(&nonce, &associated, black_box(text), &tag).is_ok()),
            copies,
        );
    });
}

/// Ids of a batch of small contents, one by one and side by side.
fn many(c: &mut Criterion) {
    let mut plain = vec![0; 2 << 20];
    blake3::Hasher::new().finalize_xof().fill(&mut plain);
    let mut hasher = ManyHasher::default();
    for (name, least, span) in [("below 2 KB", 600, 1400), ("1 to 4 KiB", 1024, 3072), ("4 to 16 KiB", 4096, 12288)] {
        // Lengths spread evenly, in no order.
        let lengths = (0..1024u32).map(|n| least + n.wrapping_mul(0x9e37_79b9) % span);
        let contents: Vec<(u32, u32)> = lengths
            .scan(0, |at, len| {
                let start = *at;
                *at += len;
                Some((start, len))
            })
            .take_while(|(at, len)| (at + len) as usize <= plain.len())
            .collect();
        let mut group = c.benchmark_group(format!("crypto/ids of contents {name}"));
        group.throughput(Throughput::Elements(contents.len() as u64));
        group.bench_function("one by one", |b| {
            b.iter(|| {
                for (at, len) in &contents {
                    black_box(content_id(&[2; 32], black_box(&plain[*at as usize..(at + len) as usize])));
                }
            });
        });
        group.bench_function("side by side", |b| {
            b.iter(|| hasher.content_ids(&[2; 32], black_box(&plain), contents.iter().copied()).len());
        });
        group.finish();
    }
}

fn small(c: &mut Criterion) {
    let mut group = c.benchmark_group("crypto/small");
    group.bench_function("keys of a pack", |b| b.iter(|| PackKey::new(&[1; 32], black_box(&[2; 79]))));
    let envelope = Envelope { kind: ObjectKind::Manifest, store: STORE, epoch: 1 };
    let object = seal_small(&[1; 32], &envelope, &[5; 400]);
    group.bench_function("seal an object", |b| b.iter(|| seal_small(&[1; 32], &envelope, black_box(&[5; 400]))));
    group.bench_function("open an object", |b| b.iter(|| open_small(&[1; 32], &envelope, black_box(&object))));
    let signer = SigningKey::from_seed(&[3; 32]);
    let (public, signature) = (signer.public(), signer.sign(Domain::Manifest, &STORE, &object));
    group.bench_function("sign", |b| b.iter(|| signer.sign(Domain::Manifest, &STORE, black_box(&object))));
    group.bench_function("verify", |b| {
        b.iter(|| verify(&public, Domain::Manifest, &STORE, black_box(&object), &signature));
    });
    group.finish();
}

fn slots(c: &mut Criterion) {
    let mut group = c.benchmark_group("crypto/slot");
    group.sample_size(10);
    let bundle = KeyBundle {
        role: 3,
        store_secret: [1; 32],
        master: [2; 32],
        maintainer_seed: [3; 32],
        exchange_secret: [0; 32],
    };
    for (name, credential) in [
        ("key file", Credential::KeyFile(Zeroizing::new([4; 32]))),
        ("passphrase", Credential::Passphrase(Zeroizing::new("a passphrase".to_owned()))),
    ] {
        let slot = wrap(STORE, &bundle, &credential, KdfCost::default(), "bench").expect("the default cost is allowed");
        group.bench_function(name, |b| b.iter(|| unwrap(black_box(&slot), &credential).is_ok()));
    }
    group.finish();
}

criterion_group!(benches, bulk, many, small, slots);
criterion_group!(name = cipher; config = Criterion::default().with_measurement(ThreadTime); targets = aead);
criterion_main!(benches, cipher);
