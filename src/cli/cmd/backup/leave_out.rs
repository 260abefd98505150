//! The options that exclude files. clap gives the values of each option apart from the others, but the last rule that
//! matches decides, so this file restores the order in which they were typed.

use super::LEAVE_OUT;
use crate::base::escape;
use crate::source::filter::{Given, GivenIn};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Exclude rules, in the order in which they were typed.
#[derive(Debug, Clone, Default)]
pub struct Rules(pub Vec<Given>);

/// An option's name, whether it takes a file, and whether letters match in either case.
const OPTIONS: [(&str, bool, bool); 4] = [
    ("exclude", false, false),
    ("iexclude", false, true),
    ("exclude-file", true, false),
    ("iexclude-file", true, true),
];

impl Rules {
    /// The options again, for people who look at the snapshot later.
    pub fn words(&self) -> Vec<String> {
        let word = |Given { place, ignore_case }: &Given| {
            let (is_file, value) = match place {
                GivenIn::Pattern(pattern) => (false, pattern.as_os_str()),
                GivenIn::File(path) => (true, path.as_os_str()),
            };
            let name = OPTIONS.iter().find(|(_, file, case)| (*file, *case) == (is_file, *ignore_case));
            format!("--{}={}", name.map_or("exclude", |option| option.0), escape::name(value.as_bytes()))
        };
        self.0.iter().map(word).collect()
    }
}

impl clap::Args for Rules {
    fn augment_args(command: Command) -> Command {
        let option = |name: &'static str, value: &'static str, help: &'static str| {
            Arg::new(name).long(name).value_name(value).help(help).help_heading(LEAVE_OUT).action(ArgAction::Append)
        };
        let pattern = |name, help| option(name, "PATTERN", help).value_parser(value_parser!(OsString));
        let file = |name, help| option(name, "FILE", help).value_parser(value_parser!(PathBuf));
        let exclude = "Leave out what matches this pattern in .gitignore syntax (repeatable). A name matches in every \
                       directory; /x is an absolute path in the snapshot; ./x and x/y begin at each PATH; a leading ! \
                       keeps what matches. The last pattern that matches decides";
        command
            .arg(pattern("exclude", exclude).short('e'))
            .arg(pattern("iexclude", "Like --exclude, without regard to upper and lower case"))
            .arg(file("exclude-file", "Leave out what the patterns in this file match, one pattern a line"))
            .arg(file("iexclude-file", "Like --exclude-file, without regard to upper and lower case"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Rules {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Rules, clap::Error> {
        let mut rules = Vec::new();
        for (name, is_file, ignore_case) in OPTIONS {
            let indices = matches.indices_of(name).into_iter().flatten();
            let places: Vec<GivenIn> = if is_file {
                matches.get_many::<PathBuf>(name).into_iter().flatten().cloned().map(GivenIn::File).collect()
            } else {
                matches.get_many::<OsString>(name).into_iter().flatten().cloned().map(GivenIn::Pattern).collect()
            };
            rules.extend(indices.zip(places.into_iter().map(|place| Given { place, ignore_case })));
        }
        rules.sort_by_key(|(index, _)| *index);
        Ok(Rules(rules.into_iter().map(|(_, given)| given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
