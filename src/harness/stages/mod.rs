//! Each kernel of the pipeline alone, on one core and on all, and the roofline they add up to.
//!
//! The kernels are the pipeline's own functions over batches of the given data ([`input`], [`kernel`]). They run in
//! rotated order, round by round, so that what disturbs the machine for a while disturbs all of them. From their medians
//! comes the [`roofline`]: what a run can reach at most on this machine, and what stands in its way.

pub mod path;
pub mod hasher;
pub mod input;
pub mod kernel;
pub mod lookup;
pub mod storing;
pub mod roofline;
mod sections;

pub use sections::sections;

use super::BenchError;
use super::stats::median;
use crate::chunking::ScanPath;
use crate::codec::Compression;
use crate::source::fs::ReadMode;
use input::{InputOptions, Shape};
use kernel::{Bench, Kernel, Load};
use roofline::{Per, Roofline, Term, Work};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// How to measure.
#[derive(Debug, Clone)]
pub struct StagesOptions {
    /// Rounds; each runs every kernel once on one core and once on all.
    pub rounds: usize,
    /// Bytes of the data that are used at most.
    pub limit: u64,
    /// Rows of the index that look-ups are made in.
    pub index_rows: u64,
    /// Bytes that a round stores.
    pub store_bytes: u64,
    /// The codec whose blobs are sealed; LZ4 is measured beside it.
    pub compression: Compression,
    /// How big files are read.
    pub read: ReadMode,
    /// Where packs go: a folder on the storage that is measured.
    pub work: PathBuf,
    /// `KERNEL=PATH`: paths that must be in use; of `blake3` and `gear` any that is here, which is then measured.
    pub paths: Vec<String>,
    /// Set from outside to end early.
    pub cancel: Arc<AtomicBool>,
}

impl Default for StagesOptions {
    fn default() -> StagesOptions {
        StagesOptions {
            rounds: 5,
            limit: 256 << 20,
            index_rows: 1_000_000,
            store_bytes: 128 << 20,
            compression: Compression::default(),
            read: ReadMode::default(),
            work: std::env::temp_dir(),
            paths: Vec::new(),
            cancel: Arc::default(),
        }
    }
}

/// What was measured of one kernel.
#[derive(Debug, Clone)]
pub struct Measured {
    pub kernel: Kernel,
    /// What it is called.
    pub name: String,
    /// The code it runs: `blake3 avx512`.
    pub path: String,
    /// What a round works through.
    pub load: Load,
    /// Seconds of each round on one core.
    pub one: Vec<f64>,
    /// On all cores; empty for what one thread does in order.
    pub all: Vec<f64>,
}

/// What was measured of all.
#[derive(Debug, Clone)]
pub struct Stages {
    /// The kernels, in the order of the pipeline.
    pub kernels: Vec<Measured>,
    /// What the data is like.
    pub shape: Shape,
    /// Bytes of its blobs.
    pub blob_bytes: u64,
    /// Entries of all the data.
    pub walked: u64,
    /// Rows of the index.
    pub index_rows: u64,
    /// Cores that the pool had.
    pub cores: usize,
    /// The path that was chosen for hashing, where it is not the one in use.
    pub hash_on: Option<&'static str>,
    /// The same for cutting.
    pub cut_on: Option<&'static str>,
    /// Where they lead.
    pub roofline: Roofline,
}

/// Measures all kernels on the data. `tell` hears what is being done; `so_far` gets what is measured after every round,
/// also after one that was stopped.
pub fn measure(
    data: &Path,
    options: &StagesOptions,
    tell: &dyn Fn(&str),
    so_far: &mut dyn FnMut(&Stages) -> Result<(), BenchError>,
) -> Result<Stages, BenchError> {
    let path::Chosen { hash_on, cut_on } = path::demand(&options.paths)?;
    if options.rounds == 0 {
        return Err(BenchError::Invalid("no rounds: ask for at least one".into()));
    }
    tell("reading and cutting the data");
    let input = InputOptions { read: options.read, limit: options.limit, compression: options.compression, cut_on };
    let input = input::prepare(data, &input, &options.cancel)?;
    tell("building an index");
    let lookup = lookup::Lookup::new(options.index_rows)?;
    let storing = storing::Storing::new(&options.work, options.store_bytes)?;
    let mut bench = kernel::bench(data, options.read, input, lookup, storing)?;
    bench.hash_on = hash_on;
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let pools = (pool(1)?, pool(cores)?);
    let kernels: Vec<_> = bench.kernels().into_iter().map(|kernel| begun(&bench, kernel)).collect();
    tell("warming up");
    for measured in &kernels {
        stop_if(&options.cancel)?;
        bench.run(measured.kernel, &pools.1)?;
    }
    let mut stages = Stages {
        blob_bytes: bench.load(Kernel::Seal).bytes,
        shape: bench.input.shape.clone(),
        walked: bench.walked,
        index_rows: bench.lookup.rows(),
        hash_on: hash_on.as_ref().map(path::name_of),
        cut_on: cut_on.map(ScanPath::name),
        cores,
        roofline: Roofline::default(),
        kernels,
    };
    for number in 0..options.rounds {
        let outcome = round(&mut bench, &mut stages.kernels, number, &pools, options, tell);
        let kernels = &stages.kernels;
        stages.roofline = Roofline { terms: terms(kernels, bench.chosen()), sink: sink(kernels), cores };
        if stages.kernels.iter().any(|kernel| !kernel.one.is_empty()) {
            so_far(&stages)?;
        }
        outcome?;
    }
    Ok(stages)
}

/// Each round begins with another kernel.
fn round(
    bench: &mut Bench,
    kernels: &mut [Measured],
    number: usize,
    (one, all): &(rayon::ThreadPool, rayon::ThreadPool),
    options: &StagesOptions,
    tell: &dyn Fn(&str),
) -> Result<(), BenchError> {
    for turn in 0..kernels.len() {
        stop_if(&options.cancel)?;
        let at = (turn + number) % kernels.len();
        let measured = &mut kernels[at];
        tell(&format!("round {} of {}: {}", number + 1, options.rounds, measured.name));
        measured.one.push(seconds_of(bench, measured.kernel, one)?);
        if !measured.kernel.is_ordered() {
            measured.all.push(seconds_of(bench, measured.kernel, all)?);
        }
    }
    Ok(())
}

fn stop_if(cancel: &AtomicBool) -> Result<(), BenchError> {
    if cancel.load(Relaxed) { Err(BenchError::Interrupted) } else { Ok(()) }
}

/// A sample takes at least so long: what is shorter runs again, and the mean counts.
const SAMPLE_MIN: Duration = Duration::from_millis(20);
/// So often at most.
const RUNS_MAX: u32 = 20;

/// One sample of a kernel.
fn seconds_of(bench: &mut Bench, kernel: Kernel, pool: &rayon::ThreadPool) -> Result<f64, BenchError> {
    let (mut taken, mut runs) = (Duration::ZERO, 0);
    while taken < SAMPLE_MIN && runs < RUNS_MAX {
        taken += bench.run(kernel, pool)?;
        runs += 1;
    }
    Ok(taken.as_secs_f64() / f64::from(runs))
}

fn pool(threads: usize) -> Result<rayon::ThreadPool, BenchError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(|n| format!("bench-{n}")).build();
    pool.map_err(|error| BenchError::NotMeasured(format!("thread pool: {error}")))
}

fn begun(bench: &Bench, kernel: Kernel) -> Measured {
    let paths = path::paths();
    let used = kernel.paths(&bench.input).iter().filter_map(|name| paths.iter().find(|p| p.kernel == *name));
    let path: Vec<_> = used.map(|path| format!("{} {}", path.kernel, path.used)).collect();
    let mut path = path.join(", ");
    if let (Kernel::Hash, Some(chosen)) = (kernel, &bench.hash_on) {
        path = format!("blake3 {}", path::name_of(chosen));
    }
    if let Kernel::Cut | Kernel::Select = kernel {
        path = format!("gear {}", bench.input.context.cutter.path().name());
    }
    let (name, load) = (kernel.name(&bench.input), bench.load(kernel));
    Measured { kernel, name, path, load, one: Vec::new(), all: Vec::new() }
}

/// Median seconds of a kernel on one core and on all.
fn seconds(kernels: &[Measured], kernel: Kernel) -> Option<(f64, f64, Load)> {
    let found = kernels.iter().find(|k| k.kernel == kernel && k.is_measured())?;
    let one = median(&found.one);
    Some((one, if found.all.is_empty() { one } else { median(&found.all) }, found.load))
}

fn sink(kernels: &[Measured]) -> Option<f64> {
    seconds(kernels, Kernel::Store).map(|(one, _, load)| load.bytes as f64 / one)
}

/// The costs of the roofline's units.
fn terms(kernels: &[Measured], chosen: usize) -> Vec<Term> {
    let list: [(&'static str, Per, Kernel); 14] = [
        ("walk", Per::Entry, Kernel::Walk),
        ("open and close files", Per::File, Kernel::Files),
        ("read", Per::ByteRead, Kernel::Read),
        ("cut and scan", Per::ByteScanned, Kernel::Cut),
        ("select", Per::ByteBig, Kernel::Select),
        ("hash", Per::ByteHashed, Kernel::Hash),
        ("look-up", Per::Chunk, Kernel::Miss),
        ("claim", Per::Chunk, Kernel::Claim),
        ("compress", Per::ByteNew, Kernel::Compress(chosen)),
        ("seal", Per::ByteSealed, Kernel::Seal),
        ("pack", Per::ByteSealed, Kernel::Pack),
        ("fetch", Per::ByteFetched, Kernel::Fetch),
        ("open", Per::ByteOpened, Kernel::Open),
        ("locate", Per::LookUp, Kernel::Hit),
    ];
    let decompress = ("decompress", Per::ByteDecompressed, Kernel::Decompress(chosen));
    let files = seconds(kernels, Kernel::Files).map_or((0.0, 0.0), |(one, all, _)| (one, all));
    let cost = |(name, per, kernel): (&'static str, Per, Kernel)| {
        let (mut one, mut all, load) = seconds(kernels, kernel)?;
        if kernel == Kernel::Read {
            // It opens the files too, and that is a term of its own.
            (one, all) = ((one - files.0).max(0.0), (all - files.1).max(0.0));
        }
        let counted_in_items = matches!(per, Per::Entry | Per::File | Per::Chunk | Per::LookUp);
        let units = if counted_in_items { load.items } else { load.bytes };
        let each = |seconds: f64| seconds * 1e9 / units.max(1) as f64;
        Some(Term { name, per, one: each(one), all: each(all), ordered: kernel.is_ordered() })
    };
    list.into_iter().chain([decompress]).filter_map(cost).collect()
}

impl Measured {
    /// It has had a round.
    pub fn is_measured(&self) -> bool {
        !self.one.is_empty() && (self.kernel.is_ordered() || !self.all.is_empty())
    }
}

impl Stages {
    /// Every kernel has had a round: without that the roofline would lack terms.
    pub fn is_whole(&self) -> bool {
        self.kernels.iter().all(Measured::is_measured)
    }

    /// The work of a first backup of the data that was measured (as far as the limit).
    pub fn first_backup(&self) -> Work {
        let shape = &self.shape;
        Work {
            entries: shape.entries as f64,
            files: shape.files as f64,
            read: shape.bytes as f64,
            scanned: shape.scanned as f64,
            big: shape.big as f64,
            hashed: shape.hashed as f64,
            chunks: shape.chunks as f64,
            new: shape.new as f64,
            sealed: self.blob_bytes as f64,
            ..Work::default()
        }
    }
}

#[cfg(test)]
mod tests;
