//! `larder bench chunking`.

use super::data_options::DataOptions;
use super::finish::{self, ReportOptions};
use super::words;
use crate::cli::context::Context;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::cli::size;
use crate::harness::chunking::chunker::Algorithm;
use crate::harness::chunking::profile::Profile;
use crate::harness::chunking::{self, Options, chunkers};
use crate::harness::report::Report;

const EXAMPLES: &str = "\
Examples:
  larder bench chunking ~/documents
  larder bench chunking linux-6.1 --second linux-6.6 --match-mean
  larder bench chunking disk.img --profile 64K --profile 32K/128K/1M --chunker fastcdc-v2020
  larder bench chunking src --join --rounds 15 --output chunking.html";

/// Compare chunking algorithms on your data
///
/// Every chunker cuts the data in memory, once for each profile. The report shows the sizes of chunks, the deduplication,
/// how much is found again after small edits, and the throughput. Chunkers whose mean chunk sizes differ by more than 5 %
/// are not ranked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The data to cut: a file, a folder, or the name of a data set (see `larder bench data list`)
    #[arg(value_name = "PATH|DATASET")]
    data: String,

    /// Another version of the data, to measure deduplication with [default: the second version of the data set]
    #[arg(long, value_name = "PATH|DATASET")]
    second: Option<String>,

    /// Chunk sizes: the average, or smallest/average/largest (repeatable) [default: 256K, 8K, 1M]
    #[arg(long, value_name = "AVG|MIN/AVG/MAX", value_parser = profile)]
    profile: Vec<Profile>,

    /// The chunker to measure: larder, larder-across, fastcdc-v2020, fastcdc-v2016, fastcdc-ronomon, gear or fixed
    /// (repeatable) [default: all]
    #[arg(long, value_name = "NAME")]
    chunker: Vec<String>,

    /// Tune each chunker until its mean chunk size equals that of the first one
    #[arg(long)]
    match_mean: bool,

    /// Cut all files as one stream, as if they were in an archive
    #[arg(long)]
    join: bool,

    /// Read at most this much of each version into memory
    #[arg(long, value_name = "SIZE", value_parser = size::parse, default_value = "1GiB")]
    limit: u64,

    /// How often each measurement is repeated
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: u32,

    /// How many threads the parallel measurements use [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,

    /// The seed from which the places of edits are drawn
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    #[command(flatten)]
    report: ReportOptions,
    #[command(flatten)]
    data_sets: DataOptions,
}

pub fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let options = options(&args)?;
    let mut data = args.data_sets.resolve(context, &args.data)?;
    if let Some(second) = &args.second {
        data.second = Some(args.data_sets.resolve(context, second)?.path);
    }
    let stop = context.interrupt.deferred();
    let mut report = Report::new("chunking", &words());
    let say = |words: &str| context.out.note(words);
    let keep = |report: &Report| finish::save_progress(&args.report, report);
    let outcome = chunking::run(&data, &options, &stop, &say, &mut report, keep);
    context.interrupt.immediate();
    finish::conclude(context, &args.report, &report, outcome)?;
    Ok(ExitCode::Ok)
}

fn options(args: &Args) -> Result<Options, Failure> {
    let mut options = Options {
        match_mean: args.match_mean,
        join: args.join,
        limit: args.limit,
        rounds: args.rounds as usize,
        seed: args.seed,
        ..Options::default()
    };
    if let Some(threads) = args.threads {
        options.threads = threads.into();
    }
    if !args.profile.is_empty() {
        options.profiles = without_repeats(&args.profile);
    }
    if !args.chunker.is_empty() {
        let named = without_repeats(&args.chunker);
        let algorithms = named.iter().map(|name| chunkers::by_name(name));
        options.algorithms = algorithms.collect::<Result<Vec<&dyn Algorithm>, _>>()?;
    }
    Ok(options)
}

fn without_repeats<T: PartialEq + Clone>(given: &[T]) -> Vec<T> {
    let mut kept: Vec<T> = vec![];
    for one in given {
        if !kept.contains(one) {
            kept.push(one.clone());
        }
    }
    kept
}

/// `64K`, or `16K/64K/256K`.
fn profile(text: &str) -> Result<Profile, String> {
    let size = |text: &str| size::parse(text).map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    let sizes = text.split('/').map(size).collect::<Result<Vec<usize>, String>>()?;
    let profile = match sizes[..] {
        [avg] => Profile::of_avg(avg),
        [min, avg, max] => Profile::new(min, avg, max),
        _ => return Err(format!("{text}: give the average, or smallest/average/largest, such as 64K/256K/1M")),
    };
    profile.map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_an_average_or_three_sizes() {
        assert_eq!(profile("256K"), Ok(Profile::LARDER));
        assert_eq!(profile("64K/256K/1M"), Ok(Profile::LARDER));
        assert!(profile("64K/256K").unwrap_err().contains("smallest/average/largest"));
        assert!(profile("1K/x/4K").is_err());
        assert!(profile("64M").unwrap_err().starts_with("profile "));
        assert!(profile("").is_err());
    }
}
