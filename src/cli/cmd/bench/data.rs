//! `larder bench data`.

use super::data_options::{DataOptions, watched};
use crate::base::escape;
use crate::cli::context::Context;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::cli::human;
use crate::cli::output::Colour;
use crate::cli::table::Table;
use crate::harness::data::made::{self, State};
use crate::harness::data::recipe::{Recipe, Source};
use crate::harness::data::tree::Version;
use crate::harness::data::verify::{self, Outcome, Verified};
use crate::harness::data::{Catalog, DataPlaces, make};
use serde::Serialize;

const EXAMPLES: &str = "\
Examples:
  larder bench data list
  larder bench data make kernel logs-small
  larder bench data verify

All subcommands of bench take the name of a data set in place of a path. If a path with that name exists, the path is taken.

Seeded data sets are made when they are first used. The others are made only by `make`, since they need other programs \
(apt-get, mke2fs, sqlite3), the network, or much time. NAME-small is a small version of NAME, for trying things out.";

const LIST_EXAMPLES: &str = "\
Examples:
  larder bench data list
  larder bench data list --json
  larder bench data list --datasets my-recipes";

const MAKE_EXAMPLES: &str = "\
Examples:
  larder bench data make tiny
  larder bench data make kernel image --data-dir /srv/bench
  larder bench data make sparse --again

When the mirrors no longer have a package, or the machine has no network, put the package file into the folder `packages` \
below the data folder.";

const VERIFY_EXAMPLES: &str = "\
Examples:
  larder bench data verify
  larder bench data verify tiny kernel

The recipe of a seeded data set contains a digest, and the data is the same on every machine, byte for byte. Other data \
sets are compared with the digest that was recorded when they were made. A path whose recipe has no digest is not compared.

When a data set differs, the exit code is 20.";

/// List, make and verify data sets
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the data sets with their purpose and size, and whether they exist
    #[command(after_help = LIST_EXAMPLES)]
    List {
        #[command(flatten)]
        data: DataOptions,
    },
    /// Make data sets that do not exist yet
    #[command(after_help = MAKE_EXAMPLES)]
    Make {
        /// The names of data sets
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
        /// Make them again if they exist
        #[arg(long)]
        again: bool,
        #[command(flatten)]
        data: DataOptions,
    },
    /// Read data sets and compare them with their recipes
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify {
        /// The names of data sets [default: all that exist]
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        #[command(flatten)]
        data: DataOptions,
    },
}

pub fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    match args.command {
        Command::List { data } => list(context, &data),
        Command::Make { names, again, data } => make(context, &names, again, &data),
        Command::Verify { names, data } => verify(context, &names, &data),
    }
}

/// One line of `list` and of `make`.
#[derive(Serialize)]
struct DataSetObject<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    source: &'static str,
    state: &'static str,
    stands_for: &'a str,
    changes: Option<&'a str>,
    licence: &'a str,
    recipe: &'a str,
    made_from: Vec<String>,
    first: VersionObject,
    second: Option<VersionObject>,
}

#[derive(Serialize)]
struct VersionObject {
    path: String,
    bytes: Option<u64>,
    files: Option<u64>,
    digest: Option<String>,
}

fn list(context: &Context, options: &DataOptions) -> Result<ExitCode, Failure> {
    let places = options.places(context)?;
    let catalog = Catalog::load(&places)?;
    let mut table = Table::new(&["name", "source", ">bytes", ">files", ">second", "state", "stands for"]);
    for recipe in catalog.recipes() {
        let object = object(recipe, &places)?;
        if context.out.json {
            context.out.object(&object)?;
            continue;
        }
        let number = |n: Option<u64>, show: fn(u64) -> String| n.map_or("?".into(), show);
        table.row([
            recipe.name.clone(),
            object.source.into(),
            number(object.first.bytes, human::bytes),
            number(object.first.files, human::count),
            object.second.as_ref().map_or("-".into(), |second| number(second.bytes, human::bytes)),
            object.state.into(),
            escape::text(&recipe.stands_for),
        ]);
    }
    if !context.out.json {
        table.print(&context.out)?;
    }
    context.out.note(&format!("made data sets are in {}", places.made.display()));
    Ok(ExitCode::Ok)
}

fn object<'a>(recipe: &'a Recipe, places: &DataPlaces) -> Result<DataSetObject<'a>, Failure> {
    let (state, record) = match &recipe.source {
        Source::Path(_) if made::place(recipe, Version::First, places).exists() => ("there", None),
        Source::Path(_) => ("missing", None),
        _ => match made::state(recipe, places)? {
            State::Missing => ("not made", None),
            State::Made(record) => ("made", Some(record)),
            State::Incomplete(record) => ("incomplete", Some(record)),
            State::Outdated => ("outdated", None),
            State::Foreign => ("not ours", None),
        },
    };
    let version = |version| {
        let expected = recipe.expected(version)?;
        let made = record.as_ref().and_then(|record| record.version(version));
        Some(VersionObject {
            path: made::place(recipe, version, places).display().to_string(),
            bytes: made.map(|made| made.bytes).or(expected.bytes),
            files: made.map(|made| made.files).or(expected.files),
            digest: made.map(|made| made.digest.clone()).or_else(|| expected.digest.clone()),
        })
    };
    let (first, second) = (version(Version::First), version(Version::Second));
    Ok(DataSetObject {
        kind: "data_set",
        name: &recipe.name,
        source: recipe.source.kind(),
        state,
        stands_for: &recipe.stands_for,
        changes: recipe.changes.as_deref(),
        licence: &recipe.licence,
        recipe: &recipe.file,
        made_from: record.as_ref().map_or(vec![], |record| record.made_from.clone()),
        first: first.unwrap_or(VersionObject { path: String::new(), bytes: None, files: None, digest: None }),
        second,
    })
}

fn make(context: &Context, names: &[String], again: bool, options: &DataOptions) -> Result<ExitCode, Failure> {
    let places = options.places(context)?;
    let catalog = Catalog::load(&places)?;
    // A wrong name shall not be told after the first hour.
    let recipes = names.iter().map(|name| catalog.find(name)).collect::<Result<Vec<_>, _>>()?;
    for recipe in recipes {
        let is_there = !again && matches!(made::state(recipe, &places)?, State::Made(_));
        watched(context, |watch| Ok(make::make(&catalog, recipe, &places, again, watch)?))?;
        let mut object = object(recipe, &places)?;
        if is_there {
            // A digest would look as if it had been read.
            object.state = "there already";
            [Some(&mut object.first), object.second.as_mut()].into_iter().flatten().for_each(|v| v.digest = None);
        }
        context.out.result(&object, || {
            let parts = [Some(&object.first), object.second.as_ref()].into_iter().flatten().map(|version| {
                let (bytes, files) = (version.bytes.unwrap_or(0), version.files.unwrap_or(0));
                let digest = version.digest.as_ref().map_or(String::new(), |digest| format!(", {digest}"));
                let (bytes, files) = (human::bytes(bytes), human::counted(files, "file", "files"));
                format!("\n  {}: {bytes} in {files}{digest}", escape::text(&version.path))
            });
            let there = if is_there { ": there already" } else { "" };
            format!("{}{there}{}", recipe.name, parts.collect::<String>())
        })?;
    }
    Ok(ExitCode::Ok)
}

/// One line of `verify`.
#[derive(Serialize)]
struct VerifiedObject<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    version: &'static str,
    bytes: Option<u64>,
    files: Option<u64>,
    digest: Option<String>,
    ok: Option<bool>,
    differs: Option<String>,
    missing: Option<String>,
}

fn verify(context: &Context, names: &[String], options: &DataOptions) -> Result<ExitCode, Failure> {
    let places = options.places(context)?;
    let catalog = Catalog::load(&places)?;
    let mut recipes = names.iter().map(|name| catalog.find(name)).collect::<Result<Vec<_>, _>>()?;
    if names.is_empty() {
        for recipe in catalog.recipes() {
            let is_made = !matches!(recipe.source, Source::Path(_))
                && matches!(made::state(recipe, &places)?, State::Made(_) | State::Incomplete(_));
            if is_made {
                recipes.push(recipe);
            }
        }
        if recipes.is_empty() {
            let message = format!("no data set is made in {}", places.made.display());
            return Err(Failure::failed(message).hint("`larder bench data make NAME` makes one"));
        }
    }
    let mut code = ExitCode::Ok;
    for recipe in recipes {
        for verified in watched(context, |watch| Ok(verify::verify(recipe, &places, watch)?))? {
            if verified.is_damaged() {
                code = ExitCode::Damage;
            }
            say_verified(context, &recipe.name, verified)?;
        }
    }
    Ok(code)
}

fn say_verified(context: &Context, name: &str, verified: Verified) -> Result<(), Failure> {
    let Verified { version, found, outcome } = verified;
    let version = version.word();
    let (bytes, files) = found.as_ref().map(|found| (found.bytes, found.files)).unzip();
    let digest = found.map(|found| found.digest);
    let paint = |word, colour| context.out.paint(word, colour);
    let line = match &outcome {
        Outcome::Same => format!("{} {}", paint("ok", Colour::Green), digest.as_deref().unwrap_or_default()),
        Outcome::NothingKnown => {
            let (files, bytes) =
                (human::counted(files.unwrap_or(0), "file", "files"), human::bytes(bytes.unwrap_or(0)));
            format!("nothing to hold it against: {files}, {bytes}")
        }
        Outcome::Differs(why) => format!("{} {why}", paint("differs:", Colour::Red)),
        Outcome::Missing(why) => format!("{} {}", paint("missing:", Colour::Red), escape::text(why)),
    };
    let ok = match &outcome {
        Outcome::Same => Some(true),
        Outcome::NothingKnown => None,
        Outcome::Differs(_) | Outcome::Missing(_) => Some(false),
    };
    let (differs, missing) = match outcome {
        Outcome::Differs(why) => (Some(why), None),
        Outcome::Missing(why) => (None, Some(why)),
        Outcome::Same | Outcome::NothingKnown => (None, None),
    };
    let object = VerifiedObject { kind: "verified_data", name, version, bytes, files, digest, ok, differs, missing };
    context.out.result(&object, || format!("{name} {version}: {line}"))
}
