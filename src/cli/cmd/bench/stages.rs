//! `larder bench stages`.

use super::data_options::DataOptions;
use super::finish::{ReportOptions, conclude, save_progress};
use super::words;
use crate::cli::context::Context;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::cli::size;
use crate::codec::Compression;
use crate::harness::BenchError;
use crate::harness::report::{Report, Section};
use crate::harness::scenario::job::read_mode;
use crate::harness::stages::{self, Stages, StagesOptions};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  larder bench stages ~/src
  larder bench stages /var/lib/images --limit 1G --compression zstd:3
  larder bench stages ~/src --work /mnt/backup           measures writing to that disk
  larder bench stages ~/src --path blake3=avx2           hashes with AVX2

Each kernel runs alone, on the same input that the pipeline would give it: first on one core, then on all. From these times \
larder computes the roofline: the fastest first backup of this data that this machine allows, and the kernel that limits it.";

/// Measure each kernel of the pipeline, and the fastest backup that they allow
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The data to measure with: a path, or the name of a data set
    #[arg(value_name = "PATH|DATASET")]
    data: String,
    /// Run a kernel on this CPU path (repeatable). blake3 and gear can run on every path that this CPU has; aead, chacha20,
    /// poly1305, lz4 and zstd have a single path
    #[arg(long, value_name = "KERNEL=PATH", value_delimiter = ',', visible_alias = "cpu-path")]
    path: Vec<String>,
    #[command(flatten)]
    kernels: KernelArgs,
    /// How many rounds to run; each runs every kernel on one core and on all cores
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How data is compressed before it is sealed and stored: lz4, zstd[:LEVEL] or none. LZ4 is always measured too
    #[arg(long, value_name = "CODEC", default_value = "lz4")]
    compression: Compression,
    /// How big files are read: auto, mmap or pread
    #[arg(long, value_name = "MODE", default_value = "auto")]
    read: String,
    /// A folder on the storage to measure [default: the folder for temporary files]
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    #[command(flatten)]
    report: ReportOptions,
    #[command(flatten)]
    data_sets: DataOptions,
}

/// What kernels are measured on.
#[derive(Debug, Clone, clap::Args)]
pub struct KernelArgs {
    /// Run the kernels on at most this much of the data
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = size::above_0)]
    pub limit: u64,
    /// How many rows the index has in which look-ups are measured
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub index_rows: u64,
    /// How much data each round stores
    #[arg(long, value_name = "SIZE", default_value = "128M", value_parser = size::above_0)]
    pub store_bytes: u64,
}

pub fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let data = args.data_sets.resolve(context, &args.data)?;
    let options = StagesOptions {
        rounds: args.rounds as usize,
        limit: args.kernels.limit,
        index_rows: args.kernels.index_rows,
        store_bytes: args.kernels.store_bytes,
        compression: args.compression,
        read: read_mode(&args.read)?,
        work: args.work.unwrap_or_else(std::env::temp_dir),
        paths: args.path,
        cancel: context.interrupt.deferred(),
    };
    // The run begins here: what disturbs it is seen from now on.
    let (mut report, used) = (Report::new("stages", &words()), data.used()?);
    let tell = |what: &str| say(context, what);
    let sections = |so_far: &Stages| -> Vec<Section> { stages::sections(so_far, &used) };
    let mut latest = None;
    let outcome = stages::measure(&data.path, &options, &tell, &mut |so_far| {
        latest = Some(so_far.clone());
        if args.report.save.is_some() {
            report.sections = sections(so_far);
        }
        save_progress(&args.report, &report).map_err(|failure| BenchError::NotMeasured(failure.message))
    });
    context.interrupt.immediate();
    report.sections = latest.as_ref().map_or_else(Vec::new, sections);
    conclude(context, &args.report, &report, outcome.map(|_| ()).map_err(Failure::from))?;
    Ok(ExitCode::Ok)
}

/// What is being done, for a person who asked for it with -v.
pub fn say(context: &Context, what: &str) {
    if context.out.verbose > 0 {
        context.out.note(what);
    }
}
