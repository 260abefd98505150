//! The options that say where data sets are. Every subcommand that measures with a data set has them.

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::harness::data::{self, DataPlaces, DataSet, Watch};
use std::path::PathBuf;

/// Flattened into the verbs' arguments.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Data sets")]
pub struct DataOptions {
    /// The folder that data sets are made in [default: ~/.cache/larder/bench-data]
    #[arg(long, value_name = "DIR", env = "LARDER_DATA_DIR", hide_env_values = true)]
    pub data_dir: Option<PathBuf>,

    /// A folder with more recipes of data sets, *.toml (repeatable)
    #[arg(long, value_name = "DIR")]
    pub datasets: Vec<PathBuf>,
}

impl DataOptions {
    /// As the harness takes them.
    pub fn places(&self, context: &Context) -> Result<DataPlaces, Failure> {
        let made = match &self.data_dir {
            Some(folder) => folder.clone(),
            None => context.places()?.cache.join("bench-data"),
        };
        // Programs that make data run in folders of their own.
        let made = std::path::absolute(&made).map_err(|e| Failure::io("cannot find", &made, &e))?;
        Ok(DataPlaces { made, recipes: self.datasets.clone() })
    }

    /// The path or data set that a person named. A seeded one is made when it is not there, and that is told.
    pub fn resolve(&self, context: &Context, word: &str) -> Result<DataSet, Failure> {
        let places = self.places(context)?;
        watched(context, |watch| Ok(data::resolve_watched(word, &places, watch)?))
    }
}

/// Runs something long: what it says is noted, a signal ends it.
pub fn watched<T>(context: &Context, run: impl FnOnce(&Watch<'_>) -> Result<T, Failure>) -> Result<T, Failure> {
    let cancel = context.interrupt.deferred();
    let say = |line: &str| context.out.note(line);
    let result = run(&Watch { say: Some(&say), cancel: Some(&cancel) });
    context.interrupt.immediate();
    result
}
